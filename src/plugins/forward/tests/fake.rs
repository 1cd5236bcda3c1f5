//! An upstream that follows a script, on real sockets.

use crate::plugin::Transport;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// What the upstream does with a query.
pub enum Act {
    /// Sends these octets.
    Send(Vec<u8>),
    /// Waits before what follows.
    Wait(Duration),
    /// Closes the connection.
    Close,
}

/// One query as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub transport: Transport,
    pub from: SocketAddr,
    pub packet: Vec<u8>,
}

type Script = dyn Fn(&Seen) -> Vec<Act> + Send + Sync;

/// The upstream; it ends when it is dropped.
pub struct Fake {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Fake {
    /// Starts one on UDP and TCP, on the same port.
    pub async fn start(script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Fake {
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = tcp.local_addr().unwrap();
            if let Ok(udp) = UdpSocket::bind(address).await {
                return Fake::on(udp, tcp, Arc::new(script));
            }
        }
    }

    fn on(udp: UdpSocket, tcp: TcpListener, script: Arc<Script>) -> Fake {
        let address = tcp.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(Arc::new(udp), script.clone(), seen.clone()));
        tasks.spawn(serve_tcp(tcp, script, seen.clone()));
        Fake { address, seen, _tasks: tasks }
    }

    /// What has arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, script: Arc<Script>, log: Arc<Mutex<Vec<Seen>>>) {
    let mut buffer = [0; 65535];
    let mut answers = JoinSet::new();
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        let seen = Seen { transport: Transport::Udp, from, packet: buffer[..len].to_vec() };
        log.lock().unwrap().push(seen.clone());
        let (socket, acts) = (socket.clone(), script(&seen));
        answers.spawn(async move {
            for act in acts {
                match act {
                    Act::Send(packet) => drop(socket.send_to(&packet, from).await),
                    Act::Wait(duration) => tokio::time::sleep(duration).await,
                    Act::Close => {}
                }
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, script: Arc<Script>, log: Arc<Mutex<Vec<Seen>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, from)) = listener.accept().await {
        connections.spawn(serve_connection(stream, from, script.clone(), log.clone()));
    }
}

async fn serve_connection(stream: TcpStream, from: SocketAddr, script: Arc<Script>, log: Arc<Mutex<Vec<Seen>>>) {
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(tokio::sync::Mutex::new(writer));
    let mut answers = JoinSet::new();
    let closing = Arc::new(tokio::sync::Notify::new());
    loop {
        let mut length = [0; 2];
        tokio::select! {
            () = closing.notified() => return,
            read = reader.read_exact(&mut length) => if read.is_err() { return },
        }
        let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
        if reader.read_exact(&mut packet).await.is_err() {
            return;
        }
        let seen = Seen { transport: Transport::Tcp, from, packet };
        log.lock().unwrap().push(seen.clone());
        let (writer, closing, acts) = (writer.clone(), closing.clone(), script(&seen));
        answers.spawn(async move {
            for act in acts {
                match act {
                    Act::Send(packet) => {
                        let mut framed = (packet.len() as u16).to_be_bytes().to_vec();
                        framed.extend(packet);
                        let _ = writer.lock().await.write_all(&framed).await;
                    }
                    Act::Wait(duration) => tokio::time::sleep(duration).await,
                    Act::Close => closing.notify_one(),
                }
            }
        });
    }
}
