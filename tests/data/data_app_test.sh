#!/bin/sh
# kiln-data from outside: what it prints, its exit codes, and what it leaves on the disk.
set -eu
data="${KILN_BIN_DIR:?}/kiln-data"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "data_app: $1" >&2
  cat out err >&2
  exit 1
}
# ok ARGS...: must succeed. refused CODE TEXT ARGS...: must fail with CODE, and one line with TEXT.
ok() {
  "$data" "$@" >out 2>err || fail "kiln-data $* failed"
}
refused() {
  code=$1 text=$2
  shift 2
  status=0
  "$data" "$@" >out 2>err || status=$?
  [ "$status" = "$code" ] || fail "kiln-data $*: exit code $status, not $code"
  [ "$(grep -c . err)" = 1 ] || fail "kiln-data $*: not one line"
  grep -q "^kiln data: " err || fail "kiln-data $*: no name in front"
  grep -qF -- "$text" err || fail "kiln-data $*: no \"$text\""
}
says() {
  grep -qF -- "$1" out || fail "no \"$1\" in the output"
}

ok --help
says "examples:"
ok synth set --train-count 200 --test-count 50 --seed 3
says "synthetic stand-in, seed 3"
grep -q "synthetic" set/SYNTHETIC.txt || fail "no marker"
ok info set --picture sheet.png
says "synthetic stand-in"
says "200 training, 50 test"
says "crescent"
checksum=$(grep checksum out)
[ -s sheet.png ] || fail "no picture"
ok verify set
says "set: sound"

# Through every format and back, the content stays.
ok import set --to pictures --format folder
ok import set --to idx --format idx
ok import idx --to back
ok info back
[ "$(grep checksum out)" = "$checksum" ] || fail "the pictures changed on the way"
says "synthetic stand-in"
tar -czf set.tar.gz set
ok info set.tar.gz
[ "$(grep checksum out)" = "$checksum" ] || fail "the archive holds other pictures"
ok import pictures --to small --size 16 --format idx
ok info small
says "16x16x3"
# A few of them, of more than one class though the order of classes repeats itself.
ok import set --to few --format folder --limit 10
says "wrote 10 training and 10 test pictures"
classes=0
for class in few/test/*; do
  [ -z "$(ls "$class")" ] || classes=$((classes + 1))
done
[ "$classes" -ge 3 ] || fail "--limit took $classes classes"
refused 2 "--limit" import set --to new --limit -1

refused 2 "exists already" synth set
refused 2 "exists already" import set --to idx
refused 2 "verb" nonsense
refused 2 "verb"
refused 2 "--size" import set --to new --size 3x
refused 2 "--sed" synth new --sed 3
refused 2 "count 3" synth new --train-count 3
refused 2 "unknown" import set --to new --format zip
refused 1 "not there" info absent
refused 1 "no data set" info "$work/pictures/train/disc"
printf 'x' >>back/data_batch_2.bin
refused 1 "data_batch_2.bin" verify back
refused 1 "data_batch_2.bin" import back --to new
cp set/data_batch_1.bin set/data_batch_3.bin
refused 1 "copy of data_batch_1.bin" verify set
[ ! -e new ] || fail "a refused command left something"
for entry in .[!.]*; do
  [ ! -e "$entry" ] || fail "a temporary folder was left: $entry"
done
echo "data_app: passed"
