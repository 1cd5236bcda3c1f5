//! The batched system calls: the only `unsafe` of the program.
//!
//! [`Batch`] is one worker's memory for a round of `recvmmsg` and `sendmmsg`; its interface is safe. [`Route`] is the
//! way back of one packet, for replies that come later. What needs no `unsafe` is below: the forms of addresses, and what
//! sockets are told.

#![allow(unsafe_code)]

mod address;
mod options;

use address::{Control, socket_address};
use options::allow_fragments;
pub(super) use options::{ask_packet_information, forbid_fragments, hand_over};
use std::alloc::{self, Layout};
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Messages a system call may carry.
pub(super) const BATCH: usize = 64;
/// Octets of a query that are read. Queries end far below an Ethernet frame; what is longer is cut and so malformed.
pub(super) const QUERY_ROOM: usize = 2048;
/// Octets of a reply, the most that `bufsize` can ask for.
pub(super) const REPLY_ROOM: usize = 4096;

/// Late replies that a system call may carry.
const LATE: usize = 32;
/// Packets of a connected socket that a system call may carry.
const CONNECTED: usize = 16;

/// A cache line more than the room, so that the heads of all packets do not fall into one set of the cache.
const QUERY_STRIDE: usize = QUERY_ROOM + 64;
/// Replies are written one behind the other: a batch of common size stays within the first-level cache.
const REPLIES: usize = 64 << 10;

/// What the kernel reads and writes. All of it is plain data for which zeroed memory is a value.
#[repr(C)]
struct Memory {
    /// Headers of `recvmmsg`, each pointing to its part, client and control below.
    received: [libc::mmsghdr; BATCH],
    received_parts: [libc::iovec; BATCH],
    clients: [libc::sockaddr_in6; BATCH],
    controls: [Control; BATCH],
    /// Headers of `sendmmsg`, filled from the front; they point to clients and controls of the packets they answer.
    queued: [libc::mmsghdr; BATCH],
    queued_parts: [libc::iovec; BATCH],
    packets: [[u8; QUERY_STRIDE]; BATCH],
    replies: [u8; REPLIES],
}

/// The way back of one packet: whom to answer, and from which address.
#[derive(Clone, Copy)]
pub(super) struct Route {
    client: libc::sockaddr_in6,
    client_len: libc::socklen_t,
    /// `None` where the socket's own address is right.
    control: Option<Control>,
}

/// One received packet and the room for its answer.
pub(super) struct Slot<'a> {
    pub packet: &'a [u8],
    pub client: SocketAddr,
    pub out: &'a mut [u8],
}

/// One worker's buffers: what a `recvmmsg` brought, and the replies to it.
pub(super) struct Batch {
    /// Owned. A raw pointer because the kernel's headers in it point into it.
    memory: NonNull<Memory>,
    /// The address the socket is bound to.
    bound: SocketAddr,
    /// How many headers the last receive filled.
    received: usize,
    /// How many replies wait, and how far they reach.
    queued: usize,
    end: usize,
}

