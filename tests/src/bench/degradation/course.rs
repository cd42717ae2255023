//! One move on one time axis: what the guest does, what goes over the wire, what a client gets.

use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::guest::{boot, counters};
use super::watch::{Moment, Watched};
use super::{Application, CARD_MBIT, LINK_MBIT, PATIENCE};
use crate::bench::BenchError;
use crate::bench::column::Column;
use crate::bench::ground::Ground;
use crate::bench::noise::Watch;
use crate::count::to_f64;

/// The VM that moves, in MiB, as the paper's.
const MEMORY_MIB: u32 = 512;

/// What is shown before the move and after it.
const AROUND: Duration = Duration::from_secs(2);

/// Over so many moments each rate is taken: as long as the guest takes to say something twice.
const SPAN: usize = 4;

/// What a span of time was like, in percent of what it might have been.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Since the move began, in s.
    pub at_s: f64,
    /// What the guest did, of what it did before.
    pub guest_percent: f64,
    /// What went over the wire of its first place, of what that carries.
    pub wire_percent: f64,
    /// What the client got, of what the guest's card may send; `None` for a guest that sends nothing.
    pub client_percent: Option<f64>,
}

/// Moves a VM with that application once, as `column` says, and tells all of it.
///
/// # Errors
/// It does not arrive.
pub fn measure(
    ground: &Ground,
    application: Application,
    column: &Column,
) -> Result<Value, BenchError> {
    let noise = Watch::begin()?;
    let vm = boot(ground, application, MEMORY_MIB)?;
    let watched = Watched::new(vm.skiff.output().clone());
    let counters = counters(ground);
    let (moments, moved) = thread::scope(|scope| {
        let watch = scope.spawn(|| watched.moments(&counters));
        thread::sleep(AROUND);
        let moved = ground.move_on(vm, 0, &column.options, PATIENCE, |arriving| {
            watched.add(arriving.skiff.output().clone());
            watched.begin();
        });
        thread::sleep(AROUND);
        watched.end();
        let moments = watch
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (moments, moved)
    });
    let (points, (_vm, report)) = (points(application, &moments?), moved?);
    let mut course = json!({
        "application": application.to_string(),
        "column": column.name,
        "memory_mib": MEMORY_MIB,
        "points": points,
        "noise": noise.end()?,
    });
    for key in ["preparation_ms", "downtime_ms", "resume_ms", "total_ms"] {
        course[key] = report[key].clone();
    }
    course["transferred_pages"] = report["pages"]["transferred"].clone();
    course["network_faults"] = report["faults"]["network"].clone();
    Ok(course)
}

/// Rates of what was counted, each over a few moments.
fn points(application: Application, moments: &[Moment]) -> Vec<Point> {
    let per_s = |from: &Moment, until: &Moment, count: fn(&Moment) -> u64| {
        to_f64(count(until).saturating_sub(count(from))) / (until.at_s - from.at_s)
    };
    let mut before = moments.iter().filter(|moment| moment.at_s <= 0.0);
    let usual = before.next().zip(before.next_back());
    let usual = usual.map_or(0.0, |(first, last)| {
        per_s(first, last, |moment| moment.pages)
    });
    let mbit = |bytes_per_s: f64, of: u32| bytes_per_s * 8.0 / 1e6 / f64::from(of) * 100.0;
    let spans = moments.windows(SPAN + 1).step_by(SPAN / 2);
    let spans = spans.filter_map(|span| span.first().zip(span.last()));
    spans
        .map(|(from, until)| {
            let wire = per_s(from, until, |moment| moment.wire_bytes);
            let client = per_s(from, until, |moment| moment.client_bytes);
            Point {
                at_s: f64::midpoint(from.at_s, until.at_s),
                guest_percent: per_s(from, until, |moment| moment.pages) / usual * 100.0,
                wire_percent: mbit(wire, LINK_MBIT),
                client_percent: (application == Application::Sender)
                    .then(|| mbit(client, CARD_MBIT)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_in_percent_of_what_they_might_be() {
        // A tenth of a second each; the guest stands still from the move on.
        let moments: Vec<_> = (0..9_u64)
            .map(|number| Moment {
                at_s: (to_f64(number) - 4.0) / 10.0,
                wire_bytes: number * 12_500_000 / 2,
                client_bytes: number * 6_250_000,
                pages: number.min(4) * 1000,
            })
            .collect();
        let points = points(Application::Sender, &moments);
        let round = |number: f64| number.round();
        let guest: Vec<_> = points
            .iter()
            .map(|point| round(point.guest_percent))
            .collect();
        assert_eq!(guest, [100.0, 50.0, 0.0]);
        assert!(points.iter().all(|point| round(point.wire_percent) == 50.0));
        let client = points.iter().map(|point| point.client_percent.map(round));
        assert!(client.into_iter().all(|percent| percent == Some(100.0)));
        let silent = super::points(Application::Build, &moments);
        assert_eq!(silent[0].client_percent, None);
        assert!(super::points(Application::Build, &moments[..3]).is_empty());
    }
}
