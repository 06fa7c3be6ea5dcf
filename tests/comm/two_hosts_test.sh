#!/usr/bin/env bash
# Ranks on two machines, which are network namespaces: two ranks each, and the contract.
#
#   two_hosts_test.sh PROCESS_RANKS
#
# Exit status 77, CTest's "skipped", without root or where namespaces cannot be made.
set -euo pipefail
program=$1
a=kiln-a-$$ b=kiln-b-$$
skip() {
  echo "skipped: $1"
  exit 77
}
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
command -v ip > /dev/null || skip "no ip here (package iproute2)"
clean() {
  ip netns delete "$a" 2> /dev/null || true
  ip netns delete "$b" 2> /dev/null || true
}
trap clean EXIT
for name in "$a" "$b"; do
  ip netns add "$name" 2> /dev/null || skip "network namespaces cannot be made here"
done
ip link add veth0 netns "$a" type veth peer name veth0 netns "$b" 2> /dev/null ||
  skip "no virtual Ethernet here"
for host in "$a 10.99.7.1" "$b 10.99.7.2"; do
  read -r name address <<< "$host"
  ip -n "$name" address add "$address/24" dev veth0
  ip -n "$name" link set lo up
  ip -n "$name" link set veth0 up
done

ranks=()
out=$(mktemp)
start() { # NAMESPACE RANK LOCAL_RANK
  ip netns exec "$1" env -u OMPI_COMM_WORLD_RANK RANK="$2" WORLD_SIZE=4 LOCAL_RANK="$3" \
    LOCAL_WORLD_SIZE=2 MASTER_ADDR=10.99.7.1 MASTER_PORT=29500 "$program" >> "$out" &
  ranks+=($!)
}
start "$b" 2 0
start "$b" 3 1
start "$a" 0 0
start "$a" 1 1
for rank in "${ranks[@]}"; do wait "$rank"; done
lines=$(sort "$out" | paste -sd,)
rm -f "$out"
[ "$lines" = "rank 0 of 4,rank 1 of 4,rank 2 of 4,rank 3 of 4" ] || {
  echo "ranks said: $lines" >&2
  exit 1
}
