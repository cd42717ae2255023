//! Tests of the line buffer.

use super::Line;

#[test]
fn line_with_numbers_reads_as_the_records_do() {
    let mut line = Line::record("corrupt");
    line.text(" gpa=")
        .hexadecimal(0x40_0008)
        .text(" n=")
        .decimal(0)
        .text(" max=")
        .decimal(u64::MAX)
        .text(" ")
        .hexadecimal(u64::MAX);
    let expected = b"probe: corrupt gpa=0x400008 n=0 max=18446744073709551615 0xffffffffffffffff\n";
    assert_eq!(line.finish(), expected);
}

#[test]
fn line_too_long_is_cut_and_still_ends_in_a_line_feed() {
    let mut line = Line::record("error");
    let bytes = line.foreign(&[b'x'; 1000]).finish();
    assert_eq!(bytes.len(), 256);
    assert_eq!(bytes.last(), Some(&b'\n'));
}

#[test]
fn foreign_control_bytes_are_replaced() {
    assert_eq!(
        Line::record("").foreign(b"a\x1b\n\xff").finish(),
        b"probe: a???\n"
    );
}
