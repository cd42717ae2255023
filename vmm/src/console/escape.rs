//! What a key typed on the guest's console means: nearly all go to the guest, Ctrl-A begins a word to the monitor.

/// Ctrl-A, which begins an escape sequence.
const ESCAPE: u8 = 0x01;

/// What was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// A byte for the guest.
    Byte(u8),
    /// Ctrl-A x: end the VM and leave.
    Leave,
    /// Ctrl-A h or Ctrl-A ?: show the escape sequences.
    Help,
}

/// Recognizes escape sequences in a stream of bytes.
///
/// ```text
///          Ctrl-A
/// Plain ------------> Escaped     x: Leave    h ?: Help
///   ^  <------------    |         Ctrl-A: one Ctrl-A for the guest
///   |     any byte      |         anything else: ignored
/// ```
#[derive(Debug, Default)]
pub struct EscapeParser {
    escaped: bool,
}

impl EscapeParser {
    /// Takes the next byte; nothing comes of the first byte of a sequence or of an unknown sequence.
    pub fn feed(&mut self, byte: u8) -> Option<Typed> {
        let escaped = std::mem::replace(&mut self.escaped, false);
        match (escaped, byte) {
            (false, ESCAPE) => {
                self.escaped = true;
                None
            }
            (false, byte) => Some(Typed::Byte(byte)),
            (true, ESCAPE) => Some(Typed::Byte(ESCAPE)),
            (true, b'x' | b'X') => Some(Typed::Leave),
            (true, b'h' | b'H' | b'?') => Some(Typed::Help),
            (true, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Vec<Typed> {
        let mut parser = EscapeParser::default();
        bytes.iter().filter_map(|&byte| parser.feed(byte)).collect()
    }

    #[test]
    fn bytes_without_escape_all_go_to_the_guest() {
        let all: Vec<u8> = (0..=255).filter(|&byte| byte != ESCAPE).collect();
        let expected: Vec<Typed> = all.iter().copied().map(Typed::Byte).collect();
        assert_eq!(parse(&all), expected);
    }

    #[test]
    fn escape_sequences_have_their_meaning() {
        assert_eq!(parse(b"\x01x"), [Typed::Leave]);
        assert_eq!(parse(b"\x01h\x01?"), [Typed::Help, Typed::Help]);
        assert_eq!(parse(b"\x01\x01x"), [Typed::Byte(1), Typed::Byte(b'x')]);
        assert_eq!(parse(b"\x01qx"), [Typed::Byte(b'x')]);
        assert_eq!(parse(b"a\x01"), [Typed::Byte(b'a')]);
    }
}
