//! `skiff balloon`: what the guest has given up.

use std::thread;
use std::time::Duration;

use super::args::BalloonArgs;
use super::errors::CommandError;
use super::format::{bytes, milliseconds, table};
use super::output::{Format, print, to_json};
use crate::control::{BalloonInfo, ControlClient, Request};

/// How long the guest has to answer with fresh statistics. Our choice: a driver that is there needs
/// less than a tenth of it.
const ANSWER_TIME: Duration = Duration::from_millis(200);

/// Sets the target, if one was given, and shows the balloon.
pub(super) fn balloon(args: &BalloonArgs) -> Result<(), CommandError> {
    let mut client = ControlClient::connect(&args.vm)?;
    let set = Request::Balloon {
        target_bytes: args.target_bytes(),
        auto: args.auto()?,
    };
    client.call::<BalloonInfo>(&set, |_| {})?;
    thread::sleep(ANSWER_TIME);
    let show = Request::Balloon {
        target_bytes: None,
        auto: None,
    };
    let balloon: BalloonInfo = client.call(&show, |_| {})?;
    print(&match args.format() {
        Format::Text => text(&balloon),
        Format::Json => to_json(&balloon),
    })?;
    Ok(())
}

fn text(balloon: &BalloonInfo) -> String {
    let mut rows = vec![
        ("target", bytes(balloon.target_bytes)),
        ("actual", bytes(balloon.actual_bytes)),
        ("reported", bytes(balloon.reported_bytes)),
        ("discarded", bytes(balloon.discarded_bytes)),
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

#[cfg(test)]
mod tests {
    use balloon::Statistics;

    use super::*;

    #[test]
    fn balloon_is_shown_with_what_the_guest_said_and_nothing_it_did_not() {
        let balloon = BalloonInfo {
            target_bytes: 64 << 20,
            actual_bytes: 60 << 20,
            reported_bytes: 3 << 30,
            discarded_bytes: 2 << 30,
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
             reported    3.0 GiB\n\
             discarded   2.0 GiB\n\
             resident    50.0 MiB\n\
             guest free  400.0 MiB\n\
             oom kills   0\n"
        );
    }
}
