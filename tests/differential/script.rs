//! An upstream that answers by a script: from a second on so, from another on otherwise.

use super::support::{send_framed, take_framed};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is answered from a second of a timeline on.
#[derive(Clone, Debug)]
pub struct Stage {
    pub from: u64,
    said: Said,
    /// How long the answer takes.
    late: Duration,
}

#[derive(Clone, Debug)]
enum Said {
    Address(u32, Ipv4Addr),
    /// A code, with a SOA of this TTL and minimum.
    Negative(ResponseCode, u32),
    Code(ResponseCode),
    Nothing,
}

impl Stage {
    /// Reads `SECOND WHAT [late MILLISECONDS]`, WHAT being `A TTL ADDRESS`, `NXDOMAIN TTL`, `NODATA TTL`, `SERVFAIL`,
    /// `REFUSED` or `silence`.
    pub fn parse(text: &str) -> Option<Stage> {
        let mut words: Vec<&str> = text.split(' ').collect();
        let mut late = Duration::ZERO;
        if let [front @ .., "late", milliseconds] = &words[..] {
            late = Duration::from_millis(milliseconds.parse().ok()?);
            words = front.to_vec();
        }
        let said = match words.get(1..)? {
            ["A", ttl, address] => Said::Address(ttl.parse().ok()?, address.parse().ok()?),
            ["NXDOMAIN", ttl] => Said::Negative(ResponseCode::NXDomain, ttl.parse().ok()?),
            ["NODATA", ttl] => Said::Negative(ResponseCode::NoError, ttl.parse().ok()?),
            ["SERVFAIL"] => Said::Code(ResponseCode::ServFail),
            ["REFUSED"] => Said::Code(ResponseCode::Refused),
            ["silence"] => Said::Nothing,
            _ => return None,
        };
        Some(Stage { from: words[0].parse().ok()?, said, late })
    }
}

/// A name's stages, since when they go, and how often it was asked for.
type Scripts = HashMap<Name, (Vec<Stage>, Instant, u32)>;

/// The upstream. Its threads end with the process.
pub struct Scripted {
    pub address: SocketAddr,
    scripts: Arc<Mutex<Scripts>>,
}

impl Scripted {
    /// Starts it, over UDP and TCP: CoreDNS refreshes what it holds over TCP.
    pub fn start() -> Scripted {
        let (socket, listener) = sockets();
        let scripted = Scripted { address: socket.local_addr().expect("an address"), scripts: Arc::default() };
        let (over_udp, over_tcp) = (scripted.scripts.clone(), scripted.scripts.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((len, client)) = socket.recv_from(&mut buffer) {
                let socket = socket.try_clone().expect("a descriptor");
                respond(&over_udp, &buffer[..len], move |answer| socket.send_to(&answer, client).map(drop));
            }
        });
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let scripts = over_tcp.clone();
                std::thread::spawn(move || {
                    while let Ok(query) = take_framed(&mut stream) {
                        let mut stream = stream.try_clone().expect("a descriptor");
                        respond(&scripts, &query, move |answer| send_framed(&mut stream, &answer));
                    }
                });
            }
        });
        scripted
    }

    /// From now on a name is answered by these stages.
    pub fn begin(&self, name: &str, stages: Vec<Stage>) {
        let name = Name::from_ascii(name).expect("a name");
        self.lock().insert(name, (stages, Instant::now(), 0));
    }

    /// How often a name was asked for.
    pub fn asked(&self, name: &str) -> u32 {
        self.lock().get(&Name::from_ascii(name).expect("a name")).map_or(0, |(.., asked)| *asked)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Scripts> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sockets() -> (UdpSocket, TcpListener) {
    let mut tries = (0..100).map(|_| {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        let listener = TcpListener::bind(socket.local_addr()?)?;
        Ok((socket, listener))
    });
    tries.find_map(io::Result::ok).expect("a port that is free over UDP and TCP")
}

/// Answers a query as its stage says, beside what else is asked.
fn respond(scripts: &Mutex<Scripts>, query: &[u8], send: impl FnOnce(Vec<u8>) -> io::Result<()> + Send + 'static) {
    let Ok(query) = Message::from_vec(query) else { return };
    let Some(stage) = stage(scripts, &query) else { return };
    let Some(answer) = answer(&query, &stage.said) else { return };
    std::thread::spawn(move || {
        std::thread::sleep(stage.late);
        let _ = send(answer);
    });
}

fn stage(scripts: &Mutex<Scripts>, query: &Message) -> Option<Stage> {
    let mut scripts = scripts.lock().unwrap_or_else(PoisonError::into_inner);
    let (stages, began, asked) = scripts.get_mut(query.queries.first()?.name())?;
    *asked += 1;
    stages.iter().rfind(|stage| stage.from <= began.elapsed().as_secs()).cloned()
}

fn answer(query: &Message, said: &Said) -> Option<Vec<u8>> {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.queries.clone_from(&query.queries);
    let name = query.queries[0].name().clone();
    match said {
        Said::Nothing => return None,
        Said::Code(code) => answer.metadata.response_code = *code,
        Said::Address(ttl, address) => {
            answer.answers.push(Record::from_rdata(name, *ttl, RData::A(A(*address))));
        }
        Said::Negative(code, ttl) => {
            answer.metadata.response_code = *code;
            let soa = SOA::new(name.base_name(), name.base_name(), 1, 2, 3, 4, *ttl);
            answer.authorities.push(Record::from_rdata(name.base_name(), *ttl, RData::SOA(soa)));
        }
    }
    answer.to_vec().ok()
}
