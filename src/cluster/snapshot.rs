//! A cluster's last known state as a file: slim objects behind a header that says whose they are and that they are whole.
//!
//! ```text
//! magic (16 octets), version (u32), length of what follows the digest (u64), its SHA-256 (32 octets),
//! seconds since 1970 (u64), scope (text), objects one behind the other
//! ```
//! Integers are big-endian; a text or a list has its length before it, seven bits an octet, the lowest first.

use super::{Endpoint, EndpointSlice, Endpoints, Key, Kind, Object, Pod, Port, Service, Sink};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

/// So many objects go from the thread that makes them to the one that takes them at a time, and so many times may it be
/// ahead.
const BATCH: usize = 128;
const BATCHES: usize = 8;

const MAGIC: &[u8; 16] = b"dunlin snapshot\n";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 2;
/// What is said of a file that is not as it was written.
const DAMAGED: &str = "is damaged: it is not as long as it says, or its checksum is another";
const KINDS: [Kind; 6] =
    [Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Pod, Kind::ServiceImport, Kind::ImportedSlice];

/// A snapshot that is being made.
pub struct Builder(Writer);

impl Builder {
    /// One for these options (`scope`: any text that another configuration does not have), at this second since 1970.
    pub fn new(scope: &str, written_at: u64) -> Builder {
        let mut writer = Writer(Vec::new());
        writer.0.extend(written_at.to_be_bytes());
        writer.text(scope);
        Builder(writer)
    }

    /// Adds an object. When its endpoints last changed is not kept: that is of no use to who reads it.
    pub fn push(&mut self, object: &Object) {
        self.0.object(object);
    }

    /// The whole file.
    pub fn finish(self) -> Vec<u8> {
        let payload = self.0.0;
        let length = payload.len() as u64;
        let digest = Sha256::digest(&payload);
        [&MAGIC[..], &VERSION.to_be_bytes(), &length.to_be_bytes(), &digest, &payload].concat()
    }
}

/// A whole snapshot of our own scope.
pub struct Snapshot<'a> {
    /// Seconds since 1970.
    pub written_at: u64,
    objects: &'a [u8],
}

impl<'a> Snapshot<'a> {
    /// Reads the header and adds up the checksum.
    ///
    /// # Errors
    /// Why the file is not used, as the end of a sentence that begins with its name.
    pub fn open(file: &'a [u8], scope: &str) -> Result<Snapshot<'a>, String> {
        let mut reader = Reader(file);
        if reader.array::<16>() != Some(*MAGIC) {
            return Err("is no snapshot of dunlin".to_owned());
        }
        match reader.array().map(u32::from_be_bytes) {
            Some(VERSION) => {}
            Some(other) => return Err(format!("is of version {other}; this program reads version {VERSION}")),
            None => return Err(DAMAGED.to_owned()),
        }
        let (length, digest) = (reader.array().map(u64::from_be_bytes), reader.array::<32>());
        let payload = reader.0;
        if length != Some(payload.len() as u64) || digest != Some(Sha256::digest(payload).into()) {
            return Err(DAMAGED.to_owned());
        }
        let (Some(written_at), Some(theirs)) = (reader.array().map(u64::from_be_bytes), reader.text()) else {
            return Err(DAMAGED.to_owned());
        };
        if theirs != scope {
            return Err("was made with other options of kubernetes, or for another cluster".to_owned());
        }
        Ok(Snapshot { written_at, objects: reader.0 })
    }

    /// Tells the sink all objects, as a list of each kind. Returns how many. Objects are made by a thread of their own
    /// while the sink takes those before them: a start waits for this.
    ///
    /// # Errors
    /// As [`open`](Snapshot::open), of a file whose checksum is right and whose objects are none. What has been told of
    /// it is taken back by a list of nothing.
    pub fn tell(&self, sink: &dyn Sink) -> Result<usize, String> {
        let begin = || KINDS.iter().for_each(|kind| sink.list_begins(*kind));
        begin();
        let (mut count, mut is_whole) = (0, true);
        let mut take = |batch: Option<Vec<Object>>| {
            is_whole &= batch.is_some();
            let objects = batch.unwrap_or_default();
            count += objects.len();
            objects.into_iter().for_each(|object| sink.apply(object));
        };
        let (made, taken) = mpsc::sync_channel(BATCHES);
        let is_made_beside = thread::scope(|scope| {
            // The sender goes with the maker: where there is no thread for it, there is nothing to take.
            let make = move || self.batches().try_for_each(|batch| made.send(batch)).is_ok();
            let maker = thread::Builder::new().name("snapshot".into()).spawn_scoped(scope, make);
            taken.into_iter().for_each(&mut take);
            maker.is_ok()
        });
        if !is_made_beside {
            self.batches().for_each(take);
        }
        if !is_whole {
            begin();
        }
        KINDS.iter().for_each(|kind| sink.list_ends(*kind));
        if is_whole { Ok(count) } else { Err(DAMAGED.to_owned()) }
    }

    /// The objects, some at a time; at last `None` where the octets are nothing that is written here.
    fn batches(&self) -> impl Iterator<Item = Option<Vec<Object>>> {
        let mut reader = Reader(self.objects);
        std::iter::from_fn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH && !reader.0.is_empty() {
                let Some(object) = reader.object() else {
                    reader.0 = &[];
                    return Some(None);
                };
                batch.push(object);
            }
            (!batch.is_empty()).then_some(Some(batch))
        })
    }
}

