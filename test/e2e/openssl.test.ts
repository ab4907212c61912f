import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { it, runProgram } from "./place.ts";
import { watchIdentity } from "./watch-identity.ts";

const strict = ["verify", "-no-CApath", "-no-CAstore", "-x509_strict", "-CAfile", "ca.crt"];

for (const keyType of ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"]) {
  it.concurrent(`openssl verify -x509_strict takes an identity under ${keyType} authorities, and refuses it without the intermediate`, async ({
    place,
  }) => {
    await place.out("init", "--trust-domain", "ssl.test", "--key-type", keyType);
    await place.server();
    await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--dns", "a.ssl.test", "--ip", "10.1.2.3");
    await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
    const dir = place.path(".signet-agent/identities/svc/a");
    const watch = watchIdentity(dir);
    await watch.after(0);
    await watch.stop();
    expect(watch.torn).toEqual([]);
    const verify = (...args: readonly string[]) => runProgram("openssl", [...strict, ...args, "tls.crt"], dir);
    for (const purpose of ["sslserver", "sslclient"]) {
      const whole = await verify("-purpose", purpose, "-untrusted", "tls.crt");
      expect(whole, whole.stderr).toMatchObject({ code: 0, stdout: "tls.crt: OK\n" });
      const alone = await verify("-purpose", purpose);
      expect(alone.code).not.toBe(0);
      expect(alone.stderr).toMatch(/unable to get local issuer certificate/);
    }
    const named = ["-verify_hostname", "a.ssl.test", "-untrusted", "tls.crt"];
    expect((await verify(...named)).code).toBe(0);
    expect((await verify("-verify_ip", "10.1.2.3", "-untrusted", "tls.crt")).code).toBe(0);
    expect((await verify("-verify_hostname", "b.ssl.test", "-untrusted", "tls.crt")).code).not.toBe(0);
    // The CRLs of root and intermediate are there, in force and signed.
    const listed = await verify("-crl_check_all", "-CRLfile", "crl.pem", "-untrusted", "tls.crt");
    expect(listed, listed.stderr).toMatchObject({ code: 0 });
    expect((await readFile(`${dir}/crl.pem`, "utf8")).match(/BEGIN X509 CRL/g)).toHaveLength(2);
  });
}
