//! Every form a number may take on the command line, and those it may not.

use super::*;

#[test]
fn size_with_each_unit_counts_powers_of_1024() {
    for (text, bytes) in [
        ("1", 1),
        ("4096", 4096),
        ("3K", 3 << 10),
        ("512M", 512 << 20),
        ("2G", 2 << 30),
        ("1T", 1 << 40),
        ("64k", 64 << 10),
        ("16777215T", 16_777_215 << 40),
    ] {
        assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
    }
}

#[test]
fn size_malformed_is_refused_with_the_value_and_an_example() {
    for text in [
        "", "M", "12Q", "-1", "+1", "1.5G", "1 G", " 1", "1KB", "0x10", "G1", "1é", "é",
    ] {
        let error = text.parse::<ByteSize>().unwrap_err();
        assert!(
            matches!(error, ConfigError::SizeSyntax { .. }),
            "{text}: {error}"
        );
        let message = error.to_string();
        assert!(
            message.contains(&format!("`{text}`")) && message.contains("512M"),
            "{message}"
        );
    }
}

#[test]
fn size_zero_or_beyond_64_bits_is_refused() {
    for text in ["0", "0M", "00"] {
        assert!(
            matches!(text.parse::<ByteSize>(), Err(ConfigError::SizeZero { .. })),
            "{text}"
        );
    }
    for text in ["16777216T", "18446744073709551616", "99999999999999999999G"] {
        let error = text.parse::<ByteSize>().unwrap_err();
        assert!(matches!(error, ConfigError::SizeOverflow { .. }), "{text}");
    }
}

#[test]
fn size_shown_parses_to_itself() {
    for bytes in [
        1,
        1023,
        1024,
        4097,
        512 << 20,
        3 << 30,
        1 << 40,
        5 << 50,
        u64::MAX,
    ] {
        let size = ByteSize::from_bytes(bytes).unwrap();
        assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
    }
    assert_eq!(ByteSize::from_mib(512).to_string(), "512M");
    assert_eq!(ByteSize::from_bytes(4097).unwrap().to_string(), "4097");
}

#[test]
fn rate_with_units_counts_powers_of_1000() {
    assert_eq!(
        "10G".parse::<BitRate>().unwrap().bits_per_s(),
        10_000_000_000
    );
    assert_eq!("1500".parse::<BitRate>().unwrap().to_string(), "1500");
    assert_eq!("1000K".parse::<BitRate>().unwrap().to_string(), "1M");
}

#[test]
fn rate_malformed_zero_or_too_large_is_refused() {
    assert!(matches!(
        "".parse::<BitRate>(),
        Err(ConfigError::RateSyntax { .. })
    ));
    assert!(matches!(
        "10Gbit".parse::<BitRate>(),
        Err(ConfigError::RateSyntax { .. })
    ));
    assert!(matches!(
        "0G".parse::<BitRate>(),
        Err(ConfigError::RateZero { .. })
    ));
    assert!(matches!(
        "99999999T".parse::<BitRate>(),
        Err(ConfigError::RateOverflow { .. })
    ));
}

#[test]
fn time_with_each_unit_becomes_a_duration() {
    for (text, duration) in [
        ("250us", Duration::from_micros(250)),
        ("300ms", Duration::from_millis(300)),
        ("2s", Duration::from_secs(2)),
        ("5m", Duration::from_secs(300)),
        ("0s", Duration::ZERO),
    ] {
        assert_eq!(
            text.parse::<TimeSpan>().unwrap().duration(),
            duration,
            "{text}"
        );
    }
}

#[test]
fn time_without_unit_or_too_long_is_refused() {
    for text in ["", "300", "ms", "1h", "1.5s", "-1s", "1 s", "1S"] {
        assert!(
            matches!(
                text.parse::<TimeSpan>(),
                Err(ConfigError::TimeSyntax { .. })
            ),
            "{text}"
        );
    }
    let error = "999999999999999m".parse::<TimeSpan>().unwrap_err();
    assert!(matches!(error, ConfigError::TimeOverflow { .. }));
}

#[test]
fn time_shown_takes_the_longest_exact_unit() {
    for (text, shown) in [
        ("60s", "1m"),
        ("1500ms", "1500ms"),
        ("2000ms", "2s"),
        ("0m", "0us"),
    ] {
        assert_eq!(text.parse::<TimeSpan>().unwrap().to_string(), shown);
    }
}
