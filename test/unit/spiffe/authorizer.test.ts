import { describe, expect, it } from "vitest";

import { any, exactly, memberOf, oneOf, under } from "../../../src/spiffe/authorizer.ts";
import { parseSpiffeId, parseTrustDomain, SpiffeError } from "../../../src/spiffe/id.ts";

const id = parseSpiffeId;

describe("authorizers", () => {
  it("any() lets everybody in", () => {
    expect(any()(id("spiffe://prod.example/a"))).toBe(true);
  });

  it("exactly() lets one ID in and none that begins with it", () => {
    const allow = exactly(id("spiffe://prod.example/svc/web"));
    expect(allow(id("spiffe://prod.example/svc/web"))).toBe(true);
    expect(allow(id("spiffe://prod.example/svc/web2"))).toBe(false);
    expect(allow(id("spiffe://prod.example/svc/Web"))).toBe(false);
  });

  it("oneOf() lets nobody in when its list is empty", () => {
    expect(oneOf([])(id("spiffe://prod.example/a"))).toBe(false);
    expect(oneOf([id("spiffe://prod.example/a")])(id("spiffe://prod.example/a"))).toBe(true);
  });

  it("memberOf() compares whole trust domains", () => {
    const allow = memberOf(parseTrustDomain("prod.example"));
    expect(allow(id("spiffe://prod.example/a"))).toBe(true);
    expect(allow(id("spiffe://prod.example.evil.test/a"))).toBe(false);
    expect(allow(id("spiffe://eu.prod.example/a"))).toBe(false);
  });

  it("under() lets in what is below the prefix, not the prefix and not its neighbours", () => {
    const allow = under(id("spiffe://prod.example/ns/web"));
    expect(allow(id("spiffe://prod.example/ns/web/a"))).toBe(true);
    expect(allow(id("spiffe://prod.example/ns/web"))).toBe(false);
    expect(allow(id("spiffe://prod.example/ns/web2/a"))).toBe(false);
    expect(allow(id("spiffe://other.example/ns/web/a"))).toBe(false);
  });

  it("under() wants a path", () => {
    expect(() => under(id("spiffe://prod.example"))).toThrow(SpiffeError);
  });
});
