//! By which names the page may be asked for: the guard against DNS rebinding.
//!
//! A page from elsewhere can let its own name lead to an address of ours; the browser then takes our answers for that
//! page's. But it says the name in `Host` (RFC 9110 section 7.2), and there it is none of ours.

use crate::http::Response;
use crate::wire::Name;
use std::net::IpAddr;

/// Names besides IP addresses and `localhost`, in lower case and without a dot at the end.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// Those of a listen address `HOST:PORT`.
    pub fn of_address(address: &str) -> Hosts {
        let host = host_of(address);
        let is_name = !host.is_empty() && host.parse::<IpAddr>().is_err();
        Hosts { names: is_name.then(|| normal(host)).into_iter().collect() }
    }

    /// # Errors
    /// What is no name.
    pub fn add(&mut self, name: &str) -> Result<(), String> {
        Name::from_text(name).map_err(|why| format!("'{name}' is no host name: {why}"))?;
        if name.contains(['/', ':']) {
            return Err(format!("'{name}' is no host name; expected: a name without scheme and port"));
        }
        self.names.push(normal(name));
        Ok(())
    }

    /// What is answered to a request with this `Host`, where it is none of ours.
    pub fn refusal(&self, host: &str) -> Option<Response> {
        let name = normal(host_of(host));
        let is_ours = name == "localhost" || name.parse::<IpAddr>().is_ok() || self.names.contains(&name);
        let why = || match name.as_str() {
            "" => "403 forbidden: the request has no header Host\n".to_owned(),
            name => format!(
                "403 forbidden: '{}' is no name of this page; ask by IP address or localhost, or give the name to `status` as \
                 `host`\n",
                name.escape_debug()
            ),
        };
        (!is_ours).then(|| Response::text(403, why()))
    }
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The host of `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn host_of(text: &str) -> &str {
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(host, _)| host),
        None => text.split_once(':').map_or(text, |(host, _)| host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_our_names_are_let_in_and_no_others() {
        let mut hosts = Hosts::of_address("node.example:8090");
        hosts.add("Status.Example.").unwrap();
        for host in
            ["127.0.0.1", "10.0.0.5:8090", "[::1]:8090", "[fd00::1]", "localhost:1", "LOCALHOST", "node.example:80"]
        {
            assert_eq!(hosts.refusal(host), None, "{host}");
        }
        assert_eq!(hosts.refusal("status.example"), None);
        for host in
            ["", "evil.example", "evil.example:8090", "127.0.0.1.evil.example", "localhost.evil.example", "[::1"]
        {
            let refusal = hosts.refusal(host);
            assert!(refusal.is_some_and(|refusal| refusal.status == 403 && refusal.body.starts_with(b"403")), "{host}");
        }
        assert!(Hosts::of_address(":8090").names.is_empty() && Hosts::of_address("[::1]:8090").names.is_empty());
    }

    #[test]
    fn a_host_is_a_name() {
        let mut hosts = Hosts::default();
        assert!(hosts.add("a..b").unwrap_err().starts_with("'a..b' is no host name"));
        assert!(hosts.add("http://a").is_err() && hosts.add("a:80").is_err());
    }
}
