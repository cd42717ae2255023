#!/bin/sh
# Makes a disk image with a Debian root file system, from the distribution's own packages.
#
#   guest-images/linux/rootfs.sh [IMAGE [SIZE]]    (default: target/guest-images/rootfs.img 2G)
#
# leaves beside the image
#   IMAGE.key            the private key of its user root, for ssh
#
# The guest has systemd, a login on the console (root, no password there), ssh for whoever has the key,
# and the address 10.77.0.2/24 with a way out by 10.77.0.1, as setup/network.sh makes it. Boot it with the
# kernel and the initramfs of build.sh, which load its modules:
#
#   skiff run --kernel target/guest-images/vmlinuz --initrd target/guest-images/initramfs.cpio.lz4 \
#       --cmdline "console=ttyS0 panic=-1 skiff.root=/dev/vda" --disk target/guest-images/rootfs.img \
#       --net tap=tap0
#
# An image that is there is left alone: it may be a guest's. What it takes: see image.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
image=${1:-$here/../../target/guest-images/rootfs.img}
size=${2:-2G}
recipe=rootfs
# shellcheck source=image.sh
. "$here/image.sh"

leave_if_there "$image"
make_work "$image"

# Runs in the finished system, before it is packed.
cat >"$work/configure" <<'CONFIGURE'
set -eu
echo skiff >/etc/hostname
echo '127.0.0.1 localhost skiff' >/etc/hosts
echo '/dev/vda / ext4 defaults 0 1' >/etc/fstab
passwd -q -d root
cat >/etc/systemd/network/80-skiff.network <<'NETWORK'
[Match]
Name=eth* en*

[Network]
Address=10.77.0.2/24
Gateway=10.77.0.1
NETWORK
systemctl -q enable systemd-networkd
ssh-keygen -q -t ed25519 -N '' -C skiff -f /root/skiff.key
mkdir -p -m 700 /root/.ssh
mv /root/skiff.key.pub /root/.ssh/authorized_keys
# Every guest has keys and an identity of its own, made when it first boots.
rm -f /etc/ssh/ssh_host_*
cat >/etc/systemd/system/ssh-keys.service <<'KEYS'
[Unit]
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
KEYS
systemctl -q enable ssh-keys
: >/etc/machine-id
CONFIGURE

packages="systemd-sysv,udev,dbus,login,procps,iproute2,iputils-ping,openssh-server,socat,wget,ca-certificates,e2fsprogs"
# shellcheck disable=SC2016 # the shell of mmdebstrap expands it
install_system "$packages" \
    --customize-hook="copy-out /root/skiff.key '$work'" \
    --customize-hook='rm "$1/root/skiff.key"'
pack_system "$size"
mv "$work/skiff.key" "$image.key"
chmod 600 "$image.key"
mv "$work/image" "$image" # last: it vouches for all
say "$image and $image.key are there; $(du -h "$image" | cut -f1) of $size are used"
