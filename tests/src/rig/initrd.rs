//! Assembles the initramfs of the outer VM: the ready-made system of the recipe, then an archive of
//! our own with the command, the inputs, their libraries and the guest images.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::cpio::Archive;
use super::{RigError, libraries, output};

/// A file of the host and the place where the outer VM finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    host: PathBuf,
    name: Option<PathBuf>,
}

impl Input {
    /// A file that gets another name inside; a relative one is taken from /in.
    pub fn named(host: impl Into<PathBuf>, name: impl Into<PathBuf>) -> Self {
        Self {
            host: host.into(),
            name: Some(name.into()),
        }
    }

    /// Where the outer VM finds the file.
    ///
    /// # Errors
    /// If neither a name was given nor the path of the host ends in one.
    pub fn path_inside(&self) -> Result<PathBuf, RigError> {
        let nameless = || RigError::InputName {
            path: self.host.clone(),
        };
        match &self.name {
            Some(name) if name.file_name().is_some() => Ok(Path::new("/in").join(name)),
            Some(_) => Err(nameless()),
            None => self
                .host
                .file_name()
                .map(|name| Path::new("/in").join(name))
                .ok_or_else(nameless),
        }
    }
}

impl From<PathBuf> for Input {
    fn from(host: PathBuf) -> Self {
        Self { host, name: None }
    }
}

impl From<&Path> for Input {
    fn from(host: &Path) -> Self {
        host.to_path_buf().into()
    }
}

impl From<&str> for Input {
    fn from(host: &str) -> Self {
        PathBuf::from(host).into()
    }
}

/// Makes the initramfs as an anonymous file.
pub fn assemble(images: &Path, inputs: &[Input], script: &[u8]) -> Result<File, RigError> {
    let anonymous = |source| RigError::AnonymousFile {
        name: "initrd",
        source,
    };
    let mut initrd = output::anonymous_file("initrd")?;
    copy(&images.join("rig.cpio"), &mut initrd)?;
    // The next archive has to begin at a multiple of 4; the kernel skips zeros between archives.
    let end = initrd
        .stream_position()
        .map_err(anonymous)?
        .next_multiple_of(4);
    initrd
        .set_len(end)
        .and_then(|()| initrd.seek(SeekFrom::Start(end)))
        .map_err(anonymous)?;

    let mut archive = Archive::new(BufWriter::new(initrd));
    let init: &[u8] = include_bytes!("init");
    for (path, permissions, content) in [("/init", 0o755, init), ("/rig/command", 0o644, script)] {
        let size_bytes = u32::try_from(content.len()).expect("our own scripts are small");
        archive
            .file(Path::new(path), permissions, size_bytes, content)
            .map_err(anonymous)?;
    }
    for directory in ["/in", "/out"] {
        archive.directory(Path::new(directory)).map_err(anonymous)?;
    }
    for (inside, host) in placed_files(images, inputs)? {
        add(&mut archive, &host, &inside)?;
    }
    archive
        .finish()
        .and_then(|buffer| buffer.into_inner().map_err(Into::into))
        .map_err(anonymous)
}

/// Lists the files of the host that go in, by their place inside.
fn placed_files(images: &Path, inputs: &[Input]) -> Result<BTreeMap<PathBuf, PathBuf>, RigError> {
    let mut files = BTreeMap::new();
    for name in ["vmlinuz", "initramfs.cpio.lz4"] {
        files.insert(Path::new("/images").join(name), images.join(name));
    }
    for input in inputs {
        // A library keeps its path: this is where the loader looks for it.
        for library in libraries::of(&input.host)? {
            files.insert(library.clone(), library);
        }
        files.insert(input.path_inside()?, input.host.clone());
    }
    Ok(files)
}

fn copy(path: &Path, sink: &mut impl Write) -> Result<(), RigError> {
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, sink))
        .map(drop)
        .map_err(|source| RigError::ReadInput {
            path: path.to_path_buf(),
            source,
        })
}

fn add<W: Write>(archive: &mut Archive<W>, host: &Path, inside: &Path) -> Result<(), RigError> {
    let failed = |source| RigError::ReadInput {
        path: host.to_path_buf(),
        source,
    };
    let file = File::open(host).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let size_bytes = u32::try_from(metadata.len()).map_err(|_| RigError::InputTooLarge {
        path: host.to_path_buf(),
        size_bytes: metadata.len(),
    })?;
    archive
        .file(inside, metadata.permissions().mode(), size_bytes, file)
        .map_err(failed)
}
