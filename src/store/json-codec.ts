// Encodings for collections. JSON, with the values that JSON does not know as objects of one member: {"$bigint": "12"},
// {"$bytes": base64}, {"$date": RFC 3339}. A member of ours that begins with "$" gets a second one, so nothing is mistaken.
// What cannot come back as it was is refused when it is written; members that are undefined are left out.

import type { Collection } from "./store.ts";

const HEADER_LENGTH_OCTETS = 4;

const utf8 = new TextDecoder("utf-8", { fatal: true });

export type Codec<T> = Pick<Collection<T>, "encode" | "decode">;

export interface CodecOptions<T> {
  /** The version that the collection writes; 1 unless given. */
  readonly version?: number;
  /** Makes today's value of what an older version stored. Without it older versions are refused. */
  readonly upgrade?: (old: unknown, version: number) => T;
}

/**
 * Codec for values of plain objects, arrays, text, finite numbers, booleans, null, bigint, Uint8Array and Date. `encode`
 * throws a TypeError for anything else; `decode` for an unknown version. Spread it into a collection.
 */
export function jsonCodec<T>(options: CodecOptions<T> = {}): Codec<T> {
  return {
    encode: (value) => Buffer.from(JSON.stringify(toJson(value)), "utf8"),
    decode: (octets, version) => current(parseJson(octets), version, options),
  };
}

/**
 * Codec for records that are mostly one run of octets (a certificate): the other members as in `jsonCodec`, then the
 * octets as they are. `field` names the member that holds them.
 */
export function headerAndBytes<T extends { readonly [P in F]: Uint8Array }, F extends keyof T & string>(
  field: F,
  options: CodecOptions<T> = {},
): Codec<T> {
  return {
    encode(value) {
      const octets = value[field];
      if (!(octets instanceof Uint8Array)) throw new TypeError(`${field} must be octets`);
      const header = JSON.stringify(toJson({ ...value, [field]: undefined }));
      const length = Buffer.byteLength(header, "utf8");
      const encoded = Buffer.allocUnsafe(HEADER_LENGTH_OCTETS + length + octets.length);
      encoded.writeUInt32BE(length, 0);
      encoded.write(header, HEADER_LENGTH_OCTETS, "utf8");
      encoded.set(octets, HEADER_LENGTH_OCTETS + length);
      return encoded;
    },
    decode(encoded, version) {
      const start = HEADER_LENGTH_OCTETS;
      if (encoded.length < start) throw new TypeError("the header is cut short");
      const end = start + new DataView(encoded.buffer, encoded.byteOffset).getUint32(0);
      if (end > encoded.length) throw new TypeError("the header is cut short");
      const header = parseJson(encoded.subarray(start, end));
      if (typeof header !== "object" || header === null) throw new TypeError("the header is no object");
      return current({ ...header, [field]: new Uint8Array(encoded.subarray(end)) }, version, options);
    },
  };
}

function current<T>(value: unknown, version: number, { version: written = 1, upgrade }: CodecOptions<T>): T {
  if (version === written) return value as T;
  if (version < written && upgrade !== undefined) return upgrade(value, version);
  throw new TypeError(`version ${version} is not known, versions up to ${written} are`);
}

function parseJson(octets: Uint8Array): unknown {
  const json = utf8.decode(octets);
  const value: unknown = JSON.parse(json);
  return json.includes('"$') ? fromJson(value) : value;
}

// Copies only what has to change: most values have nothing that JSON does not know.
function toJson(value: unknown): unknown {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value)) return value;
      throw new TypeError(`${value} cannot be stored`);
    case "bigint":
      return { $bigint: value.toString() };
    case "object":
      return value === null ? null : objectToJson(value);
    case "undefined":
    case "function":
    case "symbol":
      throw new TypeError(`a ${typeof value} cannot be stored`);
  }
}

function objectToJson(value: object): unknown {
  if (Array.isArray(value)) {
    let items: unknown[] | undefined;
    for (let i = 0; i < value.length; i++) {
      const item = toJson(value[i]);
      if (items === undefined && item !== value[i]) items = value.slice(0, i);
      items?.push(item);
    }
    return items ?? value;
  }
  if (value instanceof Uint8Array) {
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.length).toString("base64") };
  }
  if (value instanceof Date) return { $date: value.toISOString() };
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(`a ${value.constructor?.name ?? "value"} cannot be stored`);
  }
  const object = value as { readonly [name: string]: unknown };
  const names = Object.keys(object);
  let copied: [string, unknown][] | undefined;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] ?? "";
    const member = object[name];
    const json = member === undefined ? undefined : toJson(member);
    const tagged = name.startsWith("$");
    if (copied === undefined && (json !== member || tagged)) {
      copied = names.slice(0, i).map((earlier) => [earlier, object[earlier]]);
    }
    copied?.push([tagged ? `$${name}` : name, json]);
  }
  return copied === undefined ? value : Object.fromEntries(copied);
}

function fromJson(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(fromJson);
  const members = Object.entries(value);
  const [first] = members;
  if (members.length === 1 && first !== undefined && typeof first[1] === "string") {
    const [tag, content] = first;
    if (tag === "$bigint") return BigInt(content);
    if (tag === "$date") return new Date(content);
    if (tag === "$bytes") return new Uint8Array(Buffer.from(content, "base64"));
  }
  return Object.fromEntries(
    members.map(([name, member]) => [name.startsWith("$$") ? name.slice(1) : name, fromJson(member)]),
  );
}
