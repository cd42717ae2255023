//! The configuration space (virtio 1.2, section 5.5.4).
//!
//! | bytes | field | written by |
//! |---|---|---|
//! | 0..4 | num_pages: what the host wants in the balloon | device |
//! | 4..8 | actual: what is in it | driver |
//! | 8..12 | free_page_hint_cmd_id: what the host wants of hints | device |
//! | 12..16 | poison_val: what free pages are filled with | driver |

const ACTUAL_OFFSET: u64 = 4;
const POISON_OFFSET: u64 = 12;

/// The values in it; pages are 4 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) target_pages: u32,
    pub(crate) actual_pages: u32,
    pub(crate) poison_value: u32,
}

impl Config {
    /// The space, with what hinting has in it.
    pub(crate) fn to_bytes(self, hint_command: u32) -> [u8; 16] {
        let Self {
            target_pages,
            actual_pages,
            poison_value,
        } = self;
        let mut bytes = [0; 16];
        let fields = [target_pages, actual_pages, hint_command, poison_value];
        for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Takes what a driver writes; `None` if it may not write that.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Option<()> {
        let value = u32::from_le_bytes(data.try_into().ok()?);
        match offset {
            ACTUAL_OFFSET => self.actual_pages = value,
            POISON_OFFSET => self.poison_value = value,
            _ => return None,
        }
        Some(())
    }
}
