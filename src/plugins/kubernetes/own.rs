//! The addresses of this machine, for NS records.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of all interfaces but loopback ones; none where the system does not say.
pub(super) fn interface_addresses() -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let v4 = ipv4_of(&read("/proc/net/fib_trie")).into_iter().map(IpAddr::V4);
    let v6 = ipv6_of(&read("/proc/net/if_inet6")).into_iter().map(IpAddr::V6);
    v4.chain(v6).collect()
}

/// The local addresses of a routing table as Linux prints it: an address line, then its route, `/32 host LOCAL`.
fn ipv4_of(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut address = None;
    for line in trie.lines() {
        if let Some((_, text)) = line.split_once("|-- ") {
            address = text.trim().parse::<Ipv4Addr>().ok();
        } else if line.trim() == "/32 host LOCAL"
            && let Some(address) = address.filter(|address| !address.is_loopback())
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// The first column of `if_inet6`: thirty-two hexadecimal digits.
fn ipv6_of(table: &str) -> Vec<Ipv6Addr> {
    let address = |line: &str| u128::from_str_radix(line.split_ascii_whitespace().next()?, 16).ok().map(Ipv6Addr::from);
    table.lines().filter_map(address).filter(|address| !address.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_tables_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.0.2.0\n        \
                    /24 link UNICAST\n        |-- 10.0.2.15\n           /32 host LOCAL\n        |-- 10.0.2.255\n           \
                    /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n        |-- 10.0.2.15\n           \
                    /32 host LOCAL\n";
        assert_eq!(ipv4_of(trie), [Ipv4Addr::new(10, 0, 2, 15)]);
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe800000000000000042acfffe110002 02 40 20 80     eth0\n";
        assert_eq!(ipv6_of(table), ["fe80::42:acff:fe11:2".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn other_texts_have_no_addresses() {
        assert_eq!((ipv4_of("garbage\n/32 host LOCAL"), ipv6_of("garbage\n\n")), (vec![], vec![]));
    }
}
