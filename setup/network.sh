#!/bin/sh
# A network for guests on this host: a bridge with an address, TAP interfaces on it, and a way out.
#
#   setup/network.sh up [TAP..]   makes the bridge skiff0 with 10.77.0.1/24, the interfaces (default: tap0
#                                 and tap1, so that a VM can move), and has the host forward for guests
#   setup/network.sh down         takes all of it away again
#   setup/network.sh show         says what there is
#
# Run it as root, or by sudo: the interfaces then belong to the user who typed it, whose `skiff run --net
# tap=tap0` needs no privilege. In the guest: ip addr add 10.77.0.2/24 dev eth0; ip link set eth0 up;
# ip route add default via 10.77.0.1. Running it again changes nothing that is as it should be.
set -eu

bridge=skiff0
network=10.77.0
table=skiff0

fail() {
    echo "network: $*" >&2
    exit 1
}

say() {
    echo "network: $*"
}

taps() {
    for path in "/sys/class/net/$bridge/brif"/*; do
        [ ! -e "$path" ] || basename "$path"
    done
}

up() {
    [ $# -gt 0 ] || set -- tap0 tap1
    owner=${SUDO_USER:-$(id -un)}
    if [ ! -e "/sys/class/net/$bridge" ]; then
        ip link add "$bridge" type bridge
        ip addr add "$network.1/24" dev "$bridge"
    fi
    ip link set "$bridge" up
    for tap; do
        if [ ! -e "/sys/class/net/$tap" ]; then
            ip tuntap add dev "$tap" mode tap user "$owner"
        elif [ ! -e "/sys/class/net/$tap/tun_flags" ]; then
            fail "$tap is there already, and is no TAP interface: choose another name"
        fi
        ip link set "$tap" master "$bridge" up
        say "$tap is on $bridge and belongs to $owner"
    done
    if command -v nft >/dev/null; then
        nft -f - <<RULES
table ip $table
delete table ip $table
table ip $table {
    chain out {
        type nat hook postrouting priority srcnat
        ip saddr $network.0/24 ip daddr != $network.0/24 masquerade
    }
}
RULES
        sysctl -qw net.ipv4.ip_forward=1
        say "guests reach what this host reaches, by way of $network.1"
    else
        say "guests reach this host at $network.1 and no further: there is no nft (package nftables)"
    fi
}

down() {
    for tap in $(taps); do
        ip link del "$tap"
    done
    [ ! -e "/sys/class/net/$bridge" ] || ip link del "$bridge"
    if command -v nft >/dev/null && nft list table ip "$table" >/dev/null 2>&1; then
        nft delete table ip "$table"
    fi
    say "$bridge and its interfaces are gone; the host goes on forwarding, if it did"
}

show() {
    if [ ! -e "/sys/class/net/$bridge" ]; then
        say "there is no $bridge: setup/network.sh up"
        return
    fi
    say "$bridge has $network.1/24; on it: $(taps | tr '\n' ' ')"
}

[ $# -gt 0 ] || set -- show
verb=$1
shift
case $verb in
up | down)
    [ "$(id -u)" = 0 ] || fail "making interfaces takes root: sudo $0 $verb $*"
    "$verb" "$@"
    ;;
show) show ;;
*) fail "\`$verb\` is none of up, down and show" ;;
esac
