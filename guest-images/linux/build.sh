#!/bin/sh
# Builds the Linux guest and the outer system of the nested rig from Debian's own packages.
#
#   guest-images/linux/build.sh [DIRECTORY]        (default: target/guest-images)
#
# leaves in the directory
#   vmlinuz              the distribution's kernel for virtual machines, unmodified
#   initramfs.cpio.lz4   busybox, the virtio modules and ./init: the guest (words it knows: see ./init)
#   rig.cpio             busybox and the KVM modules for the outer kernel of the nested rig
#
# Nothing is installed on the host and no privilege is needed: packages are fetched and unpacked
# below the directory. A second run finds everything done; a changed recipe rebuilds the images from
# the packages already fetched. Delete the directory to take newer packages.
set -eu

# What the guest may meet in a VM of ours, and what the outer kernel of the rig needs: KVM on AMD-V,
# which is what QEMU can emulate, virtio on PCI for its way out, and a network of TAP interfaces.
guest_modules="virtio_mmio virtio_rng virtio_balloon virtio_blk virtio_net vmw_vsock_virtio_transport ext4"
rig_modules="kvm_amd virtio_pci virtio_console tun bridge veth"

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../target/guest-images}
PATH=$PATH:/usr/sbin:/sbin # depmod and modprobe, for users whose PATH has no sbin

fail() {
    echo "guest-images: $*" >&2
    exit 1
}

# Prints the name of the package that holds the kernel image of this distribution.
kernel_package() {
    for meta in linux-image-cloud-amd64 linux-image-virtual linux-image-generic; do
        package=$(apt-cache depends --important "$meta" 2>/dev/null |
            awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
        if [ -n "$package" ]; then
            echo "$package"
            return
        fi
    done
    fail "apt knows no kernel package (linux-image-cloud-amd64 or linux-image-virtual);" \
        "run 'make setup', which brings the package lists up to date"
}

# Fetches packages by their exact names into the current directory and unpacks them below $1.
# `apt-get download` takes an unknown name for a pattern and fetches everything that matches it.
fetch() {
    tree=$1
    shift
    for package; do
        [ -n "$(apt-cache show "$package" 2>/dev/null)" ] || fail "apt knows no package $package"
    done
    if ! apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$@" >fetch.log 2>&1; then
        sed 's#[a-z]*://[^ ]*#(address)#g' fetch.log >&2
        fail "cannot fetch $*; if the package lists are old, run 'apt-get update' as root"
    fi
    for file in ./*.deb; do
        dpkg-deb --extract "$file" "$tree"
    done
}

# Fetches and unpacks kernel and busybox into the directory `packages`.
fetch_packages() {
    kernel=$(kernel_package)
    modules=
    case $kernel in
    *-generic | *-virtual) # Ubuntu packs the modules apart from the kernel
        modules="linux-modules-${kernel#linux-image-}"
        echo "guest-images: Ubuntu's kernel is taken as it comes; the project is tested with Debian's"
        ;;
    esac
    echo "guest-images: fetching $kernel and busybox-static"
    mkdir -p "$work/debs" "$work/packages"
    # shellcheck disable=SC2086 # $modules may be empty
    (cd "$work/debs" && fetch "$work/packages" "$kernel" busybox-static $modules)
    # Packages of before and after the merge of /lib into /usr/lib look the same from here on.
    [ -d "$work/packages/lib" ] || ln -s usr/lib "$work/packages/lib"
    depmod --basedir "$work/packages" "${kernel#linux-image-}"
    echo "${kernel#linux-image-}" >"$work/packages/release"
    rm -rf "$out/packages"
    mv "$work/packages" "$out/packages"
}

# Copies modules with all they depend on into $1/modules, numbered in the order of insertion.
copy_modules() {
    tree=$1
    shift
    mkdir -p "$tree/modules"
    modprobe --dirname "$out/packages" --set-version "$release" --show-depends --all "$@" \
        >"$work/depends" || fail "kernel $release lacks one of the modules $*"
    # The other kind of line is "builtin NAME": nothing to load.
    awk '$1 == "insmod" && !seen[$2]++ { print $2 }' "$work/depends" >"$work/list"
    number=100
    while read -r module; do
        name=$(basename "$module")
        target=$tree/modules/$number-${name%%.ko*}.ko
        case $module in
        *.ko) cp "$module" "$target" ;;
        *.ko.xz) xz -dc "$module" >"$target" ;;
        *.ko.zst) zstd -qdc "$module" >"$target" ;;
        *) fail "unknown compression of $module" ;;
        esac
        number=$((number + 1))
    done <"$work/list"
}

# Makes the tree of a busybox system in $1.
busybox_tree() {
    mkdir -p "$1/bin" "$1/dev" "$1/mnt" "$1/proc" "$1/run" "$1/sys" "$1/tmp"
    busybox=$out/packages/bin/busybox
    [ -e "$busybox" ] || busybox=$out/packages/usr/bin/busybox
    cp "$busybox" "$1/bin/busybox"
    "$busybox" --list | while read -r applet; do
        [ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
    done
}

# Packs the tree $1 as a cpio archive that depends on nothing but its content.
pack() {
    (cd "$1" && find . -exec touch -h -d @0 {} + && find . | LC_ALL=C sort |
        cpio --quiet --create --format=newc --reproducible --owner=+0:+0)
}

build_images() {
    echo "guest-images: building the images of kernel $release"
    busybox_tree "$work/guest"
    # shellcheck disable=SC2086 # the names are words
    copy_modules "$work/guest" $guest_modules
    install -m 755 "$here/init" "$work/guest/init"
    # -l: the legacy frame is the only LZ4 format that the kernel reads.
    pack "$work/guest" | lz4 -l -9 -q - "$work/initramfs.cpio.lz4"

    busybox_tree "$work/rig"
    # shellcheck disable=SC2086
    copy_modules "$work/rig" $rig_modules
    pack "$work/rig" >"$work/rig.cpio"

    install -m 644 "$out/packages/boot/vmlinuz-$release" "$work/vmlinuz"
    mv "$work/vmlinuz" "$work/initramfs.cpio.lz4" "$work/rig.cpio" "$out/"
}

for tool in apt-cache apt-get dpkg-deb depmod modprobe cpio lz4 flock; do
    command -v "$tool" >/dev/null || fail "$tool is missing; run 'make setup' (Debian or Ubuntu)"
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
exec 9>"$out/.lock"
flock 9 # tests and builds may ask at the same time

# Everything is made in $work and renamed into place, so an interrupted run leaves nothing half done;
# under the lock an older $work can only be the remains of a run that was killed.
rm -rf "$out"/work.*
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

[ -f "$out/packages/release" ] || fetch_packages
release=$(cat "$out/packages/release")
recipe=$(cat "$here/build.sh" "$here/init" "$out/packages/release" | sha256sum)
if [ "$recipe" != "$(cat "$out/recipe" 2>/dev/null)" ]; then
    build_images
    echo "$recipe" >"$work/recipe"
    mv "$work/recipe" "$out/recipe" # last: it vouches for the images
fi
echo "guest-images: $out has vmlinuz ($release), initramfs.cpio.lz4, rig.cpio"
