//! What comes in on the serial line: two letters that act at once, and commands of a line each.

#[cfg(test)]
mod tests;

use super::balloon::frames::Request;
use super::options::number;

/// Our choice: because the longest command with two numbers of 64 bits has 49 bytes.
const LINE_BYTES: usize = 64;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The byte `d`: the digest.
    Digest,
    /// The byte `q`: the end.
    Quit,
    /// A line that begins with a colon.
    Pages(Command),
    /// Such a line that makes no sense.
    Unknown,
}

/// Something to do with `count` pages from number `first` on, as far as they are fit for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// What.
    pub verb: Verb,
    /// Number of the first page.
    pub first: u64,
    /// How many pages.
    pub count: u64,
}

/// What is done with pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Free pages get content.
    Fill,
    /// Free pages are read.
    Touch,
    /// Something is asked of the device.
    Ask(Request),
}

const VERBS: [(&str, Verb); 5] = [
    ("fill", Verb::Fill),
    ("touch", Verb::Touch),
    ("inflate", Verb::Ask(Request::Inflate)),
    ("deflate", Verb::Ask(Request::Deflate)),
    ("report", Verb::Ask(Request::Report)),
];

impl Verb {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = VERBS.iter().find(|(_, verb)| *verb == self);
        named.map_or("", |(name, _)| name)
    }
}

/// Bytes on their way to a wish.
#[derive(Clone, Debug)]
pub struct Input {
    line: [u8; LINE_BYTES],
    /// Bytes of the line so far, its colon included; none outside a line.
    length: usize,
}

impl Input {
    /// Nothing has come in.
    pub const EMPTY: Self = Self {
        line: [0; LINE_BYTES],
        length: 0,
    };

    /// Takes the next byte; gives the wish that it completes.
    pub fn take(&mut self, byte: u8) -> Option<Wish> {
        match (self.length, byte) {
            (0, b'd') => Some(Wish::Digest),
            (0, b'q') => Some(Wish::Quit),
            (0, b':') => {
                self.append(byte);
                None
            }
            (0, _) => None,
            (length, b'\n' | b'\r') => {
                self.length = 0;
                // One that does not fit has no room for its end either, and is no command.
                let line = self.line.get(1..length);
                Some(line.and_then(command).map_or(Wish::Unknown, Wish::Pages))
            }
            _ => {
                self.append(byte);
                None
            }
        }
    }

    fn append(&mut self, byte: u8) {
        if let Some(place) = self.line.get_mut(self.length) {
            *place = byte;
        }
        self.length = (self.length + 1).min(LINE_BYTES + 1);
    }
}

fn command(line: &[u8]) -> Option<Command> {
    let mut words = line.split(|&byte| byte == b' ');
    let name = words.next()?;
    let (_, verb) = VERBS.iter().find(|(known, _)| known.as_bytes() == name)?;
    let command = Command {
        verb: *verb,
        first: number(words.next()?)?,
        count: number(words.next()?)?,
    };
    words.next().is_none().then_some(command)
}
