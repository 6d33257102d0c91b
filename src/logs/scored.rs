//! A file of real responses with their scores, for simulated worlds.

use super::columns::{Use, Wanted, missing_column};
use super::files::{self, Opened};
use super::{Codes, LogFile, MAX_PROBLEMS, convert, failure, fold, problem};
use crate::declare::{Problem, Problems};
use arrow::array::Array as _;
use std::path::Path;

/// One response of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredResponse {
    /// The prompt's identifier.
    pub prompt: String,
    /// What the prompt is about.
    pub domain: String,
    /// The response's identifier.
    pub response: String,
    /// The model that wrote it, where the file says so.
    pub generator: Option<String>,
    /// The base score.
    pub base: f64,
    /// The attribute score.
    pub attribute: f64,
}

const TEXTS: [&str; 3] = ["prompt_id", "domain", "response_id"];
const NUMBERS: [&str; 2] = ["base", "attribute"];
const GENERATOR: &str = "generator";

/// Reads the columns `prompt_id`, `domain`, `response_id`, `base`, `attribute` and, where it is there, `generator` of a
/// Parquet, CSV or NDJSON file, in row order. `written` is relative to `folder`.
///
/// # Errors
/// The file cannot be read, a column is not there, a value is missing or no finite number (with its row).
pub fn read_responses(folder: &Path, written: &str) -> Result<Vec<ScoredResponse>, Problems> {
    let mut file = files::single(folder, written).map_err(Problems)?;
    let opened = files::open(&file).map_err(Problems)?;
    file.rows = opened.footer.as_ref().map(super::parquet::Footer::rows);
    check_columns(&file, &opened).map_err(Problems)?;
    let optional = opened.columns.iter().any(|column| column == GENERATOR).then_some(GENERATOR);
    let wanted = TEXTS.into_iter().chain(NUMBERS).chain(optional);
    let source = fold::Source::new(
        std::slice::from_ref(&file),
        std::slice::from_ref(&opened),
        wanted.map(|name| (name.to_owned(), Use::Scalar)).collect::<Wanted>(),
    );
    let work = |all: &mut Vec<ScoredResponse>, piece: &fold::Piece<'_>| {
        all.extend(responses(piece)?);
        Ok(())
    };
    let mut merge = |all: &mut Vec<ScoredResponse>, part: Vec<ScoredResponse>| all.extend(part);
    fold::fold(&source, "reading responses", &(), &Vec::new, &work, &mut merge)
}

fn check_columns(file: &LogFile, opened: &Opened) -> Result<(), Vec<Problem>> {
    let absent = TEXTS.into_iter().chain(NUMBERS).filter(|name| !opened.columns.iter().any(|column| column == name));
    let problems: Vec<Problem> =
        absent.map(|name| missing_column(&file.name, name, "a world's responses need it", &opened.columns)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn responses(piece: &fold::Piece<'_>) -> Result<Vec<ScoredResponse>, Vec<Problem>> {
    let [prompt, domain, response] = TEXTS.map(|name| texts(piece, name));
    let [base, attribute] = NUMBERS.map(|name| numbers(piece, name));
    let (prompt, domain, response, base, attribute) = (prompt?, domain?, response?, base?, attribute?);
    let generator = if piece.batch.column_by_name(GENERATOR).is_some() { texts(piece, GENERATOR)? } else { Vec::new() };
    let mut problems = Vec::new();
    let mut all = Vec::new();
    for row in 0..piece.batch.num_rows() {
        let text = |values: &[Option<String>]| values.get(row).cloned().flatten();
        let number = |values: &[Option<f64>]| values.get(row).copied().flatten().filter(|value| value.is_finite());
        let read = || {
            Some(ScoredResponse {
                prompt: text(&prompt)?,
                domain: text(&domain)?,
                response: text(&response)?,
                generator: text(&generator),
                base: number(&base)?,
                attribute: number(&attribute)?,
            })
        };
        match read() {
            Some(response) => all.push(response),
            None if problems.len() < MAX_PROBLEMS => {
                let message =
                    format!("row {}: a value is missing or no finite number", piece.row_in_file + row as u64 + 1);
                problems.push(problem(
                    &piece.file.name,
                    message,
                    "give every response its identifiers and both scores",
                ));
            }
            None => {}
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

fn texts(piece: &fold::Piece<'_>, name: &str) -> Result<Vec<Option<String>>, Vec<Problem>> {
    let Some(column) = piece.batch.column_by_name(name) else { return Ok(Vec::new()) };
    let Codes { codes, values } = convert::codes(column).map_err(|error| unusable(piece, name, &error.to_string()))?;
    Ok(codes.iter().map(|code| values.get(*code as usize).cloned()).collect())
}

fn numbers(piece: &fold::Piece<'_>, name: &str) -> Result<Vec<Option<f64>>, Vec<Problem>> {
    let Some(column) = piece.batch.column_by_name(name) else { return Ok(Vec::new()) };
    let array = convert::numbers(column).map_err(|error| match error {
        convert::NumberError::Type(error) => unusable(piece, name, &error.to_string()),
        convert::NumberError::Values(values) => {
            let at = |value: &convert::NotANumber| {
                let (row, text) = (piece.row_in_file + value.row as u64 + 1, super::columns::shortened(&value.text));
                problem(&piece.file.name, format!("row {row}, column {name}: {text} is no number"), "write a number")
            };
            values.iter().map(at).collect()
        }
    })?;
    Ok((0..array.len()).map(|row| array.is_valid(row).then(|| array.value(row))).collect())
}

fn unusable(piece: &fold::Piece<'_>, name: &str, error: &str) -> Vec<Problem> {
    failure(&piece.file.name, format!("column `{name}` cannot be used: {error}"), "")
}
