// Text that others wrote, on its way to a log or a terminal: no control, no change of direction, no hidden characters.

/** Characters of a foreign text that reach a log or a terminal, the sign of a cut included. */
export const maxForeignCharacters = 64;

/** Control, format (bidi among them), surrogate halves, private use, and separators of lines and paragraphs. */
const unsafe = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u;
const everyUnsafe = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

/** A foreign text made safe: at most 64 characters, those that steer a terminal or hide written as `\u{1b}`. */
export function foreign(text: string): string {
  let safe = "";
  let length = 0;
  let lastFitting = "";
  for (const character of text) {
    const shown = unsafe.test(character) ? escaped(character) : character;
    length += unsafe.test(character) ? shown.length : 1;
    if (length > maxForeignCharacters) return `${lastFitting}…`;
    safe += shown;
    if (length < maxForeignCharacters) lastFitting = safe;
  }
  return safe;
}

/** The whole of a text, uncut, with the same characters escaped: for text that is partly ours. */
export function printable(text: string): string {
  return unsafe.test(text) ? text.replace(everyUnsafe, escaped) : text;
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}
