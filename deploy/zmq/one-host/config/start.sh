#!/bin/sh
# Generated from one-host.toml by `python -m bridge.deployment`. Not run by us: we have no such testbed.
# start.sh TEMPLATE FILE COMMAND...: fills in the addresses that are known only now, then becomes the command.
set -eu
address() { getent ahostsv4 "$1" | awk 'NR == 1 { print $1 }'; }
template=$1 file=$2
shift 2
sed "s/@self@/$(address "$(hostname)")/g" "$template" > "$file"
for name in ${PEERS:-}; do
    until [ -n "$(address "$name")" ]; do sleep 1; done
    sed -i "s/@$name@/$(address "$name")/g" "$file"
done
exec "$@"
