// signet help: of commands, and the topics environment, exit-codes and files.
import type { Command } from "commander";
import { nearest } from "../platform/nearest.ts";
import type { Declare } from "./command.ts";
import { pathOf } from "./command.ts";
import type { ExitCode } from "./failure.ts";
import { wrongUse } from "./failure.ts";
import { helpText } from "./help-text.ts";

const topics: Readonly<Record<string, string>> = {
  environment: `The environment

A flag wins over a variable, a variable over the configuration file, that over
the default. signet env shows what is in force and where it came from.

  SIGNET_DATA_DIR      the data directory
  SIGNET_CONFIG        the configuration file, server.yaml or agent.yaml
  SIGNET_ADMIN         the server's admin socket
  SIGNET_JOIN_FILE     file with the join string, for signet agent
  SIGNET_KEY_PASSPHRASE_FILE
                       file with the passphrase of the keys on the server
  SIGNET_LISTEN_API    any key of the configuration file: its path in capitals,
                       with _ between its parts (here listen.api)

Secrets are given as files only. A variable that begins with SIGNET_ and is not
known is refused by server and agent, like an unknown key.

  NO_COLOR             no colours
  FORCE_COLOR          colours in a pipe too
  TERM=dumb            no colours, and nothing is redrawn
  TZ                   the zone of the times on screens (default: that of this
                       machine); those of -o json and yaml are UTC
`,
  "exit-codes": `Exit codes

  0    done; also when nothing was due
  1    failed, or a check found something
  2    wrong use: a flag, a name, a file that cannot be used as it stands;
       nothing was done
  3    refused by a rule; the message names it, with value and limit
  4    the server (or the agent) cannot be reached
  5    a --wait ran out; the work goes on
  130  interrupted by Ctrl-C
`,
  files: `Files

The data directory is the first of these:
  --data-dir, SIGNET_DATA_DIR, data_dir of -c FILE or SIGNET_CONFIG,
  data_dir of /etc/signet/server.yaml (agent.yaml) where that exists,
  ./.signet (for the agent ./.signet-agent)

Server, in its data directory (0700):
  keys/            private keys, 0600
  store/           certificates, entries, nodes, join strings
  admin.sock       the admin socket; who may enter the directory is admin
  endpoints.json   what is bound, while the server runs
  ports.json       ports to take again when they were given as 0

Agent, in its data directory (0700):
  identities/      identities without a directory of their own in agent.yaml
  agent.sock       for signet agent status and renew

An identity directory; each name changes by one rename:
  tls.crt          leaf, then intermediates
  tls.key          private key, PKCS#8
  tls.pem          key and chain in one file
  ca.crt           the roots
  crl.pem          a CRL for every authority
  bundle.json      the SPIFFE bundle
  denied.json      what is revoked and has not ended
  identity.json    ID, serial, times
`,
};

export function addHelp(program: Command, declare: Declare): void {
  declare
    .verb(program, "help [TOPIC...]", {
      summary: "help on a command, or on environment, exit-codes, files",
      examples: ["signet help entry create", "signet help exit-codes"],
      reach: "none",
    })
    .action(
      declare.run(async (cli, _flags: unknown, ...names: string[]): Promise<ExitCode> => {
        const topic = names.length === 1 ? topics[names[0] ?? ""] : undefined;
        if (topic !== undefined) {
          cli.print.raw(topic);
          return 0;
        }
        let command = program;
        for (const name of names) {
          const next = command.commands.find((each) => each.name() === name);
          if (next === undefined) {
            const known = [
              ...command.commands.map((each) => each.name()),
              ...(command === program ? Object.keys(topics) : []),
            ];
            const near = nearest(name, known);
            throw wrongUse(
              `no help on ${name}${near === undefined ? "" : `: the nearest is ${near}`}`,
              near === undefined ? `${pathOf(command)} --help` : `signet help ${near}`,
            );
          }
          command = next;
        }
        cli.print.raw(helpText(command, declare, cli.print.width));
        return 0;
      }),
    );
}
