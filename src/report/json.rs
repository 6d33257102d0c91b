//! The record as text and back.

use super::record::{Report, SCHEMA};
use crate::declare::{Problem, Problems};
use serde::Deserialize;

/// The record as JSON: two spaces, a final newline, numbers in the shortest form that reads back to the same value.
#[expect(
    clippy::expect_used,
    reason = "the record is structs, vectors and maps with text keys: serde_json cannot fail on it"
)]
pub fn to_json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a record serialises");
    text.push('\n');
    text
}

/// Any JSON value, laid out like the record.
pub(super) fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// Reads a record. `name` is the file's name as written, for the problems.
///
/// # Errors
/// Not JSON; another schema; a field that is missing, unknown or of another type; a number that is not finite.
pub fn from_json(text: &str, name: &str) -> Result<Report, Problems> {
    let tag: Tag = serde_json::from_str(text).map_err(|error| problem(text, name, &error))?;
    if tag.schema != SCHEMA {
        let message = format!("schema is `{}`, this version reads `{SCHEMA}`", tag.schema);
        let help = "render it with the version of counterweight that made it (see tool.version)".to_owned();
        return Err(at(text, name, None, message, Some(help)));
    }
    serde_json::from_str(text).map_err(|error| problem(text, name, &error))
}

/// The one field that tells what the rest is.
#[derive(Deserialize)]
struct Tag {
    schema: String,
}

fn problem(text: &str, name: &str, error: &serde_json::Error) -> Problems {
    let position = (error.line() > 0).then(|| (error.line(), error.column().max(1)));
    let full = error.to_string();
    // serde_json appends the place, which the problem carries in a field.
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let said = full.strip_suffix(&suffix).unwrap_or(&full);
    let message = match said {
        "number out of range" => "a number is too large: every number must be finite".to_owned(),
        other => format!("this is not a {SCHEMA} record: {other}"),
    };
    let help = "use a report.json as counterweight wrote it".to_owned();
    at(text, name, position, message, Some(help))
}

fn at(text: &str, name: &str, position: Option<(usize, usize)>, message: String, help: Option<String>) -> Problems {
    let line = position.and_then(|(line, _)| text.lines().nth(line - 1)).map(str::to_owned);
    Problems(vec![Problem { file: name.to_owned(), position, width: 1, line, message, help }])
}
