//! Arrow arrays to codes and numbers.
//!
//! Text that is empty, `NA`, `NaN` or `null` is missing, whatever column it stands in; so is NaN where a floating-point
//! column is read as text. Numbers keep NaN.

use super::{Codes, Lists};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder, Int64Array, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use std::collections::HashMap;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hasher as _};

/// A value that is no number, where a number is needed.
#[derive(Debug, PartialEq)]
pub(super) struct NotANumber {
    /// The row within the array.
    pub(super) row: usize,
    /// The text that stands there.
    pub(super) text: String,
}

/// Why an array could not be read as numbers.
#[derive(Debug)]
pub(super) enum NumberError {
    /// Values that are no numbers.
    Values(Vec<NotANumber>),
    /// The type as a whole.
    Type(ArrowError),
}

/// Whether a text stands for a missing value.
pub(super) fn is_missing(text: &str) -> bool {
    matches!(text, "" | "NA" | "NaN" | "null")
}

/// An array as text: `Utf8`, or `Dictionary(Int32, Utf8)` if it was that already. Integers in plain decimal, floats as
/// shortly as they round-trip (`1`, not `1.0`), booleans `true` and `false`.
///
/// # Errors
/// A type that has no text form, or bytes that are not UTF-8.
pub(super) fn as_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Utf8 => Ok(ArrayRef::clone(array)),
        DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8 => {
            Ok(ArrayRef::clone(array))
        }
        DataType::Dictionary(_, value) => as_text(&strict_cast(array, value)?),
        DataType::Float16 => Ok(rendered(array.as_primitive::<Float16Type>().iter())),
        DataType::Float32 => Ok(rendered(array.as_primitive::<Float32Type>().iter())),
        DataType::Float64 => Ok(rendered(array.as_primitive::<Float64Type>().iter())),
        // Named time zones would need a time zone database: the instant is enough to tell values apart.
        DataType::Timestamp(unit, Some(_)) => as_text(&strict_cast(array, &DataType::Timestamp(*unit, None))?),
        _ => strict_cast(array, &DataType::Utf8),
    }
}

fn rendered<T: Display>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    let mut text = StringBuilder::new();
    for value in values {
        text.append_option(value.map(|value| value.to_string()));
    }
    std::sync::Arc::new(text.finish())
}

pub(super) fn strict_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// The array's text values by code, in the order in which they first appear.
///
/// # Errors
/// See [`as_text`].
pub(super) fn codes(array: &ArrayRef) -> Result<Codes, ArrowError> {
    if array.data_type().is_integer()
        && let Ok(integers) = strict_cast(array, &DataType::Int64)
    {
        return Ok(integer_codes(integers.as_primitive::<Int64Type>()));
    }
    let text = as_text(array)?;
    Ok(match text.as_dictionary_opt::<Int32Type>() {
        Some(dictionary) => dictionary_codes(dictionary),
        None => text_codes(text.as_string::<i32>()),
    })
}

/// Codes of a dictionary array: each value is looked at once, and only if a row has it. Values that the dictionary holds
/// twice get one code.
fn dictionary_codes(array: &arrow::array::DictionaryArray<Int32Type>) -> Codes {
    const UNSEEN: u32 = Codes::MISSING - 1;
    let values = array.values().as_string::<i32>();
    let nulls = array.nulls();
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let mut code_of_key = vec![UNSEEN; values.len()];
    let mut result = Codes { codes: Vec::with_capacity(array.len()), values: Vec::new() };
    for (row, key) in array.keys().values().iter().enumerate() {
        let key = usize::try_from(*key).unwrap_or(usize::MAX);
        let Some(code) = code_of_key.get_mut(key).filter(|_| nulls.is_none_or(|nulls| nulls.is_valid(row))) else {
            result.codes.push(Codes::MISSING);
            continue;
        };
        if *code == UNSEEN {
            let value = if values.is_valid(key) { values.value(key) } else { "" };
            *code = new_code(value, &mut seen, &mut result.values);
        }
        result.codes.push(*code);
    }
    result
}

