//! Beside a wildcard's sockets, sockets for each address that the machine has.
//!
//! A wildcard socket learns the address asked and says the address of the reply by a control message a packet, which
//! costs a twentieth of a query and more where memory is busy. The kernel prefers the socket bound to the very address,
//! and that one needs neither. The wildcard serves the rest: addresses that came since we last looked, those above the
//! bound, and those where somebody else listens.

use super::counters::Counters;
use super::slow::SlowLane;
use super::{Answerer, Closing, sockets, system, udp};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// How often we look which addresses the machine has.
pub(super) const PERIOD: Duration = Duration::from_secs(30);
/// Addresses that get sockets of their own.
const ADDRESSES: usize = 16;
/// Sockets, and so threads, that there may be beside a wildcard's.
const SOCKETS: usize = 64;
/// How long sockets that are given up may take to answer what they have.
const GRACE: Duration = Duration::from_secs(5);

/// The sockets that live and end together: one a worker, on one address.
pub(super) struct Group {
    sockets: Vec<Arc<UdpSocket>>,
    closing: Arc<Closing>,
}

impl Group {
    /// Starts a worker for each socket; its future goes to `tasks`.
    ///
    /// # Errors
    /// What the system says to one more thread; those that were started end again.
    pub fn start(
        crew: &Crew,
        sockets: Vec<UdpSocket>,
        closing: Arc<Closing>,
        tasks: &mut JoinSet<()>,
    ) -> io::Result<Group> {
        let group = Group { sockets: sockets.into_iter().map(Arc::new).collect(), closing };
        for (number, socket) in group.sockets.iter().enumerate() {
            let worker = udp::Worker {
                socket: Arc::clone(socket),
                answerer: Arc::clone(&crew.answerer),
                slow: crew.slow.clone(),
                counters: crew.counters.clone(),
                closing: Arc::clone(&group.closing),
            };
            let started = worker.start(number).inspect_err(|_| group.begin_closing(Duration::ZERO))?;
            tasks.spawn_on(started, &crew.runtime);
        }
        Ok(group)
    }

    /// Leaves what comes from now on to other sockets of the port. What came to a socket between its worker's last look
    /// and its end would be lost.
    pub fn hand_over(&self) {
        for socket in &self.sockets {
            // Where the system refuses, that moment stays.
            let _ = system::hand_over(socket);
        }
    }

    /// Wakes the workers. A socket is closed when its thread and its slow queries have let go of it.
    pub fn begin_closing(&self, grace: Duration) {
        self.closing.begin(grace);
        self.sockets.iter().for_each(|socket| system::wake(socket));
    }
}

/// What the workers of one listener share.
#[derive(Clone)]
pub(super) struct Crew {
    pub answerer: Arc<dyn Answerer>,
    pub slow: SlowLane,
    pub counters: Counters,
    pub runtime: Handle,
}

/// The groups beside one wildcard.
pub(super) struct Beside {
    wildcard: SocketAddr,
    workers: usize,
    crew: Crew,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    groups: BTreeMap<IpAddr, Group>,
    tasks: JoinSet<()>,
    is_closed: bool,
}

impl Beside {
    /// None yet.
    pub fn new(wildcard: SocketAddr, workers: usize, crew: Crew) -> Beside {
        Beside { wildcard, workers: workers.max(1), crew, state: Mutex::default() }
    }

    /// Opens what the machine's addresses lack, and gives up what they no longer have. What cannot be told or bound is
    /// the wildcard's.
    pub fn look(&self) {
        if let Ok(addresses) = system::addresses() {
            self.serve(&addresses);
        }
    }

    pub(super) fn serve(&self, addresses: &[IpAddr]) {
        let port = self.wildcard.port();
        let most = ADDRESSES.min(SOCKETS / self.workers);
        let wanted: Vec<_> = addresses.iter().filter(|address| self.has_use_for(**address)).take(most).collect();
        let Ok(bound) = bound_at(port, self.wildcard.is_ipv6()) else { return };
        // Sharing an address with another socket would halve what that one gets: it came for all of it.
        let is_shared = |address: IpAddr, ours: usize| bound.iter().filter(|other| **other == address).count() > ours;
        let mut state = self.state();
        let State { groups, tasks, is_closed } = &mut *state;
        if *is_closed {
            return;
        }
        while tasks.try_join_next().is_some() {}
        groups.retain(|address, group| {
            let stays = wanted.contains(&address) && !is_shared(*address, group.sockets.len());
            if !stays {
                group.hand_over();
                group.begin_closing(GRACE);
            }
            stays
        });
        for address in wanted {
            if !groups.contains_key(address) && !is_shared(*address, 0) {
                let opened = sockets::udp_workers(SocketAddr::new(*address, port), self.workers);
                let started = opened.and_then(|sockets| Group::start(&self.crew, sockets, Arc::default(), tasks));
                groups.extend(started.ok().map(|group| (*address, group)));
            }
        }
    }

