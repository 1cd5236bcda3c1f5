//! Files of upstreams, as `/etc/resolv.conf`: what is done when one has no name server that could be asked.
//!
//! CoreDNS refuses to start. A server that also knows a cluster had better answer for that, say what is missing, and go
//! on forwarding as soon as it can; `strict` asks for CoreDNS's way.

use super::metrics::unusable_file;
use super::targets::{self, PORT, Scheme, Target};
use crate::plugin::{BoxFuture, Command, Control, Directive, Lifecycle, Setup};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often an unusable file is read again.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 5000 });

/// The files of one `forward`, each with what is wrong with it, if anything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files(Vec<(PathBuf, Option<String>)>);

impl Files {
    /// The name servers of a file; those it had when it was last good where it is not. None, and a note of why, where
    /// there never were any.
    ///
    /// # Errors
    /// What is wrong, if that is to be `strict`.
    pub fn read(&mut self, path: &Path, strict: bool, setup: &Setup<'_>) -> Result<Vec<Target>, String> {
        let key = format!("forward servers of {}", path.display());
        match good_servers(path, &Own::of(setup)) {
            Ok(servers) => {
                self.0.push((path.into(), None));
                setup.keep.put(key, Arc::new(servers.clone()));
                Ok(servers)
            }
            Err(why) if strict => Err(why),
            Err(why) => {
                let last: Option<Arc<Vec<Target>>> = setup.kept.get(&key);
                let instead = if last.is_some() { "; its last name servers go on" } else { "" };
                self.0.push((path.into(), Some(format!("{why}{instead}"))));
                let last = last.unwrap_or_default();
                if !last.is_empty() {
                    setup.keep.put(key, last.clone());
                }
                Ok(last.to_vec())
            }
        }
    }

    /// The files without a usable name server, and why.
    pub fn unusable(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().filter_map(|(path, why)| Some((path.as_path(), why.as_deref()?)))
    }
}

/// Says which files are unusable, counts them, and looks after them.
pub(super) fn install(files: &Files, directive: &Directive, setup: &mut Setup<'_>) {
    for (path, why) in &files.0 {
        let gauge = unusable_file(setup.metrics, &path.display().to_string());
        gauge.set(if why.is_some() { 1.0 } else { 0.0 });
    }
    for (path, why) in files.unusable() {
        setup.warn(&directive.name, format!("{why}. Until it has name servers to ask, queries for them get SERVFAIL"));
        let own = Own::of(setup);
        let (path, control, task) = (path.into(), setup.control.clone(), Mutex::default());
        setup.process.lifecycles.push(Arc::new(Repair { path, own, control, task }));
    }
}

/// The name servers of a file, this server left out.
fn good_servers(path: &Path, own: &Own) -> Result<Vec<Target>, String> {
    let servers = targets::name_servers(path)?;
    let others: Vec<Target> = servers.iter().filter(|server| !own.is(server)).cloned().collect();
    match others.is_empty() {
        true => Err(format!("all nameservers in '{}' are this server itself: {}", path.display(), servers[0])),
        false => Ok(others),
    }
}

/// Where this block answers.
struct Own {
    /// `None` where it does not answer plain DNS.
    port: Option<u16>,
    /// Empty for every address.
    binds: Vec<IpAddr>,
}

impl Own {
    fn of(setup: &Setup<'_>) -> Own {
        let server = setup.plan.server.strip_prefix("dns://");
        let port = server.and_then(|server| server.rsplit_once(':')?.1.parse().ok());
        Own { port, binds: setup.plan.binds.clone() }
    }

    fn answers_everywhere(&self) -> bool {
        self.binds.is_empty() || self.binds.iter().any(IpAddr::is_unspecified)
    }

    /// Whether a query to this target comes back here.
    fn is(&self, target: &Target) -> bool {
        let (ip, port) = (target.address.ip(), target.address.port());
        target.scheme == Scheme::Dns
            && self.port == Some(port)
            && (self.binds.contains(&ip) || self.answers_everywhere() && is_of_this_machine(ip))
    }
}

/// Whether an address is one of this machine's: only then does what is sent to it leave from it. That a socket can be
/// bound to it says less: with `net.ipv4.ip_nonlocal_bind`, as on nodes with a floating address, it can be to any.
fn is_of_this_machine(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = || {
        // Connecting sends nothing; no port is special for that.
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, PORT))?;
        socket.local_addr()
    };
    ip.is_loopback() || ip.is_unspecified() || source().is_ok_and(|source| source.ip() == ip)
}

/// Asks for a reload once the file is good.
struct Repair {
    path: PathBuf,
    own: Own,
    control: Control,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Lifecycle for Repair {
    fn name(&self) -> &'static str {
        "forward"
    }

    fn serving(&self, _: &[std::net::SocketAddr]) {
        let (path, commands) = (self.path.clone(), self.control.commands.clone());
        let own = Own { port: self.own.port, binds: self.own.binds.clone() };
        let watching = async move {
            while good_servers(&path, &own).is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            // Nobody to tell means that the process is ending.
            let _ = commands.send(Command::Reload);
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime.spawn(watching));
        }
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            if let Some(task) = task {
                task.abort();
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_block_listens_on_is_itself() {
        let own = |port, binds: &[&str]| Own { port, binds: binds.iter().map(|ip| ip.parse().unwrap()).collect() };
        for (port, binds, target, is) in [
            (Some(53), [].as_slice(), "127.0.0.53:53", true),
            (Some(53), &[], "[::1]:53", true),
            // 192.0.2.0/24 is for documentation (RFC 5737): nobody's machine has it.
            (Some(53), &[], "192.0.2.1:53", false),
            (Some(1053), &[], "127.0.0.1:53", false),
            (Some(53), &["0.0.0.0"], "127.0.0.1:53", true),
            (Some(53), &["169.254.20.10", "0.0.0.0"], "127.0.0.1:53", true),
            // A resolver beside this server, at another address of the machine.
            (Some(53), &["169.254.20.10"], "127.0.0.53:53", false),
            (Some(53), &["169.254.20.10"], "169.254.20.10:53", true),
            (Some(53), &["169.254.20.10"], "169.254.20.10:1053", false),
            (None, &[], "127.0.0.1:53", false),
        ] {
            let target = Target::from(target.parse::<std::net::SocketAddr>().unwrap());
            assert_eq!(own(port, binds).is(&target), is, "{target} from {binds:?} at {port:?}");
        }
    }
}
