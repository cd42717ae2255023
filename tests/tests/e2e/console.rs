//! The interactive console on a real terminal: raw mode, the keys of the monitor, and the terminal
//! as it was on every way out.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, tcgetattr};
use tests::harness::{Host, skiff_binary};

use crate::ground::has_kvm;

const PATIENCE: Duration = Duration::from_secs(30);

/// What each thread of a process is at: its name, its state, and where it waits in the kernel.
fn threads_of(pid: u32) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let read =
        |task: &Path, file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
    let tell = |task: &Path| {
        let status = read(task, "status");
        let told = status.lines().filter(|line| {
            let known = ["Name:", "State:", "SigPnd:", "ShdPnd:", "SigBlk:"];
            known.iter().any(|name| line.starts_with(name))
        });
        let told: Vec<_> = told.collect();
        let (wchan, call) = (read(task, "wchan"), read(task, "syscall"));
        format!("{}\t{wchan}\t{}", told.join("\t"), call.trim_end())
    };
    let lines: Vec<_> = tasks.map(|task| tell(&task.unwrap().path())).collect();
    lines.join("\n")
}

/// The words before a command that make it heed signals: who starts this test in the background of a
/// script, or by nohup, has it ignore some, and skiff would respect that.
fn heeding_signals() -> &'static [&'static str] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    let sent = [Signal::INT, Signal::QUIT, Signal::HUP];
    let is_ignored = |signal: Signal| ignored >> (signal.as_raw() - 1) & 1 == 1;
    if sent.into_iter().any(is_ignored) {
        &["env", "--default-signal=INT,QUIT,HUP"]
    } else {
        &[]
    }
}

/// A terminal with skiff in its foreground.
struct Session {
    keyboard: File,
    screen: File,
    terminal: OwnedFd,
    before: Termios,
    skiff: Child,
}

impl Session {
    fn start(host: &Host) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open = || rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
        let terminal = open().unwrap();
        let before = tcgetattr(&terminal).unwrap();
        // setsid -c makes the terminal the controlling one, as a login does.
        let skiff = Command::new("setsid")
            .arg("-c")
            .args(heeding_signals())
            .arg(skiff_binary().unwrap())
            .args([
                "run", "--kernel", "probe", "--memory", "64M", "--name", "tty",
            ])
            .args(["--cmdline", "workload=idle"])
            .env("XDG_RUNTIME_DIR", host.runtime())
            .stdin(Stdio::from(open().unwrap()))
            .stdout(Stdio::from(open().unwrap()))
            .stderr(Stdio::from(open().unwrap()))
            .spawn()
            .unwrap();
        let keyboard = File::from(master);
        let screen = keyboard.try_clone().unwrap();
        let mut session = Self {
            keyboard,
            screen,
            terminal,
            before,
            skiff,
        };
        session.wait_for("t_ms=");
        session
    }

    fn wait_for(&mut self, text: &str) {
        let (mut seen, mut piece) = (String::new(), [0; 512]);
        let deadline = Instant::now() + PATIENCE;
        while !seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).unwrap();
            let mut screen = [PollFd::new(&self.screen, PollFlags::IN)];
            let ready = poll(&mut screen, Some(&timeout)).unwrap();
            assert!(ready > 0, "no {text:?} in {seen:?}");
            let count = self.screen.read(&mut piece).unwrap();
            seen.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO)
    }

    /// Waits for the end, which must leave the terminal as it was.
    fn end(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        // A terminal nobody reads fills up, and its writers wait.
        let mut screen = self.screen.try_clone().unwrap();
        let reader = thread::spawn(move || while screen.read(&mut [0; 512]).is_ok() {});
        let status = loop {
            if let Some(status) = self.skiff.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "skiff has not ended; its threads:\n{}",
                threads_of(self.skiff.id())
            );
            thread::sleep(Duration::from_millis(5));
        };
        let after = tcgetattr(&self.terminal).unwrap();
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
        // The last end of the terminal is gone with this, and the reader reads an error.
        drop(self);
        reader.join().unwrap();
        status.code()
    }
}

#[test]
fn ctrl_a_x_leaves_and_restores_the_terminal() {
    if !has_kvm("ctrl_a_x") {
        return;
    }
    let host = Host::new().unwrap();
    let mut session = Session::start(&host);
    assert!(session.is_raw());
    session.press(b"\x01h");
    session.wait_for("end the VM");
    // Ctrl-C is the guest's, not the monitor's.
    session.press(b"\x03");
    session.wait_for("t_ms=");
    session.press(b"\x01x");
    assert_eq!(session.end(), Some(0));
}

#[test]
fn guest_that_ends_leaves_the_terminal_as_it_was() {
    if !has_kvm("tty_end") {
        return;
    }
    let host = Host::new().unwrap();
    let mut session = Session::start(&host);
    session.press(b"q");
    session.wait_for("probe: done");
    assert_eq!(session.end(), Some(0));
}

#[test]
fn signal_ends_the_monitor_and_restores_the_terminal() {
    if !has_kvm("tty_signal") {
        return;
    }
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let host = Host::new().unwrap();
        let session = Session::start(&host);
        let info = host.command(&["info", "tty", "--json"]).unwrap();
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        let pid = i32::try_from(info["pid"].as_i64().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        assert_eq!(session.end(), Some(0), "{signal:?}");
    }
}
