//! Writing tables: Parquet, CSV and NDJSON, the same bytes for the same columns.
//!
//! Owns: turning named columns into files.
//! Must never: put a clock, a path or a host name into a file.

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::{BufWriter, Error, ErrorKind, Result, Write};
use std::path::Path;
use std::sync::Arc;

/// Rows of a Parquet row group: small enough that a scan has work for every thread.
const ROW_GROUP_ROWS: usize = 131_072;

/// One column's values. `None` is a missing value.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    /// Text.
    Text(Vec<Option<String>>),
    /// 64-bit floating-point numbers; NaN and infinities are values, not missing.
    Number(Vec<Option<f64>>),
    /// 64-bit integers.
    Integer(Vec<Option<i64>>),
}

impl ColumnData {
    /// How many rows the column has.
    pub fn len(&self) -> usize {
        match self {
            ColumnData::Text(values) => values.len(),
            ColumnData::Number(values) => values.len(),
            ColumnData::Integer(values) => values.len(),
        }
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn to_array(&self) -> ArrayRef {
        match self {
            ColumnData::Text(values) => Arc::new(StringArray::from_iter(values)),
            ColumnData::Number(values) => Arc::new(Float64Array::from_iter(values)),
            ColumnData::Integer(values) => Arc::new(Int64Array::from_iter(values)),
        }
    }

    /// The value as CSV holds it, not yet quoted; missing is empty.
    fn csv_field(&self, row: usize) -> String {
        match self {
            ColumnData::Text(values) => values.get(row).cloned().flatten().unwrap_or_default(),
            ColumnData::Number(values) => shown(values, row),
            ColumnData::Integer(values) => shown(values, row),
        }
    }

    /// The value as JSON; `None` for a number that JSON cannot hold.
    fn json_value(&self, row: usize) -> Option<serde_json::Value> {
        let value = match self {
            ColumnData::Text(values) => values.get(row).cloned().flatten().map(serde_json::Value::from),
            ColumnData::Integer(values) => values.get(row).copied().flatten().map(serde_json::Value::from),
            ColumnData::Number(values) => match values.get(row).copied().flatten() {
                Some(number) => Some(serde_json::Number::from_f64(number)?.into()),
                None => None,
            },
        };
        Some(value.unwrap_or(serde_json::Value::Null))
    }
}

/// Writes columns as one Parquet file: text dictionary-encoded, Snappy, no clock and no embedded Arrow schema.
///
/// The bytes depend on the columns and on the versions of the `parquet` and `snap` crates alone.
///
/// # Errors
/// No column, columns of different lengths, a name that occurs twice; the file cannot be written.
pub fn write_parquet(path: &Path, columns: &[(&str, ColumnData)]) -> Result<()> {
    row_count(columns)?;
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, column)| (*name, column.to_array(), true)))
            .map_err(Error::other)?;
    let properties = WriterProperties::builder()
        .set_created_by("counterweight".to_owned())
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer =
        ArrowWriter::try_new_with_options(File::create(path)?, batch.schema(), options).map_err(Error::other)?;
    writer.write(&batch).map_err(Error::other)?;
    writer.close().map_err(Error::other)?;
    Ok(())
}

/// Writes columns as CSV by RFC 4180 with a header line and `\n` line ends; a missing value is an empty field.
///
/// Numbers are the shortest decimals that read back to the same bits; NaN and infinities are `NaN`, `inf`, `-inf`.
///
/// # Errors
/// No column, columns of different lengths, a name that occurs twice; the file cannot be written.
pub fn write_csv(path: &Path, columns: &[(&str, ColumnData)]) -> Result<()> {
    let rows = row_count(columns)?;
    let mut file = BufWriter::new(File::create(path)?);
    let header: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
    writeln!(file, "{}", header.join(","))?;
    for row in 0..rows {
        let fields: Vec<String> = columns.iter().map(|(_, column)| quoted(&column.csv_field(row))).collect();
        writeln!(file, "{}", fields.join(","))?;
    }
    file.flush()
}

/// Writes columns as NDJSON, one object a row with its keys in column order; a missing value is `null`.
///
/// # Errors
/// No column, columns of different lengths, a name that occurs twice; NaN or an infinity, which JSON does not have
/// (write Parquet or CSV instead); the file cannot be written.
pub fn write_ndjson(path: &Path, columns: &[(&str, ColumnData)]) -> Result<()> {
    let rows = row_count(columns)?;
    let lines: Vec<String> = (0..rows).map(|row| json_line(columns, row)).collect::<Result<_>>()?;
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.flush()
}

fn json_line(columns: &[(&str, ColumnData)], row: usize) -> Result<String> {
    let mut members = Vec::with_capacity(columns.len());
    for (name, column) in columns {
        let value = column.json_value(row).ok_or_else(|| {
            let place = format!("row {}, column {name}", row + 1);
            Error::new(ErrorKind::InvalidInput, format!("{place}: json has no such number; write parquet or csv"))
        })?;
        members.push(format!("{}:{value}", serde_json::Value::from(*name)));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// The common length of the columns.
fn row_count(columns: &[(&str, ColumnData)]) -> Result<usize> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    let Some((first, column)) = columns.first() else {
        return invalid("no column to write; give at least one".to_owned());
    };
    let rows = column.len();
    for (index, (name, other)) in columns.iter().enumerate() {
        if other.len() != rows {
            return invalid(format!("column {name} has {} rows and {first} has {rows}; make them equal", other.len()));
        }
        if columns.iter().take(index).any(|(earlier, _)| earlier == name) {
            return invalid(format!("column {name} is given twice; rename one"));
        }
    }
    Ok(rows)
}

fn shown<T: Copy + std::fmt::Debug>(values: &[Option<T>], row: usize) -> String {
    values.get(row).copied().flatten().map(|value| format!("{value:?}")).unwrap_or_default()
}

/// A CSV field, quoted where RFC 4180 wants it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
