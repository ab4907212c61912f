import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import {
  type DirectorySource,
  type DirectorySourceOptions,
  openDirectorySource,
  SdkError,
} from "../../../src/sdk/sdk.ts";
import { bundleJson } from "../../../src/spiffe/bundle.ts";
import { denyListJson } from "../../../src/spiffe/deny.ts";
import { makeCa, makeIdentityDir, writeFiles, writeSet } from "../../protocol/sdk/test-ca.ts";

const id = "spiffe://prod.example/svc/a";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function directory(): Promise<string> {
  const { dir, remove } = await makeIdentityDir();
  closers.push(remove);
  return dir;
}

async function openSource(dir: string, options: DirectorySourceOptions = {}): Promise<DirectorySource> {
  const source = await openDirectorySource(dir, options);
  closers.push(() => source.close());
  return source;
}

const changeOf = (source: DirectorySource): Promise<void> => new Promise((done) => source.onChange(done));

describe("openDirectorySource()", () => {
  test("openDirectorySource() reads identity, bundle and deny list of one set", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    const leaf = ca.leaf(id);
    await writeSet(dir, { leaf, bundle: ca.bundle(7n), deniedSequence: 9n });
    const source = await openSource(dir);
    const { spiffeId, trustDomain, chainDer, chainPem, notAfter } = source.identity();
    expect([spiffeId, trustDomain, chainPem]).toEqual([id, "prod.example", leaf.chainPem]);
    expect([chainDer.length, notAfter, chainDer[0]]).toEqual([2, leaf.certificate.notAfter, leaf.certificate.raw]);
    expect([source.bundle().sequence, source.denied().sequence, source.problem()]).toEqual([7n, 9n, undefined]);
  });

  test("openDirectorySource() takes a plain copy of a directory, without versions", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    await writeFile(join(dir, "tls.pem"), ca.leaf(id).tlsPem);
    await writeFile(join(dir, "bundle.json"), bundleJson(ca.bundle()));
    await writeFile(join(dir, "denied.json"), denyListJson({ sequence: 1n, denied: [] }));
    expect((await openSource(dir)).identity().spiffeId).toBe(id);
  });

  test("openDirectorySource() is not_ready when there is no directory or no identity in it", async () => {
    const dir = await directory();
    for (const missing of [dir, join(dir, "absent")]) {
      await expect(openDirectorySource(missing)).rejects.toMatchObject({ code: "not_ready" });
    }
  });

  test("openDirectorySource() waits for a directory that comes later, and says nothing else meanwhile", async () => {
    const [ca, dir] = [makeCa(), join(await directory(), "later")];
    const problems: (string | undefined)[] = [];
    const opening = openSource(dir, { wait: true, onProblem: (problem) => problems.push(problem?.code) });
    await mkdir(dir);
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    expect((await opening).identity().spiffeId).toBe(id);
    expect(problems.filter((code) => code !== "not_ready" && code !== undefined)).toEqual([]);
  });

  test("openDirectorySource() ends waiting as aborted", async () => {
    const dir = await directory();
    const opening = openDirectorySource(dir, { wait: true, signal: AbortSignal.timeout(20) });
    await expect(opening).rejects.toMatchObject({ code: "aborted" });
  });

  const broken: readonly (readonly [string, (files: Files) => Partial<Files>])[] = [
    ["a key that is not the leaf's", (files) => ({ "tls.pem": makeCa().leaf(id).keyPem + chain(files["tls.pem"]) })],
    ["no key", (files) => ({ "tls.pem": chain(files["tls.pem"]) })],
    ["no certificate", (files) => ({ "tls.pem": files["tls.pem"].slice(0, files["tls.pem"].indexOf("-----BEGIN C")) })],
    ["a torn certificate", (files) => ({ "tls.pem": files["tls.pem"].slice(0, -200) })],
    ["an ID of a foreign CA", () => ({ "tls.pem": makeCa().leaf(id).tlsPem })],
    ["a bundle that is no JSON", () => ({ "bundle.json": "{" })],
    ["no bundle", () => ({ "bundle.json": undefined as unknown as string })],
    ["a bundle without roots", (files) => ({ "bundle.json": files["bundle.json"].replace("x509-svid", "other") })],
    ["a deny list that is no list", () => ({ "denied.json": "[]" })],
    ["no deny list", () => ({ "denied.json": undefined as unknown as string })],
    [
      "an ID without a path",
      () => {
        const other = makeCa();
        return { "tls.pem": other.leaf("spiffe://prod.example").tlsPem, "bundle.json": bundleJson(other.bundle()) };
      },
    ],
  ];
  for (const [what, breakFiles] of broken) {
    test(`openDirectorySource() throws broken for a set with ${what}`, async () => {
      const dir = await directory();
      await writeFiles(dir, without({ ...goodFiles(), ...breakFiles(goodFiles()) }));
      const failure = await openDirectorySource(dir).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).toBeInstanceOf(SdkError);
      expect(failure).toMatchObject({ code: "broken" });
      expect(inspect(failure, { depth: 9 })).not.toContain("PRIVATE KEY");
    });

    test(`a source keeps the set that it holds when a new one has ${what}, and takes the next good one`, async () => {
      const [ca, dir] = [makeCa(), await directory()];
      await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
      const problems: (string | undefined)[] = [];
      const source = await openSource(dir, { onProblem: (problem) => problems.push(problem?.code) });
      const before = source.identity();
      await writeFiles(dir, without({ ...goodFiles(ca), ...breakFiles(goodFiles(ca)) }));
      await source.refresh();
      expect([source.identity() === before, source.problem()?.code]).toEqual([true, "broken"]);
      await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle(3n), deniedSequence: 3n });
      await source.refresh();
      expect([source.identity() === before, source.problem()]).toEqual([false, undefined]);
      expect(problems).toEqual(["broken", undefined]);
    });
  }

  test("a source that cannot read a file says so and keeps what it holds", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    const source = await openSource(dir);
    const before = source.identity();
    await rm(dir, { recursive: true });
    await source.refresh();
    expect([source.identity() === before, source.problem()?.code]).toEqual([true, "not_ready"]);
  });
});

