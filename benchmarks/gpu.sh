#!/usr/bin/env bash
# Everything there is to ask a CUDA device, with one command, from a clone:
#
#     benchmarks/gpu.sh              # writes build/gpu/report.txt as well
#     benchmarks/gpu.sh --tests      # and runs the tests that need a device, which takes longer
#
# Tests whether the device is exact, builds two examples on it and compares them with their locks, and measures a
# training step against plain torch: in eight minutes, of which each part has a share, and prints as it goes. What fails
# or takes too long is said and the rest goes on; the exit status is 1 then. $SECONDS_IN_ALL changes the eight minutes.
#
# Takes the Python of $PYTHON if that has regrow installed, else makes an environment in build/gpu, which is not counted.
# Needs a C compiler and Python's headers, for Triton. The second example has its sources from the network; where there
# is none, $TEXTS names a store in which these are, made elsewhere with
#
#     for stage in fetch-plays-and-poems fetch-bible; do
#         python -m regrow task examples/bard $stage --store build/texts
#     done
set -euo pipefail
cd "$(dirname "$0")/.."

work=build/gpu
mkdir -p "$work"
exec > >(tee "$work/report.txt") 2>&1

python=${PYTHON:-python3}
if ! "$python" -c 'import regrow, torch, triton' 2>/dev/null; then
    [ -x "$work/env/bin/python" ] || "$python" -m venv "$work/env"
    python=$work/env/bin/python
    "$python" -c 'import regrow, torch, triton' 2>/dev/null || "$python" -m pip install --quiet --editable '.[gpu,test]'
fi

SECONDS=0
all=${SECONDS_IN_ALL:-470}

# A command that has so many seconds, and no more than are left of all.
within() {
    local most=$((all - SECONDS < $1 ? all - SECONDS : $1)) status=0
    shift
    [ "$most" -gt 0 ] || { echo "no time left for: $*"; return 1; }
    timeout "$most" "$@" || status=$?
    [ "$status" -ne 124 ] || echo "given up after $most s: $*"
    return "$status"
}

echo "== the machine"
git log -1 --format='commit %h of %cs' || true
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || failed=1
lscpu | grep 'Model name' || true

# From here on nothing may fall back to the CPU.
export REGROW_BACKEND=triton

echo "== is it exact?"
# Every way to multiply, and every kernel, against the definition.
within 150 "$python" -m benchmarks.gpu --exact || failed=1
echo "after $SECONDS s"

echo "== the same hashes?"
rm -rf "$work/store"
[ -z "${TEXTS:-}" ] || cp -R "$TEXTS" "$work/store"
for example in tiny bard; do
    expected=$(sed -n 's/^release = "\(.*\)"$/\1/p' "examples/$example/regrow.lock")
    if ! "$python" -m regrow plan "examples/$example" --store "$work/store" 2>/dev/null | grep -q '^ *pretrain  *run'; then
        echo "$example: it would not be trained here, so nothing is shown"
        failed=1
        continue
    fi
    begun=$SECONDS
    found=$(within 120 "$python" -m regrow build "examples/$example" --locked --store "$work/store" --output "$work/$example" | tail -1 || true)
    if [ "$found" = "$expected" ]; then
        echo "$example: equal, $found, $((SECONDS - begun)) s"
    else
        echo "$example: DIFFERENT, ${found:-no digest}, not $expected"
        failed=1
    fi
done
echo "after $SECONDS s"

echo "== how fast?"
if [ "${1:-}" = --tests ]; then
    tests=1
    shift
fi
left=$((all - SECONDS - 10))
within "$all" "$python" -m benchmarks.gpu --seconds "$((left > 0 ? left : 0))" "$@" || failed=1
echo "after $SECONDS s"

if [ -n "${tests:-}" ]; then
    echo "== the tests"
    "$python" -m pytest -rs -m gpu tests/exact tests/train tests/independent || failed=1
fi

exit "${failed:-0}"
