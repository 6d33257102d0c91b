//! The rows of a JSON log as text: its lines, or the items of the one list that it is.
//!
//! Owns: where a row begins and ends. Which of the two forms a file has is told by its first character, whatever its name: a
//! line of an NDJSON log cannot begin with `[`. One row is held at a time.
//! Must never: know what a row means.

use super::files::{damage, text_reader};
use super::{LogFile, NOT_UTF8, failure};
use crate::declare::Problem;
use serde::de::DeserializeSeed;
use std::io::{BufRead, Read as _};

/// Longest row, in bytes.
const MAX_ROW: usize = 64 << 20;

/// What to do about a row that is none.
const HELP: &str = "every line of an NDJSON log is one JSON object with scalar values; a list of such objects, [{…}, {…}], is \
                    read too";

/// The rows of a file, one after the other.
pub(super) struct Records<'a> {
    pub(super) file: &'a LogFile,
    source: Box<dyn BufRead + Send>,
    /// The row that `advance` moved to.
    buffer: Vec<u8>,
    /// The line on which the row in the buffer begins, from 1.
    line: u64,
    /// The line on which the reader stands, from 1.
    next_line: u64,
    form: Form,
}

/// How rows follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing has been read yet.
    Untold,
    /// One a line; blank lines are none.
    Lines,
    /// Items of a list, of which so many were read.
    List { items: u64 },
}

