// Joining by a factory certificate: the line as wire.ts builds it, factories by @peculiar/x509.
import "reflect-metadata";
import * as peculiar from "@peculiar/x509";
import { beforeAll, describe, expect, test } from "vitest";
import type {
  AddDevicesResponse,
  CreateDeviceClassResponse,
  GetDeviceResponse,
} from "../../../proto/gen/signet/v1/admin.ts";
import { DeviceState } from "../../../proto/gen/signet/v1/admin.ts";
import { rotateWhatIsDue } from "../../../src/authority/rotation.ts";
import { revokeOps, revokeTogether } from "../../../src/revocation/revoke.ts";
import { pathOf } from "../../../src/spiffe/id.ts";
import { auditEvents } from "../../../src/store/collections/audit-events.ts";
import { certificates } from "../../../src/store/collections/certificates.ts";
import { factoryCertificates } from "../../../src/store/collections/devices.ts";
import { revocations } from "../../../src/store/collections/revocations.ts";
import { certificatesFromPem, parseCertificate } from "../../../src/x509/certificate.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { buildFactoryCa, buildFactoryDevice, type FactoryCa } from "../../fakes/build-factory.ts";
import { buildServer, type ServerOptions, type TestServer, testActor } from "../../fakes/build-server.ts";
import { adminInProcess, type InProcess, inProcess } from "../../fakes/in-process.ts";
import { testKey } from "../x509/signers.ts";

const day = 86_400;
let acme: FactoryCa;
let foreign: FactoryCa;
beforeAll(async () => {
  acme = await buildFactoryCa();
  foreign = await buildFactoryCa({ name: "Other Devices Root" });
});

interface Fleet {
  readonly server: TestServer;
  readonly calls: InProcess;
  readonly admin: ReturnType<typeof adminInProcess>;
  readonly add: (serial: string, fingerprint?: string, deviceClass?: string) => Promise<AddDevicesResponse>;
  readonly show: (name: string) => Promise<NonNullable<GetDeviceResponse["device"]>>;
}

/** A server with the class `sensor`, whose intermediate signs. */
async function buildFleet(
  given: {
    readonly server?: Partial<ServerOptions>;
    readonly cas?: readonly FactoryCa[];
    readonly serverAuth?: boolean;
  } = {},
): Promise<Fleet> {
  const server = await buildServer(given.server ?? {});
  // What upkeep does.
  server.onLookNow(() => void rotateWhatIsDue(server.rotation));
  const admin = adminInProcess(server);
  await admin("createDeviceClass", classOf({ cas: given.cas ?? [acme], serverAuth: given.serverAuth ?? false }));
  return {
    server,
    calls: inProcess(server),
    admin,
    add: (serialNumber, fingerprint = "", deviceClass = "sensor") =>
      admin("addDevices", { devices: [{ deviceClass, serialNumber, fingerprint }], reason: "" }),
    show: async (device) => {
      const answer = await admin<GetDeviceResponse>("getDevice", { device });
      if (answer.device === undefined) throw new Error("no device");
      return answer.device;
    },
  };
}

function classOf(
  fields: { readonly name?: string; readonly cas?: readonly FactoryCa[] } & Readonly<Record<string, unknown>> = {},
): object {
  const { cas = [acme], ...rest } = fields;
  return {
    name: "sensor",
    ttlSeconds: 30 * day,
    graceSeconds: 90 * day,
    serverAuth: false,
    factoryCasDer: cas.map(({ der }) => Buffer.from(der)),
    rootKeyPem: Buffer.alloc(0),
    reason: "",
    ...rest,
  };
}

async function eventsOf(server: TestServer, action: string): Promise<readonly { readonly subject: string }[]> {
  const all = await Array.fromAsync(server.store.scan(auditEvents, "key"));
  return all.map(({ value }) => value).filter((event) => event.action === action);
}

const leafOf = (result: {
  readonly certificate?: { readonly chainDer: readonly Uint8Array[] } | undefined;
}): Uint8Array => new Uint8Array(result.certificate?.chainDer[0] ?? []);

