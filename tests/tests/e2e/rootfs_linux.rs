//! A Debian system on a disk, as `guest-images/linux/rootfs.sh` makes it: a session of ssh and a download
//! survive a move, and programs find the guest through its socket device before and after it.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tests::harness::{Host, Lines, Network};

use crate::ground::{has_hardware, has_network, is_rig, key};

/// Long enough for a system to boot under emulation.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the guest downloads, and how fast it is given.
const FILE_BYTES: usize = 12 << 20;
const PIECE_BYTES: usize = 64 << 10;
const PIECE_EVERY: Duration = Duration::from_millis(100);

/// The image and the key to it, unless nobody has made them.
fn image() -> Option<(PathBuf, PathBuf)> {
    let image: PathBuf = env::var_os("SKIFF_ROOTFS")?.into();
    let key = image.with_extension("img.key");
    (image.exists() && key.exists()).then_some((image, key))
}

/// A client of ssh that is given commands.
struct Session {
    client: Child,
    output: Lines,
}

impl Session {
    /// Logs in as soon as the guest lets it.
    fn open(key: &Path) -> Self {
        let began = Instant::now();
        loop {
            let mut session = Self::try_open(key);
            if session.ask("echo session $((40 + 2))", "session 42") {
                return session;
            }
            assert!(began.elapsed() < PATIENCE, "{:?}", session.output.all());
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn try_open(key: &Path) -> Self {
        let mut client = Command::new("ssh")
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args([
                "-o",
                "LogLevel=ERROR",
                "-o",
                "ConnectTimeout=10",
                "-o",
                "BatchMode=yes",
                "-i",
            ])
            .arg(key)
            .args(["root@10.77.0.2", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("ssh (package openssh-client): {error}"));
        let output = Lines::collect(client.stdout.take().unwrap());
        Self { client, output }
    }

    /// Gives a command, and says whether the answer came.
    fn ask(&mut self, command: &str, answer: &str) -> bool {
        let from = self.output.count();
        let given = writeln!(self.client.stdin.as_mut().unwrap(), "{command}");
        given.is_ok() && self.output.wait_from(from, answer, PATIENCE).is_ok()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What has ended needs no end.
        drop(self.client.kill());
        drop(self.client.wait());
    }
}

/// Bytes that no two pieces have in common.
fn file() -> Vec<u8> {
    let words = (0..FILE_BYTES as u64 / 8).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_le_bytes).collect()
}

/// Answers one request of HTTP with the file, slowly.
fn give(mut stream: TcpStream, file: &[u8]) {
    let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
    while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
    let length = file.len();
    write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    for piece in file.chunks(PIECE_BYTES) {
        stream.write_all(piece).unwrap();
        thread::sleep(PIECE_EVERY);
    }
}

/// The port of a service in the guest that returns what it gets, and one of the host.
const ECHO: u32 = 1234;
const HOST_PORT: u32 = 77;

/// What goes there and back through the socket device.
const EXCHANGED_BYTES: usize = 300_000;

/// Connects to the service in the guest through the socket device, as soon as it listens.
fn connect(socket: &Path) -> UnixStream {
    let began = Instant::now();
    loop {
        let mut program = UnixStream::connect(socket).unwrap();
        program.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(program, "CONNECT {ECHO}").unwrap();
        let mut answer = String::new();
        // Not a byte more than the line: what follows is the guest's.
        while !answer.ends_with('\n') {
            let mut byte = [0];
            if program.read(&mut byte).unwrap() == 0 {
                break;
            }
            answer.push(char::from(byte[0]));
        }
        if answer.starts_with("OK ") {
            return program;
        }
        assert!(began.elapsed() < PATIENCE, "the guest does not listen");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Has the service return more than any buffer on the way holds.
fn exchange(program: &mut UnixStream) {
    let said: Vec<u8> = file().into_iter().take(EXCHANGED_BYTES).collect();
    let mut writer = program.try_clone().unwrap();
    let heard = thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&said).unwrap());
        let mut heard = vec![0; said.len()];
        program.read_exact(&mut heard).unwrap();
        heard
    });
    assert!(said == heard, "the echo is another");
}

