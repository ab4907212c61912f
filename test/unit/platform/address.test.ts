import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AddressError, formatAddress, isLoopback, isWildcard, parseAddress } from "../../../src/platform/address.ts";

describe("parseAddress()", () => {
  it.each([
    ["127.0.0.1:7443", "127.0.0.1", 7443],
    ["0.0.0.0:0", "0.0.0.0", 0],
    ["[::1]:7443", "::1", 7443],
    ["ca.prod.example:65535", "ca.prod.example", 65_535],
    ["localhost:80", "localhost", 80],
    ["my_host:80", "my_host", 80],
  ])("parseAddress(%j) is host %j and port %i", (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port });
    expect(formatAddress({ host, port })).toBe(text);
  });

  it.each([
    ["127.0.0.1", "has no port"],
    ["ca.prod.example", "has no port"],
    ["::1", "brackets"],
    ["[::1]", "has no port"],
    ["::1:7443", "brackets"],
    [":7443", "has no host"],
    ["host:", "has no port after the colon"],
    ["host:70000", "0 to 65535"],
    ["host:-1", "0 to 65535"],
    ["host:http", "0 to 65535"],
    ["ho st:1", "neither"],
    ["300.1.1.1:1", "neither"],
    ["127.1:1", "neither"],
    ["0x7f000001:1", "neither"],
    ["http://host:1", "several colons"],
    ["[1.2.3.4]:1", "no IPv6 address in its brackets"],
    ["[fe80::1%eth0]:1", "no IPv6 address in its brackets"],
    ["", "has no port"],
    [`${"a".repeat(400)}:1`, "too long"],
  ])("parseAddress(%j) is refused: %s", (text, why) => {
    expect(() => parseAddress(text)).toThrow(AddressError);
    expect(() => parseAddress(text)).toThrow(why);
  });

  it("parseAddress() throws nothing but AddressError, and formatAddress() gives back what it read", () => {
    const pieces = fc
      .array(fc.constantFrom("a", "1", ".", ":", "[", "]", "-", "%", "::1", "127.0.0.1", "7443", " ", "\u202e"))
      .map((each) => each.join(""));
    fc.assert(
      fc.property(fc.oneof(fc.string(), pieces), (text) => {
        try {
          const read = parseAddress(text);
          expect(parseAddress(formatAddress(read))).toEqual(read);
        } catch (error) {
          expect(error).toBeInstanceOf(AddressError);
        }
      }),
    );
  });
});

describe("isLoopback() and isWildcard()", () => {
  it.each(["127.0.0.1", "127.9.9.9", "::1", "0:0:0:0:0:0:0:1", "localhost", "a.localhost", "::ffff:127.0.0.1"])(
    "isLoopback(%j) is true",
    (host) => {
      expect(isLoopback(host)).toBe(true);
    },
  );
  it.each(["192.0.2.1", "::", "0.0.0.0", "fe80::1", "example.test", "localhost.example"])(
    "isLoopback(%j) is false",
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
  it("isWildcard() is true for 0.0.0.0 and every way to write ::", () => {
    for (const host of ["0.0.0.0", "::", "0::0", "0:0:0:0:0:0:0:0"]) expect(isWildcard(host)).toBe(true);
    for (const host of ["127.0.0.1", "::1", "localhost"]) expect(isWildcard(host)).toBe(false);
  });
});
