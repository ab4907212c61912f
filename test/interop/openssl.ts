import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Tally } from "./tally.ts";
import type { World } from "./world.ts";

const run = promisify(execFile);

/** Only the root of `ca.crt` is trusted; the chain of `tls.crt` verifies strictly for both purposes, and not without its intermediate. */
export async function judgeByOpenssl(tally: Tally, world: World): Promise<void> {
  const dir = world.identityDir("a");
  const chain = join(dir, "tls.crt");
  const verify = ["verify", "-no-CApath", "-no-CAstore", "-x509_strict", "-CAfile", join(dir, "ca.crt")];
  for (const purpose of ["sslserver", "sslclient"]) {
    await tally.held(`openssl verify -purpose ${purpose}`, async () => {
      await run("openssl", [...verify, "-purpose", purpose, "-untrusted", chain, chain]);
    });
    await tally.held(`openssl verify -purpose ${purpose} fails without the intermediate`, async () => {
      const failed = await run("openssl", [...verify, "-purpose", purpose, chain]).then(
        () => false,
        () => true,
      );
      if (!failed) throw new Error("it passed");
    });
  }
  await tally.held("openssl verify with crl.pem of all authorities", async () => {
    const crls = ["-crl_check_all", "-CRLfile", join(dir, "crl.pem")];
    await run("openssl", [...verify, ...crls, "-untrusted", chain, chain]);
  });
}
