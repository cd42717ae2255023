//! Tests of the order of reads.

use super::*;

fn options(words: &str) -> Options {
    Options::parse(words.as_bytes()).unwrap()
}

#[test]
fn sequential_reads_cover_the_disk_and_begin_again() {
    let options = options("workload=disk-seq block=8K");
    // Three blocks and a half.
    let mut reads = Reads::new(&options, 3 * 16 + 8).unwrap();
    assert_eq!((reads.per_pass(), reads.block_pages()), (3, 2));
    let pages = [(); 4].map(|()| reads.next().page);
    assert_eq!(pages, [0, 2, 4, 0]);
}

#[test]
fn random_reads_are_within_the_disk_and_the_same_for_the_same_seed() {
    let options = options("workload=disk-random seed=7");
    let mut reads = Reads::new(&options, 100 * 8).unwrap();
    let mut again = reads.clone();
    let drawn = [(); 1000].map(|()| reads.next().page);
    assert!(drawn.iter().all(|&page| page < 100));
    assert!((0..100).all(|page| drawn.contains(&page)));
    assert_eq!([(); 1000].map(|()| again.next().page), drawn);
}

#[test]
fn read_names_its_sector_and_what_each_page_begins_with() {
    let read = Read { page: 6 };
    assert_eq!(read.header(), [0, 48]);
    assert_eq!([0, 1].map(|place| read.first_word(place)), [6, 7]);
}

#[test]
fn disk_without_a_whole_block_and_other_workloads_have_no_reads() {
    assert!(Reads::new(&options("workload=disk-seq block=128K"), 255).is_none());
    assert!(Reads::new(&options("workload=random"), 1 << 20).is_none());
}
