//! CSV with a header line: every wanted column as text.
//!
//! Rows count from 1 after the header; a quoted line break does not start a row, a blank line is none.

use super::columns::{Use, Wanted, shortened};
use super::files::{Opened, damage, text_reader};
use super::fold::TextRows;
use super::{Compression, LogFile, NOT_UTF8, failure, ndjson};
use crate::declare::Problem;
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::csv::reader::{Decoder, Format, ReaderBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use std::io::{BufRead, Read as _};
use std::sync::Arc;

/// Longest header and longest row, in bytes.
const MAX_RECORD: u64 = 64 << 20;

/// Fields that the decoder sets space aside for at once; bounds memory whatever the header says.
const MAX_FIELDS: usize = 1 << 20;

/// Rows decoded at once, before columns that are not wanted are let go.
const MAX_BATCH: usize = 1 << 13;

/// Reads the header, and whether a row follows.
pub(super) fn open(file: &LogFile) -> Result<Opened, Vec<Problem>> {
    let reader = text_reader(file).map_err(|error| unreadable(file, &error))?;
    let (schema, rows) = Format::default()
        .with_header(true)
        // Rows of a wrong length are the scan's to name.
        .with_truncated_rows(true)
        .infer_schema(reader.take(MAX_RECORD), Some(1))
        .map_err(|error| unreadable_start(file, &error))?;
    let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
    Ok(Opened { columns, has_rows: rows > 0, footer: None })
}

/// The header, or the first row, cannot be read.
fn unreadable_start(file: &LogFile, error: &ArrowError) -> Vec<Problem> {
    let text = match error {
        ArrowError::CsvError(text) => text.strip_prefix("Encountered ").unwrap_or(text),
        other => return failure(&file.name, format!("the header cannot be read: {other}"), damage(file)),
    };
    let help = match (text.contains("UTF-8"), file.format) {
        (true, _) => NOT_UTF8,
        (_, super::Format::Csv(Compression::None)) => "a CSV log starts with a line of column names",
        _ => damage(file),
    };
    failure(&file.name, format!("the header or the first row cannot be read: {text}"), help)
}

fn unreadable(file: &LogFile, error: &std::io::Error) -> Vec<Problem> {
    failure(&file.name, format!("the file cannot be read: {error}"), "")
}

/// Decodes the wanted columns in runs of `rows` rows (a power of two). Ends after the first problem.
pub(super) fn read<'a>(file: &'a LogFile, columns: &[String], wanted: &Wanted, rows: usize) -> TextRows<'a> {
    let source = match text_reader(file) {
        Ok(source) => source,
        Err(error) => return Box::new(std::iter::once(Err(unreadable(file, &error)))),
    };
    let batch_rows = rows.min(MAX_BATCH).min(floor_power_of_two(MAX_FIELDS / columns.len().max(1)));
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let projection = (0..columns.len()).filter(|index| wanted.contains_key(&columns[*index])).collect();
    let decoder = ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_header(true)
        .with_batch_size(batch_rows)
        .with_projection(projection)
        .build_decoder();
    let stand_in = wanted.iter().filter(|(_, how)| **how == Use::Presence).map(|(name, _)| name.clone()).collect();
    let reader = Reader { file, source, decoder, batch_rows, rows_done: 0, stand_in };
    ndjson::in_runs(file, rows / batch_rows, reader)
}

/// The largest power of two up to `n`, at least 1.
fn floor_power_of_two(n: usize) -> usize {
    1 << n.max(1).ilog2()
}

/// Small batches, one after the other.
struct Reader<'a> {
    file: &'a LogFile,
    source: Box<dyn BufRead + Send>,
    decoder: Decoder,
    batch_rows: usize,
    rows_done: u64,
    /// Columns of which only the presence counts: their text is let go.
    stand_in: Vec<String>,
}

impl Reader<'_> {
    fn fill(&mut self) -> Result<Option<RecordBatch>, Vec<Problem>> {
        let (file, rows_done) = (self.file, self.rows_done);
        let mut pending = 0;
        loop {
            let before = self.decoder.capacity();
            let buffer = self.source.fill_buf().map_err(|error| damaged(file, rows_done, &error))?;
            let used = self.decoder.decode(buffer).map_err(|error| malformed(self.file, self.row(), &error))?;
            self.source.consume(used);
            pending = if self.decoder.capacity() == before { pending + used as u64 } else { 0 };
            if pending > MAX_RECORD {
                let message = format!("row {} is longer than 64 MiB", self.row());
                return Err(failure(self.file.name.as_str(), message, "is a quote left open?"));
            }
            if used == 0 || self.decoder.capacity() == 0 {
                break;
            }
        }
        let batch = self.decoder.flush().map_err(|error| malformed(self.file, self.row(), &error))?;
        let Some(batch) = batch else { return Ok(None) };
        self.rows_done += batch.num_rows() as u64;
        self.without_text(batch).map(Some)
    }

    /// The row that is being decoded, from 1.
    fn row(&self) -> u64 {
        self.rows_done + (self.batch_rows - self.decoder.capacity()) as u64 + 1
    }

    fn without_text(&self, batch: RecordBatch) -> Result<RecordBatch, Vec<Problem>> {
        let schema: SchemaRef = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, array)| {
            if self.stand_in.contains(field.name()) { presence(array.as_string()) } else { ArrayRef::clone(array) }
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect())
            .map_err(|error| failure(&self.file.name, error.to_string(), ""))
    }
}

fn damaged(file: &LogFile, rows_done: u64, error: &std::io::Error) -> Vec<Problem> {
    let message = format!("the file cannot be read on after row {rows_done}: {error}");
    failure(&file.name, message, damage(file))
}

/// A stand-in for every value that is there.
fn presence(array: &StringArray) -> ArrayRef {
    let stand_in = |value: Option<&str>| value.filter(|text| !super::convert::is_missing(text)).map(|_| "x");
    let column: StringArray = array.iter().map(stand_in).collect();
    Arc::new(column)
}

fn malformed(file: &LogFile, row: u64, error: &ArrowError) -> Vec<Problem> {
    let text = match error {
        ArrowError::CsvError(text) => text.clone(),
        other => other.to_string(),
    };
    // The decoder counts records, the header among them; its count is replaced by the row's.
    let message = match text.split_once(" for line ") {
        Some((what, rest)) if what.starts_with("incorrect number of fields") => {
            let counts = rest.split_once(", ").map_or("", |(_, counts)| counts);
            format!("row {row}: {what}: {counts}")
        }
        Some((_, rest)) => match rest.split_once(|c: char| !c.is_ascii_digit()) {
            Some((line, field)) => {
                let row = line.parse::<u64>().map_or(row, |line| line.saturating_sub(1));
                format!("row {row}: not valid UTF-8, {}", shortened(field))
            }
            None => text,
        },
        None => text,
    };
    if message.contains("not valid UTF-8") {
        return failure(&file.name, message, NOT_UTF8);
    }
    failure(
        &file.name,
        message,
        "every row needs as many fields as the header; quote fields that hold commas or line breaks",
    )
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch, Vec<Problem>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill().transpose()
    }
}
