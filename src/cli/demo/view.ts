import { bar, grouped, plain } from "../layout.ts";
import { hanging } from "./hanging.ts";
import {
  type AgentView,
  type AuthorityView,
  type CallsView,
  clockOf,
  minutes,
  ordinal,
  type Scene,
  type SceneEvent,
  type StrangerView,
} from "./scene.ts";

/** The view has this many lines, so that with the cursor below it 24 are enough. */
const viewLines = 23;
const viewColumns = 80;

const rightColumn = 41;

/** Draws the scene as it is at `now`: exactly 23 lines of at most 80 characters, without colour or control characters. */
export function drawView(scene: Scene, now: number): readonly string[] {
  const lines = [
    heading(scene, now),
    "",
    ...authorityLines(scene),
    ` server   pid ${scene.server.pid ?? "-"}   ${scene.server.address}   issued ${scene.issued}, recorded ${scene.recorded}`,
    "",
    columns(` ${agentLine(scene.one)}`, agentLine(scene.two)),
    columns(` ${identityLine(scene.one)}`, identityLine(scene.two)),
    columns(` ${lifeLine(scene.one, now)}`, lifeLine(scene.two, now)),
    "",
    callsLine("--- GET /hello --->", scene.a),
    callsLine("<--- GET /hello ---", scene.b),
    `            ${tlsLine(scene.tls)}`,
    "",
    " strangers at B's door",
    ...scene.strangers.map((stranger) => strangerLine(scene, stranger)),
    "",
    ...eventLines(scene),
  ];
  return lines.map((line) => plain(line).trimEnd().slice(0, viewColumns)).slice(0, viewLines);
}

/** One event, as the view and the pipe show it: ` 00:31  /svc/a   4th identity on disk`; wrapped to `width`. */
export function eventText(scene: Pick<Scene, "startedAt">, event: SceneEvent, width: number): readonly string[] {
  const head = plain(` ${clockOf(scene, event.at)}  ${event.subject.padEnd(9)} `);
  return hanging(head, plain(event.text), width);
}

function heading(scene: Scene, now: number): string {
  const time = `${clockOf(scene, now)} of ${minutes(scene.forSeconds)}`;
  const left = `signet demo   ${time}   trust domain ${scene.trustDomain}`;
  return `${left.padEnd(64)}Ctrl-C ends it`;
}

function authorityLines(scene: Scene): readonly string[] {
  // Two at a time fit; a retired one goes first.
  const shown = scene.authorities.filter(({ state }) => state !== "retired").slice(-2);
  const root = shown[0]?.parent ?? "";
  const lines = shown.map((authority, index) => {
    const head = index === 0 ? ` CA       ${root} > ` : `          ${" ".repeat(root.length)} > `;
    return `${head}${authority.name}  ${stateText(scene, authority)}`;
  });
  return [...lines, "", ""].slice(0, 2);
}

function stateText(scene: Scene, authority: AuthorityView): string {
  switch (authority.state) {
    case "prepared":
      return "prepared: waits until both agents have its CRL";
    case "active": {
      const since = authority.activatedAt === undefined ? "" : ` since ${clockOf(scene, authority.activatedAt)}`;
      return `ACTIVE${since}`;
    }
    case "old":
      return authority.liveLeaves === 1
        ? "old: signs nothing, 1 of its leaves is alive"
        : `old: signs nothing, ${authority.liveLeaves} of its leaves are alive`;
    case "retired":
      return "retired: its key is destroyed";
  }
}

function agentLine({ name, pid }: AgentView): string {
  return `agent ${name}   pid ${pid ?? "-"}`;
}

function identityLine({ identity }: AgentView): string {
  const held =
    identity.number === 0 ? "no identity yet" : `${ordinal(identity.number)} identity, by ${identity.authority}`;
  return `${identity.path.padEnd(11)} ${held}`;
}

function lifeLine({ identity }: AgentView, now: number): string {
  if (identity.number === 0) return bar(0, 1, 12);
  const left = Math.max(0, identity.notAfter - now);
  const text = left === 0 ? "ended" : `${Math.ceil(left / 1000)} s left${now >= identity.renewAt ? ", renewing" : ""}`;
  return `${bar(left, identity.notAfter - identity.obtainedAt, 12)}  ${text}`;
}

function columns(left: string, right: string): string {
  return `${left.slice(0, rightColumn - 1).padEnd(rightColumn)}${right}`;
}

function callsLine(arrow: string, { calls, failed, perSecond }: CallsView): string {
  const numbers = `${grouped(calls).padStart(6)} calls   ${grouped(failed)} failed   ${Math.round(perSecond)} a second`;
  return ` service A  ${arrow}  service B ${numbers}`;
}

function tlsLine(tls: readonly string[]): string {
  if (tls.length === 0) return "no handshake yet";
  const names = tls.map((version) => version.replace("TLSv", "TLS ")).join(" and ");
  return `${names} both ways, each side checked by its SPIFFE ID`;
}

function strangerLine(scene: Scene, { kind, state, detail, at }: StrangerView): string {
  const words = {
    waiting: "has not knocked yet",
    knocking: "knocks",
    refused: "refused",
    "let in": "LET IN",
    untried: "UNTRIED",
  };
  const text = `   ${kind.padEnd(17)} ${words[state].padEnd(7)}  ${plain(detail)}`;
  if (at === undefined) return text.trimEnd();
  return `${text.slice(0, 73).padEnd(74)}${clockOf(scene, at)}`;
}

function eventLines(scene: Scene): readonly string[] {
  const newest = scene.events.slice(-3).reverse();
  // One line each: what does not fit is cut.
  return [...newest.flatMap((event) => eventText(scene, event, Infinity)), "", "", ""].slice(0, 3);
}