/// Puts a file in its place whole: a crash at any moment leaves the one before.
///
/// # Errors
/// What the system says.
pub fn save(path: &Path, octets: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside: PathBuf = directory.join(name);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(octets)?;
        file.sync_all()
    });
    if let Err(why) = written.and_then(|()| fs::rename(&beside, path)) {
        let _ = fs::remove_file(&beside);
        return Err(why);
    }
    File::open(directory)?.sync_all()
}

struct Writer(Vec<u8>);

impl Writer {
    fn object(&mut self, object: &Object) {
        match object {
            Object::Namespace(key) => {
                self.0.push(0);
                self.key(key);
            }
            Object::Service(service) => self.service(1, service),
            Object::EndpointSlice(slice) => self.slice(2, slice),
            Object::ServiceImport(service) => self.service(4, service),
            Object::ImportedSlice(slice) => self.slice(5, slice),
            Object::Pod(pod) => {
                self.0.push(3);
                self.key(&pod.key);
                self.address(Some(pod.ip));
                self.0.push(u8::from(pod.terminating));
            }
        }
    }

    fn service(&mut self, mark: u8, service: &Service) {
        let Some(key) = &service.key else { return };
        self.0.push(mark);
        self.key(key);
        self.0.push(u8::from(service.headless) | u8::from(service.external_name.is_some()) << 1);
        self.text(service.external_name.as_deref().unwrap_or_default());
        self.list(&service.cluster_ips, |writer, ip| writer.address(Some(*ip)));
        self.list(&service.ports, Writer::port);
        self.list(&service.external_ips, |writer, text| writer.text(text));
    }

    fn slice(&mut self, mark: u8, slice: &EndpointSlice) {
        let Some(key) = &slice.key else { return };
        self.0.push(mark);
        self.key(key);
        self.text(&slice.service);
        self.text(&slice.cluster);
        self.length(slice.endpoints.len());
        slice.endpoints.iter().for_each(|endpoint| self.endpoint(endpoint));
        self.list(&slice.ports, Writer::port);
    }

    fn endpoint(&mut self, endpoint: Endpoint<'_>) {
        self.address(endpoint.address);
        // Nearly every address is written as it is always written: left out.
        let is_usual = endpoint.address.is_some_and(|it| it.is_ipv6() && it.to_string() == endpoint.text);
        self.text(if is_usual { "" } else { endpoint.text });
        [endpoint.hostname, endpoint.target, endpoint.zone].into_iter().for_each(|text| self.text(text));
    }

    fn key(&mut self, key: &Key) {
        self.text(&key.namespace);
        self.text(&key.name);
    }

    fn port(&mut self, port: &Port) {
        self.text(&port.name);
        self.text(&port.protocol);
        self.0.extend(port.number.to_be_bytes());
    }

