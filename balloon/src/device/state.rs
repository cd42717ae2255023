//! What is saved of a balloon.

use serde::{Deserialize, Serialize};

use super::Balloon;
use crate::config::Config;
use crate::control::Shared;
use crate::flow::Flow;
use crate::hinting::Hinting;
use crate::ledger::{Ledger, LedgerState};
use crate::requests::is_in_memory;
use crate::{BalloonError, SelfBallooning, Statistics};

/// A balloon without its queues.
///
/// Plain and untrusted: a balloon checks it against the memory of its guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalloonState {
    /// What the host wants in the balloon.
    pub target_pages: u32,
    /// What the driver says is in it.
    pub actual_pages: u32,
    /// What the guest fills free pages with.
    pub poison_value: u32,
    /// The pages in the balloon.
    pub ledger: LedgerState,
    /// The latest statistics.
    pub statistics: Option<Statistics>,
    /// What sets the target, if the statistics do.
    pub self_ballooning: Option<SelfBallooning>,
    /// Newer ones were asked for and have not come.
    pub are_statistics_wanted: bool,
    /// How much was reported free.
    pub reported_bytes: u64,
    /// How much went back to a host.
    pub discarded_bytes: u64,
    /// How often a host refused.
    pub failed_discards: u64,
    /// What the driver reads of hinting.
    pub hint_command: u32,
    /// The id of the latest hinting.
    pub last_hint_id: u32,
}

impl Balloon {
    pub(super) fn save_state(&self) -> BalloonState {
        let Self {
            memory: _,
            reclaim: _,
            offered: _,
            shared,
            activation: _,
            statistics_buffer: _,
            misbehaviour: _,
        } = self;
        let Shared {
            config:
                Config {
                    target_pages,
                    actual_pages,
                    poison_value,
                },
            ledger,
            reported,
            discarded,
            failed_discards,
            hinting,
            statistics,
            fresh_actual_pages: _, // come again
            memory_pages: _,
            is_giving: _, // until the next target
            policy,
            are_statistics_wanted,
            running: _,
        } = &*shared.lock();
        BalloonState {
            target_pages: *target_pages,
            actual_pages: *actual_pages,
            poison_value: *poison_value,
            ledger: ledger.save(),
            statistics: *statistics,
            self_ballooning: *policy,
            are_statistics_wanted: *are_statistics_wanted,
            reported_bytes: reported.total_bytes(),
            discarded_bytes: discarded.total_bytes(),
            failed_discards: *failed_discards,
            hint_command: hinting.command(),
            last_hint_id: hinting.last_id(),
        }
    }

    pub(super) fn restore_state(&mut self, state: BalloonState) -> Result<(), BalloonError> {
        let BalloonState {
            target_pages,
            actual_pages,
            poison_value,
            ledger,
            statistics,
            self_ballooning,
            are_statistics_wanted,
            reported_bytes,
            discarded_bytes,
            failed_discards,
            hint_command,
            last_hint_id,
        } = state;
        if let Some(policy) = self_ballooning
            && !policy.settings().is_valid()
        {
            return Err(BalloonError::Settings {
                settings: policy.settings(),
            });
        }
        let ledger = Ledger::restore(ledger);
        let outside = ledger
            .ranges()
            .into_iter()
            .find(|range| !is_in_memory(range, &self.memory));
        if let Some(range) = outside {
            return Err(BalloonError::OutsideMemory { range });
        }
        let mut shared = self.shared.lock();
        *shared = Shared {
            config: Config {
                target_pages,
                actual_pages,
                poison_value,
            },
            ledger,
            reported: Flow::after(reported_bytes),
            discarded: Flow::after(discarded_bytes),
            failed_discards,
            hinting: Hinting::restored(hint_command, last_hint_id),
            statistics,
            fresh_actual_pages: None,
            memory_pages: shared.memory_pages,
            is_giving: false,
            policy: self_ballooning,
            are_statistics_wanted,
            running: None,
        };
        Ok(())
    }
}
