import { emptyScene, type Scene } from "../../../../src/cli/demo/scene.ts";

export const startedAt = 1_795_000_000_000;
const at = (seconds: number): number => startedAt + seconds * 1000;

/** The scene of notes for people: 34 s in, four seconds after the change of the intermediate. */
export function buildScene(changes: Partial<Scene> = {}): Scene {
  return {
    ...emptyScene({ trustDomain: "demo.signet", forSeconds: 60 }),
    startedAt,
    server: { pid: 41201, address: "127.0.0.1:43121" },
    issued: 11,
    recorded: 11,
    authorities: [
      { name: "int-1", parent: "root-1", state: "old", activatedAt: at(-2), liveLeaves: 5 },
      { name: "int-2", parent: "root-1", state: "active", activatedAt: at(30), liveLeaves: 2 },
    ],
    one: {
      name: "one",
      pid: 41233,
      identity: {
        path: "/svc/a",
        number: 4,
        authority: "int-2",
        obtainedAt: at(31),
        renewAt: at(41),
        notAfter: at(51),
      },
    },
    two: {
      name: "two",
      pid: 41240,
      identity: {
        path: "/svc/b",
        number: 3,
        authority: "int-1",
        obtainedAt: at(23),
        renewAt: at(33),
        notAfter: at(43),
      },
    },
    a: { calls: 412, failed: 0, perSecond: 12.2 },
    b: { calls: 410, failed: 0, perSecond: 11.8 },
    tls: ["TLSv1.3"],
    strangers: [
      { kind: "no certificate", state: "refused", detail: "certificate required", at: at(12) },
      { kind: "foreign CA", state: "refused", detail: "issuer is not in the bundle", at: at(12) },
      { kind: "wrong identity", state: "refused", detail: "/svc/mallory is not on B's list", at: at(13) },
      { kind: "expired", state: "refused", detail: "ended 4 s ago", at: at(16) },
    ],
    events: [
      { at: at(20), subject: "/svc/b", text: "3rd identity on disk; B serves it on every new connection" },
      { at: at(28), subject: "int-2", text: "prepared by the server, under root-1" },
      { at: at(30), subject: "int-2", text: "active; int-1 stays until its last leaf has ended" },
      { at: at(31), subject: "/svc/a", text: "4th identity on disk; A serves it on every new connection" },
    ],
    ...changes,
  };
}
