//! A look at a log before anything is declared: which preset its columns fit, what they hold, what they were taken for.
//!
//! Owns: telling presets apart by columns, and counting what a column holds over the first rows.
//! Must never: decide what a covariate is, or keep more rows than are shown.

use super::columns::{self, Use, Wanted};
use super::convert::{as_text, is_missing};
use super::derive::{self, Derivation};
use super::files::{self, Opened};
use super::fold::{self, Piece};
use super::{Label, LogFile, Progress, failure, nested, problem, rows};
use crate::declare::{LogSpec, Preset, Problem, Problems, Role};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rows that are looked at.
const MAX_ROWS: u64 = 1 << 18;
/// A column with more different values than these has no levels.
const MAX_LEVELS: usize = 50;
/// Longer text is no level.
const MAX_LEVEL_BYTES: usize = 80;
/// First rows that are kept.
const FIRST: usize = 3;
/// Unknown labels that are kept.
const MAX_UNKNOWN: usize = 5;

/// What a look at a log shows.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The log as written.
    pub path: String,
    /// Its files.
    pub files: Vec<LogFile>,
    /// The preset that its columns fit; `None` where they fit none (the canonical one was then used).
    pub preset: Option<Preset>,
    /// Rows that were looked at.
    pub rows: u64,
    /// Whether the log has more.
    pub more: bool,
    /// The columns of its files, in the order of the first file that has them.
    pub columns: Vec<InspectedColumn>,
    /// The column taken for each role; some are made of others.
    pub mapped: BTreeMap<Role, String>,
    /// Columns that can be made of others, by name.
    pub made: BTreeSet<String>,
    /// The labels, as the preset reads them.
    pub labels: LabelTally,
}

/// What a column holds.
#[derive(Debug, Clone)]
pub struct InspectedColumn {
    /// Its name.
    pub name: String,
    /// `text`, `integer`, `number`, `boolean`, `list or object`, `nothing`, or the Parquet type.
    pub kind: String,
    /// Rows without a value.
    pub missing: u64,
    /// Its values and how often each occurs; `None` where they are many, long, or nested.
    pub levels: Option<BTreeMap<String, u64>>,
    /// What it was taken for: roles of its own, and those that are made of it.
    pub taken_for: Vec<String>,
    /// Its values in the first rows.
    pub first: Vec<Option<String>>,
}

/// Labels, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelTally {
    /// a is preferred.
    pub a: u64,
    /// b is preferred.
    pub b: u64,
    /// Neither.
    pub tie: u64,
    /// No answer.
    pub abstain: u64,
    /// A probability that a is preferred.
    pub soft: u64,
    /// Rows without a label.
    pub missing: u64,
    /// Rows with a label that is none.
    pub unknown: u64,
    /// Some of those labels.
    pub unknown_words: BTreeSet<String>,
}

