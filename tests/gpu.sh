#!/usr/bin/env bash
# Test and measure g3d on a machine with one CUDA GPU, in at most 8 minutes and without a network:
#
#     bash tests/gpu.sh [WHEELS_FOLDER] [OUT_FOLDER]
#
# The machine's Python (python3, or the one in $PYTHON) needs PyTorch with CUDA, Triton, NumPy and Numba. Other packages
# that are missing are installed from WHEELS_FOLDER into a temporary environment; the machine's own are never changed.
# Make the folder where there is a network, for the same Python version and platform:
#
#     pip download --dest WHEELS_FOLDER . pytest
#
# The results are one file, OUT_FOLDER/<GPU>-<date>.json (OUT_FOLDER: tests/benchmarks/results). It is also written when
# tests fail or time runs out. Exit code: 0 all passed, 1 something failed or was not reached, 2 bad arguments, 4 the
# machine cannot run the kit.
set -uo pipefail
limit=470  # and a few seconds to stop what does not stop by itself
environment_limit=100 operators_limit=110 systems_limit=150 report_limit=10

fail() {
  echo "error: $2" >&2
  exit "$1"
}

[ $# -le 2 ] || fail 2 "expected at most two arguments, found $#: bash tests/gpu.sh [WHEELS_FOLDER] [OUT_FOLDER]"
[ -z "${1:-}" ] || [ -d "$1" ] || fail 2 "$1: no such folder of wheels"
wheels=${1:+$(cd "$1" && pwd)}
called_from=$PWD
here=${BASH_SOURCE[0]}
[[ $here == */* ]] || here=./$here
cd "${here%/*}/.." || exit 4
case ${2:-} in
  "") out=$PWD/tests/benchmarks/results ;;
  /*) out=$2 ;;
  *) out=$called_from/$2 ;;
esac
python=${PYTHON:-python3}

command -v nvidia-smi >/dev/null || fail 4 "no GPU: nvidia-smi is not there, so no NVIDIA driver is installed"
timeout 30 nvidia-smi --list-gpus | grep -q . || fail 4 "no GPU: nvidia-smi lists none"
command -v "$python" >/dev/null || fail 4 "no Python: $python is not there; set PYTHON to an interpreter that has PyTorch"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset TRITON_INTERPRET G3D_KERNELS PYTHONHOME
timeout -k 5 "$environment_limit" "$python" tests/gpu_kit/environment.py "$work" "$wheels"
case $? in
  0) ;;
  124 | 137) fail 4 "the environment took more than $environment_limit s to make" ;;
  *) exit 4 ;;
esac
export PYTHONPATH=$PWD/tests OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
python=$work/environment/bin/python
failed=0

# run NAME SECONDS COMMAND...: at most that long, and never into the time of the report
run() {
  local name=$1 most=$2 left=$((limit - SECONDS - report_limit - 5)) code=0
  shift 2
  [ "$most" -le "$left" ] || most=$left
  if [ "$most" -le 0 ]; then
    code=124
  else
    echo "== $name, at most $most s"
    timeout -k 5 "$most" "$@" || code=$?
  fi
  [ "$code" = 0 ] || failed=1
  echo "$name $code" >>"$work/codes"
}

tests() {
  local name=$1 most=$2
  shift 2
  G3D_TEST_LOG=$work/tests-$name.jsonl run "tests-$name" "$most" "$python" -m pytest -m cuda -p gpu_kit.log_tests \
    -p no:cacheprovider --tb=short --continue-on-collection-errors "$@"
}

tests operators "$operators_limit" tests/triton tests/ops
tests systems "$systems_limit" tests --ignore tests/triton --ignore tests/ops
# the benchmark ends by itself a little before it would be stopped
seconds=$((limit - SECONDS - report_limit - 25))
run benchmark $((seconds + 15)) "$python" tests/benchmarks/gpu.py --seconds "$seconds" --out "$work/benchmark.json"

timeout -k 2 "$report_limit" "$python" tests/gpu_kit/report.py "$work" "$out" || failed=1
exit "$failed"
