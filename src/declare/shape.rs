//! The shapes of the documents: one description from which both structural validation and the JSON Schemas come.
//!
//! Owns: which keys a document may and must have, what kind of value each takes, what each means, and the two
//! readings of that description: [`check`] for a tree and [`json_schema`] for other people's tools.
//! Must never: look at two values together (that sums are 1, that names are declared); the documents' own modules do.

use super::problem::{Findings, Span, listed, quoted};
use super::yaml::{Entry, Node, Value};
use super::{audit, policy, regime, world};
use chrono::NaiveDate;
use semver::Version;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// A kind of document that `counterweight schema` describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// `counterweight/regime/v1`.
    Regime,
    /// `counterweight/policy/v1`.
    Policy,
    /// `counterweight/audit/v1`.
    Audit,
    /// `counterweight/world/v1`.
    World,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [DocumentKind; 4] =
        [DocumentKind::Regime, DocumentKind::Policy, DocumentKind::Audit, DocumentKind::World];

    /// What a document of this kind says under `schema`.
    pub fn schema(self) -> &'static str {
        match self {
            DocumentKind::Regime => "counterweight/regime/v1",
            DocumentKind::Policy => "counterweight/policy/v1",
            DocumentKind::Audit => "counterweight/audit/v1",
            DocumentKind::World => "counterweight/world/v1",
        }
    }

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            DocumentKind::Regime => "regime",
            DocumentKind::Policy => "policy",
            DocumentKind::Audit => "audit",
            DocumentKind::World => "world",
        }
    }

    /// The shape of documents of this kind.
    pub(super) fn shape(self) -> Shape {
        match self {
            DocumentKind::Regime => regime::shape(),
            DocumentKind::Policy => policy::shape(),
            DocumentKind::Audit => audit::shape(),
            DocumentKind::World => world::shape(),
        }
    }
}

/// What a value may look like.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// Text that says something, exactly as written.
    Text,
    /// One of a few words.
    Word(Words),
    /// A finite number.
    Number(Range),
    /// A whole number, at least this.
    Integer(u64),
    /// `true` or `false`.
    Flag,
    /// A day, `YYYY-MM-DD`.
    Date,
    /// A semantic version.
    SemanticVersion,
    /// A cap on weights: `none`, a percentile such as `p99.9`, or a positive number.
    Cap,
    /// A list of so many items.
    List { items: Box<Shape>, min: usize, max: Option<usize> },
    /// A mapping with known keys.
    Fields(Fields),
    /// A mapping with known keys, of which exactly one is given.
    OneOf(Fields),
    /// A mapping with at least one key, which the author chooses.
    Map(Box<Shape>),
    /// A mapping from covariates to levels, with one number beside them under a reserved key.
    Row { number: Field },
    /// A word or text, or else a list or mapping.
    Either { scalar: Box<Shape>, collection: Box<Shape> },
}

/// A few words.
#[derive(Debug, Clone)]
pub(super) struct Words {
    /// What they name, such as `check`.
    pub(super) noun: &'static str,
    /// The words.
    pub(super) allowed: Vec<String>,
    /// Words of later versions, refused with a message of their own.
    pub(super) later: &'static [&'static str],
}

/// The numbers that are allowed: from `min` (itself excluded when `above`) to `max`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) min: f64,
    pub(super) above: bool,
    pub(super) max: Option<f64>,
}

/// Known keys.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    /// What a key is, such as `key` or `check`.
    pub(super) noun: &'static str,
    /// The keys, in the order of documentation.
    pub(super) fields: Vec<Field>,
}

/// A known key.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// The key.
    pub(super) key: String,
    /// What it means.
    pub(super) about: String,
    /// What its value looks like.
    pub(super) shape: Box<Shape>,
    /// Mandatory keys have an example of what to write.
    pub(super) example: Option<&'static str>,
}

/// A key that must be given; `example` is what to write.
pub(super) fn must(key: &str, shape: Shape, about: &str, example: &'static str) -> Field {
    Field { key: key.to_owned(), about: about.to_owned(), shape: Box::new(shape), example: Some(example) }
}

