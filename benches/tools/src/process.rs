//! A process's CPU time, from `/proc`.

use std::fs;

/// Microseconds of one unit of `/proc/PID/stat`: USER_HZ is 100 on every Linux.
const TICK: f64 = 10_000.0;

/// CPU time in microseconds.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    /// In the program.
    pub user: f64,
    /// In the kernel on its behalf.
    pub system: f64,
}

impl Cpu {
    /// What the process has used so far; zero for one that is not there.
    pub fn of(pid: u32) -> Cpu {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Counted behind the command, which may have blanks in it: utime is field 14, stime 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        Cpu { user: ticks(11) * TICK, system: ticks(12) * TICK }
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Cpu) -> Cpu {
        Cpu { user: self.user - earlier.user, system: self.system - earlier.system }
    }

    /// Both together.
    pub fn total(self) -> f64 {
        self.user + self.system
    }
}
