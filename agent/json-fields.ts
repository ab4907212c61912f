// Reads the agent's own JSON files, member by member. They are ours, so a member that does not fit means damage.

/** A file that is not what we wrote. The message names the member. */
class DamagedFile extends Error {
  override readonly name = "DamagedFile";
}

/** One JSON object whose members are read by name. Every reader throws DamagedFile. */
export class JsonFields {
  readonly #members: Readonly<Record<string, unknown>>;

  private constructor(members: Readonly<Record<string, unknown>>) {
    this.#members = members;
  }

  static parse(text: string): JsonFields {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new DamagedFile("it is not JSON", { cause });
    }
    return JsonFields.of(value, "the file");
  }

  static of(value: unknown, what: string): JsonFields {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new DamagedFile(`${what} is no object`);
    return new JsonFields(Object.fromEntries(Object.entries(value)));
  }

  has(name: string): boolean {
    return this.#members[name] !== undefined;
  }

  text(name: string, pattern: RegExp = /^/): string {
    const value = this.#members[name];
    if (typeof value !== "string" || !pattern.test(value))
      throw new DamagedFile(`${name} is missing or not what it was`);
    return value;
  }

  texts(name: string): readonly string[] {
    const value = this.#members[name];
    const isList = Array.isArray(value) && value.every((each) => typeof each === "string");
    if (!isList) throw new DamagedFile(`${name} is no list of text`);
    return value;
  }

  number(name: string): number {
    const value = this.#members[name];
    if (typeof value !== "number" || !Number.isFinite(value)) throw new DamagedFile(`${name} is no number`);
    return value;
  }

  flag(name: string): boolean {
    const value = this.#members[name];
    if (typeof value !== "boolean") throw new DamagedFile(`${name} is neither true nor false`);
    return value;
  }

  time(name: string): Date {
    const date = new Date(this.text(name, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/));
    if (Number.isNaN(date.getTime())) throw new DamagedFile(`${name} is no time`);
    return date;
  }

  number64(name: string): bigint {
    return BigInt(this.text(name, /^\d{1,20}$/));
  }

  octets(name: string): Uint8Array {
    return fromBase64(this.text(name, base64));
  }

  octetsList(name: string): readonly Uint8Array[] {
    const list = this.texts(name);
    if (!list.every((each) => base64.test(each))) throw new DamagedFile(`${name} is no list of base64`);
    return list.map(fromBase64);
  }

  object(name: string): JsonFields {
    return JsonFields.of(this.#members[name], name);
  }

  /** Demands the one version that there is. */
  version(known: number): void {
    if (this.#members["version"] !== known) throw new DamagedFile(`it is of a version that is not known here`);
  }
}

const base64 = /^[A-Za-z0-9+/]*={0,2}$/;

function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}
