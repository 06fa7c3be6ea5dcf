#!/usr/bin/env bash
# scripts/install-packages with dpkg-query, id and apt-get replaced by functions of a fake PATH.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
script="$here/../../scripts/install-packages"
fake=$(mktemp -d)
trap 'rm -rf "$fake"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

# Everything is installed but curl and what the test set names.
cat >"$fake/dpkg-query" <<'END'
#!/bin/sh
case "$4" in curl | libgtest-dev) exit 1 ;; *) printf 'installed ' ;; esac
END
cat >"$fake/id" <<'END'
#!/bin/sh
echo "${FAKE_UID:-1000}"
END
cat >"$fake/apt-get" <<'END'
#!/bin/sh
echo "$@" >>"$(dirname "$0")/apt.log"
exit "${FAKE_APT:-0}"
END
chmod +x "$fake"/*
run() { PATH="$fake:$PATH" "$script" "$@" 2>&1; }

output=$(run build) && fail "a user without rights must be told, not served"
[[ $output == *"sudo apt-get install -y --no-install-recommends curl"* ]] || fail "$output"
[[ $output != *libgtest-dev* ]] || fail "a set that was not asked for: $output"
[ ! -e "$fake/apt.log" ] || fail "apt-get ran without rights"

output=$(FAKE_UID=0 run build test) || fail "root installs: $output"
grep -q -- "install -y --no-install-recommends curl libgtest-dev$" "$fake/apt.log" ||
  fail "$(cat "$fake/apt.log")"

output=$(FAKE_UID=0 FAKE_APT=1 run build) && fail "a failing apt-get must fail"
output=$(run nonsense) && fail "an unknown set must fail"
printf '#!/bin/sh\nprintf "installed "\n' >"$fake/dpkg-query"
output=$(run build test ci) || fail "nothing is missing: $output"
[ -z "$output" ] || fail "silent when nothing is missing: $output"
echo "install-packages: 6 cases passed"
