import { readdir, readFile } from "node:fs/promises";
import { expect } from "vitest";
import { it, type Place, runProgram } from "./place.ts";
import { watchIdentity } from "./watch-identity.ts";

interface ListedAuthority {
  readonly name: string;
  readonly kind: string;
  readonly state: string;
}

async function states(place: Place): Promise<Readonly<Record<string, string>>> {
  const all = JSON.parse(await place.out("authority", "list", "-o", "json")) as readonly ListedAuthority[];
  return Object.fromEntries(all.map(({ name, state }) => [name, state]));
}

it.concurrent("authority rotate by hand: the next identity is by the new intermediate, and all of it survives a kill", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "turn.test");
  const server = await place.server();
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", "5s");
  const agent = await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
  const watch = watchIdentity(place.path(".signet-agent/identities/svc/a"));
  const first = await watch.after(0);
  expect(first.authority).toBe("int-1");
  expect(await place.out("authority", "rotate")).toContain("int-2");
  while (watch.seen.at(-1)?.authority !== "int-2") await watch.after(watch.seen.length);
  expect(watch.seen.at(-1)?.issuer).not.toBe(first.issuer);
  expect(await states(place)).toEqual({ "root-1": "active", "int-1": "old", "int-2": "active" });
  server.kill("SIGKILL");
  await server.ended;
  await place.server();
  expect(await states(place)).toEqual({ "root-1": "active", "int-1": "old", "int-2": "active" });
  const count = watch.seen.length;
  expect((await watch.after(count)).authority).toBe("int-2");
  await watch.stop();
  expect(watch.torn).toEqual([]);
  agent.kill("SIGTERM");
  expect((await agent.ended).code).toBe(0);
});

it.concurrent("a root kept outside and encrypted keys: the server needs its passphrase, the rotation the root's", async ({
  place,
}) => {
  const keys = await place.write("keys.pass", "correct horse\n");
  const root = await place.write("root.pass", "battery staple\n");
  const wrong = await place.write("wrong.pass", "staple\n");
  const made = await place.run(
    ["init", "--trust-domain", "turn.test", "--root-key-out", "root-1.key", "--root-passphrase-file", root],
    { env: { SIGNET_KEY_PASSPHRASE_FILE: keys } },
  );
  expect(made.code, made.stderr).toBe(0);
  expect(made.stdout).not.toMatch(/NOT encrypted|root key +on this server/);
  expect(await readdir(place.path(".signet/keys"))).toEqual(["int-1.key"]);
  for (const [file, pass] of [
    ["root-1.key", root],
    [".signet/keys/int-1.key", keys],
  ] as const) {
    expect(await readFile(place.path(file), "utf8")).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
    const read = (passphrase: string) =>
      runProgram("openssl", ["pkey", "-in", file, "-passin", `file:${passphrase}`, "-noout"], place.folder);
    expect((await read(pass)).code).toBe(0);
    expect((await read(wrong)).code).not.toBe(0);
  }

  const listen = ["--listen-api", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0"];
  const without = await place.run(["server", ...listen]);
  expect(without.code, without.stderr).toBe(1);
  expect(without.stderr).toMatch(/^signet: cannot start the server: .*int-1.*encrypted.*passphrase/);
  const mistaken = await place.run(["server", ...listen], { env: { SIGNET_KEY_PASSPHRASE_FILE: wrong } });
  expect(mistaken.code, mistaken.stderr).toBe(1);
  expect(mistaken.stderr).toMatch(/^signet: cannot start the server: .*int-1.*passphrase/);
  expect(mistaken.stderr).not.toContain("staple");
  await place.server({ env: { SIGNET_KEY_PASSPHRASE_FILE: keys } });

  const noKey = await place.run(["authority", "rotate"]);
  expect(noKey.code, noKey.stderr).toBe(3);
  expect(noKey.stderr).toMatch(/try: signet authority rotate --root-key/);
  const badPass = await place.run(["authority", "rotate", "--root-key", "root-1.key", "--root-passphrase-file", wrong]);
  expect(badPass.code, badPass.stderr).toBe(2);
  const otherKey = await runProgram(
    "openssl",
    ["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "other.key"],
    place.folder,
  );
  expect(otherKey.code).toBe(0);
  const stranger = await place.run(["authority", "rotate", "--root-key", "other.key"]);
  expect(stranger.code, stranger.stderr).toBe(2);
  expect(await states(place)).toEqual({ "root-1": "active", "int-1": "active" });
  await place.out("authority", "rotate", "--root-key", "root-1.key", "--root-passphrase-file", root);
  expect(await states(place)).toEqual({ "root-1": "active", "int-1": "old", "int-2": "active" });
  expect(await readdir(place.path(".signet/keys"))).toEqual(["int-1.key", "int-2.key"]);
  expect(await readFile(place.path(".signet/keys/int-2.key"), "utf8")).toMatch(
    /^-----BEGIN ENCRYPTED PRIVATE KEY-----/,
  );
});
