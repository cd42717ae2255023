//! Every page exactly once, whatever faults come and whatever the plan; and each plan's own order.

mod adaptive;
mod papers;

use proptest::prelude::*;

use super::*;

/// One thing that happens to an order.
#[derive(Clone, Debug)]
enum Step {
    Demand(u64),
    Run(u64),
    Withhold(u64, u64),
    /// The last run comes back.
    PutBack,
    Drain,
}

fn step(pages: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..pages + 2).prop_map(Step::Demand),
        4 => (1u64..70).prop_map(Step::Run),
        1 => (0..pages, 1..pages).prop_map(|(first, length)| Step::Withhold(first, length)),
        1 => Just(Step::PutBack),
        1 => Just(Step::Drain),
    ]
}

fn plan() -> impl Strategy<Value = SendPlan> {
    let prepaging = prop::sample::select(Prepaging::ALL.as_slice());
    let order = prop::sample::select([Order::Physical, Order::Recency].as_slice());
    let growth = prop::sample::select([Growth::Adaptive, Growth::Fixed].as_slice());
    (prepaging, 1..9u16, growth, order).prop_map(|(prepaging, pivots, growth, order)| SendPlan {
        prepaging,
        pivots: Pivots::new(pivots).ok(),
        growth,
        order,
    })
}

fn set(members: &[bool]) -> PageBitmap {
    let mut set = PageBitmap::empty(u64::try_from(members.len()).unwrap());
    for (page, _) in (0..).zip(members).filter(|&(_, &member)| member) {
        set.insert(PageIndex::new(page));
    }
    set
}

fn recency(rounds: &[Vec<bool>]) -> Recency {
    let mut recency = Recency::new();
    for round in rounds {
        recency.add_round(set(round));
    }
    recency
}

fn order(pages: u64, plan: SendPlan) -> SendOrder {
    SendOrder::new(PageBitmap::full(pages), plan, None)
}

/// The next runs as (first page, pages).
fn runs(order: &mut SendOrder, count: usize, max_pages: u64) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| order.next_run(RunLimits::same(max_pages)))
        .take(count)
        .map(|run| (run.first().get(), run.pages()))
        .collect()
}

/// Which pages are out.
struct Out<'a> {
    unsent: &'a [bool],
    out: Vec<bool>,
}

impl Out<'_> {
    fn take(&mut self, run: PageRange) -> Result<(), TestCaseError> {
        for page in run.iter() {
            let n = page.subscript();
            prop_assert!(self.unsent[n] && !self.out[n], "page {} once more", n);
            self.out[n] = true;
        }
        Ok(())
    }

    fn give_back(&mut self, run: PageRange) {
        run.iter()
            .for_each(|page| self.out[page.subscript()] = false);
    }
}

/// Checks that each page of `unsent` is out exactly once, but for what was put back.
fn check_exactly_once(
    unsent: &[bool],
    order: &mut SendOrder,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let pages = u64::try_from(unsent.len()).unwrap();
    let (mut out, mut last) = (
        Out {
            unsent,
            out: vec![false; unsent.len()],
        },
        None,
    );
    for step in steps {
        match *step {
            Step::Demand(page) if order.demand(PageIndex::new(page)) => {
                out.take(PageRange::between(page, page + 1).unwrap())?;
            }
            Step::Demand(_) => {}
            Step::Run(max_pages) => {
                last = order.next_run(RunLimits {
                    promised_pages: max_pages,
                    ..RunLimits::same(max_pages)
                });
                if let Some(run) = last {
                    prop_assert!(run.pages() <= max_pages);
                    out.take(run)?;
                }
            }
            Step::Withhold(first, length) => {
                let range = PageRange::between(first, (first + length).min(pages)).unwrap();
                while let Some(run) = order.next_within(range) {
                    prop_assert!(run.first() >= range.first() && run.end() <= range.end());
                    out.take(run)?;
                }
            }
            Step::PutBack => {
                if let Some(run) = last.take() {
                    order.put_back(run);
                    out.give_back(run);
                }
            }
            Step::Drain => order.drain(),
        }
    }
    order.drain();
    while let Some(run) = order.next_run(RunLimits::same(64)) {
        out.take(run)?;
    }
    prop_assert_eq!(out.out, unsent);
    prop_assert!(!order.holds_back());
    Ok(())
}

proptest! {
    #[test]
    fn every_page_is_handed_out_exactly_once_whatever_comes(
        (unsent, rounds, steps) in (2u64..400).prop_flat_map(|pages| {
            let members = || prop::collection::vec(any::<bool>(), usize::try_from(pages).unwrap());
            (
                prop_oneof![members(), members().prop_map(|all| vec![true; all.len()])],
                prop::collection::vec(members(), 0..3),
                prop::collection::vec(step(pages), 0..80),
            )
        }),
        plan in plan(),
    ) {
        let mut order = SendOrder::new(set(&unsent), plan, Some(&recency(&rounds)));
        check_exactly_once(&unsent, &mut order, &steps)?;
    }
}

#[test]
fn push_without_faults_is_linear() {
    let mut order = order(10, SendPlan::LINEAR);
    assert_eq!(order.next_run(RunLimits::same(4)), PageRange::between(0, 4));
    assert!(order.demand(PageIndex::new(5)));
    assert!(!order.demand(PageIndex::new(5)));
    assert_eq!(order.next_run(RunLimits::same(4)), PageRange::between(4, 5));
    assert_eq!(
        order.next_run(RunLimits::same(100)),
        PageRange::between(6, 10)
    );
    assert_eq!(order.next_run(RunLimits::same(4)), None);
}

#[test]
fn put_back_pages_are_handed_out_again() {
    let mut order = order(10, SendPlan::LINEAR);
    assert_eq!(runs(&mut order, 9, 4), [(0, 4), (4, 4), (8, 2)]);
    order.put_back(PageRange::between(2, 5).unwrap());
    assert_eq!(runs(&mut order, 9, 64), [(2, 3)]);
}