/// A key that may be given.
pub(super) fn may(key: &str, shape: Shape, about: &str) -> Field {
    Field { key: key.to_owned(), about: about.to_owned(), shape: Box::new(shape), example: None }
}

/// A mapping with known keys.
pub(super) fn fields(fields: Vec<Field>) -> Shape {
    Shape::Fields(Fields { noun: "key", fields })
}

/// A mapping with exactly one of these keys.
pub(super) fn one_of(fields: Vec<Field>) -> Shape {
    Shape::OneOf(Fields { noun: "key", fields })
}

/// A mapping whose keys the author chooses.
pub(super) fn map(values: Shape) -> Shape {
    Shape::Map(Box::new(values))
}

/// A list of at least `min` items.
pub(super) fn list(items: Shape, min: usize) -> Shape {
    Shape::List { items: Box::new(items), min, max: None }
}

/// One of a few words.
pub(super) fn word(noun: &'static str, allowed: &[&str]) -> Shape {
    Shape::Word(Words { noun, allowed: allowed.iter().map(|&word| word.to_owned()).collect(), later: &[] })
}

/// A scalar, or else a list or mapping.
pub(super) fn either(scalar: Shape, collection: Shape) -> Shape {
    Shape::Either { scalar: Box::new(scalar), collection: Box::new(collection) }
}

/// A number that is at least `min`.
pub(super) fn at_least(min: f64) -> Shape {
    Shape::Number(Range { min, above: false, max: None })
}

/// A number above zero.
pub(super) fn positive() -> Shape {
    Shape::Number(Range { min: 0.0, above: true, max: None })
}

/// The `schema` key of a kind of document.
pub(super) fn schema_field(kind: DocumentKind) -> Field {
    let example = match kind {
        DocumentKind::Regime => "schema: counterweight/regime/v1",
        DocumentKind::Policy => "schema: counterweight/policy/v1",
        DocumentKind::Audit => "schema: counterweight/audit/v1",
        DocumentKind::World => "schema: counterweight/world/v1",
    };
    must("schema", word("schema", &[kind.schema()]), "The kind and version of this document.", example)
}

// ---- Structural validation ----

/// What is being checked: how messages call it, and what they point at when a key of it is missing.
#[derive(Clone)]
struct Place {
    called: String,
    owner: Span,
}

/// Checks a whole document against its kind's shape.
pub(super) fn check_document(root: &Node, kind: DocumentKind, findings: &mut Findings<'_>) {
    if let Some(entry) = root.get("schema")
        && let Some(other) = DocumentKind::ALL.iter().find(|other| Some(other.schema()) == entry.node.text())
        && *other != kind
    {
        let message =
            format!("this is a document of kind {}, where one of kind {} is wanted", other.name(), kind.name());
        findings.add(entry.node.span, &message, Some("name the right file, or mend `schema`".to_owned()));
        return;
    }
    check(root, &kind.shape(), "the document", findings);
}

/// Checks a value against a shape; `called` names the value in messages.
pub(super) fn check(node: &Node, shape: &Shape, called: &str, findings: &mut Findings<'_>) {
    check_at(node, shape, &Place { called: called.to_owned(), owner: node.span }, findings);
}

fn check_at(node: &Node, shape: &Shape, place: &Place, findings: &mut Findings<'_>) {
    if matches!(node.value, Value::Refused) {
        return;
    }
    match shape {
        Shape::Fields(known) => check_fields(node, known, shape, place, findings),
        Shape::OneOf(known) => check_one_of(node, known, shape, place, findings),
        Shape::Map(values) => check_map(node, values, shape, place, findings),
        Shape::Row { number } => check_row(node, number, shape, place, findings),
        Shape::List { items, min, max } => check_list(node, items, (*min, *max), place, findings),
        Shape::Either { scalar, collection } => {
            let is_scalar = matches!(node.value, Value::Scalar { .. });
            let same_kind = !is_scalar && collection.takes(&node.value);
            if is_scalar && !node.is_null() {
                check_at(node, scalar, place, findings);
            } else if same_kind {
                check_at(node, collection, place, findings);
            } else {
                add_wrong_kind(node, shape, place, findings);
            }
        }
        scalar => check_scalar(node, scalar, place, findings),
    }
}

