//! A node of its own for a Corefile: network namespaces in which every address it names exists, a root file system with
//! every file it names, an upstream behind /etc/resolv.conf; and its probes, asked from inside.

use super::probes::{FOLDER, List, Probe, What};
use super::support::{Client, Dunlin, Question, Scratch, Start, http_at, read, wait_until};
use hickory_proto::op::Message;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// The node's own address.
const NODE: &str = "192.0.2.7";
/// How long what is written or counted beside the answers may take to show.
const VISIBLE: Duration = Duration::from_secs(3);

/// The cluster of every Corefile: that of the recorded answers.
const CLUSTER: [&str; 2] = ["tests/data/conformance/cluster.yaml", "tests/data/conformance/kubernetes-service.yaml"];

/// Runs a Corefile on a node and asks its probes. What is printed: `ok PLACE`, or `wrong PLACE: WHY`.
pub fn run(name: &str, role: impl Fn(&str) -> Command) {
    let list = List::load(name);
    let work = Scratch::new();
    let mut node = Node { upstream: None, root: work.path().join("root"), work };
    node.files(name, &list);
    node.network(&list, role);
    let at = list.probes.iter().find_map(|probe| match &probe.what {
        What::Ask(ask) => Some(ask.at),
        _ => None,
    });
    let mut start = Start::bare().inside(Path::new("/")).argument("-conf").argument("/etc/coredns/Corefile");
    start = start.rooted(&node.root, "/dunlin").listening(at.expect("a question"));
    for (variable, value) in &list.environment {
        start = start.set(variable, value);
    }
    let mut dunlin = match start.try_run() {
        Ok(dunlin) => dunlin,
        Err(why) => return println!("wrong {name}: {}", why.replace('\n', " | ")),
    };
    for probe in &list.probes {
        match node.probe(probe, &mut dunlin) {
            Ok(()) => println!("ok {}", probe.place),
            Err(why) => println!("wrong {}: {}", probe.place, why.replace('\n', " | ")),
        }
    }
    dunlin.output().lines().for_each(|line| println!("printed {line}"));
}

/// The text of a Corefile as it stands on the node: the distribution's words filled in, the cluster from a manifest.
pub fn corefile(name: &str, list: &List) -> String {
    let mut text = read(&format!("{FOLDER}/{name}.Corefile"));
    for (word, value) in &list.filled {
        text = text.replace(word.as_str(), value);
    }
    let from_manifests = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["kubernetes", .., "{"] => format!("{line} manifests /cluster"),
            ["kubernetes", ..] => format!("{line} {{ manifests /cluster }}"),
            _ => line.to_owned(),
        }
    };
    text.lines().map(|line| from_manifests(line) + "\n").collect()
}

struct Node {
    upstream: Option<Child>,
    root: PathBuf,
    work: Scratch,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
        // What is mounted below must be gone before the directory is.
        shell(&format!("umount -R {0}/usr {0}/proc {0}/dev {0}/dunlin", self.root.display()));
    }
}

impl Node {
    fn files(&self, name: &str, list: &List) {
        let resolv: String = list.upstreams.iter().take(1).map(|ip| format!("nameserver {ip}\n")).collect();
        self.work.write("root/etc/resolv.conf", &resolv);
        self.work.write("root/etc/coredns/Corefile", &corefile(name, list));
        for path in CLUSTER {
            let file = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.work.write(&format!("root/cluster/{file}"), &read(path));
        }
        for (path, text) in &list.files {
            self.work.write(&format!("root{path}"), text);
        }
        if let Some((server, file)) = &list.encrypted {
            super::support::tls::Authority::new().write(&self.work, server);
            let authority = std::fs::read_to_string(self.work.path().join("ca.pem")).expect("an authority");
            self.work.write(&format!("root{file}"), &authority);
        }
        self.work.write("root/dunlin", "");
        shell(&format!(
            "cd {root} && mkdir -p usr proc dev tmp && ln -s usr/bin usr/sbin usr/lib usr/lib64 . &&
             mount --bind /usr usr && mount --rbind /proc proc && mount --rbind /dev dev && mount --bind {dunlin} dunlin",
            root = self.root.display(),
            dunlin = env!("CARGO_BIN_EXE_dunlin"),
        ));
    }

    /// Our own namespace becomes the node; the upstream has one of its own, which everything else is routed to.
    fn network(&mut self, list: &List, role: impl Fn(&str) -> Command) {
        let all = |addresses: &[IpAddr], device: &str| -> String {
            addresses.iter().map(|ip| format!("ip addr add {ip}/{} dev {device}\n", bits(ip))).collect()
        };
        let mut upstream = role("upstream");
        let addresses: Vec<String> = list.upstreams.iter().map(ToString::to_string).collect();
        upstream.env("DUNLIN_SUBJECT", addresses.join(" ")).env("DUNLIN_WORK", self.work.path());
        let child = upstream.spawn().expect("the upstream starts");
        let own = || std::fs::read_link("/proc/self/ns/net").ok();
        let its = || std::fs::read_link(format!("/proc/{}/ns/net", child.id())).ok();
        assert!(wait_until(VISIBLE, || its().is_some() && its() != own()), "the upstream has its namespace");
        // Nobody looks for an address of `lo` by neighbour discovery: the way back has the link's own address.
        let script = format!(
            "no_dad() {{ echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; }} 2>/dev/null
             no_dad || true
             ip link set lo up
             ip link add up0 address 02:00:00:00:00:01 type veth peer name up1
             ip link set up1 netns {id}
             {own}ip addr add {NODE}/32 dev lo
             ip link set up0 up
             nsenter --target {id} --net sh -e <<'END'
             ip link set lo up
             ip link set up1 up
             {theirs}             ip route add default dev up1
             ip -6 route add default via fe80::ff:fe00:1 dev up1 || true
END
             ip route add default dev up0
             ip -6 route add default dev up0 || true",
            id = child.id(),
            own = all(&list.addresses, "lo"),
            theirs = all(&list.upstreams, "up1"),
        );
        shell(&script);
        self.work.write("go", "");
        assert!(wait_until(VISIBLE, || self.work.path().join("serves").exists()), "the upstream serves");
        self.upstream = Some(child);
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.upstream.take() {
            let _ = child.kill();
            let _ = child.wait();
            // The kernel takes a namespace down some time after its last process: until then what is sent there is lost
            // (a timeout) instead of refused. Without the link there is no route from this moment on.
            shell("ip link del up0 2>/dev/null || ! ip link show up0 2>/dev/null");
        }
    }

