//! Small tables with metadata, as Parquet files that nobody has to trust.
//!
//! Owns: writing such a table, and reading it back from bytes that may be damaged or hostile.
//! Must never: know what a table means.
//!
//! Values are stored plainly, neither compressed nor by dictionary, so that a file cannot stand for more than it holds:
//! reading takes memory in proportion to the file's size. A digest in the footer covers every value and every other
//! entry of the metadata; a file that does not match it is refused.

use super::{failure, parquet as log_parquet};
use crate::declare::Problems;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, PrimitiveArray, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Float64Type, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageReader as _};
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue};
use parquet::file::properties::WriterProperties;
use parquet::file::serialized_reader::SerializedPageReader;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The metadata key of the digest.
const DIGEST: &str = "sha256";

/// A table and what is said about it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Columns of equal length, in order.
    pub columns: Vec<(String, TableColumn)>,
    /// Key-value metadata of the footer, without the digest.
    pub metadata: BTreeMap<String, String>,
}

/// One column's values. `None` is a missing value; lists hold none.
#[derive(Debug, Clone, PartialEq)]
pub enum TableColumn {
    /// Text.
    Text(Vec<String>),
    /// Lists of text.
    Texts(Vec<Vec<String>>),
    /// 64-bit integers.
    Integer(Vec<Option<i64>>),
    /// Lists of 64-bit integers.
    Integers(Vec<Vec<i64>>),
    /// 64-bit floating-point numbers.
    Number(Vec<Option<f64>>),
    /// Lists of 64-bit floating-point numbers.
    Numbers(Vec<Vec<f64>>),
}

