//! `skiff run`: a guest from a kernel.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use balloon::SelfBallooningSettings;
use devices::SerialOutput;
use devices::net::MacAddress;
use rustix::rand::{GetRandomFlags, getrandom};

use super::event_loop::{EventLoop, Outside};
use super::notices::{Notice, Notifier};
use super::{Ending, MonitorError};
use crate::boot::{BootSource, FileFormat, KernelImage, RamLayout, VcpuCount};
use crate::config::{BalloonMode, KernelSource, SerialMode, VmConfig};
use crate::console::Signals;
use crate::control::{ControlSocket, SocketPath};
use crate::host::{HostKvm, KvmKind};
use crate::kvm::Hypervisor;
use crate::machine::{
    Assembly, Backends, Blueprint, Disks, Machine, MachineError, Nets, VsockPort, Wiring,
};
use crate::vcpu::FatalSink;

/// Boots a guest and serves it until it ends or has moved away.
///
/// # Errors
/// The host, a file or the configuration is unfit, the guest crashes, or it is lost on a move.
pub fn run(config: VmConfig) -> Result<(), MonitorError> {
    let started = Instant::now();
    let signals = Signals::block()?;
    let host = HostKvm::open()?;
    let kvm = host.kind;
    let kernel = open_kernel(&config.kernel, kvm)?;
    let initrd = config
        .initrd
        .as_deref()
        .map(|path| open("initrd", path))
        .transpose()?;
    let backends = Backends {
        disks: Disks::of_new_vm(&config.disks)?,
        nets: Nets::of_new_vm(&config.nets, random_mac)?,
        vsock: config
            .vsock
            .as_ref()
            .map(VsockPort::of_new_vm)
            .transpose()?,
    };
    let serial = serial_output(&config.serial)?;
    let socket = ControlSocket::bind(SocketPath::choose(&config.name, config.api.as_deref())?)?;

    let outside = Outside {
        name: config.name.clone(),
        socket,
        signals,
        started,
        kvm,
    };
    let event_loop = EventLoop::new(outside, &config.serial)?;
    let blueprint = blueprint(&config, &backends)?;
    let assembly = Assembly::new(Hypervisor::new(host), blueprint, backends)?;
    let source = BootSource {
        kernel,
        initrd,
        command_line: &config.command_line,
    };
    let wiring = Wiring {
        serial,
        requests: event_loop.requests.clone(),
        fatal: fatal_sink(&event_loop.notifier),
    };
    let machine = Arc::new(assembly.boot(source, wiring)?);
    if let (BalloonMode::Auto, Some(balloon)) = (config.balloon, machine.devices().balloon()) {
        balloon.set_self_ballooning(Some(SelfBallooningSettings::default()));
    }
    settle(&event_loop, &machine);
    log::info!(
        "{} runs on {kvm}: {} of memory, vcpus: {}",
        config.name,
        config.memory,
        config.cpus
    );
    machine.start()?;
    event_loop.serve()
}

/// Gives a machine its place, and its queues to the event loop.
pub(super) fn settle(event_loop: &EventLoop, machine: &Arc<Machine>) {
    event_loop.place.lock().machine = Some(Arc::clone(machine));
    event_loop
        .notifier
        .send(Notice::Arrived(Arc::clone(machine)));
}

/// A vCPU that cannot go on ends the monitor.
pub(super) fn fatal_sink(notifier: &Notifier) -> FatalSink {
    let notifier = notifier.clone();
    FatalSink::new(move |diagnosis| {
        let crashed = MonitorError::Crashed(Box::new(diagnosis));
        notifier.send(Notice::End(Ending::Failed(crashed)));
    })
}

/// Where the guest's serial output goes.
pub(super) fn serial_output(mode: &SerialMode) -> Result<SerialOutput, MonitorError> {
    let sink: Box<dyn Write + Send> = match mode {
        SerialMode::None => return Ok(SerialOutput::null()),
        SerialMode::Stdio => Box::new(io::stdout()),
        SerialMode::File(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Box::new(file.map_err(|source| MonitorError::Open {
                what: "serial output file",
                path: path.clone(),
                source,
            })?)
        }
    };
    Ok(SerialOutput::to_sink(sink)?)
}

fn blueprint(config: &VmConfig, backends: &Backends) -> Result<Blueprint, MonitorError> {
    let failed = MachineError::Boot;
    Ok(Blueprint {
        vcpus: VcpuCount::new(u32::from(config.cpus.get())).map_err(failed)?,
        memory: RamLayout::new(config.memory.bytes()).map_err(failed)?,
        balloon: config.balloon,
        disks: backends.disks.specs(),
        nets: backends.nets.specs(),
        vsock: backends.vsock.as_ref().map(VsockPort::spec),
        kernel: config.kernel.to_string(),
        generation_id: random_id()?,
    })
}

/// An address for a network card that none was chosen for.
fn random_mac() -> Result<MacAddress, MonitorError> {
    let [b0, b1, b2, b3, b4, b5, ..] = random_id()?;
    Ok(MacAddress::local([b0, b1, b2, b3, b4, b5]))
}

pub(super) fn random_id() -> Result<[u8; 16], MonitorError> {
    let mut id = [0; 16];
    // Up to 256 bytes come whole or not at all (getrandom(2)).
    getrandom(&mut id, GetRandomFlags::empty()).map_err(|errno| MonitorError::System {
        action: "draw a random number",
        source: errno.into(),
    })?;
    Ok(id)
}

fn open_kernel(kernel: &KernelSource, kvm: KvmKind) -> Result<KernelImage, MonitorError> {
    match kernel {
        KernelSource::Probe => Ok(KernelImage::Bytes(guest_images::PROBE)),
        KernelSource::File(path) => {
            let file = open("kernel", path)?;
            if !kvm.runs_stock_kernels() && is_bz_image(&file) {
                return Err(MonitorError::StockKernel {
                    path: path.clone(),
                    kvm,
                });
            }
            Ok(KernelImage::File(file))
        }
    }
}

/// Whether the file begins like one; what cannot be read is left to the loader to complain about.
fn is_bz_image(file: &File) -> bool {
    let mut prefix = [0; 1024];
    file.read_at(&mut prefix, 0)
        .is_ok_and(|read| FileFormat::of(&prefix[..read]) == FileFormat::BzImage)
}

fn open(what: &'static str, path: &Path) -> Result<File, MonitorError> {
    File::open(path).map_err(|source| MonitorError::Open {
        what,
        path: path.to_owned(),
        source,
    })
}
