//! Sizes and times as people read them.

/// A number of bytes with one decimal, in the unit that keeps it short.
pub(super) fn bytes(bytes: u64) -> String {
    let (unit_bytes, unit) = match bytes {
        0x4000_0000.. => (1 << 30, "GiB"),
        0x10_0000.. => (1 << 20, "MiB"),
        0x400.. => (1 << 10, "KiB"),
        _ => return format!("{bytes} B"),
    };
    let tenths = u128::from(bytes) * 10 / unit_bytes;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// A time in the two largest units that matter.
pub(super) fn uptime(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} m {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} m", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Milliseconds, as seconds once they are many.
pub(super) fn milliseconds(ms: f64) -> String {
    if ms >= 1000.0 {
        format!("{:.2} s", ms / 1000.0)
    } else {
        format!("{ms:.1} ms")
    }
}

/// Microseconds, as milliseconds once they are many.
pub(super) fn microseconds(us: f64) -> String {
    if us >= 1000.0 {
        milliseconds(us / 1000.0)
    } else {
        format!("{us:.0} us")
    }
}

/// Rows of cells as columns, each as wide as its widest cell.
pub(super) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0);
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_unit_that_keeps_them_short() {
        for (count, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (5_033_164, "4.7 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }

    #[test]
    fn times_are_shown_in_the_units_that_matter() {
        for (ms, shown) in [
            (0, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 m 0 s"),
            (3_700_000, "1 h 1 m"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(uptime(ms), shown);
        }
        assert_eq!(milliseconds(12.34), "12.3 ms");
        assert_eq!(milliseconds(1234.0), "1.23 s");
        assert_eq!(microseconds(250.0), "250 us");
        assert_eq!(microseconds(1500.0), "1.5 ms");
    }

    #[test]
    fn table_columns_are_as_wide_as_their_widest_cell() {
        let rows = [["NAME", "STATE"], ["a-long-name", "up"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "NAME         STATE\na-long-name  up\n");
    }
}
