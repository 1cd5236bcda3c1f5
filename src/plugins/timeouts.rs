//! # Description
//! `timeouts` bounds how long connections over TCP, TLS, HTTPS and QUIC may keep the server waiting, and how many
//! queries each may bring. UDP has no connections.
//!
//! # Syntax
//! ```text
//! timeouts {
//!     read DURATION
//!     write DURATION
//!     idle DURATION
//!     maxtcpqueries NUMBER
//! }
//! ```
//! - `read` (3s): a new connection's handshake, and then its first query, must be done within this; over HTTPS each
//!   request's head and body, over QUIC each stream's query.
//! - `write` (5s): a client that does not take its answers is dropped after this.
//! - `idle` (10s): a connection is closed this long after its last query or answer.
//! - `maxtcpqueries` (-1, no bound): a connection over TCP or TLS is closed after as many queries, so that long-lived
//!   ones spread over the replicas behind a load balancer.
//!
//! Durations are from 1s to 24h, a bare number means seconds; at least one option has to be there. Where several server
//! blocks share a listener, the last that gives an option decides it. A reload changes them for new connections.
//!
//! # Examples
//! ```corefile
//! . {
//!     timeouts {
//!         idle 10s
//!     }
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `cancel`, for queries; `tls`.

use crate::corefile::values;
use crate::plugin::{Definition, Directive, Error, Setup};
use std::time::Duration;

/// `timeouts`.
pub const DEFINITION: Definition = Definition { directive: "timeouts", setup, metrics: &[] };

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    if !directive.args.is_empty() {
        return Err(setup.arguments(directive, "timeouts { read|write|idle DURATION }"));
    }
    if directive.options().is_empty() {
        return Err(setup.error(&directive.name, "config block has no options; expected read, write, idle"));
    }
    for option in directive.options() {
        match option.name.text.as_str() {
            "read" => setup.plan.connections.read = Some(read(setup, option)?),
            "write" => setup.plan.connections.write = Some(read(setup, option)?),
            "idle" => setup.plan.connections.idle = Some(read(setup, option)?),
            "maxtcpqueries" => setup.plan.connections.queries = read_count(setup, option)?,
            _ => return Err(setup.unknown(option, "read, write, idle, maxtcpqueries")),
        }
    }
    Ok(())
}

fn read(setup: &Setup<'_>, option: &Directive) -> Result<Duration, Error> {
    let [word] = option.args.as_slice() else {
        return Err(setup.arguments(option, &format!("{} DURATION", option.name.text)));
    };
    let duration = values::seconds(&word.text).map_err(|why| setup.error(word, why))?;
    if !(SHORTEST..=LONGEST).contains(&duration) {
        return Err(setup.error(word, format!("timeout '{}' must be between 1s and 24h", word.text)));
    }
    Ok(duration)
}

/// The bound; `None` for none.
fn read_count(setup: &Setup<'_>, option: &Directive) -> Result<Option<u32>, Error> {
    let [word] = option.args.as_slice() else { return Err(setup.arguments(option, "maxtcpqueries NUMBER")) };
    if word.text == "-1" {
        return Ok(None);
    }
    let number = values::integer(&word.text, 1..=u64::from(u32::MAX));
    let number = number.map_err(|why| setup.error(word, format!("{why}, or -1")))?;
    Ok(u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::ConnectionBounds;
    use crate::plugins::testing::Bench;

    fn bounds(lines: &str) -> ConnectionBounds {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        bench.done().plan.connections
    }

    #[test]
    fn each_option_is_taken() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let all = ConnectionBounds { read: seconds(4), write: seconds(5), idle: seconds(86400), queries: Some(7) };
        assert_eq!(bounds("timeouts {\nread 4s\nwrite 5\nidle 24h\nmaxtcpqueries 7\n}"), all);
        assert_eq!(bounds("timeouts {\nmaxtcpqueries -1\n}"), ConnectionBounds::default());
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("timeouts", "has no options"),
                ("timeouts {\n}", "has no options"),
                ("timeouts 5s", "expected: timeouts"),
                ("timeouts {\nread\n}", "expected: read DURATION"),
                ("timeouts {\nread 500ms\n}", "between 1s and 24h"),
                ("timeouts {\nidle 25h\n}", "between 1s and 24h"),
                ("timeouts {\nidle soon\n}", "is no duration"),
                ("timeouts {\nmaxtcpqueries 0\n}", "or -1"),
                ("timeouts {\naccept 1s\n}", "unknown property 'accept'"),
            ],
        );
    }
}
