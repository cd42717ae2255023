//! `skiff restore` as typed.

use std::path::PathBuf;

use argh::FromArgs;

use crate::config::{
    Attachments, CloneCount, ConfigError, MemoryMode, Prefetch, RestoreConfig, SerialMode,
    SocketConfig, TapConfig, VmName,
};
use crate::machine::Wish;

/// resume a VM from a snapshot, and stay with it
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "restore",
    help_triggers("--help", "-h", "help"),
    example = "\
  {command_name} web.snap --name web
  {command_name} web.snap --memory-mode lazy --report -
  {command_name} web.snap --name copy --serial none --paused
  {command_name} web.snap --name worker --clones 50",
    note = "\
lazy runs the guest at once: pages come when it touches them, and in the background. mapped runs it on
the file itself, of which all copies share what they have not written: choose it for many copies that
touch little. eager reads everything first. auto chooses by what it finds, and for --clones mapped.
Every resume is a copy: it has a name, a control socket and a VM generation id of its own, so that the
guest's random numbers differ; what else must be unique (addresses, keys, host names) is the guest's.
A snapshot has no content of disks: they must be as they were when it was written, and a disk that the
guest may write belongs to one copy at a time, so that such a VM has no --clones. So does the interface of a
network card: with --clones, --net tap=NAME gives each copy one of its own, NAME-1 and so on, as --vsock does for the
socket of a socket device. All of them
believe to have the same addresses: put each in a network of its own, or change them in the guest.
A line on standard output says when the VM is ready."
)]
pub(in crate::cli) struct RestoreArgs {
    /// directory of the snapshot
    #[argh(positional, arg_name = "DIR")]
    directory: PathBuf,
    /// name of the VM; default: one is made up
    #[argh(option, arg_name = "NAME")]
    name: Option<VmName>,
    /// path of the control socket; default: $XDG_RUNTIME_DIR/skiff/NAME.sock or /run/skiff/NAME.sock
    #[argh(option, arg_name = "PATH")]
    api: Option<PathBuf>,
    /// how memory gets to the guest: auto, lazy, eager or mapped; default: auto
    #[argh(option, arg_name = "MODE", default = "MemoryMode::default()")]
    memory_mode: MemoryMode,
    /// on: learn which pages the guest touches first, and bring those first the next time; off: bring all in the order that the guest's faults suggest; demand: bring only what is touched, page by page, until nothing was for a while (a control); default: on
    #[argh(option, arg_name = "on|off|demand", default = "Prefetch::default()")]
    prefetch: Prefetch,
    /// where the serial port leads: stdio, none or file=PATH; default: stdio
    #[argh(option, arg_name = "MODE")]
    serial: Option<SerialMode>,
    /// where the cable of the VM's network card ends, tap=NAME; may be given for each of several, in their order; with --clones, NAME-1 and so on; default: interfaces of the names that they had
    #[argh(option, arg_name = "tap=NAME")]
    net: Vec<TapConfig>,
    /// where programs of this host find the VM that has a socket device, socket=PATH; with --clones, PATH-1 and so on; default: the path that it had
    #[argh(option, arg_name = "socket=PATH")]
    vsock: Option<SocketConfig>,
    /// make that many copies, NAME-1 and so on, each a process of its own, and stay with them
    #[argh(option, arg_name = "N")]
    clones: Option<CloneCount>,
    /// do not run the guest until it is told to: skiff resume NAME
    #[argh(switch)]
    paused: bool,
    /// write the report as JSON to this file when all memory is there; - is standard output
    #[argh(option, arg_name = "FILE")]
    report: Option<PathBuf>,
}

impl TryFrom<RestoreArgs> for RestoreConfig {
    type Error = ConfigError;

    fn try_from(args: RestoreArgs) -> Result<Self, ConfigError> {
        let RestoreArgs {
            directory,
            name,
            api,
            memory_mode,
            prefetch,
            serial,
            net,
            vsock,
            clones: _, // each is a command of its own
            paused,
            report,
        } = args;
        Ok(Self {
            directory,
            name: name.map_or_else(VmName::generate, Ok)?,
            api,
            serial: serial.unwrap_or_default(),
            attachments: Attachments {
                taps: net,
                socket: vsock,
            },
            memory_mode,
            prefetch,
            wish: paused.then_some(Wish::Paused),
            report,
        })
    }
}

/// Copies to be made: a name for each, and the words of the command that makes it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct ClonesOrder {
    pub(in crate::cli) directory: PathBuf,
    pub(in crate::cli) copies: Vec<(String, Vec<String>)>,
    /// Where the devices of each are attached, before a number makes that its own.
    pub(in crate::cli) attachments: Attachments,
    pub(in crate::cli) report: Option<PathBuf>,
}

impl RestoreArgs {
    /// What is to be done for several copies, if that is asked for.
    pub(in crate::cli) fn clones(&self) -> Result<Option<ClonesOrder>, ConfigError> {
        let Some(count) = self.clones else {
            return Ok(None);
        };
        let shares = |what| Err(ConfigError::CloneShares { what });
        if self.api.is_some() {
            return shares("a control socket: leave --api out");
        }
        if self.serial == Some(SerialMode::Stdio) {
            return shares("standard output: give --serial none or file=PATH");
        }
        let stem = match &self.name {
            Some(name) => name.clone(),
            None => VmName::generate()?,
        };
        // Each of many copies touches little; what it does not write, all of them share.
        let memory_mode = match self.memory_mode {
            MemoryMode::Auto => MemoryMode::Mapped,
            mode => mode,
        };
        let copies = (1..=count.get()).map(|number| {
            let name: VmName = format!("{stem}-{number}").parse()?;
            let serial = match &self.serial {
                Some(SerialMode::File(path)) => format!("file={}.{number}", path.display()),
                _ => "none".to_owned(),
            };
            let mut words = ["restore", "--report", "-"].map(str::to_owned).to_vec();
            for (option, value) in [
                ("--name", name.to_string()),
                ("--serial", serial),
                ("--memory-mode", memory_mode.to_string()),
                ("--prefetch", self.prefetch.to_string()),
            ] {
                words.extend([option.to_owned(), value]);
            }
            for TapConfig(tap) in &self.net {
                let tap: TapConfig = format!("tap={tap}-{number}").parse()?;
                words.extend(["--net".to_owned(), format!("tap={}", tap.0)]);
            }
            // What was typed is UTF-8.
            if let Some(SocketConfig(path)) = &self.vsock {
                let socket = format!("socket={}-{number}", path.display());
                words.extend(["--vsock".to_owned(), socket]);
            }
            words.extend(self.paused.then(|| "--paused".to_owned()));
            words.push(self.directory.to_string_lossy().into_owned());
            Ok((name.to_string(), words))
        });
        Ok(Some(ClonesOrder {
            directory: self.directory.clone(),
            copies: copies.collect::<Result<_, ConfigError>>()?,
            attachments: Attachments {
                taps: self.net.clone(),
                socket: self.vsock.clone(),
            },
            report: self.report.clone(),
        }))
    }
}