impl<'a> Records<'a> {
    /// The rows of a file; none is read yet.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn new(file: &'a LogFile) -> Result<Self, Vec<Problem>> {
        let source =
            text_reader(file).map_err(|error| failure(&file.name, format!("the file cannot be read: {error}"), ""))?;
        Ok(Records { file, source, buffer: Vec::new(), line: 1, next_line: 1, form: Form::Untold })
    }

    /// Moves to the next row; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, Vec<Problem>> {
        if self.form == Form::Untold {
            self.form = self.tell_form()?;
        }
        match self.form {
            Form::List { items } => self.next_item(items),
            _ => self.advance_line(),
        }
    }

    /// Parses the row that `advance` moved to.
    pub(super) fn parse<'b, S: DeserializeSeed<'b>>(&'b self, seed: S) -> Result<S::Value, Vec<Problem>> {
        let mut json = serde_json::Deserializer::from_slice(&self.buffer);
        let parsed = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
        parsed.map_err(|error| {
            // serde_json's own position is within the row.
            let text = error.to_string();
            let what = text.split_once(" at line ").map_or(text.as_str(), |(what, _)| what);
            let place = match self.form {
                Form::List { items } => {
                    let line = self.line + (error.line() as u64).saturating_sub(1);
                    format!("item {items} of the list, line {line}")
                }
                _ => format!("line {}, byte {}", self.line, error.column()),
            };
            let help = if std::str::from_utf8(&self.buffer).is_err() { NOT_UTF8 } else { HELP };
            failure(&self.file.name, format!("{place}: {what}"), help)
        })
    }

    /// Reads up to the first character that says something.
    fn tell_form(&mut self) -> Result<Form, Vec<Problem>> {
        let mut first = self.peek()?;
        if matches!(first, Some(0xfe | 0xff)) {
            return Err(failure(&self.file.name, "the file is not UTF-8 text", NOT_UTF8));
        }
        if first == Some(0xef) {
            self.skip_byte_order_mark()?;
            first = self.peek()?;
        }
        while first.is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.skip();
            first = self.peek()?;
        }
        if first == Some(b'[') {
            self.skip();
            return Ok(Form::List { items: 0 });
        }
        Ok(Form::Lines)
    }

    fn skip_byte_order_mark(&mut self) -> Result<(), Vec<Problem>> {
        for expected in *b"\xef\xbb\xbf" {
            if self.peek()? != Some(expected) {
                return Err(failure(&self.file.name, "line 1: the file does not begin with JSON", HELP));
            }
            self.skip();
        }
        Ok(())
    }

    /// Moves to the next line that is not blank; false at the end.
    fn advance_line(&mut self) -> Result<bool, Vec<Problem>> {
        loop {
            self.buffer.clear();
            self.line = self.next_line;
            let limit = MAX_ROW as u64 + 1;
            let read = (&mut self.source).take(limit).read_until(b'\n', &mut self.buffer);
            let read = read.map_err(|error| self.damaged(&error))?;
            if read == 0 {
                return Ok(false);
            }
            if read > MAX_ROW {
                return Err(self.too_long());
            }
            self.next_line += 1;
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// Moves to the next item of the list; false at its end.
    fn next_item(&mut self, items: u64) -> Result<bool, Vec<Problem>> {
        let mut comma = items == 0;
        loop {
            self.skip_blanks()?;
            match self.peek()? {
                None => return Err(self.bad("the file ends before its list does", "is it cut short?")),
                Some(b']') => return self.end(),
                Some(b',') if !comma => {
                    self.skip();
                    comma = true;
                }
                Some(b'{') if comma => {
                    self.form = Form::List { items: items + 1 };
                    self.take_object()?;
                    return Ok(true);
                }
                Some(_) if comma => return Err(self.bad("an item of the list is not an object", HELP)),
                Some(_) => return Err(self.bad("a comma is missing between two items of the list", HELP)),
            }
        }
    }

    /// Takes the list's end; nothing may follow it.
    fn end(&mut self) -> Result<bool, Vec<Problem>> {
        self.skip();
        self.skip_blanks()?;
        let follows = self.peek()?;
        if follows.is_some() {
            return Err(self.bad("something follows the end of the list", HELP));
        }
        // Nothing is left, and asking again finds nothing again.
        self.form = Form::Lines;
        self.buffer.clear();
        Ok(false)
    }

    /// Copies an object into the buffer: up to the bracket that closes the first, brackets within text not counted.
    fn take_object(&mut self) -> Result<(), Vec<Problem>> {
        self.buffer.clear();
        self.line = self.next_line;
        let mut scan = Brackets::default();
        loop {
            let chunk = match self.source.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.damaged(&error)),
            };
            if chunk.is_empty() {
                return Err(self.bad("the file ends within an item of its list", "is it cut short?"));
            }
            let end = scan.find_end(chunk);
            let taken = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or(chunk);
            self.next_line += taken.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.buffer.extend_from_slice(taken);
            let used = taken.len();
            self.source.consume(used);
            if self.buffer.len() > MAX_ROW {
                return Err(self.too_long());
            }
            if end.is_some() {
                return Ok(());
            }
        }
    }

    fn skip_blanks(&mut self) -> Result<(), Vec<Problem>> {
        while self.peek()?.is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.skip();
        }
        Ok(())
    }

    /// The next byte, which stays.
    fn peek(&mut self) -> Result<Option<u8>, Vec<Problem>> {
        loop {
            match self.source.fill_buf() {
                Ok(bytes) => {
                    let first = bytes.first().copied();
                    return Ok(first);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.damaged(&error)),
            }
        }
    }

    /// Leaves the byte that `peek` saw behind.
    fn skip(&mut self) {
        if self.source.fill_buf().is_ok_and(|bytes| bytes.first() == Some(&b'\n')) {
            self.next_line += 1;
        }
        self.source.consume(1);
    }

    fn damaged(&self, error: &std::io::Error) -> Vec<Problem> {
        let message = format!("the file cannot be read on from line {}: {error}", self.next_line);
        failure(&self.file.name, message, damage(self.file))
    }

    fn too_long(&self) -> Vec<Problem> {
        let message = match self.form {
            Form::List { items } => format!("item {items} of the list, line {}, is longer than 64 MiB", self.line),
            _ => format!("line {} is longer than 64 MiB", self.line),
        };
        failure(&self.file.name, message, "one row of a log is one comparison")
    }

    fn bad(&self, what: &str, help: &str) -> Vec<Problem> {
        failure(&self.file.name, format!("line {}: {what}", self.next_line), help)
    }
}

/// Where an object ends.
#[derive(Debug, Default)]
struct Brackets {
    depth: u64,
    in_text: bool,
    escaped: bool,
}

impl Brackets {
    /// The place after the bracket that closes the first, if it is in this chunk.
    fn find_end(&mut self, chunk: &[u8]) -> Option<usize> {
        for (at, byte) in chunk.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
