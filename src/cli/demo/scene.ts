// What the demo shows, as one value. Times are milliseconds of the wall clock; nothing here reads it.

export interface AuthorityView {
  readonly name: string;
  readonly parent: string;
  readonly state: "prepared" | "active" | "old" | "retired";
  readonly activatedAt: number | undefined;
  readonly liveLeaves: number;
}

/** The identity that an agent keeps on disk. */
export interface IdentityView {
  readonly path: string;
  /** Counts the certificates seen on disk, from 1; 0 before the first. */
  readonly number: number;
  readonly authority: string;
  readonly obtainedAt: number;
  readonly renewAt: number;
  readonly notAfter: number;
}

export interface AgentView {
  readonly name: string;
  readonly pid: number | undefined;
  readonly identity: IdentityView;
}

export interface CallsView {
  readonly calls: number;
  readonly failed: number;
  readonly perSecond: number;
}

export const strangerKinds = ["no certificate", "foreign CA", "wrong identity", "expired"] as const;
export type StrangerKind = (typeof strangerKinds)[number];

/** `let in`: it got application data; `untried`: it could not knock, or B gave no reason. */
export interface StrangerView {
  readonly kind: StrangerKind;
  readonly state: "waiting" | "knocking" | "refused" | "let in" | "untried";
  readonly detail: string;
  readonly at: number | undefined;
}

export interface SceneEvent {
  readonly at: number;
  readonly subject: string;
  readonly text: string;
}

export interface Scene {
  readonly trustDomain: string;
  readonly forSeconds: number;
  /** Moment of the first successful call; undefined before it. */
  readonly startedAt: number | undefined;
  readonly server: { readonly pid: number | undefined; readonly address: string };
  /** Certificates that were seen outside the server, and how many of those its store knows. */
  readonly issued: number;
  readonly recorded: number;
  readonly authorities: readonly AuthorityView[];
  readonly one: AgentView;
  readonly two: AgentView;
  readonly a: CallsView;
  readonly b: CallsView;
  /** TLS versions of all accepted handshakes. */
  readonly tls: readonly string[];
  readonly strangers: readonly StrangerView[];
  /** Oldest first. */
  readonly events: readonly SceneEvent[];
}

/** A scene in which nothing has happened yet. */
export function emptyScene(options: { readonly trustDomain: string; readonly forSeconds: number }): Scene {
  const agent = (name: string, path: string): AgentView => ({
    name,
    pid: undefined,
    identity: { path, number: 0, authority: "", obtainedAt: 0, renewAt: 0, notAfter: 0 },
  });
  const noCalls: CallsView = { calls: 0, failed: 0, perSecond: 0 };
  return {
    ...options,
    startedAt: undefined,
    server: { pid: undefined, address: "" },
    issued: 0,
    recorded: 0,
    authorities: [],
    one: agent("one", "/svc/a"),
    two: agent("two", "/svc/b"),
    a: noCalls,
    b: noCalls,
    tls: [],
    strangers: strangerKinds.map((kind) => ({ kind, state: "waiting", detail: "", at: undefined })),
    events: [],
  };
}

/** `00:34`: minutes and seconds since the first successful call; before it `00:00`. */
export function clockOf(scene: Pick<Scene, "startedAt">, at: number): string {
  return minutes(scene.startedAt === undefined ? 0 : (at - scene.startedAt) / 1000);
}

/** Seconds as `MM:SS`, down to the whole second. */
export function minutes(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return `${String(Math.floor(whole / 60)).padStart(2, "0")}:${String(whole % 60).padStart(2, "0")}`;
}

/** `1st`, `2nd`, `3rd`, `4th`, `11th`, `21st`. */
export function ordinal(number: number): string {
  const tens = number % 100;
  const ending = tens >= 11 && tens <= 13 ? "th" : (["th", "st", "nd", "rd"][number % 10] ?? "th");
  return `${number}${ending}`;
}
