//! Where control sockets are: one directory for all VMs of a user, one socket named after each VM.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::ControlError;
use crate::config::{ConfigError, VmName};

/// What fits into `sun_path` before its final zero (unix(7): 108 bytes on Linux).
const PATH_LIMIT_BYTES: usize = 107;

/// How the file name of a socket ends.
const EXTENSION: &str = "sock";

/// A path that fits into the address of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPath(PathBuf);

impl SocketPath {
    /// The path the user chose, or the one that belongs to the name.
    ///
    /// # Errors
    /// If it is longer than the address of a socket can be.
    pub fn choose(name: &VmName, api: Option<&Path>) -> Result<Self, ControlError> {
        match api {
            Some(path) => Self::new(path.to_owned()),
            None => Self::new(socket_in(&runtime_directory(), name)),
        }
    }

    /// Any path.
    ///
    /// # Errors
    /// If it is longer than the address of a socket can be.
    pub fn new(path: PathBuf) -> Result<Self, ControlError> {
        if path.as_os_str().len() > PATH_LIMIT_BYTES {
            return Err(ControlError::PathTooLong {
                path,
                limit_bytes: PATH_LIMIT_BYTES,
            });
        }
        Ok(Self(path))
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The directory that holds the socket.
    pub(super) fn directory(&self) -> &Path {
        match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

/// How a user points at a VM: by its name, or by its socket if there is a slash in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmAddress {
    /// The VM's name.
    Name(VmName),
    /// The path of its control socket.
    Path(PathBuf),
}

impl FromStr for VmAddress {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        if value.contains('/') {
            Ok(Self::Path(value.into()))
        } else {
            value.parse().map(Self::Name)
        }
    }
}

impl fmt::Display for VmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl VmAddress {
    /// The socket it stands for.
    ///
    /// # Errors
    /// If its path is longer than the address of a socket can be.
    pub fn socket(&self) -> Result<SocketPath, ControlError> {
        SocketPath::new(match self {
            Self::Name(name) => socket_in(&runtime_directory(), name),
            Self::Path(path) => path.clone(),
        })
    }
}

/// The directory of this user's control sockets: `$XDG_RUNTIME_DIR/skiff`, else `/run/skiff`.
pub fn runtime_directory() -> PathBuf {
    directory_under(env::var_os("XDG_RUNTIME_DIR").as_deref())
}

/// The XDG Base Directory Specification has relative paths ignored.
fn directory_under(xdg_runtime_dir: Option<&OsStr>) -> PathBuf {
    xdg_runtime_dir
        .map(Path::new)
        .filter(|path| path.is_absolute())
        .unwrap_or(Path::new("/run"))
        .join("skiff")
}

fn socket_in(directory: &Path, name: &VmName) -> PathBuf {
    directory.join(format!("{name}.{EXTENSION}"))
}

/// The names of the VMs, dead or alive, that have a socket in the directory, in order.
///
/// # Errors
/// If the directory exists and cannot be listed.
pub fn sockets_in(directory: &Path) -> Result<Vec<(VmName, SocketPath)>, ControlError> {
    let failed = |source| ControlError::ListDirectory {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut sockets = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if let Some(name) = name_of(&path) {
            sockets.push((name, SocketPath::new(path)?));
        }
    }
    sockets.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(sockets)
}

fn name_of(path: &Path) -> Option<VmName> {
    let extension = path.extension()?;
    (extension.as_bytes() == EXTENSION.as_bytes()).then_some(())?;
    path.file_stem()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
