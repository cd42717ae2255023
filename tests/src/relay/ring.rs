//! A ring of bytes with a bound, filled and emptied by vectored I/O.

use std::io::{IoSlice, IoSliceMut};

/// Bytes on their way, first in first out.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: Box<[u8]>,
    head: usize,
    len: usize,
}

impl Ring {
    /// An empty ring that can hold that many bytes; memory is touched only as it fills.
    pub(super) fn with_capacity(capacity_bytes: usize) -> Self {
        Self {
            bytes: vec![0; capacity_bytes].into_boxed_slice(),
            head: 0,
            len: 0,
        }
    }

    /// Makes it at least that large; what is in it stays.
    pub(super) fn grow(&mut self, capacity_bytes: usize) {
        if capacity_bytes > self.bytes.len() {
            let mut larger = Self::with_capacity(capacity_bytes);
            larger.len = self.len;
            let [first, second] = self.filled(self.len);
            larger.bytes[..first.len()].copy_from_slice(&first);
            larger.bytes[first.len()..self.len].copy_from_slice(&second);
            *self = larger;
        }
    }

    /// The first bytes of the free space, at most `limit`, in two pieces.
    pub(super) fn free(&mut self, limit: usize) -> [IoSliceMut<'_>; 2] {
        if self.len == 0 {
            self.head = 0; // one piece, and the part of the memory that the cache holds
        }
        let capacity = self.bytes.len();
        let limit = limit.min(capacity - self.len);
        let tail = self.head + self.len;
        let (low, high) = if tail < capacity {
            let (low, high) = self.bytes.split_at_mut(tail);
            (&mut low[..self.head], high)
        } else {
            let middle = &mut self.bytes[tail - capacity..self.head];
            let (none, all) = middle.split_at_mut(0);
            (none, all)
        };
        let in_high = limit.min(high.len());
        [
            IoSliceMut::new(&mut high[..in_high]),
            IoSliceMut::new(&mut low[..limit - in_high]),
        ]
    }

    /// Takes the first `count` bytes of the free space into the ring.
    pub(super) fn fill(&mut self, count: usize) {
        assert!(
            count <= self.bytes.len() - self.len,
            "filled from the free space"
        );
        self.len += count;
    }

    /// The first bytes in it, at most `limit`, in two pieces.
    pub(super) fn filled(&self, limit: usize) -> [IoSlice<'_>; 2] {
        let limit = limit.min(self.len);
        let in_high = limit.min(self.bytes.len() - self.head);
        [
            IoSlice::new(&self.bytes[self.head..self.head + in_high]),
            IoSlice::new(&self.bytes[..limit - in_high]),
        ]
    }

    /// Forgets the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        assert!(count <= self.len, "consumed from the filled space");
        self.head += count;
        if self.head >= self.bytes.len() {
            self.head -= self.bytes.len();
        }
        self.len -= count;
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.consume(self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn ring_behaves_as_a_bounded_queue(
            steps in vec((0..3_u8, 0..40_usize), 0..300),
            mut capacity in 1..64_usize,
        ) {
            let mut ring = Ring::with_capacity(capacity);
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut next = 0_u8;
            for (step, amount) in steps {
                match step {
                    0 => {
                        let mut filled = 0;
                        for mut piece in ring.free(amount) {
                            for byte in piece.iter_mut() {
                                *byte = next;
                                model.push_back(next);
                                next = next.wrapping_add(1);
                                filled += 1;
                            }
                        }
                        prop_assert_eq!(filled, amount.min(capacity - ring.len));
                        ring.fill(filled);
                    }
                    1 => {
                        let count = amount.min(ring.len);
                        ring.consume(count);
                        model.drain(..count);
                    }
                    _ if amount > 36 => {
                        capacity = capacity.max(amount * 3);
                        ring.grow(amount * 3);
                    }
                    _ => {}
                }
                let seen: Vec<u8> = ring.filled(usize::MAX).iter().flat_map(|p| p.to_vec()).collect();
                prop_assert!(model.iter().eq(&seen));
                prop_assert_eq!(ring.len, model.len());
            }
        }
    }
}
