//! The keyed hashes of RFC 8945 section 6.

use crate::wire::Name;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};

/// A keyed hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    const ALL: [Algorithm; 6] =
        [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha224, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

    /// The algorithm of a name.
    pub fn from_name(name: &Name) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == *name)
    }

    /// The algorithm as configuration files have it: its name, or `hmac-md5`.
    pub fn from_word(word: &str) -> Option<Algorithm> {
        let word = word.to_ascii_lowercase();
        let word = word.trim_end_matches('.');
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| word == algorithm.text() || (word == "hmac-md5" && *algorithm == Algorithm::Md5))
    }

    /// Its name in messages.
    pub fn name(self) -> Name {
        Name::from_text(self.text()).unwrap_or_else(|_| Name::root())
    }

    fn text(self) -> &'static str {
        match self {
            Algorithm::Md5 => "hmac-md5.sig-alg.reg.int",
            Algorithm::Sha1 => "hmac-sha1",
            Algorithm::Sha224 => "hmac-sha224",
            Algorithm::Sha256 => "hmac-sha256",
            Algorithm::Sha384 => "hmac-sha384",
            Algorithm::Sha512 => "hmac-sha512",
        }
    }

    /// Octets of its output.
    pub fn octets(self) -> usize {
        match self {
            Algorithm::Md5 => 16,
            Algorithm::Sha1 => 20,
            Algorithm::Sha224 => 28,
            Algorithm::Sha256 => 32,
            Algorithm::Sha384 => 48,
            Algorithm::Sha512 => 64,
        }
    }

    pub(super) fn mac(self, secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        fn of<M: Mac + KeyInit>(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
            keyed::<M>(secret, parts).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
        }
        match self {
            Algorithm::Md5 => of::<Hmac<md5::Md5>>(secret, parts),
            Algorithm::Sha1 => of::<Hmac<sha1::Sha1>>(secret, parts),
            Algorithm::Sha224 => of::<Hmac<sha2::Sha224>>(secret, parts),
            Algorithm::Sha256 => of::<Hmac<sha2::Sha256>>(secret, parts),
            Algorithm::Sha384 => of::<Hmac<sha2::Sha384>>(secret, parts),
            Algorithm::Sha512 => of::<Hmac<sha2::Sha512>>(secret, parts),
        }
    }

    /// Whether `mac` is the front of the right one, in a time that does not depend on where it differs.
    pub(super) fn verifies(self, secret: &[u8], parts: &[&[u8]], mac: &[u8]) -> bool {
        fn of<M: Mac + KeyInit>(secret: &[u8], parts: &[&[u8]], mac: &[u8]) -> bool {
            keyed::<M>(secret, parts).is_some_and(|right| right.verify_truncated_left(mac).is_ok())
        }
        match self {
            Algorithm::Md5 => of::<Hmac<md5::Md5>>(secret, parts, mac),
            Algorithm::Sha1 => of::<Hmac<sha1::Sha1>>(secret, parts, mac),
            Algorithm::Sha224 => of::<Hmac<sha2::Sha224>>(secret, parts, mac),
            Algorithm::Sha256 => of::<Hmac<sha2::Sha256>>(secret, parts, mac),
            Algorithm::Sha384 => of::<Hmac<sha2::Sha384>>(secret, parts, mac),
            Algorithm::Sha512 => of::<Hmac<sha2::Sha512>>(secret, parts, mac),
        }
    }
}

/// HMAC takes keys of every length.
fn keyed<M: Mac + KeyInit>(secret: &[u8], parts: &[&[u8]]) -> Option<M> {
    let mut mac = <M as Mac>::new_from_slice(secret).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}
