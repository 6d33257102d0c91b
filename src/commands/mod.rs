//! One short file a subcommand. The only place that prints, and the only place where errors become text.

mod audit;
mod checks;
mod diff;
mod inspect;
mod keygen;
mod progress;
mod regime;
mod score;
mod sign;
mod simulate;
mod statistics;
mod verify;

pub(crate) use audit::{AuditOptions, audit};
pub(crate) use checks::{explain, list as list_checks};
pub(crate) use diff::{DiffFormat, diff};
pub(crate) use inspect::{InspectOptions, init, inspect};
pub(crate) use keygen::keygen;
pub(crate) use regime::{FreezeOptions, LintOptions, fingerprint, freeze, lint, show};
pub(crate) use score::{ScoreOptions, score};
pub(crate) use sign::{SignOptions, sign};
pub(crate) use simulate::{SimulateOptions, simulate};
pub(crate) use statistics::{StatisticsOptions, statistics};
pub(crate) use verify::{Requirement, VerifyOptions, verify};

use counterweight::declare::{self, DocumentKind};
use counterweight::report;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Why a command did not run to its end; its text goes to standard error and the exit code is 2.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.to_string())
    }
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How the answer of an audit is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditFormat {
    /// For people.
    Text,
    /// The record.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// JUnit XML.
    Junit,
    /// Annotations for GitHub Actions.
    Github,
}

/// What `schema` describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// A declaration.
    Document(DocumentKind),
    /// The record of an audit.
    Report,
}

/// A command's exit code, or 2 with the error on standard error.
pub(crate) fn exit(result: Result<u8, Failure>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Failure(text)) => {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "{}", text.trim_end());
            ExitCode::from(2)
        }
    }
}

/// Writes to standard output. A reader that has gone away (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure(format!("error: the answer cannot be written to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Whether standard output is a terminal that wants colours.
fn use_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of the terminal that standard output is, between 40 and 100; 80 where it is none, so that a file or a pipe
/// gets the same bytes whoever writes it.
fn width() -> usize {
    let size = if io::stdout().is_terminal() { terminal_size::terminal_size() } else { None };
    size.map_or(80, |(width, _)| usize::from(width.0)).clamp(40, 100)
}

/// `counterweight render`.
pub(crate) fn render(record: &Path, out: &Path, form: report::Form) -> Result<u8, Failure> {
    let report = diff::read_record(record)?;
    if out.is_dir() {
        let failed = |error| Failure(format!("error: {error}"));
        let found = if !report::attestations(out).map_err(failed)?.is_empty() {
            Some("a signed report")
        } else if !report::further(out).map_err(failed)?.is_empty() {
            Some("a report with its rows' weights or fitted policies")
        } else {
            None
        };
        if let Some(found) = found {
            let out = out.display();
            return Err(Failure(format!("error: {out}: {found} is there\n  = help: name another folder with --out")));
        }
    }
    let files = report::report_files(&report, form, Vec::new())?;
    report::write_files(&files, out).map_err(|error| Failure(format!("error: {error}")))?;
    print(&format!("Report: {}\n", out.join("report.html").display()))?;
    Ok(0)
}

/// `counterweight schema`.
pub(crate) fn schema(schema: Schema) -> Result<u8, Failure> {
    let schema = match schema {
        Schema::Document(kind) => declare::json_schema(kind),
        Schema::Report => report::json_schema(),
    };
    print(&format!("{schema:#}\n"))?;
    Ok(0)
}
