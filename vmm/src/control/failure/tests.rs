//! Chains of causes in words.

use std::io;
use std::path::PathBuf;

use super::*;

fn denied() -> ControlError {
    ControlError::Connect {
        path: PathBuf::from("/run/skiff/web.sock"),
        source: io::Error::from(io::ErrorKind::PermissionDenied),
    }
}

#[test]
fn failure_of_a_chain_prints_each_cause_and_the_remedy_once() {
    let printed = format!("{:#}", Failure::of(&denied()));
    assert_eq!(
        printed,
        "cannot connect to the control socket `/run/skiff/web.sock`\n  caused by: permission denied\n  \
         try: act as the user who started the VM"
    );
}

#[test]
fn failure_that_came_from_the_monitor_keeps_its_causes_and_remedy() {
    let failure = Failure {
        message: "cannot reach node2:7000".into(),
        causes: vec!["connection refused".into()],
        remedy: Some("start skiff receive there".into()),
    };
    let error = ControlError::Refused {
        command: "migrate",
        failure,
    };
    let told = Failure::of(&error);
    assert_eq!(told.message, "the VM could not migrate");
    assert_eq!(
        told.causes,
        ["cannot reach node2:7000", "connection refused"]
    );
    assert_eq!(told.remedy.as_deref(), Some("start skiff receive there"));
}

#[test]
fn failure_sent_and_received_is_the_same() {
    let failure = Failure::of(&denied());
    let sent = serde_json::to_string(&failure).unwrap();
    assert_eq!(serde_json::from_str::<Failure>(&sent).unwrap(), failure);
    let bare: Failure = serde_json::from_str(r#"{"message":"no"}"#).unwrap();
    assert_eq!((bare.causes.len(), bare.remedy), (0, None));
}
