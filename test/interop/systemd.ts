// The units of deploy/systemd under a real systemd: booted in a container with the files of this machine, read-only.
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import {
  access,
  chmod,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Tally } from "./tally.ts";

const root = join(import.meta.dirname, "../..");
const run = promisify(execFile);
const withinMs = 300_000;
/** `systemd-analyze security` goes from 0 (closed) to 10; higher than these is a step back. */
const exposure = { "signet-server": 1.5, "signet-agent": 3.0 } as const;
const etc = [
  "passwd",
  "group",
  "shadow",
  "gshadow",
  "nsswitch.conf",
  "os-release",
  "ld.so.cache",
  "alternatives",
  "pam.d",
  "ssl",
];

/** What the units allow, and that they work: start, reload, kill, restart, stop. */
export async function judgeBySystemd(tally: Tally): Promise<void> {
  const why = await missing();
  if (why !== undefined) return tally.skip(`systemd: ${why}`);
  const folder = await mkdtemp(join(tmpdir(), "signet-systemd-"));
  try {
    const machine = await prepare(folder);
    for (const [unit, most] of Object.entries(exposure)) await judgeExposure(tally, machine, { unit, most });
    await boot(machine);
    const said = await readFile(join(machine.root, "root/said"), "utf8").catch(() => "");
    const lines = said.split("\n").filter((line) => /^(?:ok|FAIL) /.test(line));
    for (const line of lines) {
      if (line.startsWith("ok ")) tally.ok(`systemd: ${line.slice(3)}`);
      else tally.fail(`systemd: ${line.slice(5)}`);
    }
    if (!said.includes("\nend\n")) tally.fail(`systemd: the units' test did not end: ${said.slice(-300)}`);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

interface Machine {
  readonly root: string;
  readonly usr: string;
}

async function missing(): Promise<string | undefined> {
  if (process.platform !== "linux" || process.geteuid?.() !== 0) return "needs root on Linux";
  await access("/usr/bin/systemd-nspawn", constants.X_OK).catch(() =>
    run("apt-get", ["install", "-y", "-q", "systemd-container"], { timeout: withinMs }).catch(() => undefined),
  );
  for (const file of ["/usr/bin/systemd-nspawn", "/usr/lib/systemd/systemd"]) {
    if (
      !(await access(file).then(
        () => true,
        () => false,
      ))
    )
      return `there is no ${file}`;
  }
  return undefined;
}

/** A root folder that holds what is ours; /usr is this machine's, with `signet` added in a layer above. */
async function prepare(folder: string): Promise<Machine> {
  const machine = { root: join(folder, "root"), usr: join(folder, "usr") };
  const at = (path: string): string => join(machine.root, path);
  for (const path of ["etc/systemd/system", "etc/sysusers.d", "opt/signet", "root", "run", "tmp", "usr", "var"]) {
    await mkdir(at(path), { recursive: true });
  }
  for (const path of ["bin", "sbin", "lib", "lib64"]) await symlink(`usr/${path}`, at(path));
  for (const name of etc) {
    await cp(join("/etc", name), at(`etc/${name}`), { recursive: true, dereference: name === "os-release" }).catch(
      () => {},
    );
  }
  for (const unit of Object.keys(exposure)) {
    await copyFile(join(root, `deploy/systemd/${unit}.service`), at(`etc/systemd/system/${unit}.service`));
  }
  // There is no network to wait for inside.
  await symlink("/dev/null", at("etc/systemd/system/systemd-networkd-wait-online.service"));
  await copyFile(join(root, "deploy/systemd/signet.conf"), at("etc/sysusers.d/signet.conf"));
  await copyFile(join(import.meta.dirname, "systemd-inside.sh"), at("root/inside.sh"));
  await chmod(at("root/inside.sh"), 0o755);
  const inside = [
    "[Service]",
    "Type=oneshot",
    `TimeoutStartSec=${withinMs / 1000}`,
    "ExecStart=/bin/bash -c '/root/inside.sh >/root/said 2>&1; echo end >>/root/said'",
    "ExecStopPost=/bin/systemctl poweroff --force --force",
  ];
  await writeFile(at("etc/systemd/system/inside.service"), `${inside.join("\n")}\n`);
  const signet = join(machine.usr, "bin/signet");
  await mkdir(dirname(signet), { recursive: true });
  // One process, as an installed package has; the launcher of a clone would be a second.
  const start = "exec /opt/node --conditions=signet-source /opt/signet/src/cli/main.ts";
  await writeFile(signet, `#!/bin/sh\n${start} "$@"\n`);
  await chmod(signet, 0o755);
  return machine;
}

async function judgeExposure(
  tally: Tally,
  machine: Machine,
  { unit, most }: { readonly unit: string; readonly most: number },
): Promise<void> {
  const file = join(machine.root, `etc/systemd/system/${unit}.service`);
  const { stdout } = await run("systemd-analyze", ["security", "--offline=true", "--no-pager", file]);
  const last = /exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1] ?? "none";
  tally.say(`     systemd-analyze security ${unit}: ${last} of 10`);
  if (Number(last) <= most) tally.ok(`systemd: ${unit} has exposure ${last}, at most ${most}`);
  else tally.fail(`systemd: ${unit} has exposure ${last}, wanted at most ${most}`);
}

async function boot(machine: Machine): Promise<void> {
  const modules = await realpath(join(root, "node_modules"));
  const args = [
    `--bind-ro=${await realpath(process.execPath)}:/opt/node`,
    // A work tree may link its packages.
    ...(modules.startsWith(root) ? [] : [`--bind-ro=${modules}`]),
    ...["-D", machine.root, `--overlay=/usr:${machine.usr}:/usr`, `--bind-ro=${root}:/opt/signet`],
    ...["--register=no", "--keep-unit", "--private-network", "--console=pipe", "-b", "systemd.unit=inside.service"],
  ];
  // However it ends, what the script printed tells.
  await run("systemd-nspawn", args, { timeout: withinMs }).catch(() => {});
}