describe("CreateDeviceClass", () => {
  test("makes the devices' own intermediate once, in the same commit, and it signs nothing but devices", async () => {
    const server = await buildServer();
    server.onLookNow(() => void rotateWhatIsDue(server.rotation));
    const admin = adminInProcess(server);
    const first = await admin<CreateDeviceClassResponse>("createDeviceClass", classOf());
    expect(first.authority).toMatchObject({ name: "int-2", serves: ["devices"], parent: "root-1" });
    const life = (first.authority?.notAfter?.getTime() ?? 0) - server.clock.now().getTime();
    expect(life / 1000).toBe(365 * day);
    const second = await admin<CreateDeviceClassResponse>("createDeviceClass", classOf({ name: "meter" }));
    expect(second.authority).toBeUndefined();
    await server.join();
    await server.entry();
    const { record } = await server.issue("one", "/svc/a");
    expect(record.authority).toBe("int-1");
    expect(await eventsOf(server, "device_class.create")).toHaveLength(2);
    expect(server.state.view().crls.map(({ value }) => value.authority)).toContain("int-2");
  });

  test("refuses a name twice, a CA that is none, one of our own, one that ended, and a ttl over a quarter of the authority", async () => {
    const { admin, server } = await buildFleet();
    const leaf = await buildFactoryDevice(acme);
    const root = server.state.view().bundle.roots[0];
    const ended = await buildFactoryCa({ notAfter: new Date("2021-01-01T00:00:00Z") });
    const der = (octets: Uint8Array | undefined) => ({ name: "x", factoryCasDer: [Buffer.from(octets ?? [])] });
    await expect(admin("createDeviceClass", classOf())).rejects.toMatchObject({ code: "exists" });
    await expect(admin("createDeviceClass", classOf(der(leaf.chainDer[0])))).rejects.toThrow(
      /not the certificate of a CA/,
    );
    await expect(admin("createDeviceClass", classOf(der(root?.raw)))).rejects.toThrow(/root-1 of this trust domain/);
    await expect(admin("createDeviceClass", classOf(der(ended.der)))).rejects.toThrow(/it ended at 2021/);
    await expect(admin("createDeviceClass", classOf(der(new Uint8Array(9))))).rejects.toThrow(/cannot be read/);
    await expect(admin("createDeviceClass", classOf({ name: "x", factoryCasDer: [] }))).rejects.toThrow(/at least one/);
    await expect(admin("createDeviceClass", classOf({ name: "Sensor" }))).rejects.toMatchObject({
      code: "bad_request",
    });
    await expect(admin("createDeviceClass", classOf({ name: "x", ttlSeconds: 92 * day }))).rejects.toMatchObject({
      code: "denied",
      rule: "ttl_over_authority",
    });
  });

  test("without the root's key asks for it, and takes one that is brought", async () => {
    const { memoryKeys } = await import("../../../src/keys/memory.ts");
    const rootKeys = memoryKeys();
    const server = await buildServer({ rootKeys });
    server.onLookNow(() => void rotateWhatIsDue(server.rotation));
    const admin = adminInProcess(server);
    await expect(admin("createDeviceClass", classOf())).rejects.toMatchObject({
      code: "denied",
      rule: "root_key_elsewhere",
      detail: { cure: "signet device class create sensor --ca FILE --root-key FILE" },
    });
    expect(await server.keys.list()).not.toContain("int-2");
    const pem = rootKeys.key("root-1").export({ type: "pkcs8", format: "pem" }) as string;
    const made = await admin<CreateDeviceClassResponse>("createDeviceClass", classOf({ rootKeyPem: Buffer.from(pem) }));
    expect(made.authority?.name).toBe("int-2");
  });
});

