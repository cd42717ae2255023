//! A paused VM and its copies out of a snapshot, all in this very process, so that they can be
//! compared: every byte of memory, and the state of vCPUs and devices.

use std::path::Path;
use std::sync::{Arc, Mutex};

use migration::snapshot::{Afterwards, Liveness, Snapshot, SnapshotOptions, WorkingSet, write};
use migration::{CancelToken, Haste, PAGE_BYTES, PageIndex, Prefetch, resume};
use vmm::boot::layout::VM_GENERATION_ID;
use vmm::boot::write_generation_id;
use vmm::config::Attachments;
use vmm::machine::{Machine, Wiring, Wish};
use vmm::transfer::{Arrival, CloneIdentity, Departure, Memory, StoredMachine};

use crate::every_byte::{assert_same_memory, boot, state_of, wiring};
use crate::ground::has_kvm;

/// The generation id of the copies.
const COPY_ID: [u8; 16] = *b"a copy's own id!";
/// That of the machine that [`boot`] makes.
const FIRST_ID: [u8; 16] = [7; 16];

fn save_to(directory: &Path, machine: &Arc<Machine>, liveness: Liveness) {
    let options = SnapshotOptions {
        directory: directory.to_owned(),
        base: None,
        liveness,
        afterwards: Afterwards::Resumed,
    };
    let departure = Departure::new("still".to_owned(), Arc::clone(machine));
    let cancel = CancelToken::new().unwrap();
    write(&departure, &options, &|_| {}, &cancel).unwrap();
}

fn copy_of(snapshot: &Snapshot) -> StoredMachine {
    let copy = CloneIdentity {
        name: "copy".to_owned(),
        generation_id: COPY_ID,
        wish: None,
        attachments: Attachments::default(),
    };
    StoredMachine::new(snapshot, &copy).unwrap()
}

/// Resumes a copy through the engine.
fn resume_lazily(stored: &StoredMachine, pages: u64, wiring: &Wiring) -> Arc<Machine> {
    let arrived: Arc<Mutex<Option<Arc<Machine>>>> = Arc::default();
    let settle = {
        let arrived = Arc::clone(&arrived);
        move |machine| *arrived.lock().unwrap() = Some(machine)
    };
    let mut vm = Arrival::new(wiring.clone(), settle).by(stored.passage());
    let learning = stored.stored(Prefetch::Learned(WorkingSet::empty(pages)));
    resume(learning, &mut vm, &Haste::new().unwrap()).unwrap();
    arrived.lock().unwrap().take().unwrap()
}

/// Reads the generation id where the guest looks for it, and puts back what the original has there.
fn swap_generation_id(machine: &Machine) -> [u8; 16] {
    let page = PageIndex::new(VM_GENERATION_ID.0 / 4096);
    let mut content = [0; PAGE_BYTES];
    machine.ram().mapping().read_page(page, &mut content);
    write_generation_id(machine.ram().guest(), FIRST_ID).unwrap();
    *content.first_chunk().unwrap()
}

#[test]
fn copies_of_a_paused_vm_have_every_byte_register_and_device_but_an_identity_of_their_own() {
    if !has_kvm("snapshot_bytes") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for liveness in [Liveness::Paused, Liveness::Live] {
        let (source, output) = boot("workload=random ws=16M seed=3");
        output.wait("passes=1");
        source.ask(Wish::Paused).unwrap();
        let before = state_of(&source);
        let directory = place.path().join(format!("{liveness:?}"));
        save_to(&directory, &source, liveness);
        let snapshot = Snapshot::open(&directory).unwrap();
        let pages = snapshot.memory().pages();
        for way in [None, Some(Memory::Read), Some(Memory::Mapped)] {
            let (wiring, output) = wiring();
            let stored = copy_of(&snapshot);
            let copy = match way {
                None => resume_lazily(&stored, pages, &wiring),
                Some(memory) => Arc::new(stored.build(memory, wiring).unwrap()),
            };
            let what = format!("{liveness:?}, {way:?}");
            assert_eq!(copy.blueprint().generation_id, COPY_ID);
            assert_eq!(swap_generation_id(&copy), COPY_ID, "{what}");
            assert_same_memory(&source.ram().mapping(), &copy.ram().mapping());
            let after = state_of(&copy);
            assert!(after.paused_by_user);
            assert_eq!(before.devices, after.devices, "{what}");
            for (before, after) in before.vcpus.iter().zip(&after.vcpus) {
                assert_eq!(before.registers(), after.registers(), "{what}");
                assert_eq!(before.extended(), after.extended(), "{what}");
            }
            // A snapshot of the copy has the same memory, whatever of it was ever touched.
            let again = place.path().join("again");
            save_to(&again, &copy, Liveness::Paused);
            let again = Snapshot::open(&again).unwrap();
            assert_eq!(again.digest(), snapshot.digest(), "{what}");

            copy.ask(Wish::Running).unwrap();
            let lines = output.wait("t_ms=");
            assert!(!lines.contains("corrupt"), "{lines}");
        }
    }
}

#[test]
fn memory_that_a_mapped_copy_gives_up_reads_as_zeroes_and_the_file_stays_as_it_is() {
    if !has_kvm("snapshot_discard") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (source, output) = boot("workload=random ws=16M seed=3");
    output.wait("passes=1");
    source.ask(Wish::Paused).unwrap();
    save_to(place.path(), &source, Liveness::Paused);
    let snapshot = Snapshot::open(place.path()).unwrap();
    let (wiring, _output) = wiring();
    let copy = copy_of(&snapshot).build(Memory::Mapped, wiring).unwrap();
    let memory = snapshot.memory();
    let run = memory.present().next_run(1024, memory.pages()).unwrap();
    copy.ram().discard(run).unwrap();
    let mut content = vec![1; run.bytes()];
    copy.ram().mapping().read(run, &mut content);
    assert!(content.iter().all(|byte| *byte == 0));
    memory.read(run, &mut content).unwrap();
    assert!(
        content
            .chunks(PAGE_BYTES)
            .all(|page| page.iter().any(|byte| *byte != 0))
    );

    // What was given up is nothing that a snapshot of the copy would take from the file.
    let copy = Arc::new(copy);
    let again = place.path().with_extension("again");
    save_to(&again, &copy, Liveness::Paused);
    let stored = Snapshot::open(&again).unwrap().memory().present().clone();
    assert!(run.iter().all(|page| !stored.contains(page)));
    std::fs::remove_dir_all(again).unwrap();
}
