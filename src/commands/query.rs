//! `query NAME [TYPE] [@SERVER]`: what a pod would get, asked from an image that has no shell.
//!
//! Exit codes: 0 for records, 1 for none (NXDOMAIN, or the type is not there), 2 for words that are wrong, 3 for a server
//! that fails or refuses, 4 for no answer in time.

use super::options::{Argument, arguments};
use super::{Said, usage};
use crate::client::{self, Secure, Server, Trouble, Way};
use crate::corefile::Scheme;
use crate::plugin::certificates;
use crate::wire::{Name, Rcode, RecordType};
use hickory_proto::op::Message;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for one name.
const MOST: Duration = Duration::from_secs(60);

/// Exit codes besides 0 and 2.
const NOTHING: u8 = 1;
const FAILED: u8 = 3;
const SILENCE: u8 = 4;

/// What is asked, whom, and how.
struct Asked {
    qtype: RecordType,
    server: Server,
    /// The names to try in turn: one, or those of a search list.
    names: Vec<Name>,
    timeout: Duration,
}

pub(super) fn run(words: &[String]) -> Said {
    let asked = match read(words) {
        Ok(asked) => asked,
        Err(why) => return usage("query", &why),
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(ask(&asked)),
        Err(error) => Said { error: format!("{error}\n"), code: FAILED, ..Said::default() },
    }
}

/// Tries the names in turn as a libc does: on to the next where there are no records or the server fails, never after
/// silence.
async fn ask(asked: &Asked) -> Said {
    let mut said = Said::default();
    for (index, name) in asked.names.iter().enumerate() {
        let began = Instant::now();
        let is_last = index + 1 == asked.names.len();
        let query = client::query(name, asked.qtype);
        let outcome = asked.server.ask(&query, asked.timeout).await;
        let reply = outcome.and_then(|reply| {
            Message::from_vec(&reply)
                .map(|message| (message, reply))
                .map_err(|why| Trouble::Failed(format!("the reply cannot be read: {why}")))
        });
        let by = format!("{}:{} over {}", ip(asked.server.address), asked.server.address.port(), asked.server.way);
        match reply {
            Err(trouble) => {
                said.error += &format!("{name} {}: {trouble} ({by})\n", asked.qtype);
                said.code = if trouble == Trouble::Timeout { SILENCE } else { FAILED };
                return said;
            }
            Ok((message, octets)) => {
                said.code = code(&message);
                // Writing to a String cannot fail.
                let _ = tell(&mut said.output, name, asked.qtype, &message);
                let milliseconds = began.elapsed().as_secs_f64() * 1e3;
                if said.code == 0 || is_last {
                    said.output += &format!("; {by}, {} octets in {milliseconds:.1} ms\n", octets.len());
                    return said;
                }
            }
        }
    }
    said
}

fn ip(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    }
}

fn code(message: &Message) -> u8 {
    match Rcode(u16::from(message.metadata.response_code)) {
        Rcode::NOERROR if !message.answers.is_empty() => 0,
        Rcode::NOERROR | Rcode::NXDOMAIN => NOTHING,
        _ => FAILED,
    }
}

/// A line of what was asked and how it went, then the records; in place of an answer, the zone's SOA.
fn tell(text: &mut String, name: &Name, qtype: RecordType, message: &Message) -> std::fmt::Result {
    let header = &message.metadata;
    let flags = [
        (header.authoritative, " aa"),
        (header.truncation, " tc"),
        (header.recursion_available, " ra"),
        (header.authentic_data, " ad"),
    ];
    let set: String = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    let rcode = Rcode(u16::from(header.response_code));
    let nodata = if rcode == Rcode::NOERROR && message.answers.is_empty() { ", no record of this type" } else { "" };
    writeln!(text, "; {name} {qtype}: {rcode}{nodata}{}{set}", if set.is_empty() { "" } else { "," })?;
    message.answers.iter().try_for_each(|record| writeln!(text, "{record}"))?;
    if message.answers.is_empty() {
        message.authorities.iter().try_for_each(|record| writeln!(text, "; {record}"))?;
    }
    Ok(())
}

