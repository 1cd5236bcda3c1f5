//! The file of `weighted`: names, and under each the weights of its addresses.

use crate::wire::Name;
use std::collections::HashMap;
use std::net::IpAddr;

/// The weights of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Weights(HashMap<Name, HashMap<IpAddr, u8>>);

impl Weights {
    /// Reads the file's text: a line is a name, or an address and its weight (1 to 255) for the name above, or empty, or
    /// a comment from `#` on.
    ///
    /// # Errors
    /// The line, counted from 1, and what is wrong with it.
    pub fn read(text: &str) -> Result<Weights, String> {
        let mut names: HashMap<Name, HashMap<IpAddr, u8>> = HashMap::new();
        let mut current = None;
        for (line, number) in text.lines().zip(1..) {
            let words: Vec<_> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            let wrong = |why: String| format!("line {number}: {why}");
            match words.as_slice() {
                [] => {}
                [name] => {
                    let name = Name::from_text(name).map_err(|why| wrong(format!("'{name}' is no name: {why}")))?;
                    names.entry(name.clone()).or_default();
                    current = Some(name);
                }
                [address, weight] => {
                    let address = address.parse().map_err(|_| wrong(format!("'{address}' is no address")))?;
                    let weight = weight.parse().ok().filter(|weight| *weight > 0);
                    let weight = weight.ok_or_else(|| wrong("the weight must be from 1 to 255".to_owned()))?;
                    let of_name = current.as_ref().and_then(|name| names.get_mut(name));
                    let of_name = of_name.ok_or_else(|| wrong("an address stands before the first name".to_owned()))?;
                    of_name.insert(address, weight);
                }
                _ => return Err(wrong("expected NAME or ADDRESS WEIGHT".to_owned())),
            }
        }
        Ok(Weights(names))
    }

    /// The weight of an owner's address; 1 where the file has none.
    pub fn of(&self, owner: &Name, address: IpAddr) -> u8 {
        self.0.get(owner).and_then(|addresses| addresses.get(&address)).copied().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_by_name_and_address() {
        let weights =
            Weights::read("# all\nW1.example.org\n10.0.0.1 20 # big\n\nw2.example.org.\nfd00::1 255\n").unwrap();
        let name = |text| Name::from_text(text).unwrap();
        assert_eq!(weights.of(&name("w1.example.org"), IpAddr::from([10, 0, 0, 1])), 20);
        assert_eq!(weights.of(&name("w2.example.org"), IpAddr::from([10, 0, 0, 1])), 1);
        assert_eq!(weights.of(&name("w2.example.org"), "fd00::1".parse().unwrap()), 255);
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, expected) in [
            ("w\n\n10.0.0.1 0", "line 3: the weight must be from 1 to 255"),
            ("w\n10.0.0.1 256", "line 2: the weight"),
            ("w\n10.0.0.256 1", "line 2: '10.0.0.256' is no address"),
            ("10.0.0.1 1", "line 1: an address stands before the first name"),
            ("w\n10.0.0.1 1 1", "line 2: expected NAME or ADDRESS WEIGHT"),
            ("a..b", "line 1: 'a..b' is no name"),
        ] {
            let error = Weights::read(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
