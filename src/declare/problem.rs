//! What is wrong with a document, where, and how to mend it.

use std::fmt;

/// Above this many problems of one document the rest is not collected.
const MAX_COLLECTED: usize = 1000;
/// How many problems are shown.
const MAX_SHOWN: usize = 50;
/// A line longer than this (in bytes) is not kept for the caret.
const MAX_LINE: usize = 4096;
/// How many characters of a line are shown.
const SHOWN_WIDTH: usize = 100;
/// How many characters of the line are shown before the caret when the line is cut.
const SHOWN_BEFORE: usize = 40;
/// Messages and help are wrapped at this column.
const WRAP: usize = 80;
/// How many characters of a document's own text a message repeats.
const MAX_QUOTED: usize = 60;

/// One problem, at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The document's path as written, or what was being read.
    pub file: String,
    /// 1-based line and column (in characters), where known.
    pub position: Option<(usize, usize)>,
    /// How many characters the caret line marks (at least 1).
    pub width: usize,
    /// The line of the document at `position`, for the caret.
    pub line: Option<String>,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Every problem that was found, in document order. Never empty as an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    /// A problem that has no place within a document.
    pub(super) fn without_place(file: &str, message: String, help: String) -> Problem {
        Problem { file: file.to_owned(), position: None, width: 1, line: None, message, help: Some(help) }
    }
}

/// A place within a document: where it begins, and how much of that line it marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// 1-based line.
    pub(super) line: usize,
    /// 1-based column, in characters.
    pub(super) column: usize,
    /// How many characters to mark, at least 1.
    pub(super) width: usize,
}

impl Span {
    /// The first character of a document.
    pub(super) const START: Span = Span { line: 1, column: 1, width: 1 };
}

/// Collects the problems of one document.
#[derive(Debug)]
pub(super) struct Findings<'d> {
    name: &'d str,
    lines: Vec<&'d str>,
    problems: Vec<Problem>,
    overflown: bool,
}

impl<'d> Findings<'d> {
    /// A collector for the document `name` with this text.
    pub(super) fn new(name: &'d str, text: &'d str) -> Findings<'d> {
        Findings { name, lines: lines(text), problems: Vec::new(), overflown: false }
    }

    /// Adds a problem at a place.
    pub(super) fn add(&mut self, span: Span, message: &str, help: Option<String>) {
        if self.is_full() {
            self.overflown = true;
            return;
        }
        let line = self.lines.get(span.line.saturating_sub(1)).filter(|line| line.len() <= MAX_LINE);
        self.problems.push(Problem {
            file: self.name.to_owned(),
            position: Some((span.line, span.column)),
            width: span.width,
            line: line.map(|&line| line.to_owned()),
            message: message.to_owned(),
            help,
        });
    }

    /// Whether further problems are no longer collected.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_COLLECTED
    }

    /// The problems in document order.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.position);
        if self.overflown {
            let message = format!("more than {MAX_COLLECTED} problems; the rest is not listed");
            self.problems.push(Problem::without_place(self.name, message, "mend these first".to_owned()));
        }
        self.problems
    }
}

/// The place of the character that follows this beginning of a document.
pub(super) fn place_after(beginning: &str) -> Span {
    let lines = lines(beginning);
    let last = lines.last().copied().unwrap_or_default();
    Span { line: lines.len(), column: last.chars().count() + 1, width: 1 }
}

/// The lines of a text, by YAML's line breaks.
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        lines.push(&rest[..at]);
        rest = &rest[at..];
        rest = rest.strip_prefix("\r\n").unwrap_or_else(|| &rest[1..]);
    }
    lines.push(rest);
    lines
}

/// Text of a document for a message: in backticks, and cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTED {
        return format!("`{text}`");
    }
    let start: String = text.chars().take(MAX_QUOTED - 1).collect();
    format!("`{start}…`")
}

/// Names for a message, in backticks, with commas; the first twenty-four of them.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let shown = names.by_ref().take(24).map(quoted).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(MAX_SHOWN).enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        match self.0.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "error: ")
    }
}

/// A problem that keeps nothing from going on.
struct Warning<'p>(&'p Problem);

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, "warning: ")
    }
}

impl Problem {
    /// The same as a warning, to be shown.
    pub fn as_warning(&self) -> impl fmt::Display + '_ {
        Warning(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, prefix: &str) -> fmt::Result {
        f.write_str(&wrapped(prefix, &self.message))?;
        let gutter = self.position.map_or(1, |(line, _)| line.to_string().len());
        let file = visible(&self.file);
        match self.position {
            None => write!(f, "\n{:gutter$}--> {file}", "")?,
            Some((line, column)) => write!(f, "\n{:gutter$}--> {file}:{line}:{column}", "")?,
        }
        if let (Some((number, column)), Some(line)) = (self.position, &self.line) {
            let (shown, marks) = caret(line, column, self.width);
            write!(f, "\n{:gutter$} |\n{number} | {shown}\n{:gutter$} | {marks}", "", "")?;
        }
        match &self.help {
            None => Ok(()),
            Some(help) => write!(f, "\n{}", wrapped(&format!("{:gutter$} = help: ", ""), help)),
        }
    }
}

/// Text after a prefix, wrapped, continuation lines indented by the prefix's width.
fn wrapped(prefix: &str, text: &str) -> String {
    let indent = prefix.chars().count();
    let mut out = prefix.to_owned();
    let mut column = indent;
    for word in visible(text).split(' ') {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WRAP {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out
}

/// A line and the marks below it, cut around the marked characters.
fn caret(line: &str, column: usize, width: usize) -> (String, String) {
    let total = line.chars().count();
    let at = column.saturating_sub(1).min(total);
    let first = if total > SHOWN_WIDTH { at.saturating_sub(SHOWN_BEFORE).min(total - SHOWN_WIDTH) } else { 0 };
    let mut shown = if first > 0 { "…".to_owned() } else { String::new() };
    let mut marks = " ".repeat(shown.chars().count());
    for (index, character) in line.chars().enumerate().skip(first).take(SHOWN_WIDTH) {
        let drawn = if character == '\t' { "    ".to_owned() } else { visible_character(character).to_string() };
        let mark = if index >= at && index - at < width.max(1) { "^" } else { " " };
        marks.push_str(&mark.repeat(drawn.chars().count()));
        shown.push_str(&drawn);
    }
    if first + SHOWN_WIDTH < total {
        shown.push('…');
    }
    if at >= total {
        marks.push('^');
    }
    (shown.trim_end().to_owned(), marks.trim_end().to_owned())
}

/// Text in which every character shows.
fn visible(text: &str) -> String {
    text.chars().map(visible_character).collect()
}

/// A character, or a picture of it where a terminal would obey or hide it: controls, byte-order marks,
/// bidirectional overrides, zero-width characters.
fn visible_character(character: char) -> char {
    let code = u32::from(character);
    match code {
        0..=0x1f => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        0x7f => '\u{2421}',
        0x80..=0x9f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff => char::REPLACEMENT_CHARACTER,
        _ => character,
    }
}
