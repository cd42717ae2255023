//! `skiff run` as typed.

use std::path::PathBuf;

use argh::FromArgs;

use crate::boot::VcpuCount;
use crate::config::{
    BalloonMode, ByteSize, ConfigError, DiskConfig, KernelSource, NetConfig, SerialMode, VmName,
    VmSettings, VsockConfig,
};

/// boot a VM and stay with it until it powers off or has moved away
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "run",
    help_triggers("--help", "-h", "help"),
    example = "\
The built-in guest with a memory load, and a Linux kernel of your own:
  {command_name} --kernel probe --cmdline 'workload=seq-write ws=64M'
  {command_name} --kernel vmlinuz --initrd initrd.img --memory 1G --cpus 2

With a disk of its own, and one that it shares with others and may only read:
  truncate -s 8G web.img
  {command_name} --kernel vmlinuz --initrd initrd.img --disk web.img --disk base.img,ro,serial=base

With a network card, on an interface that is made once, by root:
  ip tuntap add dev tap0 mode tap user $USER; ip link set tap0 up master br0
  {command_name} --kernel vmlinuz --initrd initrd.img --net tap=tap0,mac=52:54:00:12:34:56

With a socket device, through which a program of this host reaches the guest's port 1234:
  {command_name} --kernel vmlinuz --initrd initrd.img --vsock socket=web.vsock
  socat - UNIX-CONNECT:web.vsock    (and then: CONNECT 1234)

The same from a file, with one setting changed:
  {command_name} --config vm.json --memory 2G
where vm.json is {{\"kernel\": \"vmlinuz\", \"initrd\": \"initrd.img\", \"memory\": \"1G\", \"cpus\": 2}}",
    note = "\
On a terminal the guest has the keyboard: Ctrl-C goes to the guest, Ctrl-A x ends the VM,
Ctrl-A h shows the other escape sequences. `{command_name}` ends with 0 when the guest powers
off, reboots, is stopped or has moved away.

A disk belongs to one VM at a time, which its image is locked for; disks that all VMs only read can be
shared. A VM moves with its disks if the destination finds the same image at the same path, as on shared
storage. A snapshot has no content of disks: before it is resumed, each disk must be as it was then.

A network card moves with its VM and its address: the destination has an interface of the same name, or
is told of another by its own --net, in the same network. The card announces itself there.

A socket device connects programs of this host and of the guest without a network. Its connections end when
the VM moves or is resumed from a snapshot: both sides are told, and the guest is found at the same path
there, or that of --vsock."
)]
pub(in crate::cli) struct RunArgs {
    /// kernel to boot: a bzImage, an ELF vmlinux, an ELF file with a PVH note, or the word probe for the built-in guest
    #[argh(option, arg_name = "FILE")]
    kernel: Option<KernelSource>,
    /// initial ramdisk for the kernel
    #[argh(option, arg_name = "FILE")]
    initrd: Option<PathBuf>,
    /// kernel command line; default: `console=ttyS0 panic=-1`, empty for the probe guest
    #[argh(option, arg_name = "TEXT")]
    cmdline: Option<String>,
    /// guest memory, at least 16M, in whole pages; default: 512M
    #[argh(option, arg_name = "SIZE")]
    memory: Option<ByteSize>,
    /// number of vCPUs, 1 to 32; default: 1
    #[argh(option, arg_name = "N")]
    cpus: Option<VcpuCount>,
    /// a disk, a raw image file or a block device: PATH, then ,ro if the guest may only read it, ,serial=TEXT for a serial number, ,rate=RATE and ,iops=N for the most bits and requests per second; may be given up to 8 times, the guest finds /dev/vda, /dev/vdb and so on
    #[argh(option, arg_name = "PATH[,ro]")]
    disk: Vec<DiskConfig>,
    /// a network card whose cable ends in a TAP interface of this host: tap=NAME, then ,mac=MAC for its address (default: one is made up) and ,rate=RATE for the most bits per second in each direction; may be given up to 4 times
    #[argh(option, arg_name = "tap=NAME[,mac=MAC]")]
    net: Vec<NetConfig>,
    /// a socket device: socket=PATH, then ,cid=N for the guest's address (default: 3). A program of this host that connects to PATH and says "CONNECT PORT" talks to who listens on that vsock port in the guest; a guest that connects to port N of CID 2 talks to the program that listens at PATH_N
    #[argh(option, arg_name = "socket=PATH")]
    vsock: Option<VsockConfig>,
    /// where the serial port leads: stdio, none or file=PATH; default: stdio
    #[argh(option, arg_name = "MODE")]
    serial: Option<SerialMode>,
    /// memory balloon: on (with free page reporting: freed memory goes back to the host), auto (what is free is taken as well, see `skiff help balloon`), plain (without reporting; the guest names its free pages when it is moved by rounds, so that they are not sent: free page hinting) or off; default: on
    #[argh(option, arg_name = "MODE")]
    balloon: Option<BalloonMode>,
    /// name of the VM; default: one is made up
    #[argh(option, arg_name = "NAME")]
    name: Option<VmName>,
    /// path of the control socket; default: $XDG_RUNTIME_DIR/skiff/NAME.sock or /run/skiff/NAME.sock
    #[argh(option, arg_name = "PATH")]
    api: Option<PathBuf>,
    /// JSON file with these options as keys; what is typed wins over the file
    #[argh(option, arg_name = "FILE")]
    config: Option<PathBuf>,
}

impl RunArgs {
    /// What was typed, completed by the configuration file.
    pub(in crate::cli) fn into_settings(self) -> Result<VmSettings, ConfigError> {
        let Self {
            kernel,
            initrd,
            cmdline,
            memory,
            cpus,
            disk,
            net,
            vsock,
            serial,
            balloon,
            name,
            api,
            config,
        } = self;
        let typed = VmSettings {
            kernel,
            initrd,
            cmdline,
            memory,
            cpus,
            disk,
            net,
            vsock,
            serial,
            balloon,
            name,
            api,
        };
        match config {
            Some(path) => Ok(typed.or(VmSettings::read(&path)?)),
            None => Ok(typed),
        }
    }
}