impl Batch {
    /// Buffers for a socket bound to `bound`.
    pub fn new(bound: SocketAddr) -> Batch {
        let layout = Layout::new::<Memory>();
        // SAFETY: the layout has a size. Zeroes are a value of every field. Pages that are never used stay untouched.
        let Some(memory) = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }.cast::<Memory>()) else {
            alloc::handle_alloc_error(layout)
        };
        let raw = memory.as_ptr();
        for index in 0..BATCH {
            // SAFETY: `raw` points to a whole `Memory` of ours and the index is in bounds. Each pointer that is stored
            // comes from `raw` itself, so later references to the memory, which come from it too, leave it valid.
            unsafe {
                let part = &raw mut (*raw).received_parts[index];
                (*part).iov_base = (&raw mut (*raw).packets[index]).cast();
                (*part).iov_len = QUERY_ROOM;
                let header = &raw mut (*raw).received[index].msg_hdr;
                (*header).msg_name = (&raw mut (*raw).clients[index]).cast();
                (*header).msg_iov = part;
                (*header).msg_iovlen = 1 as _;
                (*header).msg_control = (&raw mut (*raw).controls[index]).cast();
                let header = &raw mut (*raw).queued[index].msg_hdr;
                (*header).msg_iov = &raw mut (*raw).queued_parts[index];
                (*header).msg_iovlen = 1 as _;
            }
        }
        Batch { memory, bound, received: BATCH, queued: 0, end: 0 }
    }

    #[inline]
    fn memory(&self) -> &Memory {
        // SAFETY: the memory is ours, initialised, and the kernel uses it only inside `receive` and `send`.
        unsafe { self.memory.as_ref() }
    }

    #[inline]
    fn memory_mut(&mut self) -> &mut Memory {
        // SAFETY: as above, and `&mut self` makes it the only reference.
        unsafe { self.memory.as_mut() }
    }

    /// Waits for packets and takes as many as are there, at most [`BATCH`]; forgets those of the call before. Returns
    /// how many came: 0 once the socket was shut down and its queue is empty.
    ///
    /// # Errors
    /// What the system says, interruption by a signal included.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let control_room = if self.bound.ip().is_unspecified() { size_of::<Control>() } else { 0 };
        let used = mem::take(&mut self.received);
        for message in &mut self.memory_mut().received[..used] {
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as _;
            message.msg_hdr.msg_controllen = control_room as _;
        }
        let headers = self.memory.as_ptr();
        // SAFETY: the descriptor is open. Every header points to buffers in our memory of the lengths it states, which
        // nothing else uses during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                (&raw mut (*headers).received).cast(),
                BATCH as _,
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.received = count;
        // A shut down socket gives, when its queue is empty, one message of no sender without waiting.
        let last_has_sender = count.checked_sub(1).is_some_and(|last| self.client_len(last) > 0);
        Ok(if last_has_sender { count } else { count.saturating_sub(1) })
    }

    fn client_len(&self, index: usize) -> libc::socklen_t {
        self.memory().received[index].msg_hdr.msg_namelen
    }

    /// Whether there is room for one more reply; if not, [`Batch::send`] makes it.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.queued < BATCH && self.end + REPLY_ROOM <= REPLIES
    }

    /// The packet `index` of the last receive, and [`REPLY_ROOM`] octets for its answer (fewer where
    /// [`Batch::has_room`] says no).
    #[inline]
    pub fn slot(&mut self, index: usize) -> Slot<'_> {
        let from = self.end.min(REPLIES);
        let to = (from + REPLY_ROOM).min(REPLIES);
        let memory = self.memory_mut();
        let len = (memory.received[index].msg_len as usize).min(QUERY_ROOM);
        Slot {
            packet: &memory.packets[index][..len],
            client: socket_address(&memory.clients[index]),
            out: &mut memory.replies[from..to],
        }
    }

    /// Queues the first `len` octets of the slot's `out` as the reply to packet `index`.
    #[inline]
    pub fn reply(&mut self, index: usize, len: usize) {
        if !self.has_room() || len > REPLY_ROOM {
            return;
        }
        let (queued, from) = (self.queued, self.end);
        if self.memory().received[index].msg_hdr.msg_controllen > 0 {
            self.memory_mut().controls[index].forget_interface();
        }
        let raw = self.memory.as_ptr();
        // SAFETY: indexes are in bounds (`has_room`), pointers come from `raw` as those of `new` do.
        unsafe {
            let came = &raw const (*raw).received[index].msg_hdr;
            let part = &raw mut (*raw).queued_parts[queued];
            (*part).iov_base = (&raw mut (*raw).replies).cast::<u8>().add(from).cast();
            (*part).iov_len = len;
            let header = &raw mut (*raw).queued[queued].msg_hdr;
            (*header).msg_name = (*came).msg_name;
            (*header).msg_namelen = (*came).msg_namelen;
            (*header).msg_controllen = (*came).msg_controllen;
            (*header).msg_control = if (*came).msg_controllen > 0 { (*came).msg_control } else { ptr::null_mut() };
        }
        self.queued = queued + 1;
        self.end = (from + len).next_multiple_of(64);
    }

    /// Sends what is queued, waiting at most as long as the socket's send timeout. Returns how many replies were lost:
    /// those the system refuses, and all behind one that it has no room for.
    pub fn send(&mut self, socket: &UdpSocket) -> usize {
        let total = mem::take(&mut self.queued);
        self.end = 0;
        // SAFETY: the first `total` headers were filled by `reply` and point into our memory, which nothing changes
        // before the call returns.
        unsafe { send_messages(socket, (&raw mut (*self.memory.as_ptr()).queued).cast(), total, 0) }
    }

    /// Lets go what is queued.
    pub fn forget(&mut self) {
        (self.queued, self.end) = (0, 0);
    }

    /// The address packet `index` was sent to.
    pub fn local(&self, index: usize) -> SocketAddr {
        self.route(index).control.map_or(self.bound, |control| control.local(self.bound.port()))
    }

    /// The way back of packet `index`.
    pub fn route(&self, index: usize) -> Route {
        let memory = self.memory();
        let told = memory.received[index].msg_hdr.msg_controllen > 0;
        Route {
            client: memory.clients[index],
            client_len: self.client_len(index),
            control: told.then(|| memory.controls[index]),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: it was allocated in `new` with this layout, and its fields need no drop.
        unsafe { alloc::dealloc(self.memory.as_ptr().cast(), Layout::new::<Memory>()) }
    }
}