/// Codes of integers: each distinct one is written as text once.
fn integer_codes(array: &Int64Array) -> Codes {
    let mut seen: HashMap<i64, u32> = HashMap::new();
    let mut result = Codes { codes: Vec::with_capacity(array.len()), values: Vec::new() };
    for value in array {
        let code = match value {
            None => Codes::MISSING,
            Some(value) => *seen.entry(value).or_insert_with(|| {
                result.values.push(value.to_string());
                u32::try_from(result.values.len() - 1).unwrap_or(Codes::MISSING)
            }),
        };
        result.codes.push(code);
    }
    result
}

fn text_codes(array: &StringArray) -> Codes {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let mut values = Vec::new();
    let codes = array.iter().map(|value| new_code(value.unwrap_or(""), &mut seen, &mut values)).collect();
    Codes { codes, values }
}

/// The code of a value: its own if it was seen, the next if not.
fn new_code<'a>(value: &'a str, seen: &mut HashMap<&'a str, u32>, values: &mut Vec<String>) -> u32 {
    if let Some(code) = seen.get(value) {
        return *code;
    }
    let code = if is_missing(value) {
        Codes::MISSING
    } else {
        values.push(value.to_owned());
        u32::try_from(values.len() - 1).unwrap_or(Codes::MISSING)
    };
    seen.insert(value, code);
    code
}

/// Each row's value as a 64-bit key: the bits of an integer, the hash of a text or of a list; `None` where there is no value.
/// `integers` says that the column holds integers in every file, so that a value has one key throughout.
///
/// # Errors
/// See [`as_text`].
pub(super) fn identities(array: &ArrayRef, integers: bool) -> Result<Vec<Option<u64>>, ArrowError> {
    if integers && *array.data_type() == DataType::UInt64 {
        return Ok(array.as_primitive::<UInt64Type>().iter().collect());
    }
    if integers {
        let array = strict_cast(array, &DataType::Int64)?;
        return Ok(array.as_primitive::<Int64Type>().iter().map(|value| Some(value?.cast_unsigned())).collect());
    }
    if array.data_type().is_nested() {
        let rows = RowConverter::new(vec![SortField::new(array.data_type().clone())])?
            .convert_columns(std::slice::from_ref(array))?;
        return Ok((0..array.len()).map(|row| array.is_valid(row).then(|| hash(rows.row(row).as_ref()))).collect());
    }
    let text = as_text(array)?;
    let keys = |texts: &StringArray| -> Vec<Option<u64>> {
        texts.iter().map(|text| text.filter(|text| !is_missing(text)).map(|text| hash(text.as_bytes()))).collect()
    };
    let Some(dictionary) = text.as_dictionary_opt::<Int32Type>() else { return Ok(keys(text.as_string::<i32>())) };
    let of_values = keys(dictionary.values().as_string::<i32>());
    let key = |index: Option<i32>| of_values.get(usize::try_from(index?).ok()?).copied().flatten();
    Ok(dictionary.keys().iter().map(key).collect())
}

/// A hash with fixed keys, so that every block gives a text the same one. Who must be certain compares the texts as well.
fn hash(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    hasher.finish()
}

/// How many rows have no value.
///
/// # Errors
/// See [`as_text`]; types other than text do not fail.
pub(super) fn count_missing(array: &ArrayRef) -> Result<u64, ArrowError> {
    let missing = match array.data_type() {
        DataType::Utf8 => count_missing_text(array.as_string::<i32>()),
        DataType::Dictionary(_, value) if !value.is_nested() => {
            codes(array)?.codes.iter().filter(|code| **code == Codes::MISSING).count()
        }
        DataType::LargeUtf8 | DataType::Utf8View => count_missing_text(as_text(array)?.as_string::<i32>()),
        _ => array.logical_null_count(),
    };
    Ok(missing as u64)
}

fn count_missing_text(array: &StringArray) -> usize {
    array.iter().filter(|value| value.is_none_or(is_missing)).count()
}

/// An array as numbers; missing values are null, NaN and infinities stay what they are.
///
/// # Errors
/// Every value (at most 20) that is text but neither missing nor a number; types that are no numbers.
pub(super) fn numbers(array: &ArrayRef) -> Result<Float64Array, NumberError> {
    match array.data_type() {
        DataType::Float64 => Ok(array.as_primitive::<Float64Type>().clone()),
        other if other.is_numeric() || other.is_null() => {
            let cast = strict_cast(array, &DataType::Float64).map_err(NumberError::Type)?;
            Ok(cast.as_primitive::<Float64Type>().clone())
        }
        DataType::Dictionary(_, value) if value.is_numeric() => {
            numbers(&strict_cast(array, value).map_err(NumberError::Type)?)
        }
        DataType::Boolean => Err(NumberError::Type(ArrowError::CastError("booleans are no numbers".to_owned()))),
        _ => parsed(&codes(array).map_err(NumberError::Type)?),
    }
}