describe("Attest by x509pop", () => {
  test("gives a registered device its LDevID: name from the registry, life and purposes from the class", async () => {
    const { server, calls, add, show } = await buildFleet();
    await add("SN-001");
    expect((await show("sensor/SN-001")).state).toBe(DeviceState.DEVICE_STATE_EXPECTED);
    const device = await buildFactoryDevice(acme);
    const result = await calls.x509pop(device, testKey("ec-p256"));
    const leaf = parseCertificate(leafOf(result));
    expect(leaf.names.map(({ kind, value }) => [kind, value])).toEqual([
      ["uri", "spiffe://prod.example/device/sensor/SN-001"],
    ]);
    expect(leaf.subjectText).toBe("");
    expect(leaf.extendedKeyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
    expect(result.certificate).toMatchObject({ authority: "int-2", ttlSeconds: 30 * day });
    expect(result.certificate?.chainDer).toHaveLength(2);
    expect(result.bundle?.rootsDer).toHaveLength(1);
    const shown = await show("spiffe://prod.example/device/sensor/SN-001");
    expect(shown).toMatchObject({ state: DeviceState.DEVICE_STATE_LIVE, fingerprint: device.fingerprint, joins: 1 });
    expect(await eventsOf(server, "device.join")).toMatchObject([
      { subject: "spiffe://prod.example/device/sensor/SN-001" },
    ]);
  });

  test("gives a class with server auth both purposes, and the CSR's subject counts for nothing", async () => {
    const { calls, add } = await buildFleet({ serverAuth: true });
    await add("SN-001");
    const result = await calls.x509pop(await buildFactoryDevice(acme), testKey("ec-p256"));
    expect(parseCertificate(leafOf(result)).extendedKeyUsage).toHaveLength(2);
  });

  test.each(["ec-p384", "rsa-2048", "ed25519"] as const)("takes a factory key of type %s", async (keyType) => {
    const { calls, add } = await buildFleet();
    await add("SN-001");
    const result = await calls.x509pop(await buildFactoryDevice(acme, { keyType }), testKey("ec-p256"));
    expect(result.certificate?.spiffeId).toBe("spiffe://prod.example/device/sensor/SN-001");
  });

  test("takes a chain over an intermediate, and an intermediate that is itself the configured CA", async () => {
    const issuing = await buildFactoryCa({ name: "Acme Issuing 7", by: acme, pathLength: 0 });
    const device = await buildFactoryDevice(issuing, { chain: [issuing] });
    const { calls, add } = await buildFleet();
    await add("SN-001");
    await calls.x509pop(device, testKey("ec-p256"));
    const pinned = await buildFleet({ cas: [issuing] });
    await pinned.add("SN-001");
    await pinned.calls.x509pop({ ...device, chainDer: device.chainDer.slice(0, 1) }, testKey("ec-p256"));
  });

  test("finds the serial behind PID and SN, as some factories write it", async () => {
    const { calls, add } = await buildFleet();
    await add("FOC1810X0AB");
    const device = await buildFactoryDevice(acme, { serial: "PID:WS-C3850 SN:FOC1810X0AB" });
    const { certificate } = await calls.x509pop(device, testKey("ec-p256"));
    expect(certificate?.spiffeId).toBe("spiffe://prod.example/device/sensor/FOC1810X0AB");
  });

  test("knows a certificate without a serial number by its registered fingerprint alone", async () => {
    const { calls, add } = await buildFleet();
    const device = await buildFactoryDevice(acme, { serial: undefined });
    await expect(calls.x509pop(device, testKey("ec-p256"))).rejects.toMatchObject({ rule: "device_unknown" });
    await add("tpm-7", device.fingerprint);
    const { certificate } = await calls.x509pop(device, testKey("ec-p256"));
    expect(certificate?.spiffeId).toBe("spiffe://prod.example/device/sensor/tpm-7");
  });

  test("refuses a foreign factory CA, a device nobody registered, and says nothing of what is registered", async () => {
    const { calls, add } = await buildFleet();
    await add("SN-001");
    const refusal = { code: "unauthenticated", rule: "factory_unknown" };
    const forged = await buildFactoryDevice(foreign, { serial: "SN-001" });
    const other = await buildFactoryDevice(foreign, { serial: "SN-999" });
    const one = await calls.x509pop(forged, testKey("ec-p256")).catch((error: unknown) => error);
    const two = await calls.x509pop(other, testKey("ec-p256")).catch((error: unknown) => error);
    expect(one).toMatchObject(refusal);
    expect(String(one)).toBe(String(two));
    const unregistered = await buildFactoryDevice(acme, { serial: "SN-002" });
    await expect(calls.x509pop(unregistered, testKey("ec-p256"))).rejects.toMatchObject({
      code: "denied",
      rule: "device_unknown",
    });
    // A CA with the name of the factory's and another key.
    const namesake = await buildFactoryCa();
    await expect(
      calls.x509pop(await buildFactoryDevice(namesake, { chain: [namesake] }), testKey("ec-p256")),
    ).rejects.toMatchObject(refusal);
  });

  test("refuses a stolen serial: another factory certificate that claims a bound one, or one registered by fingerprint", async () => {
    const { calls, add, server } = await buildFleet();
    const device = await buildFactoryDevice(acme);
    const thief = await buildFactoryDevice(acme);
    const refusal = { code: "denied", rule: "factory_certificate_other" };
    await add("SN-001", device.fingerprint);
    await expect(calls.x509pop(thief, testKey("ec-p256"))).rejects.toMatchObject(refusal);
    await calls.x509pop(device, testKey("ec-p256"));
    await add("SN-002");
    const second = await buildFactoryDevice(acme, { serial: "SN-002" });
    await calls.x509pop(second, testKey("ec-p256"));
    await expect(
      calls.x509pop(await buildFactoryDevice(acme, { serial: "SN-002" }), testKey("ec-p256")),
    ).rejects.toMatchObject(refusal);
    expect(await Array.fromAsync(server.store.scan(factoryCertificates, "key"))).toHaveLength(2);
  });

  test("refuses a certificate whose serial number is another one than that of the device it was registered for", async () => {
    const { calls, add } = await buildFleet();
    const device = await buildFactoryDevice(acme, { serial: "SN-001" });
    await add("SN-777", device.fingerprint);
    await expect(calls.x509pop(device, testKey("ec-p256"))).rejects.toMatchObject({ rule: "serial_number_other" });
  });

  test("keeps classes apart: the CA of one class proves no device of another", async () => {
    const { calls, add, admin } = await buildFleet();
    await admin("createDeviceClass", classOf({ name: "meter", cas: [foreign] }));
    await add("SN-001", "", "meter");
    await expect(calls.x509pop(await buildFactoryDevice(acme), testKey("ec-p256"))).rejects.toMatchObject({
      rule: "device_unknown",
    });
    const { certificate } = await calls.x509pop(await buildFactoryDevice(foreign), testKey("ec-p256"));
    expect(certificate?.spiffeId).toBe("spiffe://prod.example/device/meter/SN-001");
  });

  test.each([
    ["another server's nonce", { serverNonce: new Uint8Array(32) }],
    ["another client nonce", { clientNonce: new Uint8Array(32) }],
    ["another CSR", { csrSha256: new Uint8Array(32) }],
    ["another trust domain", { trustDomain: "other.example" as never }],
  ])("refuses a proof over %s", async (_, spoiled) => {
    const { calls, add } = await buildFleet();
    await add("SN-001");
    const device = await buildFactoryDevice(acme);
    const change = (fields: object) => ({ ...fields, ...spoiled }) as never;
    await expect(calls.x509pop(device, testKey("ec-p256"), { change })).rejects.toMatchObject({
      code: "unauthenticated",
      rule: "factory_unproven",
    });
  });

  test("refuses a proof by another key than the factory certificate's, a short nonce, and one that came too late", async () => {
    const { calls, add, server } = await buildFleet();
    await add("SN-001");
    const device = await buildFactoryDevice(acme);
    const { sign } = await buildFactoryDevice(acme);
    await expect(calls.x509pop({ ...device, sign }, testKey("ec-p256"))).rejects.toMatchObject({
      rule: "factory_unproven",
    });
    await expect(calls.x509pop(device, testKey("ec-p256"), { nonce: new Uint8Array(16) })).rejects.toMatchObject({
      code: "bad_request",
    });
    await expect(
      calls.x509pop(device, testKey("ec-p256"), {
        beforeProof: async () => {
          await server.clock.sleepers(1);
          await server.clock.advance(61_000);
        },
      }),
    ).rejects.toThrow(/was not answered by a proof/);
  });

  test.each([
    ["that has ended", { notAfter: new Date("2022-01-01T00:00:00Z") }, /ended at 2022/],
    ["that is not valid yet", { notBefore: new Date("2999-01-01T00:00:00Z") }, /valid only from/],
    [
      "that is for TLS servers only",
      { extensions: [new peculiar.ExtendedKeyUsageExtension([peculiar.ExtendedKeyUsage.serverAuth])] },
      /does not allow a TLS client/,
    ],
    [
      "with a critical extension that nobody knows",
      { extensions: [new peculiar.Extension("1.3.6.1.4.1.99999.1", true, new Uint8Array([5, 0]))] },
      /not understood/,
    ],
    [
      "of a CA",
      { extensions: [new peculiar.BasicConstraintsExtension(true, undefined, true)] },
      /the certificate of a CA/,
    ],
  ])("refuses a factory certificate %s", async (_, wish, detail) => {
    const { calls, add } = await buildFleet();
    await add("SN-001");
    const refused = await calls
      .x509pop(await buildFactoryDevice(acme, wish), testKey("ec-p256"))
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "unauthenticated", rule: "factory_unknown" });
    expect(String(refused)).toMatch(detail);
  });

  test("takes an extended key usage with client auth, and critical extensions of RFC 5280", async () => {
    const { calls, add } = await buildFleet();
    await add("SN-001");
    const extensions = [new peculiar.ExtendedKeyUsageExtension([peculiar.ExtendedKeyUsage.clientAuth], true)];
    await calls.x509pop(await buildFactoryDevice(acme, { extensions }), testKey("ec-p256"));
  });

  test("refuses a chain that a factory CA's path length or an ended CA forbids", async () => {
    const narrow = await buildFactoryCa({ name: "Acme Narrow Root", pathLength: 0 });
    const below = await buildFactoryCa({ name: "Acme Below", by: narrow });
    const ended = await buildFactoryCa({ name: "Acme Old", by: acme, notAfter: new Date("2022-01-01T00:00:00Z") });
    const { calls, add } = await buildFleet({ cas: [narrow, acme] });
    await add("SN-001");
    await expect(
      calls.x509pop(await buildFactoryDevice(below, { chain: [below] }), testKey("ec-p256")),
    ).rejects.toThrow(/path length/);
    await expect(
      calls.x509pop(await buildFactoryDevice(ended, { chain: [ended] }), testKey("ec-p256")),
    ).rejects.toThrow(/an intermediate ended at 2022/);
  });

  test("refuses chains of nobody's length, and what is no certificate", async () => {
    const { calls } = await buildFleet();
    const { chainDer, sign } = await buildFactoryDevice(acme);
    const long = Array.from({ length: 11 }, () => chainDer[0] ?? new Uint8Array());
    await expect(calls.x509pop({ chainDer: long, sign }, testKey("ec-p256"))).rejects.toMatchObject({
      code: "too_large",
    });
    await expect(calls.x509pop({ chainDer: [], sign }, testKey("ec-p256"))).rejects.toMatchObject({
      code: "bad_request",
    });
    await expect(
      calls.x509pop({ chainDer: [new Uint8Array([48, 0])], sign }, testKey("ec-p256")),
    ).rejects.toMatchObject({ code: "bad_request" });
  });

  test("refuses a CSR that asks for a name: names come from the registry", async () => {
    const { calls, add } = await buildFleet();
    await add("SN-001");
    const device = await buildFactoryDevice(acme);
    const key = testKey("ec-p256");
    const asking = async (names: object) => calls.x509pop(device, key, { csrDer: await buildCsr(key, names) });
    await expect(asking({ uris: ["spiffe://prod.example/device/sensor/SN-002"] })).rejects.toMatchObject({
      code: "denied",
      rule: "id_not_in_entry",
    });
    await expect(asking({ dnsNames: ["ca.prod.example"] })).rejects.toMatchObject({ rule: "dns_not_in_entry" });
    await asking({ uris: ["spiffe://prod.example/device/sensor/SN-001"] });
  });
});

