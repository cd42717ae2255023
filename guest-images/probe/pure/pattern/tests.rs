//! Tests of the page content.

use super::{Page, Stamp, WORDS, WrongWord, digest};

const STAMP: Stamp = Stamp {
    gpa: 0x40_0000,
    generation: 3,
    seed: 1,
    link: 0,
};

fn filled(stamp: Stamp) -> Page {
    let mut page = [0; WORDS];
    stamp.fill(&mut page);
    page
}

#[test]
fn check_of_a_filled_page_finds_nothing() {
    assert_eq!(STAMP.check(&filled(STAMP)), Ok(()));
    let linked = Stamp { link: 77, ..STAMP };
    assert_eq!(linked.check(&filled(linked)), Ok(()));
}

#[test]
fn check_with_any_other_stamp_fails_at_the_first_word() {
    let page = filled(STAMP);
    for other in [
        Stamp {
            gpa: 0x40_1000,
            ..STAMP
        },
        Stamp {
            generation: 4,
            ..STAMP
        },
        Stamp { seed: 2, ..STAMP },
        Stamp { link: 1, ..STAMP },
    ] {
        assert_eq!(other.check(&page).unwrap_err().index, 0, "{other:?}");
    }
}

#[test]
fn check_each_flipped_bit_is_found_where_it_is() {
    let good = filled(STAMP);
    for index in 0..WORDS {
        let mut page = good;
        page[index] ^= 1 << (index % 64);
        let wrong = WrongWord {
            index,
            expected: good[index],
            found: page[index],
        };
        assert_eq!(STAMP.check(&page), Err(wrong));
    }
}

#[test]
fn link_in_a_filled_page_is_the_link() {
    let linked = Stamp {
        link: 123_456,
        ..STAMP
    };
    assert_eq!(STAMP.link_in(&filled(linked)), 123_456);
    assert_eq!(linked.link_in(&filled(linked)), 123_456);
}

#[test]
fn fill_has_no_zero_word_and_no_word_twice() {
    let mut words = filled(STAMP);
    words.sort_unstable();
    assert_ne!(words[0], 0);
    assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn fill_bits_are_balanced() {
    let ones: u32 = filled(STAMP).iter().map(|word| word.count_ones()).sum();
    assert!(
        (15_900..16_900).contains(&ones),
        "{ones} of 32768 bits are set"
    );
}

#[test]
fn digest_depends_on_place_and_on_every_word() {
    let page = filled(STAMP);
    let whole = digest(STAMP.gpa, &page);
    assert_ne!(whole, digest(STAMP.gpa + 4096, &page));
    for index in [0, 1, 8, 511] {
        let mut other = page;
        other[index] ^= 1;
        assert_ne!(whole, digest(STAMP.gpa, &other));
    }
}
