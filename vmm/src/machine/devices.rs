//! The devices of a machine: which there are, where they sit, how they are wired.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use balloon::{Balloon, BalloonHandle};
use devices::blk::{Blk, DiskHandle};
use devices::net::{Net, NetHandle};
use devices::virtio::{
    MmioTransport, QUEUE_NOTIFY_OFFSET, QueueIndex, TransportState, VirtioDevice, VirtioTransport,
};
use devices::vsock::{Vsock, VsockHandle};
use devices::{
    AcpiPowerPorts, Bus, DeviceError, GuestMemory, GuestRequestLine, Interrupt, ResetPort, Rng,
    SerialOutput, SerialPort, SerialState,
};
use serde::{Deserialize, Serialize};

use super::{Blueprint, MachineError, Wiring};
use crate::boot::layout;
use crate::boot::{Gsi, VirtioWindow};
use crate::bounded::at_most;
use crate::config::BalloonMode;
use crate::kvm::KvmVm;

/// How long serial output may take to drain before the process ends; our choice.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// State of all devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesState {
    serial: SerialState,
    #[serde(deserialize_with = "at_most::<{ layout::VIRTIO_WINDOWS_MAX }, _, _>")]
    virtio: Vec<TransportState>,
}

/// Interrupt lines that are connected to the interrupt controller before any device is there: a
/// restored device raises its interrupt at once.
#[derive(Debug)]
pub(super) struct InterruptLines {
    serial: Interrupt,
    virtio: Vec<Interrupt>,
    generation: Interrupt,
}

impl InterruptLines {
    pub(super) fn connect(vm: &KvmVm, blueprint: &Blueprint) -> Result<Self, MachineError> {
        let line = |gsi: Gsi| {
            let interrupt = Interrupt::new()?;
            vm.connect_interrupt(&interrupt, gsi)?;
            Ok::<_, MachineError>(interrupt)
        };
        let virtio = windows(blueprint)
            .map(|window| line(window.gsi))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            serial: line(layout::SERIAL_GSI)?,
            virtio,
            generation: line(layout::GENERATION_GSI)?,
        })
    }

    /// The line on which a guest is told that its generation id has changed.
    pub(super) fn generation(&self) -> Result<Interrupt, MachineError> {
        Ok(self.generation.try_clone()?)
    }
}

/// The windows of all virtio devices, in the order of [`DeviceSet::virtio`]: the entropy device, then
/// the balloon if there is one, then the disks, then the network cards, then the socket device if there is
/// one.
pub(super) fn windows(blueprint: &Blueprint) -> impl Iterator<Item = VirtioWindow> + use<> {
    let others = match blueprint.balloon {
        BalloonMode::On | BalloonMode::Auto | BalloonMode::Plain => 2,
        BalloonMode::Off => 1,
    };
    let vsock = usize::from(blueprint.vsock.is_some());
    let count = others + blueprint.disks.len() + blueprint.nets.len() + vsock;
    (0..count).filter_map(VirtioWindow::of_device)
}

/// The devices that are made before there are buses.
#[derive(Debug)]
pub(super) struct Models {
    pub(super) balloon: Option<Balloon>,
    pub(super) disks: Vec<Blk>,
    pub(super) nets: Vec<Net>,
    pub(super) vsock: Option<Vsock>,
}

/// One virtio device, known to the bus by another handle.
pub type SharedTransport = Arc<Mutex<dyn VirtioTransport>>;

/// The devices of one machine.
#[derive(Debug)]
pub struct DeviceSet {
    serial: Arc<Mutex<SerialPort>>,
    serial_output: SerialOutput,
    virtio: Vec<SharedTransport>,
    balloon: Option<BalloonHandle>,
    disks: Vec<DiskHandle>,
    nets: Vec<NetHandle>,
    vsock: Option<VsockHandle>,
}

/// The buses the devices answer on.
#[derive(Debug, Default)]
pub(super) struct Buses {
    pub(super) ports: Bus,
    pub(super) mmio: Bus,
}

