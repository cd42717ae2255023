//! Names that make safe file names, and those that would not.

use super::*;

#[test]
fn name_of_allowed_characters_is_kept() {
    let longest = "a".repeat(64);
    for text in ["a", "web-1", "A.b_c-9", "0", "_x", longest.as_str()] {
        assert_eq!(text.parse::<VmName>().unwrap().to_string(), text);
    }
}

#[test]
fn name_unsafe_as_a_file_name_is_refused_with_the_value() {
    let too_long = "a".repeat(65);
    for text in [
        "",
        ".",
        "..",
        ".hidden",
        "-rf",
        "a/b",
        "a b",
        "a\0",
        "é",
        too_long.as_str(),
    ] {
        let error = text.parse::<VmName>().unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn name_generated_is_valid_and_not_repeated() {
    let name = VmName::generate().unwrap();
    assert_eq!(name.as_str().parse::<VmName>().unwrap(), name);
    assert!(name.as_str().starts_with("skiff-"));
    assert_ne!(VmName::generate().unwrap(), VmName::generate().unwrap());
}