fn check_list(node: &Node, items: &Shape, size: (usize, Option<usize>), place: &Place, findings: &mut Findings<'_>) {
    let (min, max) = size;
    if !matches!(node.value, Value::List(_)) {
        let shape = Shape::List { items: Box::new(items.clone()), min, max };
        return add_wrong_kind(node, &shape, place, findings);
    }
    let count = node.items().len();
    if count < min {
        let help = if min == 1 { "name at least one item".to_owned() } else { format!("name at least {min} items") };
        findings.add(place.owner, &format!("{} is empty", place.called), Some(help));
    }
    if let Some(max) = max.filter(|&max| count > max) {
        let message = format!("{} has {count} items, and at most {max} are allowed", place.called);
        findings.add(place.owner, &message, Some("delete some".to_owned()));
    }
    for item in node.items() {
        let called =
            if place.called.starts_with('`') { format!("an item of {}", place.called) } else { "an item".into() };
        check_at(item, items, &Place { called, owner: item.span }, findings);
    }
}

fn check_fields(node: &Node, known: &Fields, shape: &Shape, place: &Place, findings: &mut Findings<'_>) {
    if !is_map(node, shape, place, findings) {
        return;
    }
    add_duplicates(node, findings);
    for entry in node.entries().iter().filter(|entry| !entry.key.is_empty()) {
        match known.fields.iter().find(|field| field.key == entry.key) {
            Some(field) => check_entry(entry, &field.shape, findings),
            None => add_unknown(entry, known, place, findings),
        }
    }
    for field in &known.fields {
        if let Some(example) = field.example.filter(|_| node.get(&field.key).is_none()) {
            let message = format!("{} lacks `{}`", place.called, field.key);
            findings.add(place.owner, &message, Some(format!("add, for example, `{example}`")));
        }
    }
}

fn check_one_of(node: &Node, known: &Fields, shape: &Shape, place: &Place, findings: &mut Findings<'_>) {
    if !is_map(node, shape, place, findings) {
        return;
    }
    add_duplicates(node, findings);
    let mut given: Vec<&Entry> = Vec::new();
    for entry in node.entries().iter().filter(|entry| !entry.key.is_empty()) {
        match known.fields.iter().find(|field| field.key == entry.key) {
            Some(field) => {
                check_entry(entry, &field.shape, findings);
                if given.iter().all(|other| other.key != entry.key) {
                    given.push(entry);
                }
            }
            None => add_unknown(entry, known, place, findings),
        }
    }
    let names = listed(known.fields.iter().map(|field| field.key.as_str()));
    match given.as_slice() {
        [] if node.entries().is_empty() => {
            findings.add(
                place.owner,
                &format!("{} is empty", place.called),
                Some(format!("give exactly one of {names}")),
            );
        }
        [first, second, ..] => {
            let message = format!("{} has both `{}` and `{}`", place.called, first.key, second.key);
            findings.add(second.span, &message, Some(format!("keep exactly one of {names}")));
        }
        _ => {}
    }
}

fn check_map(node: &Node, values: &Shape, shape: &Shape, place: &Place, findings: &mut Findings<'_>) {
    if !is_map(node, shape, place, findings) {
        return;
    }
    add_duplicates(node, findings);
    if node.entries().is_empty() {
        findings.add(place.owner, &format!("{} is empty", place.called), Some("give at least one key".to_owned()));
    }
    for entry in node.entries() {
        check_entry(entry, values, findings);
    }
}

fn check_row(node: &Node, number: &Field, shape: &Shape, place: &Place, findings: &mut Findings<'_>) {
    if !is_map(node, shape, place, findings) {
        return;
    }
    add_duplicates(node, findings);
    for entry in node.entries() {
        let wanted = if entry.key == number.key { &number.shape } else { &Shape::Text };
        check_entry(entry, wanted, findings);
    }
    if node.get(&number.key).is_none() {
        let help = format!("add, for example, `{}`", number.example.unwrap_or_default());
        findings.add(place.owner, &format!("{} lacks `{}`", place.called, number.key), Some(help));
    } else if node.entries().len() < 2 {
        let help = "name a covariate and its level, such as `user_type: concise`".to_owned();
        findings.add(place.owner, &format!("{} names no covariate", place.called), Some(help));
    }
}

