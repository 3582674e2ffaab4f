#!/usr/bin/env bash
# A zoo as a job array on a real Slurm of one node, one task killed in the middle: test/slurm/prove.sh (as root, by hand)
# Needs Debian's slurm-wlm and munge (apt-get install slurm-wlm munge) and a built dist/. Ends with code 0 when the zoo
# is byte for byte that of one undisturbed process, and verify finds nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
work=$(mktemp -d)
cli="node $root/dist/cli.js"
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
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
mkdir -p "$work/state" "$work/spool"
cat >"$work/slurm.conf" <<CONF
ClusterName=proof
SlurmctldHost=$host
SlurmUser=root
AuthType=auth/munge
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldPort=16817
SlurmdPort=16818
ReturnToService=2
NodeName=$host CPUs=$(nproc) RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf
for _ in $(seq 50); do munge -n >/dev/null 2>&1 && break; sleep 0.1; done
slurmctld -D -f "$SLURM_CONF" >"$work/slurmctld.log" 2>&1 & pids+=($!)
slurmd -D -f "$SLURM_CONF" >"$work/slurmd.log" 2>&1 & pids+=($!)
for _ in $(seq 100); do sinfo -h -o %t 2>/dev/null | grep -q idle && break; sleep 0.2; done
sinfo

train=(--images "$work/images" --cache-dir "$work/cache" --per-class 30 --epochs 20 --batch-size 32)
echo "== undisturbed, in one process"
$cli train "${train[@]}" --out "$work/alone" --quiet

echo "== as a job array"
cd "$work"
$cli slurm --tasks 4 --cpus 1 "${train[@]}" --out "$work/zoo" --quiet | tee script.sh | sbatch
victim=
for _ in $(seq 600); do
  if [ "$(wc -l 2>/dev/null <zoo/ledger.2-of-4.jsonl)" -ge 3 ] 2>/dev/null; then
    victim=$(pgrep -f -- "--out $work/zoo --quiet --shard 2/4" | head -1) && [ "$victim" ] && break
  fi
  sleep 0.1
done
squeue
[ "$victim" ] || { echo 'no task to kill'; tail slurm*.log weightzoo-*.log; exit 1; }
echo "task 2 has $(wc -l <zoo/ledger.2-of-4.jsonl) networks: kill -9 $victim"
kill -9 "$victim"
for _ in $(seq 1500); do
  [ -z "$(squeue -h)" ] && break
  sleep 0.4
done
squeue
cat weightzoo-*_2.log
wc -l zoo/ledger.*.jsonl

echo "== compare"
diff -r -x 'ledger*' zoo alone && echo "equal: $(find zoo -type f ! -name 'ledger*' | wc -l) files"
$cli verify zoo
