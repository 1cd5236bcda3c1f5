//! A dunlin process of a test: its Corefile, its files, its port, its output; ended when dropped.

use super::{Answer, Client, Question};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a start may take.
const START: Duration = Duration::from_secs(20);

/// A directory that goes when the test is done.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("dunlin-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file as editors and Kubernetes do: beside, then renamed into its place.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let (file, beside) = (self.0.join(name), self.0.join(format!(".{}.new", name.replace('/', "-"))));
        std::fs::create_dir_all(file.parent().expect("a file has a directory")).expect("a directory");
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &file)).expect("a file written");
        file
    }

    /// Copies a directory of the repository into this one.
    pub fn copy(&self, from: &Path) {
        for entry in std::fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
            let path = entry.expect("an entry").path();
            let to = self.0.join(path.file_name().expect("a name"));
            if path.is_dir() {
                std::fs::create_dir_all(&to).expect("a directory");
                let inner = Scratch(to);
                inner.copy(&path);
                std::mem::forget(inner);
            } else {
                std::fs::copy(&path, &to).expect("a file copied");
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port of 127.0.0.1 that nobody has, over UDP and TCP; below the ports the kernel hands out to clients.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = (std::process::id().wrapping_mul(97) % 11000) as u16;
        let port = 20000 + (spread + step) % 12000;
        let address = SocketAddr::from(([0, 0, 0, 0], port));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return port;
        }
    }
}

/// How a process is to be started.
pub struct Start {
    corefile: Option<String>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    directory: Option<PathBuf>,
    /// A directory to be its root, and where the program stands below it.
    root: Option<(PathBuf, String)>,
    address: Option<SocketAddr>,
    port: u16,
}

impl Start {
    /// With this Corefile. `{$PORT}` in it is a free port.
    pub fn corefile(text: &str) -> Start {
        Start { corefile: Some(text.into()), ..Start::bare() }
    }

    /// Without a Corefile.
    pub fn bare() -> Start {
        Start {
            corefile: None,
            environment: Vec::new(),
            arguments: Vec::new(),
            directory: None,
            root: None,
            address: None,
            port: free_port(),
        }
    }

    /// With an environment variable.
    pub fn set(mut self, name: &str, value: impl ToString) -> Start {
        self.environment.push((name.into(), value.to_string()));
        self
    }

    /// With an argument.
    pub fn argument(mut self, argument: &str) -> Start {
        self.arguments.push(argument.into());
        self
    }

    /// In this directory; else in the process's own scratch directory.
    pub fn inside(mut self, directory: &Path) -> Start {
        self.directory = Some(directory.into());
        self
    }

    /// Listening on this port.
    pub fn on_port(mut self, port: u16) -> Start {
        self.port = port;
        self
    }

    /// With this directory as its root, where the program stands at `program`.
    pub fn rooted(mut self, root: &Path, program: &str) -> Start {
        self.root = Some((root.into(), program.into()));
        self
    }

