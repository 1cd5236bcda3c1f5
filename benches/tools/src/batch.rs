//! Many datagrams a system call, and waiting for many sockets: the tools must cost less than what they measure.

use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;

/// Octets of one datagram.
pub const ROOM: usize = 4096;

/// Room for some datagrams and the addresses of their senders.
pub struct Batch {
    packets: Vec<[u8; ROOM]>,
    lengths: Vec<usize>,
    addresses: Vec<libc::sockaddr_storage>,
    parts: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Batch {
    /// Room for `size` datagrams.
    pub fn new(size: usize) -> Batch {
        // SAFETY: zeroes are a value of these structs of integers and pointers.
        let (address, part, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Batch {
            packets: vec![[0; ROOM]; size],
            lengths: vec![0; size],
            addresses: vec![address; size],
            parts: vec![part; size],
            headers: vec![header; size],
        }
    }

    /// A datagram received, or to be sent.
    pub fn packet(&self, index: usize) -> &[u8] {
        &self.packets[index][..self.lengths[index]]
    }

    /// The room of a datagram, to be followed by [`Batch::set_len`].
    pub fn room(&mut self, index: usize) -> &mut [u8; ROOM] {
        &mut self.packets[index]
    }

    /// Sets how much of the room is sent.
    pub fn set_len(&mut self, index: usize, len: usize) {
        self.lengths[index] = len.min(ROOM);
    }

    /// Points the first `count` headers to their packets, of the lengths that `len` gives, and to the addresses where
    /// they are `addressed`.
    fn prepare(&mut self, count: usize, addressed: bool, len: impl Fn(usize) -> usize) {
        for index in 0..count {
            self.parts[index] =
                libc::iovec { iov_base: self.packets[index].as_mut_ptr().cast(), iov_len: len(self.lengths[index]) };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_iov = &raw mut self.parts[index];
            header.msg_iovlen = 1 as _;
            if addressed {
                header.msg_name = (&raw mut self.addresses[index]).cast();
                header.msg_namelen = size_of::<libc::sockaddr_storage>() as _;
            }
        }
    }

    /// Sends the first `count` datagrams: to the addresses the last receive brought where `back` is set, else where
    /// the socket is connected to. Returns how many the system took.
    pub fn send(&mut self, socket: &UdpSocket, count: usize, back: bool) -> usize {
        let count = count.min(self.packets.len());
        self.prepare(count, back, |len| len);
        // SAFETY: `prepare` pointed `count` headers to buffers of ours, which nothing else uses during the call.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count as _, 0) };
        usize::try_from(sent).unwrap_or(0)
    }

    /// Receives what is there; on a blocking socket it waits for the first. Returns how many came.
    pub fn receive(&mut self, socket: &UdpSocket) -> usize {
        let size = self.packets.len();
        self.prepare(size, true, |_| ROOM);
        // SAFETY: as above, for all headers.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                size as _,
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).unwrap_or(0);
        for index in 0..received {
            self.lengths[index] = self.headers[index].msg_len as usize;
        }
        received
    }
}

/// Waits for any of some sockets.
pub struct Readiness {
    descriptor: libc::c_int,
    events: Vec<libc::epoll_event>,
}

impl Readiness {
    /// Watches these sockets for datagrams.
    pub fn of<'a>(sockets: impl ExactSizeIterator<Item = &'a UdpSocket>) -> Readiness {
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; sockets.len().max(1)];
        // SAFETY: a call without memory.
        let descriptor = unsafe { libc::epoll_create1(0) };
        for (index, socket) in sockets.enumerate() {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            // SAFETY: the event is a local that the kernel reads during the call.
            unsafe { libc::epoll_ctl(descriptor, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) };
        }
        Readiness { descriptor, events }
    }

    /// The indexes of the sockets that have something, after at most this many milliseconds.
    pub fn wait(&mut self, milliseconds: i32) -> impl Iterator<Item = usize> {
        // SAFETY: the kernel writes at most as many events as the vector has.
        let count = unsafe {
            libc::epoll_wait(self.descriptor, self.events.as_mut_ptr(), self.events.len() as i32, milliseconds)
        };
        self.events[..usize::try_from(count).unwrap_or(0)].iter().map(|event| event.u64 as usize)
    }
}
