//! Finds the guest images, and has them built where they are not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::RigError;

/// Names the directory of the guest images where it is given from outside, as in the rig itself.
pub const GUEST_IMAGES_VARIABLE: &str = "SKIFF_GUEST_IMAGES";

/// The directory with `vmlinuz` and `initramfs.cpio.lz4`, and on a host `rig.cpio`. Builds them if
/// need be, which fetches two packages of the distribution; finding them done takes milliseconds.
///
/// # Errors
/// If the recipe cannot be run or fails.
pub fn guest_images() -> Result<PathBuf, RigError> {
    if let Some(directory) = std::env::var_os(GUEST_IMAGES_VARIABLE) {
        return Ok(directory.into());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let script = workspace.join("guest-images/linux/build.sh");
    let directory = workspace.join("target/guest-images");
    let status = Command::new(&script)
        .arg(&directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|source| RigError::StartRecipe { script, source })?;
    if status.success() {
        Ok(directory)
    } else {
        Err(RigError::Recipe { status })
    }
}
