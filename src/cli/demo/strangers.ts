import type { Clock } from "../../platform/clock.ts";
import { foreignIdentity } from "./foreign-ca.ts";
import { endOf, type KnockIdentity, knock } from "./knock.ts";
import type { StrangerKind } from "./scene.ts";
import type { ServiceReports } from "./service.ts";
import type { Stage } from "./stage.ts";
import { until } from "./wait.ts";

/** Rules for which B may refuse a stranger of each kind; the first is the one that fits. */
const reasons: Readonly<Record<StrangerKind, readonly string[]>> = {
  "no certificate": ["no_certificate"],
  "foreign CA": ["issuer_unknown", "bad_chain"],
  "wrong identity": ["id_not_allowed"],
  expired: ["expired"],
};

/** Who knocks, beside the one who has nothing: identities of our own CA that B must not let in. */
export interface Outsiders {
  readonly mallory: KnockIdentity;
  readonly late: KnockIdentity;
}

interface Knocking {
  readonly clock: Clock;
  readonly stage: Stage;
  readonly b: ServiceReports;
  readonly door: { readonly host: string; readonly port: number };
  readonly signal: AbortSignal;
}

const countedWithinMs = 3000;

/** Lets each stranger knock once at B. Resolves when all have; throws only when `signal` aborts. */
export async function letStrangersKnock(
  deps: Knocking,
  options: {
    readonly outsiders: Outsiders;
    readonly trustDomain: string;
    readonly allowedId: string;
    readonly apartMs: number;
  },
): Promise<void> {
  const { clock, signal } = deps;
  const { outsiders, trustDomain } = options;
  const foreign = (): KnockIdentity => foreignIdentity(options.allowedId, { trustDomain, now: clock.now() });
  const visits: readonly (readonly [StrangerKind, () => KnockIdentity | undefined])[] = [
    ["no certificate", () => undefined],
    ["foreign CA", foreign],
    ["wrong identity", () => outsiders.mallory],
    ["expired", () => outsiders.late],
  ];
  for (const [kind, identity] of visits) {
    await clock.sleep(options.apartMs, { signal });
    if (kind === "expired")
      await clock.sleep(Math.max(0, endOf(outsiders.late) + 1500 - clock.now().getTime()), { signal });
    signal.throwIfAborted();
    await visit(deps, kind, identity());
  }
}

/** A rule of B in few words; B's own sentence is in the events. */
function wordsFor(
  reason: string,
  { at, endedAt }: { readonly at: number; readonly endedAt: number },
): string | undefined {
  switch (reason) {
    case "no_certificate":
      return "certificate required";
    case "issuer_unknown":
      return "issuer is not in the bundle";
    case "id_not_allowed":
      return "/svc/mallory is not on B's list";
    case "expired":
      return `ended ${Math.max(1, Math.round((at - endedAt) / 1000))} s ago`;
    default:
      return undefined;
  }
}

async function visit(deps: Knocking, kind: StrangerKind, identity: KnockIdentity | undefined): Promise<void> {
  const { b, clock, stage } = deps;
  const counts = (): number => reasons[kind].reduce((sum, reason) => sum + (b.stats.refused[reason] ?? 0), 0);
  const before = counts();
  const at = clock.now().getTime();
  stage.changeStranger(kind, { state: "knocking" });
  const answer = await knock(deps.door, identity, clock);
  if (answer.bytes > 0) {
    stage.changeStranger(kind, { state: "let in", detail: `got ${answer.bytes} octets of application data`, at });
    stage.tell("stranger", `LET IN: ${kind}`, { kind, ...answer });
    return;
  }
  const counted = await until(() => (counts() > before ? true : undefined), {
    clock,
    signal: deps.signal,
    what: "B's count",
    limitMs: countedWithinMs,
  }).catch(() => false);
  if (!counted) {
    stage.changeStranger(kind, { state: "untried", detail: `no rule of B counted it (${answer.ended})`, at });
    stage.tell("stranger", `${kind}: no rule of B counted it`, { kind, ...answer });
    return;
  }
  const reason = reasons[kind].find((each) => b.detailOf(each) !== undefined) ?? "";
  const detail =
    wordsFor(reason, { at, endedAt: identity === undefined ? at : endOf(identity) }) ?? b.detailOf(reason) ?? "";
  stage.changeStranger(kind, { state: "refused", detail, at });
  stage.tell("stranger", `${kind}: refused, ${detail}`, { kind, reason, ...answer });
}
