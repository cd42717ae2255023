//! Tests of the walks over a few pages.

use super::super::options::{Options, Workload};
use super::super::pages::tests::VecPages;
use super::super::pages::{Corrupt, Pages, flip_byte};
use super::super::pattern::Page;
use super::{Part, Walk};

const WALKS: [Workload; 6] = [
    Workload::SeqRead,
    Workload::SeqWrite,
    Workload::Random,
    Workload::Zipf,
    Workload::Chase,
    Workload::GrowShrink,
];

const PART: Part = Part {
    first: 3,
    pages: 40,
};

fn options(workload: Workload) -> Options {
    Options::parse(format!("workload={}", workload.name()).as_bytes()).unwrap()
}

fn walk(workload: Workload) -> (Walk, VecPages) {
    let walk = Walk::new(&options(workload), PART);
    (walk.unwrap(), VecPages::new(50))
}

fn fill(walk: &mut Walk, pages: &mut VecPages) {
    while walk.is_filling() {
        walk.step(pages).unwrap();
    }
}

fn check_held(walk: &Walk, pages: &mut VecPages) -> Result<(), Corrupt> {
    (0..walk.held_pages()).try_for_each(|place| walk.check_at(place, pages).1)
}

#[test]
fn step_every_workload_makes_passes_without_an_error_and_inside_its_part() {
    for workload in WALKS {
        let (mut walk, mut pages) = walk(workload);
        for _ in 0..10 {
            (0..37).for_each(|_| walk.step(&mut pages).unwrap());
            check_held(&walk, &mut pages).unwrap();
        }
        assert!(walk.passes() >= 2, "{workload:?}: {} passes", walk.passes());
        for outside in [0, 1, 2, 43, 44, 49] {
            assert_eq!(pages.generation(outside), 0);
        }
    }
}

#[test]
fn step_sequential_pass_is_as_many_visits_as_pages() {
    let (mut walk, mut pages) = walk(Workload::SeqWrite);
    fill(&mut walk, &mut pages);
    assert_eq!((walk.passes(), walk.held_pages()), (0, 40));
    for _ in 0..40 {
        walk.step(&mut pages).unwrap();
    }
    assert_eq!(walk.passes(), 1);
    assert!((3..43).all(|index| pages.generation(index) == 2));
}

#[test]
fn step_chase_visits_every_page_in_each_pass() {
    let (mut walk, mut pages) = walk(Workload::Chase);
    fill(&mut walk, &mut pages);
    for index in PART.first..PART.first + PART.pages {
        let (mut walk, mut pages) = (walk.clone(), VecPages(pages.0.clone()));
        flip_byte(&mut pages, index * 4096 + 4095);
        let results: Vec<_> = (0..40).map(|_| walk.step(&mut pages)).collect();
        assert!(
            results.iter().any(Result::is_err),
            "page {index} was not visited"
        );
    }
}

#[test]
fn step_zipf_prefers_some_pages() {
    let (mut walk, mut pages) = walk(Workload::Zipf);
    for _ in 0..4000 {
        walk.step(&mut pages).unwrap();
    }
    let generations: Vec<_> = (3..43).map(|index| pages.generation(index)).collect();
    let (most, least) = (
        generations.iter().max().unwrap(),
        generations.iter().min().unwrap(),
    );
    assert!(*most > 10 * least, "{generations:?}");
}

#[test]
fn step_grow_shrink_uses_an_eighth_to_all() {
    let (mut walk, mut pages) = walk(Workload::GrowShrink);
    fill(&mut walk, &mut pages);
    let mut held = Vec::new();
    while walk.passes() < 2 {
        walk.step(&mut pages).unwrap();
        held.push(walk.held_pages());
    }
    assert_eq!(
        (held.iter().min(), held.iter().max()),
        (Some(&5), Some(&40))
    );
    assert!(walk.holds(3) && !walk.holds(42) && !walk.holds(2));
}

#[test]
fn step_grow_shrink_makes_as_many_revisits_as_are_wanted() {
    let options = Options {
        revisits: 9,
        ..options(Workload::GrowShrink)
    };
    let mut walk = Walk::new(&options, PART).unwrap();
    let mut pages = VecPages::new(50);
    fill(&mut walk, &mut pages);
    for held in 6..=40 {
        for _ in 0..10 {
            walk.step(&mut pages).unwrap();
            assert_eq!(walk.held_pages(), held);
        }
    }
}

