// JSON by the letter (RFC 8259) for documents that carry trust: a member twice is refused, depth is bounded, numbers
// keep all their digits (JSON.parse rounds 2^53 + 1), and objects are maps, so no name can touch a prototype.

export interface JsonNumber {
  /** The number as it was written. */
  readonly literal: string;
}
export type JsonObject = ReadonlyMap<string, JsonValue>;
export type JsonValue = null | boolean | string | JsonNumber | readonly JsonValue[] | JsonObject;

/** What readJson() throws; the rooms that use it wrap it in their own error. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

const maxDepth = 32;

/** Reads one JSON document to its last character. Throws JsonError; the message never quotes the text. */
export function readJson(text: string): JsonValue {
  const scanner = new Scanner(text);
  const value = scanner.value(0);
  scanner.end();
  return value;
}

/** Whether a value is an object. */
export function isObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map;
}

/** Whether a value is an array. */
export function isArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** The value of a whole number written without fraction or exponent; undefined for anything else. */
export function integerOf(value: JsonValue | undefined): bigint | undefined {
  if (value === null || typeof value !== "object" || isArray(value) || value instanceof Map) return undefined;
  const { literal } = value as JsonNumber;
  if (literal.length > 40 || !/^-?\d+$/.test(literal)) return undefined;
  return BigInt(literal);
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): JsonValue {
    if (depth > maxDepth) throw new JsonError(`more than ${maxDepth} levels`);
    this.#space();
    switch (this.#text.charAt(this.#at)) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  end(): void {
    this.#space();
    if (this.#at !== this.#text.length) throw this.#fault("text after the document");
  }

  #object(depth: number): JsonObject {
    const members = new Map<string, JsonValue>();
    this.#at++;
    if (this.#closes("}")) return members;
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') throw this.#fault("a member name is missing");
      const name = this.#string();
      if (members.has(name)) throw this.#fault("a member twice in one object");
      this.#space();
      if (this.#text[this.#at] !== ":") throw this.#fault("a colon is missing");
      this.#at++;
      members.set(name, this.value(depth + 1));
      if (this.#closes("}")) return members;
      this.#comma();
    }
  }

  #array(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.#at++;
    if (this.#closes("]")) return items;
    for (;;) {
      items.push(this.value(depth + 1));
      if (this.#closes("]")) return items;
      this.#comma();
    }
  }

  #string(): string {
    const start = this.#at;
    for (let i = start + 1; i < this.#text.length; i++) {
      const c = this.#text.charCodeAt(i);
      if (c === 0x5c) {
        i++;
      } else if (c === 0x22) {
        this.#at = i + 1;
        return this.#unescape(this.#text.slice(start, i + 1));
      } else if (c < 0x20) {
        break;
      }
    }
    throw this.#fault("a string without end or with a control character");
  }

  #unescape(quoted: string): string {
    try {
      // One string token, so nothing but a string can come out.
      return JSON.parse(quoted) as string;
    } catch {
      throw this.#fault("a bad escape in a string");
    }
  }

  #number(): JsonNumber {
    const pattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
    pattern.lastIndex = this.#at;
    const literal = pattern.exec(this.#text)?.[0];
    if (literal === undefined) throw this.#fault(this.#at >= this.#text.length ? "it ends too early" : "no value");
    this.#at += literal.length;
    return { literal };
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#fault("no value");
    this.#at += word.length;
    return value;
  }

  #closes(bracket: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== bracket) return false;
    this.#at++;
    return true;
  }

  #comma(): void {
    if (this.#text[this.#at] !== ",") throw this.#fault("a comma or a closing bracket is missing");
    this.#at++;
  }

  #space(): void {
    for (; this.#at < this.#text.length; this.#at++) {
      const c = this.#text.charCodeAt(this.#at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
    }
  }

  #fault(what: string): JsonError {
    return new JsonError(`${what}, at character ${this.#at + 1}`);
  }
}