fn check_entry(entry: &Entry, shape: &Shape, findings: &mut Findings<'_>) {
    let place = Place { called: quoted(&entry.key), owner: entry.span };
    check_at(&entry.node, shape, &place, findings);
}

fn is_map(node: &Node, shape: &Shape, place: &Place, findings: &mut Findings<'_>) -> bool {
    let is_map = matches!(node.value, Value::Map(_));
    if !is_map {
        add_wrong_kind(node, shape, place, findings);
    }
    is_map
}

fn check_scalar(node: &Node, shape: &Shape, place: &Place, findings: &mut Findings<'_>) {
    let Value::Scalar { text, .. } = &node.value else {
        return add_wrong_kind(node, shape, place, findings);
    };
    if node.is_null() || (text.trim().is_empty() && matches!(shape, Shape::Text | Shape::Word(_))) {
        let at = if node.is_absent() { place.owner } else { node.span };
        let help = format!("write {}", shape.expects());
        return findings.add(at, &format!("{} has no value", place.called), Some(help));
    }
    match shape {
        Shape::Word(words) => check_word(node, text, words, findings),
        Shape::Number(range) => check_number(node, *range, place, findings),
        other if !other.reads(node) => add_wrong_kind(node, other, place, findings),
        _ => {}
    }
}

fn check_word(node: &Node, text: &str, words: &Words, findings: &mut Findings<'_>) {
    if words.allowed.iter().any(|word| word == text) {
        return;
    }
    let allowed = listed(words.allowed.iter().map(String::as_str));
    if words.later.contains(&text) {
        let message = format!("{} {} is not supported by this version", words.noun, quoted(text));
        let help = format!("use {allowed}, and name the columns under `columns` where they differ");
        return findings.add(node.span, &message, Some(help));
    }
    let message = format!("unknown {} {}", words.noun, quoted(text));
    findings.add(
        node.span,
        &message,
        Some(suggestion(text, words.allowed.iter().map(String::as_str), &format!("allowed: {allowed}"))),
    );
}

fn check_number(node: &Node, range: Range, place: &Place, findings: &mut Findings<'_>) {
    let Some(value) = node.number() else {
        return add_wrong_kind(node, &Shape::Number(range), place, findings);
    };
    let below = value < range.min || (range.above && value <= range.min);
    let above = range.max.is_some_and(|max| value > max);
    let wrong = if !value.is_finite() {
        "must be finite".to_owned()
    } else if below {
        format!("must be {} {}", if range.above { "above" } else { "at least" }, range.min)
    } else if above {
        format!("must be at most {}", range.max.unwrap_or(f64::INFINITY))
    } else {
        return;
    };
    let written = quoted(node.text().unwrap_or_default());
    let message = format!("{} {wrong}, not {written}", place.called);
    findings.add(node.span, &message, Some(format!("write {}", Shape::Number(range).expects())));
}

fn add_wrong_kind(node: &Node, shape: &Shape, place: &Place, findings: &mut Findings<'_>) {
    let found = match &node.value {
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Scalar { .. } if node.is_null() => "empty".to_owned(),
        Value::Scalar { text, quoted: true } => format!("the text {}", quoted(text)),
        Value::Scalar { text, .. } => quoted(text),
        Value::Refused => return,
    };
    let (at, help) = match &node.value {
        Value::Scalar { .. } if node.is_absent() => (place.owner, None),
        Value::Scalar { quoted: true, .. } if shape.wants_bare() => (node.span, Some("delete the quotes".to_owned())),
        _ => (node.span, None),
    };
    let message = format!("{} must be {}, not {found}", place.called, shape.expects());
    findings.add(at, &message, Some(help.unwrap_or_else(|| format!("write {}", shape.expects()))));
}

fn add_unknown(entry: &Entry, known: &Fields, place: &Place, findings: &mut Findings<'_>) {
    if findings.is_full() {
        return;
    }
    let within = if place.called == "the document" { String::new() } else { format!(" in {}", place.called) };
    let message = format!("unknown {} {}{within}", known.noun, quoted(&entry.key));
    let names = || known.fields.iter().map(|field| field.key.as_str());
    let allowed = format!("allowed: {}", listed(names()));
    findings.add(entry.span, &message, Some(suggestion(&entry.key, names(), &allowed)));
}

