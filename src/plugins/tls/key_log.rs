//! `keylog`: secrets in the form that Wireshark reads (draft-ietf-tls-keylogfile).

use rustls::KeyLog;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The file, appended to.
#[derive(Debug)]
pub(super) struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    /// Opens or makes it, for its owner alone.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> Result<KeyLogFile, String> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        file.map(|file| KeyLogFile(Mutex::new(file))).map_err(|why| format!("open {}: {why}", path.display()))
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end connections.
        let _ = file.write_all(line.as_bytes());
    }
}
