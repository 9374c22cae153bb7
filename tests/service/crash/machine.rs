//! Clock and disk of the processes under test, changed while they run.
//!
//! A library that is preloaded into them (`preload.c`) adds an offset to the clock and a delay to each
//! fsync. It is compiled by the test, with the compiler by which Rust links.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use tempfile::TempDir;

/// Clock and disk that all processes with [`Machine::environment`] share.
pub struct Machine {
    folder: TempDir,
    control: File,
    clock_offset: TimeDelta,
}

impl Machine {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL runs as another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let control = File::create(folder.path().join("control")).unwrap();
        control.set_len(16).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/crash/preload.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(folder.path().join("preload.so"));
        assert!(compiler.arg(source).status().unwrap().success(), "cc failed, see above");
        Self { folder, control, clock_offset: TimeDelta::zero() }
    }

    /// Environment variables of the processes.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |name| self.folder.path().join(name).to_str().unwrap().to_owned();
        vec![
            ("LD_PRELOAD".to_owned(), path("preload.so")),
            ("CRASH_MACHINE".to_owned(), path("control")),
        ]
    }

    /// Time by the clock.
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.clock_offset
    }

    /// Moves the clock forward to this time before the next midnight (UTC).
    pub fn set_clock_before_midnight(&mut self, before: TimeDelta) {
        let now = self.now();
        let midnight = (now.date_naive() + Days::new(1)).and_time(NaiveTime::MIN).and_utc();
        self.clock_offset += (midnight - before - now).max(TimeDelta::zero());
        self.write(0, self.clock_offset.num_seconds());
    }

    /// Delays each fsync.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.write(8, i64::try_from(delay.as_micros()).unwrap());
    }

    fn write(&self, at: u64, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }
}
