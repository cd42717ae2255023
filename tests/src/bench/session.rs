//! The order of the runs: all cells and columns take turns, round after round.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use super::cell::{Cell, LinkKind, Pace};
use super::column::Column;
use super::floors::{self, Floors};
use super::link::{self, Link};
use super::matrix::Extent;
use super::noise::Watch;
use super::results::{LinkFloors, Results, Skipped};
use super::run::{Interrupt, Mover, ReceiverOptions, refusal};
use super::{BenchError, Summary, verdict};

/// Failures of one cell and column after which it is not tried again.
const MOST_FAILURES: usize = 2;

/// How often a busy machine is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is to be measured.
#[derive(Debug)]
pub struct Plan {
    /// The VMs.
    pub cells: Vec<Cell>,
    /// How much is measured of what is not named.
    pub extent: Extent,
    /// The ways to move them; none means those that are usual for each cell's suite.
    pub columns: Vec<Column>,
    /// Runs of each cell and column that have the machine to themselves.
    pub runs: usize,
    /// How many rounds of as many runs are made at most, because others disturb some.
    pub tries: usize,
    /// How long a run may be put off until the machine is quiet.
    pub patience: Duration,
}

/// Measures all of it; tells on standard error how far it is. Ends early, with what there is, when
/// it is interrupted.
///
/// # Errors
/// There is no skiff, or the floors cannot be measured. A run that fails is part of the results.
pub fn measure(plan: &Plan, interrupt: &Interrupt) -> Result<Results, BenchError> {
    let mut results = Results::default();
    let mut known = KnownColumns::default();
    link::sweep();
    let links = links(plan, &mut results);
    let receiver = ReceiverOptions::ask()?;
    for cell in &plan.cells {
        if links.contains_key(&cell.link) {
            for column in plan.columns_of(cell) {
                if known.has(&column, &mut results)? {
                    results.summaries.push(Summary::new(*cell, column));
                }
            }
        }
    }
    let mut floors = HashMap::new();
    let mut course = Course {
        plan,
        links: &links,
        receiver: &receiver,
        interrupt,
    };
    let outcome = (0..plan.runs * plan.tries)
        .try_for_each(|round| course.round(round, &mut results, &mut floors));
    results.floors = links_in_order(plan)
        .filter_map(|kind| LinkFloors::new(kind, floors.remove(&kind)?))
        .collect();
    results.verdicts = verdict::all(&results.summaries, &results.floors);
    match outcome {
        Ok(()) => Ok(results),
        Err(BenchError::Interrupted) => {
            results.interrupted = true;
            Ok(results)
        }
        Err(error) => Err(error),
    }
}

impl Plan {
    fn columns_of(&self, cell: &Cell) -> Vec<Column> {
        if self.columns.is_empty() {
            let mut columns = Column::usual(cell.suite, self.extent);
            // Demand paging takes as long as the guest takes to touch all it has.
            columns.retain(|column| {
                cell.pace == Pace::Full || column.option("--prepaging") != Some("none")
            });
            columns
        } else {
            self.columns.clone()
        }
    }
}

/// Whether this skiff knows a column, by its name.
#[derive(Debug, Default)]
struct KnownColumns(HashMap<String, bool>);

impl KnownColumns {
    /// Asks it about each column once, and notes its reason against one.
    fn has(&mut self, column: &Column, results: &mut Results) -> Result<bool, BenchError> {
        if let Some(&known) = self.0.get(&column.name) {
            return Ok(known);
        }
        let reason = refusal(column)?;
        let known = reason.is_none();
        if let Some(reason) = reason {
            let what = format!("column {column}");
            results.skipped.push(Skipped::new(what, reason));
        }
        self.0.insert(column.name.clone(), known);
        Ok(known)
    }
}

fn links_in_order(plan: &Plan) -> impl Iterator<Item = LinkKind> {
    let mut kinds = Vec::new();
    for cell in &plan.cells {
        if !kinds.contains(&cell.link) {
            kinds.push(cell.link);
        }
    }
    kinds.into_iter()
}