/// A reply that comes after its batch, and its way.
pub(super) struct LateReply {
    pub route: Route,
    pub octets: Vec<u8>,
}

/// Sends replies without waiting, in the order they have, many with a call: a client that waits is woken once for all.
/// Returns how many were lost, as [`Batch::send`] does.
pub(super) fn send_late(socket: &UdpSocket, replies: &mut [LateReply]) -> usize {
    // SAFETY: zeroes are a value of these structs of integers and pointers.
    let (mut parts, mut headers): ([libc::iovec; LATE], [libc::mmsghdr; LATE]) = unsafe { mem::zeroed() };
    let mut lost = 0;
    for some in replies.chunks_mut(LATE) {
        let total = some.len();
        for ((reply, part), header) in some.iter_mut().zip(&mut parts).zip(&mut headers) {
            *part = libc::iovec { iov_base: reply.octets.as_mut_ptr().cast(), iov_len: reply.octets.len() };
            let header = &mut header.msg_hdr;
            header.msg_name = (&raw mut reply.route.client).cast();
            header.msg_namelen = reply.route.client_len;
            header.msg_iov = part;
            header.msg_iovlen = 1 as _;
            (header.msg_control, header.msg_controllen) = (ptr::null_mut(), 0);
            if let Some(control) = &mut reply.route.control {
                control.forget_interface();
                (header.msg_control, header.msg_controllen) =
                    (ptr::from_mut(control).cast(), size_of::<Control>() as _);
            }
        }
        // SAFETY: the first `total` headers point to locals and to the replies, all alive and unchanged during the call.
        lost += unsafe { send_messages(socket, headers.as_mut_ptr(), total, libc::MSG_DONTWAIT) };
    }
    lost
}

/// Has the runtime watch a socket that does not block for what comes and for errors, and not for room to send: the system
/// wakes whoever watches for that with each packet that has left. Must be called inside a runtime.
///
/// # Errors
/// What the system says to one more socket that is watched.
pub fn watch_for_arrivals(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: the socket owns its descriptor, which is open as long as the socket lives and cannot be exchanged; the
    // `AsyncFd` owns the socket.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE | Interest::ERROR) }?)
}