/// Has the guest call a program of the host.
fn hear_from_the_guest(session: &mut Session, socket: &Path) {
    let path = socket.with_file_name(format!("v_{HOST_PORT}"));
    let listener = UnixListener::bind(&path).unwrap();
    let call = format!(
        "echo from the guest | socat -u - VSOCK-CONNECT:2:{HOST_PORT}; echo called $((40 + 2))"
    );
    assert!(session.ask(&call, "called 42"));
    let mut heard = String::new();
    listener
        .accept()
        .unwrap()
        .0
        .read_to_string(&mut heard)
        .unwrap();
    assert_eq!(heard, "from the guest\n");
    fs::remove_file(path).unwrap();
}

#[test]
fn session_of_ssh_and_a_download_survive_a_post_copy_move() {
    let Some((image, ssh_key)) = image() else {
        println!(
            "rootfs: not run here: SKIFF_ROOTFS names no image of guest-images/linux/rootfs.sh"
        );
        return;
    };
    if !has_hardware("rootfs") || !has_network("rootfs") {
        return;
    }
    if is_rig() {
        // The client wants to know who it is.
        fs::create_dir_all("/etc").unwrap();
        fs::write("/etc/passwd", "root:x:0:0:root:/:/bin/sh\n").unwrap();
    }
    let (host, network) = (Host::new().unwrap(), Network::new(2).unwrap());
    let place = tempfile::tempdir().unwrap();
    // The image stays as it is, but in the rig, which has its own; the key is for its owner alone.
    let disk = if is_rig() {
        image
    } else {
        let disk = place.path().join("disk");
        fs::copy(&image, &disk).unwrap();
        disk
    };
    let ssh_key = key(
        place.path(),
        "ssh.key",
        &fs::read_to_string(ssh_key).unwrap(),
    );
    let net = format!("tap={},mac=52:54:00:12:34:56", network.tap(0));
    let socket = place.path().join("v");
    let options = [
        "--memory",
        "384M",
        "--disk",
        disk.to_str().unwrap(),
        "--net",
        &net,
        "--vsock",
        &format!("socket={}", socket.display()),
    ];
    let mut vm = host
        .boot_linux_with("a", &options, "quiet skiff.root=/dev/vda")
        .unwrap();
    let mut session = Session::open(Path::new(&ssh_key));
    assert!(session.ask("cat /etc/hostname", "skiff"));
    let echo = format!("(socat VSOCK-LISTEN:{ECHO},fork EXEC:cat &); echo serves $((40 + 2))");
    assert!(session.ask(&echo, "serves 42"));
    let mut program = connect(&socket);
    exchange(&mut program);
    hear_from_the_guest(&mut session, &socket);

    let listener = TcpListener::bind((Network::HOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = file();
    let digest: String = Sha256::digest(&file)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut downloading = Session::open(Path::new(&ssh_key));
    let key = key(place.path(), "key", "sixteen bytes or more");
    let there = format!("tap={}", network.tap(1));
    let (mut target, address) = host
        .receive_with("b", &["--key", &key, "--net", &there])
        .unwrap();
    let url = format!("http://{}:{port}/file", Network::HOST);
    let download = format!("wget -q -O - {url} | sha256sum");
    thread::scope(|scope| {
        let giver = scope.spawn(|| give(listener.accept().unwrap().0, &file));
        let asker = scope.spawn(|| downloading.ask(&download, &digest));
        thread::sleep(Duration::from_secs(2));
        let report = vm
            .migrate(&address, &["--mode", "post-copy", "--key", &key])
            .unwrap();
        assert_eq!(report["outcome"], "completed", "{report}");
        assert!(
            !giver.is_finished(),
            "the file was there before the guest had moved"
        );
        assert!(
            session.ask("echo moved $((40 + 2))", "moved 42"),
            "the session is lost"
        );
        giver.join().unwrap();
        assert!(
            asker.join().unwrap(),
            "the file came damaged, or not at all"
        );
    });
    vm.skiff.succeed(PATIENCE).unwrap();
    // The connection was that host's; the guest goes on listening, and is found at the same path.
    assert_eq!(program.read(&mut [0]).unwrap(), 0);
    exchange(&mut connect(&socket));
    hear_from_the_guest(&mut session, &socket);
    assert!(session.ask("systemctl poweroff; echo bye", "bye"));
    target.skiff.succeed(PATIENCE).unwrap();
}
