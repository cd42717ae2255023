//! Writing a snapshot of a VM.

mod comparison;
mod memory;
mod rounds;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::bitmap::PageBitmap;
use crate::cancel::CancelToken;
use crate::digest::Digest;
use crate::error::{Error, MachineError};
use crate::offer::Offer;
use crate::page::{bytes_of, to_u64};
use crate::ram::FrozenRam;
use crate::report::{Round, ms};
use crate::snapshot::base::{check_layout, covered};
use crate::snapshot::contents::Contents;
use crate::snapshot::directory::{NewSnapshot, check_apart};
use crate::snapshot::disk::EarlySync;
use crate::snapshot::file::MemoryFile;
use crate::snapshot::verify::digest_of;
use crate::snapshot::{Result, Snapshot, SnapshotError};
use crate::source::SourceVm;
use crate::wire::MAX_STATE_BYTES;
use memory::MemoryWriter;
use rounds::write_rounds;

/// What the VM does while its memory is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Liveness {
    /// It stands still.
    #[default]
    Paused,
    /// It runs on; what it writes meanwhile is written again, in rounds, and it stands still for the
    /// rest.
    Live,
}

/// What becomes of the VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Afterwards {
    /// It runs on as before.
    #[default]
    Resumed,
    /// It stays as it is in the snapshot, which is on the disk by then; its owner ends it.
    Held,
}

/// What snapshot is to be written.
#[derive(Clone, Debug)]
pub struct SnapshotOptions {
    /// Into which directory. It is made, or is empty, or its snapshot is replaced.
    pub directory: PathBuf,
    /// In which directory the snapshot is to which it is a difference, if it is to be one.
    pub base: Option<PathBuf>,
    /// While the guest does what.
    pub liveness: Liveness,
    /// What it does after.
    pub afterwards: Afterwards,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// What is being done.
    pub phase: SnapshotPhase,
    /// Rounds that have begun.
    pub round: u32,
    /// Pages that need no more work.
    pub pages_done: u64,
    /// All pages.
    pub pages_total: u64,
    /// Bytes of pages that were written, each as often as it was, or left to the base.
    pub page_bytes: u64,
    /// Since it began.
    pub elapsed: Duration,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotPhase {
    /// Pages are written.
    Writing,
    /// The disk takes what was written.
    Syncing,
}

/// The account of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SnapshotReport {
    /// Version of this form.
    pub schema: u32,
    /// What tells the snapshot from every other.
    pub identity: String,
    /// From the call to pause the guest until it ran again, or was known not to.
    pub pause_ms: f64,
    /// From the start until it was on the disk.
    pub total_ms: f64,
    /// Of that, waiting for the disk.
    pub sync_ms: f64,
    /// Counts of pages.
    pub pages: StoredPages,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Bytes of the state of vCPUs and devices.
    pub state_bytes: u64,
    /// Rounds while the guest ran, but for the rest.
    pub rounds: Vec<Round>,
    /// The digest of all memory.
    pub digest: Digest,
}

/// Counts of pages: `total` is the sum of `stored`, `base` and `absent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoredPages {
    /// Pages of RAM.
    pub total: u64,
    /// Pages in the snapshot.
    pub stored: u64,
    /// Pages that are the same in the base of a difference, and left out.
    pub base: u64,
    /// Pages that are zero, and left out.
    pub absent: u64,
    /// Pages that were written more than once.
    pub rewritten: u64,
}

/// Version of the report.
const SCHEMA: u32 = 1;

/// A snapshot under way.
struct Work<'a> {
    vm: &'a dyn SourceVm,
    options: &'a SnapshotOptions,
    progress: &'a dyn Fn(&SnapshotProgress),
    cancel: &'a CancelToken,
    began: Instant,
    /// When the guest was told to stand still, if it was, and its memory, if it does.
    paused: Option<(Instant, Option<FrozenRam>)>,
    pause: Duration,
    is_tracked: bool,
    rounds: Vec<Round>,
    /// What rounds have left to write.
    left: Option<PageBitmap>,
}

/// Writes a snapshot of `vm`. The calling thread does the work; `progress` is called some times a
/// second, and must return at once.
///
/// The guest stands still only while its memory, or with [`Liveness::Live`] the rest of it, goes to
/// the page cache; it runs again while the disk takes it, unless it is to end.
///
/// # Errors
/// If the snapshot cannot be written, or is cancelled. The VM runs on as before and nothing is left
/// of the snapshot; an older one in the directory is untouched.
pub fn write(
    vm: &dyn SourceVm,
    options: &SnapshotOptions,
    progress: &dyn Fn(&SnapshotProgress),
    cancel: &CancelToken,
) -> Result<SnapshotReport> {
    let mut work = Work {
        vm,
        options,
        progress,
        cancel,
        began: Instant::now(),
        paused: None,
        pause: Duration::ZERO,
        is_tracked: false,
        rounds: Vec::new(),
        left: None,
    };
    let result = work.run();
    if result.is_err() {
        work.resume().map_err(|error| SnapshotError::Stuck {
            source: Box::new(error),
        })?;
    }
    if work.is_tracked && work.paused.is_none() {
        // If its writes go on being noted, it only runs a little slower.
        let _ = vm.stop_tracking();
    }
    result
}

