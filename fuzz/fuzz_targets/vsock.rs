//! The input is described at [`vmm::fuzzing::drive_vsock`].
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| skiff_fuzz::metered(data, vmm::fuzzing::drive_vsock));
