//! Fake VMs: memory, a state of a few bytes, and a thread that plays the guest.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use migration::{
    Arrival, ArrivingMemory, CancelToken, DestinationOptions, DestinationVm, FrozenRam, Hints,
    MachineError, MemoryLayout, MemoryRegion, Notice, Offer, PAGE_BYTES, PageBitmap, Pfn,
    RamMapping, Refusal, Result, SourceOptions, SourceVm, Streams, Timeouts, receive,
};

use crate::memory::{Memory, expected};

/// Whether userfaultfd works here; if it does not, says so, and panics if it must.
pub fn can_receive() -> bool {
    let Err(error) = migration::check_userfaultfd() else {
        return true;
    };
    assert!(
        std::env::var("REQUIRE_KVM").as_deref() != Ok("1"),
        "{error}"
    );
    eprintln!("skipped: {error}");
    false
}

/// Timeouts short enough for tests of silence.
pub fn hasty() -> Timeouts {
    let short = Duration::from_millis(300);
    Timeouts {
        connect: short,
        answer: short,
        stall: short,
    }
}

/// Options for a migration to `destination` over one connection for pages beside the urgent one,
/// whatever the host, in a hurry.
pub fn options_to(destination: SocketAddr) -> SourceOptions {
    SourceOptions {
        timeouts: hasty(),
        reconnect_for: Duration::ZERO,
        streams: Some(Streams::new(1).unwrap()),
        ..SourceOptions::new(destination.to_string())
    }
}

/// What a source is told, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Track,
    Untrack,
    Pause,
    Save,
    Resume,
}

/// A VM to be given away.
pub struct FakeSource {
    pub memory: Arc<Memory>,
    pub state: Vec<u8>,
    pub calls: Mutex<Vec<Call>>,
    /// Whether it cannot be paused.
    pub is_stubborn: AtomicBool,
}

impl FakeSource {
    pub fn new(memory: Arc<Memory>) -> Self {
        Self {
            memory,
            state: b"state of the machine".to_vec(),
            calls: Mutex::default(),
            is_stubborn: AtomicBool::new(false),
        }
    }

    /// Whether the guest runs here.
    pub fn runs(&self) -> bool {
        let calls = self.calls.lock().unwrap();
        !matches!(calls.last(), Some(Call::Pause | Call::Save))
    }

    fn called(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }
}

impl SourceVm for FakeSource {
    fn offer(&self) -> Result<Offer, MachineError> {
        let region = MemoryRegion {
            first: Pfn::new(0),
            pages: self.memory.pages(),
        };
        Ok(Offer {
            name: "fake".into(),
            memory: MemoryLayout::new(vec![region])?,
            vcpus: 1,
            machine: vec![1, 2, 3],
        })
    }

    fn ram(&self) -> RamMapping {
        self.memory.mapping()
    }

    fn start_tracking(&self) -> Result<(), MachineError> {
        self.called(Call::Track);
        self.memory
            .take_written(&mut PageBitmap::empty(self.memory.pages()));
        Ok(())
    }

    fn start_hinting(&self) {}

    /// Its guest has no balloon.
    fn take_hints(&self, _free: &mut PageBitmap) -> Hints {
        Hints::Complete
    }

    fn stop_hinting(&self) {}

    fn take_dirty(&self, dirty: &mut PageBitmap) -> Result<(), MachineError> {
        self.memory.take_written(dirty);
        Ok(())
    }

    fn stop_tracking(&self) -> Result<(), MachineError> {
        self.called(Call::Untrack);
        Ok(())
    }

    fn pause(&self) -> Result<FrozenRam, MachineError> {
        self.called(Call::Pause);
        if self.is_stubborn.load(Ordering::Acquire) {
            return Err("it does not stop".into());
        }
        Ok(self.memory.frozen())
    }

    fn save(&self) -> Result<Vec<u8>, MachineError> {
        self.called(Call::Save);
        Ok(self.state.clone())
    }

