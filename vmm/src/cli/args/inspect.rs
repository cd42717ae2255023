//! The commands that ask and change nothing, as typed.

use std::path::PathBuf;

use argh::FromArgs;

use super::travel::parse_destination;
use crate::cli::output::Format;
use crate::config::{HostPort, TrustConfig};
use crate::control::VmAddress;

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
pub(in crate::cli) struct LsArgs {
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
pub(in crate::cli) struct InfoArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(in crate::cli) vm: VmAddress,
    /// show the description as JSON
    #[argh(switch)]
    json: bool,
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
pub(in crate::cli) struct PreflightArgs {
    /// also ask the monitor that waits there
    #[argh(option, arg_name = "HOST:PORT", from_str_fn(parse_destination))]
    pub(in crate::cli) to: Option<HostPort>,
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
    pub(in crate::cli) fn format(&self) -> Format {
        format_of(self.json)
    }
}

impl InfoArgs {
    pub(in crate::cli) fn format(&self) -> Format {
        format_of(self.json)
    }
}

impl PreflightArgs {
    /// Whom to ask.
    pub(in crate::cli) fn trust(&self) -> TrustConfig {
        TrustConfig {
            key: self.key.clone(),
            tls: self.tls.clone(),
        }
    }

    pub(in crate::cli) fn format(&self) -> Format {
        format_of(self.json)
    }
}

/// The one place where the switch `--json` is still a bool.
pub(super) fn format_of(json: bool) -> Format {
    if json { Format::Json } else { Format::Text }
}
