//! What comes of a program in the rig.

use std::time::Duration;

/// How a program, or the outer VM around it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RigEnd {
    /// The program ended with this status; 128 + N stands for signal N, as in a shell.
    Exited(u8),
    /// The time was up; the outer VM was killed.
    TimedOut,
    /// The outer VM ended before the program did: a panic of its kernel, or QEMU failed.
    Died,
    /// A CPU of the outer VM did no work any more, which says nothing about the program; the outer
    /// VM was killed.
    Stood,
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct RigOutcome {
    /// How it ended.
    pub end: RigEnd,
    /// What the program wrote to its stdout.
    pub stdout: Vec<u8>,
    /// What the program wrote to its stderr.
    pub stderr: Vec<u8>,
    /// QEMU's own messages and the last lines of the outer kernel's console.
    pub diagnosis: String,
    /// From the start of QEMU to its end.
    pub elapsed: Duration,
    /// From the start of the outer kernel to the start of the program, by the outer VM's clock.
    pub boot: Option<Duration>,
}

impl RigOutcome {
    /// The program's stdout as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Ends the test unless the program ended with status 0.
    ///
    /// # Panics
    /// With everything that the program and the outer VM said.
    #[track_caller]
    pub fn assert_success(&self) {
        assert!(
            self.end == RigEnd::Exited(0),
            "the program in the rig ended with {:?} after {:?}\n{}{}--- console of the outer VM\n{}",
            self.end,
            self.elapsed,
            self.text(),
            String::from_utf8_lossy(&self.stderr),
            self.diagnosis,
        );
    }
}