/// The links that can be made; the others are noted with the reason.
fn links(plan: &Plan, results: &mut Results) -> HashMap<LinkKind, Link> {
    let mut links = HashMap::new();
    for kind in links_in_order(plan) {
        let made = match kind {
            LinkKind::Loopback => Link::new(kind),
            LinkKind::Shaped { .. } => link::check_rig().and_then(|()| Link::new(kind)),
        };
        match made {
            Ok(link) => drop(links.insert(kind, link)),
            Err(error) => results
                .skipped
                .push(Skipped::new(format!("link {kind}"), error.to_string())),
        }
    }
    links
}

/// One benchmark under way.
struct Course<'a> {
    plan: &'a Plan,
    links: &'a HashMap<LinkKind, Link>,
    receiver: &'a ReceiverOptions,
    interrupt: &'a Interrupt,
}

impl Course<'_> {
    /// One run of each cell and column that needs one, and the floors beside them.
    fn round(
        &mut self,
        round: usize,
        results: &mut Results,
        floors: &mut HashMap<LinkKind, Vec<Floors>>,
    ) -> Result<(), BenchError> {
        let is_due = |summary: &Summary| {
            summary.failures.len() < MOST_FAILURES && is_due(round, self.plan.runs, summary.quiet())
        };
        let due = results.summaries.iter().filter(|one| is_due(one)).count();
        if due == 0 {
            return Ok(());
        }
        for (&kind, link) in self.links {
            self.quiet_moment()?;
            floors.entry(kind).or_default().push(floors::measure(link)?);
        }
        let count = results.summaries.len();
        let mut run = 0;
        for turn in 0..count {
            // Each round begins with another column, so that none always follows the same one.
            let index = turn_index(turn, round, count);
            let summary = &mut results.summaries[index];
            if is_due(summary) {
                run += 1;
                let place = format!("round {}, {run}/{due}", round + 1);
                self.one(summary, &place)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, summary: &mut Summary, place: &str) -> Result<(), BenchError> {
        let watch = self.quiet_moment()?;
        let mover = Mover {
            link: &self.links[&summary.cell.link],
            receiver: self.receiver,
            interrupt: self.interrupt,
        };
        let Summary { cell, column, .. } = summary;
        match mover.run(cell, column, watch) {
            Ok(sample) => {
                let noisy = if sample.is_quiet() { "" } else { ", noisy" };
                eprintln!("{place}: {cell} {column}: {:.0} ms{noisy}", sample.total_ms);
                summary.samples.push(sample);
                Ok(())
            }
            // A child that was interrupted as well fails before the signal is noticed here.
            Err(BenchError::Interrupted) => Err(BenchError::Interrupted),
            Err(error) => {
                self.interrupt.check()?;
                eprintln!("{place}: {cell} {column}: {error}");
                summary.failures.push(error.to_string());
                Ok(())
            }
        }
    }

    /// Waits until the machine is quiet, or patience is over.
    fn quiet_moment(&self) -> Result<Watch, BenchError> {
        let deadline = Instant::now() + self.plan.patience;
        loop {
            self.interrupt.check()?;
            let watch = Watch::begin()?;
            if watch.is_quiet() || Instant::now() >= deadline {
                return Ok(watch);
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Whether a cell and column of which so many runs were `quiet` is run once more. Pure.
fn is_due(round: usize, runs: usize, quiet: usize) -> bool {
    round < runs || quiet < runs
}

fn turn_index(turn: usize, round: usize, count: usize) -> usize {
    (turn + round) % count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_that_was_disturbed_is_made_up_for() {
        assert!(is_due(0, 3, 0) && is_due(2, 3, 2));
        assert!(is_due(3, 3, 2) && !is_due(3, 3, 3));
    }

    #[test]
    fn every_round_runs_each_once_and_begins_with_another() {
        for round in 0..5 {
            let mut order: Vec<_> = (0..3).map(|turn| turn_index(turn, round, 3)).collect();
            assert_eq!(order[0], round % 3);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2]);
        }
    }
}
