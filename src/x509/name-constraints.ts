// Name constraints (RFC 5280 4.2.1.10): what a CA's certificate says about the names of all certificates below it.
// Excluded wins over permitted, the constraints of all CAs above count, what is malformed or not understood refuses.
import type { Certificate } from "./certificate.ts";
import { children, type DerValue, readDer } from "./der.ts";
import { type CanonicalName, canonicalName, isBelow } from "./distinguished-name.ts";
import { X509Error } from "./errors.ts";
import type { GeneralName } from "./general-name.ts";

/** One subtree. Hosts are lower-case; a leading dot is kept, for it has a meaning. */
export type Subtree =
  | { readonly kind: "dns" | "uri" | "email"; readonly value: string }
  | { readonly kind: "ip"; readonly address: Uint8Array; readonly mask: Uint8Array }
  | { readonly kind: "directory"; readonly name: CanonicalName }
  | { readonly kind: "other" };

export interface NameConstraints {
  readonly permitted: readonly Subtree[];
  readonly excluded: readonly Subtree[];
}

/** A name of a certificate in the form that subtrees are compared with. */
type Name =
  | { readonly kind: "dns" | "uri" | "email"; readonly value: string }
  | { readonly kind: "ip"; readonly octets: Uint8Array }
  | { readonly kind: "directory"; readonly name: CanonicalName }
  | { readonly kind: "other" };

const maxSubtrees = 100;
const permittedTag = 0xa0;
const excludedTag = 0xa1;

/** Reads the value of the extension. Throws X509Error "bad_extension" when it is malformed in any way. */
export function parseNameConstraints(value: Uint8Array): NameConstraints {
  const top = readDer(value, "nameConstraints");
  const parts = top.tag === 0x30 ? children(top) : [];
  const tags = parts.map((part) => part.tag).join();
  if (![`${permittedTag}`, `${excludedTag}`, `${permittedTag},${excludedTag}`].includes(tags)) {
    throw bad("it holds neither permitted nor excluded subtrees, or other things");
  }
  const trees = (tag: number): readonly Subtree[] => {
    const list = parts.find((part) => part.tag === tag);
    if (list === undefined) return [];
    const items = children(list);
    if (items.length === 0 || items.length > maxSubtrees)
      throw bad(`1 to ${maxSubtrees} subtrees, got ${items.length}`);
    return items.map(subtreeOf);
  };
  return { permitted: trees(permittedTag), excluded: trees(excludedTag) };
}

/**
 * Judges the names of one certificate by the constraints of one CA above it. Answers undefined when they allow it, else
 * why not.
 */
export function nameFault(constraints: NameConstraints, certificate: Certificate): string | undefined {
  for (const name of namesOf(certificate)) {
    const fits = (tree: Subtree, excluded: boolean): boolean => tree.kind === name.kind && covers(tree, name, excluded);
    const permitted = constraints.permitted.filter((tree) => tree.kind === name.kind);
    const excluded = constraints.excluded.filter((tree) => tree.kind === name.kind);
    if (permitted.length + excluded.length === 0) continue;
    if (name.kind === "other") return "a constraint is on a form of name that is not understood";
    if ((name.kind === "uri" || name.kind === "email") && hostOf(name) === undefined) {
      return `a constraint is on ${name.kind} names and one has no host name in it`;
    }
    if (excluded.some((tree) => fits(tree, true))) return `a name of kind ${name.kind} is excluded`;
    if (permitted.length > 0 && !permitted.some((tree) => fits(tree, false))) {
      return `a name of kind ${name.kind} is not permitted`;
    }
  }
  return undefined;
}

function subtreeOf(subtree: DerValue): Subtree {
  const [base, ...limits] = subtree.tag === 0x30 ? children(subtree) : [];
  if (base === undefined) throw bad("a subtree without a name");
  // minimum is 0 and left out in DER, maximum must be absent.
  if (limits.length > 0) throw bad("a subtree with a minimum or maximum");
  switch (base.tag) {
    case 0x81:
      return { kind: "email", value: emailBase(ascii(base)) };
    case 0x82:
      return { kind: "dns", value: hostBase(ascii(base), true) };
    case 0x86:
      return { kind: "uri", value: hostBase(ascii(base), false) };
    case 0x87:
      return ipBase(base.content);
    case 0xa4: {
      const [name, ...rest] = children(base);
      if (name === undefined || name.tag !== 0x30 || rest.length > 0) throw bad("a directory name that is no name");
      return { kind: "directory", name: canonicalName(name) };
    }
    default:
      return { kind: "other" };
  }
}

function ascii(value: DerValue): string {
  if (value.content.some((octet) => octet <= 0x20 || octet >= 0x7f)) throw bad("a name with characters it cannot have");
  return Buffer.from(value.content).toString("latin1");
}

