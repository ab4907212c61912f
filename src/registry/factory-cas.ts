import type { DeviceClassRecord } from "../store/collections/device-classes.ts";
import type { Store } from "../store/store.ts";
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { allDeviceClasses } from "./device-classes.ts";

/** The CAs of all device classes, parsed once: whoever shows a factory certificate is held against all of them. */
export interface FactoryCas {
  readonly all: readonly Certificate[];
  /** The classes of a CA, by the names of the classes. */
  readonly classesOf: (ca: Certificate) => readonly DeviceClassRecord[];
  readonly casOf: (deviceClass: string) => readonly Certificate[];
}

export interface FactoryCasReader {
  current(): Promise<FactoryCas>;
  /** A class was made, or may have been: read anew. */
  forget(): void;
}

export function createFactoryCasReader(store: Pick<Store, "scan">): FactoryCasReader {
  let reading: Promise<FactoryCas> | undefined;
  return {
    current: () => {
      if (reading !== undefined) return reading;
      const begun = read(store);
      reading = begun;
      begun.catch(() => {
        if (reading === begun) reading = undefined;
      });
      return begun;
    },
    forget: () => {
      reading = undefined;
    },
  };
}

async function read(store: Pick<Store, "scan">): Promise<FactoryCas> {
  const parsed = new Map<string, Certificate>();
  const classes = new Map<string, DeviceClassRecord[]>();
  const casOf = new Map<string, readonly Certificate[]>();
  for (const deviceClass of await allDeviceClasses(store)) {
    const cas = deviceClass.factoryCasDer.map((der) => {
      const key = keyOf(der);
      const ca = parsed.get(key) ?? parseCertificate(der);
      parsed.set(key, ca);
      classes.set(key, [...(classes.get(key) ?? []), deviceClass]);
      return ca;
    });
    casOf.set(deviceClass.name, cas);
  }
  return {
    all: [...parsed.values()],
    classesOf: (ca) => classes.get(keyOf(ca.raw)) ?? [],
    casOf: (deviceClass) => casOf.get(deviceClass) ?? [],
  };
}

function keyOf(der: Uint8Array): string {
  return Buffer.from(der).toString("latin1");
}
