# Makes disk images with Debian on them; sourced by the recipes beside it.
#
# Needs mmdebstrap, and root or a user namespace; it has been tried as root only.

PATH=$PATH:/usr/sbin:/sbin

# Says what the recipe does: $recipe is its name.
say() {
    echo "$recipe: $*"
}

fail() {
    say "$*" >&2
    exit 1
}

# Ends the recipe where its image $1 is: it may be a guest's.
leave_if_there() {
    if [ -e "$1" ]; then
        say "$1 is there already; delete it to have a new one"
        exit
    fi
}

# Runs a command with the owners of the new system's files: root itself, or root of a user's own namespace.
as_owner() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        mmdebstrap --unshare-helper "$@"
    fi
}

# Makes a directory $work beside the image $1, for as long as the recipe runs.
make_work() {
    for tool in mmdebstrap mke2fs; do
        command -v "$tool" >/dev/null || fail "$tool is missing; run 'make setup' (Debian or Ubuntu)"
    done
    mkdir -p "$(dirname "$1")"
    work=$(mktemp -d "$1.XXXXXX")
    chmod 755 "$work"
    trap 'as_owner rm -rf "$work/root"; rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# Installs the packages $1 below $work/root, and runs $work/configure in there; what follows are further
# options of mmdebstrap.
install_system() {
    packages=$1
    shift
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$suite" ] || fail "/etc/os-release names no release of Debian or Ubuntu"
    say "installing $suite with $packages"
    log=$work/log
    # shellcheck disable=SC2016 # the shell of mmdebstrap expands it
    if ! mmdebstrap --quiet --variant=minbase --include="$packages" \
        --customize-hook="chroot \"\$1\" sh -s <'$work/configure'" \
        "$@" "$suite" "$work/root" >"$log" 2>&1; then
        sed 's#[a-z]*://[^ ]*#(address)#g' "$log" | tail -n 20 >&2
        fail "mmdebstrap failed; its last lines are above"
    fi
}

# Makes $work/image, a file system of size $1 with all below $work/root.
pack_system() {
    say "making an ext4 file system of $1"
    as_owner mke2fs -q -t ext4 -L skiff -d "$work/root" "$work/image" "$1"
}
