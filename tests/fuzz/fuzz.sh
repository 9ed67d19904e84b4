#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Lets one fuzzer run, from the kept corpus and what earlier runs in this build tree have found.
#   fuzz.sh BUILD/fuzz_NAME SECONDS [LIBFUZZER-OPTIONS...]
set -u
[ $# -ge 2 ] || { sed -n '4s/^# *//p' "$0"; exit 2; }
program=$1 seconds=$2
shift 2
name=$(basename "$program")
name=${name#fuzz_}
here=$(cd "$(dirname "$0")" && pwd)
work=$(dirname "$program")/fuzz/$name
mkdir -p "$work/corpus" "$work/findings" || exit 1
options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1
  -artifact_prefix="$work/findings/")
[ ! -e "$here/$name.dict" ] || options+=(-dict="$here/$name.dict")
# A large quarantine of freed memory costs more page faults than it finds.
export ASAN_OPTIONS=quarantine_size_mb=16:detect_leaks=1
symbolizer=$(command -v llvm-symbolizer-19) && export ASAN_SYMBOLIZER_PATH=$symbolizer
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm  # One target writes files all the time.

"$program" "${options[@]}" "$@" "$work/corpus" "$here/corpus/$name" 2> "$work/log"
status=$?
grep -E '^#[0-9]+.*(INITED|DONE)|^stat::|ERROR|CHECK failed|runtime error' "$work/log"
[ $status != 0 ] || exit 0
tail -n 60 "$work/log"
found=$(sed -n "s/.*Test unit written to //p" "$work/log" | tail -n 1)
echo "fuzz.sh: $name failed with status $status; the whole log is $work/log"
[ -z "$found" ] || printf '%s\n' "fuzz.sh: to reproduce it: $program $found" \
  "fuzz.sh: to make it small: $program -minimize_crash=1 -runs=100000 $found" \
  "fuzz.sh: once it is understood, keep it: cp $found $here/corpus/$name/"
exit 1
