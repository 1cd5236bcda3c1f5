//! The value grammars of options: durations, sizes, networks, endpoints.

/// The zones a word stands for, in lower case with a last dot: a name (scheme and port stripped), or the reverse zones
/// of a CIDR network, several where its prefix is not on an octet (IPv4) or nibble (IPv6) border.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub fn zones(_word: &str) -> Result<Vec<String>, String> {
    unimplemented!()
}

/// A duration as Go writes it (`1h30m`, `500ms`, `5s`); a bare number is an error.
///
/// # Errors
/// What is wrong with the word, as a sentence without its place.
pub fn duration(_word: &str) -> Result<std::time::Duration, String> {
    unimplemented!()
}
