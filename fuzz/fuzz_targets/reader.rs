//! The input is described at [`migration::fuzzing::read_frames`].
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| skiff_fuzz::metered(data, migration::fuzzing::read_frames));
