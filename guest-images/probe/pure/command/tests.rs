//! Tests of what comes in on the serial line.

use super::{Command, Input, Request, Verb, Wish};

fn wishes(typed: &str) -> Vec<Wish> {
    let mut input = Input::EMPTY;
    let bytes = typed.bytes();
    bytes.filter_map(|byte| input.take(byte)).collect()
}

#[test]
fn letters_act_at_once_outside_of_lines_only() {
    assert_eq!(wishes("xd\nq"), [Wish::Digest, Wish::Quit]);
    let deflate = Command {
        verb: Verb::Ask(Request::Deflate),
        first: 7,
        count: 512,
    };
    assert_eq!(
        wishes("d:deflate 7 512\r\nd"),
        [Wish::Digest, Wish::Pages(deflate), Wish::Digest]
    );
}

#[test]
fn command_of_every_verb_is_known_by_its_name() {
    for name in ["fill", "touch", "inflate", "deflate", "report"] {
        let [Wish::Pages(command)] = wishes(&format!(":{name} 0 18446744073709551615\n"))[..]
        else {
            panic!("{name}")
        };
        assert_eq!(command.verb.name(), name);
        assert_eq!((command.first, command.count), (0, u64::MAX));
    }
}

#[test]
fn line_that_makes_no_sense_is_one_unknown_wish() {
    for line in [
        "",
        "fill",
        "fill 1",
        "fill 1 2 3",
        "fill  1 2",
        "fill 1 -2",
        "Fill 1 2",
        "fill 1 18446744073709551616",
        &"fill 1 2".repeat(100),
        &"x".repeat(62),
        &"x".repeat(63),
        &"x".repeat(64),
    ] {
        assert_eq!(wishes(&format!(":{line}\nq")), [Wish::Unknown, Wish::Quit]);
    }
}
