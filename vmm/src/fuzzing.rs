//! Doors for the fuzz targets of `fuzz/`: what comes from a peer, a client or a file, one function
//! each.
//!
//! They exist only where `--cfg fuzzing` is set. Each takes any bytes and panics if a decoder breaks
//! a promise: that it does not panic, and that what decodes encodes to bytes which decode to the
//! same value.

mod balloon;
mod blk;
mod driver;
mod net;
mod rng;
mod seeds;
mod vsock;

use std::sync::{Arc, Mutex, PoisonError};

use ::balloon::Balloon;
use devices::blk::Access;
use devices::virtio::{MmioTransport, TransportState};
use devices::{GuestMemory, Interrupt, Rng, SerialOutput, SerialPort, SerialState};
use migration::{MemoryLayout, Offer, PeerText};
use vm_memory::GuestAddress;

use crate::config::{ByteSize, VmConfig, VmSettings};
use crate::control::Request;
use crate::machine::MachineState;
use crate::transfer::{self, Demands};

use self::balloon::Checked;
pub use self::balloon::drive_balloon;
pub use self::blk::drive_blk;
pub use self::net::drive_net;
pub use self::rng::drive_rng;
pub use self::vsock::drive_vsock;
pub use seeds::seeds;

/// Guest memory that the devices of a decoded state are put in front of, in bytes.
const MEMORY_BYTES: usize = 1 << 20;

/// Decodes an offer: its [`MemoryLayout`] and number of vCPUs in postcard's encoding, then what the
/// machine demands.
pub fn decode_demands(data: &[u8]) {
    let Ok(((memory, vcpus), machine)) = postcard::take_from_bytes::<(MemoryLayout, u32)>(data)
    else {
        return;
    };
    let offer = Offer {
        name: PeerText::from("vm"),
        memory,
        vcpus,
        machine: machine.to_vec(),
    };
    match transfer::understand(&offer) {
        Ok((blueprint, cpu)) => {
            assert_eq!(u32::from(blueprint.vcpus.get()), vcpus);
            if let Err(refusal) = transfer::check_cpu(&cpu, &cpu) {
                panic!("a CPU is not a superset of itself: {refusal}");
            }
        }
        Err(refusal) => drop(refusal.to_string()),
    }
    if let Ok(demands) = postcard::from_bytes::<Demands>(machine) {
        let encode = |demands: &Demands| postcard::to_stdvec(demands).expect("plain data encodes");
        let bytes = encode(&demands);
        let again = postcard::from_bytes(&bytes).expect("what was encoded decodes");
        assert_eq!(encode(&again), bytes);
    }
}

/// Decodes a machine's state, once as it is and once as the payload of an undamaged envelope, and
/// puts the devices that it tells of into it.
pub fn decode_state(data: &[u8]) {
    let mut sealed = vec![0; MachineState::HEADER_BYTES];
    sealed.extend_from_slice(data);
    MachineState::seal(&mut sealed).expect("a fuzz input is not too large");
    for bytes in [data, &sealed] {
        match MachineState::decode(bytes) {
            Ok(state) => check_state(&state),
            Err(error) => drop(error.to_string()),
        }
    }
}

fn check_state(state: &MachineState) {
    let bytes = state.encode().expect("a state that came is not too large");
    let again = MachineState::decode(&bytes).expect("what was encoded decodes");
    assert_eq!(again.encode().expect("it is as large as before"), bytes);
    let devices = postcard::to_stdvec(&state.devices).expect("plain data encodes");
    let (serial, virtio): (SerialState, Vec<TransportState>) =
        postcard::from_bytes(&devices).expect("a struct is encoded as a tuple of its fields");
    if let Err(error) = SerialPort::restore(serial, interrupt(), SerialOutput::null()) {
        drop(error.to_string());
    }
    for state in virtio {
        let rng = MmioTransport::restore(Rng::default(), memory(), interrupt(), state.clone());
        let balloon = Balloon::new(memory(), Box::new(Checked));
        let balloon = MmioTransport::restore(balloon, memory(), interrupt(), state.clone());
        let disk = blk::blk(Access::ReadWrite);
        let disk = MmioTransport::restore(disk, memory(), interrupt(), state.clone());
        let (net, _far) = net::net();
        let net = MmioTransport::restore(net, memory(), interrupt(), state.clone());
        let vsock = MmioTransport::restore(vsock::vsock(), memory(), interrupt(), state);
        let errors = [rng.err(), balloon.err(), disk.err(), net.err(), vsock.err()];
        for error in errors.into_iter().flatten() {
            drop(error.to_string());
        }
    }
}

fn interrupt() -> Interrupt {
    Interrupt::new().expect("a fuzz target may open an eventfd")
}

/// The same memory each time; nothing is written to it.
fn memory() -> GuestMemory {
    static MEMORY: Mutex<Option<Arc<GuestMemory>>> = Mutex::new(None);
    let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let region = [(GuestAddress(0), MEMORY_BYTES)];
    let made = || Arc::new(GuestMemory::from_ranges(&region).expect("a mebibyte can be mapped"));
    GuestMemory::clone(memory.get_or_insert_with(made))
}

/// Decodes a line of the control socket.
pub fn decode_request(data: &[u8]) {
    match serde_json::from_slice::<Request>(data) {
        Ok(request) => {
            let line = serde_json::to_vec(&request).expect("a request is plain data");
            assert!(!line.contains(&b'\n'), "a request is one line");
            let again: Request = serde_json::from_slice(&line).expect("what was encoded decodes");
            assert_eq!(again, request);
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Decodes the text of a `--config` file, and makes a VM's configuration of it.
pub fn decode_config(data: &[u8]) {
    match VmSettings::parse(data) {
        Ok(settings) => {
            assert_eq!(settings.clone().or(VmSettings::default()), settings);
            if let Err(error) = VmConfig::new(settings, ByteSize::from_mib(4096)) {
                drop(error.to_string());
            }
        }
        Err(error) => drop(error.to_string()),
    }
}
