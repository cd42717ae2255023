//! How many bytes may be on their way in a connection (virtio 1.2, section 5.10.6.3).

/// Bytes that a guest may send before the program it sends them to has taken them. Our choice: the
/// receive buffer that a Unix socket has by default takes more, so that this is room for what does not
/// fit there at once.
pub(super) const WINDOW_BYTES: u32 = 64 << 10;

/// The account of a connection, in both directions; its counts wrap, as those of the protocol do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Credit {
    /// The guest has room for so much in all,
    guest_room_bytes: u32,
    /// and has taken so much out of it,
    guest_taken_bytes: u32,
    /// of what was sent to it.
    sent_bytes: u32,
    /// What the guest has sent,
    received_bytes: u32,
    /// what of it was taken,
    taken_bytes: u32,
    /// and what the guest knows of that.
    told_bytes: u32,
}

/// A guest has sent more than it was told that there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overrun;

impl Credit {
    /// Takes note of what the guest says of itself.
    pub(super) fn hear(&mut self, (room_bytes, taken_bytes): (u32, u32)) {
        self.guest_room_bytes = room_bytes;
        self.guest_taken_bytes = taken_bytes;
    }

    /// How much may be sent to the guest.
    pub(super) fn room(&self) -> u32 {
        let on_their_way = self.sent_bytes.wrapping_sub(self.guest_taken_bytes);
        self.guest_room_bytes.saturating_sub(on_their_way)
    }

    /// So much was sent to it.
    pub(super) fn sent(&mut self, bytes: u32) {
        self.sent_bytes = self.sent_bytes.wrapping_add(bytes);
    }

    /// So much has come from it.
    pub(super) fn received(&mut self, bytes: u32) -> Result<(), Overrun> {
        let waiting = self.received_bytes.wrapping_sub(self.taken_bytes);
        if bytes > WINDOW_BYTES - waiting {
            return Err(Overrun);
        }
        self.received_bytes = self.received_bytes.wrapping_add(bytes);
        Ok(())
    }

    /// So much of that was taken.
    pub(super) fn taken(&mut self, bytes: u32) {
        self.taken_bytes = self.taken_bytes.wrapping_add(bytes);
    }

    /// Whether the guest should hear that there is room again, before it has to stop.
    pub(super) fn is_news(&self) -> bool {
        self.taken_bytes.wrapping_sub(self.told_bytes) >= WINDOW_BYTES / 2
    }

    /// What the guest is told: the room for it, and what was taken.
    pub(super) fn tell(&mut self) -> (u32, u32) {
        self.told_bytes = self.taken_bytes;
        (WINDOW_BYTES, self.taken_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_is_sent_no_more_than_it_has_room_for() {
        let mut credit = Credit::default();
        assert_eq!(credit.room(), 0);
        credit.hear((100, 0));
        credit.sent(70);
        assert_eq!(credit.room(), 30);
        credit.hear((100, 50));
        assert_eq!(credit.room(), 80);
        // It has room for less than before, or claims to have taken what it was not sent.
        credit.hear((10, 50));
        assert_eq!(credit.room(), 0);
        credit.hear((100, 71));
        assert_eq!(credit.room(), 0);
    }

    #[test]
    fn guest_that_sends_more_than_there_is_room_for_is_found_out() {
        let mut credit = Credit::default();
        // Through the point where the counts wrap.
        for _ in 0..(1 << 17) + 2 {
            credit.received(WINDOW_BYTES / 2).unwrap();
            assert_eq!(credit.received(WINDOW_BYTES / 2 + 1), Err(Overrun));
            credit.received(WINDOW_BYTES / 2).unwrap();
            assert_eq!(credit.received(1), Err(Overrun));
            assert!(!credit.is_news());
            credit.taken(WINDOW_BYTES);
            assert!(credit.is_news());
            credit.tell();
        }
    }
}
