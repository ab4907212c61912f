#!/bin/bash
# Runs as a unit inside a booted systemd and prints `ok ...` or `FAIL ...` lines: the units of deploy/systemd from nothing
# to a rotated identity, a reload, a killed server, and a stop.
ok() { echo "ok $* ($SECONDS s)"; }
bad() { echo "FAIL $*"; }
held() { local what=$1; shift; if "$@" >/tmp/said 2>&1; then ok "$what"; else bad "$what: $(tail -n 3 /tmp/said | tr '\n' ' ')"; fi; }
serial() { sed -n 's/.*"serialHex": *"\([0-9a-f]*\)".*/\1/p' /run/signet/a/identity.json; }
until_true() { for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done; return 1; }

as_signet="setpriv --reuid=signet --regid=signet --clear-groups"
ip link set lo up
systemd-sysusers /etc/sysusers.d/signet.conf
install -d -o signet -g signet -m 0700 /var/lib/signet
mkdir -p -m 0755 /etc/signet
(umask 077; head -c 24 /dev/urandom | base64 >/etc/signet/key-passphrase)
install -o signet -m 0400 /etc/signet/key-passphrase /root/p
cat >/etc/signet/server.yaml <<C
trust_domain: units.test
data_dir: /var/lib/signet
listen: {api: "127.0.0.1:7443"}
C
cat >/etc/signet/agent.yaml <<C
data_dir: /var/lib/signet-agent
identities:
  - spiffe_id: spiffe://units.test/svc/a
    dir: /run/signet/a
    owner: nobody
    reload: {command: [/bin/sh, -c, "echo reloaded >>/run/signet/reloads"]}
C
mv /root/p /var/lib/signet-passphrase
held "init as the service's user, keys encrypted" $as_signet env SIGNET_KEY_PASSPHRASE_FILE=/var/lib/signet-passphrase \
  signet init --data-dir /var/lib/signet --trust-domain units.test
rm /var/lib/signet-passphrase
held "systemctl start signet-server returns once it serves" systemctl start signet-server
held "signet-server is active" systemctl is-active signet-server
admin() { $as_signet signet "$@" --data-dir /var/lib/signet; }
(umask 077; admin token create --agent one -q >/etc/signet/join-string)
held "an entry" admin entry create --id /svc/a --agent one --ttl 20s
held "systemctl start signet-agent returns once its identity is on disk" systemctl start signet-agent
held "signet agent healthcheck" signet agent healthcheck -c /etc/signet/agent.yaml
[ "$(stat -Lc '%U %a' /run/signet/a/tls.key 2>/dev/null)" = "nobody 600" ] && ok "the key is nobody's, 0600" || bad "the key: $(stat -Lc '%U %a' /run/signet/a/tls.key 2>&1)"
held "the join string is not needed again" rm /etc/signet/join-string
first=$(serial)
other() { [ -n "$(serial)" ] && [ "$(serial)" != "$first" ]; }
held "the identity rotates" until_true other
[ -s /run/signet/reloads ] && ok "the reload command ran within the unit's walls" || bad "no reload: $(journalctl -u signet-agent --no-pager -n 5 2>&1 | tail -n 2)"
held "systemctl reload signet-server" systemctl reload signet-server
held "systemctl restart signet-agent, without a join string" systemctl restart signet-agent
pid=$(systemctl show -P MainPID signet-server)
kill -9 "$pid"
back() { local now; now=$(systemctl show -P MainPID signet-server); [ "$now" != 0 ] && [ "$now" != "$pid" ] && systemctl is-active signet-server; }
held "a killed server is started again" until_true back
first=$(serial)
held "the identity rotates after that" until_true other
wrong() { sed -i 's/^trust_domain/trust_domian/' /etc/signet/server.yaml; ! systemctl restart signet-server && sleep 5 && [ "$(systemctl show -P NRestarts signet-server)" -le 1 ]; }
held "a wrong configuration is not tried again and again" wrong
held "systemctl stop signet-agent" systemctl stop signet-agent
[ -e /run/signet/a/tls.crt ] && ok "identities stay when the agent stops" || bad "identities went with the agent"
[ "$(systemctl show -P Result signet-agent)" = success ] && ok "the agent ended by itself" || bad "agent: $(systemctl show -P Result signet-agent)"