impl DeviceSet {
    /// Devices as after power-on, or as `saved` tells, on new buses.
    pub(super) fn new(
        vm: &KvmVm,
        lines: InterruptLines,
        memory: &GuestMemory,
        models: Models,
        wiring: Wiring,
        saved: Option<DevicesState>,
    ) -> Result<(Self, Buses), MachineError> {
        let InterruptLines {
            serial: serial_line,
            virtio: virtio_lines,
            generation: _, // no device's
        } = lines;
        let Wiring {
            serial: output,
            requests,
            fatal: _,
        } = wiring;
        let mut buses = Buses::default();
        insert_power_ports(&mut buses.ports, &requests)?;
        let (serial_state, virtio_states) = match saved {
            None => (SerialState::default(), None),
            Some(DevicesState { serial, virtio }) => (serial, Some(virtio)),
        };
        let serial = SerialPort::restore(serial_state, serial_line, output.clone())?;
        let serial = Arc::new(Mutex::new(serial));
        buses.ports.insert(
            SerialPort::COM1_PORT,
            SerialPort::SIZE_BYTES,
            serial.clone(),
        )?;

        let Models {
            balloon,
            disks,
            nets,
            vsock,
        } = models;
        let handle = balloon.as_ref().map(Balloon::handle);
        let disk_handles = disks.iter().map(Blk::handle).collect();
        let net_handles = nets.iter().map(Net::handle).collect();
        let vsock_handle = vsock.as_ref().map(Vsock::handle);
        let mut states = StateOfEach::new(virtio_states, virtio_lines.len())?;
        let mut places = (0..).map_while(VirtioWindow::of_device).zip(virtio_lines);
        let mut virtio = Vec::with_capacity(layout::VIRTIO_WINDOWS_MAX);
        if let Some((window, line)) = places.next() {
            let transport = make_transport(Rng::default(), memory, line, states.next())?;
            virtio.push(connect(vm, &mut buses.mmio, window, transport)?);
        }
        if let Some(balloon) = balloon
            && let Some((window, line)) = places.next()
        {
            let transport = make_transport(balloon, memory, line, states.next())?;
            virtio.push(connect(vm, &mut buses.mmio, window, transport)?);
        }
        for (disk, (window, line)) in disks.into_iter().zip(places.by_ref()) {
            let transport = make_transport(disk, memory, line, states.next())?;
            virtio.push(connect(vm, &mut buses.mmio, window, transport)?);
        }
        for (net, (window, line)) in nets.into_iter().zip(places.by_ref()) {
            let transport = make_transport(net, memory, line, states.next())?;
            virtio.push(connect(vm, &mut buses.mmio, window, transport)?);
        }
        if let Some(vsock) = vsock
            && let Some((window, line)) = places.next()
        {
            let transport = make_transport(vsock, memory, line, states.next())?;
            virtio.push(connect(vm, &mut buses.mmio, window, transport)?);
        }
        Ok((
            Self {
                serial,
                serial_output: output,
                virtio,
                balloon: handle,
                disks: disk_handles,
                nets: net_handles,
                vsock: vsock_handle,
            },
            buses,
        ))
    }

