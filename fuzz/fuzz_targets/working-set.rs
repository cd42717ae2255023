//! The input is described at [`migration::fuzzing::decode_working_set`].
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| skiff_fuzz::metered(data, migration::fuzzing::decode_working_set));
