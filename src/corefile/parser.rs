//! Tokens to server blocks.
use super::{Corefile, Error};
use std::path::Path;

pub(super) fn parse(
    _path: &Path,
    _text: &str,
    _environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Corefile, Error> {
    unimplemented!()
}
