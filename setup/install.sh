#!/bin/sh
# Installs the Debian or Ubuntu packages that building and testing need and that are missing here.
# Asks for sudo only if something is missing and the user is not root; installs nothing else.
set -eu

# gcc libc6-dev make   linking, and the C library's headers
# g++                  libFuzzer, which the fuzz targets are linked with, is C++
# libclang-dev         the bindings of the userfaultfd crate are generated at build time
# qemu-system-x86      the outer VM of the nested rig (software emulation, no privilege)
# cpio kmod lz4 xz-utils zstd   unpacking the kernel's modules, packing the initramfs
# e2fsprogs            a journalled file system on the disk of a guest under test
# mmdebstrap uidmap openssh-client   a Debian system on a disk, and a way into it
# iproute2             links with a rate between two network namespaces, for the benchmark
# iperf3 redis-tools wrk   clients of the benchmark's Linux applications
# fonts-dejavu-core    the words in the benchmark's pictures
# ca-certificates      cargo fetches crates over TLS
wanted="gcc g++ libc6-dev make libclang-dev qemu-system-x86 cpio kmod lz4 xz-utils zstd e2fsprogs mmdebstrap uidmap openssh-client iproute2 iperf3 redis-tools wrk fonts-dejavu-core ca-certificates"

# Prints those of the given packages that are not installed.
missing() {
    for package; do
        case $(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null) in
        *" installed") ;;
        *) echo "$package" ;;
        esac
    done
}

# Runs a command as root; shows its output only if it fails, without addresses of package hosts.
as_root() {
    log=$(mktemp)
    status=0
    if [ "$(id -u)" = 0 ]; then
        "$@" >"$log" 2>&1 </dev/null || status=$?
    else
        # shellcheck disable=SC2024 # the log is meant to be the user's
        sudo "$@" >"$log" 2>&1 || status=$?
    fi
    [ "$status" = 0 ] || sed 's#[a-z]*://[^ ]*#(address)#g' "$log" >&2
    rm -f "$log"
    return "$status"
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "setup: this is neither Debian nor Ubuntu; install the counterparts of these packages yourself:"
    echo "setup:   $wanted"
    echo "setup: the Linux test guest is made from Debian packages and needs apt-get and dpkg-deb"
    exit 1
fi

# shellcheck disable=SC2086 # the names are words
absent=$(missing $wanted | tr '\n' ' ')
# The guest's kernel is fetched through the package lists: old ones name files that are gone. A user
# who would be asked for a password gets by with lists that know the kernel at all.
if [ -f "$(dirname "$0")/../target/guest-images/packages/release" ]; then
    lists=unneeded
elif [ "$(id -u)" != 0 ] && apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1; then
    lists=present
else
    lists=wanted
fi
if [ -z "$absent" ] && [ "$lists" != wanted ]; then
    echo "setup: all packages are installed"
else
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        echo "setup: as root, run: apt-get update && apt-get install --no-install-recommends $absent" >&2
        exit 1
    fi
    [ "$(id -u)" = 0 ] || echo "setup: sudo is used for 'apt-get update' and 'apt-get install', nothing else"
    echo "setup: bringing the package lists up to date"
    as_root apt-get -q update
    if [ -n "$absent" ]; then
        echo "setup: installing $absent"
        # shellcheck disable=SC2086
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $absent
    fi
fi

for tool in rustc cargo; do
    if ! command -v "$tool" >/dev/null; then
        echo "setup: $tool is missing; skiff is built with the Rust toolchain, see https://rustup.rs" >&2
        exit 1
    fi
done
needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
found=$(rustc --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
    echo "setup: rustc $found is too old, $needed or newer is needed; run 'rustup update'" >&2
    exit 1
fi
echo "setup: rustc $found"
