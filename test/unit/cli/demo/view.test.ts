import { expect, it } from "vitest";
import { emptyScene, ordinal } from "../../../../src/cli/demo/scene.ts";
import { drawView, eventText } from "../../../../src/cli/demo/view.ts";
import { buildScene, startedAt } from "./build-scene.ts";

it("drawView() shows the whole world of the demo on 80 columns", () => {
  expect(drawView(buildScene(), startedAt + 34_000).join("\n")).toMatchInlineSnapshot(`
    "signet demo   00:34 of 01:00   trust domain demo.signet         Ctrl-C ends it

     CA       root-1 > int-1  old: signs nothing, 5 of its leaves are alive
                     > int-2  ACTIVE since 00:30
     server   pid 41201   127.0.0.1:43121   issued 11, recorded 11

     agent one   pid 41233                   agent two   pid 41240
     /svc/a      4th identity, by int-2      /svc/b      3rd identity, by int-1
     [##########..]  17 s left               [#####.......]  9 s left, renewing

     service A  --- GET /hello --->  service B    412 calls   0 failed   12 a second
     service A  <--- GET /hello ---  service B    410 calls   0 failed   12 a second
                TLS 1.3 both ways, each side checked by its SPIFFE ID

     strangers at B's door
       no certificate    refused  certificate required                        00:12
       foreign CA        refused  issuer is not in the bundle                 00:12
       wrong identity    refused  /svc/mallory is not on B's list             00:13
       expired           refused  ended 4 s ago                               00:16

     00:31  /svc/a    4th identity on disk; A serves it on every new connection
     00:30  int-2     active; int-1 stays until its last leaf has ended
     00:28  int-2     prepared by the server, under root-1"
  `);
});

it("drawView() before anything has happened", () => {
  expect(
    drawView(emptyScene({ trustDomain: "demo.signet", forSeconds: 90 }), startedAt).join("\n"),
  ).toMatchInlineSnapshot(`
    "signet demo   00:00 of 01:30   trust domain demo.signet         Ctrl-C ends it



     server   pid -      issued 0, recorded 0

     agent one   pid -                       agent two   pid -
     /svc/a      no identity yet             /svc/b      no identity yet
     [............]                          [............]

     service A  --- GET /hello --->  service B      0 calls   0 failed   0 a second
     service A  <--- GET /hello ---  service B      0 calls   0 failed   0 a second
                no handshake yet

     strangers at B's door
       no certificate    has not knocked yet
       foreign CA        has not knocked yet
       wrong identity    has not knocked yet
       expired           has not knocked yet



    "
  `);
});

it("drawView() names a stranger that was let in, one that could not be tried, and an identity that has ended", () => {
  const scene = buildScene({
    strangers: [
      { kind: "no certificate", state: "let in", detail: "got 27 bytes", at: startedAt + 2_000 },
      { kind: "foreign CA", state: "untried", detail: "B gave no reason within 3 s", at: startedAt + 3_000 },
      { kind: "wrong identity", state: "knocking", detail: "", at: undefined },
      { kind: "expired", state: "waiting", detail: "", at: undefined },
    ],
  });
  expect(
    drawView(scene, startedAt + 52_000)
      .slice(7, 20)
      .join("\n"),
  ).toMatchInlineSnapshot(`
    " /svc/a      4th identity, by int-2      /svc/b      3rd identity, by int-1
     [............]  ended                   [............]  ended

     service A  --- GET /hello --->  service B    412 calls   0 failed   12 a second
     service A  <--- GET /hello ---  service B    410 calls   0 failed   12 a second
                TLS 1.3 both ways, each side checked by its SPIFFE ID

     strangers at B's door
       no certificate    LET IN   got 27 bytes                                00:02
       foreign CA        UNTRIED  B gave no reason within 3 s                 00:03
       wrong identity    knocks
       expired           has not knocked yet
    "
  `);
});

it("drawView() always has 23 lines of at most 80 characters, whatever comes in", () => {
  const long = "x".repeat(300);
  const scene = buildScene({
    trustDomain: long,
    server: { pid: 4194304, address: long },
    a: { calls: 123_456_789, failed: 99_999_999, perSecond: 100_000 },
    strangers: buildScene().strangers.map((stranger) => ({ ...stranger, detail: `${long}\u001b[2J\n` })),
    events: [{ at: startedAt, subject: long, text: long }],
    authorities: [...buildScene().authorities, ...buildScene().authorities],
  });
  for (const lines of [drawView(scene, startedAt + 10), drawView(emptyScene({ trustDomain: "", forSeconds: 1 }), 0)]) {
    expect(lines).toHaveLength(23);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.join("")).not.toMatch(/\p{Cc}/u);
  }
});

it("eventText() says when, what and which, and wraps between words", () => {
  const event = { at: startedAt + 61_000, subject: "server", text: "up and at its work again" };
  expect(eventText({ startedAt }, event, 80)).toEqual([" 01:01  server    up and at its work again"]);
  expect(eventText({ startedAt: undefined }, event, 80)).toEqual([" 00:00  server    up and at its work again"]);
  expect(eventText({ startedAt }, event, 40)).toEqual([
    " 01:01  server    up and at its work",
    "                  again",
  ]);
  expect(eventText({ startedAt }, event, 24)).toEqual([" 01:01  server", "    up and at its work", "    again"]);
});

it("ordinal() knows the teens", () => {
  expect([1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111].map(ordinal).join(" ")).toBe(
    "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 101st 111th",
  );
});
