//! A paused VM moves between two machines in this very process, so that both can be compared:
//! every byte of memory, and the state of vCPUs and devices.

use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use devices::{GuestRequestLine, SerialOutput};
use migration::{
    CancelToken, DestinationOptions, DestinationVm, Mode, Outcome, PAGE_BYTES, PageIndex,
    RamMapping, SourceOptions,
};
use vmm::boot::{BootSource, KernelImage, RamLayout, VcpuCount};
use vmm::config::BalloonMode;
use vmm::host::HostKvm;
use vmm::kvm::Hypervisor;
use vmm::machine::{Assembly, Backends, Blueprint, Machine, MachineState, Wiring, Wish};
use vmm::transfer::{Arrival, Departure};
use vmm::vcpu::FatalSink;

use crate::ground::has_kvm;

const PATIENCE: Duration = Duration::from_secs(60);

/// The serial output of a guest, in pieces.
pub struct Output(Receiver<Vec<u8>>);

struct Sink(Sender<Vec<u8>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Nobody listens any more when the test has ended.
        let _ = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output {
    pub fn wait(&self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            let piece = self.0.recv_timeout(PATIENCE);
            let piece = piece.unwrap_or_else(|_| panic!("no {text:?} in {seen}"));
            seen.push_str(&String::from_utf8_lossy(&piece));
        }
        seen
    }
}

pub fn wiring() -> (Wiring, Output) {
    let (sender, receiver) = mpsc::channel();
    let wiring = Wiring {
        serial: SerialOutput::to_sink(Box::new(Sink(sender))).unwrap(),
        requests: GuestRequestLine::new().unwrap(),
        fatal: FatalSink::new(|diagnosis| panic!("{diagnosis}")),
    };
    (wiring, Output(receiver))
}

pub fn boot(words: &str) -> (Arc<Machine>, Output) {
    let blueprint = Blueprint {
        vcpus: VcpuCount::new(2).unwrap(),
        memory: RamLayout::new(128 << 20).unwrap(),
        balloon: BalloonMode::On,
        disks: Vec::new(),
        nets: Vec::new(),
        vsock: None,
        kernel: "probe".to_owned(),
        generation_id: [7; 16],
    };
    let hypervisor = Hypervisor::new(HostKvm::open().unwrap());
    let assembly = Assembly::new(hypervisor, blueprint, Backends::default()).unwrap();
    let kernel = KernelImage::Bytes(guest_images::PROBE);
    let source = BootSource {
        kernel,
        initrd: None,
        command_line: words,
    };
    let (wiring, output) = wiring();
    let machine = Arc::new(assembly.boot(source, wiring).unwrap());
    machine.start().unwrap();
    (machine, output)
}

/// Moves a machine over loopback and returns the one that has arrived.
fn move_over(source: &Arc<Machine>, mode: Mode, wiring: &Wiring) -> Arc<Machine> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let arrived: Arc<Mutex<Option<Arc<Machine>>>> = Arc::default();
    let place = Arc::clone(&arrived);
    let wiring = wiring.clone();
    let receiver = thread::spawn(move || {
        let mut fresh = || -> Box<dyn DestinationVm> {
            let place = Arc::clone(&place);
            let settle = move |machine| {
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(machine);
            };
            Box::new(Arrival::new(wiring.clone(), settle))
        };
        let stop = CancelToken::new().unwrap();
        let options = DestinationOptions::default();
        let arrival = migration::receive(
            &listener,
            &mut fresh,
            &options,
            &|_: &migration::Notice<'_>| {},
            &stop,
        )
        .unwrap();
        arrival.outcome.unwrap();
    });
    let departure = Departure::new("still".to_owned(), Arc::clone(source));
    let options = SourceOptions {
        mode,
        ..SourceOptions::new(address)
    };
    let cancel = CancelToken::new().unwrap();
    let report = migration::migrate(&departure, &options, &|_: &_| {}, &cancel).unwrap();
    assert_eq!(report.outcome, Outcome::Completed);
    receiver.join().unwrap();
    let machine = arrived
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    machine.unwrap()
}

pub fn assert_same_memory(left: &RamMapping, right: &RamMapping) {
    assert_eq!(left.pages(), right.pages());
    let (mut here, mut there) = ([0; PAGE_BYTES], [0; PAGE_BYTES]);
    let mut used = 0_u64;
    for page in (0..left.pages()).map(PageIndex::new) {
        left.read_page(page, &mut here);
        right.read_page(page, &mut there);
        assert!(here == there, "page {page:?} differs");
        used += u64::from(here.iter().any(|byte| *byte != 0));
    }
    assert!(
        used > 2000,
        "only {used} pages are used: nothing was tested"
    );
}

/// The state of a machine that its user has paused.
pub fn state_of(machine: &Machine) -> MachineState {
    let held = machine.hold().unwrap();
    let state = machine.save().unwrap();
    machine.release(held).unwrap();
    state
}

#[test]
fn paused_vm_arrives_with_every_byte_register_and_device_as_it_was() {
    if !has_kvm("every_byte") {
        return;
    }
    for mode in Mode::ALL {
        let (source, output) = boot("workload=random ws=16M seed=3");
        output.wait("passes=1");
        source.ask(Wish::Paused).unwrap();
        let before = state_of(&source);
        let (wiring, arrived_output) = wiring();
        let target = move_over(&source, mode, &wiring);
        assert_same_memory(&source.ram().mapping(), &target.ram().mapping());
        let after = state_of(&target);
        assert_eq!(before.paused_by_user, after.paused_by_user);
        assert_eq!(before.devices, after.devices, "{mode}");
        for (before, after) in before.vcpus.iter().zip(&after.vcpus) {
            assert_eq!(before.registers(), after.registers(), "{mode}");
            assert_eq!(before.extended(), after.extended(), "{mode}");
        }
        target.ask(Wish::Running).unwrap();
        let lines = arrived_output.wait("t_ms=");
        assert!(!lines.contains("corrupt"), "{lines}");
    }
}
