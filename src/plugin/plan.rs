//! What a server block becomes: sources, chain, shape, and what runs beside it.

use super::fast::{Gate, ZonedTtl};
use super::{
    Clients, Copies, Explainer, ExternalServices, Handler, Keys, KnownClients, Lifecycle, Metadata, Provider,
    Readiness, Sections, ServerKeys, Shape, Source, Subject, TtlRule, View, ZoneHolders,
};
use crate::http;
use crate::metrics::Sampled;
use crate::wire::{LowerName, Name, Query};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The plan of one server block, filled by its plugins in the order of the registry.
#[derive(Default)]
pub struct BlockPlan {
    /// The zones the block serves, from its addresses.
    pub zones: Vec<Name>,
    /// The block's first listener as metrics name it (`dns://:53`).
    pub server: String,
    /// Zone stores, in the order of the chain. They are asked before the cache, so that what we hold is never stale.
    pub stores: Vec<Arc<dyn Source>>,
    /// The answer cache, asked after the stores.
    pub cache: Option<Arc<dyn Source>>,
    /// The slow lane's chain.
    pub chain: Vec<Arc<dyn Handler>>,
    /// What becomes of the sources' answers.
    pub shape: Shape,
    /// Whether queries are counted (`prometheus`).
    pub counted: bool,
    /// Whether classes other than IN enter the chain (`chaos`, `forward`).
    pub any_class: bool,
    /// The addresses to listen on; empty for all.
    pub binds: Vec<IpAddr>,
    /// What is said of connections (`timeouts`).
    pub connections: ConnectionBounds,
    /// The UDP sockets of each address (`multisocket`).
    pub sockets: Option<usize>,
    /// What proves us to clients of the block's encrypted listeners (`tls`).
    pub tls: Option<ServerKeys>,
    /// What chooses this block among those of the same zone (`view`).
    pub view: Option<Arc<View>>,
    /// The zones whose queries have labels (`metadata`); none without it.
    pub labelled: Vec<Name>,
    /// The plugins that know labels.
    pub providers: Vec<Arc<dyn Provider>>,
    /// Connections of an `https://` listener (`https`).
    pub https_connections: Option<usize>,
    /// Streams of one connection of a `quic://` listener, and of all (`quic`).
    pub quic_streams: (Option<u32>, Option<usize>),
    /// The plugins whose zones may be transferred (`transfer`).
    pub holders: ZoneHolders,
    /// The plugin that knows services as they are reached from outside (`k8s_external`); set when it is set up.
    pub services: Arc<OnceLock<Arc<dyn ExternalServices>>>,
    /// The plugin that knows the clients' pods (`autopath`); set when it is set up, if it knows them.
    pub clients: Arc<OnceLock<Arc<dyn Clients>>>,
    /// Where the lanes leave copies of a sample of queries and answers (`shadow`).
    pub copies: Option<Arc<Copies>>,
    /// Whether what comes are copies of queries that another server answers (`shadow`'s `mirror`): nobody is answered
    /// over UDP on the block's listeners.
    pub is_mirror: bool,
    ttl: Option<ZonedTtl>,
    slow: Vec<Name>,
    held: Vec<Held>,
}

/// What connections may do, where a block says it; the engine has a default for the rest.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ConnectionBounds {
    /// How long the first message may take to come, and the handshake before it.
    pub read: Option<Duration>,
    /// How long the client may take to read what is written.
    pub write: Option<Duration>,
    /// How long a connection may stay without messages.
    pub idle: Option<Duration>,
    /// How many queries one connection may bring.
    pub queries: Option<u32>,
}

/// Answers that a plugin must see, whatever source they come from.
struct Held {
    zones: Vec<Name>,
    matches: fn(&[u8]) -> bool,
}

impl BlockPlan {
    /// The plan of a block before any plugin is set up.
    pub fn new(zones: Vec<Name>) -> BlockPlan {
        BlockPlan { zones, ..BlockPlan::default() }
    }

