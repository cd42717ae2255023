//! Turns a command of the host into the script that the outer VM runs.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::{Input, RigError};

/// Translates a command: a program of the host (its name has a slash) becomes an input, and the
/// first word its path inside.
pub fn inside<S: AsRef<OsStr>>(
    command: &[S],
    inputs: &mut Vec<Input>,
) -> Result<Vec<OsString>, RigError> {
    let mut words: Vec<OsString> = command
        .iter()
        .map(|word| word.as_ref().to_owned())
        .collect();
    let program = words.first_mut().ok_or(RigError::NoProgram)?;
    if program.as_encoded_bytes().contains(&b'/') && !Path::new(program).starts_with("/in") {
        let input = Input::from(Path::new(program));
        *program = input.path_inside()?.into_os_string();
        inputs.push(input);
    }
    Ok(words)
}

/// Writes the script that sets the environment and becomes the command.
pub fn script(words: &[OsString], environment: &[(OsString, OsString)]) -> Vec<u8> {
    let mut script = b"cd /in\n".to_vec();
    for (name, value) in environment {
        script.extend_from_slice(b"export ");
        script.extend_from_slice(name.as_encoded_bytes());
        script.push(b'=');
        quote(value, &mut script);
        script.push(b'\n');
    }
    script.extend_from_slice(b"exec");
    for word in words {
        script.push(b' ');
        quote(word, &mut script);
    }
    script.push(b'\n');
    script
}

/// Appends a word such that a shell reads it as it is.
fn quote(word: &OsStr, script: &mut Vec<u8>) {
    script.push(b'\'');
    for &byte in word.as_encoded_bytes() {
        if byte == b'\'' {
            script.extend_from_slice(b"'\\''");
        } else {
            script.push(byte);
        }
    }
    script.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::{inside, script};
    use crate::rig::RigError;
    use std::ffi::OsString;
    use std::path::Path;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn program_of_the_host_becomes_an_input() {
        let mut inputs = Vec::new();
        let command = inside(&["target/release/skiff", "run"], &mut inputs).unwrap();
        assert_eq!(command, words(&["/in/skiff", "run"]));
        assert_eq!(inputs[0].path_inside().unwrap(), Path::new("/in/skiff"));
    }

    #[test]
    fn program_inside_is_left_alone() {
        let mut inputs = Vec::new();
        assert_eq!(inside(&["sh"], &mut inputs).unwrap(), words(&["sh"]));
        assert_eq!(
            inside(&["/in/skiff"], &mut inputs).unwrap(),
            words(&["/in/skiff"])
        );
        assert!(inputs.is_empty());
    }

    #[test]
    fn empty_command_is_refused() {
        let nothing: [&str; 0] = [];
        assert!(matches!(
            inside(&nothing, &mut Vec::new()),
            Err(RigError::NoProgram)
        ));
    }

    #[test]
    fn words_with_quotes_and_spaces_survive_the_shell() {
        let environment = [("GREETING".into(), "it's $HOME".into())];
        let script = script(&words(&["echo", "a b", "it's"]), &environment);
        let expected = "cd /in\nexport GREETING='it'\\''s $HOME'\nexec 'echo' 'a b' 'it'\\''s'\n";
        assert_eq!(String::from_utf8(script).unwrap(), expected);
    }
}
