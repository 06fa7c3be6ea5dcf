#!/usr/bin/env bash
# static_test.sh PROGRAM: the HTTP server linked statically needs no loader and answers.
set -euo pipefail
program=$1
if readelf -lW "$program" | grep -q 'INTERP'; then
  echo "static_test: $program asks for a loader" >&2
  exit 1
fi
coproc server { "$program" serve; }
read -r port <&"${server[0]}"
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&3
read -r status <&3
exec 3>&-
eval "exec ${server[1]}>&-"
[ "$status" = $'HTTP/1.1 200 OK\r' ] || { echo "static_test: answered $status" >&2; exit 1; }