describe("a device that joins again", () => {
  test("by the same key gets the same certificate: the reply was lost", async () => {
    const { calls, add, show } = await buildFleet();
    await add("SN-001");
    const device = await buildFactoryDevice(acme);
    const key = testKey("ec-p256");
    const one = await calls.x509pop(device, key);
    const two = await calls.x509pop(device, key);
    expect(two.certificate?.serialHex).toBe(one.certificate?.serialHex);
    expect((await show("sensor/SN-001")).joins).toBe(1);
  });

  test("by another key, as after a factory reset, gets a new one, and all of the former key is denied in the same commit", async () => {
    const { calls, add, show, server } = await buildFleet();
    await add("SN-001");
    const device = await buildFactoryDevice(acme);
    const former = testKey("ec-p256");
    const one = await calls.x509pop(device, former);
    const renewed = await calls.renew(leafOf(one), former);
    const before = server.state.view().trust.value.deniedSequence;
    const two = await calls.x509pop(device, testKey("ec-p256"));
    const denied = (await Array.fromAsync(server.store.scan(revocations, "key"))).map(({ value }) => value);
    expect(new Set(denied.map(({ serialHex }) => serialHex))).toEqual(
      new Set([one.certificate?.serialHex, renewed.serialHex]),
    );
    expect(denied.every(({ reason }) => reason === "superseded")).toBe(true);
    expect(server.state.view().trust.value.deniedSequence).toBe(before + 1n);
    expect((await show("sensor/SN-001")).joins).toBe(2);
    expect(await eventsOf(server, "device.rejoin")).toHaveLength(1);
    // What it held is nothing any more, what it holds now is good.
    await expect(calls.renew(new Uint8Array(renewed.chainDer[0] ?? []), testKey("ec-p256"))).rejects.toMatchObject({
      code: "unauthenticated",
    });
    await calls.renew(leafOf(two), testKey("ec-p256"));
  });

  test("is refused when an admin revoked its certificate, but for the reason superseded", async () => {
    const { calls, add, server } = await buildFleet();
    await add("SN-001");
    await add("SN-002");
    const stop = async (serialHex: string, reason: "keyCompromise" | "superseded"): Promise<void> => {
      const all = await Array.fromAsync(server.store.scan(certificates, "key"));
      const records = all.map(({ value }) => value).filter((record) => record.serialHex === serialHex);
      await revokeTogether(server.rotation, () =>
        revokeOps(server.rotation, records, { reason, at: server.clock.now(), actor: testActor }),
      );
    };
    const device = await buildFactoryDevice(acme);
    const key = testKey("ec-p256");
    const one = await calls.x509pop(device, key);
    await stop(one.certificate?.serialHex ?? "", "keyCompromise");
    await expect(calls.x509pop(device, testKey("ec-p256"))).rejects.toMatchObject({ rule: "device_revoked" });
    await expect(calls.x509pop(device, key)).rejects.toMatchObject({ rule: "device_revoked" });
    const other = await buildFactoryDevice(acme, { serial: "SN-002" });
    const two = await calls.x509pop(other, testKey("ec-p256"));
    await stop(two.certificate?.serialHex ?? "", "superseded");
    await calls.x509pop(other, testKey("ec-p256"));
  });
});

