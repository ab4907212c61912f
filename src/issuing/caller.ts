// Who asks. A Caller is made by a protocol's authenticate.ts from what its transport proved, and nowhere else.
import type { SpiffeId } from "../spiffe/id.ts";
import { kindOf } from "../spiffe/kind.ts";
import type { Certificate } from "../x509/certificate.ts";

export type Caller =
  /** An agent that presented its certificate, found by our own validator. */
  | { readonly kind: "agent"; readonly id: SpiffeId; readonly serialHex: string; readonly authorityKeyId: string }
  /** A device that presented its certificate (LDevID). */
  | { readonly kind: "device"; readonly id: SpiffeId; readonly serialHex: string; readonly authorityKeyId: string }
  /** A node or device that proved who it is, not by a certificate that lives. */
  | { readonly kind: "attested"; readonly id: SpiffeId; readonly by: "join_string" | "recover" | "x509pop" }
  /** A workload that presented its certificate; it may ask for nothing here. */
  | { readonly kind: "workload"; readonly id: SpiffeId; readonly serialHex: string; readonly authorityKeyId: string }
  | { readonly kind: "anonymous" }
  /** The server, for its own certificate; built in server/ only. */
  | { readonly kind: "server"; readonly id: SpiffeId };

/** The caller that a verified leaf stands for. `id` is what judgeSvid found in it. */
export function callerOf(id: SpiffeId, leaf: Pick<Certificate, "serialHex" | "authorityKeyId">): Caller {
  const kind = kindOf(id);
  const presented = { id, serialHex: leaf.serialHex, authorityKeyId: leaf.authorityKeyId ?? "" };
  if (kind === "agent") return { kind: "agent", ...presented };
  if (kind === "device") return { kind: "device", ...presented };
  if (kind === "workload") return { kind: "workload", ...presented };
  return { kind: "anonymous" };
}

/** How records and queues name a caller. */
export function callerName(caller: Caller): string {
  switch (caller.kind) {
    case "anonymous":
      return "anonymous";
    case "server":
      return "server";
    case "agent":
    case "device":
    case "attested":
    case "workload":
      return caller.id;
  }
}
