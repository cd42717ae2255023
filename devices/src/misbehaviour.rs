//! Counting and reporting what guests do wrong, without letting them fill the log.

use std::fmt;

/// How often one device was misused.
///
/// The log gets a line at the first, second, fourth, eighth ... offence: at most 64 lines in the
/// life of a device, whatever the guest does. Nothing the guest can do resets the count.
#[derive(Debug, Default)]
pub struct Misbehaviour {
    count: u64,
}

impl Misbehaviour {
    /// Counts one offence of `subject` (the device) and perhaps logs `what` the guest did.
    pub fn note(&mut self, subject: &dyn fmt::Display, what: &dyn fmt::Display) {
        self.count = self.count.saturating_add(1);
        if self.count.is_power_of_two() {
            log::warn!("{subject}: {what} (misbehaviour number {})", self.count);
        }
    }

    /// The offences so far.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misbehaviour_noted_often_is_counted_each_time() {
        let mut misbehaviour = Misbehaviour::default();
        for _ in 0..1000 {
            misbehaviour.note(&"test", &"did it again");
        }
        assert_eq!(misbehaviour.count(), 1000);
    }
}
