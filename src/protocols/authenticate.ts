// Who calls: the certificate that TLS asked for and did not demand, judged by our own validator once a session, and on
// every call by the clock, the deny list and the record of its serial.
import type { TrustState, TrustView } from "../authority/trust-state.ts";
import { type Caller, callerOf } from "../issuing/caller.ts";
import type { Clock } from "../platform/clock.ts";
import { storeFailure } from "../registry/committed.ts";
import { recordedCertificate } from "../registry/joining.ts";
import { type DenyList, isDenied } from "../spiffe/deny.ts";
import { judgeSvid, type SvidVerdict } from "../spiffe/svid.ts";
import type { Store } from "../store/store.ts";
import { sameOctets } from "../x509/der.ts";

/** One TLS session, as the listener knows it; the verdict on its certificate is kept with it. */
export interface Session {
  /** host:port of the peer. */
  readonly address: string;
  /** Leaf that the peer proved to hold the key of; undefined when OpenSSL did not authorize the socket. */
  readonly leafDer: Uint8Array | undefined;
  verdict?: { readonly on: TrustView; readonly deniedSequence: bigint; readonly result: SvidVerdict };
}

export interface AuthenticateDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly state: TrustState;
  /** The deny list after the last change that was announced. */
  readonly denied: () => Promise<DenyList>;
}

/** The caller of a session now. Never throws for a certificate: what is not proven is anonymous. */
export async function authenticate(deps: AuthenticateDeps, session: Session): Promise<Caller> {
  if (session.leafDer === undefined) return { kind: "anonymous" };
  const denied = await fromStore(deps.denied());
  const view = deps.state.view();
  const now = deps.clock.now();
  let { verdict } = session;
  if (verdict?.on !== view || verdict.deniedSequence !== denied.sequence || !verdict.result.ok) {
    const result = stillHolds(verdict?.result, view, denied) ?? judge(view, session.leafDer, now, denied);
    verdict = { on: view, deniedSequence: denied.sequence, result };
    session.verdict = verdict;
  }
  const { result } = verdict;
  if (!result.ok || result.path.some((each) => now > each.notAfter || now < each.notBefore))
    return { kind: "anonymous" };
  const issuer = view.authorities.find(({ record }) => record.keyId === result.leaf.authorityKeyId);
  if (issuer === undefined) return { kind: "anonymous" };
  const record = await fromStore(recordedCertificate(deps.store, result.leaf.serialHex, issuer.record.name));
  return record !== undefined ? callerOf(result.id, result.leaf) : { kind: "anonymous" };
}

/**
 * A path that was found once holds as long as its root is in the bundle, no authority on it was revoked, and nothing on it
 * is denied: after each change of trust that is asked for every open stream, and needs no signature. undefined: judge anew.
 */
function stillHolds(result: SvidVerdict | undefined, view: TrustView, denied: DenyList): SvidVerdict | undefined {
  if (result?.ok !== true) return undefined;
  const root = result.path.at(-1);
  const isTrusted = root !== undefined && view.bundle.roots.some(({ raw }) => sameOctets(raw, root.raw));
  const isSigned = result.path
    .slice(1, -1)
    .every((each) =>
      view.authorities.some(
        ({ record, certificate }) => record.state !== "revoked" && sameOctets(certificate.raw, each.raw),
      ),
    );
  return isTrusted && isSigned && !result.path.some((each) => isDenied(denied, each)) ? result : undefined;
}

/** When the certificate of a session that was found good ends, or the first of those above it. */
export function endOfSession(session: Session): Date {
  const path = session.verdict?.result.ok === true ? session.verdict.result.path : [];
  return new Date(Math.min(...path.map(({ notAfter }) => notAfter.getTime())));
}

function judge(view: TrustView, leafDer: Uint8Array, now: Date, denied: DenyList): SvidVerdict {
  const intermediates = view.authorities
    .filter(({ record }) => record.kind === "intermediate" && record.state !== "revoked")
    .map(({ certificate }) => certificate.raw);
  return judgeSvid([leafDer, ...intermediates], { bundle: view.bundle, at: now, purpose: "client", denied });
}

async function fromStore<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    throw storeFailure(error);
  }
}

/** Whether the certificate of a session would be good, had it not been revoked. */
export function isRevokedSession({ verdict }: Session): boolean {
  return verdict?.result.ok === false && verdict.result.reason === "revoked";
}
