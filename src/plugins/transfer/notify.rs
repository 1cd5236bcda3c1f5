//! NOTIFY (RFC 1996): secondaries hear that a zone has changed.

use super::Rule;
use crate::plugin::{BoxFuture, Lifecycle, ZoneHolders};
use crate::wire::{CLASS_IN, Name, RecordType};
use rand::RngExt;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

/// How often the serials are looked at: changes within this are told as one.
const LOOK: Duration = Duration::from_secs(1);
/// How long each NOTIFY waits for its answer; then it is sent again, or given up behind the last.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];

/// Tells of changes while its plan runs.
pub(super) struct Notifier {
    rules: Arc<[Rule]>,
    holders: ZoneHolders,
    task: Mutex<Option<AbortHandle>>,
}

impl Notifier {
    pub fn new(rules: Arc<[Rule]>, holders: ZoneHolders) -> Notifier {
        Notifier { rules, holders, task: Mutex::default() }
    }

    fn replace(&self, task: Option<AbortHandle>) {
        let before = std::mem::replace(&mut *self.task.lock().unwrap_or_else(PoisonError::into_inner), task);
        before.into_iter().for_each(|task| task.abort());
    }
}

impl Lifecycle for Notifier {
    fn name(&self) -> &'static str {
        "transfer"
    }

    fn serving(&self, _: &[SocketAddr]) {
        let has_secondaries = self.rules.iter().any(|rule| !rule.to.is_empty());
        if let (true, Ok(runtime)) = (has_secondaries, tokio::runtime::Handle::try_current()) {
            let watching = runtime.spawn(watch(self.rules.clone(), self.holders.clone()));
            self.replace(Some(watching.abort_handle()));
        }
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.replace(None);
        Box::pin(async {})
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.replace(None);
    }
}

/// Looks at the serials, and tells of those that are not what they were; at first of all.
async fn watch(rules: Arc<[Rule]>, holders: ZoneHolders) {
    let mut told: HashMap<Name, u32> = HashMap::new();
    // Those that are being told; a newer change takes the place of an older one.
    let mut telling: HashMap<(Name, SocketAddr), AbortHandle> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        for holder in holders.all() {
            for zone in holder.zones() {
                let Some(serial) = holder.serial(&zone) else { continue };
                if told.insert(zone.clone(), serial) == Some(serial) {
                    continue;
                }
                let rules = rules.iter().filter(|rule| rule.zones.iter().any(|fits| zone.is_within(fits)));
                for (to, source) in rules.flat_map(|rule| rule.to.iter().map(|to| (*to, rule.source))) {
                    let task = tasks.spawn(tell(zone.clone(), to, source));
                    if let Some(before) = telling.insert((zone.clone(), to), task) {
                        before.abort();
                    }
                }
            }
        }
        while tasks.try_join_next().is_some() {}
        tokio::time::sleep(LOOK).await;
    }
}

/// Tells one secondary, until it answers or has had its chances.
async fn tell(zone: Name, to: SocketAddr, source: Option<IpAddr>) {
    let outcome = async {
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((source.unwrap_or(any), 0)).await?;
        socket.connect(to).await?;
        let message = message(&zone);
        let mut answer = [0; 512];
        for wait in WAITS {
            socket.send(&message).await?;
            let answered = async {
                loop {
                    let len = socket.recv(&mut answer).await?;
                    // Its id, QR, and NOTIFY: any code tells that it has heard.
                    if len >= 12 && answer[..2] == message[..2] && answer[2] & 0xf8 == 0xa0 {
                        return std::io::Result::Ok(());
                    }
                }
            };
            match tokio::time::timeout(wait, answered).await {
                Ok(Ok(())) => return Ok(()),
                // A closed port may open.
                Ok(Err(_)) => tokio::time::sleep(wait).await,
                Err(_) => {}
            }
        }
        std::io::Result::Err(std::io::ErrorKind::TimedOut.into())
    };
    match outcome.await {
        Ok(()) => tracing::debug!(target: "plugin/transfer", "{to} knows that {zone} has changed"),
        Err(why) => tracing::warn!(target: "plugin/transfer", "{to} was not told that {zone} has changed: {why}"),
    }
}

/// NOTIFY for a zone: opcode 4, AA, the question for its SOA record.
fn message(zone: &Name) -> Vec<u8> {
    let id: u16 = rand::rng().random();
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0x24, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(zone.wire());
    message.extend(RecordType::SOA.0.to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    message
}
