//! Why a setting was refused, always with the value that was given.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use devices::net::{NoInterfaceName, NoMacAddress};
use devices::vsock::NoGuestCid;

use super::ByteSize;

/// A setting that cannot be used, from the command line or from a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not a whole number with a unit of 1024 powers.
    #[error(
        "`{value}` is no size: give a number and, if you like, K, M, G or T (powers of 1024), for example 512M"
    )]
    SizeSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// A size of zero.
    #[error("a size of `{value}` is too small: give at least one byte, for example 512M")]
    SizeZero {
        /// What was given.
        value: Box<str>,
    },
    /// More bytes than 64 bits can count.
    #[error("`{value}` is more bytes than can be counted: give a smaller size, for example 512M")]
    SizeOverflow {
        /// What was given.
        value: Box<str>,
    },
    /// Not a whole number with a unit of 1000 powers.
    #[error(
        "`{value}` is no rate: give bits per second with, if you like, K, M, G or T (powers of 1000), for example 10G"
    )]
    RateSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// A rate of zero.
    #[error("a rate of `{value}` moves nothing: give bits per second, for example 10G")]
    RateZero {
        /// What was given.
        value: Box<str>,
    },
    /// More bits per second than 64 bits can count.
    #[error(
        "`{value}` is more bits per second than can be counted: give a smaller rate, for example 10G"
    )]
    RateOverflow {
        /// What was given.
        value: Box<str>,
    },
    /// Not a whole number with a unit of time.
    #[error("`{value}` is no time: give a number with us, ms, s or m, for example 300ms")]
    TimeSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// A longer time than can be counted in microseconds.
    #[error(
        "`{value}` is a longer time than can be counted: give a shorter one, for example 300ms"
    )]
    TimeOverflow {
        /// What was given.
        value: Box<str>,
    },
    /// A name that could not be part of a socket's file name.
    #[error(
        "`{value}` is no name for a VM: use 1 to 64 letters, digits, `.`, `_` or `-`, beginning with none of `.` and `-`, for example web-1"
    )]
    NameSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// The kernel did not hand out random bytes for a name.
    #[error("cannot make up a name for the VM")]
    NameRandom {
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// Not a path with options of a disk.
    #[error(
        "`{value}` is no disk: give PATH[,ro][,serial=TEXT][,rate=RATE][,iops=N], for example disk.img,ro; the path has no comma"
    )]
    DiskSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// A serial number that no driver could show.
    #[error("`{value}` is no serial number of a disk: give at most 20 printable ASCII characters")]
    DiskSerial {
        /// What was given.
        value: Box<str>,
    },
    /// Not a number of requests in a second.
    #[error(
        "`{value}` is no number of requests per second: give iops=N, N a whole number from 1 on"
    )]
    DiskIops {
        /// What was given.
        value: Box<str>,
    },
    /// More disks than a VM can have.
    #[error("too many disks: a VM has at most {}", super::DISKS_MAX)]
    DiskCount,
    /// Not an interface with options of a network card.
    #[error(
        "`{value}` is no network card: give tap=NAME[,mac=MAC][,rate=RATE], for example tap=tap0"
    )]
    NetSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// Not an interface of this host for a card that comes with its VM.
    #[error(
        "`{value}` is no interface for a network card: give tap=NAME; its address comes with the VM"
    )]
    TapSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// No interface has such a name.
    #[error("`{value}` is {reason}")]
    NetTap {
        /// What was given.
        value: Box<str>,
        /// What is wrong with it.
        reason: NoInterfaceName,
    },
    /// No card has such an address.
    #[error("`{value}` is {reason}")]
    NetMac {
        /// What was given.
        value: Box<str>,
        /// What is wrong with it.
        reason: NoMacAddress,
    },
    /// More network cards than a VM can have.
    #[error("too many network cards: a VM has at most {}", super::NETS_MAX)]
    NetCount,
    /// Not a socket with the options of a socket device.
    #[error(
        "`{value}` is no socket device: give socket=PATH[,cid=N], for example socket=web.vsock"
    )]
    VsockSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// Not a socket for a device that comes with its VM.
    #[error("`{value}` is no socket: give socket=PATH; the address of the guest comes with the VM")]
    SocketSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// No guest has such an address.
    #[error("`{value}` is {reason}")]
    VsockCid {
        /// What was given.
        value: Box<str>,
        /// What is wrong with it.
        reason: NoGuestCid,
    },
    /// Neither with nor without a balloon.
    #[error("`{value}` is no balloon mode: give on, auto, plain or off")]
    BalloonSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// Settings of self-ballooning for none.
    #[error("--interval and --keep-cache are for --auto on")]
    BalloonSettings,
    /// A pace for no record.
    #[error("--every is for --record")]
    RecordPace,
    /// Settings of self-ballooning out of range.
    #[error(
        "self-ballooning takes an interval of 10ms to 49 days, and a share of 0 to 100 percent"
    )]
    BalloonRange,
    /// Not one of the three ways to connect the serial port.
    #[error("`{value}` is no serial mode: give stdio, none or file=PATH")]
    SerialSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// Not HOST:PORT.
    #[error(
        "`{value}` is no address: give HOST:PORT, for example 192.0.2.7:7000, node2:7000 or [2001:db8::7]:7000"
    )]
    EndpointSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// Port 0 where a peer is to be reached.
    #[error(
        "`{value}` cannot be reached: a destination's port is 1 to 65535, for example node2:7000"
    )]
    EndpointPortZero {
        /// What was given.
        value: Box<str>,
    },
    /// Not a way to migrate.
    #[error(
        "`{value}` is no migration mode: give auto, post-copy, hybrid, pre-copy or stop-and-copy"
    )]
    ModeSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// Neither a snapshot to write nor one to check or to make whole.
    #[error(
        "give the VM and --to DIR to write a snapshot, verify and a directory to check one, or merge, a \
         difference, --base DIR and --to DIR to make a whole one"
    )]
    SnapshotForm,
    /// No way for memory to get from a snapshot to a guest.
    #[error("`{value}` is no memory mode: give auto, lazy, eager or mapped")]
    MemoryModeSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// A number of copies out of range.
    #[error("`{value}` is no number of copies: give 1 to 1000")]
    CloneCount {
        /// What was given.
        value: Box<str>,
    },
    /// Copies cannot share what only one can have.
    #[error("several copies cannot share {what}")]
    CloneShares {
        /// What that is, and what to give instead.
        what: &'static str,
    },
    /// None of the choices.
    #[error("`{value}` is no choice for --prefetch: give on, off or demand")]
    PrefetchSyntax {
        /// What was given.
        value: Box<str>,
    },
    /// A number of vCPUs out of range.
    #[error("`{value}` is no number of vCPUs: give 1 to 32")]
    VcpuCount {
        /// What was given.
        value: Box<str>,
    },
    /// An empty path for the kernel.
    #[error(
        "the path of the kernel is empty: give a file, or the word probe for the built-in guest"
    )]
    KernelEmpty,
    /// No kernel on the command line nor in the file.
    #[error("no kernel is given: add --kernel FILE, or --kernel probe for the built-in guest")]
    KernelMissing,
    /// The built-in guest takes no initrd.
    #[error("the built-in probe guest takes no initrd, but `{}` is given", path.display())]
    ProbeInitrd {
        /// The initrd that was given.
        path: PathBuf,
    },
    /// A command line the guest kernel could not read.
    #[error("the kernel command line has {length_bytes} bytes, at most {limit_bytes} fit")]
    CommandLineLength {
        /// Its length.
        length_bytes: usize,
        /// The most that fits.
        limit_bytes: usize,
    },
    /// A command line with a byte that ends it early or that the kernel cannot show.
    #[error("the kernel command line has an unprintable character at byte {offset_bytes}")]
    CommandLineCharacter {
        /// Where it is.
        offset_bytes: usize,
    },
    /// Less memory than any guest can use.
    #[error("{memory} of memory is too little: a guest needs at least {minimum}")]
    MemoryTooSmall {
        /// What was asked for.
        memory: ByteSize,
        /// The least.
        minimum: ByteSize,
    },
    /// A memory size that does not consist of whole pages.
    #[error("{memory} bytes of memory are no multiple of 4K: guest memory consists of whole pages")]
    MemoryUnaligned {
        /// What was asked for.
        memory: ByteSize,
    },
    /// More memory than the host has.
    #[error("{memory} of memory is more than this host has, which is {host}")]
    MemoryExceedsHost {
        /// What was asked for.
        memory: ByteSize,
        /// All memory of the host.
        host: ByteSize,
    },
    /// The configuration file could not be read.
    #[error("cannot read the configuration file `{}`", path.display())]
    FileRead {
        /// The file.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The configuration file is longer than any sensible one.
    #[error("the configuration file `{}` has more than {limit_bytes} bytes", path.display())]
    FileSize {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit_bytes: u64,
    },
    /// The configuration file is not a JSON object with known keys and usable values.
    #[error("cannot use the configuration file `{}`", path.display())]
    FileSyntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        #[source]
        source: serde_json::Error,
    },
}

impl ConfigError {
    /// What the user can do about it, where the message does not say it already.
    pub fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::MemoryExceedsHost { host, .. } => {
                Some(format!("give --memory less than {host}").into())
            }
            Self::CommandLineLength { .. } => {
                Some("move settings into the initrd, or shorten --cmdline".into())
            }
            Self::ProbeInitrd { .. } => {
                Some("leave --initrd out, or give --kernel FILE with it".into())
            }
            Self::FileRead { .. } => Some("check the path given to --config".into()),
            Self::FileSyntax { .. } => Some(
                "the keys are the long options of `skiff run` without the dashes, see skiff help run".into(),
            ),
            _ => None,
        }
    }

    /// Whether the fault is in what was typed, as opposed to this host or a file on it.
    pub fn is_usage(&self) -> bool {
        !matches!(
            self,
            Self::MemoryExceedsHost { .. } | Self::FileRead { .. } | Self::NameRandom { .. }
        )
    }
}
