//! Values of any type, row by row, as JSON: what lists of messages are read through.

use super::convert::{as_text, is_missing};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;
use serde_json::{Map, Value};

/// Each row's value: text as text (but text that is a JSON list of messages, or one message, as that), lists and
/// structures as JSON, anything else as text. `None` where it is missing.
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
    serde_json::from_str::<Value>(text).ok().filter(|value| match value {
        Value::Array(items) => !items.is_empty() && items.iter().all(is_message),
        other => is_message(other),
    })
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
        _ => match as_text(&array.slice(row, 1))? {
            text if text.as_dictionary_opt::<Int32Type>().is_some() => {
                let plain = super::convert::strict_cast(&text, &DataType::Utf8)?;
                Value::from(plain.as_string::<i32>().value(0))
            }
            text => Value::from(text.as_string::<i32>().value(0)),
        },
    }))
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
