// What the services say: one JSON object a line on their stdout. The numbers of the demo are theirs.

/** The running numbers of one service, each as seen by itself. */
export interface ServiceStats {
  /** Single attempts, also those that were sent again. */
  readonly calls: number;
  /** Attempts that did not end in 200 from the expected SPIFFE ID. */
  readonly failed: number;
  readonly retried: number;
  /** Full handshakes that this service made as a client. */
  readonly handshakes: number;
  readonly slowestMs: number;
  /** Distinct leaf serials that this service accepted in a handshake. */
  readonly serials: number;
  /** Peers refused, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** TLS versions of accepted handshakes. */
  readonly tls: readonly string[];
}

export type ServiceLine =
  | { readonly event: "listening"; readonly address: string }
  | {
      readonly event: "accepted";
      readonly serialHex: string;
      readonly authorityKeyId: string;
      readonly spiffeId: string;
    }
  | {
      readonly event: "refused";
      readonly reason: string;
      readonly spiffeId: string | undefined;
      readonly detail: string;
    }
  /** Its first call was answered as it should be. */
  | { readonly event: "first_call" }
  | ({ readonly event: "stats" } & ServiceStats)
  /** Anything else that a service wants to tell. */
  | { readonly event: "other"; readonly name: string };

export const noStats: ServiceStats = {
  calls: 0,
  failed: 0,
  retried: 0,
  handshakes: 0,
  slowestMs: 0,
  serials: 0,
  refused: {},
  tls: [],
};

/** Reads one line of a service; undefined when it is not a JSON object with an `event`. */
export function parseServiceLine(line: string): ServiceLine | undefined {
  const value = parseObject(line);
  const event = value?.["event"];
  if (value === undefined || typeof event !== "string") return undefined;
  switch (event) {
    case "listening":
      return { event, address: textOf(value["address"]) };
    case "accepted":
      return {
        event,
        serialHex: textOf(value["serialHex"]),
        authorityKeyId: textOf(value["authorityKeyId"]),
        spiffeId: textOf(value["spiffeId"]),
      };
    case "refused":
      return {
        event,
        reason: textOf(value["reason"]),
        spiffeId: typeof value["spiffeId"] === "string" ? value["spiffeId"] : undefined,
        detail: textOf(value["detail"]),
      };
    case "first_call":
      return { event };
    case "stats":
      return {
        event,
        calls: numberOf(value["calls"]),
        failed: numberOf(value["failed"]),
        retried: numberOf(value["retried"]),
        handshakes: numberOf(value["handshakes"]),
        slowestMs: numberOf(value["slowestMs"]),
        serials: numberOf(value["serials"]),
        refused: countsOf(value["refused"]),
        tls: textsOf(value["tls"]),
      };
    default:
      return { event: "other", name: event };
  }
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : [];
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function countsOf(value: unknown): Readonly<Record<string, number>> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).map(([name, count]) => [name, numberOf(count)]));
}
