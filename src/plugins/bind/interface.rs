//! The addresses of a network interface, asked of the kernel (rtnetlink(7), RTM_GETADDR).
//!
//! Files under /proc do not say which interface has which IPv4 address, and `getifaddrs` needs unsafe code; a netlink
//! socket is read and written like any other.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const AF_NETLINK: i32 = 16;
const NETLINK_ROUTE: i32 = 0;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// NLM_F_REQUEST and NLM_F_DUMP.
const REQUEST_DUMP: u16 = 0x0301;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Octets of a message's header and of the `ifaddrmsg` behind it.
const HEADER: usize = 16;
const IFADDRMSG: usize = 8;

/// The addresses that an interface has now, IPv6 link-local ones left out.
///
/// # Errors
/// No interface of this name, one without addresses, or the kernel's refusal, as a sentence without its place.
pub(super) fn addresses(interface: &str) -> Result<Vec<IpAddr>, String> {
    let no_interface = || format!("'{interface}' is neither an IP address nor a network interface of this machine");
    // A name with a slash would leave the directory of interfaces.
    if interface.contains('/') {
        return Err(no_interface());
    }
    let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).map_err(|_| no_interface())?;
    let index: u32 = index.trim().parse().map_err(|_| no_interface())?;
    let all = dump().map_err(|error| format!("the addresses of '{interface}' cannot be read: {error}"))?;
    let addresses: Vec<_> = all
        .into_iter()
        .filter(|(owner, address)| *owner == index && !is_link_local(address))
        .map(|(_, address)| address)
        .collect();
    if addresses.is_empty() {
        return Err(format!("the network interface '{interface}' has no address to listen on"));
    }
    Ok(addresses)
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// All addresses of the machine, each with the index of its interface.
fn dump() -> io::Result<Vec<(u32, IpAddr)>> {
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_ROUTE)))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = [0u8; HEADER + IFADDRMSG];
    request[..4].copy_from_slice(&((HEADER + IFADDRMSG) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&RTM_GETADDR.to_ne_bytes());
    request[6..8].copy_from_slice(&REQUEST_DUMP.to_ne_bytes());
    (&socket).write_all(&request)?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = (&socket).read(&mut buffer)?;
        if len == 0 || read_messages(&buffer[..len], &mut found)? {
            return Ok(found);
        }
    }
}

/// Reads the messages of one datagram; true behind the last.
fn read_messages(mut datagram: &[u8], found: &mut Vec<(u32, IpAddr)>) -> io::Result<bool> {
    while let Some((kind, body, rest)) = message(datagram) {
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => return Err(io::Error::other("the kernel refuses to list addresses")),
            RTM_NEWADDR => found.extend(address(body)),
            _ => {}
        }
        datagram = rest;
    }
    Ok(false)
}

/// The first message's type and body, and what is behind it.
fn message(datagram: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes([*datagram.get(4)?, *datagram.get(5)?]);
    let body = datagram.get(HEADER..len)?;
    Some((kind, body, datagram.get(aligned(len)..).unwrap_or_default()))
}

/// The interface and address of an RTM_NEWADDR's body. Point-to-point links have their own address in IFA_LOCAL.
fn address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let index = u32::from_ne_bytes([*body.get(4)?, *body.get(5)?, *body.get(6)?, *body.get(7)?]);
    let mut attributes = body.get(IFADDRMSG..)?;
    let (mut local, mut other) = (None, None);
    while let [l0, l1, k0, k1, ..] = attributes {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(value) = attributes.get(4..len) else { break };
        match u16::from_ne_bytes([*k0, *k1]) {
            IFA_LOCAL => local = ip(value),
            IFA_ADDRESS => other = ip(value),
            _ => {}
        }
        attributes = attributes.get(aligned(len)..).unwrap_or_default();
    }
    Some((index, local.or(other)?))
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).into());
    let v6 = || <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into());
    v4().or_else(v6)
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_address() {
        assert!(addresses("lo").unwrap().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    #[test]
    fn cut_messages_are_not_read_past_their_end() {
        let mut message = Vec::from((HEADER as u32 + 16).to_ne_bytes());
        message.extend(RTM_NEWADDR.to_ne_bytes());
        message.extend([0; 10]);
        message.extend([2, 32, 0, 0, 7, 0, 0, 0]);
        message.extend(8u16.to_ne_bytes());
        message.extend(IFA_LOCAL.to_ne_bytes());
        message.extend([10, 0, 0, 1]);
        for len in 0..message.len() {
            let mut found = Vec::new();
            assert!(!read_messages(&message[..len], &mut found).unwrap());
            assert!(found.is_empty(), "{len}");
        }
        let mut found = Vec::new();
        assert!(!read_messages(&message, &mut found).unwrap());
        let expected = if cfg!(target_endian = "little") { 7 } else { 7 << 24 };
        assert_eq!(found, [(expected, IpAddr::from([10, 0, 0, 1]))]);
    }
}
