//! The state of a whole machine as bytes: an envelope that is checked before anything is decoded.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `SKIFF-VM` |
//! | 8 | 4 | version, little-endian |
//! | 12 | 4 | length of the payload, little-endian |
//! | 16 | 4 | CRC-32 (IEEE 802.3) of the payload, little-endian |
//! | 20 | ... | payload: [`MachineState`] in postcard's encoding |

use serde::{Deserialize, Serialize};

use super::devices::DevicesState;
use crate::boot::VCPUS_MAX;
use crate::bounded::at_most;
use crate::kvm::{VcpuState, VmState};

/// [`VCPUS_MAX`], as a number of elements.
const MOST_VCPUS: usize = VCPUS_MAX as usize;

const MAGIC: &[u8; 8] = b"SKIFF-VM";
/// Changes whenever [`MachineState`] does.
const VERSION: u32 = 2;

/// Everything of a machine but its RAM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineState {
    /// What its user wants of it: `true` if they paused it.
    pub paused_by_user: bool,
    /// One per vCPU, by index.
    #[serde(deserialize_with = "at_most::<MOST_VCPUS, _, _>")]
    pub vcpus: Vec<VcpuState>,
    /// The in-kernel devices.
    pub vm: VmState,
    /// Our devices.
    pub devices: DevicesState,
}

/// Bytes that are no machine state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Shorter than the header or than the header says.
    #[error("machine state ends after {found} of {expected} bytes")]
    Truncated {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// Not written by skiff.
    #[error("no machine state: it begins with {found:02x?}")]
    Magic {
        /// The first bytes.
        found: [u8; 8],
    },
    /// Written by another version of skiff.
    #[error("machine state has version {found}, this skiff reads version {VERSION}")]
    Version {
        /// Version of the bytes.
        found: u32,
    },
    /// Damaged on the way.
    #[error("machine state has checksum {found:#010x}, it should be {expected:#010x}")]
    Checksum {
        /// As computed.
        found: u32,
        /// As written.
        expected: u32,
    },
    /// The payload cannot be decoded, or not be encoded.
    #[error("machine state does not decode")]
    Payload(#[source] postcard::Error),
    /// More state than the envelope can describe.
    #[error("machine state of {bytes} bytes is too large")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl MachineState {
    /// Length of what stands before the payload.
    pub(crate) const HEADER_BYTES: usize = 20;

    /// The bytes of the envelope.
    ///
    /// # Errors
    /// The state is larger than 4 GiB.
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        let mut bytes =
            postcard::to_extend(self, vec![0; Self::HEADER_BYTES]).map_err(StateError::Payload)?;
        Self::seal(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the header into the [`HEADER_BYTES`](Self::HEADER_BYTES) that lie before a payload.
    pub(crate) fn seal(bytes: &mut [u8]) -> Result<(), StateError> {
        let (header, payload) = bytes.split_at_mut(Self::HEADER_BYTES);
        let length = u32::try_from(payload.len()).map_err(|_| StateError::TooLarge {
            bytes: payload.len(),
        })?;
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&length.to_le_bytes());
        header[16..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        Ok(())
    }

    /// The state in `bytes`, which may come from anywhere.
    ///
    /// # Errors
    /// Any way in which the bytes are not an undamaged state of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let Some((header, payload)) = bytes.split_first_chunk::<{ Self::HEADER_BYTES }>() else {
            return Err(StateError::Truncated {
                found: bytes.len(),
                expected: Self::HEADER_BYTES,
            });
        };
        let (magic, rest) = header.split_first_chunk::<8>().expect("20 bytes");
        if magic != MAGIC {
            return Err(StateError::Magic { found: *magic });
        }
        let word = |at: usize| {
            u32::from_le_bytes(rest[at..at + 4].try_into().expect("four bytes of twelve"))
        };
        let (version, length, checksum) = (word(0), word(4), word(8));
        if version != VERSION {
            return Err(StateError::Version { found: version });
        }
        let expected = usize::try_from(length).expect("32 bits fit");
        if payload.len() != expected {
            return Err(StateError::Truncated {
                found: payload.len(),
                expected,
            });
        }
        let found = crc32fast::hash(payload);
        if found != checksum {
            return Err(StateError::Checksum {
                found,
                expected: checksum,
            });
        }
        postcard::from_bytes(payload).map_err(StateError::Payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_of_more_vcpus_than_a_machine_has_is_refused() {
        // Not paused, a number of vCPUs, and zeroes, which are as many empty fields as it takes.
        let decode = |vcpus: u8| {
            let mut bytes = vec![0; MachineState::HEADER_BYTES];
            bytes.extend([0, vcpus]);
            bytes.resize(4096, 0);
            let payload = &bytes[MachineState::HEADER_BYTES..];
            let (_, rest) = postcard::take_from_bytes::<MachineState>(payload)?;
            bytes.truncate(bytes.len() - rest.len());
            MachineState::seal(&mut bytes).unwrap();
            Ok::<_, postcard::Error>(MachineState::decode(&bytes).unwrap())
        };
        assert_eq!(decode(32).unwrap().vcpus.len(), 32);
        assert!(decode(33).is_err());
    }
}
