//! Writing tables: Parquet, CSV and NDJSON, the same bytes for the same columns; whole, or block by block.
//!
//! Owns: turning named columns into files.
//! Must never: put a clock, a path or a host name into a file.

use super::table::list_array;
use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::fmt::{self, Display};
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
    /// Lists of 64-bit floating-point numbers, none missing.
    Numbers(Vec<Vec<f64>>),
    /// Text again, in one piece of memory: for long columns. Written, it is the same as `Text`.
    Packed(PackedText),
}

/// Texts one after another in one piece of memory.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PackedText {
    text: String,
    /// Where each value ends, and whether it is there.
    ends: Vec<(usize, bool)>,
}

impl PackedText {
    /// How many values there are, the missing ones too.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a value.
    pub fn push(&mut self, value: &str) {
        self.push_option(Some(value));
    }

    /// Adds a value, or a missing one.
    pub fn push_option(&mut self, value: Option<&str>) {
        self.text.push_str(value.unwrap_or_default());
        self.ends.push((self.text.len(), value.is_some()));
    }

    /// Adds what `value` displays.
    pub fn push_display(&mut self, value: impl Display) {
        // Text in memory takes whatever is written to it.
        let _ = fmt::Write::write_fmt(&mut self.text, format_args!("{value}"));
        self.ends.push((self.text.len(), true));
    }

    /// The value of a row; `None` where it is missing or there is no such row.
    pub fn get(&self, row: usize) -> Option<&str> {
        let (end, there) = *self.ends.get(row)?;
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end);
        self.text.get(start..end).filter(|_| there)
    }

    fn values(&self) -> impl Iterator<Item = Option<&str>> {
        (0..self.len()).map(|row| self.get(row))
    }
}

impl ColumnData {
    /// How many rows the column has.
    pub fn len(&self) -> usize {
        match self {
            ColumnData::Text(values) => values.len(),
            ColumnData::Number(values) => values.len(),
            ColumnData::Integer(values) => values.len(),
            ColumnData::Numbers(values) => values.len(),
            ColumnData::Packed(values) => values.len(),
        }
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn to_array(&self) -> std::result::Result<ArrayRef, ArrowError> {
        Ok(match self {
            ColumnData::Text(values) => Arc::new(StringArray::from_iter(values)),
            ColumnData::Packed(values) => Arc::new(StringArray::from_iter(values.values())),
            ColumnData::Number(values) => Arc::new(Float64Array::from_iter(values)),
            ColumnData::Integer(values) => Arc::new(Int64Array::from_iter(values)),
            ColumnData::Numbers(lists) => {
                list_array(lists, Float64Array::from_iter_values(lists.iter().flatten().copied()))?
            }
        })
    }

    /// The value as CSV holds it, not yet quoted; missing is empty.
    fn csv_field(&self, row: usize) -> String {
        match self {
            ColumnData::Text(values) => values.get(row).cloned().flatten().unwrap_or_default(),
            ColumnData::Packed(values) => values.get(row).unwrap_or_default().to_owned(),
            ColumnData::Number(values) => shown(values, row),
            ColumnData::Integer(values) => shown(values, row),
            ColumnData::Numbers(lists) => lists.get(row).map(|list| format!("{list:?}")).unwrap_or_default(),
        }
    }

    /// The value as JSON; `None` for a number that JSON cannot hold.
    fn json_value(&self, row: usize) -> Option<serde_json::Value> {
        let value = match self {
            ColumnData::Text(values) => values.get(row).cloned().flatten().map(serde_json::Value::from),
            ColumnData::Packed(values) => values.get(row).map(serde_json::Value::from),
            ColumnData::Integer(values) => values.get(row).copied().flatten().map(serde_json::Value::from),
            ColumnData::Number(values) => match values.get(row).copied().flatten() {
                Some(number) => Some(serde_json::Number::from_f64(number)?.into()),
                None => None,
            },
            ColumnData::Numbers(lists) => {
                let numbers = lists.get(row).into_iter().flatten().map(|number| serde_json::Number::from_f64(*number));
                Some(numbers.collect::<Option<Vec<_>>>()?.into())
            }
        };
        Some(value.unwrap_or(serde_json::Value::Null))
    }
}

/// A format that tables are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Apache Parquet: see [`write_parquet`].
    #[default]
    Parquet,
    /// NDJSON: see [`write_ndjson`].
    Ndjson,
    /// CSV: see [`write_csv`].
    Csv,
}

impl LogFormat {
    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            LogFormat::Parquet => "parquet",
            LogFormat::Ndjson => "ndjson",
            LogFormat::Csv => "csv",
        }
    }
}

/// Writes a table block by block; the bytes are those of the whole table written at once.
///
/// Memory: one row group for Parquet, a buffer for the others.
pub struct LogWriter {
    file: Option<BufWriter<File>>,
    parquet: Option<ArrowWriter<BufWriter<File>>>,
    format: LogFormat,
    names: Vec<String>,
    rows: u64,
}

