//! What a VM boots, and the words it boots with.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::ConfigError;

/// The longest kernel command line without its final zero: Linux reads 2048 bytes on x86
/// (`COMMAND_LINE_SIZE` in `arch/x86/include/asm/setup.h`).
pub const COMMAND_LINE_LIMIT_BYTES: usize = 2047;

/// The guest to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// The built-in probe guest, typed as the word `probe`.
    Probe,
    /// A kernel's file; a file that is really called `probe` is typed as `./probe`.
    File(PathBuf),
}

impl KernelSource {
    /// The command line when none is given: the serial console for a kernel, nothing for the probe guest.
    pub(super) fn default_command_line(&self) -> &'static str {
        match self {
            Self::Probe => "",
            // panic=-1 reboots at once, which ends the VM instead of leaving it hanging.
            Self::File(_) => "console=ttyS0 panic=-1",
        }
    }
}

impl FromStr for KernelSource {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match value {
            "" => Err(ConfigError::KernelEmpty),
            "probe" => Ok(Self::Probe),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for KernelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe => f.write_str("probe"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Checks that a command line reaches the guest as it was typed.
pub(super) fn check_command_line(text: &str) -> Result<(), ConfigError> {
    if text.len() > COMMAND_LINE_LIMIT_BYTES {
        return Err(ConfigError::CommandLineLength {
            length_bytes: text.len(),
            limit_bytes: COMMAND_LINE_LIMIT_BYTES,
        });
    }
    match text
        .bytes()
        .position(|byte| !(byte.is_ascii_graphic() || byte == b' '))
    {
        Some(offset_bytes) => Err(ConfigError::CommandLineCharacter { offset_bytes }),
        None => Ok(()),
    }
}
