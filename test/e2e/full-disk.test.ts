import { mkdir, writeFile } from "node:fs/promises";
import { expect } from "vitest";
import { fetchText, it, type Place, runProgram, until } from "./place.ts";
import { watchIdentity } from "./watch-identity.ts";

interface Small {
  /** Takes all the room that is left. */
  fill(): Promise<void>;
  empty(): Promise<void>;
}

/** A file system of its own with room for a few sets; undefined where this user may not mount one. */
async function smallDisk(place: Place): Promise<Small | undefined> {
  const path = place.path("small");
  if (process.platform !== "linux" || process.geteuid?.() !== 0) return undefined;
  await mkdir(path);
  const { code } = await runProgram(
    "mount",
    ["-t", "tmpfs", "-o", "size=256k,mode=0755", "signet-test", path],
    place.folder,
  );
  if (code !== 0) return undefined;
  place.atEnd(() => runProgram("umount", [path], "/"));
  const ballast = `${path}/ballast`;
  return {
    fill: async () => {
      // Page by page, to the last one.
      await expect(writeFile(ballast, Buffer.alloc(1024 * 1024))).rejects.toThrow("ENOSPC");
    },
    empty: () => writeFile(ballast, ""),
  };
}

it("a full disk keeps the old set, says so before it asks for what it could not write, and recovers", async ({
  place,
  skip,
}) => {
  const disk = await smallDisk(place);
  if (disk === undefined) return skip("a file system can be mounted by root on Linux only");
  const dir = place.path("small/a");
  const file = await place.write(
    "agent.yaml",
    `data_dir: ${place.path(".signet-agent")}\nidentities:\n  - {spiffe_id: "spiffe://full.test/svc/a", dir: ${dir}}\n`,
  );
  await place.out("init", "--trust-domain", "full.test");
  await place.server();
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", "10s");
  const agent = await place.agent({
    join: await place.out("token", "create", "--agent", "one", "-q"),
    args: ["-c", file],
  });
  const watch = watchIdentity(dir);
  await watch.after(0);
  await disk.fill();
  const before = watch.seen.at(-1);
  const from = agent.lines.length;
  const said = await agent.shown(/"event":"identity not (renewed|written)"/, from);
  expect(said).toMatch(/no space/i);
  const issued = await place.out("cert", "list", "-o", "json");
  const status = await place.out("agent", "status");
  expect(status).toMatch(/write failed: .*no space/i);
  expect(watch.seen.at(-1)).toEqual(before);
  expect((await fetchText(agent.ops, "/metrics")).text).toMatch(
    /^signet_agent_(renewals_total\{result="disk"\}|write_failures_total\{reason="no_space"\}) [1-9]/m,
  );
  // What could not be kept was not asked for again and again.
  await agent.shown(/"event":"identity not (renewed|written)"/, agent.lines.length);
  expect(JSON.parse(await place.out("cert", "list", "-o", "json"))).toHaveLength(
    (JSON.parse(issued) as readonly unknown[]).length,
  );
  const count = watch.seen.length;
  await disk.empty();
  await watch.after(count);
  await until(async () => ((await fetchText(agent.ops, "/readyz")).status === 200 ? true : undefined));
  await watch.stop();
  expect(watch.torn).toEqual([]);
  expect(await place.out("agent", "status")).not.toMatch(/failed/);
});

it("a data directory on a full disk: the agent goes on with what it has, and recovers", async ({ place, skip }) => {
  const disk = await smallDisk(place);
  if (disk === undefined) return skip("a file system can be mounted by root on Linux only");
  await place.out("init", "--trust-domain", "full.test");
  await place.server();
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", "10s");
  const agent = await place.agent({
    dataDir: "small/agent",
    join: await place.out("token", "create", "--agent", "one", "-q"),
  });
  const watch = watchIdentity(place.path("small/agent/identities/svc/a"));
  await watch.after(0);
  await disk.fill();
  const before = watch.seen.at(-1);
  await agent.shown(/"event":"identity not (renewed|written)"/, agent.lines.length);
  expect((await fetchText(agent.ops, "/readyz")).status).toBe(200);
  expect(watch.seen.at(-1)).toEqual(before);
  const count = watch.seen.length;
  await disk.empty();
  await watch.after(count);
  await watch.stop();
  expect(watch.torn).toEqual([]);
  agent.kill("SIGTERM");
  expect((await agent.ended).code).toBe(0);
});
