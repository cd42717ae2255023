//! How long things took, many of them.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::Latency;

/// Longest latency that is told from longer ones, in ns.
const MAX_NS: u64 = 600 * 1_000_000_000;

/// Latencies, each known to one part in a hundred. Allocates nothing after it is made.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_NS, 2).expect("the bounds are valid"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(ns);
    }

    /// What they come to.
    pub(crate) fn summary(&self) -> Latency {
        let sum_ns = self
            .0
            .iter_recorded()
            .map(|step| u128::from(step.value_iterated_to()) * u128::from(step.count_at_value()))
            .sum::<u128>();
        let mean_ns = sum_ns.checked_div(u128::from(self.0.len())).unwrap_or(0);
        Latency {
            p50_ns: self.0.value_at_quantile(0.5),
            p90_ns: self.0.value_at_quantile(0.9),
            p99_ns: self.0.value_at_quantile(0.99),
            max_ns: self.0.max(),
            mean_ns: u64::try_from(mean_ns).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::LatencyUs;

    #[test]
    fn summary_of_recorded_values_has_their_quantiles_and_mean() {
        let mut latencies = Latencies::new();
        for ns in 1..=100 {
            latencies.record(Duration::from_nanos(ns));
        }
        let latency = latencies.summary();
        assert_eq!(
            (latency.p50_ns, latency.p90_ns, latency.p99_ns),
            (50, 90, 99)
        );
        assert_eq!((latency.max_ns, latency.mean_ns), (100, 50));
        assert!((LatencyUs::from(latency).max - 0.1).abs() < 1e-9);
        assert_eq!(Latencies::new().summary(), Latency::default());
    }
}
