//! Everything that can fail while a rig is set up or its output is taken.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// An operation of the rig that failed; what happens inside the outer VM is no error but an
/// [outcome](super::RigOutcome).
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// The recipe of the guest images did not start.
    #[error("cannot start {}", script.display())]
    StartRecipe {
        /// The recipe.
        script: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// The recipe of the guest images failed; its own message is on stderr.
    #[error("the guest images cannot be built ({status}); `make guest-images` shows why")]
    Recipe {
        /// How it ended.
        status: ExitStatus,
    },

    /// There is nothing to run.
    #[error("no program was given")]
    NoProgram,

    /// A file that shall go into the outer VM cannot be read.
    #[error("cannot read {}", path.display())]
    ReadInput {
        /// The file on the host.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// A file that shall go into the outer VM has no name there.
    #[error("{} needs a file name inside the rig: write FILE:NAME", path.display())]
    InputName {
        /// The file on the host.
        path: PathBuf,
    },

    /// A file is larger than a cpio archive can hold.
    #[error("{} has {size_bytes} bytes, an input may have 4 GiB - 1", path.display())]
    InputTooLarge {
        /// The file on the host.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
    },

    /// The shared libraries of a program cannot be found out.
    #[error("cannot list the shared libraries of {} with ldd", path.display())]
    ListLibraries {
        /// The program.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// A shared library of a program is not on this host.
    #[error("{} needs the shared library {library}, which this host lacks", path.display())]
    LibraryMissing {
        /// The program.
        path: PathBuf,
        /// The library, as the program names it.
        library: String,
    },

    /// An anonymous file cannot be made or written.
    #[error("cannot make the anonymous file {name}")]
    AnonymousFile {
        /// What it is for.
        name: &'static str,
        /// Why not.
        source: io::Error,
    },

    /// QEMU did not start.
    #[error("cannot start {program:?}; `make setup` installs it")]
    StartQemu {
        /// The command.
        program: OsString,
        /// Why not.
        source: io::Error,
    },

    /// QEMU cannot be waited for.
    #[error("cannot wait for QEMU")]
    WaitQemu(#[source] io::Error),

    /// What came out of the outer VM cannot be read or printed.
    #[error("cannot take the output of the outer VM")]
    TakeOutput(#[source] io::Error),

    /// The program printed more than the rig holds.
    #[error("the program printed more than {limit_bytes} bytes")]
    TooMuchOutput {
        /// The limit on stdout and on stderr.
        limit_bytes: u64,
    },

    /// The files of the program cannot be unpacked.
    #[error("cannot unpack the files of the program into {}", directory.display())]
    UnpackOutput {
        /// Where they belong.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// The archive with the files of the program is damaged or does not fit.
    #[error("tar cannot unpack the files of the program into {} ({status})", directory.display())]
    OutputArchive {
        /// Where they belong.
        directory: PathBuf,
        /// How tar ended.
        status: ExitStatus,
    },
}
