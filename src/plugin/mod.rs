//! The contract of a plugin: how a directive is set up, and how it meets queries.
//!
//! A plugin is a [`Definition`] in one file of `plugins/`. Its `setup` reads its own directives and adds to the
//! [`BlockPlan`] what it does: a [`Source`] that answers with bytes in the fast lane, a [`Handler`] in the slow lane's
//! chain, a change of [`Shape`], a [`Lifecycle`] beside the queries, an HTTP endpoint. What it does not add costs a
//! query nothing. This room knows no single plugin, no `kube`, no socket.

mod authority;
pub mod certificates;
mod chain;
mod clients;
mod copies;
mod datagrams;
mod explain;
pub mod expression;
mod external;
mod fallthrough;
mod fast;
mod keys;
mod lifecycle;
mod metadata;
mod plan;
mod server_keys;
mod setup;
mod status;
mod transfer;
mod view;

pub use authority::{ZoneFile, answer_from, not_ours};
pub use chain::{Failure, Handler, Lookup, Next, Outcome, Reply, Request};
pub use clients::{Clients, KnownClients};
pub use copies::{Copies, Copy};
pub use datagrams::Datagrams;
pub use explain::{Explain, Explainer, Explanation, Question, Way};
pub use external::{ExternalServices, ServiceFound, ServiceQuestion};
pub use fallthrough::Fallthrough;
pub use fast::{Context, Moment, Shape, Source, TtlRange, TtlRule, Verdict};
pub use keys::Keys;
pub use lifecycle::{Arrivals, Command, Control, History, Keep, Lifecycle, Occasion, Readiness};
pub use metadata::{Metadata, Provider, Subject};
pub use plan::{BlockPlan, ConnectionBounds, ProcessPlan};
pub use server_keys::{
    ByServerName, CLIENT_AUTH_WORDS, Certificate, ClientAuth, RENEWALS, Renewable, Renewing, ServerKeys,
};
pub use setup::{BlockInfo, Setup};
pub use status::{Sections, Table};
pub use transfer::{Following, ZoneHolder, ZoneHolders};
pub use view::View;

pub use crate::corefile::{Directive, Error, Span, Token};
pub use crate::wire::Transport;
pub use futures_util::future::BoxFuture;

use crate::metrics::Descriptor;

/// One plugin: the directive's name, how it is set up, what it counts.
pub struct Definition {
    /// The word in the Corefile.
    pub directive: &'static str,
    /// Reads all directives of this name in one server block and adds to the plan.
    pub setup: fn(&mut Setup<'_>) -> Result<(), Error>,
    /// The metrics the plugin counts, for the exposition and the documentation.
    pub metrics: &'static [&'static Descriptor],
}

impl Definition {
    /// Sets the plugin up; that no option of it is left with a block nobody has read is seen to here.
    ///
    /// # Errors
    /// What is wrong with its directives, with the place.
    pub fn set_up(&self, setup: &mut Setup<'_>) -> Result<(), Error> {
        (self.setup)(setup)?;
        let mut options = setup.directives.iter().flat_map(|directive| directive.options());
        match options.find(|option| option.block.is_some()) {
            Some(option) => Err(setup.error(&option.name, format!("'{}' takes no block", option.name.text))),
            None => Ok(()),
        }
    }
}