fn read(words: &[String]) -> Result<Asked, String> {
    let switches = ["tcp", "tls", "https", "search"];
    let values = ["p", "timeout", "resolv", "ca", "server-name"];
    let (mut plain, mut scheme, mut search, mut port, mut timeout) = (Vec::new(), None, false, None, TIMEOUT);
    let (mut resolv, mut authority, mut server_name, mut server) = (RESOLV_CONF, None, None, None);
    let mut tcp = false;
    for argument in arguments(words, &switches, &values)? {
        match argument {
            Argument::Plain(word) => match word.strip_prefix('@') {
                Some(word) => server = Some(word),
                None => plain.push(word),
            },
            Argument::Switch("search") => search = true,
            Argument::Switch("tcp") => tcp = true,
            Argument::Switch("tls") => scheme = Some(Scheme::Tls),
            Argument::Switch(_) => scheme = Some(Scheme::Https),
            Argument::Value("p", value) => {
                port = Some(value.parse().map_err(|_| format!("-p '{value}' is no port"))?);
            }
            Argument::Value("timeout", value) => timeout = seconds(value)?,
            Argument::Value("resolv", value) => resolv = value,
            Argument::Value("ca", value) => authority = Some(value),
            Argument::Value(_, value) => server_name = Some(value),
        }
    }
    let (name, qtype) = match plain[..] {
        [name] => (name, RecordType::A),
        [name, qtype] => {
            (name, RecordType::from_mnemonic(qtype).ok_or_else(|| format!("'{qtype}' is no record type"))?)
        }
        _ => return Err("a name and at most one type are expected".to_owned()),
    };
    if tcp && scheme.is_some() {
        return Err("--tcp, --tls and --https are ways of their own".to_owned());
    }
    if scheme.is_none() && (authority.is_some() || server_name.is_some()) {
        return Err("--ca and --server-name need --tls or --https".to_owned());
    }
    let resolver = if server.is_none() || search { Some(resolver(Path::new(resolv))?) } else { None };
    let port = port.unwrap_or(scheme.as_ref().map_or(crate::cli::DNS_PORT, |scheme| scheme.default_port()));
    let (address, host) = match (server, &resolver) {
        (Some(word), _) => address(word, port)?,
        (None, Some(resolver)) => {
            let first = resolver.nameservers.first().ok_or_else(|| format!("{resolv}: it names no server"))?;
            (SocketAddr::new(first.into(), port), IpAddr::from(first).to_string())
        }
        (None, None) => return Err("a server is expected".to_owned()),
    };
    let secure = || secure(authority, server_name.unwrap_or(&host));
    let way = match scheme {
        Some(Scheme::Tls) => Way::Tls(secure()?),
        Some(_) => Way::Https(secure()?),
        None if tcp => Way::Tcp,
        None => Way::Udp,
    };
    let names = match resolver.filter(|_| search) {
        Some(resolver) => searched(name, &resolver)?,
        None => vec![parsed(name)?],
    };
    Ok(Asked { qtype, server: Server { address, way }, names, timeout })
}

/// The names a libc tries: the name itself first where it has `ndots` dots or more, else last; between, each of the
/// search list. A name that ends in a dot is tried alone (resolv.conf(5)).
fn searched(name: &str, resolver: &resolv_conf::Config) -> Result<Vec<Name>, String> {
    let own = parsed(name)?;
    if name.ends_with('.') {
        return Ok(vec![own]);
    }
    let dots = name.matches('.').count() as u64;
    let is_first = dots >= u64::from(resolver.ndots);
    let mut names = Vec::new();
    for domain in resolver.get_last_search_or_domain() {
        let domain = domain.trim_matches('.');
        // What would be too long is passed over, as a libc does.
        names.extend(Name::from_text(&format!("{name}.{domain}")));
    }
    names.insert(if is_first { 0 } else { names.len() }, own);
    Ok(names)
}

fn parsed(name: &str) -> Result<Name, String> {
    Name::from_text(name).map_err(|why| format!("the name '{name}': {why}"))
}

