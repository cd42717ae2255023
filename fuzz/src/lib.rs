//! What the fuzz targets share: a limit to the memory that an input may take.
//!
//! Every target hands its input to a door in `migration::fuzzing` or `vmm::fuzzing`, which exist
//! only under `--cfg fuzzing`: the decoders themselves stay private, and the doors are beside them.
//! One crate serves both, so that the instrumented build of their dependencies is done once.
//! `README.md` beside this file says how to run them.

mod meter;

// The counters of coverage are registered with libFuzzer, by whatever is linked here.
use libfuzzer_sys as _;

#[global_allocator]
static METER: meter::Meter = meter::Meter;

/// Most bytes that an input may have allocated at one time. Our choice: serde reserves up to 1 MiB
/// for a sequence that is announced and not there, and state is nested three sequences deep.
const MAX_HELD_BYTES: usize = 4 << 20;

/// Hands `data` to a decoder.
///
/// # Panics
/// If the decoder does, or if it has had more memory at one time than any input may take.
pub fn metered(data: &[u8], decode: impl FnOnce(&[u8])) {
    let held = meter::start();
    decode(data);
    let peak = meter::peak_bytes() - held;
    assert!(
        peak <= MAX_HELD_BYTES,
        "an input of {} bytes took {peak} bytes of memory",
        data.len()
    );
}
