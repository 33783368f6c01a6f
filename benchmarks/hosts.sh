#!/usr/bin/env bash
# Builds examples/tiny on two hosts that share nothing but a wire; compares the digest with the one in the lock, and the
# bytes on the wire with those of an all-reduce of float32 gradients.
#
#   sudo PYTHON=$(command -v python) benchmarks/hosts.sh [WORKERS-ON-EACH]
#
# The hosts are network namespaces with names, address tables and folders of their own. As on Debian, the name of each
# stands for a loopback address on itself. Only the second one has the recipe. Needs root, iproute2 and util-linux.
set -euo pipefail
each=${1:-1} python=${PYTHON:-python3} room=$(mktemp -d) source=$(cd "$(dirname "$0")/.." && pwd)
hosts=(regrow-a regrow-b) pids=()

cleanup() {
    kill "${pids[@]}" 2>/dev/null || true
    for host in "${hosts[@]}"; do
        ip netns delete "$host" 2>/dev/null || true
        rm -rf "/etc/netns/$host"
    done
    rm -rf "$room"
}
trap cleanup EXIT

for host in "${hosts[@]}"; do
    ip netns add "$host"
    mkdir -p "/etc/netns/$host" "$room/$host"
done
printf '127.0.0.1 localhost\n127.0.1.1 regrow-a\n10.77.0.2 regrow-b\n' >/etc/netns/regrow-a/hosts
printf '127.0.0.1 localhost\n10.77.0.1 regrow-a\n127.0.1.1 regrow-b\n' >/etc/netns/regrow-b/hosts
ip link add wire netns regrow-a type veth peer name wire netns regrow-b
number=0
for host in "${hosts[@]}"; do
    number=$((number + 1))
    ip -n "$host" address add "10.77.0.$number/24" dev wire
    ip -n "$host" link set wire up
    ip -n "$host" link set lo up
    ip -n "$host" route add default via "10.77.0.$((3 - number))"
done
cp -r "$source/examples/tiny" "$room/regrow-b/tiny"

both() { # ARGUMENTS of torchrun that follow the rendezvous
    for host in "${hosts[@]}"; do
        ip netns exec "$host" unshare --uts env PYTHONPATH="$source/src" OMP_NUM_THREADS=1 sh -c \
            'hostname "$1"; cd "$2"; shift 2; exec "$@"' - "$host" "$room/$host" \
            "$python" -m torch.distributed.run --nnodes 2 --nproc-per-node "$each" --max-restarts 3 \
            --rdzv-backend c10d --rdzv-endpoint regrow-a:29400 --rdzv-id tiny "$@" >"$room/$host.out" &
        pids+=($!)
    done
    wait "${pids[@]}"
    pids=()
}
sent() { ip netns exec regrow-a cat /sys/class/net/wire/statistics/tx_bytes; }

start=$(sent)
both -m regrow build tiny --locked --offline --store store --output release
bytes=$(($(sent) - start)) steps=$(wc -l <"$room/regrow-b/release/training/losses.jsonl")
promised=$(sed -n 's/^release = "\(.*\)"/\1/p' "$source/examples/tiny/regrow.lock")
built=$(cat "$room/regrow-b.out")
echo "built    $built"
echo "promised $promised"

weights=$(stat --format %s "$room/regrow-b/release/model.safetensors")
cat >"$room/plain.py" <<'PLAIN'
import os, sys
import torch
# Left to itself gloo would look for the others where this host's own name leads, at a loopback address.
os.environ["GLOO_SOCKET_IFNAME"] = "wire"
torch.distributed.init_process_group("gloo")
x = torch.zeros(int(sys.argv[1]) // 4)
for _ in range(int(sys.argv[2])):
    torch.distributed.all_reduce(x)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
PLAIN
start=$(sent)
both "$room/plain.py" "$weights" "$steps"
echo "the first host sent $((bytes / steps)) bytes a step; all-reduces of float32 gradients $((($(sent) - start) / steps))"
[ "$built" = "$promised" ] && [ -z "$(ls "$room/regrow-a")" ]
