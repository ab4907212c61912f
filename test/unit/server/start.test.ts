import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { coversOneOf } from "../../../src/registry/names.ts";
import { initTrustDomain } from "../../../src/server/init.ts";
import { serverNames } from "../../../src/server/names.ts";
import { buildServer } from "../../fakes/build-server.ts";

const dirs: string[] = [];
afterEach(async () => {
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true });
});

test("wireServer() refuses lifetimes that a later intermediate could not honour", async () => {
  await expect(buildServer({ config: { intermediateTtlSeconds: 3600 } })).rejects.toMatchObject({
    code: "denied",
    facts: { rule: "ttl_over_authority", limit: "900 s" },
  });
});

test("initTrustDomain() refuses the server's passphrase for the root key, and leaves nothing", async () => {
  const dir = await mkdtemp(join(tmpdir(), "signet-init-"));
  dirs.push(dir);
  const file = join(dir, "pass");
  await writeFile(file, "one and the same\n", { mode: 0o600 });
  const dataDir = join(dir, "data");
  const making = initTrustDomain({
    dataDir,
    trustDomain: "prod.example",
    keyType: "ec-p256",
    rootTtlSeconds: 86_400 * 400,
    intermediateTtlSeconds: 86_400 * 30,
    rootKeyOut: join(dir, "root.key"),
    rootPassphraseFile: file,
    keyPassphraseFile: file,
  });
  await expect(making).rejects.toMatchObject({ code: "bad_request" });
  await expect(stat(dataDir)).rejects.toThrow("ENOENT");
  await expect(stat(join(dir, "root.key"))).rejects.toThrow("ENOENT");
});

test("serverNames() has the address that is listened on beside the names that are given", () => {
  const anywhere = "127.0.0.1:0";
  const listen = { api: "10.1.2.3:7443", admin: undefined, web: anywhere, public: anywhere, ops: anywhere };
  const { ipAddresses } = serverNames({ names: ["ca.prod.example"], advertise: undefined, listen });
  expect(ipAddresses).toEqual(["10.1.2.3"]);
});

test("coversOneOf() sees a wildcard on either side", () => {
  const reserved = new Set(["*.ca.example", "api.prod.example"]);
  expect(coversOneOf(reserved, "x.ca.example")).toBe(true);
  expect(coversOneOf(reserved, "*.prod.example")).toBe(true);
  expect(coversOneOf(reserved, "x.y.ca.example")).toBe(false);
  expect(coversOneOf(reserved, "web.prod.example")).toBe(false);
});