/// An array as a list of numbers for every row: lists of numbers, text that holds a JSON list of them or one number, or
/// numbers, each a list of one. A missing list is empty, a missing number NaN.
///
/// # Errors
/// Every value (at most 20) that is text but neither missing nor a list of numbers; types that hold no numbers.
pub(super) fn lists(array: &ArrayRef) -> Result<Lists, NumberError> {
    let wrong =
        |data_type: &DataType| NumberError::Type(ArrowError::CastError(format!("{data_type} is no list of numbers")));
    match array.data_type() {
        DataType::List(_) => nested(array.len(), |row| {
            let lists = array.as_list::<i32>();
            lists.is_valid(row).then(|| lists.value(row))
        }),
        DataType::LargeList(_) => nested(array.len(), |row| {
            let lists = array.as_list::<i64>();
            lists.is_valid(row).then(|| lists.value(row))
        }),
        DataType::FixedSizeList(..) => nested(array.len(), |row| {
            let lists = array.as_fixed_size_list();
            lists.is_valid(row).then(|| lists.value(row))
        }),
        other if other.is_nested() => Err(wrong(other)),
        other if other.is_numeric() => {
            let values = numbers(array)?;
            Ok(Lists {
                ends: (1..=values.len()).collect(),
                values: values.iter().map(|v| v.unwrap_or(f64::NAN)).collect(),
            })
        }
        DataType::Boolean => Err(wrong(array.data_type())),
        _ => parsed_lists(
            &as_text(array).and_then(|text| strict_cast(&text, &DataType::Utf8)).map_err(NumberError::Type)?,
        ),
    }
}

fn nested(rows: usize, list: impl Fn(usize) -> Option<ArrayRef>) -> Result<Lists, NumberError> {
    let mut lists = Lists::default();
    for row in 0..rows {
        if let Some(items) = list(row) {
            lists.values.extend(numbers(&items)?.iter().map(|value| value.unwrap_or(f64::NAN)));
        }
        lists.ends.push(lists.values.len());
    }
    Ok(lists)
}

fn parsed_lists(text: &ArrayRef) -> Result<Lists, NumberError> {
    let mut lists = Lists::default();
    let mut problems = Vec::new();
    for (row, text) in text.as_string::<i32>().iter().enumerate() {
        match text.filter(|text| !is_missing(text)).map(|text| (text, list_of(text.trim()))) {
            None => {}
            Some((_, Some(values))) => lists.values.extend(values.into_iter().map(|value| value.unwrap_or(f64::NAN))),
            Some((text, None)) => {
                problems.push(NotANumber { row, text: text.to_owned() });
                if problems.len() == super::MAX_PROBLEMS {
                    break;
                }
            }
        }
        lists.ends.push(lists.values.len());
    }
    if problems.is_empty() { Ok(lists) } else { Err(NumberError::Values(problems)) }
}

fn list_of(text: &str) -> Option<Vec<Option<f64>>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { Some(vec![Some(text.parse().ok()?)]) }
}

/// Parses each distinct text once.
fn parsed(text: &Codes) -> Result<Float64Array, NumberError> {
    let values: Vec<Option<f64>> = text.values.iter().map(|value| value.trim().parse().ok()).collect();
    let mut numbers = Float64Builder::with_capacity(text.codes.len());
    let mut problems = Vec::new();
    for (row, code) in text.codes.iter().enumerate() {
        match values.get(*code as usize) {
            None => numbers.append_null(),
            Some(Some(value)) => numbers.append_value(*value),
            Some(None) => {
                let text = text.values.get(*code as usize).cloned().unwrap_or_default();
                problems.push(NotANumber { row, text });
                if problems.len() == super::MAX_PROBLEMS {
                    break;
                }
            }
        }
    }
    if problems.is_empty() { Ok(numbers.finish()) } else { Err(NumberError::Values(problems)) }
}
