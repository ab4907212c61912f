import { describe, expect, it } from "vitest";
import { decodePem, encodePem } from "../../../src/x509/pem.ts";
import { bytes, codeOf } from "./expectations.ts";

const one = { labels: ["THING"], max: 1 };
const block = encodePem("THING", bytes("0102030405"));

describe("encodePem()", () => {
  it("writes lines of 64 characters and a final line break", () => {
    const lines = encodePem("THING", new Uint8Array(100)).split("\n");
    expect(lines.map((line) => line.length)).toEqual([21, 64, 64, 8, 19, 0]);
  });

  it("of nothing is a block that decodePem() refuses", () => {
    expect(codeOf(() => decodePem(encodePem("THING", new Uint8Array(0)), one))).toBe("bad_pem");
  });
});

describe("decodePem() (RFC 7468)", () => {
  it.each([
    ["a plain block", block],
    ["CRLF", block.replaceAll("\n", "\r\n")],
    ["CR alone", block.replaceAll("\n", "\r")],
    ["no final line break", block.trimEnd()],
    ["text and dashes around", `Subject: x\n--------\n${block}bye\n-----\n`],
    ["blanks at line ends and blank lines", block.replaceAll("\n", " \t\n\n")],
    ["lines of four characters", "-----BEGIN THING-----\nAQID\nBAU=\n-----END THING-----\n"],
  ])("takes %s", (_what, text) => {
    expect(decodePem(text, one)).toEqual([{ label: "THING", der: bytes("0102030405") }]);
  });

  it("takes several blocks up to its limit, in order", () => {
    const two = block + encodePem("OTHER", bytes("ff"));
    const labels = ["THING", "OTHER"];
    expect(decodePem(two, { labels, max: 2 }).map((each) => each.label)).toEqual(labels);
    expect(codeOf(() => decodePem(two, { labels, max: 1 }))).toBe("bad_pem");
  });

  it.each([
    ["nothing", ""],
    ["text without a block", "hello\n"],
    ["another label", block.replaceAll("THING", "PRIVATE KEY")],
    ["another block after it", block + encodePem("PRIVATE KEY", bytes("01"))],
    ["another block before it", encodePem("PRIVATE KEY", bytes("01")) + block],
    ["another END label", block.replace("END THING", "END OTHER")],
    ["no END", block.slice(0, block.indexOf("-----END"))],
    ["a second BEGIN inside", `-----BEGIN THING-----\n${block}`],
    ["END alone", "-----END THING-----\n"],
    ["BEGIN behind text on its line", `x ${block}`],
    ["an indented block beside a good one", `${block}  ${block}`],
    ["text behind BEGIN", block.replace("THING-----\n", "THING----- x\n")],
    ["a character outside the alphabet", block.replace("AQID", "AQ*D")],
    ["base64url characters", block.replace("AQID", "AQ-_")],
    ["a character above 7f", block.replace("AQID", "AQI\u0100")],
    ["a blank inside a line", block.replace("AQID", "AQ ID")],
    ["a missing pad", block.replace("BAU=", "BAU")],
    ["too much padding", block.replace("BAU=", "BAU=====")],
    ["padding in the middle", block.replace("AQID", "AQ==")],
    ["bits left over behind the last octet", block.replace("BAU=", "BAV=")],
    ["headers inside", block.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n")],
    ["an empty block", "-----BEGIN THING-----\n-----END THING-----\n"],
    ["a byte order mark", `\ufeff${block}`],
  ])("refuses %s", (_what, text) => {
    expect(codeOf(() => decodePem(text, one))).toBe("bad_pem");
  });

  it("refuses by size before it reads", () => {
    expect(codeOf(() => decodePem("x".repeat(101), { ...one, maxCharacters: 100 }))).toBe("too_large");
  });

  it.each(["-", "\n", "\r", " ", "-----BEGIN ", "-----END THING-----", "A"])(
    "goes over a megabyte of %j once",
    (piece) => {
      const text = piece.repeat(1_000_000 / piece.length);
      expect(codeOf(() => decodePem(text, one))).toBe("bad_pem");
      expect(codeOf(() => decodePem(`-----BEGIN THING-----\n${text.slice(30)}`, one))).toBe("bad_pem");
    },
  );

  it("says nothing of the text in its messages", () => {
    expect(() => decodePem(block.replace("AQID", "s3cr!t=="), one)).toThrow(
      /^character 5 of a PEM block is not base64$/,
    );
  });
});
