// signet bundle: the trust bundle, in the forms that others read.

import { createHash, X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { Bundle } from "../../proto/gen/signet/v1/bundle.ts";
import { formatDuration } from "../platform/durations.ts";
import { encodePem } from "../x509/pem.ts";
import type { Declare } from "./command.ts";
import { withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode, reasonOf, wrongUse } from "./failure.ts";
import { counted, facts, plain } from "./layout.ts";
import { ends } from "./moments.ts";
import { bundleObject } from "./objects.ts";
import { readPassphrase } from "./root-key-file.ts";

export function addBundle(program: Command, declare: Declare): void {
  const bundle = declare.group(program, "bundle", {
    summary: "the roots that services trust: show",
    examples: ["signet bundle show -o pem > ca.crt"],
  });
  declare
    .verb(bundle, "show", {
      summary: "show the trust bundle, or write it for other programs",
      description: [
        "pem: the root certificates. spiffe: the JWK set of the SPIFFE specification. json: the object of the API. pkcs12: a trust store that Java reads, protected by a password.",
      ],
      examples: [
        "signet bundle show -o pem > ca.crt",
        "signet bundle show -o spiffe",
        "signet bundle show -o pkcs12 --password-file trust.pass --out trust.p12",
      ],
      reach: "admin",
      outputs: ["table", "pem", "spiffe", "json", "yaml", "pkcs12"],
    })
    .option("--out <FILE>", "write to this file; needed for pkcs12")
    .option("--password-file <FILE>", "file with the password of the pkcs12 trust store")
    .action(declare.run(showBundle));
}

interface ShowFlags {
  readonly out?: string;
  readonly passwordFile?: string;
}

async function showBundle(cli: Cli, flags: ShowFlags): Promise<ExitCode> {
  const { print } = cli;
  const form = cli.shared.output ?? "table";
  if (form === "pkcs12" && (flags.out === undefined || flags.passwordFile === undefined)) {
    throw wrongUse(
      "-o pkcs12 needs --out and --password-file",
      "signet bundle show -o pkcs12 --password-file FILE --out trust.p12",
    );
  }
  if (form !== "pkcs12" && flags.passwordFile !== undefined) throw wrongUse("--password-file goes with -o pkcs12");
  if (flags.out !== undefined && form !== "pem" && form !== "spiffe" && form !== "pkcs12") {
    throw wrongUse("--out goes with -o pem, spiffe or pkcs12", "signet bundle show -o pem --out ca.crt");
  }
  const password = flags.passwordFile === undefined ? "" : await readPassphrase(flags.passwordFile);
  if (form === "pkcs12" && password.length < 6)
    throw wrongUse("the password of a trust store has at least 6 characters: keytool reads no shorter one");
  return withAdmin<ExitCode>(cli, "cannot show the trust bundle", async (admin) => {
    const { bundle } = await admin.call("getTrustBundle", {});
    if (bundle === undefined) throw new CliError(1, "the server answered without the bundle");
    if (form === "pkcs12") {
      const { trustStore } = await import("./trust-store.ts");
      await writeOut(cli, flags.out ?? "", trustStore(certificatesOf(bundle), password));
    } else if (form === "pem" || form === "spiffe") {
      const text = form === "pem" ? pemText(bundle) : `${(await spiffeText(bundle)).trimEnd()}\n`;
      if (flags.out === undefined) print.raw(text);
      else await writeOut(cli, flags.out, Buffer.from(text));
    } else if (print.format !== "table") {
      await print.value(bundleObject(bundle));
    } else if (print.quiet) {
      print.line(String(bundle.sequence));
    } else {
      printBundle(cli, bundle);
    }
    return 0;
  });
}

function pemText(bundle: Bundle): string {
  return bundle.rootsDer.map((der) => encodePem("CERTIFICATE", der)).join("");
}

async function spiffeText(bundle: Bundle): Promise<string> {
  const [{ bundleJson }, { parseTrustDomain }, { parseCertificate }] = await Promise.all([
    import("../spiffe/bundle.ts"),
    import("../spiffe/id.ts"),
    import("../x509/certificate.ts"),
  ]);
  return bundleJson({
    trustDomain: parseTrustDomain(bundle.trustDomain),
    sequence: bundle.sequence,
    refreshHintSeconds: bundle.refreshHintSeconds,
    roots: bundle.rootsDer.map((der) => parseCertificate(Uint8Array.from(der))),
  });
}

function certificatesOf(bundle: Bundle): readonly { readonly alias: string; readonly der: Uint8Array }[] {
  return bundle.rootsDer.map((der, index) => ({
    alias: `${bundle.trustDomain}-${index + 1}`,
    der: Uint8Array.from(der),
  }));
}

async function writeOut(cli: Cli, file: string, octets: Uint8Array): Promise<void> {
  const { writeFileDurably } = await import("../platform/atomic-file.ts");
  try {
    await writeFileDurably(resolve(cli.cwd, file), octets, { mode: 0o644 });
  } catch (error) {
    throw new CliError(1, `cannot write ${file}: ${reasonOf(error)}`, { cause: error });
  }
  cli.print.hint(`written: ${file}`);
}

function printBundle(cli: Cli, bundle: Bundle): void {
  const { print } = cli;
  const now = cli.clock.now();
  print.line(
    `${plain(bundle.trustDomain)}  bundle ${bundle.sequence}, ${counted(bundle.rootsDer.length, "root")}, looked for every ${formatDuration(bundle.refreshHintSeconds)}`,
  );
  for (const der of bundle.rootsDer) {
    const pairs = [
      ["SHA-256", createHash("sha256").update(der).digest("hex")],
      ["ends", ends(notAfterOf(der), now)],
    ] as const;
    for (const line of facts(pairs, { width: print.width })) print.line(line);
  }
}

function notAfterOf(der: Uint8Array): Date | undefined {
  try {
    return new X509Certificate(der).validToDate;
  } catch {
    return undefined;
  }
}