/// Looks at a log: a file, a glob or a folder relative to `folder`.
///
/// The first 262,144 rows are read, every column of them.
///
/// # Errors
/// No such file, one that cannot be read, no rows, rows that hold no pairs.
pub fn inspect(
    folder: &Path,
    path: &str,
    preset: Option<Preset>,
    progress: &dyn Progress,
) -> Result<Inspection, Problems> {
    let mut problems = Vec::new();
    let (files, opened) = files::open_all(folder, path, &mut problems);
    let names = names(&opened);
    let available: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    if problems.is_empty() && !opened.iter().any(|opened| opened.has_rows) {
        problems.extend(failure(path, "the log holds no rows", "an audit needs at least one comparison"));
    }
    let found = preset.or_else(|| detect(&available, derive::is_listed(&files)));
    if problems.is_empty() && found.is_none() {
        problems.extend(no_pairs(path, &available));
    }
    let spec = spec(path, found.unwrap_or(Preset::Canonical));
    let (mapped, derivation) = columns::mapped(&spec, &files, &opened, &mut problems);
    problems.extend(unlike(&files, &opened, &mapped, &derivation));
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let label = mapped.get(&Role::Label);
    let wanted: Wanted = names.iter().chain(label).map(|name| (name.clone(), Use::Whole)).collect();
    let source = fold::Source::new(&files, &opened, wanted).deriving(&derivation).first_rows(MAX_ROWS);
    let new = || Tally { columns: vec![Counted::default(); names.len()], ..Tally::default() };
    let work = |tally: &mut Tally, piece: &Piece<'_>| tally.add(piece, &names, label, &spec);
    let tally = fold::fold(&source, "looking at the log", progress, &new, &work, &mut Tally::merge)?;
    let total: Option<u64> = files.iter().map(|file| file.rows).sum();
    let taken = taken(&mapped, &derivation);
    let columns = names.iter().zip(tally.columns).map(|(name, counted)| InspectedColumn {
        name: name.clone(),
        kind: data_type(&opened, name).unwrap_or_else(|| counted.kind()),
        missing: counted.missing + (tally.rows - counted.rows),
        levels: (!counted.many && !counted.nested).then_some(counted.levels),
        taken_for: taken.get(name).cloned().unwrap_or_default(),
        first: counted.first,
    });
    Ok(Inspection {
        path: path.to_owned(),
        preset: found,
        rows: tally.rows,
        more: total.map_or(tally.rows >= MAX_ROWS, |total| total > tally.rows),
        columns: columns.collect(),
        made: derivation.names().map(str::to_owned).collect(),
        mapped,
        labels: tally.labels,
        files,
    })
}

/// The preset that these columns fit; `listed` says that a `dataset_info.json` names the log.
fn detect(available: &BTreeSet<&str>, listed: bool) -> Option<Preset> {
    let has = |names: &[&str]| names.iter().all(|name| available.contains(name));
    let pairs = has(&["chosen", "rejected"]);
    let tests = [
        (Preset::Llamafactory, listed),
        (Preset::Arena, has(&["model_a", "model_b", "winner"]) || has(&["model_a", "model_b", "winner_model_a"])),
        (Preset::Helpsteer3, has(&["response1", "response2", "overall_preference"])),
        (Preset::Ultrafeedback, pairs && has(&["score_chosen", "score_rejected"])),
        (Preset::Llamafactory, pairs && (has(&["conversations"]) || has(&["instruction"]))),
        (Preset::Openrlhf, pairs && has(&["margin"])),
        (Preset::Trl, pairs),
        (Preset::Canonical, has(&["label"]) && (has(&["response_a", "response_b"]) || has(&["propensity"]))),
    ];
    tests.into_iter().find(|(_, fits)| *fits).map(|(preset, _)| preset)
}

/// Formats that hold no comparisons are told so at once.
fn no_pairs(path: &str, available: &BTreeSet<&str>) -> Vec<Problem> {
    let unpaired = available.contains("completion") && available.contains("label");
    let help =
        "an audit is of comparisons: two responses to one prompt, and which was preferred. Log or join the pairs first";
    if unpaired {
        failure(path, "this log judges single completions (prompt, completion, label), not pairs", help)
    } else {
        Vec::new()
    }
}

/// An audit document's `logs` with nothing but a preset.
fn spec(path: &str, preset: Preset) -> LogSpec {
    LogSpec {
        path: path.to_owned(),
        preset,
        columns: BTreeMap::new(),
        log_propensity_parts: Vec::new(),
        chosen: preset.chosen_and_rejected().map(|(chosen, rejected)| (chosen.to_owned(), rejected.to_owned())),
        labels: preset.labels(),
        cluster: Vec::new(),
        responses: None,
        target_sample: None,
        selection: None,
    }
}

fn names(opened: &[Opened]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    opened.iter().flat_map(|opened| &opened.columns).filter(|name| seen.insert(name.as_str())).cloned().collect()
}

