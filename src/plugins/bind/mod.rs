//! # Description
//! `bind` listens for the block on some addresses of the machine instead of all.
//!
//! # Syntax
//! ```text
//! bind ADDRESS|INTERFACE... {
//!     except ADDRESS|INTERFACE...
//! }
//! ```
//! * **ADDRESS** is an IP address, **INTERFACE** the name of a network interface, which stands for the addresses it has
//!   when the configuration is loaded (IPv6 link-local ones left out: they need a zone, which a Corefile cannot say).
//! * `except` takes addresses away from those of the interfaces.
//!
//! `bind` can be given more than once in a block. Blocks on the same port and zone need addresses that differ.
//!
//! # Examples
//! A cache on each node:
//! ```corefile
//! . {
//!     bind 169.254.20.10 10.96.0.10
//!     whoami
//! }
//! ```
//! All addresses of an interface but one:
//! ```corefile
//! . {
//!     bind lo {
//!         except 127.0.0.1
//!     }
//!     whoami
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! The ports stand at the block's names: `.:1053`.

mod interface;

use crate::plugin::{Definition, Error, Setup, Token};
use std::net::IpAddr;

/// `bind`.
pub const DEFINITION: Definition = Definition { directive: "bind", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    for directive in setup.directives {
        if directive.args.is_empty() {
            return Err(setup.arguments(directive, "bind ADDRESS|INTERFACE..."));
        }
        let mut except = Vec::new();
        for option in directive.options() {
            match (option.name.text.as_str(), option.args.as_slice()) {
                ("except", []) => return Err(setup.arguments(option, "except ADDRESS|INTERFACE...")),
                ("except", words) => except.extend(addresses(setup, words)?),
                _ => return Err(setup.unknown(option, "except")),
            }
        }
        for address in addresses(setup, &directive.args)? {
            if !except.contains(&address) && !setup.plan.binds.contains(&address) {
                setup.plan.binds.push(address);
            }
        }
        // No address would mean all of them.
        if setup.plan.binds.is_empty() {
            return Err(setup.error(&directive.name, "no address is left to listen on"));
        }
    }
    Ok(())
}

fn addresses(setup: &Setup<'_>, words: &[Token]) -> Result<Vec<IpAddr>, Error> {
    let mut addresses = Vec::new();
    for word in words {
        match word.text.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => addresses.extend(interface::addresses(&word.text).map_err(|why| setup.error(word, why))?),
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    fn binds(lines: &str) -> Vec<String> {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, lines).unwrap();
        bench.done().plan.binds.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_are_collected_once_each() {
        assert_eq!(binds("bind 169.254.20.10 10.96.0.10"), ["169.254.20.10", "10.96.0.10"]);
        assert_eq!(binds("bind 10.0.0.1 ::1\nbind 10.0.0.1 10.0.0.2"), ["10.0.0.1", "::1", "10.0.0.2"]);
        assert_eq!(binds("bind 0.0.0.0"), ["0.0.0.0"]);
        assert_eq!(binds("bind 10.0.0.1 10.0.0.2 {\nexcept 10.0.0.1\n}"), ["10.0.0.2"]);
    }

    #[test]
    fn an_interface_stands_for_its_addresses() {
        assert!(binds("bind lo").contains(&"127.0.0.1".to_owned()));
        assert!(!binds("bind lo 10.9.9.9 {\nexcept lo\n}").contains(&"127.0.0.1".to_owned()));
    }

    #[test]
    fn errors() {
        Bench::errors(
            &DEFINITION,
            &[
                ("bind", "expected: bind ADDRESS|INTERFACE..."),
                ("bind 10.0.0.256", "'10.0.0.256' is neither an IP address nor a network interface of this machine"),
                ("bind nosuch0", "'nosuch0' is neither"),
                ("bind ../net", "'../net' is neither"),
                ("bind lo {\nexcept\n}", "expected: except ADDRESS|INTERFACE..."),
                ("bind 10.0.0.1 {\nexcept nosuch0\n}", "'nosuch0' is neither"),
                ("bind 10.0.0.1 {\nexcept 10.0.0.1\n}", "no address is left"),
                ("bind 10.0.0.1 {\nonly x\n}", "unknown property 'only'; expected one of: except"),
            ],
        );
    }
}
