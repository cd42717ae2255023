//! Addresses as people type them.

use super::*;

#[test]
fn endpoint_of_each_kind_is_kept_as_typed() {
    for (text, host, port) in [
        ("192.0.2.7:7000", "192.0.2.7", 7000),
        ("node2.example:1", "node2.example", 1),
        ("[2001:db8::7]:65535", "2001:db8::7", 65535),
        ("localhost:0", "localhost", 0),
    ] {
        let endpoint: HostPort = text.parse().unwrap();
        assert_eq!((endpoint.host(), endpoint.port()), (host, port));
        assert_eq!(endpoint.to_string(), text);
    }
}

#[test]
fn endpoint_malformed_is_refused_with_the_value() {
    for text in [
        "",
        "node2",
        ":7000",
        "node2:",
        "node2:65536",
        "node2:-1",
        "node2:+1",
        "2001:db8::7:70",
        "[2001:db8::7]",
        "[node2]:7000",
        "[::1:7000",
        "::1]:7000",
        "a b:1",
        "http://x:1",
        "x:1x",
    ] {
        let error = text.parse::<HostPort>().unwrap_err();
        assert!(
            matches!(error, ConfigError::EndpointSyntax { .. }),
            "{text}"
        );
        assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
    }
}

#[test]
fn destination_with_port_zero_is_refused() {
    let error = HostPort::parse_destination("node2:0").unwrap_err();
    assert!(matches!(error, ConfigError::EndpointPortZero { .. }));
    assert_eq!(
        HostPort::parse_destination("node2:7000").unwrap().port(),
        7000
    );
}

#[test]
fn endpoint_numeric_resolves_without_a_name_server() {
    let endpoint: HostPort = "[::1]:7000".parse().unwrap();
    let addresses: Vec<_> = endpoint.to_socket_addrs().unwrap().collect();
    assert_eq!(addresses, ["[::1]:7000".parse().unwrap()]);
}
