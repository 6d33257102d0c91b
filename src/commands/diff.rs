//! `counterweight diff`.

use super::{Failure, print, use_colour, width};
use counterweight::report::{self, Report};
use std::path::Path;

/// How a difference is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiffFormat {
    /// For a terminal.
    Text,
    /// For a pull request or a ticket.
    Markdown,
    /// For programs.
    Json,
}

/// Compares two records; 1 on a blocking regression.
pub(crate) fn diff(old: &Path, new: &Path, format: DiffFormat) -> Result<u8, Failure> {
    let diff = counterweight::audit::diff(&read_record(old)?, &read_record(new)?);
    print(&match format {
        DiffFormat::Text => report::diff_text(&diff, use_colour(), width()),
        DiffFormat::Markdown => report::diff_markdown(&diff),
        DiffFormat::Json => report::diff_json(&diff),
    })?;
    Ok(u8::from(diff.exit_code != 0))
}

/// Reads a record from a file, or from the report folder that holds it.
pub(super) fn read_record(path: &Path) -> Result<Report, Failure> {
    let path = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::InvalidData => "it is not text".to_owned(),
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            _ => error.to_string(),
        };
        Failure(format!(
            "error: cannot read {name}: {why}\n  = help: a record is the report.json that `counterweight audit` writes"
        ))
    })?;
    Ok(report::from_json(&text, &name)?)
}
