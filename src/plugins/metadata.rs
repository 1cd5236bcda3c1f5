//! # Description
//! `metadata` lets plugins tell others what they know of a query, as labels: `log` writes them (`{/LABEL}`), `rewrite`
//! puts them in options (`{LABEL}`), `template` in records (`.Meta "LABEL"`), and `view` decides by them
//! (`metadata('LABEL')`). Without it, and for names outside its zones, every label is empty. A label is worked out when
//! it is read; queries of which no label is read cost what they cost without `metadata`.
//!
//! | label | value |
//! |---|---|
//! | `kubernetes/kind` | `svc` or `pod`, for a name in a zone of `kubernetes` |
//! | `kubernetes/namespace`, `kubernetes/service`, `kubernetes/endpoint` | the parts of the name, empty where it has none |
//! | `kubernetes/port-name`, `kubernetes/protocol` | those of an SRV name, without their underscores |
//! | `kubernetes/parse-error` | `invalid query name`, for a name that is none of a cluster's |
//! | `kubernetes/client-namespace` | the namespace of the client's pod, with `pods verified` (see below) |
//! | `forward/upstream` | the address of the upstream that answered |
//! | `log/class`, `log/type` | the class of the answer, and what it is: `NOERROR`, `NODATA`, `NXDOMAIN` … |
//! | `view/name` | the name of the block's view |
//!
//! Of several pods with the client's address, `kubernetes/client-namespace` is that of the one that got it last. There
//! is no `kubernetes/client-pod-name`: queries read an index of addresses and namespaces, which holds no names of pods,
//! to stay small.
//!
//! # Syntax
//! ```text
//! metadata [ZONE...]
//! ```
//! - **ZONE...** (the server block's): the names whose queries have labels.
//!
//! # Examples
//! ```corefile
//! . {
//!     metadata
//!     log . "{remote} {name} {rcode} {/forward/upstream}"
//!     forward . /etc/resolv.conf
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `log`, `template`, `rewrite`, `view`.

use crate::plugin::{Definition, Error, Setup};

/// `metadata`.
pub const DEFINITION: Definition = Definition { directive: "metadata", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.once()?;
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    setup.plan.labelled = setup.zones_or_block(&directive.args)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{Provider, Subject};
    use crate::plugins::testing::Bench;
    use crate::wire::{Name, NameBuffer};
    use std::sync::Arc;

    struct Echo;

    impl Provider for Echo {
        fn label(&self, label: &str, subject: &Subject) -> Option<String> {
            (label == "test/echo").then(|| format!("{} {}", subject.name, subject.client.ip()))
        }
    }

    #[test]
    fn names_in_its_zones_have_labels() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "metadata example.org").unwrap();
        bench.done().plan.providers.push(Arc::new(Echo));
        let label = |name: &str, label: &str| {
            let name = Name::from_text(name).unwrap();
            let mut buffer = NameBuffer::default();
            let metadata = bench.done().plan.metadata(&buffer.lower(name.wire()).unwrap(), ([10, 0, 0, 1], 53).into());
            metadata.note("test/noted", || "late".to_owned());
            metadata.value(label)
        };
        assert_eq!(label("a.example.org", "test/echo").as_deref(), Some("a.example.org. 10.0.0.1"));
        assert_eq!(label("a.example.org", "test/noted").as_deref(), Some("late"));
        assert_eq!(label("a.example.org", "test/other"), None);
        assert_eq!(label("example.net", "test/echo"), None);
        assert_eq!(label("example.net", "test/noted"), None);
    }

    #[test]
    fn the_block_s_zones_are_meant_where_none_is_named() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "metadata").unwrap();
        assert_eq!(bench.done().plan.labelled, [Name::root()]);
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
