//! Rows whose id an earlier row has.
//!
//! Up to three passes. The first reads ids alone and looks whether each is above the one before it: then none repeats, and
//! nothing has to be kept. Else the second reads them as 64-bit keys (an integer id is its own key, a text id is hashed), and
//! finds the keys that appear twice. Only if there are any, the third reads the rows with those keys again, compares the ids
//! themselves, so that a collision of keys is no duplicate, and tells copies apart by a digest of every mapped column.

use super::columns::{Use, Wanted};
use super::convert::{as_text, identities, is_missing};
use super::fold::{self, Piece};
use super::{Duplicates, Log, Progress, failure};
use crate::declare::{Problem, Problems};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use polars::prelude::{NamedFrom as _, PlSmallStr, PolarsResult, Series, is_first_distinct};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use sha2::{Digest as _, Sha256};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{self, AtomicBool};

/// Keys are compared in this many parts, so that a part's table is small.
const PARTS: usize = 64;

/// Finds the rows whose id an earlier row has. `None` when no id is mapped.
///
/// Ids are integers if every file holds integers, else text.
///
/// Memory: nothing that grows with the rows where ids ascend; else at most 16 bytes a row, and for each id that appears
/// twice the id and some 100 bytes.
///
/// # Errors
/// Unreadable or malformed files.
pub fn duplicates(log: &Log, progress: &dyn Progress) -> Result<Option<Duplicates>, Problems> {
    let Some(id) = &log.plan.id else { return Ok(None) };
    if let Some(missing_ids) = ascending(log, id, progress)? {
        return Ok(Some(Duplicates { missing_ids, ..Duplicates::default() }));
    }
    let keys = keys(log, id, progress)?;
    let missing_ids = keys.missing;
    let repeated = repeated(keys.parts).map_err(|error| {
        let message = format!("the ids in column `{id}` cannot be compared: {error}");
        Problems(failure(log.files.first().map_or("", |file| &file.name), message, ""))
    })?;
    let mut found = if repeated.is_empty() { Duplicates::default() } else { copies(log, id, &repeated, progress)? };
    found.missing_ids = missing_ids;
    Ok(Some(found))
}

/// An id, as ids are ordered.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Id {
    Integer(i128),
    Text(String),
}

/// A run of rows whose ids may ascend.
#[derive(Default)]
struct Ascent {
    /// The first id and the last; `None` without any.
    ends: Option<(Id, Id)>,
    broken: bool,
    missing: u64,
}

impl Ascent {
    /// Appends the run that follows.
    fn append(&mut self, next: Ascent) {
        self.missing += next.missing;
        self.broken |= next.broken;
        self.ends = match (self.ends.take(), next.ends) {
            (Some((first, last)), Some((above, end))) => {
                self.broken |= !matches!(last.partial_cmp(&above), Some(Ordering::Less));
                Some((first, end))
            }
            (own, next) => own.or(next),
        };
    }

    fn of<T: PartialOrd + Copy>(ids: impl Iterator<Item = Option<T>>, id: impl Fn(T) -> Id) -> Ascent {
        let mut run = Ascent::default();
        let mut ends: Option<(T, T)> = None;
        for own in ids {
            let Some(own) = own else {
                run.missing += 1;
                continue;
            };
            let (first, last) = ends.map_or((own, None), |(first, last)| (first, Some(last)));
            run.broken |= last.is_some_and(|last| last >= own);
            ends = Some((first, own));
        }
        run.ends = ends.map(|(first, last)| (id(first), id(last)));
        run
    }
}

/// How many rows have no id, if the ids of the others ascend.
fn ascending(log: &Log, id: &str, progress: &dyn Progress) -> Result<Option<u64>, Problems> {
    let source = log.source(Wanted::from([(id.to_owned(), Use::Scalar)]));
    // Once it is clear that they do not, nothing is compared any more; whether they do does not depend on who saw it.
    let broken = AtomicBool::new(false);
    let work = |run: &mut Ascent, piece: &Piece<'_>| {
        if broken.load(atomic::Ordering::Relaxed) {
            run.broken = true;
            return Ok(());
        }
        run.append(ascent(piece, id, log.plan.integer_ids)?);
        broken.fetch_or(run.broken, atomic::Ordering::Relaxed);
        Ok(())
    };
    let run =
        fold::fold(&source, "looking whether ids ascend", progress, &Ascent::default, &work, &mut Ascent::append)?;
    Ok((!run.broken).then_some(run.missing))
}

