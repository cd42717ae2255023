//! The report as others read it.

use super::*;

fn report() -> Report {
    Report {
        schema: SCHEMA,
        outcome: Outcome::ResumedAtSource,
        reason: Some("no answer".to_owned()),
        mode: Mode::Hybrid,
        mode_asked: Mode::Auto,
        prepaging: Prepaging::Push,
        growth: Growth::Fixed,
        order: Order::Physical,
        pivots: 0,
        streams: 1,
        bandwidth_bits_per_s: None,
        preparation_ms: 1.5,
        downtime_ms: 2.0,
        resume_ms: 0.0,
        total_ms: 3.5,
        downtime_parts_ms: BTreeMap::from([("pause", 0.5), ("save", 1.5)]),
        pages: PageCounts {
            total: 9,
            ..PageCounts::default()
        },
        faults: FaultCounts::default(),
        wire_bytes: WireBytes::default(),
        largest_push_bytes: 65_536,
        max_downtime_ms: 1.0,
        predicted_downtime_ms: Some(0.75),
        downtime_excess: Some("save"),
        rounds: vec![Round {
            pages: 7,
            dirtied: 1,
            dirtied_per_s: 4000.0,
            ms: 0.25,
        }],
        write_protection: Some(WriteProtection {
            faults: 5,
            log_ms: 0.125,
        }),
        reconnects: 0,
        digest: Some(Digests {
            source: Digest::from_bits(1),
            destination: Digest::from_bits(0xffff_ffff_ffff_fffe),
        }),
        verified: false,
    }
}

#[test]
fn report_serializes_with_the_fields_that_others_rely_on() {
    let expected = r#"{
  "schema": 1,
  "outcome": "resumed-at-source",
  "reason": "no answer",
  "mode": "hybrid",
  "mode_asked": "auto",
  "prepaging": "push",
  "growth": "fixed",
  "order": "physical",
  "pivots": 0,
  "streams": 1,
  "bandwidth_bits_per_s": null,
  "preparation_ms": 1.5,
  "downtime_ms": 2.0,
  "resume_ms": 0.0,
  "total_ms": 3.5,
  "downtime_parts_ms": {
    "pause": 0.5,
    "save": 1.5
  },
  "pages": {
    "total": 9,
    "transferred": 0,
    "duplicate": 0,
    "zero": 0,
    "absent": 0,
    "hinted": 0,
    "pushed": 0,
    "demanded": 0
  },
  "faults": {
    "network": 0,
    "underway": 0,
    "latency_us": {
      "p50": 0.0,
      "p90": 0.0,
      "p99": 0.0,
      "max": 0.0,
      "mean": 0.0
    },
    "latency_parts_us": {
      "queue": 0.0,
      "wire": 0.0,
      "install": 0.0,
      "wake": 0.0
    }
  },
  "wire_bytes": {
    "control": 0,
    "state": 0,
    "pages": 0,
    "total": 0
  },
  "largest_push_bytes": 65536,
  "max_downtime_ms": 1.0,
  "predicted_downtime_ms": 0.75,
  "downtime_excess": "save",
  "rounds": [
    {
      "pages": 7,
      "dirtied": 1,
      "dirtied_per_s": 4000.0,
      "ms": 0.25
    }
  ],
  "write_protection": {
    "faults": 5,
    "log_ms": 0.125
  },
  "reconnects": 0,
  "digest": {
    "source": "0000000000000001",
    "destination": "fffffffffffffffe"
  },
  "verified": false
}"#;
    assert_eq!(serde_json::to_string_pretty(&report()).unwrap(), expected);
}
