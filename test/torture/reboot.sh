#!/usr/bin/env bash
# A zoo trained in a virtual machine that loses its power, again and again: test/torture/reboot.sh [times, default 3]
# (as root on Linux, by hand; some five minutes for each loss: the lock of the boot before is believed in for two, and the
# machine is emulated, since few virtual machines may have others in them). Needs a built dist/ and Debian's
# qemu-system-x86, linux-image-cloud-amd64 and busybox-static. The machine reads this one's files; its zoo lies on an ext4
# disk of its own. Ends with code 0 when every network that was told finished before a loss is kept as it is, and the zoo
# is byte for byte that of an undisturbed process here.
set -euo pipefail
cd "$(dirname "$0")/../.."
losses=${1:-3}
RANDOM=${WEIGHTZOO_TORTURE_SEED:-1}
work=$(mktemp -d)
machine=
finish() {
  [ ! "$machine" ] || kill -9 "$machine" 2>/dev/null || true
  umount "$work/disk" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

kernel=$(ls /boot/vmlinuz-*-cloud-amd64 | tail -1)
release=${kernel#/boot/vmlinuz-}
mkdir -p "$work/initrd/bin" "$work/disk"
cp "$(command -v busybox)" "$work/initrd/bin/busybox"
modules=
for module in virtio_pci virtio_blk virtiofs; do
  while read -r _ path _; do
    cp -n "$path" "$work/initrd/"
    modules="$modules $(basename "$path")"
  done < <(modprobe -S "$release" --show-depends "$module" | grep ^insmod)
done
cat >"$work/initrd/init" <<SH
#!/bin/busybox sh
/bin/busybox --install -s /bin
for module in $modules; do insmod /\$module 2>/dev/null; done
mkdir /proc /sys /host
mount -t proc proc /proc
mount -t virtiofs host /host
mount -t proc proc /host/proc
mount -t devtmpfs dev /host/dev
mount -t ext4 -o commit=1 /host/dev/vda /host$work/disk
hostname machine
echo "booted \$(cat /proc/sys/kernel/random/boot_id)"
chroot /host /usr/bin/env PATH="$PATH" HOME=/root \\
  "$(command -v node)" "$PWD/test/torture/trainer.mjs" "\$(cat /host$work/options)" 2>&1
umount /host$work/disk
poweroff -f
SH
chmod +x "$work/initrd/init"
(cd "$work/initrd" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd.gz"
truncate -s 512M "$work/disk.img"
mkfs.ext4 -q "$work/disk.img"

start() {
  /usr/lib/qemu/virtiofsd --socket-path="$work/socket" -o source=/ -o sandbox=chroot >"$work/virtiofsd.log" 2>&1 &
  until [ -S "$work/socket" ]; do sleep 0.1; done
  : >"$work/console"
  qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 2G -nographic -nic none -no-reboot -kernel "$kernel" -initrd "$work/initrd.gz" \
    -append 'console=ttyS0 quiet loglevel=1 panic=-1' -drive "file=$work/disk.img,format=raw,if=virtio" \
    -object memory-backend-memfd,id=memory,size=2G,share=on -numa node,memdev=memory \
    -chardev "socket,id=host,path=$work/socket" -device vhost-user-fs-pci,chardev=host,tag=host \
    </dev/null >"$work/console" 2>"$work/qemu.log" &
  machine=$!
}
console() { tr -d '\r' <"$work/console"; }
networks() { console | sed -n 's/^network //p'; }

options() {
  echo "{\"out\":\"$1\",\"perClass\":4,\"epochs\":1,\"checkpoints\":\"all\",\"outputs\":true}"
}
options "$work/alone" >"$work/options"
node test/torture/trainer.mjs "$(cat "$work/options")" >/dev/null
options "$work/disk/zoo" >"$work/options"

for loss in $(seq "$losses"); do
  start
  next=$((1 + RANDOM % 3))
  until [ "$(networks | wc -l)" -ge $next ]; do
    kill -0 "$machine" || { cat "$work/console" "$work/qemu.log"; exit 1; }
    sleep 0.05
  done
  kill -9 "$machine"
  wait "$machine" 2>/dev/null || true
  networks >>"$work/told"
  echo "loss $loss, $(console | grep booted): $(wc -l <"$work/told") networks had been told finished"
done
start
wait "$machine" || true
machine=
console | grep finished || { console; cat "$work/qemu.log"; exit 1; }
networks >>"$work/told"

mount -o loop "$work/disk.img" "$work/disk"
if [ "$(sort "$work/told" | uniq -d)" ] || grep -q '"attempt"' "$work/disk/zoo/ledger.jsonl"; then
  echo 'a network was trained twice'
  exit 1
fi
diff -r -x 'ledger*' -x 'outputs*' "$work/disk/zoo" "$work/alone"
echo "equal: $(find "$work/disk/zoo" -type f ! -name 'ledger*' ! -name 'outputs*' | wc -l) files"
node dist/cli.js verify "$work/disk/zoo"
