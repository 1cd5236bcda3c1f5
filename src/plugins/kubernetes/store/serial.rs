//! The serial of a zone.

use std::sync::atomic::{AtomicU32, Ordering};

/// Unix seconds of the last change that secondaries care for, 0 before the first.
#[derive(Default)]
pub struct Serial {
    last: AtomicU32,
    /// The serial of the last zone that was handed out.
    handed_out: AtomicU32,
}

impl Serial {
    #[inline]
    pub fn get(&self) -> u32 {
        self.last.load(Ordering::Relaxed)
    }

    /// The zone is about to be handed out: a change from now on has another serial, even in this second.
    pub fn hand_out(&self) {
        self.handed_out.store(self.get(), Ordering::Relaxed);
    }

    /// A change, at this Unix second.
    pub fn bump(&self, seconds: u32) {
        let serial = self.get();
        let is_known = self.handed_out.load(Ordering::Relaxed) == serial;
        self.last.store(seconds.max(serial.saturating_add(u32::from(is_known))), Ordering::Relaxed);
    }

    #[cfg(test)]
    pub fn set(&self, serial: u32) {
        self.last.store(serial, Ordering::Relaxed);
    }
}
