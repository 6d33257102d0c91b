//! YAML text to a tree with positions.
//!
//! Owns: the YAML crate, decoding of bytes, the subset of YAML that declarations may use (one document; mappings,
//! lists and scalars; no anchors, aliases, merge keys, tags or directives), the limits on size and depth.
//! Must never: give a scalar a type. The text of a scalar is kept as written, so that `no`, `010` and `1` stay text
//! where a covariate level is wanted; what a place wants is known by the shape alone.
//!
//! The crate's event parser is used rather than its serde half: the serde half resolves scalars and stops at the
//! first duplicate key.

use super::problem::{Findings, Problem, Span, place_after};
use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError};

/// Documents above this size are not read.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Mappings and lists may be nested this deep.
pub(super) const MAX_DEPTH: usize = 64;
/// A document may have this many keys and values.
const MAX_NODES: usize = 1_000_000;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Scalars: the whole scalar. Lists and mappings: where they begin.
    pub(super) span: Span,
    /// The value.
    pub(super) value: Value,
}

/// A value without a type.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Text, and whether it was quoted (or a block scalar).
    Scalar { text: String, quoted: bool },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order written, duplicates included.
    Map(Vec<Entry>),
    /// An alias: a problem has been reported.
    Refused,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key's text.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) span: Span,
    /// The value.
    pub(super) node: Node,
}

impl Node {
    /// The value under `key`, when this is a mapping that has it (the first, when it is given twice).
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries, when this is a mapping; else none.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items, when this is a list; else none.
    pub(super) fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The text, when this is a scalar that says something: neither empty nor YAML's null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() && !text.trim().is_empty() => Some(text),
            _ => None,
        }
    }

    /// Whether this is an unquoted empty value, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, quoted: false }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Whether nothing is written where the value should stand.
    pub(super) fn is_absent(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, quoted: false } if text.is_empty())
    }

    /// The number, when this is an unquoted scalar that is one. May be infinite or NaN.
    pub(super) fn number(&self) -> Option<f64> {
        match &self.value {
            Value::Scalar { text, quoted: false } => number(text),
            _ => None,
        }
    }

    /// The whole number, when this is an unquoted scalar of digits.
    pub(super) fn integer(&self) -> Option<u64> {
        match &self.value {
            Value::Scalar { text, quoted: false } if is_decimal(text) && !text.starts_with('+') => text.parse().ok(),
            _ => None,
        }
    }

    /// The truth value, when this is an unquoted `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        match &self.value {
            Value::Scalar { text, quoted: false } => text.parse().ok(),
            _ => None,
        }
    }
}

/// A number of YAML 1.2's core schema; leading zeros (octal in YAML 1.1), hexadecimal and `1_000` are not read.
fn number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        _ if is_decimal(text) => text.parse().ok().map(|value: f64| value + 0.0),
        _ => None,
    }
}

/// Whether text is a decimal number without a leading zero before another digit.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes();
    let starts = match unsigned {
        [b'0', second, ..] => !second.is_ascii_digit(),
        [b'.', second, ..] => second.is_ascii_digit(),
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    };
    starts && unsigned.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'))
}

/// The text of a document's bytes.
pub(super) fn decode(name: &str, bytes: Vec<u8>) -> Result<String, Vec<Problem>> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let span = place_after(&String::from_utf8_lossy(valid));
        let message = "the document is not UTF-8 text".to_owned();
        let problem = Problem::without_place(name, message, "save it as UTF-8".to_owned());
        vec![Problem { position: Some((span.line, span.column)), ..problem }]
    })
}

/// The message for a document above [`MAX_BYTES`].
pub(super) fn too_large() -> String {
    format!("the document is larger than {} MiB", MAX_BYTES / 1024 / 1024)
}

/// Parses a document's text. Problems go to `findings`; `None` when there is no tree to go on with.
pub(super) fn parse(text: &str, findings: &mut Findings<'_>) -> Option<Node> {
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        findings.add(Span::START, &too_large(), Some("name a declaration, not a log".to_owned()));
        return None;
    }
    if let Some(at) = text.find(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) {
        let span = place_after(text.get(..at).unwrap_or_default());
        findings.add(span, "control characters are not allowed", Some("delete this character".to_owned()));
        return None;
    }
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder { findings, open: Vec::new(), root: None, documents: 0, nodes: 0 };
    for step in Parser::new_from_str_with_options(text, options) {
        match step {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => {
                builder.refuse(&error);
                return None;
            }
        }
    }
    let Builder { root, findings, .. } = builder;
    if root.as_ref().is_none_or(Node::is_null) {
        findings.add(Span::START, "the document is empty", Some("write it, beginning with `schema:`".to_owned()));
        return None;
    }
    root
}

/// A list or mapping that has begun and not ended.
enum Open {
    List(Span, Vec<Node>),
    Map(Span, Vec<Entry>, Option<(String, Span)>),
}

/// Builds the tree from events, without recursion.
struct Builder<'f, 'd> {
    findings: &'f mut Findings<'d>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
}

