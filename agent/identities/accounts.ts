// Users and groups of this host by name. Node has no call for it: /etc/passwd and /etc/group first, then getent, which
// asks directories such as LDAP.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import type { Accounts } from "./places.ts";

export const systemAccounts: Accounts = {
  async user(name) {
    const fields = await lookUp("passwd", name);
    if (fields !== undefined) return { uid: Number(fields[2]), gid: Number(fields[3]) };
    // A number without a name is fine: containers have such users.
    return /^\d{1,10}$/.test(name) ? { uid: Number(name), gid: Number(name) } : undefined;
  },
  async group(name) {
    const fields = await lookUp("group", name);
    if (fields !== undefined) return Number(fields[2]);
    return /^\d{1,10}$/.test(name) ? Number(name) : undefined;
  },
};

async function lookUp(database: "passwd" | "group", name: string): Promise<readonly string[] | undefined> {
  if (!/^[A-Za-z0-9._@-]{1,64}$/.test(name) || name.startsWith("-")) return undefined;
  const local = await readFile(`/etc/${database}`, "utf8").catch(() => "");
  return find(local, name) ?? find(await getent(database, name), name);
}

function find(text: string, name: string): readonly string[] | undefined {
  return text
    .split("\n")
    .map((line) => line.split(":"))
    .find((fields) => (fields[0] === name || fields[2] === name) && /^\d+$/.test(fields[2] ?? ""));
}

function getent(database: string, name: string): Promise<string> {
  return new Promise((resolve) => {
    const options = { timeout: 5000, maxBuffer: 65_536, env: { PATH: "/usr/bin:/bin" } };
    execFile("/usr/bin/getent", [database, name], options, (error, stdout) => resolve(error === null ? stdout : ""));
  });
}
