# Shared by scripts/test, scripts/demo and .ci/run, which source it from the project's folder.

# Jobs that run at once: a core each, and 2.5 GB of memory each, which a unit that includes LibTorch can take.
jobs=$(nproc)
memory_jobs=$(($(awk '/^MemAvailable/ {print $2}' /proc/meminfo) / 2500000))
((memory_jobs >= jobs)) || jobs=$((memory_jobs > 1 ? memory_jobs : 1))

# step WHAT LOG COMMAND...: one line when it starts, one when it ends. The command's output goes to LOG and is shown when the
# command fails; on a terminal it is shown anyway.
step() {
  local what=$1 log=$2 status=0 start=$SECONDS
  shift 2
  mkdir -p "$(dirname "$log")"
  echo "== $what"
  if [[ -t 1 ]]; then
    "$@" || status=$?
  else
    "$@" >"$log" 2>&1 || { status=$?; cat "$log"; }
  fi
  if ((status)); then
    echo "== FAILED: $what (exit code $status)" >&2
    return $status
  fi
  echo "== done: $what ($((SECONDS - start)) s)"
}

# ctest_step PRESET [ARGUMENT...]: the tests of a build tree, all but what the arguments for ctest leave out; ends with ctest's
# closing summary.
ctest_step() {
  local log=build/$1/ctest.log
  step "testing build/$1" "$log" ctest --preset "$1" --parallel "$jobs" "${@:2}"
  [[ -t 1 ]] || sed -n '/tests passed,/,$p' "$log"
}