fn add_duplicates(node: &Node, findings: &mut Findings<'_>) {
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    for entry in node.entries().iter().filter(|entry| !entry.key.is_empty()) {
        match first.get(entry.key.as_str()) {
            None => {
                first.insert(&entry.key, entry.span);
            }
            Some(earlier) => {
                let help = format!("it stands at line {}, column {} already; keep one", earlier.line, earlier.column);
                findings.add(entry.span, &format!("duplicate key {}", quoted(&entry.key)), Some(help));
            }
        }
    }
}

/// `did you mean …?` when a name is close, then what is allowed.
pub(super) fn suggestion<'n>(given: &str, names: impl Iterator<Item = &'n str>, allowed: &str) -> String {
    // Bounds on what is compared, so that a hostile document cannot make this slow.
    if given.len() > 64 {
        return allowed.to_owned();
    }
    let near = |name: &str| strsim::damerau_levenshtein(given, name);
    let close = names.take(200).filter(|name| name.len() <= 64).min_by_key(|name| near(name));
    match close.filter(|name| near(name) <= name.chars().count().div_ceil(3)) {
        Some(name) => format!("did you mean `{name}`? {allowed}"),
        None => allowed.to_owned(),
    }
}

impl Shape {
    /// What is wanted, in words that follow "must be".
    fn expects(&self) -> String {
        match self {
            Shape::Text => "text".to_owned(),
            Shape::Word(words) => match words.allowed.as_slice() {
                [only] => format!("`{only}`"),
                several => format!("one of {}", listed(several.iter().map(String::as_str))),
            },
            Shape::Number(range) => range.expects(),
            Shape::Integer(min) => format!("a whole number, at least {min}"),
            Shape::Flag => "`true` or `false`".to_owned(),
            Shape::Date => "a date such as 2026-10-01".to_owned(),
            Shape::SemanticVersion => "a semantic version such as 1.0.0".to_owned(),
            Shape::Cap => "`none`, a percentile such as `p99.9`, or a positive number".to_owned(),
            Shape::List { .. } => "a list".to_owned(),
            Shape::Fields(_) | Shape::Map(_) | Shape::Row { .. } => "a mapping".to_owned(),
            Shape::OneOf(known) => {
                let names = listed(known.fields.iter().map(|field| field.key.as_str()));
                if known.fields.len() == 1 {
                    format!("a mapping with {names}")
                } else {
                    format!("a mapping with one of {names}")
                }
            }
            Shape::Either { scalar, collection } => format!("{} or {}", scalar.expects(), collection.expects()),
        }
    }

    /// Whether a list or mapping is of this shape's kind.
    fn takes(&self, value: &Value) -> bool {
        match self {
            Shape::List { .. } => matches!(value, Value::List(_)),
            Shape::Fields(_) | Shape::OneOf(_) | Shape::Map(_) | Shape::Row { .. } => matches!(value, Value::Map(_)),
            _ => false,
        }
    }

    /// Whether a scalar reads as this shape wants; words and numbers have checks of their own.
    fn reads(&self, node: &Node) -> bool {
        match self {
            Shape::Integer(min) => node.integer().is_some_and(|value| value >= *min),
            Shape::Flag => node.flag().is_some(),
            Shape::Date => node.text().and_then(date).is_some(),
            Shape::SemanticVersion => node.text().and_then(|text| Version::parse(text).ok()).is_some(),
            Shape::Cap => is_cap(node),
            _ => true,
        }
    }

    /// Whether quotes around a value would be the mistake.
    fn wants_bare(&self) -> bool {
        matches!(self, Shape::Number(_) | Shape::Integer(_) | Shape::Flag)
    }
}

impl Range {
    fn expects(&self) -> String {
        match (self.above, self.max) {
            (true, _) => format!("a number above {}", self.min),
            (false, None) => format!("a number, at least {}", self.min),
            (false, Some(max)) => format!("a number from {} to {max}", self.min),
        }
    }
}

