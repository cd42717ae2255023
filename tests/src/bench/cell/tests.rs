//! Tests of the words for cells.

use std::fmt::{Debug, Display};

use super::*;

fn parses_what_it_displays<T>(word: &str, value: T)
where
    T: FromStr<Err = String> + Display + PartialEq + Debug,
{
    assert_eq!(word.parse::<T>().as_ref(), Ok(&value));
    assert_eq!(value.to_string(), word);
}

#[test]
fn words_parse_to_what_displays_as_them() {
    parses_what_it_displays("seq-write", Workload::SeqWrite);
    parses_what_it_displays("zipf", Workload::Zipf);
    parses_what_it_displays("quicksort:128", Workload::Quicksort { procs: 128 });
    parses_what_it_displays("full", Pace::Full);
    parses_what_it_displays("2000/s", Pace::PagesPerS(2000));
    parses_what_it_displays("loopback", LinkKind::Loopback);
    parses_what_it_displays("1G", LinkKind::GIGABIT);
    parses_what_it_displays("100M", LinkKind::Shaped { mbit_per_s: 100 });
}

#[test]
fn words_that_mean_nothing_are_refused() {
    for word in [
        "",
        "sequential",
        "quicksort",
        "quicksort:0",
        "quicksort:129",
    ] {
        assert!(word.parse::<Workload>().is_err(), "{word}");
    }
    for word in ["", "0", "fast", "-1"] {
        assert!(word.parse::<Pace>().is_err(), "{word}");
    }
    for word in ["", "0M", "1", "99999999G", "lo"] {
        assert!(word.parse::<LinkKind>().is_err(), "{word}");
    }
}

#[test]
fn command_line_speaks_the_language_of_the_probe() {
    let cell = Cell {
        suite: Suite::Moves,
        workload: Workload::Quicksort { procs: 8 },
        pace: Pace::PagesPerS(2000),
        link: LinkKind::Loopback,
        memory_mib: 1024,
        hot_mib: 256,
    };
    assert_eq!(
        cell.command_line(),
        "workload=quicksort procs=8 ws=256M rate=2000 seed=1"
    );
    assert_eq!(cell.filled_pages(), 65_536);
    assert_eq!(
        cell.to_string(),
        "moves quicksort:8 2000/s loopback 256/1024M"
    );
}
