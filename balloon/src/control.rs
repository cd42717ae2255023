//! What a balloon shares with the rest of the machine: the target, and all that is known.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devices::virtio::DeviceSignals;

use crate::config::Config;
use crate::flow::Flow;
use crate::hinting::Hinting;
use crate::queues::Role;
use crate::{
    Change, Ledger, Observation, PfnRange, Reason, SelfBallooning, SelfBallooningSettings,
    Statistics,
};

/// Controls and watches a balloon from any thread.
///
/// Clones mean the same balloon. None of its calls waits for the guest.
#[derive(Clone, Debug)]
pub struct BalloonHandle(pub(crate) Arc<Mutex<Shared>>);

/// A balloon at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BalloonStatus {
    /// How many pages of 4 KiB the host wants in the balloon.
    pub target_pages: u32,
    /// How many the driver says are in it.
    pub actual_pages: u32,
    /// How many the guest has named and promised not to use; see [`BalloonHandle::given_up`].
    pub given_up_pages: u64,
    /// How much the guest has reported free, all in all; the same memory may count many times.
    pub reported_bytes: u64,
    /// How much of that came in a second, on average of the last 10 s.
    pub reported_bytes_per_s: u64,
    /// How much went back to the host, by inflating and by reporting.
    pub discarded_bytes: u64,
    /// How much of that went in a second, on average of the last 10 s.
    pub discarded_bytes_per_s: u64,
    /// How often the host refused to take pages.
    pub failed_discards: u64,
    /// The latest statistics, once the guest has sent any.
    pub statistics: Option<Statistics>,
    /// How the target follows them, if it does.
    pub self_ballooning: Option<SelfBallooningSettings>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) reported: Flow,
    pub(crate) discarded: Flow,
    pub(crate) failed_discards: u64,
    pub(crate) hinting: Hinting,
    pub(crate) statistics: Option<Statistics>,
    /// What was in the balloon when the latest statistics came, unless they have been acted on.
    pub(crate) fresh_actual_pages: Option<u32>,
    /// All memory of the guest.
    pub(crate) memory_pages: u32,
    /// The guest gets back what it is about to use, because it has come to need it.
    pub(crate) is_giving: bool,
    /// What sets the target, if the guest's own statistics do.
    pub(crate) policy: Option<SelfBallooning>,
    /// Somebody wants newer statistics than these.
    pub(crate) are_statistics_wanted: bool,
    /// While the device runs.
    pub(crate) running: Option<Running>,
}

/// How to reach a device that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) features: u64,
    pub(crate) signals: DeviceSignals,
}

impl Shared {
    /// Wants so many pages in the balloon. What the guest takes out for it, it may never use.
    fn set_target(&mut self, pages: u32) {
        self.config.target_pages = pages;
        self.is_giving = false;
        self.config_changed();
    }

    /// Tells the driver, if the device runs, that its configuration is another.
    pub(crate) fn config_changed(&self) {
        if let Some(running) = &self.running {
            running.signals.config_changed();
        }
    }
}

impl BalloonHandle {
    /// Asks the guest to have `pages` of 4 KiB in the balloon. It complies as fast as it can and
    /// wants to; see [`BalloonStatus::actual_pages`].
    pub fn set_target(&self, pages: u32) {
        self.lock().set_target(pages);
    }

    /// Asks the guest for new statistics. They arrive some time later, if it is willing; a request
    /// made before a driver is there is kept for it.
    pub fn request_statistics(&self) {
        let mut shared = self.lock();
        shared.are_statistics_wanted = true;
        if let Some(Running { features, signals }) = &shared.running
            && let Some(queue) = Role::Statistics.index(*features)
        {
            signals.kick(queue);
        }
    }

    /// Lets the target follow the guest's statistics, or leaves it where it is.
    pub fn set_self_ballooning(&self, settings: Option<SelfBallooningSettings>) {
        self.lock().policy = settings.map(SelfBallooning::new);
    }

    /// Acts on statistics that came since the last call, and asks for newer ones. To be called as
    /// often as [`SelfBallooningSettings::poll_ms`] says.
    pub fn poll(&self) -> Option<Change> {
        let mut shared = self.lock();
        let Shared {
            config,
            statistics,
            fresh_actual_pages,
            memory_pages,
            policy,
            ..
        } = &mut *shared;
        let policy = policy.as_mut()?;
        let change = match (&*statistics, fresh_actual_pages.take()) {
            (Some(statistics), Some(actual_pages)) => policy.poll(Observation {
                statistics,
                target_pages: config.target_pages,
                actual_pages,
                memory_pages: *memory_pages,
            }),
            _ => None,
        };
        if let Some(change) = change {
            let before_pages = shared.config.target_pages;
            shared.set_target(change.target_pages);
            shared.is_giving = change.reason == Reason::Free && change.target_pages < before_pages;
        }
        drop(shared);
        self.request_statistics();
        change
    }

    /// Everything but the pages themselves.
    pub fn status(&self) -> BalloonStatus {
        let shared = self.lock();
        BalloonStatus {
            target_pages: shared.config.target_pages,
            actual_pages: shared.config.actual_pages,
            given_up_pages: shared.ledger.pages(),
            reported_bytes: shared.reported.total_bytes(),
            reported_bytes_per_s: shared.reported.bytes_per_s(),
            discarded_bytes: shared.discarded.total_bytes(),
            discarded_bytes_per_s: shared.discarded.bytes_per_s(),
            failed_discards: shared.failed_discards,
            statistics: shared.statistics,
            self_ballooning: shared.policy.map(|policy| policy.settings()),
        }
    }

    /// The pages in the balloon, as the guest named them. Their content does not matter, and the
    /// guest does not use them before it takes them out; a guest that does not promise this
    /// (VIRTIO_BALLOON_F_MUST_TELL_HOST) has none here.
    pub fn given_up(&self) -> Vec<PfnRange> {
        self.lock().ledger.ranges()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
