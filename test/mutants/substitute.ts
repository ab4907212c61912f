// Loaded by --import in every process of a mutant's run: one source file is read with a snippet replaced. Nothing on disk
// changes, and processes that a test starts read the same.
import { registerHooks } from "node:module";

/** Where the plan of substitution is passed on. */
const planned = process.env["SIGNET_MUTANT"];

if (planned !== undefined) {
  const { url, from, to } = JSON.parse(planned) as { readonly url: string; readonly from: string; readonly to: string };
  registerHooks({
    load(asked, context, next) {
      const loaded = next(asked, context);
      if (asked.split("?")[0] !== url) return loaded;
      const source =
        typeof loaded.source === "string" ? loaded.source : new TextDecoder().decode(loaded.source as Uint8Array);
      const parts = source.split(from);
      if (parts.length !== 2) throw new Error(`the snippet is ${parts.length - 1} times in ${asked}`);
      return { ...loaded, source: parts.join(to) };
    },
  });
}