#[test]
fn step_grow_shrink_takes_and_gives_back_as_many_pages_at_once_as_are_wanted() {
    let options = Options {
        revisits: 2,
        step_bytes: 5 * 4096,
        ..options(Workload::GrowShrink)
    };
    let mut walk = Walk::new(&options, PART).unwrap();
    let mut pages = VecPages::new(50);
    fill(&mut walk, &mut pages);
    let mut held = |visits| {
        (0..visits).for_each(|_| walk.step(&mut pages).unwrap());
        walk.held_pages()
    };
    assert_eq!([held(0), held(5), held(10), held(5)], [5, 10, 10, 15]);
    let turned = [held(10 + 4 * 15), held(10), held(5)];
    assert_eq!(turned, [35, 40, 40]);
}

/// Pages that lose their content when they are given back, and that may be used only when taken.
struct Lent {
    pages: VecPages,
    taken: Vec<bool>,
}

impl Lent {
    fn is_taken(&mut self, index: u64) -> &mut bool {
        &mut self.taken[usize::try_from(index).unwrap()]
    }
}

impl Pages for Lent {
    fn page(&mut self, index: u64) -> &mut Page {
        assert!(*self.is_taken(index), "page {index} is somebody else's");
        self.pages.page(index)
    }
    fn gpa(&self, index: u64) -> u64 {
        self.pages.gpa(index)
    }
    fn generation(&self, index: u64) -> u32 {
        self.pages.generation(index)
    }
    fn set_generation(&mut self, index: u64, generation: u32) {
        self.pages.set_generation(index, generation);
    }
    fn take(&mut self, index: u64) {
        assert!(!std::mem::replace(self.is_taken(index), true));
    }
    fn give_back(&mut self, index: u64) {
        assert!(std::mem::replace(self.is_taken(index), false));
        self.pages.page(index).fill(0);
    }
}

#[test]
fn step_grow_shrink_uses_only_pages_that_it_has_taken() {
    let (mut walk, pages) = walk(Workload::GrowShrink);
    let taken = vec![false; 50];
    let mut lent = Lent { pages, taken };
    while walk.passes() < 3 {
        walk.step(&mut lent).unwrap();
        let taken = lent.taken.iter().filter(|taken| **taken).count() as u64;
        assert_eq!(taken, walk.held_pages());
    }
}

#[test]
fn step_after_a_flipped_byte_reports_it_and_goes_on() {
    for workload in WALKS {
        let (mut walk, mut pages) = walk(workload);
        fill(&mut walk, &mut pages);
        assert!(walk.holds(3));
        flip_byte(&mut pages, 3 * 4096 + 17);
        check_held(&walk, &mut pages).unwrap_err();
        let errors = (0..400)
            .filter_map(|_| walk.step(&mut pages).err())
            .collect::<Vec<_>>();
        assert!(!errors.is_empty(), "{workload:?}");
        assert!(
            errors
                .iter()
                .all(|corrupt| corrupt.gpa == (1 << 20) + 3 * 4096 + 16)
        );
    }
}

#[test]
fn new_one_page_or_none_works() {
    for workload in WALKS {
        let options = options(workload);
        assert!(Walk::new(&options, Part { first: 0, pages: 0 }).is_none());
        let mut walk = Walk::new(&options, Part { first: 0, pages: 1 }).unwrap();
        let mut pages = VecPages::new(1);
        (0..20).for_each(|_| walk.step(&mut pages).unwrap());
        assert!(walk.passes() > 1);
    }
}

#[test]
fn share_all_shares_cover_the_part_without_overlap() {
    let part = Part {
        first: 7,
        pages: 10,
    };
    let shares: Vec<_> = (0..4).map(|share| part.share(share, 4)).collect();
    assert_eq!(
        shares.iter().map(|share| share.pages).collect::<Vec<_>>(),
        [3, 3, 2, 2]
    );
    for index in 0..20 {
        let holders = shares.iter().filter(|share| share.contains(index)).count();
        assert_eq!(holders, usize::from((7..17).contains(&index)));
    }
}
