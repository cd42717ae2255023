//! Tests of links; those with a rate are made where that is allowed.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use super::*;

#[test]
fn shaped_link_connects_its_ends_alone_and_is_gone_when_dropped() {
    if let Err(error) = check_rig() {
        eprintln!("shaped_link: {error}");
        return;
    }
    let link = Link::new(LinkKind::Shaped { mbit_per_s: 77 }).unwrap();
    let names: Vec<_> = link.ends.iter().flatten().map(Namespace::name).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| Path::new("/run/netns").join(name))
        .collect();
    assert!(files.len() == 2 && files.iter().all(|file| file.exists()));

    let at = |port| (link.destination_address(), port);
    let listener = link
        .at_destination(|| TcpListener::bind(at(0)))
        .unwrap()
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut stream = link
        .at_source(|| TcpStream::connect(at(port)))
        .unwrap()
        .unwrap();
    let (_, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip().to_string(), SOURCE_ADDRESS);
    stream.write_all(b"over the wire").unwrap();
    // Another network than the one this test runs in.
    assert!(TcpListener::bind(at(0)).is_err());

    drop(link);
    assert!(!files.iter().any(|file| file.exists()));
}

#[test]
fn loopback_needs_nothing_and_stays_where_it_is() {
    let link = Link::new(LinkKind::Loopback).unwrap();
    assert_eq!(link.destination_address(), "127.0.0.1");
    assert_eq!(link.at_source(|| 1).unwrap(), 1);
    assert_eq!(link.at_destination(|| 2).unwrap(), 2);
}
