//! VMs that run before their memory is out of its directory.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use migration::snapshot::{Snapshot, SnapshotError, WorkingSet};
use migration::{
    Haste, MigrationError, PAGE_BYTES, PageIndex, PageRange, Prefetch, ResumeError, Resumed,
    StoredVm, resume,
};
use tempfile::TempDir;

use crate::directory::{PAGES, names, snapshot, write_to};
use crate::machine::{FakeDestination, FakeSource, can_receive, play_guest, written};
use crate::memory::{Kind, Memory, content, expected, kind};

/// Resumes the VM of the snapshot with a guest that checks and writes every page. One of them is
/// waited for in any case, however late the guest comes to run.
fn resume_from(snapshot: &Snapshot) -> Result<Resumed, ResumeError> {
    let mut vm = FakeDestination::playing(Arc::new(|memory, _| play_guest(memory)));
    let stored = (0..PAGES).find(|&page| kind(page) == Kind::Content);
    vm.watch.restore_touches.lock().unwrap().extend(stored);
    let resumed = resume_in(snapshot, &mut vm)?;
    let guest = vm.arrived.guest.lock().unwrap().take().unwrap();
    assert_eq!(guest.join().unwrap(), 0, "wrong pages");
    let memory = vm.arrived.memory.lock().unwrap().take().unwrap();
    assert!((0..PAGES).all(|page| memory.read(page) == written(page)));
    Ok(resumed)
}

pub fn resume_in(snapshot: &Snapshot, vm: &mut FakeDestination) -> Result<Resumed, ResumeError> {
    resume_by(snapshot, vm, &Haste::new().unwrap(), learned(snapshot))
}

/// What was learned by earlier resumes.
fn learned(snapshot: &Snapshot) -> Prefetch {
    Prefetch::Learned(snapshot.working_set().unwrap())
}

fn resume_by(
    snapshot: &Snapshot,
    vm: &mut FakeDestination,
    haste: &Haste,
    prefetch: Prefetch,
) -> Result<Resumed, ResumeError> {
    let stored = StoredVm {
        offer: snapshot.offer().clone(),
        state: snapshot.state().to_vec(),
        memory: Arc::clone(snapshot.memory()),
        prefetch,
    };
    let resumed = resume(stored, vm, haste)?;
    if let Some(learned) = &resumed.learned {
        snapshot.keep_working_set(learned).unwrap();
    }
    Ok(resumed)
}

#[test]
fn machine_that_does_not_start_is_lost_and_nobody_waits_for_its_memory() {
    if !can_receive() {
        return;
    }
    let (_place, directory, _) = snapshot();
    let mut vm = FakeDestination::playing(Arc::new(|_, _| 0));
    vm.watch.start_fails.store(true, Ordering::SeqCst);
    let error = resume_in(&Snapshot::open(&directory).unwrap(), &mut vm).unwrap_err();
    assert!(
        matches!(&error, ResumeError::Lost(MigrationError::Resume { .. })),
        "{error}"
    );
}

#[test]
fn lazy_resume_has_every_byte_and_learns_its_working_set() {
    if !can_receive() {
        return;
    }
    let (_place, directory, _) = snapshot();
    let opened = Snapshot::open(&directory).unwrap();
    assert!(opened.working_set().unwrap().is_empty());
    let first = resume_from(&opened).unwrap();
    assert_eq!((first.prefetch_pages, first.prefetch), (0, None));
    assert!(first.faults > 0 && first.latency_us.p50 > 0.0);
    let set = opened.working_set().unwrap();
    assert!(!set.is_empty() && set.pages().count() > 0);
    let second = resume_from(&opened).unwrap();
    assert!(second.prefetch_pages >= set.pages().count());
    assert!(second.prefetch.is_some());
    println!("faults: {}, then {}", first.faults, second.faults);
}

#[test]
fn huge_pages_that_are_stored_whole_arrive_whole_and_right() {
    if !can_receive() {
        return;
    }
    // No page is waited for whose neighbours came before; they are 32 at least.
    let faults = faults_of_all(learned);
    assert!(faults <= WHOLE_PAGES / 32, "{faults}");
}

#[test]
fn huge_page_that_is_waited_for_is_one_in_the_guest() {
    if !can_receive() {
        return;
    }
    if let Some(reason) = no_huge_pages() {
        eprintln!("skipped: {reason}");
        return;
    }
    let (_place, opened) = whole();
    // The kernel may lack a huge page at any time.
    let mut tries = (0..5).map(|_| {
        let mut vm = FakeDestination::playing(Arc::new(|memory, _| {
            let touched = (0..WHOLE_PAGES).step_by(512);
            let wrong = touched.filter(|&page| memory.read(page) != content(page));
            wrong.count() as u64
        }));
        let haste = Haste::new().unwrap();
        // Nothing was learned, so that all is held back that is not waited for.
        let nothing = Prefetch::Learned(WorkingSet::empty(WHOLE_PAGES));
        let faults = resume_by(&opened, &mut vm, &haste, nothing).unwrap().faults;
        let memory = vm.arrived.memory.lock().unwrap().take().unwrap();
        (faults, memory.huge_pages())
    });
    let whole = (WHOLE_PAGES / 512, WHOLE_PAGES / 512);
    assert!(tries.any(|found| found == whole));
}

