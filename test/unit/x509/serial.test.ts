import { describe, expect, it } from "vitest";
import { serialFromRandom, serialHex } from "../../../src/x509/serial.ts";
import { bytes, codeOf } from "./expectations.ts";

describe("serialFromRandom()", () => {
  it("brings the first octet into 40..7f and keeps the rest", () => {
    for (const first of [0x00, 0x3f, 0x40, 0x7f, 0x80, 0xff]) {
      const random = new Uint8Array(16).fill(0xab);
      random[0] = first;
      const serial = serialFromRandom(random);
      expect(serial[0]).toBe(0x40 | (first & 0x3f));
      expect(serial.subarray(1)).toEqual(random.subarray(1));
      expect(random[0]).toBe(first);
    }
  });

  it("refuses another count of octets", () => {
    expect(codeOf(() => serialFromRandom(new Uint8Array(15)))).toBe("too_large");
  });
});

describe("serialHex()", () => {
  it("is lower-case, two digits each, also for a view", () => {
    expect(serialHex(bytes("ff0aB1").subarray(1))).toBe("0ab1");
  });
});
