//! A configuration without sockets: what measurements and tests of the fast lane hold.

use super::build::{self, Plan};
use super::lanes::Current;
use super::routes::Routes;
use super::running::start_all;
use crate::cli;
use crate::corefile;
use crate::engine::{Answerer, Arrival, Lane, Transport};
use crate::metrics::Metrics;
use crate::plugin::{Arrivals, Control, History, Keep};
use arc_swap::ArcSwap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The lanes of a Corefile's first listener, and what runs beside them.
pub struct Bench {
    current: Arc<Current>,
    runtime: tokio::runtime::Runtime,
    _plan: Plan,
}

impl Bench {
    /// Sets a Corefile's plugins up and starts them, without opening anything.
    ///
    /// # Errors
    /// What a start would say.
    pub fn new(corefile: &str) -> Result<Bench, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (commands, _) = mpsc::unbounded_channel();
        let control = Control { commands, corefile: None, arrivals: Arrivals::default(), history: History::default() };
        let corefile =
            corefile::parse(Path::new("Corefile"), corefile, &|_| None).map_err(|error| error.to_string())?;
        let plan = runtime.block_on(async {
            let plan = build::build(&corefile, cli::DNS_PORT, &Metrics::new(), &Keep::default(), &control)
                .map_err(|errors| format!("{errors:?}"))?;
            start_all(&plan.process.lifecycles).await?;
            Ok::<_, String>(plan)
        })?;
        let routes: Option<&Arc<Routes>> = plan.places.values().next().map(|served| &served.routes);
        let routes = Arc::clone(routes.ok_or("a Corefile without a server block")?);
        Ok(Bench {
            current: Arc::new(Current { routes: ArcSwap::new(routes), arrivals: Arrivals::default() }),
            runtime,
            _plan: plan,
        })
    }

    /// A fast lane, as a UDP worker has it.
    pub fn lane(&self) -> Box<dyn Lane> {
        self.current.lane(Transport::Udp)
    }

    /// The slow lane's answer to a packet.
    pub fn slow(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let arrival = Arrival { client, local: client, transport: Transport::Udp };
        self.runtime.block_on(self.current.slow(packet.to_vec(), arrival)).map(|sent| sent.message)
    }
}
