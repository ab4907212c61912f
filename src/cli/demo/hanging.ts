import { wrap } from "../layout.ts";

/** Less room than this beside the head, and the text goes below it. */
const leastRoom = 20;

/** `head` and `text` on lines of `width`, broken between words; what follows the first line stands under `text`. */
export function hanging(head: string, text: string, width: number): readonly string[] {
  if (head.length + text.length <= width) return [`${head}${text}`.trimEnd()];
  const room = width - head.length;
  if (room >= leastRoom) {
    const indent = " ".repeat(head.length);
    return wrap(text, room).map((part, index) => `${index === 0 ? head : indent}${part}`);
  }
  return [head.trimEnd(), ...wrap(text, width - 4).map((part) => `    ${part}`)];
}