/// Files that lack columns which the log has, or have one twice: one problem a file. A folder may hold other things than its log.
fn unlike(
    files: &[LogFile],
    opened: &[Opened],
    mapped: &BTreeMap<Role, String>,
    derivation: &Derivation,
) -> Vec<Problem> {
    let needed: BTreeSet<String> = mapped
        .values()
        .flat_map(|column| if derivation.makes(column) { derivation.sources(column) } else { vec![column.clone()] })
        .collect();
    let of_file = |(file, opened): (&LogFile, &Opened)| {
        let missing: Vec<String> = needed
            .iter()
            .filter(|column| !opened.columns.contains(column))
            .map(|column| format!("`{}`", columns::shortened(column)))
            .collect();
        let message = format!("this file has no {}, which the log is read by", missing.join(", "));
        let help = if files.len() > 1 {
            "one log is files of one kind: name them alone, as one file, a glob such as `logs-*.parquet` or a folder of their own"
        } else {
            "name another file, or mend what says which columns it has"
        };
        let twice = needed.iter().find(|column| opened.columns.iter().filter(|name| name == column).count() > 1);
        match twice {
            _ if !missing.is_empty() => Some(problem(&file.name, message, help)),
            Some(column) => {
                let message = format!("two columns are called `{}`", columns::shortened(column));
                Some(problem(&file.name, message, "rename one of them"))
            }
            None => None,
        }
    };
    files.iter().zip(opened).filter(|(_, opened)| !opened.columns.is_empty()).filter_map(of_file).collect()
}

/// What each column was taken for: roles of its own, and those that are made of it.
fn taken(mapped: &BTreeMap<Role, String>, derivation: &Derivation) -> BTreeMap<String, Vec<String>> {
    let mut taken: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (role, column) in mapped {
        let columns = if derivation.makes(column) { derivation.sources(column) } else { vec![column.clone()] };
        columns.into_iter().for_each(|column| taken.entry(column).or_default().push(role.name().to_owned()));
    }
    taken
}

/// The type in words, where the file says it.
fn data_type(opened: &[Opened], name: &str) -> Option<String> {
    let of_file = |opened: &Opened| opened.footer.as_ref()?.data_type(name).cloned();
    Some(words(&opened.iter().find_map(of_file)?))
}