describe("a device that lives on", () => {
  test("renews by its certificate, with what to trust", async () => {
    const { calls, add, server } = await buildFleet();
    await add("SN-001");
    const result = await calls.x509pop(await buildFactoryDevice(acme), testKey("ec-p256"));
    await server.clock.advance(15 * day * 1000);
    const renewed = await calls.renewal(leafOf(result), testKey("ec-p256"));
    expect(renewed.certificate).toMatchObject({
      spiffeId: "spiffe://prod.example/device/sensor/SN-001",
      ttlSeconds: 30 * day,
      authority: "int-2",
    });
    expect(renewed.bundle?.rootsDer).toHaveLength(1);
    expect(renewed.denyList?.crlsDer.length).toBeGreaterThan(1);
    expect(renewed.addresses).toEqual(["127.0.0.1:7443"]);
  });

  test("may call nothing but Renew", async () => {
    const { calls, add, server } = await buildFleet();
    await add("SN-001");
    const leaf = leafOf(await calls.x509pop(await buildFactoryDevice(acme), testKey("ec-p256")));
    await server.entry();
    const item = {
      spiffeId: server.id("/svc/a"),
      csrDer: Buffer.from(await buildCsr(testKey("ec-p256"))),
      ttlSeconds: 0,
    };
    await expect(calls.issue(leaf, item)).rejects.toMatchObject({ code: "unauthenticated" });
  });

  test("comes back within the grace of its class by the key of its last certificate, and not after it", async () => {
    const { calls, add, server, show } = await buildFleet();
    await add("SN-001");
    const key = testKey("ec-p256");
    const device = await buildFactoryDevice(acme);
    const result = await calls.x509pop(device, key);
    const last = { id: result.certificate?.spiffeId ?? "", serialHex: result.certificate?.serialHex ?? "", key };
    await server.clock.advance(100 * day * 1000);
    expect((await show("sensor/SN-001")).state).toBe(DeviceState.DEVICE_STATE_ASLEEP);
    await expect(calls.recover({ ...last, key: testKey("ec-p256") }, testKey("ec-p256"))).rejects.toMatchObject({
      rule: "key_not_ours",
    });
    await expect(calls.recover(last, key)).rejects.toMatchObject({ code: "bad_request" });
    const next = testKey("ec-p256");
    const back = await calls.recover(last, next);
    expect(back.certificate?.spiffeId).toBe(last.id);
    // That reply was lost: the same again is well; another key is not.
    await calls.recover(last, next);
    await expect(calls.recover(last, testKey("ec-p256"))).rejects.toMatchObject({ rule: "certificate_replaced" });
    await server.clock.advance(121 * day * 1000);
    expect((await show("sensor/SN-001")).state).toBe(DeviceState.DEVICE_STATE_GONE);
    const newest = { ...last, serialHex: (await show("sensor/SN-001")).serialHex, key: next };
    await expect(calls.recover(newest, testKey("ec-p256"))).rejects.toMatchObject({ rule: "grace_over" });
    // Its factory certificate never ends.
    expect((await calls.x509pop(device, testKey("ec-p256"))).certificate?.spiffeId).toBe(last.id);
  });
});

