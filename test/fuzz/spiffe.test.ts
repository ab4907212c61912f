import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { bundleJson, parseBundle } from "../../src/spiffe/bundle.ts";
import { denyIndex, denyListJson, isDenied, parseDenyList } from "../../src/spiffe/deny.ts";
import { parseSpiffeId, parseTrustDomain, pathOf, SpiffeError, spiffeId, trustDomainOf } from "../../src/spiffe/id.ts";
import { identityJson, parseIdentityFile } from "../../src/spiffe/identity-file.ts";
import { encodeJoinString, type JoinString, parseJoinString } from "../../src/spiffe/join-string.ts";
import { adminId, agentId, kindOf } from "../../src/spiffe/kind.ts";
import { readJson } from "../../src/spiffe/strict-json.ts";
import { buildCa } from "../fakes/build-ca.ts";
import { damage, damaged, seedFiles } from "./seeds.ts";

const built = buildCa();
const text = (octets: Uint8Array) => Buffer.from(octets).toString("utf8");

/** A parser's value, or undefined when it threw its own error. Any other error comes out. */
function own<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof SpiffeError && error.message.length < 300) return undefined;
    throw error;
  }
}

function brokenTexts(seeds: readonly string[]): fc.Arbitrary<string> {
  const octets = seeds.map((seed) => new Uint8Array(Buffer.from(seed)));
  const broken = fc
    .tuple(fc.constantFrom(...octets), fc.array(damage, { minLength: 1, maxLength: 3 }))
    .map(([seed, hows]) => text(hows.reduce(damaged, seed)));
  return fc.oneof(broken, fc.string({ unit: "binary" }), fc.json());
}

const domain = fc.stringMatching(/^[a-z0-9._-]{1,60}$/);
const segment = fc.stringMatching(/^[A-Za-z0-9._-]{1,20}$/).filter((name) => name !== "." && name !== "..");
const path = fc.array(segment, { maxLength: 6 }).map((segments) => segments.map((name) => `/${name}`).join(""));

describe("parseSpiffeId()", () => {
  it("takes every ID of the grammar apart and spiffeId() puts it together again", () => {
    fc.assert(
      fc.property(domain, path, (name, tail) => {
        const id = parseSpiffeId(`spiffe://${name}${tail}`);
        expect([trustDomainOf(id), pathOf(id)]).toEqual([name, tail]);
        expect(spiffeId(parseTrustDomain(name), tail)).toBe(id);
        expect(kindOf(id)).toMatch(/^(server|agent|admin|device|workload|reserved)$/);
      }),
    );
  });

  it("agrees with the grammar of the specification about any text (SPIFFE-ID 2)", () => {
    const grammar = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*$/;
    const near = fc
      .array(
        fc.constantFrom("spiffe://", "a", "B", "/", ".", "..", "-", "_", "%61", ":", "@", "?", "#", "é", "\0", "\n"),
        {
          maxLength: 8,
        },
      )
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(
        fc.oneof(
          near,
          near.map((tail) => `spiffe://${tail}`),
          fc.string({ unit: "binary" }),
        ),
        (candidate) => {
          // A $ also fits before a last line break.
          const fits = grammar.test(candidate) && !candidate.endsWith("\n");
          expect(own(() => parseSpiffeId(candidate)) !== undefined).toBe(fits);
        },
      ),
      { numRuns: 5000 },
    );
  });
});

describe("parseJoinString()", () => {
  const trustDomain = parseTrustDomain("prod.example");
  const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const fields: fc.Arbitrary<JoinString> = fc
    .record({
      kind: fc.constantFrom("agent" as const, "admin" as const),
      name: segment.filter((name) => name !== "x509pop"),
      addresses: fc.array(fc.constantFrom("10.0.0.1:7443", "[2001:db8::1]:1", "ca.prod.example:65535"), {
        maxLength: 16,
      }),
      secret: fc.oneof(octets(32), octets(0)),
      rootPins: fc.array(octets(32), { minLength: 1, maxLength: 5 }),
      expiresAt: fc.integer({ min: 0, max: 2 ** 40 }).map((seconds) => new Date(seconds * 1000)),
    })
    .map(({ kind, name, ...rest }) => ({
      kind,
      trustDomain,
      subject: kind === "agent" ? agentId(trustDomain, name) : adminId(trustDomain, name),
      ...rest,
    }));

  it("reads back what encodeJoinString() wrote", () => {
    fc.assert(
      fc.property(fields, (join) => {
        expect(parseJoinString(encodeJoinString(join))).toEqual(join);
      }),
    );
  });

  it("throws nothing but SpiffeError, and takes no string with one other character", () => {
    const alphabet = fc.stringMatching(/^[A-Za-z0-9_-]$/);
    fc.assert(
      fc.property(fields, fc.double({ min: 0, max: 0.999, noNaN: true }), alphabet, (join, place, character) => {
        const good = encodeJoinString(join);
        const at = Math.floor(place * good.length);
        const other = good.slice(0, at) + character + good.slice(at + 1);
        if (other !== good) expect(own(() => parseJoinString(other))).toBeUndefined();
      }),
    );
    const seed = encodeJoinString(fc.sample(fields, { numRuns: 1, seed: 1 })[0] as JoinString);
    fc.assert(
      fc.property(brokenTexts([seed]), (candidate) => void own(() => parseJoinString(candidate))),
      {
        numRuns: 1000,
      },
    );
  });
});

