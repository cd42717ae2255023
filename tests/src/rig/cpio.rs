//! Writes cpio archives in the format "newc" that the kernel unpacks as an initramfs
//! (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// File type bits of `st_mode` (inode(7)).
const DIRECTORY: u32 = 0o040_000;
/// See [`DIRECTORY`].
const REGULAR_FILE: u32 = 0o100_000;

/// An archive in the making. It must begin at a multiple of 4 bytes of the whole initramfs.
#[derive(Debug)]
pub struct Archive<W> {
    sink: W,
    directories: BTreeSet<PathBuf>,
    entries: u32,
}

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub fn new(sink: W) -> Self {
        Self {
            sink,
            directories: BTreeSet::new(),
            entries: 0,
        }
    }

    /// Adds a directory and those above it, once: the kernel does not make them by itself.
    pub fn directory(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<_> = path
            .ancestors()
            .filter(|above| above.file_name().is_some() && !self.directories.contains(*above))
            .map(Path::to_path_buf)
            .collect();
        for directory in missing.into_iter().rev() {
            self.header(&directory, DIRECTORY | 0o755, 0)?;
            self.directories.insert(directory);
        }
        Ok(())
    }

    /// Adds a file of `size_bytes` bytes read from `content`.
    ///
    /// # Errors
    /// If `content` ends early, or reading or writing fails.
    pub fn file(
        &mut self,
        path: &Path,
        permissions: u32,
        size_bytes: u32,
        content: impl Read,
    ) -> io::Result<()> {
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        self.header(path, REGULAR_FILE | (permissions & 0o7777), size_bytes)?;
        let copied = io::copy(&mut content.take(u64::from(size_bytes)), &mut self.sink)?;
        if copied != u64::from(size_bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(copied)
    }

    /// Writes the entry that ends the archive and gives the sink back.
    pub fn finish(mut self) -> io::Result<W> {
        self.header(Path::new("TRAILER!!!"), 0, 0)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// Writes the header of an entry: 13 numbers of 8 hexadecimal digits, then the name.
    fn header(&mut self, path: &Path, mode: u32, size_bytes: u32) -> io::Result<()> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let name = path.as_os_str().as_encoded_bytes();
        let name_size_bytes =
            u32::try_from(name.len() + 1).map_err(|_| io::ErrorKind::InvalidFilename)?;
        self.entries += 1;
        // Inode, mode, uid, gid, links, mtime, size, device, device of a node, name size, checksum.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size_bytes,
            0,
            0,
            0,
            0,
            name_size_bytes,
            0,
        ];
        self.sink.write_all(b"070701")?;
        for field in fields {
            write!(self.sink, "{field:08x}")?;
        }
        self.sink.write_all(name)?;
        self.sink.write_all(&[0])?;
        self.pad(6 + 13 * 8 + u64::from(name_size_bytes))
    }

    /// Fills up to a multiple of 4 what began at one.
    fn pad(&mut self, size_bytes: u64) -> io::Result<()> {
        for _ in size_bytes..size_bytes.next_multiple_of(4) {
            self.sink.write_all(&[0])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;
    use std::io::ErrorKind;
    use std::path::Path;

    #[test]
    fn file_in_a_directory_gives_the_literal_archive() {
        let mut archive = Archive::new(Vec::new());
        archive
            .file(Path::new("/in/a"), 0o755, 3, &b"xyz"[..])
            .unwrap();
        let expected = concat!(
            "070701",
            "00000001",
            "000041ed",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000003",
            "00000000",
            "in\0\0\0\0",
            "070701",
            "00000002",
            "000081ed",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000003",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000005",
            "00000000",
            "in/a\0\0",
            "xyz\0",
            "070701",
            "00000003",
            "00000000",
            "00000000",
            "00000000",
            "00000001",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "00000000",
            "0000000b",
            "00000000",
            "TRAILER!!!\0\0\0\0",
        );
        assert_eq!(
            String::from_utf8(archive.finish().unwrap()).unwrap(),
            expected
        );
    }

    #[test]
    fn directory_named_twice_is_written_once() {
        let mut archive = Archive::new(Vec::new());
        archive.directory(Path::new("/a/b")).unwrap();
        archive.directory(Path::new("/a/b")).unwrap();
        archive.directory(Path::new("/a/c")).unwrap();
        let text = String::from_utf8(archive.finish().unwrap()).unwrap();
        assert_eq!(
            text.matches("070701").count(),
            4,
            "a, a/b, a/c and the trailer"
        );
    }

    #[test]
    fn file_that_shrank_is_an_error() {
        let mut archive = Archive::new(Vec::new());
        let error = archive
            .file(Path::new("/a"), 0o644, 4, &b"xyz"[..])
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