    /// A link-local address is one only with its interface; the wildcard knows that of each packet.
    fn has_use_for(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.wildcard.is_ipv4(),
            IpAddr::V6(address) => self.wildcard.is_ipv6() && !address.is_unicast_link_local(),
        }
    }

    /// Leaves what comes from now on to other sockets of the port.
    pub fn hand_over(&self) {
        self.state().groups.values().for_each(Group::hand_over);
    }

    /// Begins to close all, for good. Returns what has to end; nothing the second time.
    pub fn begin_closing(&self, grace: Duration) -> Option<JoinSet<()>> {
        let mut state = self.state();
        if std::mem::replace(&mut state.is_closed, true) {
            return None;
        }
        std::mem::take(&mut state.groups).values().for_each(|group| group.begin_closing(grace));
        Some(std::mem::take(&mut state.tasks))
    }

    /// The addresses that have sockets of their own.
    #[cfg(test)]
    pub fn served(&self) -> Vec<IpAddr> {
        self.state().groups.keys().copied().collect()
    }

    /// Whether all that were given up have ended.
    #[cfg(test)]
    pub fn is_at_rest(&self) -> bool {
        let mut state = self.state();
        while state.tasks.try_join_next().is_some() {}
        state.tasks.len() == state.groups.values().map(|group| group.sockets.len()).sum::<usize>()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses where UDP sockets of one family listen on `port`, each as often as it has sockets: ours and those of
/// others, by the kernel's list.
///
/// # Errors
/// What the system says to reading it.
fn bound_at(port: u16, v6: bool) -> io::Result<Vec<IpAddr>> {
    let list = fs::read_to_string(if v6 { "/proc/thread-self/net/udp6" } else { "/proc/thread-self/net/udp" })?;
    Ok(listening_at(port, &list))
}

fn listening_at(port: u16, list: &str) -> Vec<IpAddr> {
    let mut seen = BTreeSet::new();
    let listening = list.lines().filter_map(|line| {
        // `sl local_address rem_address st …`; what is connected has a remote port.
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = parse_bound(fields.next()?)?;
        let is_listening = fields.next()?.ends_with(":0000") && local.port() == port;
        // A socket is listed twice where others come and go while the list is read; its inode is its own.
        (is_listening && seen.insert(fields.nth(6)?)).then_some(local.ip())
    });
    listening.collect()
}

/// `0100007F:0035`: the address in words of the machine's order, the port in hexadecimal.
fn parse_bound(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut octets = [0; 16];
    for (four, word) in octets.chunks_exact_mut(4).zip(0..address.len() / 8) {
        let word = u32::from_str_radix(address.get(word * 8..word * 8 + 8)?, 16).ok()?;
        four.copy_from_slice(&word.to_ne_bytes());
    }
    let address = match address.len() {
        8 => IpAddr::from(*octets.first_chunk::<4>()?),
        32 => IpAddr::from(octets),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_has_what_is_bound() {
        for address in ["127.0.0.1:0", "127.0.0.9:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(address) else { continue };
            let bound = socket.local_addr().unwrap();
            assert_eq!(bound_at(bound.port(), bound.is_ipv6()).unwrap(), [bound.ip()], "{address}");
            socket.connect(bound).unwrap();
            assert!(bound_at(bound.port(), bound.is_ipv6()).unwrap().is_empty(), "{address}");
        }
    }

    #[test]
    fn a_socket_that_is_listed_twice_is_one() {
        let line = |number: u32, local: &str, remote: &str, inode: u32| {
            format!(
                "{number:5}: {local} {remote} 07 00000000:00000000 00:00000000 00000000  0  0 {inode} 2 0000000000000000 0\n"
            )
        };
        let (one, none) = ("0100007F:0035", "00000000:0000");
        let lines = [
            (one, none, 11),
            (one, none, 12),
            (one, none, 11),
            (one, "0100007F:0900", 13),
            ("0900007F:0036", none, 14),
        ];
        let list: String =
            (1..).zip(lines).map(|(number, (local, remote, inode))| line(number, local, remote, inode)).collect();
        let one = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(listening_at(0x35, &list), [one, one]);
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for text in ["local_address", "0100007F", "01007F:0035", "0100007F:xyz", "é00007F:0035"] {
            assert_eq!(parse_bound(text), None, "{text}");
        }
    }
}
