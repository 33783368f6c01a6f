#!/usr/bin/env bash
# Everything there is to ask a CUDA device, with one command, from a clone:
#
#     benchmarks/gpu.sh              # writes build/gpu/report.txt as well
#
# Builds two examples on the device from an empty store and compares them with their locks, runs the tests that need a
# device, and measures a training step against plain torch. What fails is said and the rest goes on; the exit status is
# 1 then. Takes the Python of $PYTHON if that has regrow installed, else makes an environment in build/gpu. Needs a C
# compiler and Python's headers, for Triton, and the network for the sources of the second example and, the first time,
# for libraries.
set -euo pipefail
cd "$(dirname "$0")/.."

work=build/gpu
mkdir -p "$work"
exec > >(tee "$work/report.txt") 2>&1

python=${PYTHON:-python3}
if ! "$python" -c 'import regrow, torch, triton, pytest' 2>/dev/null; then
    [ -x "$work/env/bin/python" ] || "$python" -m venv "$work/env"
    python=$work/env/bin/python
    "$python" -m pip install --quiet --editable '.[gpu,test]'
fi

echo "== the machine"
git log -1 --format='commit %h of %cs'
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
lscpu | grep 'Model name' || true

# From here on nothing may fall back to the CPU.
export REGROW_BACKEND=triton

echo "== is it exact?"
"$python" -m regrow selftest --full | { grep -v '  exact ' || true; } || failed=1
"$python" -m pytest -rs -m gpu tests/exact tests/train tests/independent || failed=1

echo "== the same hashes?"
rm -rf "$work/store"
for example in tiny bard; do
    expected=$(sed -n 's/^release = "\(.*\)"$/\1/p' "examples/$example/regrow.lock")
    SECONDS=0
    found=$("$python" -m regrow build "examples/$example" --locked --store "$work/store" --output "$work/$example" || true)
    if [ "$found" = "$expected" ]; then
        echo "$example: equal, $found, $SECONDS s"
    else
        echo "$example: DIFFERENT, ${found:-no digest}, not $expected"
        failed=1
    fi
done

echo "== how fast?"
"$python" benchmarks/gpu.py "$@" || failed=1

exit "${failed:-0}"
