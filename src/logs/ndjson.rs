//! JSON logs, one object a row: every wanted key as text.
//!
//! Keys that are not wanted are read over, however deep their values.

use super::columns::{Use, Wanted, shortened};
use super::files::Opened;
use super::fold::TextRows;
use super::records::Records;
use super::{BLOCK_ROWS, LogFile, failure};
use crate::declare::Problem;
use arrow::array::{ArrayRef, StringBuilder};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Rows put together at once.
const MAX_BATCH: usize = 1 << 13;

/// Reads the keys of the first 65,536 rows, in the order in which they appear.
pub(super) fn open(file: &LogFile) -> Result<Opened, Vec<Problem>> {
    let mut records = Records::new(file)?;
    let mut columns = Vec::new();
    let mut seen = HashSet::new();
    let mut has_rows = false;
    for _ in 0..BLOCK_ROWS {
        if !records.advance()? {
            break;
        }
        has_rows = true;
        for key in records.parse(Keys)? {
            if seen.insert(key.clone()) {
                columns.push(key);
            }
        }
    }
    Ok(Opened { columns, has_rows, footer: None })
}

/// Decodes the wanted keys in runs of `rows` rows. Ends after the first problem.
pub(super) fn read<'a>(file: &'a LogFile, wanted: &Wanted, rows: usize) -> TextRows<'a> {
    let fields: Vec<Field> = wanted.keys().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let wanted = wanted.iter().map(|(name, how)| (name.clone(), *how)).collect();
    match Records::new(file) {
        Err(problems) => Box::new(std::iter::once(Err(problems))),
        Ok(records) => {
            let batch_rows = rows.min(MAX_BATCH);
            let reader = Reader { records, wanted, schema: Arc::new(Schema::new(fields)), batch_rows };
            in_runs(file, rows / batch_rows, reader)
        }
    }
}

/// Puts every `count` batches together. Ends after the first problem.
pub(super) fn in_runs<'a>(
    file: &'a LogFile,
    count: usize,
    mut batches: impl Iterator<Item = Result<RecordBatch, Vec<Problem>>> + Send + 'a,
) -> TextRows<'a> {
    let mut failed = None;
    let mut done = false;
    Box::new(std::iter::from_fn(move || {
        let mut run = Vec::new();
        while !done && run.len() < count {
            match batches.next() {
                Some(Ok(batch)) => run.push(batch),
                Some(Err(problems)) => {
                    failed = Some(problems);
                    done = true;
                }
                None => done = true,
            }
        }
        match run.first() {
            Some(first) => {
                let whole = concat_batches(&first.schema(), &run);
                Some(whole.map_err(|error| failure(&file.name, error.to_string(), "")))
            }
            None => failed.take().map(Err),
        }
    }))
}

/// Small batches, one after the other.
struct Reader<'a> {
    records: Records<'a>,
    wanted: Vec<(String, Use)>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl Reader<'_> {
    fn fill(&mut self) -> Result<Option<RecordBatch>, Vec<Problem>> {
        let mut columns: Vec<StringBuilder> = self.wanted.iter().map(|_| StringBuilder::new()).collect();
        let mut rows = 0;
        while rows < self.batch_rows && self.records.advance()? {
            let values = self.records.parse(Row { wanted: &self.wanted })?;
            for (column, value) in columns.iter_mut().zip(values) {
                column.append_option(value);
            }
            rows += 1;
        }
        if rows == 0 {
            return Ok(None);
        }
        let arrays = columns.into_iter().map(|mut column| Arc::new(column.finish()) as ArrayRef).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map(Some)
            .map_err(|error| failure(&self.records.file.name, error.to_string(), ""))
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch, Vec<Problem>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill().transpose()
    }
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// The next key, unless the object has it already.
fn next_key<'de, M: MapAccess<'de>>(
    map: &mut M,
    seen: &mut HashSet<Cow<'de, str>>,
) -> Result<Option<Cow<'de, str>>, M::Error> {
    let Some(key) = map.next_key_seed(Key)? else { return Ok(None) };
    if !seen.insert(key.clone()) {
        return Err(M::Error::custom(format!("the key `{}` appears twice", shortened(&key))));
    }
    Ok(Some(key))
}

/// An object's keys, in order.
struct Keys;

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut seen = HashSet::new();
        let mut keys = Vec::new();
        while let Some(key) = next_key(&mut map, &mut seen)? {
            keys.push(key.into_owned());
            map.next_value::<IgnoredAny>()?;
        }
        Ok(keys)
    }
}

/// The wanted values of an object, in the order of `wanted`.
struct Row<'a> {
    wanted: &'a [(String, Use)],
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = Vec<Option<String>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = Vec<Option<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut seen = HashSet::new();
        let mut values = vec![None; self.wanted.len()];
        while let Some(key) = next_key(&mut map, &mut seen)? {
            // `wanted` comes from an ordered map.
            match self.wanted.binary_search_by(|(name, _)| name.as_str().cmp(&key)) {
                Ok(index) => values[index] = map.next_value_seed(Value { key: &key, how: self.wanted[index].1 })?,
                Err(_) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values)
    }
}

/// One value as text.
struct Value<'a> {
    key: &'a str,
    how: Use,
}

impl Value<'_> {
    fn keep(&self, text: impl fmt::Display) -> Option<String> {
        let text = text.to_string();
        if self.how == Use::Presence && !super::convert::is_missing(&text) { Some("x".to_owned()) } else { Some(text) }
    }

    fn nested<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.how == Use::Scalar {
            return Err(E::custom(format!(
                "the key `{}` holds a list or an object, not one value",
                shortened(self.key)
            )));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.keep(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.keep(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.keep(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.keep(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.keep(value))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        self.nested()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<serde_json::Value>()? {
            items.push(item);
        }
        Ok(self.keep(serde_json::Value::Array(items)))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        self.nested()?;
        let mut object = serde_json::Map::new();
        while let Some((key, value)) = map.next_entry::<String, serde_json::Value>()? {
            object.insert(key, value);
        }
        Ok(self.keep(serde_json::Value::Object(object)))
    }
}