describe("a directory source", () => {
  test("a source takes a new set without being asked, and tells its listeners once", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    const source = await openSource(dir);
    let told = 0;
    source.onChange(() => told++);
    const changed = changeOf(source);
    const next = ca.leaf(id);
    await writeSet(dir, { leaf: next, bundle: ca.bundle() });
    await changed;
    await source.refresh();
    expect([source.identity().chainPem, told]).toEqual([next.chainPem, 1]);
  });

  test("a source follows a directory that was removed and made again", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    const source = await openSource(dir, { pollMs: 20 });
    await rm(dir, { recursive: true });
    await source.refresh();
    await mkdir(dir);
    const changed = changeOf(source);
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    await changed;
    const again = changeOf(source);
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    await again;
  });

  test("a source takes a bundle and a deny list that came with the identity it holds", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    const leaf = ca.leaf(id);
    await writeSet(dir, { leaf, bundle: ca.bundle() });
    const source = await openSource(dir);
    const before = source.identity();
    const denied = [{ authorityKeyId: "00", serialHex: "01" }];
    await writeSet(dir, { leaf, bundle: ca.bundle(2n), denied, deniedSequence: 2n });
    await source.refresh();
    expect(source.identity()).toBe(before);
    expect([source.bundle().sequence, source.denied().denied]).toEqual([2n, denied]);
  });

  test("a source never goes back to a bundle or a deny list of a lower sequence, and takes the identity", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    const denied = [{ authorityKeyId: "00", serialHex: "01" }];
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle(5n), denied, deniedSequence: 5n });
    const source = await openSource(dir);
    const next = ca.leaf(id);
    await writeSet(dir, { leaf: next, bundle: ca.bundle(4n), deniedSequence: 4n });
    await source.refresh();
    expect(source.identity().chainPem).toBe(next.chainPem);
    expect([source.bundle().sequence, source.denied().denied, source.problem()?.code]).toEqual([5n, denied, "broken"]);
  });

  test("a source keeps its identity and takes the deny list when its own certificate is denied", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    const leaf = ca.leaf(id);
    await writeSet(dir, { leaf, bundle: ca.bundle() });
    const source = await openSource(dir);
    const denied = [{ authorityKeyId: ca.intermediate.subjectKeyId ?? "", serialHex: leaf.certificate.serialHex }];
    await writeSet(dir, { leaf, bundle: ca.bundle(), denied, deniedSequence: 2n });
    await source.refresh();
    expect([source.denied().sequence, source.problem()?.code]).toEqual([2n, "broken"]);
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle(), denied, deniedSequence: 2n });
    await source.refresh();
    expect(source.problem()).toBeUndefined();
  });

  test("a source does not take an identity that has ended in place of one that lives", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    const source = await openSource(dir);
    const before = source.identity();
    await writeSet(dir, { leaf: ca.leaf(id, { beginsIn: -600, endsIn: -5 }), bundle: ca.bundle() });
    await source.refresh();
    expect([source.identity() === before, source.problem()?.code]).toEqual([true, "not_ready"]);
  });

  test("a source refuses a set of another trust domain", async () => {
    const [ca, other, dir] = [makeCa(), makeCa("other.example"), await directory()];
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    const source = await openSource(dir);
    await writeSet(dir, { leaf: other.leaf("spiffe://other.example/x"), bundle: other.bundle(9n) });
    await source.refresh();
    expect([source.identity().trustDomain, source.problem()?.code]).toEqual(["prod.example", "broken"]);
  });

  test("a source tells all listeners, also when one throws, whose error is not swallowed", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    const source = await openSource(dir);
    const thrown = new Error("a listener of the user");
    const uncaught = new Promise<unknown>((done) => {
      const before = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.once("uncaughtException", (error) => {
        for (const listener of before) process.on("uncaughtException", listener);
        done(error);
      });
    });
    source.onChange(() => {
      throw thrown;
    });
    const changed = changeOf(source);
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle(2n) });
    await changed;
    expect(await uncaught).toBe(thrown);
    expect(source.problem()).toBeUndefined();
  });

  test("a source that is closed tells nobody any more", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    const source = await openSource(dir);
    let told = 0;
    source.onChange(() => told++);
    source.close();
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    await source.refresh();
    expect(told).toBe(0);
  });

  test("an identity does not show its key when it is printed", async () => {
    const [ca, dir] = [makeCa(), await directory()];
    await writeSet(dir, { leaf: ca.leaf(id), bundle: ca.bundle() });
    const source = await openSource(dir);
    expect(inspect(source.identity(), { depth: 9 })).not.toContain("PRIVATE KEY");
  });
});

interface Files {
  readonly "tls.pem": string;
  readonly "bundle.json": string;
  readonly "denied.json": string;
}

function goodFiles(ca = makeCa()): Files {
  return {
    "tls.pem": ca.leaf(id).tlsPem,
    "bundle.json": bundleJson(ca.bundle(2n)),
    "denied.json": denyListJson({ sequence: 2n, denied: [] }),
  };
}

function without(files: Partial<Files>): Partial<Files> {
  return Object.fromEntries(Object.entries(files).filter(([, text]) => text !== undefined));
}

function chain(tlsPem: string): string {
  return tlsPem.slice(tlsPem.indexOf("-----BEGIN CERTIFICATE-----"));
}