/** A host, or with a leading dot the hosts below it. The empty one is every host for DNS and malformed for URIs. */
function hostBase(text: string, mayBeEmpty: boolean): string {
  const host = text.startsWith(".") ? text.slice(1) : text;
  if (text === "" && mayBeEmpty) return "";
  if (!isHost(host)) throw bad("a name that is no host name");
  return text.toLowerCase();
}

function emailBase(text: string): string {
  const at = text.lastIndexOf("@");
  if (at === 0 || (at > 0 && !isHost(text.slice(at + 1)))) throw bad("a mail address that is none");
  return at < 0 ? hostBase(text, false) : text.slice(0, at) + text.slice(at).toLowerCase();
}

function ipBase(octets: Uint8Array): Subtree {
  if (octets.length !== 8 && octets.length !== 32)
    throw bad(`an address range has 8 or 32 octets, got ${octets.length}`);
  const address = octets.slice(0, octets.length / 2);
  const mask = octets.slice(octets.length / 2);
  const bits = [...mask].map((octet) => octet.toString(2).padStart(8, "0")).join("");
  if (bits.includes("01")) throw bad("the mask of an address range has a gap");
  return { kind: "ip", address, mask };
}

function isHost(text: string): boolean {
  return text.length > 0 && text.length <= 255 && text.split(".").every((label) => /^[A-Za-z0-9_-]{1,63}$/.test(label));
}

function namesOf(certificate: Certificate): Name[] {
  const names = certificate.names.map(nameOf);
  const subject = certificate.subjectName;
  if (subject.length > 0) names.push({ kind: "directory", name: subject });
  // emailAddress in the subject counts as a mail address (RFC 5280 4.2.1.10); what it says is not looked at.
  if (subject.some((rdn) => rdn.includes(emailAddressType))) names.push({ kind: "email", value: "" });
  return names;
}

/** 1.2.840.113549.1.9.1, as canonical names write it. */
const emailAddressType = "2a864886f70d010901=";

function nameOf(name: GeneralName): Name {
  switch (name.kind) {
    case "dns":
    case "uri":
    case "email":
      return { kind: name.kind, value: name.value };
    case "ip":
      return { kind: "ip", octets: readDer(name.der, "iPAddress").content };
    case "directory": {
      const [inner] = children(readDer(name.der, "directoryName"));
      return inner === undefined ? { kind: "other" } : { kind: "directory", name: canonicalName(inner) };
    }
    case "other":
      return { kind: "other" };
  }
}

function covers(tree: Subtree, name: Name, excluded: boolean): boolean {
  if (tree.kind === "ip" && name.kind === "ip") {
    if (tree.address.length !== name.octets.length) return false;
    return tree.mask.every((bits, i) => ((tree.address[i] ?? 0) & bits) === ((name.octets[i] ?? 0) & bits));
  }
  if (tree.kind === "directory" && name.kind === "directory") return isBelow(name.name, tree.name);
  if (tree.kind === "dns" && name.kind === "dns") return coversDns(tree.value, name.value.toLowerCase(), excluded);
  if (tree.kind === "uri" && name.kind === "uri") return coversHost(tree.value, hostOf(name));
  if (tree.kind === "email" && name.kind === "email") {
    return tree.value.includes("@") ? sameMail(tree.value, name.value) : coversHost(tree.value, hostOf(name));
  }
  return false;
}

/** DNS: the host and all below it. A wildcard is excluded already when it could stand for an excluded host. */
function coversDns(base: string, host: string, excluded: boolean): boolean {
  if (base === "") return true;
  const wild = host.startsWith("*.");
  const name = wild ? host.slice(2) : host;
  if (wild && excluded && (base === name || base.endsWith(`.${name}`))) return true;
  if (base.startsWith(".")) return name.endsWith(base) || (wild && `.${name}` === base);
  return name === base || name.endsWith(`.${base}`);
}

/** URI and mail: exactly the host, or with a leading dot the hosts below it and not the host itself. */
function coversHost(base: string, host: string | undefined): boolean {
  if (host === undefined) return false;
  return base.startsWith(".") ? host.endsWith(base) && host.length > base.length : host === base;
}

/** The host name of a URI or a mail address, lower-case; undefined when there is none or it is an address. */
function hostOf(name: Name): string | undefined {
  if (name.kind !== "uri" && name.kind !== "email") return undefined;
  const rest =
    name.kind === "email" ? /^[^@]+@(.*)$/.exec(name.value) : /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/?#]*)/.exec(name.value);
  const authority = rest?.[1] ?? "";
  const host = (
    name.kind === "uri" ? authority.slice(authority.lastIndexOf("@") + 1).replace(/:\d*$/, "") : authority
  ).toLowerCase();
  return isHost(host) && !/^\d+\.\d+\.\d+\.\d+$/.test(host) ? host : undefined;
}

function sameMail(base: string, mail: string): boolean {
  const at = mail.lastIndexOf("@");
  return base === mail.slice(0, at) + mail.slice(at).toLowerCase();
}

function bad(what: string): X509Error {
  return new X509Error("bad_extension", `nameConstraints: ${what}`);
}
