//! `skiff receive` and `skiff migrate` as typed.

use std::path::PathBuf;

use argh::FromArgs;
use migration::{Growth, Order, Pivots, Prepaging, Streams, Verify};

use crate::config::{
    Attachments, BitRate, ConfigError, Exposure, HostPort, MigrateConfig, MigrationMode,
    ReceiveConfig, SerialMode, SocketConfig, TapConfig, TimeSpan, TrustConfig, VmName,
};
use crate::control::VmAddress;

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
Memory size, vCPUs and devices come with the VM, which names its disks: each must be here at the same
path, of the same size. It names the interfaces of its network cards, too: each must be here, or --net
says which takes its place. With --insecure VMs are refused that name something of this host.
Post-copy needs the permission to use userfaultfd here: `skiff preflight` says whether you have it.
With --key both ends prove on every connection that they have the same key. With --tls they show
certificates of the same authority, ca.pem, and everything is encrypted; the one of the destination
names the HOST of --to. Listening on anything but loopback needs one of them, or --insecure."
)]
pub(in crate::cli) struct ReceiveArgs {
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
    /// where the cable of the VM's network card ends here, tap=NAME; may be given for each of several, in their order; default: interfaces of the names that they had
    #[argh(option, arg_name = "tap=NAME")]
    net: Vec<TapConfig>,
    /// where programs of this host find the VM that has a socket device, socket=PATH; default: the path that it had
    #[argh(option, arg_name = "socket=PATH")]
    vsock: Option<SocketConfig>,
    /// how long to wait for the source if its connections are lost once the VM runs here, such as 10s; 0 is never; default: 60s
    #[argh(option, arg_name = "TIME", from_str_fn(parse_reconnect_for))]
    reconnect_for: Option<TimeSpan>,
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
            net,
            vsock,
            reconnect_for,
            key,
            tls,
            insecure,
        } = args;
        let mut config = Self::new(listen, name.map_or_else(VmName::generate, Ok)?);
        config.api = api;
        config.serial = serial.unwrap_or_default();
        config.attachments = Attachments {
            taps: net,
            socket: vsock,
        };
        config.reconnect_for = reconnect_for;
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
Ctrl-C cancels: until it is handed over, the VM then simply runs on where it is. Connections that are
lost after that are made anew by both ends: the guest runs on with what it has meanwhile.
Ends with 0 only if the VM is completely at its destination."
)]
pub(in crate::cli) struct MigrateArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(in crate::cli) vm: VmAddress,
    /// where `skiff receive` listens
    #[argh(option, arg_name = "HOST:PORT", from_str_fn(parse_destination))]
    pub(in crate::cli) to: HostPort,
    /// how to move: auto, post-copy, hybrid, pre-copy or stop-and-copy; default: auto
    #[argh(option, arg_name = "MODE", default = "MigrationMode::default()")]
    pub(in crate::cli) mode: MigrationMode,
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
    /// connections for the pages that nobody waits for, 1 to 64; default: 1 to 4, one for every two cores here over a network, one for every core within this host; all but one rest while one keeps the link busy (some 1.3 Gb/s)
    #[argh(option, arg_name = "N")]
    streams: Option<Streams>,
    /// most bits per second for those pages, such as 500M; pages that the guest waits for are not held back; default: no limit
    #[argh(option, arg_name = "RATE")]
    bandwidth: Option<BitRate>,
    /// for how long the guest may stand still, which decides how pre-copy and auto end, such as 50ms; default: 300ms
    #[argh(option, arg_name = "TIME")]
    max_downtime: Option<TimeSpan>,
    /// how long to call the destination again if connections are lost once the VM runs there, such as 10s; 0 is never; default: 60s
    #[argh(option, arg_name = "TIME", from_str_fn(parse_reconnect_for))]
    reconnect_for: Option<TimeSpan>,
    /// read all memory here once more at the end, and compare it with what has arrived
    #[argh(switch)]
    verify: bool,
    /// file with the key that the destination has
    #[argh(option, arg_name = "FILE")]
    key: Option<PathBuf>,
    /// encrypt every connection, with ca.pem, cert.pem and key.pem in this directory
    #[argh(option, arg_name = "DIR")]
    tls: Option<PathBuf>,
    /// write the report as JSON to this file; - is standard output
    #[argh(option, arg_name = "FILE")]
    pub(in crate::cli) report: Option<PathBuf>,
}

impl MigrateArgs {
    /// What is asked of the monitor.
    pub(in crate::cli) fn config(&self) -> MigrateConfig {
        let mut config = MigrateConfig::new(self.to.clone());
        config.mode = self.mode;
        config.max_downtime = self.max_downtime;
        config.prepaging = self.prepaging;
        config.pivots = self.pivots;
        config.growth = self.growth;
        config.order = self.order;
        config.streams = self.streams;
        config.bandwidth = self.bandwidth;
        config.reconnect_for = self.reconnect_for;
        config.verify = verify_of(self.verify);
        let (key, tls) = (self.key.clone(), self.tls.clone());
        // The monitor opens the files, in a working directory of its own.
        config.trust = TrustConfig { key, tls }.absolute();
        config
    }
}

pub(super) fn parse_destination(value: &str) -> Result<HostPort, String> {
    HostPort::parse_destination(value).map_err(|error| error.to_string())
}

/// A time, or 0 for never, which needs no unit.
fn parse_reconnect_for(value: &str) -> Result<TimeSpan, String> {
    let value = if value == "0" { "0s" } else { value };
    value
        .parse()
        .map_err(|error: ConfigError| error.to_string())
}

/// The one place where the switch `--verify` is still a bool.
fn verify_of(verify: bool) -> Verify {
    if verify { Verify::On } else { Verify::Off }
}

/// The one place where the switch `--insecure` is still a bool.
fn exposure_of(insecure: bool) -> Exposure {
    if insecure {
        Exposure::Anybody
    } else {
        Exposure::Loopback
    }
}