    fn resume(&self, _ram: Option<FrozenRam>) -> Result<(), MachineError> {
        self.called(Call::Resume);
        Ok(())
    }
}

/// What the fake destinations of one listener share with the test.
#[derive(Default)]
pub struct Watch {
    /// VMs made.
    pub made: AtomicU32,
    /// VMs not dropped yet.
    pub alive: AtomicU32,
    /// VMs whose guest was started.
    pub resumed: AtomicU32,
    /// How often connections were lost that the source may come back for.
    pub losses: AtomicU32,
    pub refusal: Mutex<Option<Refusal>>,
    pub restore_fails: AtomicBool,
    /// Its vCPUs do not start.
    pub start_fails: AtomicBool,
    /// Pages touched while restoring.
    pub restore_touches: Mutex<Vec<u64>>,
}

/// What a guest does; gives the number of pages whose content was wrong.
pub type Guest = Arc<dyn Fn(&Memory, &ArrivingMemory) -> u64 + Send + Sync>;

/// What the guest of an arrived VM does.
#[derive(Clone)]
enum Life {
    Busy,
    Idle,
    /// What the test wants, while memory arrives.
    Playing(Guest),
}

/// A VM that arrives. A busy guest visits every page in a scattered order, checks it, and writes it.
pub struct FakeDestination {
    pub watch: Arc<Watch>,
    memory: Option<Arc<Memory>>,
    arriving: Option<ArrivingMemory>,
    pub arrived: Arrived,
    life: Life,
}

impl FakeDestination {
    /// One that does not wait for a connection.
    pub fn playing(guest: Guest) -> Self {
        let watch = Arc::new(Watch::default());
        Self::new(&watch, &Arrived::default(), Life::Playing(guest))
    }

    fn new(watch: &Arc<Watch>, arrived: &Arrived, life: Life) -> Self {
        watch.made.fetch_add(1, Ordering::SeqCst);
        watch.alive.fetch_add(1, Ordering::SeqCst);
        Self {
            watch: Arc::clone(watch),
            memory: None,
            arriving: None,
            arrived: arrived.clone(),
            life,
        }
    }
}

/// Where a test finds guest and memory of the VM that arrived.
#[derive(Clone, Default)]
pub struct Arrived {
    pub guest: Arc<Mutex<Option<JoinHandle<u64>>>>,
    pub memory: Arc<Mutex<Option<Arc<Memory>>>>,
}

/// What the guest writes to a page after it has checked it.
pub fn written(page: u64) -> [u8; PAGE_BYTES] {
    let mut content = expected(page);
    content[..8].copy_from_slice(&(!page).to_le_bytes());
    content
}

/// Visits every page once; gives the number of pages whose content was wrong.
pub fn play_guest(memory: &Memory) -> u64 {
    let pages = memory.pages();
    // Odd, and so prime to any power of two: a walk over all pages.
    let step = 7919;
    let mut wrong = 0;
    for visit in 0..pages {
        let page = visit * step % pages;
        wrong += u64::from(memory.read(page) != expected(page));
        memory.write(page, &written(page));
    }
    wrong
}

impl DestinationVm for FakeDestination {
    fn prepare(&mut self, offer: &Offer) -> Result<RamMapping, Refusal> {
        if let Some(refusal) = self.watch.refusal.lock().unwrap().take() {
            return Err(refusal);
        }
        let memory = Memory::new(offer.memory.pages());
        self.memory = Some(Arc::clone(&memory));
        Ok(memory.mapping())
    }

    fn restore(&mut self, state: &[u8], arriving: ArrivingMemory) -> Result<(), MachineError> {
        self.arriving = Some(arriving);
        let memory = self.memory.as_ref().unwrap();
        for &page in self.watch.restore_touches.lock().unwrap().iter() {
            assert_eq!(memory.read(page), expected(page));
        }
        if self.watch.restore_fails.load(Ordering::SeqCst) {
            return Err("this state does not fit".into());
        }
        assert_eq!(state, b"state of the machine");
        Ok(())
    }

