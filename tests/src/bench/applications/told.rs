//! What clients say of what they got.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::count::to_f64;

/// What a client got in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Served {
    /// So much a second.
    pub per_s: f64,
    /// The longest that it waited for an answer, or for data of which there should always be some; `None`
    /// where nobody says.
    pub longest_ms: Option<f64>,
}

impl Served {
    /// So many in `span`.
    pub(super) fn counted(count: u64, span: Duration) -> Self {
        Self {
            per_s: to_f64(count) / span.as_secs_f64(),
            longest_ms: None,
        }
    }

    /// What wrk(1) says at its end.
    pub(super) fn by_wrk(text: &str) -> Option<Self> {
        let words_after = |head: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(head));
            line.map(|rest| rest.split_whitespace().collect::<Vec<_>>())
        };
        // Mean, standard deviation, longest.
        let latencies = words_after("Latency")?;
        Some(Self {
            per_s: words_after("Requests/sec:")?.first()?.parse().ok()?,
            longest_ms: Some(milliseconds(latencies.get(2)?)?),
        })
    }

    /// What redis-benchmark says with `--csv`, of one test.
    pub(super) fn by_redis(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let heads = lines.find(|line| line.starts_with("\"test\""))?;
        let row: Vec<_> = cells(lines.next()?).collect();
        let of = |head: &str| {
            let place = cells(heads).position(|one| one == head)?;
            row.get(place)?.parse().ok()
        };
        Some(Self {
            per_s: of("rps")?,
            longest_ms: Some(of("max_latency_ms")?),
        })
    }

    /// What iperf3(1) says with `--json`, in Mb; how long nothing came is as exact as its intervals are short.
    pub(super) fn by_iperf(json: &Value) -> Option<Self> {
        let intervals = json["intervals"].as_array()?;
        let (mut bytes, mut seconds, mut silent_s, mut longest_s) = (0.0, 0.0, 0.0, 0.0_f64);
        for interval in intervals {
            let sum = &interval["sum"];
            let (came, took_s) = (sum["bytes"].as_f64()?, sum["seconds"].as_f64()?);
            bytes += came;
            seconds += took_s;
            silent_s = if came > 0.0 { 0.0 } else { silent_s + took_s };
            longest_s = longest_s.max(silent_s);
        }
        (seconds > 0.0).then(|| Self {
            per_s: bytes * 8.0 / 1e6 / seconds,
            longest_ms: Some(longest_s * 1e3),
        })
    }
}

/// A time as wrk writes it.
fn milliseconds(word: &str) -> Option<f64> {
    let units = [
        ("us", 1e-3),
        ("ms", 1.0),
        ("m", 6e4),
        ("h", 3.6e6),
        ("s", 1e3),
    ];
    let (number, factor) = units
        .into_iter()
        .find_map(|(unit, factor)| Some((word.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

/// The cells of a line of CSV, each of which is quoted.
fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|cell| cell.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrk_tells_a_rate_and_its_longest_latency_in_any_unit() {
        let told = |longest: &str| {
            format!(
                "Running 2s test\n  1 threads and 4 connections\n  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    \
                 Latency     1.03ms    1.20ms  {longest}   88.00%\n    Req/Sec     1.03k    20.00  {longest}\n\
                 Requests/sec:   1029.50\nTransfer/sec:      1.02MB\n"
            )
        };
        for (longest, ms) in [
            ("950.00us", 0.95),
            ("12.50ms", 12.5),
            ("1.25s", 1250.0),
            ("1.50m", 9e4),
        ] {
            let served = Served::by_wrk(&told(longest)).unwrap();
            assert!((served.per_s - 1029.5).abs() < 1e-9);
            assert!((served.longest_ms.unwrap() - ms).abs() < 1e-9, "{longest}");
        }
        assert_eq!(Served::by_wrk("unable to connect"), None);
    }

    #[test]
    fn redis_benchmark_tells_by_the_heads_of_its_columns() {
        let told = "\"test\",\"rps\",\"avg_latency_ms\",\"max_latency_ms\"\n\"SET\",\"8500.5\",\"0.2\",\"31.25\"\n";
        let served = Served::by_redis(told).unwrap();
        assert!((served.per_s - 8500.5).abs() < 1e-9);
        assert_eq!(served.longest_ms, Some(31.25));
        assert_eq!(Served::by_redis("Could not connect"), None);
    }

    #[test]
    fn iperf_tells_how_long_nothing_came_across_intervals() {
        let interval = |bytes: u64| json!({ "sum": { "bytes": bytes, "seconds": 0.5 } });
        let intervals = [0, 500_000, 0, 0, 0, 500_000, 0].map(interval);
        let told = json!({ "intervals": intervals });
        let served = Served::by_iperf(&told).unwrap();
        assert!((served.per_s - 8.0 / 3.5).abs() < 1e-9);
        assert!((served.longest_ms.unwrap() - 1500.0).abs() < 1e-9);
        assert_eq!(Served::by_iperf(&json!({ "error": "refused" })), None);
        assert_eq!(Served::by_iperf(&json!({ "intervals": [] })), None);
    }
}
