//! What several test modules need: folders with documents and logs in them, the command, the shared data.

use counterweight::declare::{self, Problems};
use counterweight::logs::{ColumnData, write_parquet};
use counterweight::report::Report;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The date of every audit in the tests.
pub(crate) const AS_OF: &str = "2026-11-01";

/// The example's documents.
pub(crate) const TELEMETRY_REGIME: &str = include_str!("../examples/telemetry/regime.yaml");
pub(crate) const TELEMETRY_AUDIT: &str = include_str!("../examples/telemetry/audit.yaml");

/// A temporary folder.
pub(crate) struct Sandbox(tempfile::TempDir);

impl Sandbox {
    pub(crate) fn new() -> Sandbox {
        Sandbox(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn write_log(&self, name: &str, columns: &[(&str, ColumnData)]) {
        write_parquet(&self.path(name), columns).unwrap();
    }

    /// The library's whole path, from the audit document to the record.
    pub(crate) fn audit(&self, name: &str) -> Result<Report, Problems> {
        let declaration = declare::load(&self.path(name), &[])?;
        let input = counterweight::audit::Input::Rows;
        Ok(counterweight::audit::audit(&declaration, input, AS_OF.parse().unwrap(), &())?.report)
    }

    /// The command, run in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        command().current_dir(self.0.path()).args(arguments).output().unwrap()
    }
}

/// The command under test.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_counterweight"))
}

/// A folder of the shared development data; prints why a test skips where it is not there.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(folder);
    if path.is_dir() {
        return Some(path.canonicalize().unwrap());
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// Standard output and error as text.
pub(crate) fn text(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}
