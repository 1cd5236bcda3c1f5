//! Where the queries of a load leave from: sockets that are kept, or a new one for each query.

use crate::questions::HEADER;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// New ports are taken from here up, in turn.
const FIRST_PORT: u16 = 1024;
/// Queries that may wait for their answers on ports of their own; the oldest is given up for one more.
const WAITING: usize = 2500;

/// What was heard of a query.
pub enum Heard {
    /// An answer with this rcode, to a query sent then.
    Answer(Instant, u8),
    /// The system says that nobody listens.
    Unreachable,
}

/// The sockets of a load.
pub enum Ports {
    /// These, in turn, as long as it lasts.
    Kept(Vec<Flow>, usize),
    /// A new one a query.
    New(NewPorts),
}

impl Ports {
    /// `flows` sockets to `address`, each with a port of its own.
    ///
    /// # Errors
    /// No such socket can be had.
    pub fn kept(address: &str, flows: usize) -> io::Result<Ports> {
        Ok(Ports::Kept((0..flows).map(|_| Flow::to(address)).collect::<io::Result<_>>()?, 0))
    }

    /// A new port for each query to `address`, none again before all others had their turn: a proxy that remembers
    /// flows knows nothing of it. At `rate` queries a second, a run goes on where one that ended before would be now.
    pub fn new(address: &str, rate: f64) -> Ports {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let turn = (now * rate) as u64 % u64::from(u16::MAX - FIRST_PORT);
        Ports::New(NewPorts { address: address.into(), next: FIRST_PORT + turn as u16, waiting: VecDeque::new() })
    }

    /// Sends a question, now. What the system says about earlier ones comes to `heard`.
    ///
    /// # Errors
    /// No socket can be had.
    pub fn ask(&mut self, question: &[u8], now: Instant, mut heard: impl FnMut(Heard)) -> io::Result<()> {
        match self {
            Ports::Kept(flows, turn) => {
                *turn = (*turn + 1) % flows.len();
                flows[*turn].ask(question, now, &mut heard);
                Ok(())
            }
            Ports::New(ports) => ports.ask(question, now),
        }
    }

    /// Tells what has come since the last time.
    pub fn listen(&mut self, mut heard: impl FnMut(Heard)) {
        match self {
            Ports::Kept(flows, _) => flows.iter_mut().for_each(|flow| flow.take(&mut heard)),
            Ports::New(ports) => ports.take(&mut heard),
        }
    }
}

/// One socket, and when each id was sent that has no answer yet.
pub struct Flow {
    socket: UdpSocket,
    next_id: u16,
    sent_at: Vec<Option<Instant>>,
}

impl Flow {
    fn to(address: &str) -> io::Result<Flow> {
        Ok(Flow { socket: connect(0, address)?, next_id: 0, sent_at: vec![None; 1 << 16] })
    }

    fn ask(&mut self, question: &[u8], now: Instant, heard: &mut impl FnMut(Heard)) {
        self.next_id = self.next_id.wrapping_add(1);
        let query = with_id(question, self.next_id);
        self.sent_at[usize::from(self.next_id)] = Some(now);
        // The error is of a query before; this one has not been sent yet.
        while self.socket.send(&query).is_err_and(|why| why.kind() == ErrorKind::ConnectionRefused) {
            heard(Heard::Unreachable);
        }
    }

    fn take(&mut self, heard: &mut impl FnMut(Heard)) {
        let mut reply = [0; 4096];
        loop {
            match self.socket.recv(&mut reply) {
                Ok(len) => {
                    if let Some((id, rcode)) = id_and_rcode(&reply[..len])
                        && let Some(sent) = self.sent_at[usize::from(id)].take()
                    {
                        heard(Heard::Answer(sent, rcode));
                    }
                }
                Err(why) if why.kind() == ErrorKind::ConnectionRefused => heard(Heard::Unreachable),
                Err(_) => return,
            }
        }
    }
}

/// Sockets that have asked once and wait.
pub struct NewPorts {
    address: String,
    next: u16,
    waiting: VecDeque<(UdpSocket, Instant)>,
}

impl NewPorts {
    /// Its port is also its id.
    fn ask(&mut self, question: &[u8], now: Instant) -> io::Result<()> {
        let socket = self.open()?;
        let id = socket.local_addr()?.port();
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        let _ = socket.send(&with_id(question, id)); // lost, then, and counted as such
        self.waiting.push_back((socket, now));
        Ok(())
    }

    /// The next port that nobody else has.
    fn open(&mut self) -> io::Result<UdpSocket> {
        for _ in FIRST_PORT..u16::MAX {
            let port = self.next;
            self.next = port.checked_add(1).unwrap_or(FIRST_PORT);
            match connect(port, &self.address) {
                Err(why) if why.kind() == ErrorKind::AddrInUse => {}
                opened => return opened,
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }

    fn take(&mut self, heard: &mut impl FnMut(Heard)) {
        let mut reply = [0; 4096];
        self.waiting.retain(|(socket, sent)| match socket.recv(&mut reply) {
            Ok(len) => match id_and_rcode(&reply[..len]) {
                Some((id, rcode)) if socket.local_addr().is_ok_and(|ours| ours.port() == id) => {
                    heard(Heard::Answer(*sent, rcode));
                    false
                }
                _ => true,
            },
            Err(why) if why.kind() == ErrorKind::ConnectionRefused => {
                heard(Heard::Unreachable);
                false
            }
            Err(_) => true,
        });
    }
}

fn connect(port: u16, address: &str) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(("0.0.0.0", port))?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn with_id(question: &[u8], id: u16) -> Vec<u8> {
    let mut query = question.to_vec();
    query[..2].copy_from_slice(&id.to_be_bytes());
    query
}

fn id_and_rcode(reply: &[u8]) -> Option<(u16, u8)> {
    (reply.len() >= HEADER).then(|| (u16::from_be_bytes([reply[0], reply[1]]), reply[3] & 0x0f))
}
