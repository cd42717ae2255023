//! The device of the balloon and its queues: one request at a time, apart from the statistics.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::hw::virtio_mmio::Window;
use crate::hw::{power, serial};
use crate::pure::balloon::batch::Batch;
use crate::pure::balloon::frames::{Frames, LIST_PAGES, Request};
use crate::pure::balloon::{Level, Statistics};
use crate::pure::memory_map::MemoryMap;
use crate::pure::options::PAGE_BYTES;
use crate::pure::text::Line;
use crate::pure::virtio::{Kind, Role};
use crate::pure::virtqueue::{Buffer, Queue, Writer};

/// Looks after which a target is looked for that nothing has announced. Our choice: because that takes an exit,
/// which a driver with an interrupt makes only when there is one.
const LOOKS_PER_TARGET: u32 = 20;

/// Our choice: because no request has more buffers (Linux reports up to 32 ranges in one).
const QUEUE_SIZE: usize = 32;

/// What driver and device share.
struct Shared {
    queues: [Queue<QUEUE_SIZE>; Role::ALL.len()],
    /// Frame numbers of the request to inflate or deflate.
    list: [AtomicU32; LIST_PAGES],
    statistics: [AtomicU8; Statistics::BYTES],
}

static SHARED: Shared = Shared {
    queues: [const { Queue::new() }; Role::ALL.len()],
    list: [const { AtomicU32::new(0) }; LIST_PAGES],
    statistics: [const { AtomicU8::new(0) }; Statistics::BYTES],
};

/// The driver of the one balloon.
#[derive(Debug)]
pub struct Driver {
    window: Window,
    features: u64,
    frames: Frames<'static>,
    memory: MemoryMap,
    level: Level,
    /// The pages of the request under way, or of the one being made.
    batch: Batch,
    under_way: Option<Request>,
    faults: u64,
    looks: u32,
}

impl Driver {
    /// Starts the device; nothing if it cannot be used. `frames` are the pages of `memory`.
    pub fn open(window: Window, frames: Frames<'static>, memory: MemoryMap) -> Option<Self> {
        let features = window.negotiate(Kind::Balloon)?;
        for (number, queue) in (0..).zip(&SHARED.queues) {
            let is_there = Role::ALL
                .iter()
                .any(|(role, _)| role.queue(features) == Some(number));
            if is_there && !window.set_queue(number, queue) {
                return None;
            }
        }
        window.start();
        let driver = Self {
            window,
            features,
            frames,
            memory,
            level: Level::default(),
            batch: Batch::EMPTY,
            under_way: None,
            faults: 0,
            looks: LOOKS_PER_TARGET,
        };
        driver.send_statistics();
        Some(driver)
    }

    /// How full the balloon is, and is to be.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether free pages can be reported.
    pub fn can_report(&self) -> bool {
        self.queue(Role::Report).is_some()
    }

    /// Sends statistics if the device wants some. Asks for its target at the next look after that, before which
    /// it may have changed, and now and then.
    pub fn look(&mut self) {
        let is_asked = self
            .queue(Role::Statistics)
            .is_some_and(|(_, queue)| queue.is_back());
        self.looks += 1;
        if self.looks >= LOOKS_PER_TARGET {
            self.looks = 0;
            self.level.set_target(u64::from(self.window.target_pages()));
        }
        if is_asked {
            self.looks = LOOKS_PER_TARGET;
            self.send_statistics();
        }
        if self.under_way.is_some() {
            self.check_device();
        }
    }

    /// Whether no request is under way; one that has come back is settled.
    #[inline(never)]
    pub fn is_idle(&mut self) -> bool {
        let Some(request) = self.under_way else {
            return true;
        };
        let is_back = self
            .queue(role(request))
            .is_none_or(|(_, queue)| queue.is_back());
        if is_back {
            self.under_way = None;
            for index in self.batch.indices() {
                self.frames.settle(index, request);
            }
            self.level.served(request, self.batch.pages());
            if request != Request::Report {
                let actual = u32::try_from(self.level.actual()).unwrap_or(u32::MAX);
                self.window.set_actual_pages(actual);
            }
        }
        is_back
    }

