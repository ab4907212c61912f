import type {
  AddedDevice,
  AdminServiceServer,
  CreateDeviceClassRequest,
  CreateDeviceClassResponse,
  Device,
  DeviceClass,
  NewDevice,
  Authority as WireAuthority,
} from "../../../proto/gen/signet/v1/admin.ts";
import { DeviceState as WireState } from "../../../proto/gen/signet/v1/admin.ts";
import type { Actor } from "../../audit/audit.ts";
import type { Authority } from "../../authority/authority.ts";
import { prepareIntermediate } from "../../authority/rotation.ts";
import { deviceTtlSeconds } from "../../issuing/profile/profile.ts";
import { CaError } from "../../registry/ca-error.ts";
import { commit } from "../../registry/committed.ts";
import {
  checkDeviceClass,
  type DeviceClassWish,
  deviceClassOps,
  getDeviceClass,
} from "../../registry/device-classes.ts";
import { addDevice, type DeviceState, deviceState, getDevice } from "../../registry/devices.ts";
import { type DeviceClassRecord, deviceClasses } from "../../store/collections/device-classes.ts";
import { type DeviceRecord, devices } from "../../store/collections/devices.ts";
import { parseCertificate } from "../../x509/certificate.ts";
import { sameOctets } from "../../x509/der.ts";
import { caErrorOf, unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import { actorOf } from "./actor.ts";
import { announced } from "./announced.ts";
import { authorityOnWire } from "./authorities.ts";
import type { AdminDeps } from "./handler.ts";
import { continued, page, pageSize } from "./paging.ts";

const wireStates: { readonly [state in DeviceState]: WireState } = {
  expected: WireState.DEVICE_STATE_EXPECTED,
  live: WireState.DEVICE_STATE_LIVE,
  asleep: WireState.DEVICE_STATE_ASLEEP,
  gone: WireState.DEVICE_STATE_GONE,
};

/** Devices of one call; their commits go into a few groups. */
const maxAdded = 1000;
/** How long the answer waits until the new intermediate signs, milliseconds; then it does so by itself. */
const activationWaitMs = 5000;

type Methods = "createDeviceClass" | "listDeviceClasses" | "addDevices" | "listDevices" | "getDevice";

export function deviceMethods(deps: AdminDeps): Pick<AdminServiceServer, Methods> {
  return {
    createDeviceClass: unary(deps, grpcTable, (request, call) =>
      createClass(deps, request, actorOf(deps, call, request.reason)),
    ),
    listDeviceClasses: unary(deps, grpcTable, async (request) => {
      const found = await page(
        deps.store.scan(deviceClasses, "key", {}, continued(request.pageToken)),
        pageSize(request.pageSize),
      );
      const classes: DeviceClass[] = [];
      for (const { value } of found.items) classes.push(await classToWire(deps, value));
      return { deviceClasses: classes, nextPageToken: found.next };
    }),
    addDevices: unary(deps, grpcTable, async (request, call) => {
      const wanted = request.devices;
      if (wanted.length === 0 || wanted.length > maxAdded) {
        throw new CaError("bad_request", `1 to ${maxAdded} devices are added at once, got ${wanted.length}`);
      }
      const by = actorOf(deps, call, request.reason);
      return { results: await Promise.all(wanted.map((each) => addOne(deps, each, by))) };
    }),
    listDevices: unary(deps, grpcTable, async ({ deviceClass, pageToken, pageSize: size }) => {
      if (deviceClass !== "") await getDeviceClass(deps.store, deviceClass);
      const range = deviceClass === "" ? {} : { prefix: [deviceClass] };
      const found = await page(deps.store.scan(devices, "class", range, continued(pageToken)), pageSize(size));
      const graceOf = await graceReader(deps);
      const wire: Device[] = [];
      for (const { value } of found.items) wire.push(deviceToWire(value, await graceOf(value), deps.clock.now()));
      return { devices: wire, nextPageToken: found.next };
    }),
    getDevice: unary(deps, grpcTable, async (request) => {
      const { value } = await getDevice(deps, request.device);
      const { graceSeconds } = await getDeviceClass(deps.store, value.deviceClass);
      return { device: deviceToWire(value, graceSeconds, deps.clock.now()) };
    }),
  };
}

/** The first class makes the devices' own intermediate, in the same commit. */
async function createClass(
  deps: AdminDeps,
  request: CreateDeviceClassRequest,
  by: Actor,
): Promise<CreateDeviceClassResponse> {
  const wish: DeviceClassWish = checkDeviceClass(
    {
      name: request.name,
      ttlSeconds: request.ttlSeconds === 0 ? deviceTtlSeconds : request.ttlSeconds,
      graceSeconds: request.graceSeconds,
      serverAuth: request.serverAuth,
      factoryCasDer: request.factoryCasDer.map((der) => new Uint8Array(der)),
    },
    { maxTtlSeconds: deps.maxDeviceTtlSeconds(), now: deps.clock.now() },
  );
  refuseOwnAuthority(deps, wish);
  try {
    const made = hasAuthority(deps)
      ? await addClass(deps, wish, by)
      : await addClassAndAuthority(deps, wish, { request, by });
    const deviceClass = await classToWire(deps, await getDeviceClass(deps.store, wish.name));
    return { deviceClass, ...(made === undefined ? {} : { authority: made }) };
  } finally {
    // Also after an answer that is in doubt.
    deps.factoryCas.forget();
  }
}

function hasAuthority({ state }: AdminDeps): boolean {
  return state
    .view()
    .authorities.some(
      ({ record }) => record.serves.includes("devices") && (record.state === "active" || record.state === "prepared"),
    );
}

async function addClass(deps: AdminDeps, wish: DeviceClassWish, by: Actor): Promise<undefined> {
  const result = await commit(deps.store, await deviceClassOps(deps, wish, by));
  if (!result.done) await deviceClassOps(deps, wish, by); // throws "exists"
}

async function addClassAndAuthority(
  deps: AdminDeps,
  wish: DeviceClassWish,
  { request, by }: { readonly request: CreateDeviceClassRequest; readonly by: Actor },
): Promise<WireAuthority> {
  deps.clockWatch.sureNow(); // Nothing is signed while it throws.
  // Before a key is made for nothing.
  await deviceClassOps(deps, wish, by);
  const made = await prepareIntermediate(
    deps.rotation,
    {
      serves: "devices",
      activateFrom: deps.clock.now(),
      together: () => deviceClassOps(deps, wish, by),
      rootKeyCure: `signet device class create ${wish.name} --ca FILE --root-key FILE`,
      ...(request.rootKeyPem.length === 0 ? {} : { rootSigner: deps.rootSigner(request.rootKeyPem) }),
    },
    by,
  );
  deps.lookNow();
  return authorityOnWire(deps, await activated(deps, made));
}

/** Agents get its empty CRL first; most have it in a moment. */
async function activated(deps: AdminDeps, made: Authority): Promise<Authority> {
  const over = new AbortController();
  const timer = deps.clock.sleep(activationWaitMs, { signal: over.signal, unref: true }).then(() => over.abort());
  let latest = made;
  try {
    for await (const _ of announced(deps, over.signal)) {
      const now = deps.state.view().authorities.find(({ record }) => record.name === made.record.name);
      if (now !== undefined) latest = now;
      if (latest.record.state !== "prepared") break;
    }
  } finally {
    over.abort();
    await timer;
  }
  return latest;
}

/** Whoever our own authority gave a certificate is no device of a factory. */
function refuseOwnAuthority(deps: AdminDeps, wish: DeviceClassWish): void {
  for (const der of wish.factoryCasDer) {
    const { publicKey, subjectText } = parseCertificate(der);
    const own = deps.state
      .view()
      .authorities.find(({ certificate }) => sameOctets(certificate.publicKey.der, publicKey.der));
    if (own === undefined) continue;
    throw new CaError(
      "bad_request",
      `${subjectText} is ${own.record.name} of this trust domain, not the CA of a factory`,
    );
  }
}

async function addOne(deps: AdminDeps, wanted: NewDevice, by: Actor): Promise<AddedDevice> {
  try {
    const { device, already } = await addDevice(deps, wanted, by);
    return { device: deviceToWire(device, 0, deps.clock.now()), already, error: "" };
  } catch (error) {
    const { message, facts } = caErrorOf(deps, error);
    return { already: false, error: facts.value === undefined ? message : `${message}: ${facts.value}` };
  }
}

async function classToWire(deps: AdminDeps, record: DeviceClassRecord): Promise<DeviceClass> {
  const now = deps.clock.now().getTime();
  let all = 0n;
  let live = 0n;
  for await (const { value } of deps.store.scan(devices, "class", { prefix: [record.name] })) {
    all++;
    if (value.newest !== undefined && value.newest.notAfter >= now) live++;
  }
  return {
    name: record.name,
    ttlSeconds: record.ttlSeconds,
    graceSeconds: record.graceSeconds,
    serverAuth: record.serverAuth,
    factoryCasDer: record.factoryCasDer.map((der) => Buffer.from(der)),
    createdAt: new Date(record.createdAt),
    createdBy: record.createdBy,
    devices: all,
    devicesLive: live,
  };
}

/** The grace of each class, read once. */
async function graceReader(deps: AdminDeps): Promise<(device: DeviceRecord) => Promise<number>> {
  const known = new Map<string, number>();
  return async ({ deviceClass }) => {
    const held = known.get(deviceClass) ?? (await getDeviceClass(deps.store, deviceClass)).graceSeconds;
    known.set(deviceClass, held);
    return held;
  };
}

function deviceToWire(device: DeviceRecord, graceSeconds: number, now: Date): Device {
  const { joined, newest } = device;
  return {
    spiffeId: device.deviceId,
    deviceClass: device.deviceClass,
    serialNumber: device.serialNumber,
    fingerprint: device.fingerprint ?? "",
    state: wireStates[deviceState(device, graceSeconds, now)],
    addedAt: new Date(device.addedAt),
    addedBy: device.addedBy,
    joinedFrom: joined?.from ?? "",
    serialHex: newest?.serialHex ?? "",
    joins: joined?.times ?? 0,
    ...(joined === undefined ? {} : { joinedAt: new Date(joined.at) }),
    ...(newest === undefined ? {} : { notAfter: new Date(newest.notAfter) }),
  };
}