    fn resume(&mut self) -> Result<(), MachineError> {
        self.watch.resumed.fetch_add(1, Ordering::SeqCst);
        if self.watch.start_fails.load(Ordering::SeqCst) {
            return Err("no vCPU starts".into());
        }
        let memory = Arc::clone(self.memory.as_ref().unwrap());
        *self.arrived.memory.lock().unwrap() = Some(Arc::clone(&memory));
        let arriving = self.arriving.take().unwrap();
        let guest = match self.life.clone() {
            Life::Idle => return Ok(()),
            Life::Busy => thread::spawn(move || play_guest(&memory)),
            Life::Playing(guest) => thread::spawn(move || guest(&memory, &arriving)),
        };
        *self.arrived.guest.lock().unwrap() = Some(guest);
        Ok(())
    }
}

impl Drop for FakeDestination {
    fn drop(&mut self) {
        self.watch.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A destination that waits for a VM on a thread of its own.
pub struct Waiting {
    pub address: SocketAddr,
    pub watch: Arc<Watch>,
    pub arrived: Arrived,
    pub stop: CancelToken,
    /// What was told of connections that came to nothing.
    rejections: mpsc::Receiver<(SocketAddr, String)>,
    thread: JoinHandle<Result<Arrival>>,
}

impl Waiting {
    pub fn start(timeouts: Timeouts) -> Self {
        Self::start_with(DestinationOptions {
            timeouts,
            reconnect_for: Duration::ZERO,
            ..DestinationOptions::default()
        })
    }

    /// Waits for a VM whose guest does nothing once it has arrived.
    pub fn start_idle(timeouts: Timeouts) -> Self {
        Self::start_idle_with(DestinationOptions {
            timeouts,
            ..DestinationOptions::default()
        })
    }

    /// The same, as `options` say.
    pub fn start_idle_with(options: DestinationOptions) -> Self {
        Self::begin(options, Life::Idle)
    }

    /// Waits for a VM with this guest.
    pub fn start_playing(options: DestinationOptions, guest: Guest) -> Self {
        Self::begin(options, Life::Playing(guest))
    }

    pub fn start_with(options: DestinationOptions) -> Self {
        Self::begin(options, Life::Busy)
    }

    fn begin(options: DestinationOptions, life: Life) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (watch, arrived) = (Arc::new(Watch::default()), Arrived::default());
        let stop = CancelToken::new().unwrap();
        let (told, rejections) = mpsc::channel();
        let thread = thread::spawn({
            let (watch, arrived, stop) = (watch.clone(), arrived.clone(), stop.clone());
            move || {
                let mut fresh = || -> Box<dyn DestinationVm> {
                    Box::new(FakeDestination::new(&watch, &arrived, life.clone()))
                };
                let told = Mutex::new(told);
                let notices = |notice: &Notice<'_>| match notice {
                    Notice::Rejected { peer, error } => {
                        let _ = told.lock().unwrap().send((*peer, error.to_string()));
                    }
                    Notice::Lost { .. } => {
                        watch.losses.fetch_add(1, Ordering::SeqCst);
                    }
                    _ => {}
                };
                receive(&listener, &mut fresh, &options, &notices, &stop)
            }
        });
        Self {
            address,
            watch,
            arrived,
            stop,
            rejections,
            thread,
        }
    }

    /// Waits for the end of the wait.
    pub fn join(self) -> Result<Arrival> {
        self.thread.join().unwrap()
    }

    /// Why a connection came to nothing: the first of which `is_meant` is true.
    pub fn rejection(&self, is_meant: impl Fn(&SocketAddr) -> bool) -> String {
        loop {
            let (peer, error) = self
                .rejections
                .recv_timeout(Duration::from_secs(5))
                .unwrap();
            if is_meant(&peer) {
                return error;
            }
        }
    }
}
