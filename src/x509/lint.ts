// Named invariants of the certificates that we make, run on a certificate of each profile when that is loaded. They say
// what we promise; whether that is the right thing is for zlint and pkilint to judge.
import type { Certificate } from "./certificate.ts";
import { sameOctets } from "./der.ts";
import type { KeyUsageName } from "./extensions.ts";
import { OID } from "./oid.ts";
import { signatureAlgorithmDer } from "./signature.ts";
import { keyIdentifier } from "./spki.ts";
import type { LeafUsage } from "./template.ts";

export interface LintFinding {
  /** Name of the invariant. */
  readonly name: string;
  /** What it demands, with its source. */
  readonly rule: string;
}

interface Invariant<Context> {
  readonly name: string;
  readonly rule: string;
  readonly holds: (certificate: Certificate, context: Context) => boolean;
}

interface LeafContext {
  readonly issuer: Certificate;
  readonly extendedKeyUsage: LeafUsage;
}

interface CaContext {
  /** The certificate itself for a root. */
  readonly issuer: Certificate;
}

/** The invariants that a leaf breaks; none when it is as it must be. The signature is not looked at. */
export function lintLeaf(leaf: Certificate, context: LeafContext): readonly LintFinding[] {
  return broken([...ofAll, ...ofLeaves], leaf, context);
}

/** The invariants that a root (its own issuer) or an intermediate breaks. The signature is not looked at. */
export function lintCa(certificate: Certificate, context: CaContext): readonly LintFinding[] {
  return broken([...ofAll, ...ofCas], certificate, context);
}

const ofAll: readonly Invariant<CaContext>[] = [
  {
    name: "serial_random_positive",
    rule: "16 octets that begin with 40 to 7f (RFC 5280 4.1.2.2)",
    holds: ({ serialHex }) => /^[4-7][0-9a-f]{31}$/.test(serialHex),
  },
  {
    name: "issuer_is_subject_of_issuer",
    rule: "the issuer name has the octets of the issuer's subject (RFC 5280 4.1.2.4)",
    holds: (certificate, { issuer }) => sameOctets(certificate.issuerDer, issuer.subjectDer),
  },
  {
    name: "time_inside_issuer",
    rule: "begins and ends inside of the issuer's validity",
    holds: ({ notBefore, notAfter }, { issuer }) =>
      notBefore <= notAfter && notBefore >= issuer.notBefore && notAfter <= issuer.notAfter,
  },
  {
    name: "signature_algorithm_of_issuer_key",
    rule: "the one algorithm of the issuer's kind of key (RFC 4055, 5758, 8410)",
    holds: ({ signatureAlgorithmDer: algorithm }, { issuer }) =>
      sameOctets(algorithm, signatureAlgorithmDer(issuer.publicKey.type)),
  },
  {
    name: "subject_key_id_is_key_hash",
    rule: "160 bits of the SHA-256 of the key (RFC 5280 4.2.1.2, RFC 7093 2)",
    holds: ({ subjectKeyId, publicKey }) => subjectKeyId === Buffer.from(keyIdentifier(publicKey)).toString("hex"),
  },
  {
    name: "authority_key_id_is_issuers",
    rule: "the subject key identifier of the issuer; may be left out by a root (RFC 5280 4.2.1.1)",
    holds: (certificate, { issuer }) =>
      certificate.authorityKeyId === issuer.subjectKeyId ||
      (certificate === issuer && certificate.authorityKeyId === undefined),
  },
  {
    name: "no_unknown_critical_extension",
    rule: "every critical extension is one that path validation acts upon (RFC 5280 4.2)",
    holds: ({ criticalUnknown }) => criticalUnknown.length === 0,
  },
];