fn ascent(piece: &Piece<'_>, id: &str, integers: bool) -> Result<Ascent, Vec<Problem>> {
    let Some(array) = piece.batch.column_by_name(id) else { return Ok(Ascent::default()) };
    if integers {
        let keys = row_keys(piece, id, integers)?.into_iter();
        return Ok(match array.data_type() {
            DataType::UInt64 => Ascent::of(keys, |key| Id::Integer(key.into())),
            _ => Ascent::of(keys.map(|key| key.map(u64::cast_signed)), |key| Id::Integer(key.into())),
        });
    }
    let text = plain_text(array).map_err(|error| unusable(piece, id, &error))?;
    let ids = text.as_string::<i32>().iter().map(|id| id.filter(|id| !is_missing(id)));
    Ok(Ascent::of(ids, |id| Id::Text(id.to_owned())))
}

/// The keys of all ids, in parts; equal keys are in one part.
struct Keys {
    parts: Vec<Vec<u64>>,
    missing: u64,
}

/// Reads the keys of every row that has an id.
fn keys(log: &Log, id: &str, progress: &dyn Progress) -> Result<Keys, Problems> {
    let wanted = Wanted::from([(id.to_owned(), Use::Scalar)]);
    let source = log.source(wanted);
    let new = || Keys { parts: vec![Vec::new(); PARTS], missing: 0 };
    let work = |keys: &mut Keys, piece: &Piece<'_>| {
        for key in row_keys(piece, id, log.plan.integer_ids)? {
            match key {
                Some(key) => keys.parts[part_of(key)].push(key),
                None => keys.missing += 1,
            }
        }
        Ok(())
    };
    let mut merge = |total: &mut Keys, part: Keys| {
        total.missing += part.missing;
        for (total, mut part) in total.parts.iter_mut().zip(part.parts) {
            total.append(&mut part);
        }
    };
    fold::fold(&source, "looking for duplicate ids", progress, &new, &work, &mut merge)
}

/// Spreads keys, consecutive integers too, evenly over the parts (Fibonacci hashing).
fn part_of(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
}

/// Each row's key: the bits of an integer, the hash of a text; `None` where there is no id.
fn row_keys(piece: &Piece<'_>, id: &str, integers: bool) -> Result<Vec<Option<u64>>, Vec<Problem>> {
    let Some(array) = piece.batch.column_by_name(id) else { return Ok(Vec::new()) };
    identities(array, integers).map_err(|error| unusable(piece, id, &error))
}

fn unusable(piece: &Piece<'_>, id: &str, error: &ArrowError) -> Vec<Problem> {
    let message = format!("column `{id}` cannot be used, in rows from {} on: {error}", piece.row_in_file + 1);
    failure(&piece.file.name, message, "")
}

/// An array as `Utf8`.
fn plain_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast(&as_text(array)?, &DataType::Utf8)
}

/// The keys that appear more than once.
fn repeated(parts: Vec<Vec<u64>>) -> PolarsResult<HashSet<u64>> {
    let again = |keys: Vec<u64>| -> PolarsResult<Vec<u64>> {
        let first = is_first_distinct(&Series::new(PlSmallStr::EMPTY, &keys))?;
        Ok(keys.into_iter().zip(first.iter()).filter(|(_, first)| *first == Some(false)).map(|(key, _)| key).collect())
    };
    let found: Vec<Vec<u64>> = parts.into_par_iter().map(again).collect::<PolarsResult<_>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// A row whose key appears more than once.
struct Candidate {
    row: u64,
    id: String,
    digest: [u8; 32],
}

/// Candidates in row order, and what came of those before them.
#[derive(Default)]
struct Copies {
    pending: Vec<Candidate>,
    first: HashMap<String, [u8; 32]>,
    found: Duplicates,
}

impl Copies {
    /// Compares the candidates with the first row of their id.
    fn settle(&mut self, candidates: Vec<Candidate>) {
        for Candidate { row, id, digest } in candidates {
            let first = match self.first.entry(id) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(digest);
                    continue;
                }
                std::collections::hash_map::Entry::Occupied(entry) => *entry.get(),
            };
            self.found.rows.push(row);
            if first == digest {
                self.found.identical += 1;
            } else {
                self.found.conflicting += 1;
            }
        }
    }

    fn settle_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.settle(pending);
    }
}

