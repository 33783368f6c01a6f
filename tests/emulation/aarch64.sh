#!/usr/bin/env bash
# Builds examples/tiny on an emulated aarch64 machine and compares the release digest with the committed lock.
#
#     tests/emulation/aarch64.sh [WORKDIR]
#
# Needs a Debian-like host with what regrow needs installed in the Python that `python3` starts, and the packages
# qemu-user-static and debootstrap. Nothing is installed outside WORKDIR (default: a new temporary directory; about
# 1.5 GB); root is not needed. MIRROR overrides the Debian mirror, which is the one that apt uses.
#
# Every instruction is emulated, so this takes ten minutes or twenty where the same build takes seconds. The newest torch
# that the package index has as a small CPU build for aarch64 is 2.8: another release than the tested one, which makes
# the comparison say more. REGROW_BACKEND=reference takes the definition in plain torch instead of kernels compiled for
# aarch64. Digits are multiplied as integers, since the emulator does floating-point arithmetic in software:
# REGROW_CARRIER=float64 takes hours.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
room=${1:-$(mktemp -d)}
root=$room/root
site=$room/site
torch=2.8.0
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -1)}
mkdir -p "$room"

say() { printf '== %s\n' "$*" >&2; }

if [ ! -x "$root/usr/bin/python3.11" ]; then
    say "an arm64 root in $root"
    # The first stage only downloads; unpacking by hand saves running any package's scripts.
    debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,libgomp1,libstdc++6 \
        bookworm "$root" "$mirror" >"$room/debootstrap.log"
    for package in "$root"/var/cache/apt/archives/*.deb; do dpkg -x "$package" "$root"; done
fi

if [ ! -d "$site/torch" ]; then
    say "the packages that regrow needs, for aarch64"
    python3 - "$torch" "$here/pyproject.toml" >"$room/packages.txt" <<'PYTHON'
import importlib.metadata as metadata
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

project = tomllib.loads(Path(sys.argv[2]).read_text())["project"]
pinned, waiting = {}, [Requirement(text).name for text in project["dependencies"]]
while waiting:
    name = waiting.pop().lower().replace("_", "-")
    if name in pinned:
        continue
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        continue
    pinned[name] = found.version
    for text in found.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "", "platform_machine": "aarch64"}):
            waiting.append(requirement.name)
pinned["torch"] = sys.argv[1]
print(*(f"{name}=={version}" for name, version in sorted(pinned.items())), sep="\n")
PYTHON
    python3 -m pip install --quiet --no-deps --target "$site" --only-binary=:all: --python-version 3.11.9 \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
        --platform manylinux_2_17_aarch64 --requirement "$room/packages.txt"
fi

say "building examples/tiny"
rm -rf "$room/tiny" "$room/store" "$room/example"
cp -r "$here/examples/tiny" "$room/example"
export QEMU_LD_PREFIX=$root PYTHONPATH=$here/src:$site PYTHONHOME=$root/usr PYTHONDONTWRITEBYTECODE=1
export REGROW_BACKEND=${REGROW_BACKEND:-numba} REGROW_CARRIER=${REGROW_CARRIER:-int8} HOME=$room
time qemu-aarch64-static "$root/usr/bin/python3.11" -m regrow.cli build "$room/example" --frozen --threads 1 \
    --output "$room/tiny" --store "$room/store"
want=$(sed -n 's/^release = "\([0-9a-f]\{64\}\)"$/\1/p' "$here/examples/tiny/regrow.lock")
got=$(sha256sum <"$room/tiny/SHA256SUMS" | cut -d' ' -f1)
say "x86-64: $want"
say "aarch64: $got"
[ "$want" = "$got" ]
