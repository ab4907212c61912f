#!/bin/bash
# reload-proxy.sh RUN_FOLDER IDENTITY_DIR: a proxy whose files are in a folder of RUN_FOLDER takes the CRLs of IDENTITY_DIR
# if they are others than at its last call. The leaf is the business of whoever runs the proxy. Exit 1: not taken.
set -u
crl=$2/crl.pem
for run in "$1"/*/; do
  [ -d "$run" ] || continue
  cmp -s "$crl" "$run/crl.taken" && continue
  cp "$crl" "$run/crl.now" || exit 1
  if [ -f "$run/n.conf" ]; then
    [ -f "$run/pid" ] || continue
    nginx -c "$run/n.conf" -e "$run/err" -s reload || exit 1
  elif [ -S "$run/s" ] && grep -q crl-file "$run/h.cfg"; then
    # By a new process, as `systemctl reload haproxy` does: over the runtime socket, HAProxy 2.6 ends with SIGSEGV at
    # the second `set ssl crl-file` with a `set ssl cert` in between.
    pid=$(echo "show info" | socat -t2 - "UNIX:${run}s" | sed -n 's/^Pid: //p')
    haproxy -f "$run/h.cfg" -D -p "$1/haproxy.pid" -sf "$pid" || exit 1
  fi
  mv "$run/crl.now" "$run/crl.taken"
done