/// Reads the rows with repeated keys and tells which repeat an id.
fn copies(log: &Log, id: &str, repeated: &HashSet<u64>, progress: &dyn Progress) -> Result<Duplicates, Problems> {
    let source = log.source(log.plan.copy_columns());
    let work = |copies: &mut Copies, piece: &Piece<'_>| {
        copies.pending.extend(candidates(log, piece, id, repeated)?);
        Ok(())
    };
    let mut merge = |total: &mut Copies, part: Copies| {
        total.settle_pending();
        total.settle(part.pending);
    };
    let mut copies = fold::fold(&source, "comparing rows with one id", progress, &Copies::default, &work, &mut merge)?;
    copies.settle_pending();
    Ok(copies.found)
}

/// The piece's rows whose key is repeated.
fn candidates(log: &Log, piece: &Piece<'_>, id: &str, repeated: &HashSet<u64>) -> Result<Vec<Candidate>, Vec<Problem>> {
    let keys = row_keys(piece, id, log.plan.integer_ids)?;
    let chosen: Vec<bool> = keys.iter().map(|key| key.is_some_and(|key| repeated.contains(&key))).collect();
    let rows: Vec<u64> = (piece.first_row..).zip(&chosen).filter(|(_, chosen)| **chosen).map(|(row, _)| row).collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error: ArrowError| {
        let message = format!("rows from {} on cannot be compared: {error}", piece.row_in_file + 1);
        failure(&piece.file.name, message, "")
    };
    let batch = filter_record_batch(&piece.batch, &BooleanArray::from(chosen)).map_err(failed)?;
    let mut digests = vec![Sha256::new(); rows.len()];
    for column in log.plan.mapped.iter().filter_map(|name| batch.column_by_name(name)) {
        digest_column(column, &mut digests).map_err(failed)?;
    }
    let Some(ids) = batch.column_by_name(id) else { return Ok(Vec::new()) };
    let ids = plain_text(ids).map_err(failed)?;
    let ids = ids.as_string::<i32>().iter().map(|id| id.unwrap_or("").to_owned());
    let candidates = rows.into_iter().zip(ids).zip(digests);
    Ok(candidates.map(|((row, id), digest)| Candidate { row, id, digest: digest.finalize().into() }).collect())
}

/// Adds each row's value of a column to the row's digest: its length and its bytes, or that it is missing. Scalars are
/// taken as text, so that the same value in two formats is the same; nested values as arrow's row format.
fn digest_column(column: &ArrayRef, digests: &mut [Sha256]) -> Result<(), ArrowError> {
    let texts = if column.data_type().is_nested() { None } else { plain_text(column).ok() };
    if let Some(texts) = texts {
        for (text, digest) in texts.as_string::<i32>().iter().zip(digests) {
            add_value(digest, text.filter(|text| !is_missing(text)).map(str::as_bytes));
        }
        return Ok(());
    }
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
    let rows = converter.convert_columns(std::slice::from_ref(column))?;
    for (index, (row, digest)) in rows.iter().zip(digests).enumerate() {
        add_value(digest, column.is_valid(index).then(|| row.as_ref()));
    }
    Ok(())
}

fn add_value(digest: &mut Sha256, value: Option<&[u8]>) {
    let length = value.map_or(u64::MAX, |bytes| bytes.len() as u64);
    digest.update(length.to_le_bytes());
    digest.update(value.unwrap_or_default());
}
