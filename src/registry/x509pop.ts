// Proof of possession of a factory certificate: who the holder of one is, by the registry and never by what the
// certificate says of itself.
import type { SpiffeId, TrustDomain } from "../spiffe/id.ts";
import { deviceId, x509popAgentId } from "../spiffe/kind.ts";
import { x509popTranscript } from "../spiffe/x509pop-proof.ts";
import type { DeviceClassRecord } from "../store/collections/device-classes.ts";
import { type DeviceRecord, factoryCertificates } from "../store/collections/devices.ts";
import { tokens } from "../store/collections/tokens.ts";
import type { Store, Stored } from "../store/store.ts";
import type { Certificate } from "../x509/certificate.ts";
import { CaError } from "./ca-error.ts";
import { getDeviceClass } from "./device-classes.ts";
import { findDevice, unknownDevice } from "./devices.ts";
import type { FactoryCasReader } from "./factory-cas.ts";
import { type FactoryChain, judgeFactory, pinnedFault, signedBy } from "./factory-chain.ts";
import { sha256Hex } from "./tokens.ts";

export interface X509PopDeps {
  readonly store: Pick<Store, "get" | "scan">;
  readonly trustDomain: TrustDomain;
  readonly factoryCas: Pick<FactoryCasReader, "current">;
  /** CAs whose certificates let a node in that nobody registered, as /agent/x509pop/SHA256. */
  readonly unregisteredCas: readonly Certificate[];
}

export interface X509PopProof {
  readonly serverNonce: Uint8Array;
  readonly clientNonce: Uint8Array;
  readonly csrDer: Uint8Array;
  readonly signature: Uint8Array;
}

/** Whom a factory certificate stands for. */
export type FactoryHolder =
  | { readonly kind: "device"; readonly device: Stored<DeviceRecord>; readonly deviceClass: DeviceClassRecord }
  /** A node that an admin registered by the fingerprint of its certificate; its join string has no secret. */
  | { readonly kind: "node"; readonly id: SpiffeId; readonly secret: Uint8Array }
  | { readonly kind: "unregistered"; readonly id: SpiffeId };

/**
 * Who holds a factory certificate, judged in this order: the proof, by the key of the certificate; the certificate; the
 * registry. Until the proof holds and the certificate is one of a CA that is known here, there is one answer, which tells
 * a stranger nothing of what is registered. Throws "unauthenticated" `factory_unproven` and `factory_unknown`, then
 * "denied".
 */
export async function factoryHolder(
  deps: X509PopDeps,
  chain: FactoryChain,
  { proof, now }: { readonly proof: X509PopProof; readonly now: Date },
): Promise<FactoryHolder> {
  const transcript = x509popTranscript({
    trustDomain: deps.trustDomain,
    serverNonce: proof.serverNonce,
    clientNonce: proof.clientNonce,
    csrSha256: Buffer.from(sha256Hex(proof.csrDer), "hex"),
  });
  if (!signedBy(chain.leaf, transcript, proof.signature)) {
    throw new CaError("unauthenticated", "the proof is not by the key of the factory certificate", {
      rule: "factory_unproven",
    });
  }
  const bound = await deps.store.get(factoryCertificates, chain.fingerprint);
  if (bound !== undefined) return boundDevice(deps, chain, { deviceId: bound.value.deviceId, now });
  const node = await registeredNode(deps, chain, now);
  if (node !== undefined) return node;
  const device = await deviceBySerial(deps, chain, now);
  if (device !== undefined) return device;
  const unregistered = judgeFactory(chain, { cas: deps.unregisteredCas, at: now });
  if (unregistered.reached.length > 0) {
    return { kind: "unregistered", id: x509popAgentId(deps.trustDomain, chain.fingerprint) };
  }
  const why = unregistered.fault === undefined ? "it is of no CA that lets anybody in here" : unregistered.fault;
  throw unknownFactory(`the factory certificate proves nothing: ${why}`);
}

