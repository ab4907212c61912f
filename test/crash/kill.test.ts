// A real process over a real store, killed with SIGKILL while it works: what came through the pipe is known afterwards.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { diskKeys } from "../../src/keys/disk.ts";
import { systemRandom } from "../../src/platform/random.ts";
import { openLevelStore } from "../../src/store/level.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { checkInvariants, type HandedOut } from "./invariants.ts";

const kills = 6;
const child = new URL("kill-child.ts", import.meta.url);

/** Runs one life and kills it `workMs` after it began to work. Resolves to what it handed out. */
async function liveAndDie(dir: string, life: number, workMs: number): Promise<HandedOut> {
  const running = spawn(process.execPath, ["--conditions=signet-source", child.pathname, dir, String(life)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = once(running, "close");
  let complaint = "";
  running.stderr.on("data", (text: Buffer) => {
    complaint += text.toString();
  });
  const handedOut: { serialHex: string; leafDer: Uint8Array }[] = [];
  for await (const line of createInterface({ input: running.stdout })) {
    let message: { readonly ready?: string; readonly serialHex?: string; readonly leaf?: string };
    try {
      message = JSON.parse(line) as typeof message;
    } catch {
      continue; // Cut by the kill: nobody got it.
    }
    if (message.ready !== undefined) setTimeout(() => running.kill("SIGKILL"), workMs);
    else handedOut.push({ serialHex: message.serialHex ?? "", leafDer: Buffer.from(message.leaf ?? "", "base64") });
  }
  const [, signal] = (await closed) as [number | null, string | null];
  expect({ signal, complaint }).toEqual({ signal: "SIGKILL", complaint: "" });
  return handedOut;
}

test(`a server killed ${kills} times by SIGKILL handed out nothing that its store does not know`, async () => {
  const dir = await mkdtemp(join(tmpdir(), "signet-kill-"));
  try {
    const handedOut: { serialHex: string; leafDer: Uint8Array }[] = [];
    let sequences = { bundle: 0n, denied: 0n };
    const lines: string[] = [];
    for (let life = 1; life <= kills; life++) {
      const workMs = 150 + Math.floor(systemRandom.fraction() * 350);
      const given = await liveAndDie(dir, life, workMs);
      expect(given.length).toBeGreaterThan(0);
      handedOut.push(...given);
      const clock = fakeClock(new Date());
      const store = await openLevelStore(join(dir, "store"), { clock });
      try {
        const keys = await diskKeys({ dir: join(dir, "keys"), random: systemRandom, passphrase: undefined });
        sequences = await checkInvariants({ store, keys }, handedOut, sequences);
      } finally {
        await store.close();
      }
      lines.push(
        `life ${life}, killed after ${workMs} ms: ${given.length} handed out, deny-list sequence ${sequences.denied}`,
      );
    }
    expect(new Set(handedOut.map(({ serialHex }) => serialHex)).size).toBe(handedOut.length);
    process.stdout.write(
      `killed ${kills} times, ${handedOut.length} certificates handed out, all recorded:\n${lines.map((line) => `  ${line}\n`).join("")}`,
    );
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
