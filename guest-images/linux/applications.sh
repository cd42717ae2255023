#!/bin/sh
# Makes a disk image with the applications of the benchmark: Debian with a compiler and a part of the
# kernel's source, nginx with files to give, redis, and iperf3.
#
#   guest-images/linux/applications.sh [IMAGE]    (default: target/guest-images/applications.img)
#
# The guest has no systemd: its /sbin/init brings up the network as 10.77.0.2/24, starts the three servers
# (ports 80, 6379, 5201), says "applications: ready", and is a shell on the console then, with
#
#   build                 compiles a kernel's directories kernel, mm, lib and fs, over and over, and prints
#                         a line for each file
#   share                 writes blocks of 16 KiB all over a file of 32 MiB, over and over
#
# An image that is there is left alone. What it takes: see image.sh.
set -eu

size=768M # of which a sixth stays free

here=$(cd "$(dirname "$0")" && pwd)
image=${1:-$here/../../target/guest-images/applications.img}
recipe=applications
# shellcheck source=image.sh
. "$here/image.sh"

leave_if_there "$image"
make_work "$image"

# Runs in the finished system, before it is packed.
cat >"$work/configure" <<'CONFIGURE'
set -eu

# Of the kernel's source what these directories are compiled from, with a configuration as small as
# there is; the build system reads all of its own files, whatever they are for.
tree=$(basename /usr/src/linux-source-*.tar.xz .tar.xz)
mkdir /usr/src/linux
tar -xJf "/usr/src/$tree.tar.xz" -C /usr/src/linux --strip-components=1 --wildcards \
    --exclude="$tree/Documentation/*/*" --exclude="$tree/arch/[a-w]*/*.[chS]" \
    --exclude="$tree/drivers/*.[chS]" --exclude="$tree/sound/*.[chS]" --exclude="$tree/net/*.[chS]" \
    --exclude="$tree/samples/*.[chS]" --exclude="$tree/tools/testing/*" --exclude="$tree/tools/perf/*" \
    --exclude='*.dts' --exclude='*.dtsi'
cd /usr/src/linux
make -s tinyconfig
make -s prepare
dpkg --purge --force-depends $(dpkg-query --show --showformat='${Package} ' 'linux-source*')
rm -rf /usr/share/doc /usr/share/locale /usr/share/man /var/cache/apt /var/lib/apt/lists

cat >/usr/local/bin/build <<'BUILD'
#!/bin/sh
cd /usr/src/linux
while find kernel mm lib fs -name '*.[oa]' -delete && make kernel/ mm/ lib/ fs/; do :; done
BUILD

cat >/usr/local/bin/share <<'SHARE'
#!/bin/sh
# Begins anywhere and goes on by a step without a common factor with the number of blocks: each block has
# its turn, and none is near the one before.
blocks=2048 step=811 block=7
head -c 16384 /dev/urandom >/tmp/block
while dd if=/tmp/block of=/var/shared bs=16384 count=1 seek=$block conv=notrunc 2>/tmp/told; do
    block=$(((block + step) % blocks))
done
cat /tmp/told
SHARE
chmod 755 /usr/local/bin/build /usr/local/bin/share
head -c 33554432 /dev/urandom >/var/shared

# A thousand files of 4 to 64 KiB.
rm -rf /var/www/html
mkdir /var/www/html
for number in $(seq 0 999); do
    head -c $((4096 * (1 + number % 16))) /dev/urandom >/var/www/html/$number
done
cat >/etc/nginx/nginx.conf <<'NGINX'
worker_processes 1;
events { worker_connections 256; }
http {
    access_log off;
    sendfile on;
    keepalive_requests 1000000;
    server { listen 80; root /var/www/html; }
}
NGINX

cat >/sbin/init <<'INIT'
#!/bin/sh
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PS1='applications# '
for place in run tmp; do mount -t tmpfs "$place" "/$place"; done
mkdir -p /run/nginx
busybox ip link set lo up
busybox ip addr add 10.77.0.2/24 dev eth0
busybox ip link set eth0 up
nginx
redis-server --daemonize yes --bind 0.0.0.0 --protected-mode no --save '' >/dev/null
iperf3 --server --daemon
echo "applications: ready"
setsid busybox cttyhack sh
busybox poweroff -f
INIT
chmod 755 /sbin/init
CONFIGURE

install_system "bc,bison,busybox-static,flex,gcc,iperf3,libc6-dev,linux-source,make,nginx-light,redis-server,xz-utils"
pack_system "$size"
mv "$work/image" "$image" # last: it vouches for all
say "$image is there; $(du -h "$image" | cut -f1) of $size are used"
