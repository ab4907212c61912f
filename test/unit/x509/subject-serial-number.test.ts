import { describe, expect, it } from "vitest";
import { oid, printableString, sequence, set, utf8String } from "../../../src/x509/der-writer.ts";
import { OID } from "../../../src/x509/oid.ts";
import { subjectSerialNumber } from "../../../src/x509/subject-serial-number.ts";

const attribute = (type: string, value: Uint8Array): Uint8Array => set(sequence(oid(type), value));
const of = (...attributes: readonly Uint8Array[]): string | undefined =>
  subjectSerialNumber({ subjectDer: sequence(...attributes) });

describe("subjectSerialNumber()", () => {
  it("reads the attribute serialNumber wherever it stands, as either string type", () => {
    const name = attribute(OID.commonName, utf8String("sensor"));
    expect(of(name, attribute(OID.serialNumber, printableString("SN-1")))).toBe("SN-1");
    expect(of(attribute(OID.serialNumber, utf8String("SN-1")), name)).toBe("SN-1");
  });

  it("is undefined without one, and for an empty subject", () => {
    expect(of(attribute(OID.commonName, utf8String("SN-1")))).toBeUndefined();
    expect(of()).toBeUndefined();
  });

  it("refuses two of them: nobody could say which one counts", () => {
    const one = attribute(OID.serialNumber, printableString("SN-1"));
    expect(() => of(one, one)).toThrow(expect.objectContaining({ code: "bad_name" }));
  });
});
