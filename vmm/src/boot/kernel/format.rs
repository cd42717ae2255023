//! What a file is, by its first bytes: a kernel, or a thing that people mistake for one.

use std::fmt;

/// The offset of "HdrS" in a bzImage (Linux Documentation/arch/x86/boot.rst, `header`).
const BZIMAGE_MAGIC_OFFSET: usize = 0x202;
/// How many first bytes of an unknown file are shown.
const SHOWN_BYTES: usize = 8;

/// The kind of a file, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// An ELF file.
    Elf,
    /// A Linux bzImage.
    BzImage,
    /// Nothing at all.
    Empty,
    /// Compressed data, by the name of the program that unpacks it.
    Compressed(&'static str),
    /// A cpio archive, as an initrd is.
    Cpio,
    /// A script.
    Script,
    /// A Linux kernel for 64-bit Arm.
    ArmKernel,
    /// A Windows or EFI program.
    PortableExecutable,
    /// Something else: its first bytes, and how many of them there are.
    Unknown([u8; SHOWN_BYTES], usize),
}

impl FileFormat {
    /// Tells the kind of a file by its `prefix`, of which 1 KiB is enough.
    pub fn of(prefix: &[u8]) -> Self {
        // A bzImage with an EFI stub begins like a Windows program, so it is asked for first.
        if at(prefix, BZIMAGE_MAGIC_OFFSET, b"HdrS") {
            return Self::BzImage;
        }
        if at(prefix, 0x38, b"ARM\x64") {
            return Self::ArmKernel;
        }
        match prefix {
            [] => Self::Empty,
            [0x7f, b'E', b'L', b'F', ..] => Self::Elf,
            [0x1f, 0x8b, ..] => Self::Compressed("gzip"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Compressed("zstd"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Compressed("xz"),
            [b'B', b'Z', b'h', ..] => Self::Compressed("bzip2"),
            [0x02, 0x21, 0x4c, 0x18, ..] | [0x04, 0x22, 0x4d, 0x18, ..] => Self::Compressed("lz4"),
            [b'0', b'7', b'0', b'7', b'0', ..] => Self::Cpio,
            [b'#', b'!', ..] => Self::Script,
            [b'M', b'Z', ..] => Self::PortableExecutable,
            _ => {
                let shown = prefix.len().min(SHOWN_BYTES);
                let mut first = [0; SHOWN_BYTES];
                first[..shown].copy_from_slice(&prefix[..shown]);
                Self::Unknown(first, shown)
            }
        }
    }
}

fn at(prefix: &[u8], offset: usize, magic: &[u8]) -> bool {
    prefix
        .get(offset..)
        .is_some_and(|rest| rest.starts_with(magic))
}

impl fmt::Display for FileFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf => formatter.write_str("is an ELF file"),
            Self::BzImage => formatter.write_str("is a bzImage"),
            Self::Empty => formatter.write_str("is empty"),
            Self::Compressed(program) => {
                write!(
                    formatter,
                    "is {program} data (unpack it with {program} -d first)"
                )
            }
            Self::Cpio => formatter.write_str("is a cpio archive (is it the initrd?)"),
            Self::Script => formatter.write_str("is a script"),
            Self::ArmKernel => formatter.write_str("is a kernel for 64-bit Arm"),
            Self::PortableExecutable => formatter.write_str("is a Windows or EFI program"),
            Self::Unknown(first, shown) => {
                formatter.write_str("begins with")?;
                for byte in &first[..*shown] {
                    write!(formatter, " {byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}
