//! Catalog zones (RFC 9432): a zone that lists zones. Its members are taken from its own primaries.

use super::refresh::Followed;
use crate::plugin::Fallthrough;
use crate::wire::tsig::Key;
use crate::wire::{Name, RecordType, ResourceRecord};
use arc_swap::ArcSwap;
use prometheus::IntCounterVec;
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// The one version there is (RFC 9432 section 4.2.1).
const VERSION: &[u8] = b"\x012";
/// Members that are followed of one catalog. Each has a task of its own.
const MOST: usize = 10_000;
/// How long a catalog that has come may go unseen.
const LOOK: Duration = Duration::from_secs(30);
/// Members of one catalog whose primaries are talked to at a time.
pub(super) const TURNS: usize = 16;

/// A zone that is a catalog.
pub(super) struct Catalog {
    pub followed: Arc<Followed>,
    /// The zones that members have to be within; any where there is none.
    pub allowed: Vec<Name>,
    pub fallthrough: Fallthrough,
    pub turns: Arc<Semaphore>,
}

/// An entry of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The label that stands for it there.
    pub id: Vec<u8>,
    pub zone: Name,
    /// The catalog that it may go over to (`coo`, section 4.4.1).
    pub next_owner: Option<Name>,
}

/// The entries of a catalog zone, by their labels.
///
/// # Errors
/// Why the catalog is broken: it is not to be processed then (section 4.1).
pub(super) fn members(origin: &Name, records: &[ResourceRecord]) -> Result<Vec<Member>, String> {
    let child = |label: &str, of: &[u8]| [&[label.len() as u8], label.as_bytes(), of].concat();
    let (version, zones) = (child("version", origin.wire()), child("zones", origin.wire()));
    let mut versions = Vec::new();
    let mut pointers: Vec<(Vec<u8>, Name)> = Vec::new();
    let mut owners: HashMap<Vec<u8>, Vec<Name>> = HashMap::new();
    for record in records {
        let owner = record.owner.to_ascii_lowercase();
        match record.rtype {
            RecordType::TXT if owner == version => versions.push(&record.rdata),
            RecordType::PTR => {
                let Some(target) = Name::from_wire(&record.rdata) else { continue };
                match labels_above(&owner, &zones).as_slice() {
                    [id] => pointers.push((id.to_vec(), target)),
                    [b"coo", id] => owners.entry(id.to_vec()).or_default().push(target),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    match versions.as_slice() {
        [one] if *one == VERSION => {}
        [_] => return Err(format!("the version of {origin} is not 2")),
        _ => return Err(format!("{origin} has not one TXT record at version.{origin}")),
    }
    pointers.sort();
    let (mut ids, mut known) = (HashSet::new(), HashSet::new());
    let mut members = Vec::new();
    for (id, zone) in pointers {
        let label = String::from_utf8_lossy(&id).into_owned();
        if !ids.insert(id.clone()) {
            return Err(format!("{label}.zones.{origin} has more than one PTR record"));
        }
        if !known.insert(zone.clone()) {
            return Err(format!("{zone} is listed twice in {origin}"));
        }
        let next_owner = match owners.remove(&id).unwrap_or_default().as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            _ => return Err(format!("coo.{label}.zones.{origin} has more than one PTR record")),
        };
        members.push(Member { id, zone, next_owner });
    }
    Ok(members)
}

/// The labels of a name that stand left of one that it is below; none where it is not.
fn labels_above<'o>(owner: &'o [u8], zone: &[u8]) -> Vec<&'o [u8]> {
    let (mut labels, mut rest) = (Vec::new(), owner);
    while rest.len() > zone.len() {
        let (len, behind) = (usize::from(rest[0]), &rest[1..]);
        let Some((label, behind)) = behind.split_at_checked(len) else { return Vec::new() };
        labels.push(label);
        rest = behind;
    }
    if rest == zone { labels } else { Vec::new() }
}

/// The members of all catalogs of a server block. It outlives reloads.
pub(super) struct Members {
    /// By the zone's wire form, lower-case.
    listed: ArcSwap<HashMap<Box<[u8]>, Listed>>,
    /// What each catalog last said of where its members may go.
    said: Mutex<HashMap<Name, Vec<Member>>>,
    /// Counts changes of what is listed.
    changes: watch::Sender<u64>,
}

/// A member that is followed.
#[derive(Clone)]
pub(super) struct Listed {
    pub followed: Arc<Followed>,
    pub fallthrough: Fallthrough,
    catalog: Name,
    id: Vec<u8>,
}

impl Default for Members {
    fn default() -> Members {
        Members { listed: ArcSwap::default(), said: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Members {
    /// The longest member that a name, in its lower-case wire form, is within.
    pub fn covering(&self, name: &[u8]) -> Option<Listed> {
        let listed = self.listed.load();
        let mut rest = (!listed.is_empty()).then_some(name)?;
        loop {
            match listed.get(rest) {
                Some(found) => return Some(found.clone()),
                None => rest = rest.get(1 + usize::from(*rest.first().filter(|len| **len > 0)?)..)?,
            }
        }
    }

    /// A member by its name.
    pub fn get(&self, zone: &Name) -> Option<Listed> {
        self.listed.load().get(zone.wire()).cloned()
    }

    /// All members.
    pub fn all(&self) -> Vec<Listed> {
        self.listed.load().values().cloned().collect()
    }

    /// Makes these the members of a catalog; `fixed` are zones that the Corefile has, which no catalog can take.
    fn apply(&self, catalog: &Catalog, members: Vec<Member>, fixed: &[Name]) {
        let origin = &catalog.followed.origin;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut listed = HashMap::clone(&self.listed.load());
        let (mut has_changed, mut outside, mut many) = (false, 0, 0);
        let mut wanted = HashSet::new();
        for member in &members {
            let zone = &member.zone;
            if !catalog.allowed.is_empty() && !catalog.allowed.iter().any(|allowed| zone.is_within(allowed)) {
                outside += 1;
                continue;
            }
            if wanted.len() == MOST {
                many += 1;
                continue;
            }
            let mut kept = None;
            match listed.get(zone.wire()) {
                _ if fixed.contains(zone) => {
                    warn(origin, format!("{zone} is left out: the Corefile has this zone"));
                    continue;
                }
                Some(known) if known.catalog == *origin && known.id == member.id => {
                    wanted.insert(zone.clone());
                    continue;
                }
                // Another label is another zone of that name: its state is not kept (section 5.4).
                Some(known) if known.catalog == *origin => {}
                Some(known) => {
                    let before = said.get(&known.catalog).into_iter().flatten().find(|before| before.zone == *zone);
                    if before.and_then(|before| before.next_owner.as_ref()) != Some(origin) {
                        warn(origin, format!("{zone} is left out: it is of the catalog {}", known.catalog));
                        continue;
                    }
                    kept = (known.id == member.id).then(|| known.followed.clone());
                    tell(origin, format!("{zone} has come from the catalog {}", known.catalog));
                }
                None => tell(origin, format!("{zone} is a member from now on")),
            }
            wanted.insert(zone.clone());
            let primaries = &catalog.followed.primaries;
            // Another catalog may have other primaries: what it had is held, and asked for there.
            let fresh = Followed::new(zone.clone(), primaries.clone()).in_turns(catalog.turns.clone());
            let fresh = match kept {
                Some(kept) => fresh.holding_what(&kept),
                None => fresh,
            };
            let entry = Listed {
                followed: Arc::new(fresh),
                fallthrough: catalog.fallthrough.clone(),
                catalog: origin.clone(),
                id: member.id.clone(),
            };
            listed.insert(zone.wire().into(), entry);
            has_changed = true;
        }
        listed.retain(|_, entry| {
            let stays = entry.catalog != *origin || wanted.contains(&entry.followed.origin);
            if !stays {
                tell(origin, format!("{} is no member any more", entry.followed.origin));
                has_changed = true;
            }
            stays
        });
        if outside > 0 {
            warn(origin, format!("{outside} members are left out: they are not within the zones of 'catalog'"));
        }
        if many > 0 {
            warn(origin, format!("{many} members are left out: {MOST} are followed"));
        }
        said.insert(origin.clone(), members);
        if has_changed {
            self.listed.store(Arc::new(listed));
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Follows a catalog and its members, until it is dropped.
    pub async fn follow(
        self: Arc<Members>,
        catalog: Arc<Catalog>,
        fixed: Vec<Name>,
        key: Option<Arc<Key>>,
        refreshes: IntCounterVec,
    ) {
        let followed = &catalog.followed;
        let mut itself = pin!(followed.follow(key.clone(), refreshes.clone()));
        let mut changes = self.changes.subscribe();
        let mut tasks = JoinSet::new();
        let mut running: HashMap<Name, (Arc<Followed>, AbortHandle)> = HashMap::new();
        let mut applied = None;
        loop {
            // What has expired says nothing new: the members have timers of their own.
            if let Some(zone) = followed.zone().filter(|zone| applied != Some(zone.serial())) {
                applied = Some(zone.serial());
                match members(&followed.origin, &zone.records()) {
                    Ok(members) => self.apply(&catalog, members, &fixed),
                    Err(why) => warn(&followed.origin, format!("the catalog is broken, its members stay: {why}")),
                }
            }
            changes.mark_unchanged();
            let of_this = self.all().into_iter().filter(|listed| listed.catalog == followed.origin);
            let now: HashMap<Name, Arc<Followed>> =
                of_this.map(|listed| (listed.followed.origin.clone(), listed.followed)).collect();
            running.retain(|zone, (member, task)| {
                let stays = now.get(zone).is_some_and(|now| Arc::ptr_eq(now, member));
                if !stays {
                    task.abort();
                }
                stays
            });
            for (zone, member) in now {
                running.entry(zone).or_insert_with(|| {
                    let (follower, key, refreshes) = (member.clone(), key.clone(), refreshes.clone());
                    (member, tasks.spawn(async move { follower.follow(key, refreshes).await }))
                });
            }
            while tasks.try_join_next().is_some() {}
            tokio::select! {
                () = itself.as_mut() => return,
                () = followed.transferred.notified() => {}
                // Around a reload another one may have been told.
                () = sleep(LOOK) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }
}

fn tell(catalog: &Name, what: String) {
    tracing::info!(target: "plugin/secondary", "catalog {catalog}: {what}");
}

fn warn(catalog: &Name, what: String) {
    tracing::warn!(target: "plugin/secondary", "catalog {catalog}: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn record(owner: &str, rtype: RecordType, rdata: &[u8]) -> ResourceRecord {
        ResourceRecord { owner: name(owner).wire().to_vec(), rtype, class: 1, ttl: 0, rdata: rdata.to_vec() }
    }

    fn pointer(owner: &str, target: &str) -> ResourceRecord {
        record(owner, RecordType::PTR, name(target).wire())
    }

    fn read(records: &[ResourceRecord]) -> Result<Vec<(String, String, Option<String>)>, String> {
        let shown = |member: Member| {
            let owner = member.next_owner.map(|owner| owner.to_string());
            (String::from_utf8(member.id).unwrap(), member.zone.to_string(), owner)
        };
        Ok(members(&name("cat.test"), records)?.into_iter().map(shown).collect())
    }

    #[test]
    fn a_catalog_lists_members_by_labels() {
        let version = || record("version.cat.test", RecordType::TXT, b"\x012");
        let list = [
            version(),
            pointer("b.zones.cat.test", "Two.Test"),
            pointer("a.zones.cat.test", "one.test"),
            pointer("coo.a.zones.cat.test", "next.test"),
            // What is not known is not looked at (section 4.1).
            record("group.a.zones.cat.test", RecordType::TXT, b"\x03abc"),
            record("a.zones.cat.test", RecordType::TXT, b"\x01x"),
            pointer("x.y.z.zones.cat.test", "three.test"),
            pointer("zones.cat.test", "four.test"),
            pointer("a.zones.other.test", "five.test"),
            pointer("a.other.cat.test", "six.test"),
        ];
        let expected = [("a", "one.test.", Some("next.test.")), ("b", "two.test.", None)];
        let expected = expected.map(|(id, zone, owner)| (id.to_owned(), zone.to_owned(), owner.map(str::to_owned)));
        assert_eq!(read(&list).unwrap(), expected);
        for (more, gist) in [
            (vec![], "has not one TXT record at version.cat.test."),
            (vec![version(), version()], "has not one TXT record"),
            (vec![record("version.cat.test", RecordType::TXT, b"\x011")], "is not 2"),
            (
                vec![version(), pointer("a.zones.cat.test", "x.test"), pointer("A.zones.cat.test", "y.test")],
                "more than",
            ),
            (vec![version(), pointer("a.zones.cat.test", "x.test"), pointer("b.zones.cat.test", "X.test")], "twice"),
            (
                vec![
                    version(),
                    pointer("a.zones.cat.test", "x.test"),
                    pointer("coo.a.zones.cat.test", "x.test"),
                    pointer("coo.a.zones.cat.test", "y.test"),
                ],
                "coo.a.zones.cat.test. has more than one",
            ),
        ] {
            let why = read(&more).unwrap_err();
            assert!(why.contains(gist), "{gist}: {why}");
        }
    }

    fn catalog(origin: &str, allowed: &[&str]) -> Catalog {
        Catalog {
            followed: Arc::new(Followed::new(name(origin), vec![([192, 0, 2, 1], 53).into()])),
            allowed: allowed.iter().map(|zone| name(zone)).collect(),
            fallthrough: Fallthrough::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
        }
    }

    fn member(id: &str, zone: &str, next_owner: Option<&str>) -> Member {
        Member { id: id.into(), zone: name(zone), next_owner: next_owner.map(name) }
    }

    fn listed(members: &Members) -> Vec<String> {
        let shown = |listed: Listed| format!("{} {}", listed.followed.origin, listed.catalog);
        let mut all: Vec<_> = members.all().into_iter().map(shown).collect();
        all.sort();
        all
    }

    #[test]
    fn members_come_go_and_change_hands() {
        let all = Members::default();
        let (one, two) = (catalog("one.cat", &["test"]), catalog("two.cat", &[]));
        all.apply(
            &one,
            vec![member("a", "a.test", None), member("b", "b.test", None), member("x", "x.org", None)],
            &[],
        );
        assert_eq!(listed(&all), ["a.test. one.cat.", "b.test. one.cat."]);
        let a = all.get(&name("a.test")).unwrap().followed;
        // What is there already stays as it is, another label makes another zone.
        all.apply(&one, vec![member("a", "a.test", Some("two.cat")), member("c", "b.test", None)], &[]);
        assert!(Arc::ptr_eq(&all.get(&name("a.test")).unwrap().followed, &a));
        // Only what its catalog lets go goes over.
        all.apply(
            &two,
            vec![member("a", "a.test", None), member("b", "b.test", None), member("f", "f.test", None)],
            &[name("f.test")],
        );
        assert_eq!(listed(&all), ["a.test. two.cat.", "b.test. one.cat."]);
        let covering = |text: &str| all.covering(name(text).wire()).map(|found| found.followed.origin.to_string());
        assert_eq!(covering("x.y.a.test").as_deref(), Some("a.test."));
        assert_eq!((covering("a.test").as_deref(), covering("ba.test"), covering(".")), (Some("a.test."), None, None));
        all.apply(&one, Vec::new(), &[]);
        all.apply(&two, Vec::new(), &[]);
        assert!(listed(&all).is_empty());
    }
}
