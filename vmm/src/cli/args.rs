//! The commands and their options as typed; the texts here are what `skiff help` shows.

use std::path::PathBuf;

use argh::FromArgs;
use migration::{Growth, Order, Pivots, Prepaging, Streams};

use super::output::Format;
use crate::boot::VcpuCount;
use crate::config::{
    ByteSize, ConfigError, Exposure, HostPort, KernelSource, MigrateConfig, MigrationMode,
    ReceiveConfig, SerialMode, TimeSpan, TrustConfig, VmName, VmSettings,
};
use crate::control::VmAddress;

/// A microVM monitor whose VMs can move.
#[derive(Debug, FromArgs)]
#[argh(
    help_triggers("--help", "-h", "help"),
    example = "\
Boot the built-in guest, look at it from another terminal, and end it:
  {command_name} run --kernel probe --name first
  {command_name} ls
  {command_name} stop first

Move it to another host, which waits for it:
  node2$ {command_name} receive --listen 0.0.0.0:7000 --key FILE
  node1$ {command_name} migrate first --to node2:7000 --key FILE",
    note = "\
A VM is addressed by its name, or by the path of its control socket (a word with a slash in it).
Sizes take K, M, G and T (powers of 1024). Options are written `--memory 1G` or `--memory=1G`.
SKIFF_LOG=error|warn|info|debug|trace chooses what is logged.
`{command_name} help COMMAND` explains a command.",
    error_code(1, "it failed; standard error says why and what to try"),
    error_code(2, "it was not understood")
)]
pub(super) struct Skiff {
    /// show the version
    #[argh(switch)]
    pub(super) version: bool,
    #[argh(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, FromArgs)]
#[argh(subcommand)]
pub(super) enum Command {
    Run(RunArgs),
    Receive(ReceiveArgs),
    Migrate(MigrateArgs),
    Cancel(CancelArgs),
    Ls(LsArgs),
    Info(InfoArgs),
    Pause(PauseArgs),
    Resume(ResumeArgs),
    Stop(StopArgs),
    Preflight(PreflightArgs),
}

impl Command {
    /// The word that was typed for it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Receive(_) => "receive",
            Self::Migrate(_) => "migrate",
            Self::Cancel(_) => "cancel",
            Self::Ls(_) => "ls",
            Self::Info(_) => "info",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Stop(_) => "stop",
            Self::Preflight(_) => "preflight",
        }
    }
}

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

The same from a file, with one setting changed:
  {command_name} --config vm.json --memory 2G
where vm.json is {{\"kernel\": \"vmlinuz\", \"initrd\": \"initrd.img\", \"memory\": \"1G\", \"cpus\": 2}}",
    note = "\
On a terminal the guest has the keyboard: Ctrl-C goes to the guest, Ctrl-A x ends the VM,
Ctrl-A h shows the other escape sequences. `{command_name}` ends with 0 when the guest powers
off, reboots, is stopped or has moved away."
)]
pub(super) struct RunArgs {
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
    /// where the serial port leads: stdio, none or file=PATH; default: stdio
    #[argh(option, arg_name = "MODE")]
    serial: Option<SerialMode>,
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
    pub(super) fn into_settings(self) -> Result<VmSettings, ConfigError> {
        let Self {
            kernel,
            initrd,
            cmdline,
            memory,
            cpus,
            serial,
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
            serial,
            name,
            api,
        };
        match config {
            Some(path) => Ok(typed.or(VmSettings::read(&path)?)),
            None => Ok(typed),
        }
    }
}

/// wait for one VM to arrive, and run it here
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "receive",
    help_triggers("--help", "-h", "help"),
    example = "\
  node2$ {command_name} --listen 0.0.0.0:7000 --name web --key move.key
  node1$ skiff migrate web --to node2:7000 --key move.key
