import { describe, expect, it } from "vitest";

import {
  parseSpiffeId,
  parseTrustDomain,
  pathOf,
  SpiffeError,
  spiffeId,
  trustDomainOf,
} from "../../../src/spiffe/id.ts";

function refusal(run: () => unknown): SpiffeError {
  try {
    run();
  } catch (error) {
    if (error instanceof SpiffeError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("parseSpiffeId()", () => {
  it.each([
    ["spiffe://prod.example/svc/a", "prod.example", "/svc/a"],
    ["spiffe://prod.example", "prod.example", ""],
    ["spiffe://10.1.2.3/w", "10.1.2.3", "/w"],
    ["spiffe://a..b/...", "a..b", "/..."],
    ["spiffe://_-./A.b-C_9", "_-.", "/A.b-C_9"],
  ])("takes %s apart into trust domain and path", (text, trustDomain, path) => {
    const id = parseSpiffeId(text);
    expect(id).toBe(text);
    expect(trustDomainOf(id)).toBe(trustDomain);
    expect(pathOf(id)).toBe(path);
  });

  it.each([
    ["", "a SPIFFE ID begins with spiffe://"],
    ["SPIFFE://prod.example/a", "a SPIFFE ID begins with spiffe://"],
    ["spiffe:///a", "the trust domain is empty"],
    ["spiffe://Prod.example/a", "a trust domain holds a-z, 0-9, dot, dash and underscore only"],
    ["spiffe://prod.example:443/a", "a trust domain holds a-z, 0-9, dot, dash and underscore only"],
    ["spiffe://prod.example/", "the path of a SPIFFE ID has no empty segment and no slash at its end"],
    ["spiffe://prod.example/a//b", "the path of a SPIFFE ID has no empty segment and no slash at its end"],
    ["spiffe://prod.example/a/../b", "the path of a SPIFFE ID has no segments . and .."],
    ["spiffe://prod.example/.", "the path of a SPIFFE ID has no segments . and .."],
    [
      "spiffe://prod.example/a%2Fb",
      "the path of a SPIFFE ID holds letters, digits, dot, dash, underscore and slash only",
    ],
    [
      "spiffe://prod.example/a\n",
      "the path of a SPIFFE ID holds letters, digits, dot, dash, underscore and slash only",
    ],
    [`spiffe://prod.example/${"a".repeat(2027)}`, "a SPIFFE ID has at most 2048 octets, got 2049"],
    [`spiffe://${"a".repeat(256)}/w`, "a trust domain has at most 255 octets, got 256"],
  ])("refuses %j and says why (SPIFFE-ID 2)", (text, message) => {
    const error = refusal(() => parseSpiffeId(text));
    expect(error.code).toBe("bad_id");
    expect(error.message).toBe(message);
  });
});

describe("parseTrustDomain()", () => {
  it.each(["a", "prod.example", "my_domain", "-a-", "a".repeat(255)])("takes %s", (text) => {
    expect(parseTrustDomain(text)).toBe(text);
  });

  it.each(["", "PROD", "a/b", "a:1", "a b", "spiffe://a", "a".repeat(256)])("refuses %j", (text) => {
    expect(refusal(() => parseTrustDomain(text)).code).toBe("bad_trust_domain");
  });
});

describe("spiffeId()", () => {
  const trustDomain = parseTrustDomain("prod.example");

  it("joins trust domain and path", () => {
    expect(spiffeId(trustDomain, "/svc/a")).toBe("spiffe://prod.example/svc/a");
    expect(spiffeId(trustDomain, "")).toBe("spiffe://prod.example");
  });

  it.each(["svc/a", ".evil.test/a", "/", "/a/", "/../a", ":443/a"])("refuses the path %j", (path) => {
    expect(refusal(() => spiffeId(trustDomain, path)).code).toBe("bad_id");
  });
});