describe("AddDevices", () => {
  test("gives each row its own result: added, known already, wrong", async () => {
    const { admin } = await buildFleet();
    const row = (deviceClass: string, serialNumber: string, fingerprint = "") => ({
      deviceClass,
      serialNumber,
      fingerprint,
    });
    const fingerprint = "AB:".repeat(31).concat("AB");
    const devices = [
      row("sensor", "A-1"),
      row("sensor", "A-2", fingerprint),
      row("sensor", "A-3", fingerprint),
      row("nobody", "A-4"),
      row("sensor", "a/b"),
      row("sensor", ".."),
      row("sensor", "A-5", "12"),
    ];
    const first = await admin<AddDevicesResponse>("addDevices", { devices: devices.slice(0, 2), reason: "lot 7" });
    expect(first.results.map(({ error, already }) => [error, already])).toEqual([
      ["", false],
      ["", false],
    ]);
    expect(pathOf(first.results[1]?.device?.spiffeId as never)).toBe("/device/sensor/A-2");
    const { results } = await admin<AddDevicesResponse>("addDevices", { devices, reason: "" });
    expect(results.map(({ already }) => already)).toEqual([true, true, false, false, false, false, false]);
    expect(results.slice(2).map(({ error }) => error.replace(/: .*/, ""))).toEqual([
      "that fingerprint is the one of spiffe://prod.example/device/sensor/A-2",
      'no device class "nobody"',
      "a serial number is 1 to 64 letters, digits, dots, hyphens, underscores",
      "a serial number is 1 to 64 letters, digits, dots, hyphens, underscores",
      "a fingerprint is the SHA-256 of a certificate, 64 hex digits",
    ]);
  });
});

