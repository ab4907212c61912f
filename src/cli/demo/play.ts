// What happens once traffic flows: services call each other, strangers knock, half way the intermediate changes.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { RotateStep } from "../../../proto/gen/signet/v1/admin.ts";
import { clockOf } from "./scene.ts";
import { letStrangersKnock } from "./strangers.ts";
import { repeat, until } from "./wait.ts";
import { fillLedger, type Ledger, readAuthorities } from "./watch.ts";
import { type Builder, idOf, trustDomain, type World } from "./world.ts";

/** The change of the intermediate, as far as it went. */
export interface Moved {
  readonly from: string;
  readonly to: string;
  readonly at: string;
}

const firstCallWithinMs = 20_000;
/** What is begun near the end may take this much longer than the time that was asked for. */
const extraMs = 15_000;
const slowLookEveryMs = 1000;
const callsEveryMs = 200;

/**
 * Plays the whole time, from the first successful call on. Resolves when the time is over, every stranger has knocked and
 * the intermediate has changed. Throws with one sentence when one of them did not come to its end, or when `signal` aborts.
 */
export async function play(
  builder: Builder,
  world: World,
  options: { readonly forSeconds: number; readonly ledger: Ledger; readonly onMoved: (moved: Moved) => void },
): Promise<void> {
  const { cli, stage, signal } = builder;
  const { clock } = cli;
  const { a, b } = world;
  const startedAt = await until(() => a.reports.firstCallAt ?? b.reports.firstCallAt, {
    clock,
    signal,
    what: "no call was answered",
    limitMs: firstCallWithinMs,
  });
  stage.change({ startedAt });
  stage.tell("calls", "the first one was answered: now A and B call each other");
  await writeEndpoints(builder, world);

  const forMs = options.forSeconds * 1000;
  const done = new AbortController();
  const playing = AbortSignal.any([signal, done.signal]);
  const watching = watchWorld({ ...builder, signal: playing }, world, options.ledger);
  const acts = Promise.all([
    clock.sleep(forMs, { signal: playing }),
    letStrangersKnock(
      { clock, stage, b: b.reports, door: parseAddress(b.address), signal: playing },
      { outsiders: world.outsiders, trustDomain, allowedId: idOf("/svc/a"), apartMs: Math.min(2000, forMs / 10) },
    ),
    clock
      .sleep(forMs / 2, { signal: playing })
      .then(() => rotate({ ...builder, signal: playing }, world, options.onMoved)),
  ]);
  const late = clock.sleep(forMs + extraMs, { signal: playing }).then(() => {
    if (!playing.aborted) throw new Error(`the demo did not come to its end within ${(forMs + extraMs) / 1000} s`);
  });
  try {
    await Promise.race([acts, late, watching]);
    signal.throwIfAborted();
  } finally {
    done.abort();
    await Promise.allSettled([acts, late, watching]);
  }
}

/** Keeps the picture true until `signal` aborts. */
async function watchWorld(builder: Builder, world: World, ledger: Ledger): Promise<void> {
  const { cli, stage, signal } = builder;
  const calls = (): void => {
    for (const name of ["a", "b"] as const) {
      const { stats, perSecond } = world[name].reports;
      stage.changeCalls(name, { calls: stats.calls, failed: stats.failed, perSecond });
    }
    stage.change({ tls: [...new Set([world.a, world.b].flatMap(({ reports }) => reports.stats.tls))] });
  };
  const look = async (): Promise<void> => {
    try {
      stage.change({ authorities: await readAuthorities(world.admin) });
      await fillLedger(cli, ledger, { world, identityDirs: world.identityDirs });
      await ledger.check(world.admin);
    } catch (error) {
      // At the end the world goes while we look.
      if (!signal.aborted) throw error;
    }
    const { seen, known } = ledger.counts;
    stage.change({ issued: seen, recorded: known });
  };
  await Promise.all([
    repeat(calls, { clock: cli.clock, signal, everyMs: callsEveryMs }),
    repeat(look, { clock: cli.clock, signal, everyMs: slowLookEveryMs }),
  ]);
}

async function rotate({ stage, signal }: Builder, world: World, onMoved: (moved: Moved) => void): Promise<void> {
  signal.throwIfAborted();
  const request = { rootKeyPem: Buffer.alloc(0), watch: false, reason: "demo: half way", keyType: "", serves: "" };
  let activated = false;
  await world.admin("cannot change the intermediate", async (peer) => {
    for await (const { step, authority, previous, waitingFor } of peer.stream("rotateAuthority", request, signal)) {
      const name = authority?.name ?? "";
      if (step === RotateStep.ROTATE_STEP_PREPARED) {
        stage.tell(name, `prepared by the server, under ${authority?.parent ?? "its root"}`);
      }
      if (step === RotateStep.ROTATE_STEP_ACTIVATED && !activated) {
        activated = true;
        const from = previous?.name ?? "";
        const without = waitingFor.length === 0 ? "" : `, without ${waitingFor.join(", ")}`;
        stage.tell(name, `active${without}; ${from} stays until its last leaf has ended`);
        onMoved({ from, to: name, at: clockOf(stage.scene, authority?.activatedAt?.getTime() ?? 0) });
      }
    }
  });
  signal.throwIfAborted();
  if (!activated) throw new Error("the server ended the change of the intermediate without activating one");
}

async function writeEndpoints({ folders }: Builder, world: World): Promise<void> {
  const endpoints = { server: world.api, a: world.a.address, b: world.b.address };
  await writeFile(join(folders.kept, "endpoints.json"), `${JSON.stringify(endpoints, undefined, 2)}\n`, {
    mode: 0o600,
  });
}

function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(address.slice(colon + 1)) };
}
