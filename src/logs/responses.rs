//! The responses file: how many responses each prompt has.

use super::columns::{Use, Wanted, missing_column};
use super::files::{self, Opened};
use super::{Codes, LogFile, convert, failure, fold};
use crate::declare::{Audit, Problem, Problems};
use std::collections::HashMap;

const RESPONSE: &str = "response_id";
const PROMPT: &str = "prompt_id";

/// Counts the rows of each prompt in the audit's responses file.
///
/// # Errors
/// No responses file is named, it cannot be read, a column is not there, or a row lacks its prompt.
pub(super) fn count(audit: &Audit) -> Result<(LogFile, HashMap<String, u64>), Vec<Problem>> {
    let Some(written) = &audit.logs.responses else {
        let message = "pairs: {uniform: responses} needs the responses file";
        return Err(failure(&audit.source.name, message, "name it as logs.responses in the audit document"));
    };
    let mut file = files::single(&audit.folder, written)?;
    let opened = files::open(&file)?;
    file.rows = opened.footer.as_ref().map(super::parquet::Footer::rows);
    check_columns(&file, &opened)?;
    let wanted = Wanted::from([(PROMPT.to_owned(), Use::Scalar)]);
    let source = fold::Source::new(std::slice::from_ref(&file), std::slice::from_ref(&opened), wanted);
    let work = |counts: &mut HashMap<String, u64>, piece: &fold::Piece<'_>| add(counts, piece);
    let mut merge = |total: &mut HashMap<String, u64>, part: HashMap<String, u64>| {
        for (prompt, rows) in part {
            *total.entry(prompt).or_default() += rows;
        }
    };
    let counts = fold::fold(&source, "counting responses", &(), &HashMap::new, &work, &mut merge)
        .map_err(|Problems(problems)| problems)?;
    Ok((file, counts))
}

fn check_columns(file: &LogFile, opened: &Opened) -> Result<(), Vec<Problem>> {
    let absent = [RESPONSE, PROMPT].into_iter().filter(|name| !opened.columns.iter().any(|column| column == name));
    let problems: Vec<Problem> =
        absent.map(|name| missing_column(&file.name, name, "the responses file needs it", &opened.columns)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Adds a piece's rows to the counts.
fn add(counts: &mut HashMap<String, u64>, piece: &fold::Piece<'_>) -> Result<(), Vec<Problem>> {
    let name = &piece.file.name;
    let Some(column) = piece.batch.column_by_name(PROMPT) else { return Ok(()) };
    let Codes { codes, values } = convert::codes(column)
        .map_err(|error| failure(name, format!("column `{PROMPT}` cannot be used: {error}"), ""))?;
    let mut rows = vec![0_u64; values.len()];
    for (row, code) in codes.iter().enumerate() {
        match rows.get_mut(*code as usize) {
            Some(count) => *count += 1,
            None => {
                let message = format!("row {}: no {PROMPT}", piece.row_in_file + row as u64 + 1);
                return Err(failure(name, message, "every response belongs to a prompt"));
            }
        }
    }
    for (value, rows) in values.into_iter().zip(rows) {
        *counts.entry(value).or_default() += rows;
    }
    Ok(())
}