describe("parseBundle()", () => {
  const seeds = [...seedFiles("bundle", ".json").map(text), bundleJson(built.bundle)].filter(
    (seed) => seed.length < 20_000,
  );

  it("throws nothing but SpiffeError for documents that were flipped, cut or repeated", () => {
    fc.assert(
      fc.property(brokenTexts(seeds), (json) => void own(() => parseBundle(json, built.bundle.trustDomain))),
      { numRuns: 2000 },
    );
  });

  it("refuses a document that is cut at any length", () => {
    const json = bundleJson(built.bundle).trimEnd();
    for (let size = 0; size < json.length; size++) {
      expect(own(() => parseBundle(json.slice(0, size), built.bundle.trustDomain))).toBeUndefined();
    }
  });

  it("reads back every sequence of 64 bits", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (sequence) => {
        expect(parseBundle(bundleJson({ ...built.bundle, sequence }), built.bundle.trustDomain).sequence).toBe(
          sequence,
        );
      }),
    );
  });
});

describe("parseDenyList()", () => {
  const hex = fc.uint8Array({ minLength: 1, maxLength: 2 }).map((octets) => Buffer.from(octets).toString("hex"));
  const list = fc.record({
    sequence: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    denied: fc.array(fc.record({ authorityKeyId: hex, serialHex: fc.oneof(hex, fc.constant("*")) }), { maxLength: 20 }),
  });

  it("reads back what denyListJson() wrote", () => {
    fc.assert(
      fc.property(list, (own) => {
        expect(parseDenyList(denyListJson(own))).toEqual(own);
      }),
    );
  });

  it("throws nothing but SpiffeError", () => {
    const seed = denyListJson({ sequence: 1n, denied: [{ authorityKeyId: "aa", serialHex: "*" }] });
    fc.assert(
      fc.property(brokenTexts([seed]), (json) => void own(() => parseDenyList(json))),
      { numRuns: 1000 },
    );
  });

  it("gives a list on which isDenied() and denyIndex() agree", () => {
    const certificate = fc.record({
      serialHex: hex,
      authorityKeyId: fc.option(hex, { nil: undefined }),
      subjectKeyId: fc.option(hex, { nil: undefined }),
    });
    fc.assert(
      fc.property(list, certificate, (own, candidate) => {
        expect(denyIndex(own)(candidate)).toBe(isDenied(own, candidate));
      }),
    );
  });
});

describe("parseIdentityFile()", () => {
  it("throws nothing but SpiffeError", () => {
    const seed = identityJson({
      spiffeId: parseSpiffeId("spiffe://prod.example/svc/a"),
      serialHex: "40",
      notBefore: built.at,
      notAfter: built.at,
      ttlSeconds: 1,
      obtainedAt: built.at,
      renewAt: built.at,
      authority: "int-1",
      bundleSequence: 1n,
      deniedSequence: 1n,
    });
    fc.assert(
      fc.property(brokenTexts([seed]), (json) => void own(() => parseIdentityFile(json))),
      { numRuns: 1000 },
    );
  });
});

describe("readJson()", () => {
  it("reads whatever JSON.stringify() wrote of names that are there once", () => {
    fc.assert(fc.property(fc.json({ maxDepth: 5 }), (json) => void readJson(json)));
  });

  it("reads nothing that JSON.parse() refuses", () => {
    fc.assert(
      fc.property(brokenTexts(['{"a":[1,-0.5e3,"x\\u0041",true,null,{}]}']), (json) => {
        let taken = true;
        try {
          readJson(json);
        } catch {
          taken = false;
        }
        if (taken) JSON.parse(json);
      }),
      { numRuns: 2000 },
    );
  });
});
