//! Many datagrams with a system call: the engine's calls, for plugins that ask others.

use std::io;
use std::net::UdpSocket;
use std::os::fd::BorrowedFd;
use tokio::io::unix::AsyncFd;

/// The calls, on a connected UDP socket that does not block. They are the engine's, which alone may make them.
#[derive(Clone, Copy)]
pub struct Datagrams {
    /// Has the runtime watch a socket, which must not block, for what comes and for errors. Not for room to send: the
    /// system would tell of it with each packet that has left. Must be called inside a runtime.
    pub watch: fn(UdpSocket) -> io::Result<AsyncFd<UdpSocket>>,
    /// Sends the first of these packets, as many as the system takes at once (at most [`Datagrams::MOST`]), and returns
    /// how many those are. An error is the first packet's: it was not sent, and nothing behind it.
    pub send: fn(BorrowedFd<'_>, packets: &[&[u8]]) -> io::Result<usize>,
    /// Receives what is there, at most as many packets as there is room for and lengths. The room is as many equal parts
    /// as there are lengths; what is longer than its part is cut. Returns how many came.
    pub receive: fn(BorrowedFd<'_>, room: &mut [u8], lengths: &mut [usize]) -> io::Result<usize>,
}

impl Datagrams {
    /// Packets that a call may carry.
    pub const MOST: usize = 16;
}