    fn address(&mut self, address: Option<IpAddr>) {
        match address {
            None => self.0.push(0),
            Some(IpAddr::V4(address)) => {
                self.0.push(4);
                self.0.extend(address.octets());
            }
            Some(IpAddr::V6(address)) => {
                self.0.push(6);
                self.0.extend(address.octets());
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Writer, &T)) {
        self.length(items.len());
        items.iter().for_each(|item| write(self, item));
    }

    fn length(&mut self, mut length: usize) {
        while length > 0x7f {
            self.0.push(length as u8 | 0x80);
            length >>= 7;
        }
        self.0.push(length as u8);
    }
}

/// `None` from any of these: the octets end too soon, or are nothing that is written here.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn object(&mut self) -> Option<Object> {
        Some(match self.octet()? {
            0 => Object::Namespace(self.key()?),
            1 => Object::Service(self.service()?),
            2 => Object::EndpointSlice(self.slice()?),
            4 => Object::ServiceImport(self.service()?),
            5 => Object::ImportedSlice(self.slice()?),
            3 => Object::Pod(Pod { key: self.key()?, ip: self.address()??, terminating: self.octet()? != 0 }),
            _ => return None,
        })
    }

    fn service(&mut self) -> Option<Service> {
        let key = Some(self.key()?);
        let (flags, external_name) = (self.octet()?, self.text()?);
        Some(Service {
            key,
            headless: flags & 1 != 0,
            external_name: (flags & 2 != 0).then(|| external_name.to_owned()),
            cluster_ips: self.list(|reader| reader.address()?)?,
            ports: self.list(Reader::port)?,
            external_ips: self.list(|reader| reader.text().map(str::to_owned))?,
        })
    }

    fn slice(&mut self) -> Option<EndpointSlice> {
        Some(EndpointSlice {
            key: Some(self.key()?),
            service: self.text()?.to_owned(),
            cluster: self.text()?.to_owned(),
            endpoints: self.endpoints()?,
            ports: self.list(Reader::port)?,
            last_change: None,
        })
    }

    fn endpoints(&mut self) -> Option<Endpoints> {
        let mut endpoints = Endpoints::default();
        for _ in 0..self.length()? {
            let (address, written) = (self.address()?, self.text()?);
            let usual = address.filter(|address| written.is_empty() && address.is_ipv6()).map(|it| it.to_string());
            let text = usual.as_deref().unwrap_or(written);
            let (hostname, target, zone) = (self.text()?, self.text()?, self.text()?);
            endpoints.push(Endpoint { address, text, hostname, target, zone });
        }
        Some(endpoints)
    }

    fn key(&mut self) -> Option<Key> {
        Some(Key { namespace: self.text()?.to_owned(), name: self.text()?.to_owned() })
    }

    fn port(&mut self) -> Option<Port> {
        let (name, protocol) = (self.text()?.to_owned(), self.text()?.to_owned());
        Some(Port { name, protocol, number: u16::from_be_bytes(self.array()?) })
    }

    fn address(&mut self) -> Option<Option<IpAddr>> {
        Some(match self.octet()? {
            0 => None,
            4 => Some(IpAddr::from(self.array::<4>()?)),
            6 => Some(IpAddr::from(self.array::<16>()?)),
            _ => return None,
        })
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// Grows as items come: the length alone reserves little.
    fn list<T>(&mut self, read: impl Fn(&mut Reader<'a>) -> Option<T>) -> Option<Vec<T>> {
        let length = self.length()?;
        let mut items = Vec::with_capacity(length.min(16));
        for _ in 0..length {
            items.push(read(self)?);
        }
        Some(items)
    }

    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let octet = self.octet()?;
            length |= usize::from(octet & 0x7f).checked_shl(shift)?;
            if octet < 0x80 {
                return Some(length);
            }
        }
        None
    }

    fn octet(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Mutex;

    /// Keeps what a list has.
    #[derive(Default)]
    struct Kept(Mutex<Vec<Object>>);

    impl Sink for Kept {
        fn list_begins(&self, _: Kind) {
            self.0.lock().unwrap().clear();
        }
        fn apply(&self, object: Object) {
            self.0.lock().unwrap().push(object);
        }
        fn delete(&self, _: Kind, _: &Key) {}
        fn list_breaks(&self, _: Kind) {}
        fn list_ends(&self, _: Kind) {}
    }

    fn objects() -> Vec<Object> {
        let text = include_str!("../../tests/data/conformance/cluster.yaml");
        let mut objects = crate::cluster::objects_from_text("cluster.yaml", text).unwrap();
        let key = Key { namespace: "shop".into(), name: "sailor".into() };
        objects.push(Object::Pod(Pod { key, ip: "2001:db8::1".parse().unwrap(), terminating: true }));
        let imported = include_str!("../../tests/cases/manifests/imports.yaml");
        objects.extend(crate::cluster::objects_from_text("imports.yaml", imported).unwrap());
        objects
    }

    fn built(objects: &[Object]) -> Vec<u8> {
        let mut builder = Builder::new("scope", 1_700_000_000);
        objects.iter().for_each(|object| builder.push(object));
        builder.finish()
    }

    fn refused(file: &[u8]) -> String {
        Snapshot::open(file, "scope").err().unwrap_or_default()
    }

    #[test]
    fn objects_come_back_as_they_were() {
        let objects = objects();
        assert!(objects.len() > 20);
        let file = built(&objects);
        let snapshot = Snapshot::open(&file, "scope").unwrap();
        assert_eq!(snapshot.written_at, 1_700_000_000);
        let kept = Kept::default();
        assert_eq!(snapshot.tell(&kept), Ok(objects.len()));
        assert_eq!(*kept.0.lock().unwrap(), objects);
    }

    #[test]
    fn what_is_torn_foreign_or_from_the_future_is_refused() {
        let file = built(&objects());
        for end in (0..file.len()).step_by(97).chain([file.len() - 1]) {
            let said = refused(&file[..end]);
            assert!(said.starts_with(if end < 16 { "is no snapshot" } else { "is damaged" }), "{end}: {said}");
        }
        for at in (20..file.len()).step_by(101) {
            let mut flipped = file.clone();
            flipped[at] ^= 0x10;
            assert!(refused(&flipped).starts_with("is damaged"), "{at}");
        }
        assert!(refused(&[&file[..], b"more"].concat()).starts_with("is damaged"));
        assert_eq!(refused(b"apiVersion: v1\nkind: Service\n"), "is no snapshot of dunlin");
        let mut future = file.clone();
        future[19] = 3;
        assert_eq!(refused(&future), "is of version 3; this program reads version 2");
        let said = Snapshot::open(&file, "another").err().unwrap();
        assert_eq!(said, "was made with other options of kubernetes, or for another cluster");
    }

    #[test]
    fn what_is_no_object_takes_back_those_before_it() {
        let objects = objects();
        for (octets, is_whole) in
            [(&b""[..], true), (b"\x09", false), (b"\x00\x04shop", false), (b"\x03\0\0\0\0", false)]
        {
            let mut builder = Builder::new("scope", 0);
            (0..20).flat_map(|_| &objects).for_each(|object| builder.push(object));
            builder.0.0.extend(octets);
            let (file, kept) = (builder.finish(), Kept::default());
            let told = Snapshot::open(&file, "scope").unwrap().tell(&kept);
            let expected = if is_whole { Ok(20 * objects.len()) } else { Err(DAMAGED.to_owned()) };
            assert_eq!((told, kept.0.lock().unwrap().is_empty()), (expected, !is_whole), "{octets:?}");
        }
    }

    #[test]
    fn a_file_is_there_whole_or_as_before() {
        let directory = std::env::temp_dir().join(format!("dunlin-snapshot-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("state");
        save(&path, b"one").unwrap();
        save(&path, b"another").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"another");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
        assert!(save(&directory, b"a directory is in the way").is_err());
        fs::remove_dir_all(&directory).unwrap();
    }

    proptest! {
        /// A payload of any octets, with a right checksum: refused or told, and no panic.
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut builder = Builder::new("scope", 0);
            builder.0.0.extend(octets);
            let (file, kept) = (builder.finish(), Kept::default());
            let told = Snapshot::open(&file, "scope").unwrap().tell(&kept);
            prop_assert_eq!(told.unwrap_or_default(), kept.0.lock().unwrap().len());
        }
    }
}
