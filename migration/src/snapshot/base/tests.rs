//! What a difference says of its base, byte by byte, and what it must not say.

use tempfile::TempDir;

use super::*;
use crate::cancel::CancelToken;
use crate::digest::Digest;
use crate::layout::MemoryRegion;
use crate::offer::{Offer, PeerText};
use crate::page::{PAGE_BYTES, PageIndex, PageRange, Pfn, to_u64, to_usize};
use crate::snapshot::contents::Contents;
use crate::snapshot::directory::NewSnapshot;
use crate::snapshot::disk::EarlySync;
use crate::snapshot::file::MemoryFile;
use crate::snapshot::format::{HEADER_BYTES, Header, Part, encode};
use crate::snapshot::verify::digest_of;
use crate::snapshot::{MergeOptions, merge};

const PAGES: u64 = 70;

fn set(pages: &[u64]) -> PageBitmap {
    let mut set = PageBitmap::empty(PAGES);
    for page in pages {
        set.insert(PageIndex::new(*page));
    }
    set
}

#[test]
fn section_is_the_identity_and_a_bit_for_each_page() {
    let base = BasePages {
        identity: Identity(0x0102_0304_0506_0708),
        pages: set(&[0, 9, 69]),
    };
    let bytes = base.to_bytes();
    let expected = [
        8, 7, 6, 5, 4, 3, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(bytes[..16], expected[..16]);
    assert_eq!(bytes[16..], expected[16..]);
    assert_eq!(BasePages::section_bytes(PAGES), 24);
    assert_eq!(BasePages::read(&bytes, &set(&[1, 68])).unwrap(), base);
}

#[test]
fn section_cut_longer_or_with_a_page_that_does_not_exist_is_refused() {
    let identity = Identity(1);
    let bytes = BasePages {
        identity,
        pages: set(&[3]),
    }
    .to_bytes();
    let is_malformed = |bytes: &[u8]| {
        let read = BasePages::read(bytes, &set(&[]));
        matches!(read, Err(SnapshotError::Malformed { .. }))
    };
    assert!((0..bytes.len()).all(|length| is_malformed(&bytes[..length])));
    assert!(is_malformed(&[&bytes[..], &[0; 8]].concat()));
    let mut beyond = bytes;
    beyond[16] |= 0x40;
    assert!(is_malformed(&beyond));
}

#[test]
fn page_in_the_memory_file_and_of_the_base_is_refused() {
    let identity = Identity(1);
    let bytes = BasePages {
        identity,
        pages: set(&[3, 66]),
    }
    .to_bytes();
    let error = BasePages::read(&bytes, &set(&[2, 66])).unwrap_err();
    assert!(
        matches!(error, SnapshotError::PageTwice { page: 66 }),
        "{error}"
    );
}

#[test]
fn section_of_another_length_than_the_memory_asks_for_is_refused_before_it_is_read() {
    let place = TempDir::new().unwrap();
    let lie = BasePages {
        identity: Identity(1),
        pages: set(&[3]),
    };
    put(place.path(), &[(1, 5)], &[(3, 7)], Some(lie));
    let whole = std::fs::read(place.path().join("snapshot")).unwrap();
    let header = Header::decode(&whole, to_u64(whole.len())).unwrap();
    let table_end = to_usize(header.table_end());
    let (entries, _) = header.table(&whole[HEADER_BYTES..table_end]).unwrap();
    for length in [0, 1, 23, 25, 32, 1 << 20] {
        let sections: Vec<_> = entries
            .iter()
            .map(|entry| {
                let from = to_usize(entry.offset);
                let mut section = whole[from..from + to_usize(entry.bytes)].to_vec();
                if entry.kind == Kind::Base {
                    section.resize(length, 0);
                }
                (entry.kind, section)
            })
            .collect();
        std::fs::write(place.path().join("snapshot"), encode(&sections).0).unwrap();
        let error = open_any(place.path()).unwrap_err();
        let part = Part::Section(Kind::Base);
        assert!(
            matches!(
                error,
                SnapshotError::Truncated { part: found, .. } | SnapshotError::Length { part: found, .. }
                    if found == part
            ),
            "{length}: {error}"
        );
    }
}

/// A snapshot whose pages are filled with these bytes, and whose digests say so of pages elsewhere.
fn put(directory: &Path, pages: &[(u64, u8)], elsewhere: &[(u64, u8)], base: Option<BasePages>) {
    let new = NewSnapshot::begin(directory).unwrap();
    let content = |byte: u8| [byte; PAGE_BYTES];
    let sealed = std::thread::scope(|scope| {
        let early = EarlySync::start(scope, new.memory()).unwrap();
        let mut file = MemoryFile::new(&new, PAGES, early).unwrap();
        for &(page, byte) in pages {
            let run = PageRange::between(page, page + 1).unwrap();
            file.write(run, &content(byte)).unwrap();
        }
        for &(page, byte) in elsewhere {
            let page = PageIndex::new(page);
            file.note(page, Digest::of_page(page, &content(byte)));
        }
        file.finish().unwrap()
    });
    let first = Pfn::new(0);
    let contents = Contents {
        offer: Offer {
            name: PeerText::from("vm"),
            memory: MemoryLayout::new(vec![MemoryRegion {
                first,
                pages: PAGES,
            }])
            .unwrap(),
            vcpus: 1,
            machine: Vec::new(),
        },
        state: Vec::new(),
        memory: sealed.name,
        digest: digest_of(&sealed.chunks, &covered(&sealed.present, base.as_ref())),
        present: sealed.present,
        chunks: sealed.chunks,
        base,
    };
    new.commit(&contents.encode().unwrap().0).unwrap();
}

/// Merges a difference that has page 1, and says of page `of_base` of its base that it is filled with
/// `byte`; the base has page 2, filled with 7.
fn merge_lying(of_base: u64, byte: u8) -> Result<()> {
    let place = TempDir::new().unwrap();
    let [base, difference, directory] =
        ["base", "difference", "merged"].map(|name| place.path().join(name));
    put(&base, &[(2, 7)], &[], None);
    let lie = BasePages {
        identity: Snapshot::open(&base).unwrap().identity(),
        pages: set(&[of_base]),
    };
    put(&difference, &[(1, 5)], &[(of_base, byte)], Some(lie));
    let options = MergeOptions {
        difference,
        base,
        directory,
    };
    let merged = merge(&options, &|_| {}, &CancelToken::new().unwrap());
    assert_eq!(merged.is_ok(), options.directory.exists());
    merged.map(drop)
}

#[test]
fn difference_that_means_another_page_than_its_base_has_is_refused() {
    merge_lying(2, 7).unwrap();
    let error = merge_lying(2, 8).unwrap_err();
    assert!(
        matches!(error, SnapshotError::BasePage { page: 2 }),
        "{error}"
    );
    let error = merge_lying(3, 7).unwrap_err();
    let SnapshotError::Unfit { source, .. } = error else {
        panic!("{error}");
    };
    assert!(
        matches!(*source, SnapshotError::BasePage { page: 3 }),
        "{source}"
    );
}
