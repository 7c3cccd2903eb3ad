package fabric

// anotherBoot makes a machine's boot another one than the kernel's.
const anotherBoot = `
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
`

// bare is what a namespace without folders of its own runs: the hostname is for people, so it may fail.
const bare = `mount --make-rprivate / && hostname "$0" 2>/dev/null`

// ownFolders gives an instance its own /run, /etc, /var/lib and /sys. The drop-in folders stand in the overlay's upper
// layer beforehand: rootless, a folder of the lower layer belongs to nobody and cannot be written into. Where overlays
// are refused (old kernels rootless, some containers) it falls back to a copy of /etc and an empty /var/lib.
const ownFolders = `
set -e
mount --make-rprivate /
hostname "$0" 2>/dev/null || true
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/netns /run/lock /run/enichain
mount -t tmpfs -o mode=755 layers /run/lock
for d in etc lib; do mkdir /run/lock/$d /run/lock/$d.work; done
mkdir -p /run/lock/etc/cni/net.d /run/lock/etc/enichain /run/lock/etc/netns /run/lock/etc/iproute2/rt_tables.d \
  /run/lock/etc/iproute2/rt_protos.d /run/lock/etc/systemd/network /run/lock/etc/systemd/networkd.conf.d \
  /run/lock/etc/udev/rules.d /run/lock/etc/sysctl.d /run/lock/lib/cni /run/lock/lib/enichain
overlay() {
  mount -t overlay -o "lowerdir=$1,upperdir=/run/lock/$2,workdir=/run/lock/$2.work" overlay "$1" 2>/dev/null
}
overlay /etc etc || {
  cp -a /etc/. /run/lock/etc/ 2>/dev/null || true
  mount --bind /run/lock/etc /etc
}
overlay /var/lib lib || mount --bind /run/lock/lib /var/lib
for d in /var/lib/cni /var/lib/enichain /etc/cni /etc/enichain; do mount -t tmpfs -o mode=755 own $d; done
mkdir -p /etc/cni/net.d
umount /run/lock 2>/dev/null || umount -l /run/lock
mkdir -p /run/lock
mount -t sysfs sysfs /sys 2>/dev/null || true
`
