//! Values of any type, row by row, as JSON: what lists of messages are read through.

use super::convert::{as_text, is_missing, strict_cast};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Each row's value: text as text (but text that is a JSON list of messages, or one message, as that), lists and
/// structures as JSON, anything else as text. `None` where it is missing. A field that is null and one that is not there are
/// the same: so that a log says the same in Parquet, where every message has every field, and in JSON.
///
/// # Errors
/// A type that has no text form.
pub(super) fn values(array: &ArrayRef) -> Result<Vec<Option<Value>>, ArrowError> {
    if array.data_type().is_nested() && !matches!(array.data_type(), DataType::Dictionary(..)) {
        return (0..array.len()).map(|row| value(array, row)).collect();
    }
    let text = as_text(array)?;
    let of_text = |text: &str| (!is_missing(text)).then(|| messages(text).unwrap_or_else(|| Value::from(text)));
    Ok(match text.as_dictionary_opt::<Int32Type>() {
        Some(dictionary) => {
            let by_key: Vec<Option<Value>> =
                dictionary.values().as_string::<i32>().iter().map(|text| text.and_then(of_text)).collect();
            let key = |key: Option<i32>| by_key.get(usize::try_from(key?).ok()?).cloned().flatten();
            dictionary.keys().iter().map(key).collect()
        }
        None => text.as_string::<i32>().iter().map(|text| text.and_then(of_text)).collect(),
    })
}

/// A list of messages, or one, that is written as text.
fn messages(text: &str) -> Option<Value> {
    if !text.starts_with(['[', '{']) {
        return None;
    }
    let is_message = |value: &Value| value.get("role").or(value.get("from")).is_some();
    let value = serde_json::from_str::<Value>(text).ok().filter(|value| match value {
        Value::Array(items) => !items.is_empty() && items.iter().all(is_message),
        other => is_message(other),
    });
    value.map(without_nulls)
}

/// A value without fields that are null; its depth is bounded by the JSON parser's.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

/// One row of an array; the depth is that of the column's type.
fn value(array: &ArrayRef, row: usize) -> Result<Option<Value>, ArrowError> {
    if array.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match array.data_type() {
        DataType::List(_) => list(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row))?,
        DataType::Map(..) => {
            let entries: ArrayRef = Arc::new(array.as_map().value(row));
            list(&entries)?
        }
        DataType::Struct(fields) => {
            let mut object = Map::new();
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                // A field that is null and one that is not there are the same message.
                if let Some(value) = value(column, row)? {
                    object.insert(field.name().clone(), value);
                }
            }
            Value::Object(object)
        }
        _ => scalar(array, row)?,
    }))
}

/// A value that is neither a list nor a structure: a truth value, a number or text.
fn scalar(array: &ArrayRef, row: usize) -> Result<Value, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8 => Value::from(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Value::from(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Value::from(array.as_string_view().value(row)),
        DataType::Boolean => Value::from(array.as_boolean().value(row)),
        integer if integer.is_signed_integer() => {
            let one = strict_cast(&array.slice(row, 1), &DataType::Int64)?;
            Value::from(one.as_primitive::<Int64Type>().value(0))
        }
        integer if integer.is_unsigned_integer() => {
            let one = strict_cast(&array.slice(row, 1), &DataType::UInt64)?;
            Value::from(one.as_primitive::<UInt64Type>().value(0))
        }
        number if number.is_floating() => {
            let one = strict_cast(&array.slice(row, 1), &DataType::Float64)?;
            Value::from(one.as_primitive::<Float64Type>().value(0))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            let one = strict_cast(&array.slice(row, 1), &DataType::Binary)?;
            Value::from(bytes_as_text(one.as_binary::<i32>().value(0)))
        }
        _ => {
            let plain = strict_cast(&as_text(&array.slice(row, 1))?, &DataType::Utf8)?;
            Value::from(plain.as_string::<i32>().value(0))
        }
    })
}

/// Bytes that are text as that, others (an image, say) in hexadecimal.
fn bytes_as_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// What a value says, in order: text as it is, of messages their `content` (or `value`, or `text`), lists joined by line ends.
pub(super) fn contents(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(contents).collect::<Vec<_>>().join("\n"),
        Value::Object(entries) => {
            let content = ["content", "value", "text"].into_iter().find_map(|key| entries.get(key));
            content.map(contents).unwrap_or_default()
        }
        Value::Null | Value::Bool(_) => String::new(),
        Value::Number(number) => number.to_string(),
    }
}

fn list(items: &ArrayRef) -> Result<Value, ArrowError> {
    let items = (0..items.len()).map(|row| Ok(value(items, row)?.unwrap_or(Value::Null)));
    Ok(Value::Array(items.collect::<Result<_, ArrowError>>()?))
}
