//! An API server of a test: Namespaces, Services and EndpointSlices over HTTP, lists in pages, watches with bookmarks,
//! and faults on demand. What it holds is the truth that a server under test has to come back to.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How often a watch without events brings a bookmark.
const BOOKMARKS: Duration = Duration::from_millis(200);
/// How far it looks back for events; a watch from before is refused.
const WINDOW: u64 = 500;
/// The most objects of a page, whatever is asked: even a small cluster's lists take several.
const PAGE: usize = 20;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Each watch is cut in the middle of its next event.
    CutInAnEvent,
    /// Watches end cleanly at once, again and again.
    CleanEnd,
    /// Watches go silent without closing, and are reset later.
    Hang,
    /// The events since are forgotten: a watch is refused with status 410, …
    GoneStatus,
    /// … or told so by an event.
    GoneEvent,
    /// The list that a 410 asks for loses its place half-way.
    GoneInAList,
    /// 429 with Retry-After.
    TooMany,
    /// 429 with Retry-After to lists beyond [`BUSY`] in a second.
    Busy,
    /// 500 to everything.
    InternalError,
    /// 401 to everything.
    Unauthorized,
    /// Bodies that are no JSON, cut off.
    Garbage,
    /// 422 to every watch: what a server says to a streaming list that it does not know, though none is asked of it.
    Unprocessable,
    /// An object that cannot be read among good ones, in events and lists.
    Undecodable,
    /// Events come the last one first, once there are two of one object.
    Disordered,
    /// Watches bring bookmarks of a place whose events come late.
    Lagging,
    /// Nobody accepts connections.
    Down,
    /// The store was set back by more than what has happened since: resourceVersions start over, and the state is
    /// another. (Set back by less, nobody can tell but by a list: that is what
    /// `etcdutl snapshot restore --bump-revision` is for.)
    Replaced,
    /// Another instance answers, which has not heard of what has happened since: watches are cut behind their next event,
    /// and lists and watches from then on are of the older data.
    OlderInstance,
}

/// So many lists a busy server takes in a second.
pub const BUSY: usize = 60;

/// Each of them that can come over one instance alone.
pub const FAULTS: [Fault; 17] = [
    Fault::CutInAnEvent,
    Fault::CleanEnd,
    Fault::Hang,
    Fault::GoneStatus,
    Fault::GoneEvent,
    Fault::GoneInAList,
    Fault::TooMany,
    Fault::InternalError,
    Fault::Unauthorized,
    Fault::Garbage,
    Fault::Unprocessable,
    Fault::Undecodable,
    Fault::Disordered,
    Fault::Lagging,
    Fault::Down,
    Fault::Replaced,
    Fault::OlderInstance,
];

