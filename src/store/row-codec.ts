// Encoding for records of which there are many: their members as one JSON array in a fixed order, without their names,
// then one run of octets as it is. Half the length of a JSON object, and made without a look at the type of each value.

import type { Codec } from "./json-codec.ts";

const LENGTH_OCTETS = 4;
/** An array in JSON begins so: what an older version wrote, an object, never does. */
const BRACKET = 0x5b;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** What a member may hold. An absent one is `null` in the row. */
type Cell = string | number | readonly string[] | undefined;

/** The members of a record but `F`, each once, in the order of the row. It is never changed; new ones come last. */
export type Row<T, F extends keyof T> = { readonly [name in Exclude<keyof T & string, F>]-?: true };

export interface RowOptions<T> {
  /** The version that the collection writes. */
  readonly version: number;
  /** Reads what versions before that one wrote. */
  readonly older: Codec<T>;
}

/**
 * Codec of records whose members are text, finite numbers and lists of text, and one run of octets, `field`. `encode`
 * throws a TypeError for what would not come back as it was; `decode` for what is no row of this kind.
 */
export function rowAndBytes<T extends { readonly [P in F]: Uint8Array }, F extends keyof T & string>(
  row: Row<T, F>,
  field: F,
  { version: written, older }: RowOptions<T>,
): Codec<T> {
  const names = Object.keys(row) as (keyof T & string)[];
  const known: ReadonlySet<string> = new Set([...names, field]);
  return {
    encode(value) {
      const octets: unknown = value[field];
      if (!(octets instanceof Uint8Array)) throw new TypeError(`${field} must be octets`);
      const cells: Cell[] = [];
      for (const name of names) cells.push(checked(value[name], name));
      for (const name in value) {
        if (!known.has(name) && value[name] !== undefined) throw new TypeError(`${name} has no place in the row`);
      }
      const text = JSON.stringify(cells);
      const length = Buffer.byteLength(text, "utf8");
      const encoded = Buffer.allocUnsafe(LENGTH_OCTETS + length + octets.length);
      encoded.writeUInt32BE(length, 0);
      encoded.write(text, LENGTH_OCTETS, "utf8");
      encoded.set(octets, LENGTH_OCTETS + length);
      return encoded;
    },
    decode(encoded, version) {
      if (version !== written) return older.decode(encoded, version);
      if (encoded.length < LENGTH_OCTETS) throw new TypeError("the row is cut short");
      const end = LENGTH_OCTETS + new DataView(encoded.buffer, encoded.byteOffset).getUint32(0);
      if (end > encoded.length || encoded[LENGTH_OCTETS] !== BRACKET) throw new TypeError("the row is cut short");
      const cells = JSON.parse(utf8.decode(encoded.subarray(LENGTH_OCTETS, end))) as readonly unknown[];
      if (cells.length > names.length) throw new TypeError(`the row has ${cells.length} members`);
      const value: Record<string, unknown> = {};
      for (const [i, name] of names.entries()) {
        const cell = cells[i] ?? undefined;
        if (cell !== undefined) value[name] = cell;
      }
      value[field] = new Uint8Array(encoded.subarray(end));
      return value as T;
    },
  };
}

function checked(value: unknown, name: string): Cell {
  if (typeof value === "string" || value === undefined) return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw new TypeError(`${name} cannot be stored`);
}
