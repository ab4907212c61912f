import { CaError } from "../../registry/ca-error.ts";
import type { Denial } from "./decide.ts";

/** A denial as the error that protocols map. */
export function denied(denial: Denial): CaError {
  const { rule, detail, value, limit, cure } = denial;
  return new CaError("denied", detail, {
    rule,
    value,
    // An authority that waits for its activation is soon there.
    retry: rule === "no_authority" ? "later" : "never",
    ...(limit === undefined ? {} : { limit }),
    ...(cure === undefined ? {} : { cure }),
  });
}