/// Why a huge page that is waited for cannot be one in the guest, if that is so.
fn no_huge_pages() -> Option<String> {
    let setting = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    if setting.is_ok_and(|setting| setting.contains("[never]")) {
        return Some("this host makes no huge pages".to_owned());
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (6, 14) => Some(format!(
            "Linux {} keeps tables of small pages, 6.14 would not",
            release.trim()
        )),
        _ => None,
    }
}

#[test]
fn demand_paging_brings_each_page_alone_and_right() {
    if !can_receive() {
        return;
    }
    // Beside other tests the guest may stand still for so long that the rest is brought.
    let mut tries = (0..20).map(|_| faults_of_all(|_| Prefetch::Nothing));
    assert!(tries.any(|faults| faults == WHOLE_PAGES));
}

/// Eight huge pages, all of them with content.
const WHOLE_PAGES: u64 = 8 * 512;

/// A snapshot of them.
fn whole() -> (TempDir, Snapshot) {
    let memory = Memory::new(WHOLE_PAGES);
    (0..WHOLE_PAGES).for_each(|page| memory.write(page, &content(page)));
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("snapshot");
    write_to(&directory, &FakeSource::new(memory)).unwrap();
    let opened = Snapshot::open(&directory).unwrap();
    (place, opened)
}

/// Has a guest touch every page in a scattered order, and check it; how many it waited for.
fn faults_of_all(prefetch: impl Fn(&Snapshot) -> Prefetch) -> u64 {
    let (_place, opened) = whole();
    let mut vm = FakeDestination::playing(Arc::new(move |memory, _| {
        let scattered = (0..WHOLE_PAGES).map(|visit| visit * 7919 % WHOLE_PAGES);
        let wrong = scattered.filter(|&page| memory.read(page) != content(page));
        wrong.count() as u64
    }));
    let haste = Haste::new().unwrap();
    let resumed = resume_by(&opened, &mut vm, &haste, prefetch(&opened)).unwrap();
    let guest = vm.arrived.guest.lock().unwrap().take().unwrap();
    assert_eq!(guest.join().unwrap(), 0, "wrong pages");
    resumed.faults
}

#[test]
fn first_resume_that_is_hurried_holds_nothing_back() {
    if !can_receive() {
        return;
    }
    let (place, directory, _) = snapshot();
    let opened = Snapshot::open(&directory).unwrap();
    let haste = Haste::new().unwrap();
    haste.hurry();
    // Each is the first; one that holds back does so for 200 ms at least.
    let is_prompt = (0..20).any(|_| {
        let mut idle = FakeDestination::playing(Arc::new(|_, _| 0));
        let fill = resume_by(&opened, &mut idle, &haste, learned(&opened))
            .unwrap()
            .fill;
        fs::remove_file(directory.join("working-set")).unwrap();
        fill < Duration::from_millis(150)
    });
    assert!(is_prompt);
    drop(place);
}

#[test]
fn pages_given_up_during_a_lazy_resume_are_zero_and_the_others_whole() {
    if !can_receive() {
        return;
    }
    let (_place, directory, _) = snapshot();
    let opened = Snapshot::open(&directory).unwrap();
    for round in 0..20 {
        let given_up = move |page: u64| page.wrapping_mul(2_654_435_761) >> 7 & 15 <= round % 4;
        let mut vm = FakeDestination::playing(Arc::new(move |memory, arriving| {
            let mut wrong = 0;
            for page in (0..PAGES).rev() {
                let range = PageRange::within(PageIndex::new(page), 1, PAGES).unwrap();
                let is_given_up = given_up(page);
                if is_given_up {
                    match arriving.give_up(range) {
                        Some(given_up) => given_up.unwrap(),
                        // All memory is here: it is the guest's alone.
                        None => memory.write(page, &[0; PAGE_BYTES]),
                    }
                }
                let right = if is_given_up {
                    [0; PAGE_BYTES]
                } else {
                    expected(page)
                };
                wrong += u64::from(memory.read(page) != right);
            }
            wrong
        }));
        resume_in(&opened, &mut vm).unwrap();
        let guest = vm.arrived.guest.lock().unwrap().take().unwrap();
        assert_eq!(guest.join().unwrap(), 0, "wrong pages");
    }
}

#[test]
fn working_set_of_another_snapshot_is_refused_and_does_no_harm() {
    if !can_receive() {
        return;
    }
    let (_place, directory, _) = snapshot();
    resume_from(&Snapshot::open(&directory).unwrap()).unwrap();
    let record = fs::read(directory.join("working-set")).unwrap();
    let old = Snapshot::open(&directory).unwrap();
    write_to(&directory, &FakeSource::new(Memory::filled(PAGES))).unwrap();
    let new = Snapshot::open(&directory).unwrap();
    assert!(new.working_set().unwrap().is_empty());
    fs::write(directory.join("working-set"), record).unwrap();
    let error = new.working_set().unwrap_err();
    assert!(matches!(error, SnapshotError::WorkingSet { .. }), "{error}");
    // What was learned of a snapshot that was replaced is not kept beside the new one.
    let learned = old.working_set().unwrap();
    fs::remove_file(directory.join("working-set")).unwrap();
    old.keep_working_set(&learned).unwrap();
    assert_eq!(names(&directory).len(), 2);
}
