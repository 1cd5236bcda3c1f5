//! # Description
//! `metadata` makes labels of plugins known to others in CoreDNS. Here it is read and does nothing yet: no plugin
//! provides labels. `log` prints `-` for them, `template` and `rewrite` take them for empty.
//!
//! # Syntax
//! ```text
//! metadata [ZONE...]
//! ```
//!
//! # Examples
//! ```corefile
//! . {
//!     metadata
//!     log . "{remote} {name} {/kubernetes/client-namespace}"
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `log`, `template`, `rewrite`.

use crate::plugin::{Definition, Error, Setup};

/// `metadata`.
pub const DEFINITION: Definition = Definition { directive: "metadata", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    setup.zones_or_block(&directive.args)?;
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    setup.warn(&directive.name, "no plugin provides labels yet; they are empty");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    #[test]
    fn it_is_read_and_warned_about() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "metadata example.org").unwrap();
        assert!(bench.done().process.warnings[0].contains("they are empty"));
        assert!(bench.done().plan.chain.is_empty());
    }

    #[test]
    fn errors() {
        let cases = [
            ("metadata a..b", "a label is empty"),
            ("metadata {\nx\n}", "unknown property"),
            ("metadata\nmetadata", "once"),
        ];
        Bench::errors(&DEFINITION, &cases);
    }
}