/// A day written as `YYYY-MM-DD`, and in no other way.
pub(super) fn date(text: &str) -> Option<NaiveDate> {
    // Years of four digits alone: dates are also compared as text.
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|date| date.to_string() == text && text.len() == 10)
}

fn is_cap(node: &Node) -> bool {
    match node.number() {
        Some(value) => value.is_finite() && value > 0.0,
        None => node.text().is_some_and(|text| text == "none" || text.strip_prefix('p').is_some_and(is_percentile)),
    }
}

/// Whether text is a percentile: one or two digits, and digits after a point if there is one.
fn is_percentile(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    digits(whole) && whole.len() <= 2 && digits(fraction) && text.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

// ---- JSON Schema ----

/// The semantic-version pattern that semver.org publishes.
const SEMVER_PATTERN: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-((0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$";

/// The JSON Schema (draft 2020-12) of a document.
///
/// It says everything that can be said of one value at a time. What needs two (sums of masses, covariates that
/// `cells` does not list, duplicate keys) only the parser sees. Text may be a number or truth value there, as YAML
/// readers turn unquoted text into those.
pub fn json_schema(kind: DocumentKind) -> Json {
    let mut schema = kind.shape().schema();
    if let Json::Object(object) = &mut schema {
        object.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".to_owned(), json!(kind.schema()));
    }
    schema
}

impl Shape {
    fn schema(&self) -> Json {
        match self {
            Shape::Text => json!({"type": ["string", "number", "boolean"], "minLength": 1, "pattern": r"\S"}),
            Shape::Word(words) => json!({"enum": words.allowed}),
            Shape::Number(range) => range.schema(),
            Shape::Integer(min) => json!({"type": "integer", "minimum": min}),
            Shape::Flag => json!({"type": "boolean"}),
            Shape::Date => json!({"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}),
            Shape::SemanticVersion => json!({"type": "string", "pattern": SEMVER_PATTERN}),
            Shape::Cap => json!({"anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^(none|p\d{1,2}(\.\d+)?)$"},
            ]}),
            Shape::List { items, min, max } => {
                let mut list = json!({"type": "array", "items": items.schema(), "minItems": min});
                if let (Json::Object(object), Some(max)) = (&mut list, max) {
                    object.insert("maxItems".to_owned(), json!(max));
                }
                list
            }
            Shape::Fields(known) => known.schema(),
            Shape::OneOf(known) => with_sizes(known.schema(), 1, Some(1)),
            Shape::Map(values) => {
                with_sizes(json!({"type": "object", "additionalProperties": values.schema()}), 1, None)
            }
            Shape::Row { number } => {
                let known = Fields { noun: "key", fields: vec![number.clone()] };
                let mut row = known.schema();
                if let Json::Object(object) = &mut row {
                    object.insert("additionalProperties".to_owned(), Shape::Text.schema());
                }
                with_sizes(row, 2, None)
            }
            Shape::Either { scalar, collection } => json!({"anyOf": [scalar.schema(), collection.schema()]}),
        }
    }
}

impl Range {
    fn schema(&self) -> Json {
        let mut number = Map::new();
        number.insert("type".to_owned(), json!("number"));
        number.insert((if self.above { "exclusiveMinimum" } else { "minimum" }).to_owned(), json!(self.min));
        if let Some(max) = self.max {
            number.insert("maximum".to_owned(), json!(max));
        }
        Json::Object(number)
    }
}

impl Fields {
    fn schema(&self) -> Json {
        let mut properties = Map::new();
        for field in &self.fields {
            let mut schema = field.shape.schema();
            if let Json::Object(object) = &mut schema {
                object.insert("description".to_owned(), json!(field.about));
            }
            properties.insert(field.key.clone(), schema);
        }
        let required: Vec<&str> =
            self.fields.iter().filter(|field| field.example.is_some()).map(|field| field.key.as_str()).collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }
}

fn with_sizes(mut schema: Json, min: usize, max: Option<usize>) -> Json {
    if let Json::Object(object) = &mut schema {
        object.insert("minProperties".to_owned(), json!(min));
        if let Some(max) = max {
            object.insert("maxProperties".to_owned(), json!(max));
        }
    }
    schema
}
