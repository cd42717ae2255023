//! Every page exactly once, whatever faults come.

use proptest::prelude::*;

use super::*;

/// One thing that happens to an order.
#[derive(Clone, Debug)]
enum Step {
    Demand(u64),
    Run(u64),
    Withhold(u64, u64),
}

fn step(pages: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..pages + 2).prop_map(Step::Demand),
        (1u64..70).prop_map(Step::Run),
        (0..pages, 1..pages).prop_map(|(first, length)| Step::Withhold(first, length)),
    ]
}

proptest! {
    #[test]
    fn every_page_is_handed_out_exactly_once_whatever_comes(
        (pages, steps) in (2u64..400).prop_flat_map(|pages| {
            (Just(pages), prop::collection::vec(step(pages), 0..60))
        })
    ) {
        let mut order = SendOrder::new(pages);
        let mut times = vec![0; usize::try_from(pages).unwrap()];
        let mut count = |run: PageRange| {
            for page in run.iter() {
                times[page.subscript()] += 1;
            }
        };
        for step in steps {
            match step {
                Step::Demand(page) if order.demand(PageIndex::new(page)) => {
                    count(PageRange::between(page, page + 1).unwrap());
                }
                Step::Demand(_) => {}
                Step::Run(max_pages) => {
                    if let Some(run) = order.next_run(max_pages) {
                        prop_assert!(run.pages() <= max_pages);
                        count(run);
                    }
                }
                Step::Withhold(first, length) => {
                    let range = PageRange::between(first, (first + length).min(pages)).unwrap();
                    while let Some(run) = order.next_within(range) {
                        prop_assert!(run.first() >= range.first() && run.end() <= range.end());
                        count(run);
                    }
                }
            }
        }
        while let Some(run) = order.next_run(64) {
            count(run);
        }
        prop_assert!(times.iter().all(|&times| times == 1));
    }
}

#[test]
fn next_run_without_faults_is_linear() {
    let mut order = SendOrder::new(10);
    assert_eq!(order.next_run(4), PageRange::between(0, 4));
    assert!(order.demand(PageIndex::new(5)));
    assert!(!order.demand(PageIndex::new(5)));
    assert_eq!(order.next_run(4), PageRange::between(4, 5));
    assert_eq!(order.next_run(100), PageRange::between(6, 10));
    assert_eq!(order.next_run(4), None);
}