describe("a node with a factory certificate", () => {
  test("that nobody registered is refused, but under a CA that server.yaml names", async () => {
    const closed = await buildServer();
    const node = await buildFactoryDevice(acme, { subject: "CN=node-7" });
    await expect(inProcess(closed).x509pop(node, testKey("ec-p256"))).rejects.toMatchObject({
      rule: "factory_unknown",
    });
    const server = await buildServer({ unregisteredCas: certificatesFromPem(acme.pem) });
    const calls = inProcess(server);
    const key = testKey("ec-p256");
    const { certificate } = await calls.x509pop(node, key);
    const id = `spiffe://prod.example/agent/x509pop/${node.fingerprint}`;
    expect(certificate).toMatchObject({ spiffeId: id, authority: "int-1" });
    // The same key once more is the same certificate; another one takes its place.
    expect((await calls.x509pop(node, key)).certificate?.serialHex).toBe(certificate?.serialHex);
    const next = await calls.x509pop(node, testKey("ec-p256"));
    expect(next.certificate?.spiffeId).toBe(id);
    await expect(calls.renew(new Uint8Array(certificate?.chainDer[0] ?? []), testKey("ec-p256"))).rejects.toMatchObject(
      {
        code: "unauthenticated",
      },
    );
    await calls.renew(leafOf(next), testKey("ec-p256"));
    await expect(calls.x509pop(await buildFactoryDevice(foreign), testKey("ec-p256"))).rejects.toMatchObject({
      rule: "factory_unknown",
    });
  });
});
