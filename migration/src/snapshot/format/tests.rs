//! The header and the table, byte by byte.

use super::*;

/// A file of two sections: 3 bytes of state, none of pages.
fn file() -> Vec<u8> {
    encode(&[(Kind::State, vec![7, 8, 9]), (Kind::Pages, Vec::new())]).0
}

fn decode(file: &[u8]) -> Result<(Vec<Entry>, Identity)> {
    let header = Header::decode(file, to_u64(file.len()))?;
    let end = usize::try_from(header.table_end()).unwrap();
    header.table(&file[HEADER_BYTES..end.min(file.len())])
}

/// The file after a change, with a checksum that is right again.
fn sealed(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut file = file();
    change(&mut file);
    seal(&mut file[..HEADER_BYTES + 2 * ENTRY_BYTES]);
    file
}

#[test]
fn file_of_two_sections_has_these_bytes() {
    let file = file();
    let expected: [&[u8]; 6] = [
        b"SKIFFSNP",
        &[62, 0, 0, 0],
        &[1, 0, 1, 0],
        &[2, 0, 0, 0],
        &[0, 0, 0, 0],
        &[91, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(file[..CHECKSUM_AT], expected.concat());
    assert_eq!(file[40..48], [2, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(file[48..56], [3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(file[56..64], XxHash3_64::oneshot(&[7, 8, 9]).to_le_bytes());
    assert_eq!(file[64..72], [4, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(file[72..80], [0; 8]);
    // XXH3 of nothing, as its specification gives it.
    assert_eq!(file[80..88], 0x2d06_8005_38d3_94c2_u64.to_le_bytes());
    assert_eq!(file[88..], [7, 8, 9]);
    let (entries, identity) = decode(&file).unwrap();
    assert_eq!(identity.0, u64_at(&file, CHECKSUM_AT));
    let places: Vec<_> = entries
        .iter()
        .map(|e| (e.kind, e.offset, e.bytes))
        .collect();
    assert_eq!(places, [(Kind::State, 88, 3), (Kind::Pages, 91, 0)]);
    entries[0].check(&[7, 8, 9]).unwrap();
    assert!(entries[0].check(&[7, 8, 8]).is_err());
}

#[test]
fn header_or_table_with_any_bit_flipped_or_cut_anywhere_is_refused() {
    let file = file();
    for at in 0..88 {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let error = decode(&damaged).unwrap_err();
            let is_named = match at {
                0..8 => matches!(error, SnapshotError::Magic),
                8..12 => matches!(error, SnapshotError::Architecture { .. }),
                12..14 => matches!(error, SnapshotError::Version { .. }),
                14..16 | 40.. => matches!(error, SnapshotError::Checksum { .. }),
                16..40 => true,
            };
            assert!(is_named, "bit {bit} of byte {at}: {error}");
        }
    }
    for length in 0..file.len() {
        let error = decode(&file[..length]).unwrap_err();
        assert!(
            matches!(error, SnapshotError::Truncated { .. }),
            "{length}: {error}"
        );
    }
    let longer = [&file[..], &[0]].concat();
    assert!(matches!(decode(&longer), Err(SnapshotError::Length { .. })));
}

#[test]
fn section_of_unknown_kind_is_skipped_if_it_may_be() {
    let optional = sealed(|file| file[64..72].copy_from_slice(&[200, 0, 0, 0, 9, 0, 1, 0]));
    let (entries, _) = decode(&optional).unwrap();
    assert_eq!(entries.len(), 1);
    let needed = sealed(|file| file[64..72].copy_from_slice(&[200, 0, 0, 0, 9, 0, 0, 0]));
    let error = decode(&needed).unwrap_err();
    assert!(
        matches!(
            error,
            SnapshotError::UnknownSection {
                kind: 200,
                minor: 1
            }
        ),
        "{error}"
    );
}

#[test]
fn file_of_a_later_minor_version_is_read_and_of_another_version_of_a_section_is_not() {
    assert!(decode(&sealed(|file| file[14] = 7)).is_ok());
    let error = decode(&sealed(|file| file[68] = 2)).unwrap_err();
    assert!(
        matches!(error, SnapshotError::SectionVersion { found: 2, .. }),
        "{error}"
    );
}

#[test]
fn table_that_lies_about_lengths_or_repeats_a_section_is_refused() {
    let too_long = sealed(|file| file[72] = 1);
    let overflowing = sealed(|file| file[72..80].copy_from_slice(&[0xff; 8]));
    let too_short = sealed(|file| file[48] = 2);
    let odd_flags = sealed(|file| file[70] = 2);
    for file in [too_long, overflowing, too_short, odd_flags] {
        assert!(decode(&file).is_err());
    }
    let twice = sealed(|file| file[64] = 2);
    assert!(matches!(
        decode(&twice),
        Err(SnapshotError::SectionTwice { .. })
    ));
}
