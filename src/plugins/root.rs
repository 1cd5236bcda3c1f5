//! # Description
//! `root` sets the directory that the relative file names of the block's other plugins start from. Without it they
//! start from the working directory.
//!
//! # Syntax
//! ```text
//! root PATH
//! ```
//! A relative **PATH** starts from the working directory. A directory that is not there is warned about.
//!
//! # Examples
//! Reads `/etc/coredns/zones/hosts.txt`:
//! ```corefile
//! . {
//!     root /etc/coredns/zones
//!     hosts hosts.txt
//! }
//! ```
//!
//! # Metrics
//! None.
//!
//! # See also
//! `hosts`, whose file is found this way.

use crate::plugin::{Definition, Error, Setup};
use std::path::PathBuf;

/// `root`.
pub const DEFINITION: Definition = Definition { directive: "root", setup, metrics: &[] };

fn setup(setup: &mut Setup<'_>) -> Result<(), Error> {
    let directive = setup.last()?;
    let [path] = directive.args.as_slice() else { return Err(setup.arguments(directive, "root PATH")) };
    if let Some(option) = directive.options().first() {
        return Err(setup.unknown(option, "none"));
    }
    let root = PathBuf::from(&path.text);
    if !root.is_dir() {
        setup.warn(path, format!("the directory {} does not exist", root.display()));
    }
    setup.block.root = root;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::Bench;

    #[test]
    fn relative_names_start_at_the_root() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "root /").unwrap();
        assert_eq!(bench.done().block.root, PathBuf::from("/"));
    }

    #[test]
    fn a_missing_directory_is_warned_about() {
        let bench = Bench::new();
        bench.set_up(&DEFINITION, "root /no/such/place").unwrap();
        let done = bench.done();
        assert!(done.process.warnings[0].contains("/no/such/place does not exist"), "{:?}", done.process.warnings);
        assert_eq!(done.block.root, PathBuf::from("/no/such/place"));
    }

    #[test]
    fn errors() {
        Bench::errors(&DEFINITION, &[("root", "expected: root PATH"), ("root a b", "expected: root PATH")]);
    }
}
