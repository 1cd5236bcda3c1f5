//! One question, answered in memory, with the way its answer was made: as `dunlin explain` and the status page tell it.

use super::{BoxFuture, Span};
use crate::wire::{Name, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// A question.
#[derive(Clone)]
pub struct Question {
    /// Whose records are asked for.
    pub name: Name,
    /// Their type.
    pub qtype: RecordType,
    /// Who asks.
    pub client: IpAddr,
}

/// How a server block answers a question.
pub struct Explanation {
    /// The zone that fits the name, and where its server block stands; `None` where no block is asked.
    pub block: Option<(Name, Span)>,
    /// The name of the block's view, where it has one.
    pub view: Option<String>,
    /// The addresses on which that is so.
    pub listens: Vec<SocketAddr>,
    /// The way of the answer.
    pub way: Way,
    /// What the answer was made of, where its store can tell: `Service default/web`.
    pub object: Option<String>,
    /// The message; `None` where nothing is sent.
    pub reply: Option<Vec<u8>>,
    /// Why a plugin failed, or what it has to say although it answered.
    pub reason: Option<String>,
}

/// The way of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// The fast lane: the directive whose store has it, or the server itself for REFUSED.
    Fast(&'static str),
    /// The slow lane: the handlers that were asked in turn, each with how many lookups led to it (0: the question).
    Slow(Vec<(u8, &'static str)>),
}

impl Way {
    /// Who gave the answer: a directive, or the server itself.
    pub fn answered_by(&self) -> &'static str {
        match self {
            Way::Fast(by) => by,
            Way::Slow(steps) => {
                steps.iter().rev().find(|(depth, _)| *depth == 0).map_or("the server itself", |(_, name)| name)
            }
        }
    }
}

/// What runs, as far as it can be asked how it would answer.
pub trait Explain: Send + Sync {
    /// One explanation for each server block that answers the question somewhere, in the order of the addresses. What
    /// has to be asked of an upstream is; nothing is counted as a query.
    fn explain(&self, question: Question) -> BoxFuture<'_, Vec<Explanation>>;
}

/// The way to ask what runs; the server fills it when the plan's listeners are open.
#[derive(Clone, Default)]
pub struct Explainer(Arc<Mutex<Option<Arc<dyn Explain>>>>);

impl Explainer {
    /// Answers from now on with this.
    pub fn fill(&self, explain: Arc<dyn Explain>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(explain);
    }

    /// What runs; `None` before the listeners are open.
    pub fn get(&self) -> Option<Arc<dyn Explain>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