impl Builder<'_, '_> {
    /// Takes one event; `None` when there is no going on.
    fn take(&mut self, event: Event<'_>, at: granit_parser::Span) -> Option<()> {
        let span = span_of(at);
        match event {
            Event::DocumentStart(..) => self.start_document(span),
            Event::Scalar(text, style, anchor, tag) => {
                self.check_properties(anchor, tag.is_some(), at);
                let quoted = style != ScalarStyle::Plain;
                // The parser says `~` where nothing is written.
                let nothing = !quoted && at.start.index() == at.end.index();
                let text = if nothing { String::new() } else { text.into_owned() };
                self.put(Node { span, value: Value::Scalar { text, quoted } })
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.add_alias(span);
                self.put(Node { span, value: Value::Refused })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_properties(anchor, tag.is_some(), at);
                self.begin(Open::List(first_character(span), Vec::new()), span)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_properties(anchor, tag.is_some(), at);
                self.begin(Open::Map(first_character(span), Vec::new(), None), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Some(()),
        }
    }

    fn start_document(&mut self, span: Span) -> Option<()> {
        self.documents += 1;
        if self.documents > 1 {
            let help = "keep one document a file, and delete the `---` between them".to_owned();
            self.findings.add(span, "a second document begins here", Some(help));
            return None;
        }
        Some(())
    }

    fn check_properties(&mut self, anchor: usize, tagged: bool, at: granit_parser::Span) {
        if anchor != 0 {
            self.add_alias(first_character(span_of(at)));
        }
        if tagged {
            let span = at.tag_span().map_or_else(|| first_character(span_of(at)), span_of);
            self.findings.add(span, "tags are not allowed", Some("delete the tag; quote the value instead".to_owned()));
        }
    }

    fn add_alias(&mut self, span: Span) {
        let help = "write the value out wherever it is used; quote text that begins with `&` or `*`".to_owned();
        self.findings.add(span, "anchors and aliases are not allowed", Some(help));
    }

    fn begin(&mut self, open: Open, span: Span) -> Option<()> {
        if let Some(Open::Map(_, _, None)) = self.open.last() {
            let help = "write `key: value`; text with special characters goes in quotes".to_owned();
            self.findings.add(first_character(span), "a key must be text, not a list or mapping", Some(help));
            return None;
        }
        if self.open.len() >= MAX_DEPTH {
            self.add_too_deep(first_character(span));
            return None;
        }
        self.open.push(open);
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        let node = match self.open.pop()? {
            Open::List(span, items) => Node { span, value: Value::List(items) },
            Open::Map(span, entries, _) => Node { span, value: Value::Map(entries) },
        };
        self.put(node)
    }

    fn put(&mut self, node: Node) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the document has more than {MAX_NODES} keys and values");
            self.findings.add(node.span, &message, Some("declare fewer levels".to_owned()));
            return None;
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, pending)) => match pending.take() {
                Some((key, span)) => entries.push(Entry { key, span, node }),
                None => *pending = Some(key_of(node, self.findings)),
            },
        }
        Some(())
    }

    fn add_too_deep(&mut self, span: Span) {
        let message = format!("values are nested deeper than {MAX_DEPTH} levels");
        self.findings.add(span, &message, Some("no declaration needs that; check the brackets".to_owned()));
    }

    fn refuse(&mut self, error: &ScanError) {
        let marker = error.marker();
        let span = Span { line: marker.line().max(1), column: marker.col() + 1, width: 1 };
        let message = match error.kind() {
            ErrorKind::RecursionLimitExceeded => return self.add_too_deep(span),
            ErrorKind::DirectiveDisallowed => "YAML directives are not allowed".to_owned(),
            kind => format!("this is not valid YAML: {kind}"),
        };
        let help = if message.contains(" tab") {
            "indent with spaces: YAML takes no tabs there".to_owned()
        } else {
            "check the indentation, brackets and quotes here and on the line above".to_owned()
        };
        self.findings.add(span, &message, Some(help));
    }
}

/// The key that a node makes. An alias, for which a problem has been reported already, makes an empty one.
fn key_of(node: Node, findings: &mut Findings<'_>) -> (String, Span) {
    match node.value {
        Value::Scalar { text, quoted } => {
            if text.is_empty() {
                findings.add(node.span, "a key is empty", Some("write `key: value`".to_owned()));
            } else if text == "<<" && !quoted {
                let help = "write the keys out, or put `<<` in quotes".to_owned();
                findings.add(node.span, "merge keys are not allowed", Some(help));
                return (String::new(), node.span);
            }
            (text, node.span)
        }
        _ => (String::new(), node.span),
    }
}

/// The part of a parser's span that lies on its first line.
fn span_of(span: granit_parser::Span) -> Span {
    let width = if span.end.line() == span.start.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
    Span { line: span.start.line().max(1), column: span.start.col() + 1, width: width.max(1) }
}

/// Where a list or mapping begins.
fn first_character(span: Span) -> Span {
    Span { width: 1, ..span }
}
