//! A network namespace with a name (ip-netns(8)), and the programs that make it.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::bench::BenchError;

/// How the names of our namespaces begin; the process id follows.
pub(super) const PREFIX: &str = "skiff-bench-";

/// Where `ip` keeps them.
const DIRECTORY: &str = "/run/netns";

/// Removed when dropped.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    pub(super) fn new(name: String) -> Result<Self, BenchError> {
        run(&["ip", "netns", "add", &name])?;
        Ok(Self { name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `act` on a thread of its own that belongs to the namespace (setns(2)). Its processes and
    /// sockets belong there as well.
    pub(super) fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T, BenchError> {
        let path = PathBuf::from(DIRECTORY).join(&self.name);
        let file = File::open(path).map_err(BenchError::system("open a network namespace"))?;
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(BenchError::system("enter a network namespace"))?;
                Ok(act())
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody is left to tell; the next benchmark tries again.
        let _ = run(&["ip", "netns", "delete", &self.name]);
    }
}

/// Removes the namespaces of benchmarks that are gone.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if let Some(name) = name.to_str()
            && let Some(pid) = owner(name)
            && !Path::new("/proc").join(pid.to_string()).exists()
        {
            drop(Namespace {
                name: name.to_owned(),
            });
        }
    }
}

/// The process that made the namespace, if one of ours did.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Runs a program to its end.
pub(super) fn run(words: &[&str]) -> Result<(), BenchError> {
    let (program, arguments) = words.split_first().expect("a program is named");
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::system("run ip or tc"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(BenchError::Tool {
        command: words.join(" "),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Whether the program exists and ends well.
pub(super) fn succeeds(words: &[&str]) -> bool {
    run(words).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_is_known_of_our_namespaces_only() {
        assert_eq!(owner("skiff-bench-4711-1000-source"), Some(4711));
        assert_eq!(owner("skiff-bench-x-1000-source"), None);
        assert_eq!(owner("other"), None);
    }
}