impl LogWriter {
    /// A writer to a new file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, format: LogFormat) -> Result<LogWriter> {
        let file = Some(BufWriter::new(File::create(path)?));
        Ok(LogWriter { file, parquet: None, format, names: Vec::new(), rows: 0 })
    }

    /// Writes further rows; every block has the columns of the first.
    ///
    /// # Errors
    /// No column, columns of different lengths, a name that occurs twice, other columns than before; a number that the
    /// format cannot hold; the file cannot be written.
    pub fn write<N: AsRef<str>>(&mut self, columns: &[(N, ColumnData)]) -> Result<()> {
        let rows = row_count(columns)?;
        let first = self.names.is_empty();
        if first {
            self.names = columns.iter().map(|(name, _)| name.as_ref().to_owned()).collect();
        } else if !self.names.iter().eq(columns.iter().map(|(name, _)| name.as_ref())) {
            return Err(Error::new(ErrorKind::InvalidInput, "a block has other columns than the first"));
        }
        match self.format {
            LogFormat::Parquet => self.write_batch(columns)?,
            LogFormat::Csv => {
                let Some(file) = &mut self.file else { return Ok(()) };
                if first {
                    csv_header(file, columns)?;
                }
                csv_lines(file, columns, rows)?;
            }
            LogFormat::Ndjson => {
                let Some(file) = &mut self.file else { return Ok(()) };
                for row in 0..rows {
                    let line = json_line(columns, row)?;
                    writeln!(file, "{line}")?;
                }
            }
        }
        self.rows += rows as u64;
        Ok(())
    }

    fn write_batch<N: AsRef<str>>(&mut self, columns: &[(N, ColumnData)]) -> Result<()> {
        let batch = record_batch(columns)?;
        if let Some(file) = self.file.take() {
            self.parquet = Some(parquet_writer(file, &batch)?);
        }
        match &mut self.parquet {
            Some(writer) => writer.write(&batch).map_err(Error::other),
            None => Ok(()),
        }
    }

    /// Writes what is left and closes the file; how many rows it has.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> Result<u64> {
        if let Some(writer) = self.parquet {
            writer.close().map_err(Error::other)?;
        }
        if let Some(mut file) = self.file {
            file.flush()?;
        }
        Ok(self.rows)
    }
}

fn record_batch<N: AsRef<str>>(columns: &[(N, ColumnData)]) -> Result<RecordBatch> {
    let arrays: std::result::Result<Vec<(&str, ArrayRef, bool)>, ArrowError> =
        columns.iter().map(|(name, column)| Ok((name.as_ref(), column.to_array()?, true))).collect();
    arrays.and_then(RecordBatch::try_from_iter_with_nullable).map_err(Error::other)
}

fn parquet_writer<W: Write + Send>(file: W, batch: &RecordBatch) -> Result<ArrowWriter<W>> {
    let properties = WriterProperties::builder()
        .set_created_by("counterweight".to_owned())
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(file, batch.schema(), options).map_err(Error::other)
}

/// Writes columns as one Parquet file: text dictionary-encoded, Snappy, no clock and no embedded Arrow schema.
///
/// The bytes depend on the columns and on the versions of the `parquet` and `snap` crates alone.
///
/// # Errors
/// No column, columns of different lengths, a name that occurs twice; the file cannot be written.
pub fn write_parquet(path: &Path, columns: &[(&str, ColumnData)]) -> Result<()> {
    row_count(columns)?;
    let batch = record_batch(columns)?;
    parquet_into(File::create(path)?, &batch)
}

/// The bytes that [`write_parquet`] writes.
///
/// # Errors
/// No column, columns of different lengths, a name that occurs twice.
pub fn parquet_bytes(columns: &[(&str, ColumnData)]) -> Result<Vec<u8>> {
    row_count(columns)?;
    let mut bytes = Vec::new();
    parquet_into(&mut bytes, &record_batch(columns)?)?;
    Ok(bytes)
}

fn parquet_into<W: Write + Send>(to: W, batch: &RecordBatch) -> Result<()> {
    let mut writer = parquet_writer(to, batch)?;
    writer.write(batch).map_err(Error::other)?;
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
    csv_header(&mut file, columns)?;
    csv_lines(&mut file, columns, rows)?;
    file.flush()
}

fn csv_header<N: AsRef<str>>(file: &mut impl Write, columns: &[(N, ColumnData)]) -> Result<()> {
    let header: Vec<String> = columns.iter().map(|(name, _)| quoted(name.as_ref())).collect();
    writeln!(file, "{}", header.join(","))
}

fn csv_lines<N: AsRef<str>>(file: &mut impl Write, columns: &[(N, ColumnData)], rows: usize) -> Result<()> {
    for row in 0..rows {
        let fields: Vec<String> = columns.iter().map(|(_, column)| quoted(&column.csv_field(row))).collect();
        writeln!(file, "{}", fields.join(","))?;
    }
    Ok(())
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

fn json_line<N: AsRef<str>>(columns: &[(N, ColumnData)], row: usize) -> Result<String> {
    let mut members = Vec::with_capacity(columns.len());
    for (name, column) in columns {
        let name = name.as_ref();
        let value = column.json_value(row).ok_or_else(|| {
            let place = format!("row {}, column {name}", row + 1);
            Error::new(ErrorKind::InvalidInput, format!("{place}: json has no such number; write parquet or csv"))
        })?;
        members.push(format!("{}:{value}", serde_json::Value::from(name)));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// The common length of the columns.
fn row_count<N: AsRef<str>>(columns: &[(N, ColumnData)]) -> Result<usize> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    let Some((first, column)) = columns.first() else {
        return invalid("no column to write; give at least one".to_owned());
    };
    let rows = column.len();
    let first = first.as_ref();
    for (index, (name, other)) in columns.iter().enumerate() {
        let name = name.as_ref();
        if other.len() != rows {
            return invalid(format!("column {name} has {} rows and {first} has {rows}; make them equal", other.len()));
        }
        if columns.iter().take(index).any(|(earlier, _)| earlier.as_ref() == name) {
            return invalid(format!("column {name} is given twice; rename one"));
        }
    }
    Ok(rows)
}

fn shown<T: Copy + fmt::Debug>(values: &[Option<T>], row: usize) -> String {
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
