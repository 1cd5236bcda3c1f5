//! What the plugins' tests share: a server block to set a directive up in, and a chain to run it in.

use crate::corefile;
use crate::engine;
use crate::http;
use crate::metrics::Metrics;
use crate::plugin::{
    Arrivals, BlockInfo, BlockPlan, BoxFuture, Command, Control, Datagrams, Definition, Directive, Error, Handler,
    History, Keep, Lookup, Metadata, Moment, Next, Outcome, ProcessPlan, Readiness, Request, Setup, Shape, Span,
    Transport,
};
use crate::wire::{KnownQuery, Name, NameBuffer, Query, RecordType};
use std::cell::{RefCell, RefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The calls that the server hands to plugins.
pub const DATAGRAMS: Datagrams =
    Datagrams { watch: engine::watch_for_arrivals, send: engine::send_connected, receive: engine::receive_connected };

/// One server block, `.`, and a process.
pub struct Bench {
    parts: RefCell<Parts>,
    kept: Keep,
    keep: Keep,
    control: Control,
    commands: RefCell<Option<mpsc::UnboundedReceiver<Command>>>,
    /// The metrics of the process.
    pub metrics: Metrics,
}

/// What set-ups have made.
pub struct Parts {
    /// The block, as `root` may have changed it.
    pub block: BlockInfo,
    /// What the block becomes.
    pub plan: BlockPlan,
    /// What the process gets.
    pub process: ProcessPlan,
}

impl Default for Bench {
    fn default() -> Bench {
        Bench::new()
    }
}

impl Bench {
    /// A bench without a Corefile.
    pub fn new() -> Bench {
        Bench::with(None, Metrics::new(), Keep::default())
    }

    /// A bench whose server runs this Corefile.
    pub fn running(corefile: &Path) -> Bench {
        Bench::with(Some(corefile.into()), Metrics::new(), Keep::default())
    }

    /// The bench of the configuration after this one.
    pub fn reloaded(&self) -> Bench {
        Bench::with(self.control.corefile.clone(), self.metrics.clone(), self.keep.clone())
    }

    fn with(corefile: Option<PathBuf>, metrics: Metrics, kept: Keep) -> Bench {
        let (sender, receiver) = mpsc::unbounded_channel();
        let span = Span { file: "Corefile".into(), line: 1 };
        let block = BlockInfo { zones: vec![Name::root()], span, root: PathBuf::new(), index: 0 };
        Bench {
            parts: RefCell::new(Parts { block, plan: BlockPlan::default(), process: ProcessPlan::default() }),
            kept,
            keep: Keep::default(),
            control: Control { commands: sender, corefile, arrivals: Arrivals::default(), history: History::default() },
            commands: RefCell::new(Some(receiver)),
            metrics,
        }
    }

    /// Sets a plugin up from the lines of a block.
    pub fn set_up(&self, definition: &Definition, lines: &str) -> Result<(), Error> {
        let text = format!(". {{\n{lines}\n}}\n");
        let corefile = corefile::parse(Path::new("Corefile"), &text, &|_| None)?;
        let siblings = &corefile.blocks[0].directives;
        let directives: Vec<_> =
            siblings.iter().filter(|directive| directive.name.text == definition.directive).cloned().collect();
        assert!(!directives.is_empty(), "no {} in {lines}", definition.directive);
        self.with_setup_among(&directives, siblings, |setup| definition.set_up(setup))
    }

    /// Calls with the set-up of these directives.
    pub fn with_setup<T>(&self, directives: &[Directive], call: impl FnOnce(&mut Setup<'_>) -> T) -> T {
        self.with_setup_among(directives, directives, call)
    }

    fn with_setup_among<T>(
        &self,
        directives: &[Directive],
        siblings: &[Directive],
        call: impl FnOnce(&mut Setup<'_>) -> T,
    ) -> T {
        let parts = &mut *self.parts.borrow_mut();
        call(&mut Setup {
            directives,
            siblings,
            block: &mut parts.block,
            plan: &mut parts.plan,
            process: &mut parts.process,
            metrics: &self.metrics,
            kept: &self.kept,
            keep: &self.keep,
            control: &self.control,
            datagrams: DATAGRAMS,
        })
    }

    /// Sets up each of the lines and asserts that the error says the text.
    pub fn errors(definition: &Definition, cases: &[(&str, &str)]) {
        for (lines, expected) in cases {
            let error = Bench::new().set_up(definition, lines).expect_err(lines);
            assert!(error.to_string().contains(expected), "{lines}: {error}");
            assert!(error.span.is_some_and(|span| span.line >= 2), "{lines}: the place is missing");
        }
    }

    /// What plugins ask of the server. Once.
    pub fn commands(&self) -> mpsc::UnboundedReceiver<Command> {
        self.commands.borrow_mut().take().expect("taken already")
    }

    /// What has been made so far.
    pub fn done(&self) -> RefMut<'_, Parts> {
        self.parts.borrow_mut()
    }

    /// Who has a say in readiness.
    pub fn readiness(&self) -> Readiness {
        self.parts.borrow().process.readiness.clone()
    }

    /// The answer of the endpoint with this path.
    pub fn get(&self, path: &str) -> http::Response {
        self.get_from(path, "127.0.0.1:8090")
    }

    /// The same, asked with this `Host`.
    pub fn get_from(&self, path: &str, host: &str) -> http::Response {
        let parts = self.parts.borrow();
        let endpoint = parts.process.endpoints.iter().find(|endpoint| endpoint.path == path).expect(path);
        (endpoint.respond)(&http::Request { path: path.to_owned(), query: String::new(), host: host.to_owned() })
    }

    /// Tells the lifecycles that the listeners are open.
    pub fn serving(&self) {
        let address = ([127, 0, 0, 1], 53).into();
        self.parts.borrow().process.lifecycles.iter().for_each(|lifecycle| lifecycle.serving(&[address]));
    }

    /// Drains every lifecycle, one after another.
    #[allow(clippy::await_holding_refcell_ref)]
    pub async fn drain(&self) {
        let lifecycles = self.parts.borrow().process.lifecycles.clone();
        for lifecycle in lifecycles {
            lifecycle.drain().await;
        }
    }

    /// The block's chain, with `last` behind it.
    pub fn chain(&self, last: Outcome) -> Vec<Arc<dyn Handler>> {
        let mut chain = self.parts.borrow().plan.chain.clone();
        chain.push(Arc::new(Last(last)));
        chain
    }

    /// What the block's chain makes of a request when the handler behind it answers `last`.
    pub async fn ask(&self, request: &Request, last: Outcome) -> Outcome {
        let chain = self.chain(last);
        Next::all(&chain).run(request).await
    }
}

/// The plain query for a name.
pub fn query(name: &str, qtype: RecordType) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(qtype.0.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// The query with an OPT behind it.
pub fn query_with_edns(name: &str, qtype: RecordType, payload: u16, dnssec_ok: bool) -> Vec<u8> {
    let mut packet = query(name, qtype);
    packet[11] = 1;
    packet.extend([0, 0, 41]);
    packet.extend(payload.to_be_bytes());
    packet.extend([0, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]);
    packet
}

/// The packet as a request from 10.1.2.3:40000 over UDP.
pub fn request(packet: Vec<u8>) -> Request {
    let mut buffer = NameBuffer::default();
    let query = Query::parse(&packet, &mut buffer).expect("a well-formed query");
    Request {
        known: KnownQuery::from(&query),
        name: query.name.to_name(),
        options: Vec::new(),
        client: ([10, 1, 2, 3], 40000).into(),
        local: ([10, 96, 0, 10], 53).into(),
        transport: Transport::Udp,
        shape: Shape::default(),
        moment: Moment { seconds: 1_700_000_000, random: 0x1234_5678_9abc_def0 },
        metadata: Metadata::default(),
        depth: 0,
        server: Arc::new(NoServer),
        packet,
    }
}

struct Last(Outcome);

impl Handler for Last {
    fn name(&self) -> &'static str {
        "last"
    }

    fn handle<'a>(&'a self, _: &'a Request, _: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async { self.0.clone() })
    }
}

struct NoServer;

impl Lookup for NoServer {
    fn lookup<'a>(&'a self, _: Vec<u8>, _: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Dropped })
    }
}