const ofLeaves: readonly Invariant<LeafContext>[] = [
  {
    name: "leaf_no_subject_critical_names",
    rule: "an empty subject and critical names (RFC 5280 4.1.2.6)",
    holds: ({ subjectName, sanCritical }) => subjectName.length === 0 && sanCritical,
  },
  {
    name: "leaf_one_spiffe_id_with_path",
    rule: "exactly one URI, a SPIFFE ID with a path (X509-SVID 2)",
    holds: ({ names }) => {
      const uris = names.filter(({ kind }) => kind === "uri");
      return uris.length === 1 && /^spiffe:\/\/[^/]+\/./.test(uris[0]?.value ?? "");
    },
  },
  {
    name: "leaf_names_of_known_kinds",
    rule: "no names but URI, DNS and IP, none twice",
    holds: ({ names }) =>
      names.every(({ kind }) => kind === "uri" || kind === "dns" || kind === "ip") &&
      new Set(names.map(({ kind, value }) => `${kind}:${value}`)).size === names.length,
  },
  {
    name: "leaf_is_no_ca",
    rule: "no CA bit, no keyCertSign, no cRLSign (X509-SVID 4.1, 4.3)",
    holds: ({ basicConstraints, keyUsage }) =>
      basicConstraints?.ca !== true && keyUsage?.has("keyCertSign") !== true && keyUsage?.has("cRLSign") !== true,
  },
  {
    name: "leaf_key_usage",
    rule: "digitalSignature, and keyEncipherment for RSA servers alone (RFC 8813 3, RFC 5280 4.2.1.12)",
    holds: ({ keyUsage, publicKey }, { extendedKeyUsage }) =>
      isExactly(
        keyUsage,
        publicKey.type.startsWith("rsa-") && extendedKeyUsage !== "client"
          ? ["digitalSignature", "keyEncipherment"]
          : ["digitalSignature"],
      ),
  },
  {
    name: "leaf_extended_key_usage",
    rule: "the TLS purposes of its profile and no other (X509-SVID 4.4)",
    holds: ({ extendedKeyUsage }, context) => extendedKeyUsage?.join() === purposes[context.extendedKeyUsage],
  },
];

const ofCas: readonly Invariant<CaContext>[] = [
  {
    name: "ca_bit",
    rule: "basicConstraints with cA (RFC 5280 4.2.1.9)",
    holds: ({ basicConstraints }) => basicConstraints?.ca === true,
  },
  {
    name: "ca_path_length",
    rule: "an intermediate has path length 0, a root none",
    holds: (certificate, { issuer }) =>
      certificate.basicConstraints?.pathLength === (certificate === issuer ? undefined : 0),
  },
  {
    name: "ca_key_usage",
    rule: "keyCertSign and cRLSign and nothing else (RFC 5280 4.2.1.3, X509-SVID 4.3)",
    holds: ({ keyUsage }) => isExactly(keyUsage, ["keyCertSign", "cRLSign"]),
  },
  {
    name: "ca_subject",
    rule: "a subject that is not empty (RFC 5280 4.1.2.6)",
    holds: ({ subjectName }) => subjectName.length > 0,
  },
  {
    name: "ca_names_its_trust_domain",
    rule: "one name, the SPIFFE ID of the trust domain without a path (X509-SVID 3.2)",
    holds: ({ names }) => names.length === 1 && /^spiffe:\/\/[^/]+$/.test(names[0]?.value ?? ""),
  },
];

const purposes: Readonly<Record<LeafUsage, string>> = {
  server: OID.serverAuth,
  client: OID.clientAuth,
  both: [OID.serverAuth, OID.clientAuth].join(),
};

function isExactly(usage: ReadonlySet<KeyUsageName> | undefined, wanted: readonly KeyUsageName[]): boolean {
  return usage?.size === wanted.length && wanted.every((name) => usage.has(name));
}

function broken<Context>(
  invariants: readonly Invariant<Context>[],
  certificate: Certificate,
  context: Context,
): readonly LintFinding[] {
  return invariants.filter(({ holds }) => !holds(certificate, context)).map(({ name, rule }) => ({ name, rule }));
}