fn words(data_type: &DataType) -> String {
    match data_type {
        DataType::Dictionary(_, value) => words(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        integer if integer.is_integer() => "integer".to_owned(),
        number if number.is_numeric() => "number".to_owned(),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => "time".to_owned(),
        nested if nested.is_nested() => "list or object".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// What is counted of the rows.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    columns: Vec<Counted>,
    labels: LabelTally,
}

/// What is counted of a column.
#[derive(Debug, Default, Clone)]
struct Counted {
    rows: u64,
    missing: u64,
    levels: BTreeMap<String, u64>,
    many: bool,
    nested: bool,
    not_integer: bool,
    not_number: bool,
    not_boolean: bool,
    first: Vec<Option<String>>,
}

impl Tally {
    fn add(
        &mut self,
        piece: &Piece<'_>,
        names: &[String],
        label: Option<&String>,
        spec: &LogSpec,
    ) -> Result<(), Vec<Problem>> {
        let failed = |name: &str, error: &ArrowError| {
            let message = format!("column `{name}` cannot be read, in rows from {} on: {error}", piece.row_in_file + 1);
            failure(&piece.file.name, message, "")
        };
        self.rows += piece.batch.num_rows() as u64;
        for (name, counted) in names.iter().zip(&mut self.columns) {
            let Some(array) = piece.batch.column_by_name(name) else { continue };
            counted.add(array).map_err(|error| failed(name, &error))?;
        }
        if let Some((name, array)) = label.and_then(|name| Some((name, piece.batch.column_by_name(name)?))) {
            let texts = texts(array).map_err(|error| failed(name, &error))?;
            texts.iter().for_each(|text| self.labels.add(text.as_deref(), spec));
        }
        Ok(())
    }

    fn merge(&mut self, other: Tally) {
        self.rows += other.rows;
        self.columns.iter_mut().zip(other.columns).for_each(|(own, other)| own.merge(other));
        let (own, other) = (&mut self.labels, other.labels);
        own.a += other.a;
        own.b += other.b;
        own.tie += other.tie;
        own.abstain += other.abstain;
        own.soft += other.soft;
        own.missing += other.missing;
        own.unknown += other.unknown;
        own.unknown_words.extend(other.unknown_words);
        while own.unknown_words.len() > MAX_UNKNOWN {
            own.unknown_words.pop_last();
        }
    }
}

impl LabelTally {
    fn add(&mut self, text: Option<&str>, spec: &LogSpec) {
        let Some(text) = text else {
            self.missing += 1;
            return;
        };
        match rows::text_label(text, spec.labels.as_ref()) {
            (Label::A, _) => self.a += 1,
            (Label::B, _) => self.b += 1,
            (Label::Tie, _) => self.tie += 1,
            (Label::Abstain, _) => self.abstain += 1,
            (Label::Soft(_), _) => self.soft += 1,
            (Label::Invalid, _) => {
                self.unknown += 1;
                if self.unknown_words.len() < MAX_UNKNOWN {
                    self.unknown_words.insert(columns::shortened(text));
                }
            }
        }
    }
}

impl Counted {
    fn add(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        for text in texts(array)? {
            self.rows += 1;
            if self.first.len() < FIRST {
                self.first.push(text.clone());
            }
            let Some(text) = text else {
                self.missing += 1;
                continue;
            };
            self.nested |= array.data_type().is_nested() && !matches!(array.data_type(), DataType::Dictionary(..));
            self.nested |= is_json(&text);
            self.not_boolean |= !matches!(text.as_str(), "true" | "false");
            self.not_integer = self.not_integer || text.trim().parse::<i64>().is_err();
            self.not_number = self.not_number || text.trim().parse::<f64>().is_err();
            self.count(text, 1);
        }
        Ok(())
    }

    fn count(&mut self, level: String, rows: u64) {
        if self.many {
            return;
        }
        self.many = level.len() > MAX_LEVEL_BYTES;
        if !self.many {
            *self.levels.entry(level).or_default() += rows;
            self.many = self.levels.len() > MAX_LEVELS;
        }
        if self.many {
            self.levels.clear();
        }
    }

    fn merge(&mut self, other: Counted) {
        self.rows += other.rows;
        self.missing += other.missing;
        self.many |= other.many;
        self.nested |= other.nested;
        self.not_integer |= other.not_integer;
        self.not_number |= other.not_number;
        self.not_boolean |= other.not_boolean;
        other.levels.into_iter().for_each(|(level, rows)| self.count(level, rows));
        let wanted = FIRST.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(wanted));
    }

    /// What the texts look like, where the file does not say it.
    fn kind(&self) -> String {
        let kind = if self.rows == self.missing {
            "nothing"
        } else if self.nested {
            "list or object"
        } else if !self.not_boolean {
            "boolean"
        } else if !self.not_integer {
            "integer"
        } else if !self.not_number {
            "number"
        } else {
            "text"
        };
        kind.to_owned()
    }
}

/// Whether a text is how NDJSON hands on a list or an object.
fn is_json(text: &str) -> bool {
    text.starts_with(['[', '{']) && serde_json::from_str::<serde_json::Value>(text).is_ok()
}

/// Every row's value as text.
fn texts(array: &ArrayRef) -> Result<Vec<Option<String>>, ArrowError> {
    if array.data_type().is_nested() && !matches!(array.data_type(), DataType::Dictionary(..)) {
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        return Ok(nested::values(array)?.into_iter().map(|value| value.map(text)).collect());
    }
    let plain = cast(&as_text(array)?, &DataType::Utf8)?;
    let present = |text: &str| (!is_missing(text)).then(|| text.to_owned());
    Ok(plain.as_string::<i32>().iter().map(|text| text.and_then(present)).collect())
}
