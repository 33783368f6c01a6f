#!/usr/bin/env bash
# What a machine is worth, with one command, from a clone; made to be pasted back:
#
#     benchmarks/everywhere.sh       # writes build/everywhere/report.txt as well
#
# For Macs, Arm servers and any laptop: which units the processor has and whether they are exact, whether the smallest
# example gets its hash, how long a training step takes beside plain torch's in float32, and how fast a model of 4 and of
# 8 bits writes and reads. Eight minutes or less, once libraries are there. What fails is said and the rest goes on; the exit status is 1 then. Takes the Python of $PYTHON
# if that has regrow installed, else makes an environment in build/everywhere. The bash of macOS, 3.2, will do.
set -euo pipefail
cd "$(dirname "$0")/.."

work=build/everywhere
mkdir -p "$work"
exec > >(tee "$work/report.txt") 2>&1

python=${PYTHON:-python3}
if ! "$python" -c 'import regrow, torch' 2>/dev/null; then
    [ -x "$work/env/bin/python" ] || "$python" -m venv "$work/env"
    python=$work/env/bin/python
    "$python" -c 'import regrow, torch' 2>/dev/null || "$python" -m pip install --quiet --editable .
fi

echo "== the machine"
git log -1 --format='commit %h of %cs' || true
uname -srm
sysctl -n machdep.cpu.brand_string hw.ncpu hw.memsize 2>/dev/null || true
lscpu 2>/dev/null | grep -E '^(Model name|CPU\(s\)|Vendor ID)' || true
"$python" -c 'import platform, numba, torch; print("Python", platform.python_version(), "torch", torch.__version__, "numba", numba.__version__)'

echo "== is it exact, and what multiplies?"
"$python" -m regrow selftest || failed=1

echo "== the same hash?"
rm -rf "$work/store"
expected=$(sed -n 's/^release = "\(.*\)"$/\1/p' examples/tiny/regrow.lock)
SECONDS=0
found=$("$python" -m regrow build examples/tiny --locked --store "$work/store" --output "$work/tiny" || true)
if [ "$found" = "$expected" ]; then
    echo "tiny: equal, $found, $SECONDS s, compiling included"
else
    echo "tiny: DIFFERENT, ${found:-no digest}, not $expected"
    failed=1
fi

echo "== how fast?"
"$python" -m benchmarks.train_step --sizes 3M 25M --contexts 256 --steps 3 --kinds float32 "$@" || failed=1
"$python" -m benchmarks.train_step --sizes 25M --contexts 256 --steps 3 --apart "$@" || failed=1

echo "== how fast with codes?"
"$python" -m benchmarks.codes || failed=1

exit "${failed:-0}"
