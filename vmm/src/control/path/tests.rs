//! Names, paths and the directory they lead to.

use super::*;

#[test]
fn directory_follows_the_environment_when_it_is_absolute() {
    for (variable, directory) in [
        (Some("/run/user/1000"), "/run/user/1000/skiff"),
        (Some("relative"), "/run/skiff"),
        (Some(""), "/run/skiff"),
        (None, "/run/skiff"),
    ] {
        assert_eq!(
            directory_under(variable.map(OsStr::new)),
            Path::new(directory)
        );
    }
}

#[test]
fn address_with_a_slash_is_a_path_and_without_a_name() {
    assert_eq!(
        "./web.sock".parse::<VmAddress>().unwrap(),
        VmAddress::Path("./web.sock".into())
    );
    assert_eq!(
        "web".parse::<VmAddress>().unwrap(),
        VmAddress::Name("web".parse().unwrap())
    );
    assert!("".parse::<VmAddress>().is_err());
    assert!("..".parse::<VmAddress>().is_err());
}

#[test]
fn path_longer_than_a_socket_address_is_refused_with_the_path() {
    let fits = format!("/{}", "a".repeat(106));
    assert!(SocketPath::new(fits.clone().into()).is_ok());
    let error = SocketPath::new(format!("{fits}b").into()).unwrap_err();
    assert!(error.to_string().contains(&fits));
}

#[test]
fn path_chosen_by_the_user_wins_over_the_name() {
    let name: VmName = "web".parse().unwrap();
    let chosen = SocketPath::choose(&name, Some(Path::new("x.sock"))).unwrap();
    assert_eq!(chosen.as_path(), Path::new("x.sock"));
    assert_eq!(chosen.directory(), Path::new("."));
    let named = SocketPath::choose(&name, None).unwrap();
    assert!(named.as_path().ends_with("skiff/web.sock"));
}

#[test]
fn listing_names_only_sockets_of_vms_in_order() {
    let directory = tempfile::tempdir().unwrap();
    for file in [
        "web.sock",
        "db.sock",
        "notes.txt",
        ".hidden.sock",
        "a b.sock",
        "plain",
    ] {
        fs::write(directory.path().join(file), "").unwrap();
    }
    let listed = sockets_in(directory.path()).unwrap();
    let names: Vec<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["db", "web"]);
    assert!(
        sockets_in(&directory.path().join("absent"))
            .unwrap()
            .is_empty()
    );
}