    /// Its Corefile has it listen on this address, not on 127.0.0.1 and the port.
    pub fn listening(mut self, address: SocketAddr) -> Start {
        self.address = Some(address);
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// Where it ends before, or takes too long.
    pub fn run(self) -> Dunlin {
        self.try_run().unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts it and waits until it listens. An error says what it printed when it did not.
    pub fn try_run(self) -> Result<Dunlin, String> {
        let mut dunlin = self.spawn();
        let begun = Instant::now();
        while !dunlin.listens() {
            if let Some(status) = dunlin.ended() {
                dunlin.readers.drain(..).for_each(|reader| drop(reader.join()));
                return Err(format!("dunlin ended with {status}:\n{}", dunlin.output()));
            }
            if begun.elapsed() > START {
                return Err(format!("dunlin does not listen:\n{}", dunlin.output()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(dunlin)
    }

    /// Starts it and asks until there is an answer without an error: how long that took from before the start.
    ///
    /// # Panics
    /// Where it ends before, or takes too long.
    pub fn until_answer(self, question: &str) -> (Dunlin, Duration) {
        let question = Question::parse(question).unwrap_or_else(|error| panic!("{question}: {error}"));
        let begun = Instant::now();
        let mut dunlin = self.spawn();
        loop {
            let answer = dunlin.client().ask_once(&question, Duration::from_millis(2));
            if answer.is_some_and(|(answer, _)| answer.is_ok_and(|answer| answer.rcode == "NOERROR")) {
                return (dunlin, begun.elapsed());
            }
            assert!(dunlin.ended().is_none(), "dunlin ended:\n{}", dunlin.output());
            assert!(begun.elapsed() < START, "dunlin does not answer:\n{}", dunlin.output());
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Starts it and waits until it has ended: the exit code, and what it printed.
    ///
    /// # Panics
    /// Where it goes on running.
    pub fn run_to_end(self) -> (i32, String) {
        let mut dunlin = self.spawn();
        let code = dunlin.wait_for_end(START);
        (code, dunlin.output())
    }

    fn spawn(self) -> Dunlin {
        let scratch = Scratch::new();
        let mut command = match &self.root {
            None => Command::new(env!("CARGO_BIN_EXE_dunlin")),
            Some((root, program)) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(program);
                command
            }
        };
        if let Some(corefile) = &self.corefile {
            command.arg("-conf").arg(scratch.write("Corefile", corefile));
        }
        command.args(&self.arguments).env("PORT", self.port.to_string());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.directory.as_deref().unwrap_or(scratch.path()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the dunlin binary starts");
        let output = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        let readers = vec![collect(stdout, &output), collect(stderr, &output)];
        let address = self.address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], self.port)));
        Dunlin { child, port: self.port, address, scratch, output, readers }
    }
}

fn collect(from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> std::thread::JoinHandle<()> {
    let into = into.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let mut text = into.lock().expect("no panic holds it");
            text.push_str(&String::from_utf8_lossy(&line));
            text.push('\n');
        }
    })
}

/// A running dunlin.
pub struct Dunlin {
    child: Child,
    pub port: u16,
    address: SocketAddr,
    scratch: Scratch,
    output: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Dunlin {
    /// What Debian's dig prints when it asks this server; `None` where there is no dig.
    pub fn dig(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("dig");
        command.args(["@127.0.0.1", "-p", &self.port.to_string(), "+time=5", "+tries=1"]).args(arguments);
        command.output().ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts with this Corefile and waits until it listens.
    pub fn start(corefile: &str) -> Dunlin {
        Start::corefile(corefile).run()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// Asks one question given as text.
    pub fn ask(&self, question: &str) -> Answer {
        self.client().ask(question)
    }

    /// Where its Corefile stands.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// What it has printed so far, both streams.
    pub fn output(&self) -> String {
        self.output.lock().expect("no panic holds it").clone()
    }

    /// Waits until it has printed this.
    pub fn wait_for_output(&self, text: &str) {
        let printed = wait_until(Duration::from_secs(10), || self.output().contains(text));
        assert!(printed, "{text:?} was not printed:\n{}", self.output());
    }

    /// Sends a signal by name, as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits for the end: the exit code, -1 where a signal ended it.
    ///
    /// # Panics
    /// Where it goes on running.
    pub fn wait_for_end(&mut self, patience: Duration) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                self.readers.drain(..).for_each(|reader| drop(reader.join()));
                return status.code().unwrap_or(-1);
            }
            assert!(begun.elapsed() < patience, "dunlin goes on running:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Resident memory in octets.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory since the start, or since [`Dunlin::forget_peak`], in octets.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// What is resident now is the most that was (proc_pid_clear_refs(5)). False where the system does not allow it.
    pub fn forget_peak(&self) -> bool {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").is_ok()
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A TCP connection is the sign: it opens with the UDP sockets, and it is no query that would be counted.
    /// QUIC cannot be knocked at: there the line counts that says where it is served, which comes when it is.
    fn listens(&self) -> bool {
        let quic = format!(":{} on 127.0.0.1", self.port);
        self.output().lines().any(|line| line.starts_with("quic://") && line.ends_with(&quic))
            || TcpStream::connect_timeout(&self.address(), Duration::from_millis(200)).is_ok()
    }
}

impl Drop for Dunlin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- dunlin on port {} printed:\n{}", self.port, self.output());
        }
    }
}

/// Whether the condition comes true in time.
pub fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One HTTP GET: status and body; `None` where nobody answers.
pub fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    http_request(port, "GET", path, "text/plain", "")
}

/// One HTTP request: status and body; `None` where nobody answers.
pub fn http_request(port: u16, method: &str, path: &str, kind: &str, body: &str) -> Option<(u16, String)> {
    request(SocketAddr::from(([127, 0, 0, 1], port)), method, path, kind, body)
}

/// One HTTP GET to any address.
pub fn http_at(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    request(address, "GET", path, "text/plain", "")
}

fn request(address: SocketAddr, method: &str, path: &str, kind: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    // A type of nothing is refused by an API server.
    let kind = if body.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{kind}").ok()?;
    write!(stream, "Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).ok()?;
    let text = String::from_utf8_lossy(&octets).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Some((status, if chunked { unchunked(body) } else { body.to_owned() }))
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Some(len) = usize::from_str_radix(size.trim(), 16).ok().filter(|len| *len > 0) else { break };
        whole.push_str(rest.get(..len).unwrap_or(rest));
        body = rest.get(len + 2..).unwrap_or_default();
    }
    whole
}

/// Prints a line that is seen even where the test passes: past the test harness, which holds back `println!`.
pub fn say(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}

/// Says loudly that a test could not run here. With `DUNLIN_STRICT=1` that is a failure.
pub fn skip(name: &str, why: &str) {
    say(format!("\nSKIPPED: {name}: {why}"));
    assert!(std::env::var("DUNLIN_STRICT").as_deref() != Ok("1"), "{name} was skipped: {why}");
}
