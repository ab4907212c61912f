#!/bin/bash
# reload-samples.sh nginx|haproxy FOLDER: what the agent runs after a change, as deploy/samples says. Without a proxy there
# is nothing to do; with FOLDER/PROXY.fail it fails once.
proxy=$1 folder=$2
[ -f "$folder/$proxy.pid" ] || exit 0
if [ -e "$folder/$proxy.fail" ]; then
  rm "$folder/$proxy.fail"
  echo "failed on purpose" >&2
  exit 1
fi
case $proxy in
nginx) nginx -c "$folder/nginx.conf" -e "$folder/nginx.log" -s reload ;;
haproxy) kill -USR2 "$(cat "$folder/haproxy.pid")" ;;
esac
