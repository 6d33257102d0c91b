//! Statistics as a file: `counterweight/statistics/v1`, a Parquet table that merges. `docs/statistics.md` is its manual.
//!
//! One row a cell, mechanism or generator; what is about the log as a whole is JSON in the footer.
//! Must never: hold text of a prompt or response, or anything that names a row.

mod columns;
mod header;
mod read;
mod write;

use super::collected::problem;
use super::validate::contradiction;
use super::{Collected, Statistics};
use crate::declare::Problems;
use crate::logs::{self, Table};
use header::Header;
use std::collections::BTreeMap;
use std::path::Path;

/// The schema that the footer names.
pub const SCHEMA: &str = "counterweight/statistics/v1";
/// The footer's keys.
const SCHEMA_KEY: &str = "schema";
const HEADER_KEY: &str = "statistics";

/// Cells, audited and unlabelled, mechanisms and their floors, and the generators of two slots.
const MAX_ROWS: u64 = 6 * super::MAX_LEVELS as u64;
/// Buckets that all histograms of a file may span, and values that all tails may keep: half a gibibyte of each. A
/// histogram that spans a factor of a million takes 14,000; a tail at most 16,383.
const MAX_VALUES: usize = 1 << 26;

/// Writes statistics to a file. The same statistics give the same bytes.
///
/// # Errors
/// Sums that are not finite, more buckets or tail values than a file may hold; the file cannot be written.
pub fn write(collected: &Collected, path: &Path) -> Result<(), Problems> {
    let name = path.display().to_string();
    let bad = |message: &str, help: &str| Problems(vec![problem(&name, message, help)]);
    if let Some(what) = contradiction(collected).or_else(|| too_large(&collected.statistics)) {
        return Err(bad(&format!("these statistics cannot be kept: {what}"), "audit the rows themselves"));
    }
    let table = to_table(collected).ok_or_else(|| bad("a count does not fit 63 bits", "audit the rows themselves"))?;
    logs::write_table(path, &table).map_err(|error| bad(&format!("cannot be written: {error}"), "name another file"))
}

/// Reads the statistics of a file; `name` is what problems call it.
///
/// # Errors
/// An unreadable or damaged file, one of another schema, numbers that contradict each other.
pub fn read(path: &Path, name: &str) -> Result<Collected, Problems> {
    let table = logs::read_table(path, name, MAX_ROWS)?;
    let again = "make the file again with `counterweight statistics`";
    let collected = from_table(&table).and_then(|collected| match contradiction(&collected) {
        Some(what) => Err(format!("the statistics contradict themselves: {what}")),
        None => Ok(collected),
    });
    collected.map_err(|message| Problems(vec![problem(name, &message, again)]))
}

fn too_large(statistics: &Statistics) -> Option<String> {
    let generators = statistics.generators.iter().flat_map(|counts| counts.a.values().chain(counts.b.values()));
    let floors = statistics.logged.iter().flat_map(|logged| logged.mechanisms.values().map(|own| &own.histogram));
    let cells = statistics.cells.values().map(|cell| &cell.histogram);
    let histograms = cells.chain(generators.map(|own| &own.histogram)).chain(floors);
    let spanned: usize =
        histograms.map(|histogram| span(&histogram.occupied().map(|(b, _)| b).collect::<Vec<_>>())).sum();
    let kept: usize = statistics.cells.values().map(|cell| cell.tail.values().len()).sum();
    (spanned > MAX_VALUES || kept > MAX_VALUES)
        .then(|| format!("histograms or tails hold more than {MAX_VALUES} numbers; audit fewer cells"))
}

/// The buckets from the first to the last.
fn span(ascending: &[i32]) -> usize {
    let (Some(first), Some(last)) = (ascending.first(), ascending.last()) else { return 0 };
    usize::try_from(i64::from(*last) - i64::from(*first) + 1).unwrap_or(usize::MAX)
}

fn to_table(collected: &Collected) -> Option<Table> {
    let columns = write::columns_of(&collected.statistics)?;
    let header = serde_json::to_string(&header::header(collected)).ok()?;
    let metadata = [(SCHEMA_KEY.to_owned(), SCHEMA.to_owned()), (HEADER_KEY.to_owned(), header)];
    Some(Table { columns, metadata: BTreeMap::from(metadata) })
}

fn from_table(table: &Table) -> Result<Collected, String> {
    let schema = table.metadata.get(SCHEMA_KEY).map(String::as_str);
    if schema != Some(SCHEMA) {
        let schema = schema.unwrap_or("no schema at all").escape_debug().to_string();
        return Err(format!("this is `{schema}`, where `{SCHEMA}` is needed"));
    }
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    if names != columns::COLUMNS.map(|(name, _)| name) {
        return Err(format!("the columns are not those of `{SCHEMA}`"));
    }
    let header = table.metadata.get(HEADER_KEY).map_or("", String::as_str);
    let header: Header = serde_json::from_str(header).map_err(|error| format!("the footer's JSON: {error}"))?;
    let mut collected = header::from_header(header)?;
    read::add_rows(&mut collected.statistics, table)?;
    Ok(collected)
}