    /// Waits until no request is under way.
    pub fn finish(&mut self, pause: &impl Fn()) {
        while !self.is_idle() {
            self.check_device();
            pause();
        }
    }

    /// Sends a request for those of `indices` that are fit for it, `most` at most; returns how many were
    /// looked at, and how many are in it. Nothing may be under way.
    pub fn ask(
        &mut self,
        request: Request,
        indices: impl Iterator<Item = u64>,
        most: u64,
    ) -> (u64, u64) {
        self.batch.clear();
        let most = most.min(request.most_pages());
        let mut looked_at = 0;
        for index in indices {
            if self.batch.pages() == most || self.batch.is_full() {
                break;
            }
            looked_at += 1;
            if let Some(gpa) = self.memory.gpa_of(index)
                && self.frames.ask(index, request)
            {
                self.batch.push(index, gpa);
            }
        }
        if self.batch.pages() > 0 {
            self.send(request);
        }
        (looked_at, self.batch.pages())
    }

    /// Takes page `index` out of the balloon because it is needed, and some after it, as Linux does.
    pub fn let_out(&mut self, index: u64, pause: &impl Fn()) {
        let after = index..index + LIST_PAGES as u64;
        if self.ask(Request::Deflate, after, u64::MAX).1 > 0 {
            self.level.yielded();
            self.faults += 1;
            self.finish(pause);
        }
    }

    fn send(&mut self, request: Request) {
        let Some((number, queue)) = self.queue(role(request)) else {
            return;
        };
        match request {
            Request::Inflate | Request::Deflate => {
                for (place, frame) in SHARED.list.iter().zip(self.batch.frame_numbers()) {
                    place.store(frame, Ordering::Relaxed);
                }
                let pages = usize::try_from(self.batch.pages()).expect("a short list");
                queue.offer(0, [buffer(&SHARED.list[..pages])].into_iter());
            }
            Request::Report => queue.offer(
                0,
                self.batch.runs().iter().map(|run| Buffer {
                    gpa: run.gpa,
                    bytes: u32::try_from(run.pages * PAGE_BYTES).expect("a report is small"),
                    writer: Writer::Device,
                }),
            ),
        }
        self.under_way = Some(request);
        self.window.notify(number);
    }

    fn send_statistics(&self) {
        let Some((number, queue)) = self.queue(Role::Statistics) else {
            return;
        };
        let statistics = Statistics {
            major_faults: self.faults,
            free_bytes: self.frames.free() * PAGE_BYTES,
            total_bytes: self.frames.count() * PAGE_BYTES,
        };
        for (place, byte) in SHARED.statistics.iter().zip(statistics.encode()) {
            place.store(byte, Ordering::Relaxed);
        }
        queue.offer(0, [buffer(&SHARED.statistics)].into_iter());
        self.window.notify(number);
    }

    fn queue(&self, role: Role) -> Option<(u32, &'static Queue<QUEUE_SIZE>)> {
        let number = role.queue(self.features)?;
        let queue = SHARED.queues.get(usize::try_from(number).ok()?)?;
        Some((number, queue))
    }

    /// A device that has given up never answers, and the work may need one of the pages.
    fn check_device(&self) {
        if self.window.needs_reset() {
            serial::report(Line::record("error the balloon needs a reset"));
            power::off();
        }
    }
}

fn role(request: Request) -> Role {
    match request {
        Request::Inflate => Role::Inflate,
        Request::Deflate => Role::Deflate,
        Request::Report => Role::Report,
    }
}

/// A buffer that the driver has written; memory is mapped one to one.
fn buffer<T>(items: &'static [T]) -> Buffer {
    Buffer {
        gpa: items.as_ptr().expose_provenance() as u64,
        bytes: u32::try_from(size_of_val(items)).expect("a small buffer"),
        writer: Writer::Driver,
    }
}
