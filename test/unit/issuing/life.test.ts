import { expect, test } from "vitest";
import { decide } from "../../../src/issuing/policy/decide.ts";
import { lifeOf } from "../../../src/issuing/policy/life.ts";
import { maxTtlSeconds, profiles, ttlOverAuthority } from "../../../src/issuing/profile/profile.ts";
import { after, buildCa } from "../../fakes/build-ca.ts";
import { authority, csrFor, entryOf, factsOf, now, profile } from "./facts.ts";

test("lifeOf() counts the ttl from the moment of issue and backdates by 60 s", () => {
  const life = lifeOf(factsOf({ entry: entryOf({ ttlSeconds: 20 }) }));
  expect(life).toEqual({ wantedSeconds: 20, grantedSeconds: 20, notBefore: after(now, -60), notAfter: after(now, 20) });
});

test("lifeOf() gives whole seconds at every millisecond, and never less than was granted (RFC 5280 4.1.2.5)", () => {
  const life = lifeOf(factsOf({ now: new Date(now.getTime() + 999), ttlSeconds: 5 }));
  expect(life).toMatchObject({ notBefore: after(now, -60), notAfter: after(now, 6) });
});

test("lifeOf() never backdates before the issuer", () => {
  const ca = buildCa({ at: after(now, 50) }); // Its certificates begin 10 s before now.
  const life = lifeOf(factsOf({ issuer: authority(ca.intermediate) }));
  expect(life?.notBefore).toEqual(ca.intermediate.notBefore);
  expect(life?.notBefore).toEqual(after(now, -10));
});

test("lifeOf() takes what was asked before the entry's ttl, and the profile's where there is no entry", () => {
  expect(lifeOf(factsOf({ ttlSeconds: 7 }))?.wantedSeconds).toBe(7);
  expect(lifeOf(factsOf({ entry: undefined }))?.wantedSeconds).toBe(3600);
  expect(lifeOf(factsOf({ entry: undefined, profile: profile("agent") }))?.wantedSeconds).toBe(86_400);
});

test("lifeOf() never outlives the issuer, and is undefined without one", () => {
  const { intermediate } = buildCa({ intermediateSeconds: 2400 });
  const life = lifeOf(factsOf({ issuer: authority(intermediate) }));
  expect(life?.grantedSeconds).toBe(2400);
  expect(life?.notAfter).toEqual(intermediate.notAfter);
  expect(lifeOf(factsOf({ issuer: undefined }))).toBeUndefined();
});

test.each([
  { left: 3600, limitedBy: undefined },
  { left: 3599, limitedBy: "authority" },
  { left: 1800, limitedBy: "authority" },
  { left: 1799, limitedBy: "denied" },
])("decide() marks a leaf of 3600 s under an authority with $left s left as $limitedBy", ({ left, limitedBy }) => {
  const { intermediate } = buildCa({ intermediateSeconds: left });
  const decision = decide(csrFor(), factsOf({ issuer: authority(intermediate) }));
  if (decision.allow) {
    expect(decision.allowed.limitedBy).toBe(limitedBy);
    expect(decision.allowed.ttlSeconds).toBe(left);
  } else {
    expect(decision.rule).toBe("authority_ends");
    expect(limitedBy).toBe("denied");
  }
});

test("ttlOverAuthority() refuses a profile over a quarter of its authority's life, and names setting, value and limit", () => {
  const all = Object.values(profiles({ serverSeconds: 25, agentSeconds: 26, workloadSeconds: 20 }));
  expect(ttlOverAuthority(all, 104)).toBeUndefined();
  expect(ttlOverAuthority(all, 103)).toMatchObject({
    rule: "ttl_over_authority",
    value: "26 s",
    limit: "25 s",
    cure: "set lifetimes: {agent: 25s} in server.yaml, or a longer --intermediate-ttl",
  });
  expect(maxTtlSeconds(103)).toBe(25);
});
