import { describe, expect, it } from "vitest";

import { parseSpiffeId, parseTrustDomain, SpiffeError } from "../../../src/spiffe/id.ts";
import { adminId, agentId, deviceId, kindOf, lastSegment, parseIdOrPath, serverId } from "../../../src/spiffe/kind.ts";

const trustDomain = parseTrustDomain("prod.example");

describe("kindOf()", () => {
  it.each([
    ["", "reserved"],
    ["/signet", "reserved"],
    ["/signet/server", "server"],
    ["/signet/server/a", "reserved"],
    ["/signet/admin", "reserved"],
    ["/signet/admin/jo", "admin"],
    ["/signet/admin/jo/a", "reserved"],
    ["/signet/other", "reserved"],
    ["/agent", "reserved"],
    ["/agent/one", "agent"],
    ["/agent/one/two", "reserved"],
    ["/agent/x509pop", "reserved"],
    ["/agent/x509pop/00ff", "reserved"],
    [`/agent/x509pop/${"0f".repeat(32)}`, "agent"],
    [`/agent/x509pop/${"0F".repeat(32)}`, "reserved"],
    [`/agent/x509pop/${"0f".repeat(32)}/more`, "reserved"],
    ["/device", "reserved"],
    ["/device/meter", "reserved"],
    ["/device/meter/42", "device"],
    ["/device/meter/42/a", "reserved"],
    ["/svc/a", "workload"],
    ["/signet2/server", "workload"],
    ["/agents/one", "workload"],
    ["/Agent/one", "workload"],
    ["/a/agent/one", "workload"],
  ])("says of the path %j that it is %s", (path, kind) => {
    expect(kindOf(parseSpiffeId(`spiffe://prod.example${path}`))).toBe(kind);
  });
});

describe("agentId(), serverId(), adminId(), deviceId()", () => {
  it("make IDs of their kind", () => {
    expect(serverId(trustDomain)).toBe("spiffe://prod.example/signet/server");
    expect(agentId(trustDomain, "one")).toBe("spiffe://prod.example/agent/one");
    expect(adminId(trustDomain, "jo")).toBe("spiffe://prod.example/signet/admin/jo");
    expect(deviceId(trustDomain, "meter", "42")).toBe("spiffe://prod.example/device/meter/42");
  });

  it.each(["", "a/b", "..", "x509pop", "a b"])("agentId() refuses the name %j", (name) => {
    expect(() => agentId(trustDomain, name)).toThrow(SpiffeError);
  });

  it("deviceId() refuses a serial of two segments", () => {
    expect(() => deviceId(trustDomain, "meter", "4/2")).toThrow(SpiffeError);
  });
});

it("lastSegment() is the name of an agent", () => {
  expect(lastSegment(agentId(trustDomain, "one"))).toBe("one");
});

it("parseIdOrPath() takes a whole ID or a path", () => {
  expect(parseIdOrPath("/svc/a", trustDomain)).toBe("spiffe://prod.example/svc/a");
  expect(parseIdOrPath("spiffe://other.example/b", trustDomain)).toBe("spiffe://other.example/b");
  expect(() => parseIdOrPath("svc/a", trustDomain)).toThrow(SpiffeError);
});