impl Table {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|(own, _)| own == name).map(|(_, column)| column)
    }

    /// SHA-256, in hexadecimal, over the metadata (each key and value) and the columns (each name, then each value):
    /// text as its length in bytes (64 bits, little-endian) and its bytes, numbers as their 64 bits, little-endian,
    /// after a byte 1; a missing value is a byte 0; a list is its length, then its items.
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in &self.metadata {
            hash_text(&mut hash, key);
            hash_text(&mut hash, value);
        }
        for (name, column) in &self.columns {
            hash_text(&mut hash, name);
            column.hash(&mut hash);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn hash_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

impl TableColumn {
    fn hash(&self, hash: &mut Sha256) {
        let optional = |hash: &mut Sha256, bytes: Option<[u8; 8]>| match bytes {
            Some(bytes) => {
                hash.update([1]);
                hash.update(bytes);
            }
            None => hash.update([0]),
        };
        match self {
            TableColumn::Text(values) => values.iter().for_each(|text| hash_text(hash, text)),
            TableColumn::Texts(lists) => lists.iter().for_each(|list| {
                hash.update((list.len() as u64).to_le_bytes());
                list.iter().for_each(|text| hash_text(hash, text));
            }),
            TableColumn::Integer(values) => values.iter().for_each(|v| optional(hash, v.map(i64::to_le_bytes))),
            TableColumn::Number(values) => values.iter().for_each(|v| optional(hash, v.map(f64::to_le_bytes))),
            TableColumn::Integers(lists) => lists.iter().for_each(|list| {
                hash.update((list.len() as u64).to_le_bytes());
                list.iter().for_each(|value| hash.update(value.to_le_bytes()));
            }),
            TableColumn::Numbers(lists) => lists.iter().for_each(|list| {
                hash.update((list.len() as u64).to_le_bytes());
                list.iter().for_each(|value| hash.update(value.to_le_bytes()));
            }),
        }
    }

    fn to_array(&self) -> Result<ArrayRef, arrow::error::ArrowError> {
        Ok(match self {
            TableColumn::Text(values) => Arc::new(StringArray::from_iter_values(values)),
            TableColumn::Integer(values) => Arc::new(Int64Array::from_iter(values)),
            TableColumn::Number(values) => Arc::new(Float64Array::from_iter(values)),
            TableColumn::Texts(lists) => list_array(lists, StringArray::from_iter_values(lists.iter().flatten()))?,
            TableColumn::Integers(lists) => {
                list_array(lists, Int64Array::from_iter_values(lists.iter().flatten().copied()))?
            }
            TableColumn::Numbers(lists) => {
                list_array(lists, Float64Array::from_iter_values(lists.iter().flatten().copied()))?
            }
        })
    }

    /// An empty column for arrays of that type; `None` for types that tables do not have.
    fn of_type(data_type: &DataType) -> Option<TableColumn> {
        Some(match data_type {
            DataType::Utf8 => TableColumn::Text(Vec::new()),
            DataType::Int64 => TableColumn::Integer(Vec::new()),
            DataType::Float64 => TableColumn::Number(Vec::new()),
            DataType::List(item) => match item.data_type() {
                DataType::Utf8 => TableColumn::Texts(Vec::new()),
                DataType::Int64 => TableColumn::Integers(Vec::new()),
                DataType::Float64 => TableColumn::Numbers(Vec::new()),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Adds an array's values; `None` for another type, and where a text, a list or a list's item is missing.
    fn append(&mut self, array: &ArrayRef) -> Option<()> {
        match self {
            TableColumn::Text(values) => values.extend(texts(array)?),
            TableColumn::Integer(values) => values.extend(array.as_primitive_opt::<Int64Type>()?),
            TableColumn::Number(values) => values.extend(array.as_primitive_opt::<Float64Type>()?),
            TableColumn::Texts(lists) => lists.extend(items(array, |items| texts(&items))?),
            TableColumn::Integers(lists) => lists.extend(items(array, |items| primitives::<Int64Type>(&items))?),
            TableColumn::Numbers(lists) => lists.extend(items(array, |items| primitives::<Float64Type>(&items))?),
        }
        Some(())
    }
}

pub(super) fn list_array<T>(
    lists: &[Vec<T>],
    items: impl Array + 'static,
) -> Result<ArrayRef, arrow::error::ArrowError> {
    let field = Arc::new(Field::new("element", items.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(items), None)?))
}

fn texts(array: &ArrayRef) -> Option<Vec<String>> {
    array.as_string_opt::<i32>()?.iter().map(|text| text.map(str::to_owned)).collect()
}

fn primitives<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<Vec<T::Native>> {
    let array: &PrimitiveArray<T> = array.as_primitive_opt()?;
    array.iter().collect()
}

fn items<T>(array: &ArrayRef, read: impl Fn(ArrayRef) -> Option<Vec<T>>) -> Option<Vec<Vec<T>>> {
    array.as_list_opt::<i32>()?.iter().map(|list| list.and_then(&read)).collect()
}

/// Writes a table: plain values, no clock, no embedded Arrow schema. The same table gives the same bytes.
///
/// The file is written whole under another name beside its place and then renamed.
///
/// # Errors
/// Columns of different lengths, a name that occurs twice, no column; the file cannot be written.
pub fn write_table(path: &Path, table: &Table) -> std::io::Result<()> {
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let written = write_to(&partial, table).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // What was never made, or is already in its place, cannot be removed: that is fine.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write_to(path: &Path, table: &Table) -> std::io::Result<()> {
    let mut fields = Vec::with_capacity(table.columns.len());
    let mut arrays = Vec::with_capacity(table.columns.len());
    for (name, column) in &table.columns {
        let array = column.to_array().map_err(std::io::Error::other)?;
        let nullable = matches!(column, TableColumn::Integer(_) | TableColumn::Number(_));
        fields.push(Field::new(name, array.data_type().clone(), nullable));
        arrays.push(array);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(std::io::Error::other)?;
    let metadata = table.metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let properties = WriterProperties::builder()
        .set_created_by("counterweight".to_owned())
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_key_value_metadata(Some(metadata.chain([KeyValue::new(DIGEST.to_owned(), table.digest())]).collect()))
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let file = File::create(path)?;
    let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options).map_err(std::io::Error::other)?;
    writer.write(&batch).map_err(std::io::Error::other)?;
    writer.close().map_err(std::io::Error::other)?;
    Ok(())
}

/// Reads a table that [`write_table`] wrote, of at most `max_rows` rows; `name` is what problems call the file.
///
/// Memory: some ten times the file's size at most, whatever its bytes say.
///
/// # Errors
/// An unreadable file, one that is no such table, more rows, values that do not match the digest.
pub fn read_table(path: &Path, name: &str, max_rows: u64) -> Result<Table, Problems> {
    let bad = |message: String| Problems(failure(name, message, "make the file again with `counterweight statistics`"));
    let unreadable = |error: std::io::Error| bad(format!("the file cannot be read: {error}"));
    let handle = Arc::new(File::open(path).map_err(unreadable)?);
    let attributes = handle.metadata().map_err(unreadable)?;
    if !attributes.is_file() {
        return Err(bad("this is not a file".to_owned()));
    }
    let decoded = log_parquet::guarded(|| decode(&handle, attributes.len(), max_rows));
    let mut table = decoded.unwrap_or_else(|| Err("the Parquet decoder failed".to_owned())).map_err(bad)?;
    match table.metadata.remove(DIGEST) {
        Some(digest) if digest == table.digest() => Ok(table),
        Some(_) => Err(bad("the values do not match the file's own digest: it is damaged".to_owned())),
        None => Err(bad("the file carries no digest of its values".to_owned())),
    }
}

fn decode(handle: &Arc<File>, bytes: u64, max_rows: u64) -> Result<Table, String> {
    let failed = |error: parquet::errors::ParquetError| format!("not a readable Parquet file: {error}");
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(handle.as_ref(), options).map_err(failed)?;
    let groups = log_parquet::check(metadata.metadata(), bytes).map_err(|what| format!("the Parquet footer {what}"))?;
    let rows: u64 = groups.iter().sum();
    if rows > max_rows {
        return Err(format!("the table has {rows} rows, where at most {max_rows} can be"));
    }
    let mut left = bytes;
    for (group, rows) in metadata.metadata().row_groups().iter().zip(&groups) {
        for chunk in group.columns() {
            let size = u64::try_from(chunk.compressed_size()).unwrap_or(u64::MAX);
            left = left.checked_sub(size).ok_or("the columns overlap in the file")?;
            check_pages(handle, chunk, *rows)?;
        }
    }
    let mut table = Table { columns: empty_columns(metadata.schema())?, metadata: key_values(&metadata) };
    let reader =
        ParquetRecordBatchReaderBuilder::new_with_metadata(handle.try_clone().map_err(|e| e.to_string())?, metadata)
            .build()
            .map_err(failed)?;
    let read = append_all(&mut table, reader)?;
    if read == rows { Ok(table) } else { Err(format!("the footer counts {rows} rows, and {read} are there")) }
}

fn append_all(table: &mut Table, reader: ParquetRecordBatchReader) -> Result<u64, String> {
    let mut rows = 0;
    for batch in reader {
        let batch = batch.map_err(|error| format!("the Parquet decoder says `{error}`"))?;
        for ((name, column), array) in table.columns.iter_mut().zip(batch.columns()) {
            column.append(array).ok_or_else(|| format!("a value of column `{name}` is missing"))?;
        }
        rows += batch.num_rows() as u64;
    }
    Ok(rows)
}

fn empty_columns(schema: &Schema) -> Result<Vec<(String, TableColumn)>, String> {
    let column = |field: &Arc<Field>| {
        let empty = TableColumn::of_type(field.data_type());
        let empty = empty.ok_or_else(|| format!("column `{}` holds {}", field.name(), field.data_type()))?;
        Ok((field.name().clone(), empty))
    };
    schema.fields().iter().map(column).collect()
}

fn key_values(metadata: &ArrowReaderMetadata) -> BTreeMap<String, String> {
    let pairs = metadata.metadata().file_metadata().key_value_metadata().map_or(&[][..], Vec::as_slice);
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect()
}

/// Holds a column chunk to plain values. Runs of levels are the one thing that Parquet then still abbreviates: levels
/// must not be more than the rows and the values that the pages have bytes for.
fn check_pages(handle: &Arc<File>, chunk: &ColumnChunkMetaData, rows: u64) -> Result<(), String> {
    let name = chunk.column_path().string();
    let failed = |error: parquet::errors::ParquetError| format!("column `{name}` is not readable: {error}");
    let width = match chunk.column_type() {
        Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        other => return Err(format!("column `{name}` holds {other}")),
    };
    if chunk.compression() != Compression::UNCOMPRESSED {
        return Err(format!("column `{name}` is compressed"));
    }
    let total_rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut pages = SerializedPageReader::new(Arc::clone(handle), chunk, total_rows, None).map_err(failed)?;
    let (mut levels, mut bytes) = (0_u64, 0_u64);
    while let Some(page) = pages.get_next_page().map_err(failed)? {
        let plain = match &page {
            Page::DataPage { encoding, def_level_encoding, rep_level_encoding, .. } => {
                [def_level_encoding, rep_level_encoding].iter().all(|encoding| **encoding == Encoding::RLE)
                    && *encoding == Encoding::PLAIN
            }
            Page::DataPageV2 { encoding, .. } => *encoding == Encoding::PLAIN,
            Page::DictionaryPage { .. } => false,
        };
        if !plain {
            return Err(format!("column `{name}` is not stored plainly"));
        }
        levels += u64::from(page.num_values());
        bytes += page.buffer().len() as u64;
    }
    if levels > rows + bytes / width {
        return Err(format!("column `{name}` counts more values than it holds"));
    }
    Ok(())
}