    fn probe(&mut self, probe: &Probe, dunlin: &mut Dunlin) -> Result<(), String> {
        match &probe.what {
            What::Ask(ask) => {
                let client = Client { source: ask.from, ..Client::new(ask.at) };
                let answer = client.ask_all(std::slice::from_ref(&ask.question)).pop();
                ask.verdict(&answer.unwrap_or_else(|| Err("nothing".into()))?)
            }
            What::Get(url, texts) => {
                let mut got = None;
                let right = wait_until(VISIBLE, || {
                    got = get(url);
                    let body = got.as_ref().filter(|(status, _)| *status == 200).map(|(_, body)| body.as_str());
                    body.is_some_and(|body| texts.iter().all(|text| body.contains(text.as_str())))
                });
                let near = |body: String| {
                    let word = |text: &String| text.split(['{', ' ']).next().unwrap_or_default().to_owned();
                    let lines = body.lines().filter(|line| texts.iter().any(|text| line.starts_with(&word(text))));
                    lines.take(12).map(|line| format!("{line}\n")).collect::<String>()
                };
                right
                    .then_some(())
                    .ok_or_else(|| format!("{url}: {texts:?} expected, got {:?}", got.map(|(s, b)| (s, near(b)))))
            }
            What::GetFails(url) => match get(url) {
                Some((200, body)) => Err(format!("{url} answers {body:?}")),
                _ => Ok(()),
            },
            What::Log(text) => {
                let right = wait_until(VISIBLE, || dunlin.output().contains(text.as_str()));
                right.then_some(()).ok_or_else(|| format!("{text:?} was not logged"))
            }
            What::NoLog(text) => match dunlin.output().lines().find(|line| line.contains(text.as_str())) {
                Some(line) => Err(format!("logged: {line}")),
                None => Ok(()),
            },
            What::Asked(texts) => {
                let asked = || std::fs::read_to_string(self.work.path().join("asked")).unwrap_or_default();
                let all = |line: &str| texts.split(' ').all(|text| line.split(' ').any(|word| glob(text, word)));
                let right = wait_until(VISIBLE, || asked().lines().any(all));
                right.then_some(()).ok_or_else(|| format!("the upstreams were not asked {texts}, but:\n{}", asked()))
            }
            What::Closed(address) => {
                let message = Question::new("web.prod.svc.cluster.local.", "A").message(7);
                match Client::new(*address).send_raw(&message, Duration::from_millis(300)) {
                    Some(_) => Err(format!("{address} answers")),
                    None => Ok(()),
                }
            }
            What::Rotates(at, question) => {
                let question = Question::parse(question).expect("a question").message(7);
                let orders: BTreeSet<String> = (0..20).filter_map(|_| order(*at, &question)).collect();
                if orders.len() > 1 { Ok(()) } else { Err(format!("always {orders:?}")) }
            }
            What::Stop => {
                self.stop();
                Ok(())
            }
            What::Term(code) => {
                dunlin.signal("TERM");
                match code {
                    None => Ok(()),
                    Some(code) if dunlin.wait_for_end(Duration::from_secs(10)) == *code => Ok(()),
                    Some(_) => Err("another exit code".into()),
                }
            }
        }
    }
}

fn bits(ip: &IpAddr) -> &'static str {
    if ip.is_ipv4() { "32" } else { "128 nodad" }
}

/// A word, or its end with `*` before it; the case of a name asked is anything (draft-vixie-dnsext-dns0x20).
fn glob(pattern: &str, word: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => word.to_lowercase().ends_with(&end.to_lowercase()),
        None => word.eq_ignore_ascii_case(pattern),
    }
}

fn get(url: &str) -> Option<(u16, String)> {
    let (address, path) = url.strip_prefix("http://")?.split_once('/')?;
    http_at(address.parse::<SocketAddr>().ok()?, &format!("/{path}"))
}

/// The addresses of an answer, in its order.
fn order(at: SocketAddr, question: &[u8]) -> Option<String> {
    let answer = Client::new(at).send_raw(question, VISIBLE)?;
    let records = Message::from_vec(&answer).ok()?.answers;
    Some(records.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(" "))
}

fn shell(script: &str) {
    let done = Command::new("sh").args(["-ec", script]).output().expect("a shell");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() || script.starts_with("umount"), "{said}\n{script}");
}