where move.key, the same file on both, was made so:
  (umask 077 && head -c 32 /dev/urandom > move.key)",
    note = "\
Memory size, vCPUs and devices come with the VM. Post-copy needs the permission to use
userfaultfd here: `skiff preflight` says whether you have it.
With --key both ends prove on every connection that they have the same key. With --tls they show
certificates of the same authority, ca.pem, and everything is encrypted; the one of the destination
names the HOST of --to. Listening on anything but loopback needs one of them, or --insecure."
)]
pub(super) struct ReceiveArgs {
    /// address to listen on; port 0 chooses a free one
    #[argh(option, arg_name = "HOST:PORT")]
    listen: HostPort,
    /// name of the VM on this host; default: one is made up
    #[argh(option, arg_name = "NAME")]
    name: Option<VmName>,
    /// path of the control socket; default: $XDG_RUNTIME_DIR/skiff/NAME.sock or /run/skiff/NAME.sock
    #[argh(option, arg_name = "PATH")]
    api: Option<PathBuf>,
    /// where the serial port leads here: stdio, none or file=PATH; default: stdio
    #[argh(option, arg_name = "MODE")]
    serial: Option<SerialMode>,
    /// file with a key, 16 bytes to 4 KiB, that the source must have too
    #[argh(option, arg_name = "FILE")]
    key: Option<PathBuf>,
    /// encrypt every connection, with ca.pem, cert.pem and key.pem in this directory
    #[argh(option, arg_name = "DIR")]
    tls: Option<PathBuf>,
    /// listen without a key where other hosts can connect: whoever does can hand a VM over
    #[argh(switch)]
    insecure: bool,
}

impl TryFrom<ReceiveArgs> for ReceiveConfig {
    type Error = ConfigError;

    fn try_from(args: ReceiveArgs) -> Result<Self, ConfigError> {
        let ReceiveArgs {
            listen,
            name,
            api,
            serial,
            key,
            tls,
            insecure,
        } = args;
        let mut config = Self::new(listen, name.map_or_else(VmName::generate, Ok)?);
        config.api = api;
        config.serial = serial.unwrap_or_default();
        config.trust = TrustConfig { key, tls };
        config.exposure = exposure_of(insecure);
        Ok(config)
    }
}

/// move a VM to a monitor that waits for it
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "migrate",
    help_triggers("--help", "-h", "help"),
    example = "\
  {command_name} web --to node2:7000
  {command_name} web --to node2:7000 --report report.json
  {command_name} web --to node2:7000 --mode stop-and-copy --report - | jq .downtime_ms",
    note = "\
post-copy runs the guest at the destination at once and sends its memory after it; pre-copy sends
the memory first, in rounds, while the guest runs on here; hybrid sends one round, then does as
post-copy does; stop-and-copy lets the guest stand still until all of it is there. auto sends rounds
as long as they pay, and only then lets the guest go.
Ctrl-C cancels: until it is handed over, the VM then simply runs on where it is.
Ends with 0 only if the VM is completely at its destination."
)]
pub(super) struct MigrateArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(super) vm: VmAddress,
    /// where `skiff receive` listens
    #[argh(option, arg_name = "HOST:PORT", from_str_fn(parse_destination))]
    pub(super) to: HostPort,
    /// how to move: auto, post-copy, hybrid, pre-copy or stop-and-copy; default: auto
    #[argh(option, arg_name = "MODE", default = "MigrationMode::Auto")]
    pub(super) mode: MigrationMode,
    /// pages that nobody waits for: none (only while faults come), push (linear), forward or bubble (upwards from faults, or both ways); default: bubble
    #[argh(option, arg_name = "WAY", default = "Prepaging::default()")]
    prepaging: Prepaging,
    /// how many recent faults pages are sent around, 1 to 64; default: 7, and 1 for forward
    #[argh(option, arg_name = "K")]
    pivots: Option<Pivots>,
    /// how far to go around a fault: adaptive (as faults suggest) or fixed (as in the papers); default: adaptive
    #[argh(option, arg_name = "HOW", default = "Growth::default()")]
    growth: Growth,
    /// which page follows which: physical (by address) or recency (last written first, as far as that is known); default: physical
    #[argh(option, arg_name = "ORDER", default = "Order::default()")]
    order: Order,
    /// connections for the pages that nobody waits for, 1 to 64; default: 1
    #[argh(option, arg_name = "N", default = "Streams::default()")]
    streams: Streams,
    /// for how long the guest may stand still, which decides how pre-copy and auto end, such as 50ms; default: 300ms
    #[argh(option, arg_name = "TIME")]
    max_downtime: Option<TimeSpan>,
    /// file with the key that the destination has
    #[argh(option, arg_name = "FILE")]
    key: Option<PathBuf>,
    /// encrypt every connection, with ca.pem, cert.pem and key.pem in this directory
    #[argh(option, arg_name = "DIR")]
    tls: Option<PathBuf>,
    /// write the report as JSON to this file; - is standard output
    #[argh(option, arg_name = "FILE")]
    pub(super) report: Option<PathBuf>,
}

