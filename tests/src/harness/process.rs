//! One process, mostly a `skiff`: its consoles, its end.

use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{HarnessError, Lines, leavings};

/// How often an ending process is looked at.
const POLL: Duration = Duration::from_millis(2);

/// How long the last lines of a process that has ended are waited for.
const DRAINED: Duration = Duration::from_secs(10);

/// Where `skiff` has its sockets.
const RUNTIME: &str = "XDG_RUNTIME_DIR";

const QEMU: &str = "qemu-system-x86_64";

/// Without ACPI it names its devices on the command line.
const MICROVM: &[&str] = &[
    "-M",
    "microvm,accel=kvm,acpi=off",
    "-nodefaults",
    "-no-user-config",
    // Threads have names of their own.
    "-name",
    "microvm,debug-threads=on",
    "-no-reboot",
    "-display",
    "none",
    "-serial",
    "stdio",
];

/// What QEMU says of its version, if there is one.
#[must_use]
pub fn qemu_version() -> Option<String> {
    let output = Command::new(QEMU).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

/// The binary under test: `$SKIFF`, or the one beside this program in the build directory.
///
/// # Errors
/// There is none.
pub fn skiff_binary() -> Result<PathBuf, HarnessError> {
    if let Some(path) = env::var_os("SKIFF") {
        return Ok(path.into());
    }
    let this = env::current_exe().map_err(HarnessError::process("find this program"))?;
    let directory = this.parent().unwrap_or(Path::new("."));
    // Test programs live in `deps`, one level below.
    let directory = match directory.file_name() {
        Some(name) if name == "deps" => directory.parent().unwrap_or(directory),
        _ => directory,
    };
    let path = directory.join("skiff");
    if path.exists() {
        Ok(path)
    } else {
        Err(HarnessError::NoBinary { path })
    }
}

/// A running program, killed when dropped.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    input: Option<ChildStdin>,
    output: Lines,
    messages: Lines,
}

impl Process {
    /// Starts `skiff ARGUMENTS` with its sockets under `runtime`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn skiff<A: AsRef<OsStr>>(runtime: &Path, arguments: &[A]) -> Result<Self, HarnessError> {
        let mut command = Command::new(skiff_binary()?);
        command.env(RUNTIME, runtime);
        Self::spawn(command, arguments)
    }

    /// The same by another program, which has to become `skiff`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn skiff_by<A: AsRef<OsStr>>(
        mut program: Command,
        runtime: &Path,
        arguments: &[A],
    ) -> Result<Self, HarnessError> {
        program.arg(skiff_binary()?).env(RUNTIME, runtime);
        Self::spawn(program, arguments)
    }

    /// Starts QEMU, to compare with: its machine `microvm` with a serial port, and with what `arguments` say.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn microvm<A: AsRef<OsStr>>(arguments: &[A]) -> Result<Self, HarnessError> {
        let mut command = Command::new(QEMU);
        command.args(MICROVM);
        Self::spawn(command, arguments)
    }

    fn spawn<A: AsRef<OsStr>>(mut command: Command, arguments: &[A]) -> Result<Self, HarnessError> {
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(HarnessError::process("start a monitor"))?;
        leavings::add_process(child.id());
        let output = child.stdout.take().map(Lines::collect).unwrap_or_default();
        let messages = child.stderr.take().map(Lines::collect).unwrap_or_default();
        let words: Vec<_> = arguments
            .iter()
            .map(|word| word.as_ref().to_string_lossy())
            .collect();
        Ok(Self {
            what: words.join(" "),
            input: child.stdin.take(),
            child,
            output,
            messages,
        })
    }

    /// What the guest printed (`--serial stdio`), or the command's own output.
    #[must_use]
    pub fn output(&self) -> &Lines {
        &self.output
    }

    /// What the program itself said on standard error.
    #[must_use]
    pub fn messages(&self) -> &Lines {
        &self.messages
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types `text` on the guest's console.
    ///
    /// # Errors
    /// The process is gone.
    pub fn type_text(&mut self, text: &str) -> Result<(), HarnessError> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        input
            .write_all(text.as_bytes())
            .and_then(|()| input.flush())
            .map_err(HarnessError::process("type on the console"))
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// It does not within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, HarnessError> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self
                .child
                .try_wait()
                .map_err(HarnessError::process("wait for skiff"))?;
            match ended {
                Some(status) => {
                    self.drain();
                    return Ok(status);
                }
                None if Instant::now() >= deadline => {
                    return Err(HarnessError::StillRunning {
                        what: self.what.clone(),
                        waited: patience,
                    });
                }
                None => thread::sleep(POLL),
            }
        }
    }

    /// Waits for a successful end.
    ///
    /// # Errors
    /// It ends otherwise, or not within `patience`.
    pub fn succeed(&mut self, patience: Duration) -> Result<(), HarnessError> {
        let status = self.wait(patience)?;
        if status.success() {
            Ok(())
        } else {
            Err(self.failure(status))
        }
    }

    /// Kills the process as a crash of its host would: without notice.
    pub fn kill(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        leavings::forget_process(self.child.id());
        self.drain();
    }

    /// What a process printed last is still on its way when it has ended.
    fn drain(&self) {
        self.output.drain(DRAINED);
        self.messages.drain(DRAINED);
    }

    /// The error that tells all about an end with `status`.
    #[must_use]
    pub fn failure(&self, status: ExitStatus) -> HarnessError {
        let output = [self.output.all(), self.messages.all()].concat().join("\n");
        HarnessError::Failed {
            command: self.what.clone(),
            status,
            output,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `skiff ARGUMENTS` to its end and returns what it printed.
///
/// # Errors
/// It does not start, or ends with another status than 0.
pub fn run<A: AsRef<OsStr>>(runtime: &Path, arguments: &[A]) -> Result<String, HarnessError> {
    let output = Command::new(skiff_binary()?)
        .args(arguments)
        .env(RUNTIME, runtime)
        .stdin(Stdio::null())
        .output()
        .map_err(HarnessError::process("run skiff"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.as_ref().to_string_lossy())
        .collect();
    Err(HarnessError::Failed {
        command: words.join(" "),
        status: ExitStatus::from_raw(output.status.into_raw()),
        output: printed + &String::from_utf8_lossy(&output.stderr),
    })
}
