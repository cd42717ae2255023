//! One line of text in a buffer of its own: numbers and words, no formatting machinery.

#[cfg(test)]
mod tests;

/// Our choice: because no record of the probe is longer than half of this.
const CAPACITY_BYTES: usize = 256;

/// A line being written; what does not fit is left out.
#[derive(Clone, Debug)]
pub struct Line {
    bytes: [u8; CAPACITY_BYTES],
    length: usize,
}

impl Line {
    /// Starts a record: `probe: ` and then `word`.
    #[must_use]
    pub fn record(word: &str) -> Self {
        let mut line = Self {
            bytes: [0; CAPACITY_BYTES],
            length: 0,
        };
        line.text("probe: ").text(word);
        line
    }

    /// Appends `text`.
    // Lines are written all over the place, and none in a hurry.
    #[inline(never)]
    pub fn text(&mut self, text: &str) -> &mut Self {
        text.bytes().for_each(|byte| self.byte(byte));
        self
    }

    /// Appends words from outside with everything but printable ASCII shown as `?`.
    pub fn foreign(&mut self, text: &[u8]) -> &mut Self {
        let shown = |&byte: &u8| if byte.is_ascii_graphic() { byte } else { b'?' };
        text.iter().map(shown).for_each(|byte| self.byte(byte));
        self
    }

    /// Appends `number` in decimal.
    pub fn decimal(&mut self, number: u64) -> &mut Self {
        self.digits(number, 10)
    }

    /// Appends `number` in hexadecimal, with `0x` in front.
    pub fn hexadecimal(&mut self, number: u64) -> &mut Self {
        self.text("0x").digits(number, 16)
    }

    /// The bytes of the line with a line feed at the end, after which nothing can be appended.
    pub fn finish(&mut self) -> &[u8] {
        self.length = self.length.min(CAPACITY_BYTES - 1);
        self.byte(b'\n');
        &self.bytes[..self.length]
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    #[inline(never)]
    fn digits(&mut self, number: u64, base: u64) -> &mut Self {
        let mut divisor = 1;
        while number / divisor >= base {
            divisor *= base;
        }
        while divisor > 0 {
            let digit = u8::try_from(number / divisor % base).expect("a digit is below 16");
            self.byte(if digit < 10 {
                b'0' + digit
            } else {
                b'a' - 10 + digit
            });
            divisor /= base;
        }
        self
    }
}
