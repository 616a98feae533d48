#!/usr/bin/env bash
# build_nas_machine.sh FOLDER: makes FOLDER/linux, FOLDER/full_xstate.so and FOLDER/base.cpio, a machine with Debian's own
# user-mode kernel that lives in its memory alone: real NFS and SMB mounts, and the servers behind them. Root; debootstrap,
# cpio, cc. One to two minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$1"
cc -O2 -shared -fPIC -Wall -Werror -o full_xstate.so "$here/full_xstate.c"
suite=bookworm # its Python is 3.11
debootstrap --variant=minbase --include=ca-certificates "$suite" root
# What this machine needs to reach Debian's packages: mirrors, proxies, certificates.
for path in /etc/resolv.conf /etc/hosts /etc/apt/apt.conf.d /usr/local/share/ca-certificates /etc/ssl/certs; do
  [ -e "$path" ] && cp -r "$path" "root$(dirname "$path")/"
done
. /etc/os-release
if [ "${VERSION_CODENAME:-}" = "$suite" ]; then
  rm -rf root/etc/apt/sources.list root/etc/apt/sources.list.d
  cp -r /etc/apt/sources.list* root/etc/apt/
fi
in_root() { chroot root env DEBIAN_FRONTEND=noninteractive "$@"; }
in_root apt-get -qq update
in_root apt-get -qq install --yes --no-install-recommends python3 samba cifs-utils nfs-kernel-server nfs-common rpcbind \
  autofs kmod iproute2 iptables keyutils procps e2fsprogs
# The kernel that is a program of ours, and of its drivers what a machine without hardware can use.
in_root sh -c "cd /tmp && apt-get -qq download user-mode-linux"
dpkg -x root/tmp/user-mode-linux_*.deb kernel
rm root/tmp/*.deb
cp kernel/usr/bin/linux.uml linux
modules=$(echo kernel/usr/lib/uml/modules/*)
version=${modules##*/}
find "$modules/kernel/drivers" -mindepth 1 -maxdepth 1 ! -name block -exec rm -rf {} +
mkdir -p root/lib/modules
cp -a "$modules" root/lib/modules/
in_root depmod "$version"
rm -rf root/var/lib/apt/lists/* root/var/cache/apt/archives/*.deb root/usr/share/{doc,locale,man}
cat > root/init <<'INIT'
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; for folder in /run /tmp /dev/shm; do mount -t tmpfs tmpfs $folder; done
ip link set lo up; hostname nas; exec >/dev/console 2>&1 </dev/null
bash /lab/main.sh; echo "ended with $?"
echo o > /proc/sysrq-trigger; sleep 9
INIT
chmod +x root/init
(cd root && find . -print0 | cpio --null -o -H newc --quiet) > base.cpio
rm -rf root kernel
