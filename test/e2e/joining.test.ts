import { mkdir, readdir, readFile } from "node:fs/promises";
import { expect } from "vitest";
import { foreignIdentity } from "../../src/cli/demo/foreign-ca.ts";
import { parseJoinString } from "../../src/spiffe/join-string.ts";
import { startMiddleMan, stolenIdentity } from "./middle-man.ts";
import { it, type Place, until } from "./place.ts";
import type { Ending } from "./started.ts";

/** Starts an agent that is not allowed to join, and waits for its end. */
function refused(place: Place, joinString: string, ...args: readonly string[]): Promise<Ending> {
  return place.run(["agent", "--join-file", "-", "--listen-ops", "127.0.0.1:0", ...args], { input: joinString });
}

function token(place: Place, ...args: readonly string[]): Promise<string> {
  return place.out("token", "create", "-q", ...args);
}

it.concurrent("join strings that were cut, altered or have expired are refused, each in one line", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "join.test");
  await place.server();
  const late = await token(place, "--agent", "late", "--ttl", "1s");
  const good = await token(place, "--agent", "one");
  for (const length of [9, 61, good.length - 1]) {
    const { code, stderr } = await refused(place, good.slice(0, length));
    expect(code).toBe(2);
    expect(stderr).toMatch(
      `signet: cannot join: the join string is incomplete: ${length} of ${good.length} characters\n`,
    );
  }
  const at = 40;
  const altered = await refused(place, `${good.slice(0, at)}${good[at] === "A" ? "B" : "A"}${good.slice(at + 1)}`);
  expect(altered.code).toBe(2);
  expect(altered.stderr).toMatch(/^signet: cannot join: the join string is damaged.*\ntry: signet token create/);
  // Nothing was begun for any of them.
  expect(await readdir(place.folder)).toEqual([".signet"]);
  await until(async () => {
    const tokens = JSON.parse(await place.out("token", "list", "-o", "json")) as readonly { readonly state: string }[];
    return tokens.some(({ state }) => state === "expired") ? true : undefined;
  });
  const expired = await refused(place, late);
  expect(expired.code, expired.stderr).toBe(3);
  expect(expired.stderr).toMatch(
    /^signet: cannot join join\.test: this join string ended at \S+Z\ntry: signet token create --agent late/,
  );
});

it.concurrent("a join string used twice: the same key gets the same certificate, another one exit 3, and the admin sees both", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "join.test");
  await place.server();
  const joinString = await token(place, "--agent", "one");
  const agent = await place.agent({ join: joinString });
  const { identity } = (await place.json(".signet-agent/agent.json")) as {
    readonly identity: { readonly key: string; readonly serialHex: string };
  };
  // An ID that lives is not given to a second node, whatever string it brings.
  const second = await refused(place, await token(place, "--agent", "one"), "--data-dir", "thief");
  expect(second.code, second.stderr).toBe(3);
  expect(second.stderr).toMatch(/one has joined already and lives until/);
  const thief = await refused(place, joinString, "--data-dir", "thief");
  expect(thief.code, thief.stderr).toBe(3);
  expect(thief.stderr).toMatch(
    /^signet: cannot join join\.test: this join string was used at \S+Z by a node with another key/,
  );
  expect(await readdir(place.path("thief"))).not.toContain("agent.json");
  expect(await place.out("token", "list")).toMatch(
    /one\s+used\s.*from 127\.0\.0\.1:\d+; then tried 1 x with another key/,
  );
  // Killed after its key was durable and before the answer was: it asks again with that key.
  agent.kill("SIGKILL");
  await agent.ended;
  await mkdir(place.path("again"), { mode: 0o700 });
  const stamp = await readFile(place.path(".signet-agent/signet.json"), "utf8");
  await place.write("again/signet.json", stamp);
  await place.write("again/agent-pending.json", JSON.stringify({ version: 1, key: identity.key }));
  await place.agent({ join: joinString, dataDir: "again" });
  expect(await place.json("again/agent.json")).toMatchObject({ identity: { serialHex: identity.serialHex } });
});

it.concurrent("a join string of another server is refused by the agent: no root of that server is pinned", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "join.test");
  await place.out("init", "--trust-domain", "join.test", "--data-dir", "other");
  const [server] = await Promise.all([place.server(), place.server({ dataDir: "other" })]);
  const { code, stderr } = await refused(
    place,
    await token(place, "--agent", "one", "--data-dir", "other"),
    "--server",
    server.api,
  );
  expect(code, stderr).toBe(3);
  expect(stderr).toMatch(
    /^signet: cannot join join\.test: 127\.0\.0\.1:\d+ is not the server that this join string is from/,
  );
});

it.concurrent("a man in the middle with a CA of his own learns no secret, and one with the stolen intermediate would", async ({
  place,
}) => {
  const trustDomain = "join.test";
  const spiffeId = `spiffe://${trustDomain}/signet/server`;
  await place.out("init", "--trust-domain", trustDomain);
  const server = await place.server();
  const own = await startMiddleMan(server.api, foreignIdentity(spiffeId, { trustDomain, now: new Date() }));
  const joinString = await token(place, "--agent", "one", "--address", own.address);
  const { secret } = parseJoinString(joinString);
  expect(secret).toHaveLength(32);
  const { code, stderr } = await refused(place, joinString);
  await own.close();
  expect(code, stderr).toBe(3);
  expect(stderr).toMatch(/^signet: cannot join join\.test: /);
  // He passed the bundle on, and was found out before anything else was said.
  expect(own.heard().subarray(0, 3).toString()).toBe("PRI");
  expect(own.connections).toBeGreaterThanOrEqual(1);
  expect(own.heard().includes(secret)).toBe(false);
  expect(own.heard().includes(joinString)).toBe(false);
  expect(await place.out("token", "list", "-o", "json")).toMatch(/"state": ?"open"/);
  // The same ears would have heard it: a thief of the CA's key is what this does not protect from.
  const keyPem = await readFile(place.path(".signet/keys/int-1.key"), "utf8");
  const thief = await startMiddleMan(server.api, await stolenIdentity(server.api, { keyPem, spiffeId }));
  const agent = place.signet(["agent", "--join-file", "-", "--listen-ops", "127.0.0.1:0", "--server", thief.address], {
    input: joinString,
  });
  await agent.shown(/"event":"joined"/);
  expect(thief.heard().includes(secret)).toBe(true);
  await thief.close();
});
