#!/bin/sh
# Says what kind of host this is: which virtualization it has, whether a VM's memory may arrive on
# demand (userfaultfd), and what to do about what is missing. Changes nothing and always succeeds.
set -eu

say() {
    echo "host: $*"
}

memory_kib=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
say "$(uname -m), Linux $(uname -r), $(nproc) CPUs, $((memory_kib / 1024 / 1024)) GiB of memory"

# Virtualization: what the processor offers, then which module of the kernel answers at /dev/kvm.
if [ -d /sys/module/kvm_pvm ]; then
    say "KVM without hardware virtualization (kvm_pvm): the probe guest runs here natively," \
        "Linux guests run in the nested rig"
elif [ -d /sys/module/kvm_intel ]; then
    say "hardware virtualization: Intel VT-x (kvm_intel)"
elif [ -d /sys/module/kvm_amd ]; then
    say "hardware virtualization: AMD-V (kvm_amd)"
elif grep -qwE 'vmx|svm' /proc/cpuinfo; then
    say "the processor has hardware virtualization, but KVM is not loaded:" \
        "as root, 'modprobe kvm_intel' or 'modprobe kvm_amd'"
elif [ -e /dev/kvm ]; then
    say "/dev/kvm exists, its kind is unknown"
else
    say "no hardware virtualization (if this is a VM, its host may be able to nest it):" \
        "all guests run in the nested rig"
fi

if [ ! -e /dev/kvm ]; then
    say "no /dev/kvm: guests run in the nested rig only"
elif [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
    say "/dev/kvm may be used"
else
    say "/dev/kvm may not be used by $(id -un): as root, 'usermod -aG kvm $(id -un)', then log in again"
fi

# A vCPU's fault happens in the kernel, which is more than an unprivileged process may handle by itself.
if [ "$(id -u)" = 0 ]; then
    say "userfaultfd may be used (root)"
elif [ "$(cat /proc/sys/vm/unprivileged_userfaultfd 2>/dev/null)" = 1 ]; then
    say "userfaultfd may be used (vm.unprivileged_userfaultfd = 1)"
elif [ -r /dev/userfaultfd ] && [ -w /dev/userfaultfd ]; then
    say "userfaultfd may be used (/dev/userfaultfd)"
else
    say "userfaultfd may not be used, so VMs can be sent from here but not received post-copy: as root," \
        "'sysctl vm.unprivileged_userfaultfd=1', or give access to /dev/userfaultfd (Linux 6.1 or newer)"
fi