    /// The view's name as metrics show it: empty without one.
    pub fn view_name(&self) -> &str {
        self.view.as_ref().map_or("", |view| &view.name)
    }

    /// The labels of a query for this name by this client: empty unless `metadata` covers it.
    pub fn metadata(&self, name: &LowerName<'_>, client: SocketAddr) -> Metadata {
        if !self.labelled.iter().any(|zone| name.is_within(zone)) {
            return Metadata::default();
        }
        Metadata::new(self.providers.clone(), Subject { name: name.to_name(), client })
    }

    /// Gives all records of an answer one TTL in these zones.
    pub fn rule_ttls(&mut self, zones: &[Name], rule: TtlRule) {
        self.ttl = Some(ZonedTtl { zones: Name::outermost(zones), rule });
    }

    /// Takes the names in these zones out of the fast lane: a plugin must see their messages.
    pub fn leave_fast_lane(&mut self, zones: impl IntoIterator<Item = Name>) {
        self.slow.extend(zones);
    }

    /// Takes the answers for these zones that `matches` (given the whole message) out of the fast lane.
    pub fn leave_fast_lane_when(&mut self, zones: Vec<Name>, matches: fn(&[u8]) -> bool) {
        self.held.push(Held { zones, matches });
    }

    /// Takes the queries that `picks` out of the fast lane, from this plugin's place in the chain on. It must be quick:
    /// it is asked for every query.
    pub fn leave_fast_lane_for(&mut self, picks: impl Fn(&Query<'_>) -> bool + Send + Sync + 'static) {
        self.stores.push(Arc::new(Gate(picks)));
    }

    /// Whether the fast lane may answer this name.
    #[inline]
    pub fn is_fast(&self, name: &LowerName<'_>) -> bool {
        self.slow.is_empty() || !self.slow.iter().any(|zone| name.is_within(zone))
    }

    /// Whether the fast lane may send this answer to this name; otherwise the slow lane makes it anew.
    #[inline]
    pub fn may_send(&self, name: &LowerName<'_>, answer: &[u8]) -> bool {
        self.held.is_empty()
            || !self
                .held
                .iter()
                .any(|held| (held.matches)(answer) && held.zones.iter().any(|zone| name.is_within(zone)))
    }

    /// The shape of the answers for this name.
    #[inline]
    pub fn shape_for(&self, name: &LowerName<'_>) -> Shape {
        match &self.ttl {
            Some(ttl) if ttl.zones.iter().any(|zone| name.is_within(zone)) => {
                Shape { ttl: Some(ttl.rule), ..self.shape }
            }
            _ => self.shape,
        }
    }
}

/// What the plugins of all blocks add to the process.
#[derive(Default)]
pub struct ProcessPlan {
    /// HTTP endpoints.
    pub endpoints: Vec<http::Endpoint>,
    /// What runs beside the queries, in the order of set-up.
    pub lifecycles: Vec<Arc<dyn Lifecycle>>,
    /// Who has a say in `/ready`.
    pub readiness: Readiness,
    /// What plugins show on the status page.
    pub sections: Sections,
    /// Who knows the pods that clients are.
    pub clients: KnownClients,
    /// The way to ask how the plan answers, once it runs.
    pub explainer: Explainer,
    /// Where every lane leaves samples of its queries (`status`); every block is counted then.
    pub sampled: Option<Arc<Sampled>>,
    /// Warnings for the operator, each a whole line with its place.
    pub warnings: Vec<String>,
    /// The keys that messages may be signed with (`tsig`).
    pub keys: Keys,
    /// Whether `[DEBUG]` lines are wanted (`debug`).
    pub debug: bool,
}

impl ProcessPlan {
    /// Adds an HTTP endpoint, unless another block has added the same path on the same address.
    pub fn add_endpoint(&mut self, endpoint: http::Endpoint) {
        let same = |other: &http::Endpoint| other.address == endpoint.address && other.path == endpoint.path;
        if !self.endpoints.iter().any(same) {
            self.endpoints.push(endpoint);
        }
    }
}
