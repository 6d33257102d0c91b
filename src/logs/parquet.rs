//! Parquet: footers, and row groups decoded to record batches of the wanted columns.
//!
//! Text columns whose pages are all dictionary-encoded are asked for as dictionaries, so that codes stay codes.
//!
//! The decoder may panic on hostile bytes. Every call into it goes through [`guarded`], which catches the panic. To keep
//! the default message off standard error, the first call wraps the process's panic hook: on a thread that is inside
//! [`guarded`] the hook does nothing, everywhere else it calls the hook that was there before.

use super::columns::Wanted;
use super::files::Opened;
use super::{LogFile, failure};
use crate::declare::Problem;
use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use ::parquet::basic::Encoding;
use ::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use std::cell::Cell;
use std::fs::File;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Once};

/// More rows than any file has: what says more is a damaged footer.
const MAX_ROWS: u64 = 1 << 40;

/// Rows that are decoded at once: few enough that what is made of them stays in a processor's cache.
const BATCH_ROWS: usize = 16_384;

/// Rows that a task has at least, unless the file ends.
const TASK_ROWS: u64 = 131_072;

/// A validated footer.
#[derive(Debug, Clone)]
pub(super) struct Footer {
    metadata: ArrowReaderMetadata,
    /// Rows of each row group.
    groups: Vec<u64>,
}

impl Footer {
    /// Rows in all.
    pub(super) fn rows(&self) -> u64 {
        self.groups.iter().sum()
    }

    /// The row groups from `first` on that make one task, and their rows: as many as reach [`TASK_ROWS`], for what a task
    /// leaves behind costs time and memory however few its rows are. None after the last group.
    pub(super) fn task(&self, first: usize) -> (Range<usize>, u64) {
        let (mut end, mut rows) = (first, 0);
        while let Some(more) = self.groups.get(end).filter(|_| rows < TASK_ROWS) {
            end += 1;
            rows += more;
        }
        (first..end, rows)
    }

    /// The arrow type of a column.
    pub(super) fn data_type(&self, column: &str) -> Option<&DataType> {
        self.metadata.schema().field_with_name(column).ok().map(Field::data_type)
    }
}

/// Reads and checks a file's footer.
pub(super) fn open(file: &LogFile) -> Result<Opened, Vec<Problem>> {
    let bad = |message: String| failure(&file.name, message, "write the file again");
    let handle = File::open(&file.path).map_err(|error| bad(format!("the file cannot be read: {error}")))?;
    let metadata = guarded(|| load(&handle))
        .ok_or_else(|| bad("the Parquet decoder failed on the footer".to_owned()))?
        .map_err(|error| bad(format!("not a readable Parquet file: {error}")))?;
    let groups = check(metadata.metadata(), file.bytes).map_err(|what| bad(format!("the Parquet footer {what}")))?;
    let footer = Footer { metadata, groups };
    Ok(Opened {
        columns: footer.metadata.schema().fields().iter().map(|field| field.name().clone()).collect(),
        has_rows: footer.rows() > 0,
        footer: Some(footer),
    })
}

fn load(handle: &File) -> ::parquet::errors::Result<ArrowReaderMetadata> {
    let plain = ArrowReaderMetadata::load(handle, ArrowReaderOptions::new())?;
    let schema = Schema::new_with_metadata(text_fields(&plain), plain.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    // A schema that the decoder will not take is no fault of the file: codes are then made from its own types.
    Ok(ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options).unwrap_or(plain))
}

/// The fields with every text column as `Dictionary(Int32, Utf8)` or `Utf8`.
fn text_fields(metadata: &ArrowReaderMetadata) -> Vec<FieldRef> {
    let fields = metadata.schema().fields().iter().enumerate();
    let typed = fields.map(|(root, field)| {
        if !is_text(field.data_type()) {
            return Arc::clone(field);
        }
        let text = if has_dictionary(metadata, root) {
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
        } else {
            DataType::Utf8
        };
        Arc::new(field.as_ref().clone().with_data_type(text))
    });
    typed.collect()
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_text(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        _ => false,
    }
}

/// Whether every page of a top-level column is dictionary-encoded, as far as the footer says.
fn has_dictionary(metadata: &ArrowReaderMetadata, root: usize) -> bool {
    let schema = metadata.parquet_schema();
    let Some(leaf) = (0..schema.num_columns()).find(|leaf| schema.get_column_root_idx(*leaf) == root) else {
        return false;
    };
    metadata.metadata().row_groups().iter().all(|group| group.columns().get(leaf).is_some_and(is_dictionary_encoded))
}