    /// The serial port.
    pub fn serial(&self) -> MutexGuard<'_, SerialPort> {
        lock(&self.serial)
    }

    /// The virtio devices, for the event loop, which watches their queues.
    #[must_use]
    pub fn virtio(&self) -> &[SharedTransport] {
        &self.virtio
    }

    /// The balloon, if the guest has one.
    #[must_use]
    pub fn balloon(&self) -> Option<&BalloonHandle> {
        self.balloon.as_ref()
    }

    /// The disks, in the order in which the guest finds them.
    #[must_use]
    pub fn disks(&self) -> &[DiskHandle] {
        &self.disks
    }

    /// The network cards, in the order in which the guest finds them.
    #[must_use]
    pub fn nets(&self) -> &[NetHandle] {
        &self.nets
    }

    /// The socket device, if the guest has one.
    #[must_use]
    pub fn vsock(&self) -> Option<&VsockHandle> {
        self.vsock.as_ref()
    }

    /// Withdraws from the host, for a process that ends without dropping the machine: waits until
    /// everything the guest printed is out, or a second has passed, and removes its socket.
    pub fn withdraw(&self) {
        if let Err(error) = self.serial_output.flush(DRAIN_PATIENCE) {
            log::warn!("{error}");
        }
        if let Some(vsock) = &self.vsock {
            vsock.withdraw();
        }
    }

    /// Is found by the programs of this host from now on.
    pub(super) fn settle_in(&self) {
        if let Some(vsock) = &self.vsock {
            vsock.settle_in();
        }
    }

    /// Serves all queues again.
    pub(super) fn start(&self) {
        self.virtio
            .iter()
            .for_each(|transport| lock(transport).resume());
    }

    /// Ceases to serve queues; when it returns, no device touches guest RAM.
    pub(super) fn stop(&self) {
        self.virtio
            .iter()
            .for_each(|transport| lock(transport).pause());
    }

    /// Reads the state of all devices, which must be stopped.
    pub(super) fn save(&self) -> Result<DevicesState, DeviceError> {
        let Self {
            serial,
            serial_output: _,
            virtio,
            balloon: _, // these have transports among the others
            disks: _,
            nets: _,
            vsock: _,
        } = self;
        Ok(DevicesState {
            serial: lock(serial).save(),
            virtio: virtio
                .iter()
                .map(|transport| lock(transport).save())
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Drop for DeviceSet {
    /// No thread of a device outlives the RAM, which goes after the devices.
    fn drop(&mut self) {
        self.stop();
    }
}

/// The saved state of one device after another, or nothing for each of them.
struct StateOfEach(Option<std::vec::IntoIter<TransportState>>);

impl StateOfEach {
    fn new(saved: Option<Vec<TransportState>>, expected: usize) -> Result<Self, MachineError> {
        match saved {
            Some(states) if states.len() != expected => Err(MachineError::Mismatch {
                what: "virtio devices",
                found: states.len(),
                expected,
            }),
            saved => Ok(Self(saved.map(Vec::into_iter))),
        }
    }

    fn next(&mut self) -> Option<TransportState> {
        self.0.as_mut().and_then(Iterator::next)
    }
}

fn insert_power_ports(ports: &mut Bus, requests: &GuestRequestLine) -> Result<(), DeviceError> {
    let reset = Arc::new(Mutex::new(ResetPort::new(requests.clone())));
    ports.insert(ResetPort::PORT, ResetPort::SIZE_BYTES, reset)?;
    let acpi = Arc::new(Mutex::new(AcpiPowerPorts::new(requests.clone())));
    ports.insert(AcpiPowerPorts::BASE, AcpiPowerPorts::SIZE_BYTES, acpi)
}

fn make_transport<D: VirtioDevice>(
    device: D,
    memory: &GuestMemory,
    line: Interrupt,
    saved: Option<TransportState>,
) -> Result<MmioTransport<D>, DeviceError> {
    match saved {
        None => MmioTransport::new(device, memory.clone(), line),
        Some(state) => MmioTransport::restore(device, memory.clone(), line, state),
    }
}

/// Puts a device on the bus and lets kicks of its queues reach the event loop from the kernel.
fn connect<D: VirtioDevice + 'static>(
    vm: &KvmVm,
    mmio: &mut Bus,
    window: VirtioWindow,
    transport: MmioTransport<D>,
) -> Result<SharedTransport, MachineError> {
    let base = u64::from(window.base);
    for (index, kick) in (0_u16..).map(QueueIndex).zip(transport.kicks()) {
        let doorbell = base + QUEUE_NOTIFY_OFFSET;
        vm.connect_doorbell(kick, doorbell, u32::from(index.0))?;
    }
    let shared = Arc::new(Mutex::new(transport));
    mmio.insert(base, u64::from(window.size_bytes), shared.clone())?;
    Ok(shared)
}

fn lock<T: ?Sized>(device: &Mutex<T>) -> MutexGuard<'_, T> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}