fn resolver(path: &Path) -> Result<resolv_conf::Config, String> {
    let text = std::fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
    // As a libc, we pass over the lines that nobody knows.
    Ok(resolv_conf::Config::parse_with_errors(&text).0)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|timeout| !timeout.is_zero() && *timeout <= MOST)
        .ok_or_else(|| format!("--timeout '{text}' is no number of seconds up to {}", MOST.as_secs()))
}

/// A server's address, and its name or address as its certificate has it: `HOST`, `HOST:PORT`, `[IPV6]:PORT`.
pub(super) fn address(word: &str, port: u16) -> Result<(SocketAddr, String), String> {
    if let Ok(address) = word.parse::<SocketAddr>() {
        return Ok((address, address.ip().to_string()));
    }
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok((SocketAddr::new(ip, port), ip.to_string()));
    }
    let (host, port) = match word.rsplit_once(':') {
        None => (word, port),
        Some((host, port)) => {
            (host, port.parse().map_err(|_| format!("'{word}' is no server; expecting HOST[:PORT]"))?)
        }
    };
    let mut found = (host, port).to_socket_addrs().map_err(|why| format!("the server '{host}': {why}"))?;
    let address = found.next().ok_or_else(|| format!("the server '{host}' has no address"))?;
    Ok((address, host.to_owned()))
}

fn secure(authority: Option<&str>, name: &str) -> Result<Secure, String> {
    let roots = match authority {
        Some(file) => certificates::authorities(Path::new(file))?,
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    let name = ServerName::try_from(name.to_owned()).map_err(|_| format!("'{name}' is no server name"))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|why| why.to_string())?;
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    Ok(Secure { config, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Asked, String> {
        read(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    fn names(name: &str, text: &str) -> Vec<String> {
        let (config, _) = resolv_conf::Config::parse_with_errors(text.as_bytes());
        searched(name, &config).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_search_list_is_applied_as_a_libc_does() {
        let pod = "search prod.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:2\n";
        assert_eq!(names("web", pod), ["web.prod.svc.cluster.local.", "web.svc.cluster.local.", "web."]);
        assert_eq!(names("web.", pod), ["web."]);
        assert_eq!(names("a.b.c", pod), ["a.b.c.", "a.b.c.prod.svc.cluster.local.", "a.b.c.svc.cluster.local."]);
        assert_eq!(names("a.b", "nameserver ::1\n"), ["a.b."]);
    }

    #[test]
    fn words_are_read() {
        let asked = read_line("WWW.test aaaa @192.0.2.1 -p 1053 --tcp --timeout 0.5").unwrap();
        assert_eq!((asked.names[0].to_string().as_str(), asked.qtype), ("www.test.", RecordType::AAAA));
        assert_eq!(asked.server.address, "192.0.2.1:1053".parse().unwrap());
        assert!(matches!(asked.server.way, Way::Tcp) && asked.timeout == Duration::from_millis(500));
        let asked = read_line("a @[::1] --tls").unwrap();
        assert_eq!((asked.server.address, asked.qtype), ("[::1]:853".parse().unwrap(), RecordType::A));
        for (line, why) in [
            ("a A B @::1", "a name and at most one type are expected"),
            ("a..b @::1", "the name 'a..b'"),
            ("a NOTYPE @::1", "'NOTYPE' is no record type"),
            ("a @::1 --tcp --tls", "--tcp, --tls and --https are ways of their own"),
            ("a @::1 --ca x", "--ca and --server-name need"),
            ("a @::1 --timeout 0", "--timeout '0' is no number of seconds up to 60"),
            ("a @::1 --timeout 61", "--timeout '61'"),
            ("a @::1 -p x", "-p 'x' is no port"),
            ("a @::1 --resolv", "--resolv needs a value"),
            ("a --resolv nowhere", "nowhere: "),
            ("a @x:y", "'x:y' is no server"),
        ] {
            let Err(found) = read_line(line) else { panic!("{line}") };
            assert!(found.starts_with(why), "{line}: {found}");
        }
    }
}