fn is_dictionary_encoded(chunk: &ColumnChunkMetaData) -> bool {
    chunk.dictionary_page_offset().is_some()
        && chunk
            .page_encoding_stats_mask()
            .is_none_or(|mask| mask.is_only(Encoding::RLE_DICTIONARY) || mask.is_only(Encoding::PLAIN_DICTIONARY))
}

/// The rows of each row group, if the footer does not contradict itself or the file's size.
pub(super) fn check(metadata: &ParquetMetaData, bytes: u64) -> Result<Vec<u64>, String> {
    let mut groups = Vec::with_capacity(metadata.num_row_groups());
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let rows = u64::try_from(group.num_rows()).map_err(|_| format!("counts negative rows in row group {index}"))?;
        if !group.columns().iter().all(|chunk| lies_within(chunk, bytes)) {
            return Err(format!("places a column of row group {index} outside the file: is it cut short?"));
        }
        groups.push(rows);
    }
    let total = groups.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows)).filter(|sum| *sum <= MAX_ROWS);
    match total {
        None => Err("counts more rows than a file can hold".to_owned()),
        Some(total) if i64::try_from(total) != Ok(metadata.file_metadata().num_rows()) => {
            Err("counts other rows in all than in its row groups".to_owned())
        }
        Some(_) => Ok(groups),
    }
}

fn lies_within(chunk: &ColumnChunkMetaData, bytes: u64) -> bool {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let (start, length) = (u64::try_from(start), u64::try_from(chunk.compressed_size()));
    match (start, length) {
        (Ok(start), Ok(length)) => start.checked_add(length).is_some_and(|end| end <= bytes),
        _ => false,
    }
}

/// Decodes the wanted columns of a row group in batches of [`BATCH_ROWS`]. Ends after the first problem.
pub(super) fn read<'a>(
    file: &'a LogFile,
    footer: &Footer,
    group: usize,
    wanted: &Wanted,
) -> impl Iterator<Item = Result<RecordBatch, Vec<Problem>>> + use<'a> {
    let mut rows = 0;
    let expected = footer.groups.get(group).copied().unwrap_or(0);
    let mut reader = Some(start(file, footer, group, wanted));
    std::iter::from_fn(move || {
        let mut current = match reader.take()? {
            Ok(current) => current,
            Err(problems) => return Some(Err(problems)),
        };
        let failed = |what: &str| failure(&file.name, format!("{what} row group {group}"), "write the file again");
        match guarded(|| current.next()) {
            None => Some(Err(failed("the Parquet decoder failed on"))),
            Some(Some(Err(error))) => Some(Err(failed(&format!("the Parquet decoder says `{error}` of")))),
            Some(Some(Ok(batch))) => {
                rows += batch.num_rows() as u64;
                reader = Some(Ok(current));
                Some(Ok(batch))
            }
            Some(None) if rows != expected => {
                Some(Err(failed(&format!("{rows} rows, where the footer counts {expected}, are in"))))
            }
            Some(None) => None,
        }
    })
}

fn start(
    file: &LogFile,
    footer: &Footer,
    group: usize,
    wanted: &Wanted,
) -> Result<ParquetRecordBatchReader, Vec<Problem>> {
    let unreadable = |why: String| failure(&file.name, why, "");
    let handle = File::open(&file.path).map_err(|error| unreadable(format!("the file cannot be read: {error}")))?;
    let fields = footer.metadata.schema().fields();
    let roots = (0..fields.len()).filter(|root| wanted.contains_key(fields[*root].name()));
    let mask = ProjectionMask::roots(footer.metadata.parquet_schema(), roots);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, footer.metadata.clone())
        .with_row_groups(vec![group])
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS);
    guarded(|| builder.build())
        .ok_or_else(|| unreadable(format!("the Parquet decoder failed on row group {group}")))?
        .map_err(|error| unreadable(format!("row group {group} cannot be decoded: {error}")))
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Runs the decoder; `None` if it panicked.
pub(super) fn guarded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !DECODING.try_with(Cell::get).unwrap_or(false) {
                before(info);
            }
        }));
    });
    let outer = DECODING.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(outer);
    result.ok()
}