/** A device that this very certificate was registered for, or bound to when it joined first. */
async function boundDevice(
  deps: X509PopDeps,
  chain: FactoryChain,
  { deviceId: id, now }: { readonly deviceId: string; readonly now: Date },
): Promise<FactoryHolder> {
  const device = await findDevice(deps.store, id);
  if (device === undefined) throw new CaError("internal", `a factory certificate is that of ${id}, which is no device`);
  const { serialNumber } = device.value;
  const deviceClass = await getDeviceClass(deps.store, device.value.deviceClass);
  const cas = (await deps.factoryCas.current()).casOf(deviceClass.name);
  const { reached, fault } = judgeFactory(chain, { cas, at: now });
  if (reached.length === 0) {
    const why = fault ?? "it is of none of its factory CAs";
    throw unknownFactory(`the factory certificate is not good for the class ${deviceClass.name}: ${why}`);
  }
  // A certificate without a serial number is known by its fingerprint alone.
  if (chain.serialNumbers.length > 0 && !chain.serialNumbers.includes(serialNumber)) {
    throw new CaError(
      "denied",
      "the factory certificate has another serial number than the device it is registered for",
      {
        rule: "serial_number_other",
        value: chain.serialNumbers[0] ?? "",
        limit: serialNumber,
        cure: `signet device show ${deviceClass.name}/${serialNumber}`,
      },
    );
  }
  return { kind: "device", device, deviceClass };
}

async function registeredNode(deps: X509PopDeps, chain: FactoryChain, now: Date): Promise<FactoryHolder | undefined> {
  const secret = fingerprintSecret(chain.fingerprint);
  const token = await deps.store.get(tokens, sha256Hex(secret));
  if (token === undefined) return undefined;
  const fault = pinnedFault(chain, now);
  if (fault !== undefined) throw unknownFactory(`the factory certificate proves nothing: ${fault}`);
  return { kind: "node", id: token.value.subject as SpiffeId, secret };
}

/**
 * The device with the serial number that the certificate says, of a class whose CAs the certificate is of. Undefined when
 * it is of none.
 */
async function deviceBySerial(deps: X509PopDeps, chain: FactoryChain, now: Date): Promise<FactoryHolder | undefined> {
  const factoryCas = await deps.factoryCas.current();
  const { reached, fault } = judgeFactory(chain, { cas: factoryCas.all, at: now });
  // Of a CA that is known, and yet not good: the reason helps, and says nothing of what is registered.
  if (fault !== undefined) throw unknownFactory(`the factory certificate proves nothing: ${fault}`);
  const classes = new Map(reached.flatMap(factoryCas.classesOf).map((each) => [each.name, each]));
  for (const deviceClass of classes.values()) {
    for (const serialNumber of chain.serialNumbers) {
      const id = idOf(deps.trustDomain, deviceClass.name, serialNumber);
      const device = id === undefined ? undefined : await findDevice(deps.store, id);
      if (device === undefined) continue;
      // Bound to another one: this is a second certificate that claims the same serial number.
      if (device.value.fingerprint !== undefined) {
        throw new CaError("denied", `${device.value.deviceId} is bound to another factory certificate`, {
          rule: "factory_certificate_other",
          value: chain.fingerprint,
          cure: `signet device show ${deviceClass.name}/${serialNumber}`,
        });
      }
      return { kind: "device", device, deviceClass };
    }
  }
  const [first] = classes.keys();
  if (first === undefined) return undefined;
  const serialNumber = chain.serialNumbers[0] ?? "";
  if (serialNumber === "") {
    throw new CaError("denied", "the factory certificate has no serial number, and its fingerprint is not registered", {
      rule: "device_unknown",
      value: chain.fingerprint,
      cure: "signet device add --from CSV     (with its fingerprint)",
    });
  }
  const id = idOf(deps.trustDomain, first, serialNumber);
  if (id !== undefined) throw unknownDevice(id);
  throw new CaError("denied", "the serial number in the factory certificate cannot be that of a device here", {
    rule: "device_unknown",
    value: serialNumber,
  });
}

function idOf(trustDomain: TrustDomain, deviceClass: string, serialNumber: string): SpiffeId | undefined {
  return /^[A-Za-z0-9._-]{1,64}$/.test(serialNumber) && !/^\.{1,2}$/.test(serialNumber)
    ? deviceId(trustDomain, deviceClass, serialNumber)
    : undefined;
}

function unknownFactory(detail: string): CaError {
  return new CaError("unauthenticated", detail, { rule: "factory_unknown", cure: "signet device class list" });
}

/**
 * What stands for the secret of a join string that has none: it is found by the fingerprint of a certificate. Not 32
 * octets, so nobody can send it in the place of a secret.
 */
function fingerprintSecret(fingerprint: string): Uint8Array {
  return new TextEncoder().encode(`x509pop ${fingerprint}`);
}
