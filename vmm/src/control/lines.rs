//! Bytes that arrive in pieces, given out line by line, with a bound on the length of a line.

/// Collects bytes until a line is complete; holds at most one line and what was read with its end.
#[derive(Debug)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    /// Bytes at the front in which no end of line was found.
    searched: usize,
    limit_bytes: usize,
}

/// A line grew beyond its bound before it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineTooLong;

impl LineBuffer {
    /// An empty buffer for lines of at most `limit_bytes`, the line feed not counted.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            searched: 0,
            limit_bytes,
        }
    }

    /// Adds bytes as they arrived.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the first complete line, without its line feed.
    pub(super) fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        let end = self.bytes[self.searched..]
            .iter()
            .position(|&byte| byte == b'\n');
        let length = end.map_or(self.bytes.len(), |end| self.searched + end);
        if length > self.limit_bytes {
            return Err(LineTooLong);
        }
        if end.is_none() {
            self.searched = length;
            return Ok(None);
        }
        let rest = self.bytes.split_off(length + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        line.truncate(length);
        self.searched = 0;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_in_pieces_comes_out_whole() {
        let mut lines = LineBuffer::new(16);
        for piece in ["{\"a\"", ":1", "}\n{\"b\":2}\n\nre", "st"] {
            lines.extend(piece.as_bytes());
        }
        assert_eq!(lines.next_line(), Ok(Some(b"{\"a\":1}".to_vec())));
        assert_eq!(lines.next_line(), Ok(Some(b"{\"b\":2}".to_vec())));
        assert_eq!(lines.next_line(), Ok(Some(Vec::new())));
        assert_eq!(lines.next_line(), Ok(None));
        lines.extend(b"\n");
        assert_eq!(lines.next_line(), Ok(Some(b"rest".to_vec())));
    }

    #[test]
    fn line_at_the_bound_is_taken_and_beyond_it_refused() {
        let mut lines = LineBuffer::new(4);
        lines.extend(b"1234\n1234");
        assert_eq!(lines.next_line(), Ok(Some(b"1234".to_vec())));
        assert_eq!(lines.next_line(), Ok(None));
        lines.extend(b"5");
        assert_eq!(lines.next_line(), Err(LineTooLong));
        lines.extend(b"\n");
        assert_eq!(lines.next_line(), Err(LineTooLong));
    }
}
