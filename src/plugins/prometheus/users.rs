//! Who may read the metrics: `basic_auth_users` of the web configuration file (RFC 7617, passwords hashed by bcrypt).

use super::web;
use crate::wire::base64;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// How many passwords that were right are known without hashing them again.
const MOST_KNOWN: usize = 100;

/// The users of one file.
pub(super) struct Users {
    file: PathBuf,
    current: Mutex<Current>,
    /// Passwords that were right, each hashed with its user and what the file had for that user.
    known: Mutex<HashSet<[u8; 32]>>,
    /// A hash takes a tenth of a second of a processor, as it is meant to: one at a time, so that strangers have no more.
    hashing: Semaphore,
}

/// The file as it was read last.
struct Current {
    text: String,
    hashes: Arc<BTreeMap<String, String>>,
}

impl Users {
    pub fn new(file: &Path, text: &str, hashes: BTreeMap<String, String>) -> Users {
        let current = Mutex::new(Current { text: text.to_owned(), hashes: Arc::new(hashes) });
        Users { file: file.to_owned(), current, known: Mutex::default(), hashing: Semaphore::new(1) }
    }

    /// Whether the header `Authorization` is that of a user.
    pub async fn admit(self: Arc<Users>, authorization: String) -> bool {
        let Some((user, password)) = credentials(&authorization) else { return false };
        let users = self.clone();
        let reading = tokio::task::spawn_blocking(move || users.read_again());
        let Ok(hashes) = reading.await else { return false };
        // Nobody's password takes as long as somebody's, so that names are not found by trying them.
        let (is_user, hash) = match hashes.get(&user) {
            Some(hash) => (true, hash.clone()),
            None => (false, hashes.values().next().cloned().unwrap_or_default()),
        };
        let key = key(&[&user, &hash, &password]);
        if is_user && locked(&self.known).contains(&key) {
            return true;
        }
        let Ok(_turn) = self.hashing.acquire().await else { return false };
        let hashing = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false));
        let is_right = is_user && hashing.await.unwrap_or(false);
        if is_right {
            let mut known = locked(&self.known);
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.insert(key);
        }
        is_right
    }

    /// The users of the file as it is now. A file that cannot be used is said, and the users before it stay.
    fn read_again(&self) -> Arc<BTreeMap<String, String>> {
        let read = std::fs::read_to_string(&self.file).map_err(|why| why.to_string());
        let mut current = locked(&self.current);
        match read {
            Ok(text) if text == current.text => {}
            Ok(text) => {
                match web::hashes(&text) {
                    Ok(hashes) => current.hashes = Arc::new(hashes),
                    Err(why) => tracing::warn!(target: "plugin/prometheus", "{}: {why}", self.file.display()),
                }
                current.text = text;
            }
            Err(why) => tracing::warn!(target: "plugin/prometheus", "open {}: {why}", self.file.display()),
        }
        current.hashes.clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// User and password (RFC 7617 section 2).
fn credentials(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    let decoded = base64(encoded.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// One key for parts of any text.
fn key(parts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn users(name: &str, text: &str) -> Arc<Users> {
        let file = std::env::temp_dir().join(format!("dunlin-users-{name}-{}.yaml", std::process::id()));
        std::fs::write(&file, text).unwrap();
        Arc::new(Users::new(&file, text, web::hashes(text).unwrap()))
    }

    fn line(user: &str, password: &str, cost: u32) -> String {
        format!("  {user}: {}\n", bcrypt::hash(password, cost).unwrap())
    }

    #[tokio::test]
    async fn only_users_with_their_passwords_are_let_in() {
        let text = format!("basic_auth_users:\n{}{}", line("ada", "engine", 4), line("eve", "apple:core", 4));
        let users = users("let-in", &text);
        for (header, expected) in [
            ("Basic YWRhOmVuZ2luZQ==", true),
            ("basic YWRhOmVuZ2luZQ==", true),
            ("Basic ZXZlOmFwcGxlOmNvcmU=", true),  // eve:apple:core
            ("Basic YWRhOmFwcGxlOmNvcmU=", false), // ada:apple:core
            ("Basic Ym9iOmVuZ2luZQ==", false),     // bob:engine
            ("Basic YWRh", false),                 // ada
            ("Basic ?", false),
            ("Bearer YWRhOmVuZ2luZQ==", false),
            ("YWRhOmVuZ2luZQ==", false),
            ("", false),
        ] {
            assert_eq!(users.clone().admit(header.into()).await, expected, "{header}");
        }
        // Another password in the file is the one that counts, whatever was right before.
        std::fs::write(&users.file, format!("basic_auth_users:\n{}", line("ada", "other", 4))).unwrap();
        assert!(!users.clone().admit("Basic YWRhOmVuZ2luZQ==".into()).await);
        assert!(users.clone().admit("Basic YWRhOm90aGVy".into()).await);
        // And what cannot be read changes nothing.
        std::fs::write(&users.file, "basic_auth_users: {ada: none}").unwrap();
        assert!(users.clone().admit("Basic YWRhOm90aGVy".into()).await);
        std::fs::remove_file(&users.file).unwrap();
        assert!(users.clone().admit("Basic YWRhOm90aGVy".into()).await);
    }

    #[tokio::test]
    async fn a_password_that_was_right_is_not_hashed_again() {
        let text = format!("basic_auth_users:\n{}", line("ada", "engine", 9));
        let users = users("known", &text);
        let begun = Instant::now();
        assert!(users.clone().admit("Basic YWRhOmVuZ2luZQ==".into()).await);
        let first = begun.elapsed();
        // A stranger hashes; who is known does not wait for that.
        let stranger = tokio::spawn(users.clone().admit("Basic Ym9iOmVuZ2luZQ==".into()));
        let mut known = Vec::new();
        for _ in 0..9 {
            let begun = Instant::now();
            assert!(users.clone().admit("Basic YWRhOmVuZ2luZQ==".into()).await);
            known.push(begun.elapsed());
        }
        known.sort();
        assert!(!stranger.await.unwrap());
        assert!(first > Duration::from_millis(5) && known[4] < first / 2, "{first:?}, {known:?}");
        std::fs::remove_file(&users.file).unwrap();
    }
}
