// signet cert: every certificate that left the server.
import type { Command } from "commander";
import type { CertificateRecord } from "../../proto/gen/signet/v1/admin.ts";
import { formatDuration } from "../platform/durations.ts";
import { encodePem } from "../x509/pem.ts";
import { type Declare, idOrPath, wholeNumber } from "./command.ts";
import { withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode, wrongUse } from "./failure.ts";
import { facts, plain } from "./layout.ts";
import { day, ends, endsShort, moment, timeOfDay } from "./moments.ts";
import { certificateObject } from "./objects.ts";
import { allPages } from "./pages.ts";
import { pathUnder, trustDomainIn } from "./words.ts";

export function addCert(program: Command, declare: Declare): void {
  const cert = declare.group(program, "cert", {
    summary: "the certificates that were issued: list, show",
    examples: ["signet cert list --live"],
  });
  declare
    .verb(cert, "list", {
      summary: "list certificates: whose, by which authority, until when",
      examples: [
        "signet cert list --live",
        "signet cert list --id /svc/a -o json",
        "signet cert list --authority int-1 --limit 20",
      ],
      reach: "admin",
    })
    .option("--id <ID>", "only those of this SPIFFE ID or path", idOrPath("--id"))
    .option("--authority <NAME>", "only those under this authority")
    .option("--live", "only those that have not ended")
    .option("--limit <N>", "at most so many", wholeNumber("--limit", 1))
    .action(declare.run(listCertificates));
  declare
    .verb(cert, "show <SERIAL>", {
      summary: "show a certificate: who asked, by which entry, why it ends when it does",
      description: [
        "SERIAL is as signet cert list shows it; its first 8 digits are enough when no other begins with them.",
      ],
      examples: [
        "signet cert show 4f0c1e2d3b4a59687786a5b4c3d2e1f0",
        "signet cert show 4f0c1e2d -o pem | openssl x509 -text",
      ],
      reach: "admin",
      outputs: ["table", "json", "yaml", "pem"],
    })
    .action(declare.run(showCertificate));
}

async function listCertificates(
  cli: Cli,
  flags: { readonly id?: string; readonly authority?: string; readonly live?: boolean; readonly limit?: number },
): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot list the certificates", async (admin) => {
    const { print } = cli;
    const certificates = await allPages(async (page) => {
      const answer = await admin.call("listCertificates", {
        spiffeId: flags.id ?? "",
        authority: flags.authority ?? "",
        live: flags.live === true,
        ...page,
      });
      return { items: answer.certificates, next: answer.nextPageToken };
    }, flags.limit);
    if (print.format !== "table") {
      await print.value(certificates.map(certificateObject));
      return 0;
    }
    if (print.quiet) {
      for (const certificate of certificates) print.line(certificate.serialHex);
      return 0;
    }
    if (certificates.length === 0) {
      print.hint("no certificates");
      return 0;
    }
    const trustDomain = trustDomainIn(certificates[0]?.spiffeId);
    const now = cli.clock.now();
    print.line(trustDomain);
    print.table<CertificateRecord>(
      [
        { head: "SERIAL", cell: (certificate) => certificate.serialHex },
        { head: "ID", cell: (certificate) => pathUnder(trustDomain, certificate.spiffeId) },
        { head: "BY", cell: (certificate) => certificate.authority },
        { head: "PROFILE", cell: (certificate) => certificate.profile, drop: 2 },
        { head: "ISSUED", cell: (certificate) => shortMoment(certificate.issuedAt, now), drop: 1 },
        { head: "ENDS", cell: (certificate) => endsShort(certificate.notAfter, now) },
      ],
      certificates,
    );
    return 0;
  });
}

function shortMoment(date: Date | undefined, now: Date): string {
  return date === undefined ? "" : moment(date, now);
}

async function showCertificate(cli: Cli, _flags: unknown, serial: string): Promise<ExitCode> {
  const serialHex = serial.replace(/^0x/i, "").replaceAll(":", "").toLowerCase();
  if (!/^[0-9a-f]{8,40}$/.test(serialHex)) {
    throw wrongUse(`${serial} is not a serial: give its hexadecimal digits, the first 8 at least`, "signet cert list");
  }
  return withAdmin<ExitCode>(cli, "cannot show the certificate", async (admin) => {
    const { print } = cli;
    const { certificate } = await admin.call("getCertificate", { serialHex });
    if (certificate === undefined) throw new CliError(1, `no certificate ${serialHex}`, { cure: "signet cert list" });
    if (cli.shared.output === "pem") print.raw(encodePem("CERTIFICATE", certificate.certificateDer));
    else if (print.format !== "table") await print.value(certificateObject(certificate));
    else if (print.quiet) print.line(certificate.spiffeId);
    else for (const line of certificateLines(certificate, cli.clock.now(), print.width)) print.line(line);
    return 0;
  });
}

function certificateLines(certificate: CertificateRecord, now: Date, width: number): readonly string[] {
  const trustDomain = trustDomainIn(certificate.spiffeId);
  const names = [...certificate.dnsNames, ...certificate.ipAddresses];
  const granted = formatDuration(certificate.ttlSeconds);
  const limited =
    certificate.limitedBy === ""
      ? `a life of ${granted}`
      : `${granted} wanted, cut short by its ${certificate.limitedBy}`;
  return [
    `${plain(certificate.serialHex)}  ${plain(certificate.spiffeId)}`,
    ...facts(
      [
        ["by", `${certificate.authority}, key ${certificate.authorityKeyId}`],
        ["as", `${certificate.profile}, asked for over ${certificate.protocol}`],
        [
          "issued",
          certificate.issuedAt === undefined ? "" : `${day(certificate.issuedAt)} ${timeOfDay(certificate.issuedAt)}`,
        ],
        ["ends", `${ends(certificate.notAfter, now)}: ${limited}`],
        ["names", names.length === 0 ? "none but the SPIFFE ID" : names.join(", ")],
        [
          "entry",
          certificate.entryId === "" ? "" : `${certificate.entryId}, at its revision ${certificate.entryRevision}`,
        ],
        ["asked", certificate.caller === "" ? "" : `by ${pathUnder(trustDomain, certificate.caller)}`],
      ],
      { width },
    ),
  ];
}