/// Sends the first of these packets to where the socket is connected, without waiting; at most [`CONNECTED`], and no
/// more than the system takes. Returns how many were sent.
///
/// # Errors
/// What the system says to the first, which then was not sent, nor was any behind it.
pub fn send_connected(socket: BorrowedFd<'_>, packets: &[&[u8]]) -> io::Result<usize> {
    // SAFETY: zeroes are a value of these structs of integers and pointers.
    let (mut parts, mut headers): ([libc::iovec; CONNECTED], [libc::mmsghdr; CONNECTED]) = unsafe { mem::zeroed() };
    for ((packet, part), header) in packets.iter().zip(&mut parts).zip(&mut headers) {
        *part = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
        (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (part, 1 as _);
    }
    let total = packets.len().min(CONNECTED);
    // SAFETY: the descriptor is open. The first `total` headers point to locals and to the packets, all alive during
    // the call; the kernel only reads the packets.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), total as _, libc::MSG_DONTWAIT as _) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives what has come, without waiting; at most [`CONNECTED`] packets. `room` is as many equal parts as there are
/// lengths: each packet is written to its part, cut to that, and its length to `lengths`. Returns how many came.
///
/// # Errors
/// What the system says where none came.
pub fn receive_connected(socket: BorrowedFd<'_>, room: &mut [u8], lengths: &mut [usize]) -> io::Result<usize> {
    // SAFETY: zeroes are a value of these structs of integers and pointers.
    let (mut parts, mut headers): ([libc::iovec; CONNECTED], [libc::mmsghdr; CONNECTED]) = unsafe { mem::zeroed() };
    let each = (room.len() / lengths.len().max(1)).max(1);
    for ((octets, part), header) in room.chunks_exact_mut(each).zip(&mut parts).zip(&mut headers) {
        *part = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: each };
        (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (part, 1 as _);
    }
    let total = lengths.len().min(CONNECTED).min(room.len() / each);
    // SAFETY: the descriptor is open. The first `total` headers point to locals and to parts of the room that do not
    // overlap, of the lengths they state, all alive and used by nothing else during the call.
    let count = unsafe {
        libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), total as _, libc::MSG_DONTWAIT as _, ptr::null_mut())
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    for (length, header) in lengths.iter_mut().zip(&headers).take(count) {
        *length = (header.msg_len as usize).min(each);
    }
    Ok(count)
}

/// Sends `total` messages. Returns how many were lost: those the system refuses, and all behind one that it has no room
/// for. Where the link refuses one for its length, the socket's packets may be cut from then on.
///
/// # Safety
/// `first` must point to `total` headers whose pointers are good for reading until the call returns.
unsafe fn send_messages(socket: &UdpSocket, first: *mut libc::mmsghdr, total: usize, flags: libc::c_int) -> usize {
    let (mut at, mut lost, mut is_cut) = (0, 0, false);
    while at < total {
        // SAFETY: the caller's promise.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), first.add(at), (total - at) as _, flags as _) };
        if let Ok(sent) = usize::try_from(sent) {
            at += sent.max(1);
            continue;
        }
        // An error is the first message's; what went before it has been sent.
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return lost + total - at,
            _ if error.raw_os_error() == Some(libc::EMSGSIZE) && !is_cut => {
                is_cut = true;
                let _ = socket.local_addr().and_then(|bound| allow_fragments(socket, bound.ip()));
            }
            _ => (at, lost) = (at + 1, lost + 1),
        }
    }
    lost
}

/// How many packets the system has dropped that came for this socket: for want of room, or by its filter. Counted since
/// the socket was opened, and over from the start after 2³².
///
/// # Errors
/// What the system says, where it does not tell.
pub(super) fn dropped(socket: &impl AsRawFd) -> io::Result<u32> {
    let mut counts = [0_u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut room = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: the kernel writes at most `room` octets to the local, and how many to the other.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            (&raw mut counts).cast(),
            &raw mut room,
        )
    };
    if outcome == 0 { Ok(counts[libc::SK_MEMINFO_DROPS as usize]) } else { Err(io::Error::last_os_error()) }
}

fn set_option(socket: &impl AsRawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the pointer is to a local of the length stated, which the kernel only reads.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Wakes the thread that waits in [`Batch::receive`]. What is queued, and what still comes, can be received; once
/// nothing is left, receiving returns 0 at once.
pub(super) fn wake(socket: &UdpSocket) {
    // SAFETY: a call on an open descriptor without memory. It says ENOTCONN on an unconnected socket and acts all the
    // same (Linux: net/ipv4/af_inet.c, inet_shutdown).
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
}

/// The addresses of the interfaces that are up, in the system's order.
///
/// # Errors
/// What the system says.
pub(super) fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut first = ptr::null_mut();
    // SAFETY: the pointer is to a local, which gets a list that is ours until we free it.
    if unsafe { libc::getifaddrs(&raw mut first) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let (mut found, mut next) = (Vec::new(), first);
    // SAFETY: `next` is null or an entry of the list, whose entries all live until it is freed.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        if entry.ifa_flags & libc::IFF_UP as libc::c_uint == 0 || entry.ifa_addr.is_null() {
            continue;
        }
        // SAFETY: an address starts with its family, which says what struct it is.
        match i32::from(unsafe { (*entry.ifa_addr).sa_family }) {
            libc::AF_INET => {
                // SAFETY: as above.
                let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
                found.push(Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()).into());
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
                found.push(Ipv6Addr::from(address.sin6_addr.s6_addr).into());
            }
            _ => {}
        }
    }
    // SAFETY: the list is ours and nothing points into it any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// Raises the number of descriptors the process may have to what it may raise it to, and returns it. Container
/// runtimes give 1,024 and leave the rest to the program, as Go's runtime does it for its own.
pub(super) fn raise_descriptor_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local that the kernel fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } < 0 {
        return 1024;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the pointer is to a local that the kernel reads.
    if limit.rlim_cur < limit.rlim_max && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        limit = raised;
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
