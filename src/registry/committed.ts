import { type CommitResult, type Op, type Store, StoreError } from "../store/store.ts";
import { CaError } from "./ca-error.ts";

/**
 * Commits and turns what the store answers into the nouns' own words. Resolves to the result of a commit that was
 * decided (done, or a condition failed). Throws CaError "unavailable" (nothing stored) and "in_doubt" (nobody knows).
 */
export async function commit(store: Pick<Store, "commit">, ops: readonly Op[]): Promise<CommitResult> {
  try {
    return await store.commit(ops);
  } catch (error) {
    throw storeFailure(error);
  }
}

/** The nouns' word for what the store threw; anything else stays what it is. */
export function storeFailure(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error;
  switch (error.code) {
    case "in_doubt":
      return new CaError("in_doubt", "the store did not say whether it kept this", { retry: "later", cause: error });
    case "unavailable":
    case "closed":
      return new CaError("unavailable", "the store takes no writes now", { retry: "later", cause: error });
    case "overloaded":
      return new CaError("unavailable", "more work is waiting than the store can take", {
        retry: "later",
        cause: error,
      });
    case "damaged":
    case "wrong_use":
      return new CaError("internal", "the store holds something that cannot be used", { retry: "never", cause: error });
  }
}
