//! QEMU, to compare with: the same guest on another monitor.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

use super::leavings;
use super::{HarnessError, Lines};

const PROGRAM: &str = "qemu-system-x86_64";

/// A running QEMU, killed when dropped.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    output: Lines,
    messages: Lines,
}

impl Qemu {
    /// What `qemu-system-x86_64 --version` says first, if there is one.
    #[must_use]
    pub fn version() -> Option<String> {
        let output = Command::new(PROGRAM).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.lines().next().map(str::to_owned)
    }

    /// Starts QEMU.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start<A: AsRef<OsStr>>(arguments: &[A]) -> Result<Self, HarnessError> {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(HarnessError::process("start QEMU"))?;
        leavings::add_process(child.id());
        Ok(Self {
            output: child.stdout.take().map(Lines::collect).unwrap_or_default(),
            messages: child.stderr.take().map(Lines::collect).unwrap_or_default(),
            child,
        })
    }

    /// What it printed, which is what the guest says where its serial line is QEMU's output.
    #[must_use]
    pub fn output(&self) -> &Lines {
        &self.output
    }

    /// What QEMU itself said on standard error.
    #[must_use]
    pub fn messages(&self) -> &Lines {
        &self.messages
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        leavings::forget_process(self.child.id());
    }
}
