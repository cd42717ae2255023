//! The kernel command line: the user's words, and after them what the monitor adds.

use linux_loader::cmdline::Cmdline;
use linux_loader::loader::load_cmdline;
use vm_memory::GuestAddress;

use super::GuestMemory;
use super::error::BootError;
use super::layout::{self, VirtioWindow};

/// The words for a guest whose user gave none: a console on the serial port, and a panic ends the
/// VM instead of hanging it. How to restart is left to ACPI's reset register.
pub const DEFAULT_COMMAND_LINE: &str = "console=ttyS0 panic=-1";

/// The name of the word that announces a device to kernels without ACPI
/// (Linux Documentation/admin-guide/kernel-parameters.txt).
const DEVICE_WORD: &str = "virtio_mmio.device=";

/// Builds the command line: `user_text`, or [`DEFAULT_COMMAND_LINE`] if it is blank, and one
/// `virtio_mmio.device=` for each of `windows` that the user's words do not name themselves. What
/// follows ` -- ` in the user's text stays last, since it is for the guest's init.
///
/// # Errors
/// If the text has a character that is not printable ASCII, or if the whole is longer than
/// `max_bytes` without its NUL.
pub(super) fn build(
    user_text: &str,
    windows: &[VirtioWindow],
    max_bytes: usize,
) -> Result<Cmdline, BootError> {
    let words = match user_text.trim() {
        "" => DEFAULT_COMMAND_LINE,
        text => text,
    };
    let unprintable = words
        .bytes()
        .enumerate()
        .find(|(_, byte)| !matches!(byte, b' '..=b'~'));
    if let Some((position, byte)) = unprintable {
        return Err(BootError::CommandLineByte { byte, position });
    }
    let limit_bytes = max_bytes.min(layout::COMMAND_LINE_MAX_BYTES - 1);
    // The builder's own limit is out of reach, so that the error can name the whole length.
    let capacity_bytes = words.len() + layout::COMMAND_LINE_MAX_BYTES;
    let mut line = Cmdline::try_from(words, capacity_bytes).map_err(BootError::CommandLine)?;
    for window in windows.iter().filter(|window| !names_device(words, window)) {
        let (size, base) = (u64::from(window.size_bytes), u64::from(window.base));
        line.add_virtio_mmio_device(size, GuestAddress(base), window.gsi.0, None)
            .map_err(BootError::CommandLine)?;
    }
    let given_bytes = line
        .as_cstring()
        .map_err(BootError::CommandLine)?
        .as_bytes()
        .len();
    if given_bytes > limit_bytes {
        return Err(BootError::CommandLineTooLong {
            given_bytes,
            limit_bytes,
        });
    }
    Ok(line)
}

/// Writes `line` to its place in guest memory.
pub(super) fn write(memory: &GuestMemory, line: &Cmdline) -> Result<(), BootError> {
    load_cmdline(memory, layout::COMMAND_LINE, line).map_err(BootError::LoadKernel)
}

fn names_device(words: &str, window: &VirtioWindow) -> bool {
    let place = format!("@{:#x}:", window.base);
    words
        .split(' ')
        .filter_map(|word| word.strip_prefix(DEVICE_WORD))
        .any(|device| device.contains(&place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(user_text: &str, devices: usize, max_bytes: usize) -> Result<String, BootError> {
        let windows: Vec<_> = (0..devices).filter_map(VirtioWindow::of_device).collect();
        let line = build(user_text, &windows, max_bytes)?;
        Ok(line.as_cstring().unwrap().into_string().unwrap())
    }

    #[test]
    fn line_without_user_text_is_the_default() {
        assert_eq!(text(" ", 0, 2047).unwrap(), "console=ttyS0 panic=-1");
    }

    #[test]
    fn line_has_the_users_words_then_the_devices_then_what_is_for_init() {
        assert_eq!(
            text("quiet -- single", 2, 2047).unwrap(),
            "quiet virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6 \
             -- single"
        );
    }

    #[test]
    fn line_keeps_a_device_as_the_user_wrote_it() {
        let own = "virtio_mmio.device=4K@0xd0000000:7:1";
        assert_eq!(text(own, 1, 2047).unwrap(), own);
    }

    #[test]
    fn line_longer_than_the_limit_is_refused_with_both_lengths() {
        assert_eq!(text("0123456789", 0, 10).unwrap().len(), 10);
        let error = text("0123456789a", 0, 10).unwrap_err();
        let expected = BootError::CommandLineTooLong {
            given_bytes: 11,
            limit_bytes: 10,
        };
        assert_eq!(error.to_string(), expected.to_string());
        let endless = "x".repeat(1 << 20);
        assert!(matches!(
            text(&endless, 1, 1 << 21),
            Err(BootError::CommandLineTooLong { .. })
        ));
    }

    #[test]
    fn line_with_an_unprintable_byte_is_refused_with_its_position() {
        for (user_text, wrong) in [("a\nb", b'\n'), ("a\0", 0), ("a\u{e4}", 0xc3)] {
            let error = text(user_text, 0, 100).unwrap_err();
            let BootError::CommandLineByte { byte, position: 1 } = error else {
                panic!("{error}")
            };
            assert_eq!(byte, wrong);
        }
    }
}
