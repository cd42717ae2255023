//! Whether the outer VM still runs: each of its CPUs says so every two seconds.
//!
//! QEMU 7.2 has been seen to come to a stand for good, with any number of CPUs and whatever ran
//! inside (see `qemu.rs`). What a program would have done then is unknown, so such a run says
//! nothing about it.

use std::time::{Duration, Instant};

/// When each CPU of the outer VM was last heard of.
#[derive(Debug)]
pub struct Heartbeat {
    last: Vec<Instant>,
    beats: Vec<usize>,
}

impl Heartbeat {
    /// All CPUs count as heard of at the start: booting takes less than any sensible patience.
    pub fn new(cpus: u32, start: Instant) -> Self {
        let cpus = cpus as usize;
        Self {
            last: vec![start; cpus],
            beats: vec![0; cpus],
        }
    }

    /// Takes all that the init said so far, `alive CPU` among other lines.
    pub fn hear(&mut self, report: &str, now: Instant) {
        let mut beats = vec![0; self.beats.len()];
        for line in report.lines() {
            let cpu = line.strip_prefix("alive ");
            let cpu = cpu.and_then(|cpu| cpu.parse::<usize>().ok());
            if let Some(count) = cpu.and_then(|cpu| beats.get_mut(cpu)) {
                *count += 1;
            }
        }
        for (cpu, &count) in beats.iter().enumerate() {
            if count > self.beats[cpu] {
                self.last[cpu] = now;
            }
        }
        self.beats = beats;
    }

    /// How long the CPU that was not heard of for longest has been silent.
    pub fn silence(&self, now: Instant) -> Duration {
        let silent = self.last.iter().map(|&last| now.duration_since(last));
        silent.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Heartbeat;
    use std::time::{Duration, Instant};

    #[test]
    fn one_silent_cpu_is_noticed_whatever_the_others_say() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(2, start);
        assert_eq!(heartbeat.silence(start + second), second);
        heartbeat.hear("started 4.25\nalive 0\nalive 1\n", start + second);
        assert_eq!(heartbeat.silence(start + second), Duration::ZERO);
        heartbeat.hear(
            "started 4.25\nalive 0\nalive 1\nalive 0\n",
            start + 3 * second,
        );
        assert_eq!(heartbeat.silence(start + 3 * second), 2 * second);
    }

    #[test]
    fn beats_of_cpus_that_do_not_exist_count_for_nothing() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(1, start);
        let later = start + Duration::from_secs(5);
        heartbeat.hear("alive 1\nalive x\nalive \nalive 0x0\n", later);
        assert_eq!(heartbeat.silence(later), Duration::from_secs(5));
    }
}
