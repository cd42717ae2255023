//! Tests of frames.

use super::*;

fn bytes_of(page: &Page) -> Vec<u8> {
    page.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn frame_that_is_written_is_a_datagram_with_right_lengths_and_checksum() {
    let mut page = [u64::MAX; 512];
    write(&mut page, 64);
    let bytes = bytes_of(&page);
    assert_eq!(bytes[..12], [0; 12]);
    let frame = &bytes[12..];
    assert_eq!(frame[..6], [0xff; 6]);
    assert_eq!(frame[12..14], [8, 0]);
    assert_eq!(frame[16..18], [0, 50]);
    assert_eq!(frame[38..40], [0, 30]);
    // With its checksum in place a header sums up to nothing.
    assert_eq!(checksum(&frame[14..34]), 0);
    assert_eq!(frame[30..34], [255; 4]);
    assert_eq!(frame[36..38], [0, 9]);
}

#[test]
fn frame_of_every_length_is_told_by_its_number_and_lies_within_its_buffer() {
    for frame_bytes in FRAME_BYTES {
        let mut page = [0; 512];
        write(&mut page, frame_bytes);
        set_number(&mut page, frame_bytes, u64::MAX - frame_bytes);
        assert_eq!(look(&page), Arrival::Whole(u64::MAX - frame_bytes));
        let end = usize::try_from(buffer_bytes(frame_bytes)).unwrap();
        assert!(bytes_of(&page)[end..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn frame_whose_end_is_of_another_is_torn() {
    let mut page = [0; 512];
    write(&mut page, 1514);
    set_number(&mut page, 1514, 7);
    page[189] = 6;
    let torn = Arrival::Torn {
        word: 189,
        expected: 7,
        found: 6,
    };
    assert_eq!(look(&page), torn);
}

#[test]
fn frame_of_another_kind_is_foreign() {
    assert_eq!(look(&[0; 512]), Arrival::Foreign);
    for byte in [24, 26, 28, 35, 48] {
        let mut page = [0; 512];
        write(&mut page, 100);
        page[byte / 8] ^= 0xff << (byte % 8 * 8);
        assert_eq!(look(&page), Arrival::Foreign, "byte {byte}");
    }
}

#[test]
fn checksum_folds_its_carries() {
    assert_eq!(checksum(&[0xff; 20]), 0);
    assert_eq!(checksum(&[0; 20]), u16::MAX);
    // The example of RFC 1071, section 3.
    assert_eq!(checksum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
}
