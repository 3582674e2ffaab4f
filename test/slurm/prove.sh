#!/usr/bin/env bash
# A zoo as a job array on a real Slurm of three nodes, one task killed and one node lost in the middle:
#   test/slurm/prove.sh        (as root on Linux, by hand; some six minutes)
# A node is a slurmd in namespaces of its own: another host name, other process numbers, so that to weightzoo it is
# another machine; killing its first process takes all of it down at once. The disk that they share is this machine's.
# Needs Debian's slurm-wlm and munge (apt-get install slurm-wlm munge) and a built dist/. Ends with code 0 when the zoo
# is byte for byte that of one undisturbed process, and verify finds nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
work=$(mktemp -d)
cli="node $root/dist/cli.js"
pids=()
nodes=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  # unshare ignores TERM; with it its namespaces go.
  for pid in "${nodes[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  [ "${KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT

echo "== images"
node --input-type=module - "$work/images" <<'JS'
import { mkdirSync } from 'node:fs'
import sharp from 'sharp'
import { generateImages } from 'weightzoo'
const images = generateImages({ classes: 4, trainPerClass: 60, validationPerClass: 10, seed: 3 })
for (const [split, { pixels, labels }] of Object.entries({ train: images.train, val: images.validation })) {
  for (const [i, label] of labels.entries()) {
    const folder = `${process.argv[2]}/${split}/${images.classNames[label]}`
    mkdirSync(folder, { recursive: true })
    const bytes = Uint8Array.from(pixels.subarray(i * 3072, (i + 1) * 3072), value => Math.round(value * 255))
    await sharp(bytes, { raw: { width: 32, height: 32, channels: 3 } }).png().toFile(`${folder}/${i}.png`)
  }
}
JS

echo "== Slurm"
host=$(hostname -s)
mkdir -p /run/munge && chown munge: /run/munge && chmod 755 /run/munge
[ -s /etc/munge/munge.key ] || (head -c 1024 /dev/urandom >/etc/munge/munge.key && chown munge: /etc/munge/munge.key && chmod 400 /etc/munge/munge.key)
if [ ! -S /run/munge/munge.socket.2 ] || ! munge -n >/dev/null 2>&1; then
  setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --force >"$work/munged.log" 2>&1 &
  pids+=($!)
fi
mkdir -p "$work/state"
cat >"$work/slurm.conf" <<CONF
ClusterName=proof
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool.%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.%n.pid
SlurmctldPort=16817
SlurmdTimeout=15
NodeName=node1 NodeAddr=127.0.0.1 Port=16821 CPUs=1 RealMemory=1000 State=UNKNOWN
NodeName=node2 NodeAddr=127.0.0.1 Port=16822 CPUs=1 RealMemory=1000 State=UNKNOWN
NodeName=node3 NodeAddr=127.0.0.1 Port=16823 CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=node[1-3] Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf
for _ in $(seq 50); do munge -n >/dev/null 2>&1 && break; sleep 0.1; done
slurmctld -D -f "$SLURM_CONF" >"$work/slurmctld.log" 2>&1 & pids+=($!)
for node in node1 node2 node3; do
  unshare --uts --pid --mount-proc --fork --kill-child \
    bash -c "hostname $node; slurmd -D -f '$SLURM_CONF' & wait" >"$work/slurmd.$node.log" 2>&1 & nodes+=($!)
done
for _ in $(seq 100); do [ "$(sinfo -h -N -t idle 2>/dev/null | wc -l)" = 3 ] && break; sleep 0.2; done
sinfo -N

train=(--images "$work/images" --cache-dir "$work/cache" --per-class 30 --epochs 20 --batch-size 32)
echo "== undisturbed, in one process"
$cli train "${train[@]}" --out "$work/alone" --quiet

echo "== as a job array"
cd "$work"
$cli slurm --tasks 4 --cpus 1 "${train[@]}" --out "$work/zoo" --quiet | tee script.sh | sbatch
finished() { cat "zoo/ledger.$1-of-4.jsonl" 2>/dev/null | wc -l; }
await() { for _ in $(seq 1800); do [ "$(finished "$1")" -ge "$2" ] && return; sleep 0.1; done; squeue; tail weightzoo-*.log; exit 1; }

await 2 3
victim=$(pgrep -f -- "--out $work/zoo --quiet --shard 2/4" | head -1)
echo "task 2 has $(finished 2) networks: kill -9 $victim"
kill -9 "$victim"

await 3 5
node=$(squeue -h -r -t running -o '%K %N' | sed -n 's/^3 //p')
echo "task 3 has $(finished 3) networks: $node goes down"
kill -9 "$(pgrep -P "${nodes[${node#node} - 1]}")"
squeue -r
for _ in $(seq 1500); do
  [ -z "$(squeue -h)" ] && break
  sleep 0.4
done
sinfo -N
tail -n 50 weightzoo-*_[23].log
grep -i "node_fail\|requeu" "$work/slurmctld.log" || true
wc -l zoo/ledger.*.jsonl

echo "== compare"
diff -r -x 'ledger*' zoo alone
echo "equal: $(find zoo -type f ! -name 'ledger*' | wc -l) files"
$cli verify zoo
