// Opening the store for a server: with its mark, and with words for who has to help.
import type { Clock } from "../platform/clock.ts";
import type { DataDir } from "../platform/data-dir.ts";
import { shellWord } from "../platform/shell-word.ts";
import { openLevelStore } from "../store/level.ts";
import type { LevelEvent } from "../store/level-store.ts";
import { type Store, StoreError } from "../store/store.ts";
import { storeMarkName } from "./init.ts";

/** A store that cannot be served. The message says what and where; `cure` is a command. */
class StoreUnusable extends Error {
  override readonly name = "StoreUnusable";
  readonly cure: string;
  constructor(message: string, cure: string, options?: ErrorOptions) {
    super(message, options);
    this.cure = cure;
  }
}

/** Opens the store of a data directory. Throws StoreUnusable when it is damaged, StoreError when it cannot be opened now. */
export async function openStore(
  dataDir: DataDir,
  options: {
    readonly clock: Clock;
    readonly mark: string | undefined;
    readonly acceptMark?: boolean;
    readonly onEvent: (event: LevelEvent) => void;
  },
): Promise<Store> {
  const { clock, onEvent, acceptMark = false } = options;
  try {
    return await openLevelStore(dataDir.file("store"), {
      clock,
      onEvent,
      acceptMark,
      mark: markOf(dataDir, options.mark),
    });
  } catch (error) {
    throw withCure(error, dataDir);
  }
}

/** The file of the continuity mark. */
function markOf(dataDir: Pick<DataDir, "file">, configured: string | undefined): string {
  return configured ?? dataDir.file(storeMarkName);
}

/** The error with what helps, where the store is damaged; any other as it is. */
export function withCure(error: unknown, dataDir: Pick<DataDir, "path">): unknown {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (!(each instanceof StoreError) || each.code !== "damaged") continue;
    const message = each === error ? each.message : `${each.message} (in ${dataDir.path}/store)`;
    return new StoreUnusable(message, doctorCommand(dataDir), { cause: error });
  }
  return error;
}

/** The command that says more about a store. */
function doctorCommand({ path }: Pick<DataDir, "path">): string {
  return `signet doctor --store --data-dir ${shellWord(path)}`;
}
