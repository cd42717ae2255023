//! What comes out of the outer VM, in anonymous files that grow while the program runs.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};

use super::{Echo, RigError};

/// How much a program may print to stdout or stderr. Our choice: far more than any test prints,
/// little enough to be held in memory.
const OUTPUT_LIMIT_BYTES: u64 = 64 << 20;

/// How much of the console is kept for a diagnosis.
const CONSOLE_TAIL_LINES: usize = 80;

/// Makes a file that lives in memory and goes away with its last user.
pub fn anonymous_file(name: &'static str) -> Result<File, RigError> {
    memfd_create(name, MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(|errno| RigError::AnonymousFile {
            name,
            source: errno.into(),
        })
}

/// The path under which QEMU finds an open file of this process.
pub fn path_for_qemu(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// The anonymous files that take what comes out of the outer VM.
#[derive(Debug)]
pub struct Ports {
    /// The program's stdout.
    pub stdout: File,
    /// The program's stderr.
    pub stderr: File,
    /// A tar archive of what the program left.
    pub files: File,
    /// What the init of the outer VM says.
    pub report: File,
    /// The outer kernel's console.
    pub console: File,
    /// What QEMU itself says.
    pub messages: File,
}

impl Ports {
    /// Makes them all, empty.
    pub fn new() -> Result<Self, RigError> {
        Ok(Self {
            stdout: anonymous_file("stdout")?,
            stderr: anonymous_file("stderr")?,
            files: anonymous_file("files")?,
            report: anonymous_file("report")?,
            console: anonymous_file("console")?,
            messages: anonymous_file("messages")?,
        })
    }
}

/// A stream of the program as it grows in its file.
#[derive(Debug)]
pub struct Stream<'a> {
    file: &'a File,
    /// What was taken so far.
    pub bytes: Vec<u8>,
}

impl<'a> Stream<'a> {
    /// Begins at the beginning.
    pub fn new(file: &'a File) -> Self {
        Self {
            file,
            bytes: Vec::new(),
        }
    }

    /// Takes what came since the last time.
    pub fn take(&mut self, echo: Echo, sink: &mut impl Write) -> Result<(), RigError> {
        let size_bytes = self.file.metadata().map_err(RigError::TakeOutput)?.len();
        if size_bytes > OUTPUT_LIMIT_BYTES {
            return Err(RigError::TooMuchOutput {
                limit_bytes: OUTPUT_LIMIT_BYTES,
            });
        }
        let known = self.bytes.len();
        let size = usize::try_from(size_bytes).expect("the limit fits the address space");
        self.bytes.resize(size, 0);
        let news = &mut self.bytes[known..];
        let offset = u64::try_from(known).expect("a file offset fits");
        self.file
            .read_exact_at(news, offset)
            .map_err(RigError::TakeOutput)?;
        if echo == Echo::Live && !news.is_empty() {
            sink.write_all(news)
                .and_then(|()| sink.flush())
                .map_err(RigError::TakeOutput)?;
        }
        Ok(())
    }
}

/// What the init of the outer VM says about the program.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// From the start of the kernel to the start of the program.
    pub boot: Option<Duration>,
    /// How the program ended, if it did.
    pub status: Option<u8>,
}

impl Report {
    /// Reads the lines `started SECONDS` and `exit STATUS`; a line cut short counts for nothing.
    pub fn parse(text: &str) -> Self {
        let mut report = Self {
            boot: None,
            status: None,
        };
        for line in text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
        {
            match line.split_once(' ') {
                Some(("started", seconds)) => {
                    let seconds = seconds.parse().ok();
                    report.boot = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
                }
                Some(("exit", status)) => report.status = status.parse().ok(),
                _ => {}
            }
        }
        report
    }
}

/// Reads a whole file as text.
pub fn text(file: &File) -> Result<String, RigError> {
    let mut content = Stream::new(file);
    content.take(Echo::Silent, &mut io::sink())?;
    Ok(String::from_utf8_lossy(&content.bytes).into_owned())
}

/// Puts together what helps to find out why the outer VM died: QEMU's own messages, then the last
/// lines of the console without the terminal's control characters.
pub fn diagnosis(messages: &str, console: &str) -> String {
    // Said of each CPU: TCG emulates less than the CPU model has, which is known and harmless.
    let known = "warning: TCG doesn't support requested feature";
    let messages = messages.lines().filter(|line| !line.contains(known));
    let lines: Vec<&str> = console
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(CONSOLE_TAIL_LINES)..];
    let chosen: Vec<&str> = messages.chain(last.iter().copied()).collect();
    chosen
        .join("\n")
        .chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Report, diagnosis};
    use std::time::Duration;

    #[test]
    fn report_of_a_finished_program_gives_boot_time_and_status() {
        let report = Report::parse("started 4.25\nexit 3\n");
        let expected = Report {
            boot: Some(Duration::from_millis(4250)),
            status: Some(3),
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn report_cut_short_gives_no_status() {
        assert_eq!(Report::parse("started 4.25\nexit 1").status, None);
        assert_eq!(Report::parse("").boot, None);
    }

    #[test]
    fn diagnosis_of_a_long_console_keeps_its_last_lines_without_control_characters() {
        let console: String = (0..100).map(|n| format!("\u{1b}line {n}\r\n\n")).collect();
        let text = diagnosis("", &console);
        assert!(
            text.starts_with("line 20\n") && text.ends_with("line 99"),
            "{text:?}"
        );
    }

    #[test]
    fn diagnosis_names_what_qemu_complains_about_except_the_known() {
        let messages = "qemu: warning: TCG doesn't support requested feature: x\nqemu: no kernel\n";
        assert_eq!(diagnosis(messages, "panic\n"), "qemu: no kernel\npanic");
    }
}