impl Work<'_> {
    fn run(&mut self) -> Result<SnapshotReport> {
        let offer = self
            .vm
            .offer()
            .map_err(|source| Error::Describe { source })?;
        let ram = self.vm.ram();
        let (mapped, offered) = (ram.pages(), offer.memory.pages());
        if mapped != offered {
            return Err(Error::MappedPages { mapped, offered }.into());
        }
        let base = self.open_base(&offer)?;
        let new = NewSnapshot::begin(&self.options.directory)?;
        let (report, contents, syncing) = thread::scope(|scope| {
            let early = EarlySync::start(scope, new.memory())?;
            let file = MemoryFile::new(&new, mapped, early)?;
            self.store(offer, MemoryWriter::new(file, ram, base.as_ref()))
        })?;
        new.sync_memory()?;
        self.cancel.close().map_err(|_| SnapshotError::Cancelled)?;
        let (file, identity) = contents.encode()?;
        new.commit(&file)?;
        Ok(SnapshotReport {
            identity: identity.to_string(),
            sync_ms: ms(syncing.elapsed()),
            pause_ms: ms(self
                .paused
                .as_ref()
                .map_or(self.pause, |(since, _)| since.elapsed())),
            total_ms: ms(self.began.elapsed()),
            written_bytes: report.written_bytes + to_u64(file.len()),
            ..report
        })
    }

    /// The snapshot to which this is to be a difference.
    fn open_base(&self, offer: &Offer) -> Result<Option<Snapshot>> {
        let Some(directory) = &self.options.base else {
            return Ok(None);
        };
        let base = Snapshot::open(directory).map_err(|error| error.within(directory))?;
        check_layout(&offer.memory, &base)?;
        check_apart(directory, &self.options.directory)?;
        Ok(Some(base))
    }

    /// Writes the memory file, and takes the state; gives what is known of the report by then, what is
    /// to be written yet, and since when the guest has not been waiting for it.
    fn store(
        &mut self,
        offer: Offer,
        mut memory: MemoryWriter<'_>,
    ) -> Result<(SnapshotReport, Contents, Instant)> {
        if self.options.liveness == Liveness::Live {
            self.is_tracked = true;
            self.vm
                .start_tracking()
                .map_err(|source| Error::Track { source })?;
            write_rounds(self, &mut memory)?;
        }
        self.pause()?;
        let rest = self.rest(&mut memory)?;
        self.write_pages(&mut memory, &rest)?;
        let state = self.vm.save().map_err(|source| Error::Save { source })?;
        let (bytes, max_bytes) = (to_u64(state.len()), to_u64(MAX_STATE_BYTES));
        if bytes > max_bytes {
            return Err(Error::StateSize { bytes, max_bytes }.into());
        }
        if self.options.afterwards == Afterwards::Resumed {
            self.resume()?;
        }
        self.tell(&memory, SnapshotPhase::Syncing);
        let syncing = Instant::now();
        let (report, contents) = self.seal(offer, state, memory)?;
        Ok((report, contents, syncing))
    }

    /// Writes what is left to write but for the last file, and gives what is known of the report by
    /// then.
    fn seal(
        &mut self,
        offer: Offer,
        state: Vec<u8>,
        memory: MemoryWriter<'_>,
    ) -> Result<(SnapshotReport, Contents)> {
        let written_pages = memory.written_pages();
        let total = memory.pages();
        let (sealed, base) = memory.finish()?;
        let covered = covered(&sealed.present, base.as_ref());
        let stored = sealed.present.count();
        let digest = digest_of(&sealed.chunks, &covered);
        let report = SnapshotReport {
            schema: SCHEMA,
            identity: String::new(),
            pause_ms: 0.0,
            total_ms: 0.0,
            sync_ms: 0.0,
            pages: StoredPages {
                total,
                stored,
                base: covered.count() - stored,
                absent: total - covered.count(),
                rewritten: written_pages - stored,
            },
            written_bytes: sealed.written_bytes,
            state_bytes: to_u64(state.len()),
            rounds: std::mem::take(&mut self.rounds),
            digest,
        };
        let contents = Contents {
            offer,
            state,
            memory: sealed.name,
            digest,
            present: sealed.present,
            chunks: sealed.chunks,
            base,
        };
        Ok((report, contents))
    }

    fn pause(&mut self) -> Result<()> {
        let since = Instant::now();
        self.paused = Some((since, None));
        let ram = self.vm.pause().map_err(|source| Error::Pause { source })?;
        self.paused = Some((since, Some(ram)));
        Ok(())
    }

    /// Lets the guest run again, if it stands still.
    fn resume(&mut self) -> Result<(), Error> {
        if let Some((since, ram)) = self.paused.take() {
            self.vm
                .resume(ram)
                .map_err(|source| Error::Resume { source })?;
            self.pause = since.elapsed();
        }
        Ok(())
    }

    /// A VM's own operation on its dirty pages failed.
    fn track(source: MachineError) -> SnapshotError {
        Error::Track { source }.into()
    }

    fn tell(&self, memory: &MemoryWriter<'_>, phase: SnapshotPhase) {
        (self.progress)(&SnapshotProgress {
            phase,
            round: u32::try_from(self.rounds.len()).unwrap_or(u32::MAX),
            pages_done: memory.looked_at_pages(),
            pages_total: memory.pages(),
            page_bytes: bytes_of(memory.written_pages() + memory.base_pages()),
            elapsed: self.began.elapsed(),
        });
    }

    fn cancel_point(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            Err(SnapshotError::Cancelled)
        } else {
            Ok(())
        }
    }
}
