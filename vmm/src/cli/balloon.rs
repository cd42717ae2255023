//! `skiff balloon`: what the guest has given up.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::args::BalloonArgs;
use super::errors::{ClientError, CommandError};
use super::format::{bytes, milliseconds, table};
use super::output::{Format, print, to_json};
use crate::control::{BalloonInfo, ControlClient, ControlError, Request};

/// How long the guest has to answer with fresh statistics. Our choice: a driver that is there needs
/// less than a tenth of it.
const ANSWER_TIME: Duration = Duration::from_millis(200);

/// Asks for nothing but how things stand, and the guest for fresh statistics.
const SHOW: Request = Request::Balloon {
    target_bytes: None,
    auto: None,
};

/// The columns of a record: a time in ms, amounts in bytes, a count.
const CSV_HEAD: &str =
    "t_ms,target,actual,reported,discarded,resident,free,available,caches,major_faults";

/// Sets the target, if one was given, and shows the balloon.
pub(super) fn balloon(args: &BalloonArgs) -> Result<(), CommandError> {
    let set = Request::Balloon {
        target_bytes: args.target_bytes(),
        auto: args.auto()?,
    };
    let to_record = args.record()?;
    let mut client = ControlClient::connect(&args.vm)?;
    client.call::<BalloonInfo>(&set, |_| {})?;
    if let Some((path, every)) = to_record {
        return record(&mut client, path, every);
    }
    thread::sleep(ANSWER_TIME);
    let balloon: BalloonInfo = client.call(&SHOW, |_| {})?;
    print(&match args.format() {
        Format::Text => text(&balloon),
        Format::Json => to_json(&balloon),
    })?;
    Ok(())
}

/// Writes a line for now, and one every so often, until the VM is gone.
fn record(client: &mut ControlClient, path: &Path, every: Duration) -> Result<(), CommandError> {
    let failed = |source| ClientError::Record {
        path: path.to_owned(),
        source,
    };
    let mut file: Box<dyn Write> = if path == Path::new("-") {
        Box::new(io::stdout())
    } else {
        Box::new(File::create(path).map_err(failed)?)
    };
    let began = Instant::now();
    let mut next = began;
    writeln!(file, "{CSV_HEAD}").map_err(failed)?;
    loop {
        let balloon: BalloonInfo = match client.call(&SHOW, |_| {}) {
            Ok(balloon) => balloon,
            Err(ControlError::Closed { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let line = csv_line(began.elapsed(), &balloon);
        writeln!(file, "{line}")
            .and_then(|()| file.flush())
            .map_err(failed)?;
        next += every;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// A line of [`CSV_HEAD`]; what the guest did not say is left empty.
fn csv_line(elapsed: Duration, balloon: &BalloonInfo) -> String {
    let said = balloon.statistics.unwrap_or_default();
    let numbers = [
        Some(balloon.target_bytes),
        Some(balloon.actual_bytes),
        Some(balloon.reported_bytes),
        Some(balloon.discarded_bytes),
        Some(balloon.resident_bytes),
        said.free_bytes,
        said.available_bytes,
        said.disk_caches_bytes,
        said.major_faults,
    ];
    let mut line = elapsed.as_millis().to_string();
    for number in numbers {
        line.push(',');
        line.extend(number.map(|number| number.to_string()));
    }
    line
}

fn text(balloon: &BalloonInfo) -> String {
    let mut rows = vec![
        ("target", bytes(balloon.target_bytes)),
        ("actual", bytes(balloon.actual_bytes)),
        (
            "reported",
            flow(balloon.reported_bytes, balloon.reported_bytes_per_s),
        ),
        (
            "discarded",
            flow(balloon.discarded_bytes, balloon.discarded_bytes_per_s),
        ),
        ("resident", bytes(balloon.resident_bytes)),
    ];
    if let Some(settings) = &balloon.self_ballooning {
        let every = format!("every {}", milliseconds(settings.interval_ms.into()));
        rows.insert(0, ("auto", every));
    }
    if let Some(statistics) = &balloon.statistics {
        let known = [
            ("guest total", statistics.total_bytes.map(bytes)),
            ("guest free", statistics.free_bytes.map(bytes)),
            ("guest available", statistics.available_bytes.map(bytes)),
            ("guest caches", statistics.disk_caches_bytes.map(bytes)),
            (
                "major faults",
                statistics.major_faults.map(|faults| faults.to_string()),
            ),
            (
                "oom kills",
                statistics.oom_kills.map(|kills| kills.to_string()),
            ),
        ];
        rows.extend(
            known
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    }
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value)| [name.to_owned(), value])
        .collect();
    table(&rows)
}

/// An amount, and how fast it grew of late if it did.
fn flow(total: u64, per_s: u64) -> String {
    match per_s {
        0 => bytes(total),
        _ => format!("{}, {}/s of late", bytes(total), bytes(per_s)),
    }
}

#[cfg(test)]
mod tests {
    use balloon::Statistics;

    use super::*;

    #[test]
    fn line_of_a_record_has_the_columns_of_its_head() {
        let balloon = BalloonInfo {
            target_bytes: 1,
            actual_bytes: 2,
            reported_bytes: 3,
            reported_bytes_per_s: 0,
            discarded_bytes: 4,
            discarded_bytes_per_s: 0,
            resident_bytes: 5,
            self_ballooning: None,
            statistics: Some(Statistics {
                available_bytes: Some(7),
                major_faults: Some(9),
                ..Statistics::default()
            }),
        };
        let line = csv_line(Duration::from_millis(1500), &balloon);
        assert_eq!(line, "1500,1,2,3,4,5,,7,,9");
        assert_eq!(line.split(',').count(), CSV_HEAD.split(',').count());
    }

    #[test]
    fn balloon_is_shown_with_what_the_guest_said_and_nothing_it_did_not() {
        let balloon = BalloonInfo {
            target_bytes: 64 << 20,
            actual_bytes: 60 << 20,
            reported_bytes: 3 << 30,
            reported_bytes_per_s: 2 << 20,
            discarded_bytes: 2 << 30,
            discarded_bytes_per_s: 0,
            resident_bytes: 50 << 20,
            self_ballooning: None,
            statistics: Some(Statistics {
                free_bytes: Some(400 << 20),
                oom_kills: Some(0),
                ..Statistics::default()
            }),
        };
        assert_eq!(
            text(&balloon),
            "target      64.0 MiB\n\
             actual      60.0 MiB\n\
             reported    3.0 GiB, 2.0 MiB/s of late\n\
             discarded   2.0 GiB\n\
             resident    50.0 MiB\n\
             guest free  400.0 MiB\n\
             oom kills   0\n"
        );
    }
}
