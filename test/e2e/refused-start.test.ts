import { chmod, copyFile, readFile, stat, unlink } from "node:fs/promises";
import { createServer } from "node:net";
import { expect } from "vitest";
import { it, type Place } from "./place.ts";
import type { Ending } from "./started.ts";

const free = ["--listen-api", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0"];

/** Starts what must not start; answers code and standard error, which is the error and its cure alone. */
async function refused(
  place: Place,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ending> {
  const started = place.signet(args, { env });
  const wrong = started.shown(/^ready after/).then(
    () => started.kill("SIGKILL"),
    () => undefined,
  );
  const ending = await started.ended;
  await wrong;
  expect(ending.stdout).toBe("");
  expect(ending.stderr).toMatch(/^signet: .+\n(try: .+\n)*$/);
  return ending;
}

it("a data directory is refused to a second process, to the other kind, to an older version and when others may enter", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "start.test");
  const server = await place.server();
  const second = await refused(place, ["server", ...free]);
  expect(second).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/another process \(a server\) uses the store/),
  });

  const joinString = await place.out("token", "create", "--agent", "one", "-q");
  await place.agent({ join: joinString });
  const agents = await refused(place, ["agent", "--listen-ops", "127.0.0.1:0"]);
  expect(agents).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/another agent runs on .*\ntry: signet agent status/),
  });
  const asAgent = await refused(place, ["agent", "--data-dir", ".signet"]);
  expect(asAgent).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/is the data directory of a signet server, not of a signet agent/),
  });
  const asServer = await refused(place, ["server", "--data-dir", ".signet-agent", ...free]);
  expect(asServer).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/is the data directory of a signet agent, not of a signet server/),
  });
  const overwritten = await refused(place, ["init", "--trust-domain", "start.test"]);
  expect(overwritten).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/there is one already, and nothing is overwritten/),
  });

  // All that was refused left the two that run alone.
  expect((await place.run(["healthcheck"])).code).toBe(0);
  expect((await place.run(["agent", "healthcheck"])).code).toBe(0);
  server.kill("SIGKILL");
  await server.ended;

  await chmod(place.path(".signet"), 0o755);
  const open = await refused(place, ["server", ...free]);
  expect(open).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/others may enter .* \(mode 0755\).*\ntry: chmod 700 /),
  });
  await chmod(place.path(".signet"), 0o700);

  const stamp = await readFile(place.path(".signet/signet.json"), "utf8");
  await place.write(".signet/signet.json", stamp.replace(/"version": 1\b/, '"version": 99'));
  const newer = await refused(place, ["server", ...free]);
  expect(newer).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/was written by a newer signet \(layout 99, this one knows up to 1\)/),
  });
  await place.write(".signet/signet.json", stamp);
  await place.server();
});

it.concurrent("a key that is missing, damaged, open to others or another authority's keeps the server from starting", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "start.test");
  const key = place.path(".signet/keys/int-1.key");
  await copyFile(key, place.path("kept"));
  const cases: readonly (readonly [change: () => Promise<unknown>, said: RegExp])[] = [
    [() => chmod(key, 0o640), /int-1\.key can be read by others \(mode 0640\)\ntry: chmod 600 /],
    [
      () => place.write(key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
      /int-1\.key is not a private key/,
    ],
    [() => unlink(key), /there is no key int-1 in /],
    [
      () => copyFile(place.path(".signet/keys/root-1.key"), key),
      /the key int-1 is not that of the certificate of int-1/,
    ],
  ];
  for (const [change, said] of cases) {
    await change();
    expect(await refused(place, ["server", ...free])).toMatchObject({ code: 1, stderr: expect.stringMatching(said) });
    await copyFile(place.path("kept"), key);
    await chmod(key, 0o600);
  }
  await place.server();
  expect((await stat(key)).mode & 0o777).toBe(0o600);
});

it.concurrent("a port in use is named, for each listener, exit 1", async ({ place }) => {
  await place.out("init", "--trust-domain", "start.test");
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const address = other.address();
  const taken = `127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  for (const [api, ops] of [
    [taken, "127.0.0.1:0"],
    ["127.0.0.1:0", taken],
  ] as const) {
    const { code, stderr } = await refused(place, ["server", "--listen-api", api, "--listen-ops", ops]);
    expect(code).toBe(1);
    expect(stderr).toContain(`${taken} is in use by another process`);
  }
  await place.server();
  const joinString = await place.out("token", "create", "--agent", "one", "-q");
  const agent = place.signet(["agent", "--join-file", "-", "--listen-ops", taken], { input: joinString });
  const { code, stderr } = await agent.ended;
  expect(code, stderr).toBe(1);
  expect(stderr).toMatch(/^signet: .*: the address is in use\ntry: signet agent --listen-ops /m);
  await new Promise((resolve) => other.close(resolve));
  // It joined before; with a free port it goes on.
  await place.agent();
});

const serverFiles: readonly (readonly [fault: string, text: string, said: string])[] = [
  ["an unknown key", "lifetime: {agent: 1h}\n", "line 3: lifetime: unknown key, the nearest is lifetimes"],
  ["the other style", "agentGrace: 1h\n", "line 3: agentGrace: this file is snake_case: agent_grace"],
  ["a duration without a unit", "agent_grace: 5\n", 'line 3: agent_grace: "5" has no unit'],
  ["a word in place of a group", "limits: 5\n", "line 3: limits: must be a mapping, got the number 5"],
  ["a list in place of a text", "advertise: [a, b]\n", "line 3: advertise: "],
  ["a key twice", "data_dir: .signet\n", "line 3: data_dir is there twice"],
];
for (const [fault, text, said] of serverFiles) {
  it.concurrent(`server.yaml with ${fault} is refused with its line, exit 2`, async ({ place }) => {
    const file = await place.write("server.yaml", `trust_domain: start.test\ndata_dir: .signet\n${text}`);
    const { code, stderr } = await refused(place, ["server", "-c", file, ...free]);
    expect(code).toBe(2);
    expect(stderr).toContain(`signet: cannot start the server: ${file} ${said}`);
  });
}

it.concurrent("agent.yaml, variables and flags are judged alike, and a file that others may write is refused, exit 2", async ({
  place,
}) => {
  const agentFile = await place.write(
    "agent.yaml",
    "data_dir: a\nidentities:\n  - spiffe_id: spiffe://start.test/svc/a\n    dir: x\n    reload: {signal: HUP}\n",
  );
  const agent = await refused(place, ["agent", "-c", agentFile]);
  expect(agent).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("line 5: identities[0].reload: has a signal but no pid_file"),
  });
  const file = await place.write("server.yaml", "trust_domain: start.test\ndata_dir: .signet\n");
  const unknown = await refused(place, ["server", "-c", file, ...free], { SIGNET_LISTEN_APPI: "x" });
  expect(unknown).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("SIGNET_LISTEN_APPI: the nearest is SIGNET_LISTEN_API"),
  });
  await chmod(file, 0o666);
  const open = await refused(place, ["server", "-c", file, ...free]);
  expect(open).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/can be written by others \(mode 0666\)\ntry: chmod go-w /),
  });
});