impl MigrateArgs {
    /// What is asked of the monitor.
    pub(super) fn config(&self) -> MigrateConfig {
        let mut config = MigrateConfig::new(self.to.clone());
        config.mode = self.mode;
        config.max_downtime = self.max_downtime;
        config.prepaging = self.prepaging;
        config.pivots = self.pivots;
        config.growth = self.growth;
        config.order = self.order;
        config.streams = self.streams;
        let (key, tls) = (self.key.clone(), self.tls.clone());
        // The monitor opens the files, in a working directory of its own.
        config.trust = TrustConfig { key, tls }.absolute();
        config
    }
}

fn parse_destination(value: &str) -> Result<HostPort, String> {
    HostPort::parse_destination(value).map_err(|error| error.to_string())
}

/// cancel a migration that has not handed the VM over
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "cancel",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web",
    note = "The VM runs on where it is. After the hand-over there is nothing to cancel any more."
)]
pub(super) struct CancelArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(super) vm: VmAddress,
}

/// list the VMs of this user
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "ls",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name}\n  {command_name} --json | jq -r .[].name",
    note = "\
Lists the control sockets in $XDG_RUNTIME_DIR/skiff, or /run/skiff without that variable; VMs
started with --api elsewhere are not found. What dead VMs left behind is shown once and removed."
)]
pub(super) struct LsArgs {
    /// show the list as JSON
    #[argh(switch)]
    json: bool,
}

/// describe a VM
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "info",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web\n  {command_name} ./web.sock --json"
)]
pub(super) struct InfoArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(super) vm: VmAddress,
    /// show the description as JSON
    #[argh(switch)]
    json: bool,
}

/// stop a VM's vCPUs until it is resumed
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "pause",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web",
    note = "A paused VM can be moved, and arrives paused. Pausing twice is no error."
)]
pub(super) struct PauseArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(super) vm: VmAddress,
}

/// let a paused VM run again
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "resume",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web",
    note = "Resuming a VM that runs is no error."
)]
pub(super) struct ResumeArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(super) vm: VmAddress,
}

/// end a VM and its monitor
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "stop",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web",
    note = "The guest is not asked: to it this is like pulling the plug. Returns when the VM is gone."
)]
pub(super) struct StopArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(super) vm: VmAddress,
}

/// say what this host can do, and why not, without touching a VM
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "preflight",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name}\n  {command_name} --to node2:7000\n  {command_name} --json | jq .host.kvm",
    note = "\
Tries KVM, userfaultfd, memory and limits, and names a remedy for whatever is missing.
Ends with 1 if no VM can run here, or, with --to, if none can move there."
)]
pub(super) struct PreflightArgs {
    /// also ask the monitor that waits there
    #[argh(option, arg_name = "HOST:PORT", from_str_fn(parse_destination))]
    pub(super) to: Option<HostPort>,
    /// file with the key that the monitor there has
    #[argh(option, arg_name = "FILE")]
    key: Option<PathBuf>,
    /// directory with ca.pem, cert.pem and key.pem, if the monitor there wants TLS
    #[argh(option, arg_name = "DIR")]
    tls: Option<PathBuf>,
    /// show the findings as JSON
    #[argh(switch)]
    json: bool,
}

impl LsArgs {
    pub(super) fn format(&self) -> Format {
        format_of(self.json)
    }
}

impl InfoArgs {
    pub(super) fn format(&self) -> Format {
        format_of(self.json)
    }
}

impl PreflightArgs {
    /// Whom to ask.
    pub(super) fn trust(&self) -> TrustConfig {
        TrustConfig {
            key: self.key.clone(),
            tls: self.tls.clone(),
        }
    }

    pub(super) fn format(&self) -> Format {
        format_of(self.json)
    }
}

/// The one place where the switch `--insecure` is still a bool.
fn exposure_of(insecure: bool) -> Exposure {
    if insecure {
        Exposure::Anybody
    } else {
        Exposure::Loopback
    }
}

/// The one place where the switch `--json` is still a bool.
fn format_of(json: bool) -> Format {
    if json { Format::Json } else { Format::Text }
}
