//! Time: how fast the time-stamp counter runs, and sleep by the local APIC's timer.

use core::sync::atomic::Ordering;

use super::{local_apic, port, processor};

/// Frequencies that no processor exceeds either way; anything else is a misread value.
const PLAUSIBLE_TICKS_PER_S: core::ops::RangeInclusive<u64> = 50_000_000..=20_000_000_000;

/// The local APIC timer of KVM and of QEMU's emulation runs at this rate, if nothing else is known.
const USUAL_APIC_COUNTS_PER_S: u64 = 1_000_000_000;

/// Our choice: because the error is some microseconds however long the comparison takes.
const COMPARISONS_PER_S: u64 = 400;

/// The counter's frequency and the timer's, measured once.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Ticks of the time-stamp counter in a second.
    pub ticks_per_s: u64,
    /// Counts of the local APIC's timer in a tick, with 32 binary places.
    counts_per_tick: u64,
}

impl Clock {
    /// Finds the frequencies out, which may take some milliseconds. The local APIC has to be enabled.
    pub fn measure() -> Self {
        let ticks_per_s = announced_ticks_per_s().or_else(ticks_per_s_by_pit);
        let wait = ticks_per_s.unwrap_or(USUAL_APIC_COUNTS_PER_S) / COMPARISONS_PER_S;
        local_apic::start_timer(u32::MAX);
        // The counter is read before the timer both times, so that the time this takes cancels out.
        let (start, first_count) = (processor::ticks(), local_apic::timer_count());
        while processor::ticks().wrapping_sub(start) < wait {
            core::hint::spin_loop();
        }
        let ticks = processor::ticks().wrapping_sub(start);
        let counts = u64::from(first_count.wrapping_sub(local_apic::timer_count()));
        local_apic::start_timer(0);
        let ticks_by_apic = || ticks.saturating_mul(USUAL_APIC_COUNTS_PER_S) / counts.max(1);
        Self {
            ticks_per_s: ticks_per_s.unwrap_or_else(ticks_by_apic).max(1),
            counts_per_tick: (counts << 32) / ticks.max(1),
        }
    }

    /// Puts processor `number`, which this runs on, to sleep until about the time `until`.
    pub fn sleep_until(&self, number: usize, until: u64) {
        let fired = processor::timer_fired(number);
        fired.store(0, Ordering::Release);
        let Some(ticks) = until.checked_sub(processor::ticks()) else {
            return;
        };
        let counts = (u128::from(ticks) * u128::from(self.counts_per_tick)) >> 32;
        local_apic::start_timer(u32::try_from(counts).unwrap_or(u32::MAX).max(1));
        processor::halt(fired);
    }

    /// Ticks in `count` parts of which a second has `per_s`.
    pub fn ticks_of(&self, count: u64, per_s: u64) -> u64 {
        self.ticks_per_s * count / per_s
    }

    /// How many parts, of which a second has `per_s`, are in `ticks`.
    pub fn parts_in(&self, ticks: u64, per_s: u64) -> u64 {
        let (seconds, rest) = (ticks / self.ticks_per_s, ticks % self.ticks_per_s);
        seconds * per_s + rest * per_s / self.ticks_per_s
    }
}

/// The frequency as the monitor or the processor gives it.
fn announced_ticks_per_s() -> Option<u64> {
    // The timing leaf that VMware defined and others took over: kHz in eax.
    let by_monitor =
        || processor::identification(0x4000_0010).map(|(khz, ..)| u64::from(khz) * 1000);
    // Intel SDM vol. 2, CPUID leaf 15H: the crystal's frequency in ecx, times ebx / eax.
    let by_processor = || {
        let (denominator, numerator, crystal) = processor::identification(0x15)?;
        (u64::from(crystal) * u64::from(numerator)).checked_div(u64::from(denominator))
    };
    let plausible = |rate: &u64| PLAUSIBLE_TICKS_PER_S.contains(rate);
    by_monitor()
        .filter(plausible)
        .or_else(|| by_processor().filter(plausible))
}

/// Measures the frequency with channel 2 of the interval timer (Intel 8254; the gate and the output
/// are bits of port 0x61). What its count is tells the time at any moment, so that it does no harm if
/// a busy host keeps the processor from looking at it in between.
fn ticks_per_s_by_pit() -> Option<u64> {
    const INPUT_HZ: u64 = 1_193_182;
    /// A hundredth of a second, of the twentieth after which the count begins anew.
    const LEAST_COUNTS: u16 = 11_932;
    const GATE: u8 = 0x01;
    const SPEAKER: u8 = 0x02;
    const OUTPUT: u8 = 0x20;
    const CHANNEL_2_MODE_0: u8 = 0xb0;
    const MOST_TRIES: u32 = 10;
    const MOST_POLLS: u32 = 10_000;

    for _ in 0..MOST_TRIES {
        let control = port::read(0x61) & !SPEAKER | GATE;
        port::write(0x61, control);
        port::write(0x43, CHANNEL_2_MODE_0);
        port::write(0x42, 0xff);
        port::write(0x42, 0xff);
        // Where there is no such port, all bits are set.
        if port::read(0x61) & OUTPUT != 0 {
            return None;
        }
        let start = PitCount::read();
        let mut ends = (0..MOST_POLLS).map(|_| PitCount::read());
        let end = ends.find(|end| start.left.wrapping_sub(end.left) >= LEAST_COUNTS)?;
        // The output says that the count has begun anew.
        if port::read(0x61) & OUTPUT == 0 {
            let counts = u64::from(start.left.wrapping_sub(end.left));
            let rate = end.ticks.wrapping_sub(start.ticks).saturating_mul(INPUT_HZ) / counts;
            return PLAUSIBLE_TICKS_PER_S.contains(&rate).then_some(rate);
        }
    }
    None
}

/// What channel 2 of the interval timer had to count at some time.
#[derive(Clone, Copy, Debug)]
struct PitCount {
    ticks: u64,
    left: u16,
}

impl PitCount {
    /// Reads the count, again if that took so long that it is not clear when it was.
    fn read() -> Self {
        const LATCH_CHANNEL_2: u8 = 0x80;
        /// An exit of the slowest host we know takes half of it at 3 GHz.
        const SHORT_TICKS: u64 = 200_000;
        const MOST_TRIES: u32 = 10;

        let read = || {
            let ticks = processor::ticks();
            port::write(0x43, LATCH_CHANNEL_2);
            let took = processor::ticks().wrapping_sub(ticks);
            let left = u16::from_le_bytes([port::read(0x42), port::read(0x42)]);
            (took, Self { ticks, left })
        };
        let mut tries = (0..MOST_TRIES).map(|_| read());
        let (_, count) = tries
            .find(|(took, _)| *took < SHORT_TICKS)
            .unwrap_or_else(read);
        count
    }
}
