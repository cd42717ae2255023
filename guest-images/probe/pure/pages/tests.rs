//! Tests of a page visit, and the pages in a vector that other tests use too.

use super::{Action, Corrupt, Page, Pages, Visit, flip_byte, page_digest};

/// Pages in a vector, placed from 1 MiB up. Nobody else wants them: that some are given back changes
/// nothing.
#[derive(Debug)]
pub struct VecPages(pub Vec<(Page, u32)>);

impl VecPages {
    /// `count` pages of zeroes.
    pub fn new(count: usize) -> Self {
        Self(vec![([0; 512], 0); count])
    }

    fn place(&mut self, index: u64) -> &mut (Page, u32) {
        &mut self.0[usize::try_from(index).unwrap()]
    }
}

impl Pages for VecPages {
    fn page(&mut self, index: u64) -> &mut Page {
        &mut self.place(index).0
    }
    fn gpa(&self, index: u64) -> u64 {
        (1 << 20) + index * 4096
    }
    fn generation(&self, index: u64) -> u32 {
        self.0[usize::try_from(index).unwrap()].1
    }
    fn set_generation(&mut self, index: u64, generation: u32) {
        self.place(index).1 = generation;
    }
    fn take(&mut self, _index: u64) {}
    fn give_back(&mut self, _index: u64) {}
}

const FILL: Visit = Visit {
    index: 2,
    link: 5,
    action: Action::Fill,
};

#[test]
fn visit_fill_then_check_finds_the_link() {
    let mut pages = VecPages::new(3);
    FILL.make(&mut pages, 1).unwrap();
    assert_eq!(
        Visit {
            action: Action::Check,
            ..FILL
        }
        .make(&mut pages, 1),
        Ok(5)
    );
    assert_eq!(pages.generation(2), 1);
    assert_eq!((pages.generation(0), pages.0[0].0), (0, [0; 512]));
}

#[test]
fn visit_rewrite_changes_the_content_and_stays_correct() {
    let mut pages = VecPages::new(3);
    FILL.make(&mut pages, 1).unwrap();
    let before = page_digest(&mut pages, 2);
    let rewrite = Visit {
        action: Action::CheckAndRewrite,
        ..FILL
    };
    assert_eq!(rewrite.make(&mut pages, 1), Ok(5));
    assert_ne!(page_digest(&mut pages, 2), before);
    assert_eq!(rewrite.make(&mut pages, 1), Ok(5));
    assert_eq!(pages.generation(2), 3);
}

#[test]
fn visit_of_a_flipped_byte_reports_its_word() {
    let mut pages = VecPages::new(3);
    FILL.make(&mut pages, 1).unwrap();
    let good = pages.0[2].0[3];
    flip_byte(&mut pages, 2 * 4096 + 3 * 8 + 7);
    let check = Visit {
        action: Action::CheckAndRewrite,
        ..FILL
    };
    let found = good ^ 0xff00_0000_0000_0000;
    let gpa = (1 << 20) + 2 * 4096 + 24;
    assert_eq!(
        check.make(&mut pages, 1),
        Err(Corrupt {
            gpa,
            expected: good,
            found
        })
    );
    assert_eq!(check.make(&mut pages, 1), Ok(5));
}

#[test]
fn visit_of_a_page_whose_write_was_lost_fails() {
    let mut pages = VecPages::new(3);
    FILL.make(&mut pages, 1).unwrap();
    let old = pages.0[2].0;
    Visit {
        action: Action::CheckAndRewrite,
        ..FILL
    }
    .make(&mut pages, 1)
    .unwrap();
    pages.0[2].0 = old;
    assert!(
        Visit {
            action: Action::Check,
            ..FILL
        }
        .make(&mut pages, 1)
        .is_err()
    );
}
