// Where the files of each identity go, who owns them, and who is told.
import { isAbsolute, join, resolve } from "node:path";
import { ConfigError } from "../../src/platform/settings.ts";
import { pathOf, type SpiffeId } from "../../src/spiffe/id.ts";
import { DirectoryError } from "./directory-error.ts";
import type { DirectoryTarget } from "./files.ts";
import { setNames } from "./identity-set.ts";
import type { ReloadAction } from "./reload.ts";
import type { Writer } from "./safe-directory.ts";

/** One item of `identities` of the configuration. */
export interface PlaceSetting {
  readonly spiffeId: SpiffeId;
  readonly dir: string;
  /** Names or numbers. */
  readonly owner: string | undefined;
  readonly group: string | undefined;
  readonly keyMode: number | undefined;
  /** Renew with the same key (pinned public keys). */
  readonly keepKey: boolean;
  readonly reload:
    | { readonly kind: "command"; readonly command: readonly string[]; readonly deadlineMs: number }
    | {
        readonly kind: "signal";
        readonly signal: NodeJS.Signals;
        readonly pidFile: string;
        readonly user: string | undefined;
      }
    | undefined;
}

/** Numbers of users and groups by name; undefined for an unknown one. */
export interface Accounts {
  /** User and its primary group. */
  user(name: string): Promise<{ readonly uid: number; readonly gid: number } | undefined>;
  group(name: string): Promise<number | undefined>;
}

export interface Place {
  readonly target: DirectoryTarget;
  readonly keepKey: boolean;
  readonly reload: ReloadAction | undefined;
}

export interface Places {
  /** The directory of an identity; undefined when its files go nowhere. */
  directoryOf(id: SpiffeId): string | undefined;
  /** Throws DirectoryError when the place cannot be used. */
  placeOf(id: SpiffeId): Place;
  wanted(id: SpiffeId): boolean;
  /** Identities that the configuration names. */
  readonly listed: readonly SpiffeId[];
  /** Root of the default places. */
  readonly root: string;
}

/**
 * Settles all places. Without settings every identity goes below `root`, by the path of its ID; with them only those that
 * they name, where they say. Throws ConfigError for unknown users and two identities in one directory.
 */
export async function settlePlaces(
  settings: readonly PlaceSetting[],
  { root, writer, accounts }: { readonly root: string; readonly writer: Writer; readonly accounts: Accounts },
): Promise<Places> {
  const settled = new Map<SpiffeId, Place>();
  const taken = new Set<string>();
  for (const setting of settings) {
    const place = await settle(setting, writer, accounts);
    if (taken.has(place.target.path)) throw new ConfigError(`two identities have the directory ${place.target.path}`);
    if (settled.has(setting.spiffeId)) throw new ConfigError(`${setting.spiffeId} stands twice in identities`);
    taken.add(place.target.path);
    settled.set(setting.spiffeId, place);
  }
  const everything = settings.length === 0;
  return {
    root,
    listed: [...settled.keys()],
    wanted: (id) => everything || settled.has(id),
    directoryOf: (id) => settled.get(id)?.target.path ?? (everything ? defaultDirectory(root, id) : undefined),
    placeOf(id) {
      const place = settled.get(id);
      if (place !== undefined) return place;
      refuseReserved(id);
      const target: DirectoryTarget = { path: defaultDirectory(root, id), writer, keyMode: 0o600 };
      return { target, keepKey: false, reload: undefined };
    },
  };
}

function defaultDirectory(root: string, id: SpiffeId): string {
  return join(root, pathOf(id));
}

/** Identities stand below each other (/svc/a and /svc/a/b), so a segment must not be the name of a file in a set. */
function refuseReserved(id: SpiffeId): void {
  const names: readonly string[] = setNames;
  const bad = pathOf(id)
    .split("/")
    .find((segment) => segment.startsWith("..") || names.includes(segment) || segment === "tls.ocsp");
  if (bad !== undefined) {
    throw new DirectoryError(
      "foreign",
      `${id} needs a directory of its own in agent.yaml: ${bad} is the name of a file there`,
    );
  }
}

async function settle(setting: PlaceSetting, writer: Writer, accounts: Accounts): Promise<Place> {
  const { spiffeId, owner, group } = setting;
  const path = isAbsolute(setting.dir) ? resolve(setting.dir) : resolve(process.cwd(), setting.dir);
  const user = owner === undefined ? undefined : await userOf(accounts, owner, spiffeId);
  const gid = group === undefined ? user?.gid : await groupOf(accounts, group, spiffeId);
  const owned =
    user !== undefined || gid !== undefined ? { uid: user?.uid ?? writer.uid, gid: gid ?? writer.gid } : undefined;
  return {
    target: { path, writer, owner: owned, keyMode: setting.keyMode ?? 0o600 },
    keepKey: setting.keepKey,
    reload: await reloadAction(setting, owned?.uid ?? writer.uid, accounts),
  };
}

async function reloadAction(
  { reload, spiffeId }: PlaceSetting,
  ownerUid: number,
  accounts: Accounts,
): Promise<ReloadAction | undefined> {
  if (reload === undefined || reload.kind === "command") return reload;
  const processUid = reload.user === undefined ? ownerUid : (await userOf(accounts, reload.user, spiffeId)).uid;
  return { kind: "signal", signal: reload.signal, pidFile: reload.pidFile, ownerUid, processUid };
}

async function userOf(
  accounts: Accounts,
  name: string,
  id: SpiffeId,
): Promise<{ readonly uid: number; readonly gid: number }> {
  const user = await accounts.user(name);
  if (user === undefined)
    throw new ConfigError(`identities of agent.yaml, ${id}: there is no user ${JSON.stringify(name)}`);
  return user;
}

async function groupOf(accounts: Accounts, name: string, id: SpiffeId): Promise<number> {
  const gid = await accounts.group(name);
  if (gid === undefined)
    throw new ConfigError(`identities of agent.yaml, ${id}: there is no group ${JSON.stringify(name)}`);
  return gid;
}
