// The judge of each kind of row. A kind that is not here is skipped, and named.

import type { Judge } from "../table.ts";
import { judge as judgeBundle } from "./bundle.ts";
import { judge as judgeChain } from "./chain.ts";
import { judge as judgeConfig } from "./config.ts";
import { judge as judgeCsr } from "./csr.ts";
import { judge as judgeSpiffeIds } from "./spiffe-id.ts";

// Each judge names the fields of its own rows, which the table leaves open.
export const judges: ReadonlyMap<string, Judge> = new Map<string, Judge>([
  ["csr", judgeCsr],
  ["chain", judgeChain as unknown as Judge],
  ["spiffe-id-table", judgeSpiffeIds as unknown as Judge],
  ["bundle", judgeBundle as unknown as Judge],
  ["config", judgeConfig as unknown as Judge],
]);