/// A running server; ends with the test.
pub struct FakeApi {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// As they are sent, by kind, and namespace and name.
type Objects = BTreeMap<(&'static str, String), Arc<str>>;

#[derive(Default)]
struct State {
    /// The most objects of a page.
    page: usize,
    version: u64,
    /// Events up to here are forgotten.
    forgotten: u64,
    objects: Objects,
    events: VecDeque<Event>,
    fault: Option<Fault>,
    /// What the other instance has.
    older: Option<(u64, Objects)>,
    /// Watches and connections of an earlier one are ended.
    generation: u64,
    /// When lists and watches were begun.
    lists: Vec<Instant>,
    /// When first lists were asked for, those that were refused too, and whether they were taken.
    first: Vec<(Instant, bool)>,
    watches: Vec<Instant>,
    /// How often was asked who else starts.
    questions: usize,
    /// The bearer token without which nothing is answered.
    token: Option<String>,
    /// Requests that showed another one.
    refused: u64,
}

#[derive(Clone)]
struct Event {
    version: u64,
    kind: &'static str,
    /// Of the object: namespace and name.
    identity: String,
    event_type: &'static str,
    object: Arc<str>,
}

/// `(path, kind)`.
const KINDS: [(&str, &str); 3] = [
    ("/api/v1/namespaces", "Namespace"),
    ("/api/v1/services", "Service"),
    ("/apis/discovery.k8s.io/v1/endpointslices", "EndpointSlice"),
];

/// Where the EndpointSlices of one namespace are.
const NAMESPACED: &str = "/apis/discovery.k8s.io/v1/namespaces/";

impl FakeApi {
    /// One that holds nothing yet.
    pub fn start() -> FakeApi {
        FakeApi::with_pages_of(PAGE)
    }

    /// One whose pages have as many objects, where no less is asked for.
    pub fn with_pages_of(page: usize) -> FakeApi {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = State { version: 1000, forgotten: 1000, page, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = accepting.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        FakeApi { url, shared }
    }

    /// Adds an object or changes it.
    pub fn put(&self, kind: &'static str, object: Value) {
        self.shared.state().put(kind, object);
        self.shared.changed.notify_all();
    }

    /// Takes an object away.
    pub fn delete(&self, kind: &'static str, namespace: &str, name: &str) {
        self.shared.state().delete(kind, namespace, name);
        self.shared.changed.notify_all();
    }

    /// From now on only this token is taken; watches of another one end.
    pub fn demand(&self, token: &str) {
        let mut state = self.shared.state();
        state.token = Some(token.to_owned());
        state.generation += 1;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// How many requests have shown another token than the one that is taken.
    pub fn refused(&self) -> u64 {
        self.shared.state().refused
    }

    /// Begins a fault; what is connected meets it too.
    pub fn begin(&self, fault: Fault) {
        let mut state = self.shared.state();
        state.fault = Some(fault);
        match fault {
            Fault::GoneStatus | Fault::GoneEvent | Fault::GoneInAList => {
                state.events.clear();
                state.version += 10;
                state.forgotten = state.version;
                state.generation += 1;
            }
            Fault::Replaced => {
                state.events.clear();
                (state.version, state.forgotten) = (10, 10);
                state.generation += 1;
            }
            Fault::OlderInstance => state.older = Some((state.version, state.objects.clone())),
            // These watches go on until an event comes, or until the fault ends.
            Fault::CutInAnEvent | Fault::Hang | Fault::Undecodable | Fault::Disordered => {}
            _ => state.generation += 1,
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// A while passes in which other kinds of objects change: the next bookmark is of a later place.
    pub fn age(&self) {
        self.shared.state().version += 1000;
        std::thread::sleep(BOOKMARKS * 2);
    }

    /// Ends the fault.
    pub fn end(&self) {
        let mut state = self.shared.state();
        state.older = None;
        if matches!(state.fault.take(), Some(Fault::Hang | Fault::OlderInstance)) {
            state.generation += 1;
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// When first lists were asked for, those too that were refused by a server that is busy.
    pub fn asked(&self) -> Vec<Instant> {
        self.shared.state().first.iter().map(|(at, _)| *at).collect()
    }

    /// How often the slices of a namespace's DNS Service were asked for, before any list.
    pub fn questions(&self) -> usize {
        self.shared.state().questions
    }

    /// When lists and watches were begun, other than by a server that is down. A first list that is asked for as a whole
    /// does not count: this server speaks JSON, so it is not taken but asked for again, page by page.
    pub fn requests(&self) -> (Vec<Instant>, Vec<Instant>) {
        let state = self.shared.state();
        (state.lists.clone(), state.watches.clone())
    }
}

impl State {
    fn put(&mut self, kind: &'static str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let (identity, text) = (identity(&object), Arc::<str>::from(object.to_string()));
        let known = self.objects.insert((kind, identity.clone()), text.clone());
        self.tell(kind, identity, if known.is_some() { "MODIFIED" } else { "ADDED" }, text);
    }

    fn delete(&mut self, kind: &'static str, namespace: &str, name: &str) {
        let identity = format!("{namespace}/{name}");
        if let Some(text) = self.objects.remove(&(kind, identity.clone())) {
            self.version += 1;
            let mut object: Value = serde_json::from_str(&text).expect("written by put");
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.tell(kind, identity, "DELETED", object.to_string().into());
        }
    }

    fn tell(&mut self, kind: &'static str, identity: String, event_type: &'static str, object: Arc<str>) {
        self.events.push_back(Event { version: self.version, kind, identity, event_type, object });
        if self.events.len() as u64 > WINDOW
            && let Some(event) = self.events.pop_front()
        {
            self.forgotten = event.version;
        }
    }

    /// A page of a kind: the list's version, the objects, where the next page begins.
    fn page(&self, kind: &'static str, from: usize, limit: Option<usize>) -> (u64, Vec<Arc<str>>, Option<usize>) {
        let (version, objects) = match &self.older {
            Some((version, objects)) => (*version, objects),
            None => (self.version, &self.objects),
        };
        let mut of_kind = objects.range((kind, String::new())..).take_while(|((of, _), _)| *of == kind).skip(from);
        let size = limit.map_or(usize::MAX, |limit| limit.min(self.page));
        let items: Vec<Arc<str>> = of_kind.by_ref().take(size).map(|(_, text)| text.clone()).collect();
        let next = of_kind.next().map(|_| from + items.len());
        (version, items, next)
    }
}

fn identity(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

/// `None` ends the connection.
type Goes = Option<()>;

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds it")
    }

    /// One connection: request after request.
    fn serve(&self, stream: TcpStream) {
        let Ok(reader) = stream.try_clone() else { return };
        let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
        let mut stream = stream;
        let _ = stream.set_nodelay(true);
        while let Some(request) = lines.next() {
            let headers: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let token = self.state().token.clone();
            let is_known = token.is_none_or(|token| {
                let wanted = format!("authorization: bearer {token}").to_ascii_lowercase();
                headers.iter().any(|header| header.to_ascii_lowercase() == wanted)
            });
            if !is_known {
                self.state().refused += 1;
                match refuse(&mut stream, "401 Unauthorized", "") {
                    Some(()) => continue,
                    None => return,
                }
            }
            let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
            if self.answer(&mut stream, &target).is_none() {
                return;
            }
        }
    }

    fn answer(&self, stream: &mut TcpStream, target: &str) -> Goes {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if let Some(namespace) = path.strip_prefix(NAMESPACED).and_then(|rest| rest.strip_suffix("/endpointslices")) {
            return self.dns_slices(stream, namespace);
        }
        let kind = KINDS.iter().find(|(known, _)| *known == path).map(|(_, kind)| *kind)?;
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().to_owned()
        };
        match self.state().fault {
            Some(Fault::Down) => return None,
            Some(Fault::TooMany) => return refuse(stream, "429 Too Many Requests", "Retry-After: 1\r\n"),
            Some(Fault::InternalError) => return refuse(stream, "500 Internal Server Error", ""),
            Some(Fault::Unauthorized) => return refuse(stream, "401 Unauthorized", ""),
            Some(Fault::Garbage) => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"items\": [{\"met");
                return None;
            }
            _ => {}
        }
        let is_watch = parameter("watch") == "true";
        if is_watch && self.state().fault == Some(Fault::Unprocessable) {
            return refuse(stream, "422 Unprocessable Entity", "");
        }
        if is_watch {
            return self.watch(stream, kind, parameter("resourceVersion").parse().unwrap_or(0));
        }
        let counts = parameter("resourceVersion") != "0";
        if !counts && self.is_too_busy() {
            return refuse(stream, "429 Too Many Requests", "Retry-After: 1\r\n");
        }
        self.list(stream, kind, &parameter("continue"), parameter("limit").parse().ok(), counts)
    }

    /// The slices in a namespace that have the label of a DNS Service.
    fn dns_slices(&self, stream: &mut TcpStream, namespace: &str) -> Goes {
        let mut state = self.state();
        state.questions += 1;
        let is_asked_for = |text: &str| {
            serde_json::from_str::<Value>(text).is_ok_and(|slice| {
                slice["metadata"]["namespace"] == namespace && slice["metadata"]["labels"]["k8s-app"] == "kube-dns"
            })
        };
        let (version, mut items, _) = state.page("EndpointSlice", 0, None);
        drop(state);
        items.retain(|text| is_asked_for(text));
        send(stream, &list_body("EndpointSlice", version, "", &items))
    }

    /// Whether one more first list is one too many in this second.
    fn is_too_busy(&self) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        let recent = state.first.iter().rev().take_while(|(at, _)| now - *at < Duration::from_secs(1));
        let is_too_busy = state.fault == Some(Fault::Busy) && recent.filter(|(_, taken)| *taken).count() >= BUSY;
        state.first.push((now, !is_too_busy));
        is_too_busy
    }

    fn list(
        &self,
        stream: &mut TcpStream,
        kind: &'static str,
        token: &str,
        limit: Option<usize>,
        counts: bool,
    ) -> Goes {
        let mut state = self.state();
        if token.is_empty() && counts {
            state.lists.push(Instant::now());
        }
        if state.fault == Some(Fault::GoneInAList) && !token.is_empty() {
            drop(state);
            return refuse(stream, "410 Gone", "");
        }
        let (version, mut items, next) = state.page(kind, token.parse().unwrap_or(0), limit);
        if state.fault == Some(Fault::Undecodable) {
            items.insert(0, odd(version).to_string().into());
        }
        drop(state);
        let next = next.map_or(String::new(), |next| next.to_string());
        send(stream, &list_body(kind, version, &next, &items))
    }

    fn watch(&self, stream: &mut TcpStream, kind: &'static str, from: u64) -> Goes {
        let mut state = self.state();
        state.watches.push(Instant::now());
        let (generation, mut sent) = (state.generation, from);
        let is_gone = from < state.forgotten;
        if is_gone && state.fault != Some(Fault::GoneEvent) {
            drop(state);
            return refuse(stream, "410 Gone", "");
        }
        // As a server does whose store was set back.
        let known = state.older.as_ref().map_or(state.version, |(version, _)| *version);
        let is_older = state.older.is_some();
        drop(state);
        if from > known {
            let message = format!("Too large resource version: {from}, current: {known}");
            return refuse_with(stream, "504 Gateway Timeout", "", &message);
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).ok()?;
        if is_gone {
            return chunk(
                stream,
                &format!("{}\n", json!({"type": "ERROR", "object": {"kind": "Status", "code": 410}})),
            );
        }
        loop {
            let (state, _) = self.changed.wait_timeout(self.state(), BOOKMARKS).ok()?;
            let (fault, version) = (state.fault, state.version);
            // Nothing happens on the other instance.
            if is_older && state.generation == generation {
                drop(state);
                self.bookmark(stream, kind, known)?;
                continue;
            }
            if state.generation != generation {
                return None;
            }
            let mut events: Vec<Event> =
                state.events.iter().filter(|event| event.kind == kind && event.version > sent).cloned().collect();
            drop(state);
            match fault {
                Some(Fault::Hang) => continue,
                Some(Fault::CleanEnd) => {
                    stream.write_all(b"0\r\n\r\n").ok()?;
                    return Some(());
                }
                // Bookmarks of the place that has been told, and events later.
                Some(Fault::Lagging) => {
                    self.bookmark(stream, kind, sent)?;
                    continue;
                }
                Some(Fault::Disordered) if !has_two_of_one(&events) => continue,
                Some(Fault::Disordered) => events.reverse(),
                _ => {}
            }
            for event in &events {
                let line = format!("{{\"type\":\"{}\",\"object\":{}}}\n", event.event_type, event.object);
                if fault == Some(Fault::CutInAnEvent) {
                    let _ = chunk(stream, &line[..line.len() / 2]);
                    return None;
                }
                if fault == Some(Fault::Undecodable) {
                    chunk(stream, &format!("{}\n", json!({"type": "MODIFIED", "object": odd(event.version)})))?;
                    chunk(stream, "this is no JSON\n")?;
                }
                chunk(stream, &line)?;
                sent = sent.max(event.version);
                if fault == Some(Fault::OlderInstance) {
                    return None;
                }
            }
            if events.is_empty() {
                sent = sent.max(version);
                self.bookmark(stream, kind, sent)?;
            }
        }
    }

    fn bookmark(&self, stream: &mut TcpStream, kind: &str, version: u64) -> Goes {
        let object = json!({"kind": kind, "metadata": {"resourceVersion": version.to_string()}});
        chunk(stream, &format!("{}\n", json!({"type": "BOOKMARK", "object": object})))
    }
}

fn has_two_of_one(events: &[Event]) -> bool {
    let distinct: BTreeSet<&str> = events.iter().map(|event| event.identity.as_str()).collect();
    distinct.len() < events.len()
}

/// An object that is none.
fn odd(version: u64) -> Value {
    json!({
        "metadata": {"name": "odd", "namespace": "shop", "resourceVersion": version.to_string()},
        "spec": {"ports": "all", "clusterIP": 7}, "endpoints": 7, "ports": "none"
    })
}

fn list_body(kind: &str, version: u64, next: &str, items: &[Arc<str>]) -> String {
    let metadata = json!({"resourceVersion": version.to_string(), "continue": next});
    format!(r#"{{"kind":"{kind}List","metadata":{metadata},"items":[{}]}}"#, items.join(","))
}

fn send(stream: &mut TcpStream, body: &str) -> Goes {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()
}

fn refuse(stream: &mut TcpStream, status: &str, header: &str) -> Goes {
    refuse_with(stream, status, header, status)
}

fn refuse_with(stream: &mut TcpStream, status: &str, header: &str, message: &str) -> Goes {
    let body =
        json!({"kind": "Status", "code": status[..3].parse::<u16>().unwrap_or(500), "message": message}).to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{header}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()
}

fn chunk(stream: &mut TcpStream, text: &str) -> Goes {
    let part = format!("{:x}\r\n{text}\r\n", text.len());
    stream.write_all(part.as_bytes()).and_then(|()| stream.flush()).ok()
}
