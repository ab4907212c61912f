// What the demo sees from outside while the world runs: files, the admin service, the agents' own sockets.
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { AuthorityState } from "../../../proto/gen/signet/v1/admin.ts";
import type { GetAgentStatusResponse } from "../../../proto/gen/signet/v1/node.ts";
import { type IdentityFile, parseIdentityFile } from "../../spiffe/identity-file.ts";
import { withAgent } from "../connect.ts";
import type { Cli } from "../context.ts";
import { allPages } from "../pages.ts";
import { type AuthorityView, ordinal } from "./scene.ts";
import type { Stage } from "./stage.ts";
import type { Outcome } from "./summary.ts";
import { repeat } from "./wait.ts";
import type { World } from "./world.ts";

interface Watching {
  readonly cli: Cli;
  readonly stage: Stage;
  readonly signal: AbortSignal;
}

const filesEveryMs = 150;

/** Tells of each identity that an agent puts on disk. */
export function watchIdentity(
  { cli, stage, signal }: Watching,
  agent: "one" | "two",
  options: { readonly dir: string; readonly service: string },
): Promise<void> {
  let held = "";
  const look = async (): Promise<void> => {
    const file = await identityIn(options.dir);
    if (file === undefined || file.serialHex === held) return;
    held = file.serialHex;
    const { identity } = stage.scene[agent];
    const number = identity.number + 1;
    stage.changeIdentity(agent, {
      number,
      authority: file.authority,
      obtainedAt: file.obtainedAt.getTime(),
      renewAt: file.renewAt.getTime(),
      notAfter: file.notAfter.getTime(),
    });
    const more = number === 1 ? `, by ${file.authority}` : `; ${options.service} serves it on every new connection`;
    stage.tell(identity.path, `${ordinal(number)} identity on disk${more}`, {
      serialHex: file.serialHex,
      authority: file.authority,
    });
  };
  return repeat(look, { clock: cli.clock, signal, everyMs: filesEveryMs });
}

async function identityIn(dir: string): Promise<IdentityFile | undefined> {
  try {
    return parseIdentityFile(await readFile(join(dir, "identity.json"), "utf8"));
  } catch {
    // Not there yet.
    return undefined;
  }
}

/** Serials that were seen outside the server, and which of them its store knows. */
export class Ledger {
  readonly #seen = new Set<string>();
  readonly #known = new Set<string>();
  #own = 0;
  #stored = 0;

  see(serialHex: string): void {
    if (serialHex !== "") this.#seen.add(serialHex);
  }

  get counts(): Outcome["recorded"] {
    return { seen: this.#seen.size, known: this.#known.size, own: this.#own, stored: this.#stored };
  }

  /** Asks the server for the record of each serial that it was not asked for yet, and for those of itself. */
  async check(admin: World["admin"]): Promise<void> {
    await admin("cannot look up certificates", async (peer) => {
      for (const serialHex of this.#seen) {
        if (this.#known.has(serialHex)) continue;
        const { certificate } = await peer.call("getCertificate", { serialHex }).catch(notFoundAsNone);
        if (certificate !== undefined) this.#known.add(serialHex);
      }
      const own = await allPages(async (page) => {
        const query = { spiffeId: "/signet/server", authority: "", live: false, ...page };
        const { certificates, nextPageToken } = await peer.call("listCertificates", query);
        return { items: certificates, next: nextPageToken };
      });
      this.#own = own.length;
      this.#stored = Number((await peer.call("getStatus", {})).certificatesStored);
    });
  }
}

function notFoundAsNone(error: unknown): { readonly certificate: undefined } {
  if (error instanceof Error && "code" in error && error.code === "not_found") return { certificate: undefined };
  throw error;
}

/** Lets the ledger see what is on disk, what peers accepted, and what the agents hold for themselves. */
export async function fillLedger(
  cli: Cli,
  ledger: Ledger,
  options: { readonly world: World; readonly identityDirs: readonly string[] },
): Promise<void> {
  const { world } = options;
  for (const service of [world.a, world.b]) for (const serialHex of service.reports.serials) ledger.see(serialHex);
  for (const dir of options.identityDirs) ledger.see((await identityIn(dir))?.serialHex ?? "");
  for (const dataDir of world.agentDirs) {
    const status = await askAgent(cli, dataDir);
    ledger.see(status.agentSerialHex);
    for (const { report } of status.identities) ledger.see(report?.serialHex ?? "");
  }
}

/** What an agent says of itself over its own socket. */
export function askAgent(cli: Cli, dataDir: string): Promise<GetAgentStatusResponse> {
  const quiet = { ...cli, shared: { dataDir }, print: { ...cli.print, quiet: true } };
  return withAgent(quiet, "cannot ask an agent", (peer) => peer.call("getAgentStatus", {}));
}

/** The intermediates, as the admin service lists them. */
export async function readAuthorities(admin: World["admin"]): Promise<readonly AuthorityView[]> {
  const { authorities } = await admin("cannot list the authorities", (peer) => peer.call("listAuthorities", {}));
  return authorities
    .filter(({ kind }) => kind === "intermediate")
    .map(({ name, parent, state, activatedAt, liveLeaves }) => ({
      name,
      parent,
      state: stateOf(state),
      activatedAt: activatedAt?.getTime(),
      liveLeaves: Number(liveLeaves),
    }));
}

function stateOf(state: AuthorityState): AuthorityView["state"] {
  if (state === AuthorityState.AUTHORITY_STATE_PREPARED) return "prepared";
  if (state === AuthorityState.AUTHORITY_STATE_ACTIVE) return "active";
  return state === AuthorityState.AUTHORITY_STATE_RETIRED ? "retired" : "old";
}
