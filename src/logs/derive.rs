//! Columns made of others: where a source keeps a comparison in another form than an ordered pair and a label.
//!
//! Owns: what is made of which columns, and making it for a decoded batch. Nothing else in `logs` knows of presets'
//! forms: to the rest a made column is a column.
//! Must never: let the label decide the order of a pair.
//!
//! **Chosen and rejected.** The order of the two responses is decided by a hash of the prompt and each response, the
//! smaller first: which of them was preferred does not enter, so that `a` says nothing about the winner, and the same
//! two responses come in the same order wherever they appear. Columns in pairs whose names differ in `chosen` and
//! `rejected` alone (`score_chosen` and `score_rejected`, `ref_chosen_logps` and `ref_rejected_logps`) are to be had in
//! that order too, as `score_a` and `score_b`, `ref_a_logps` and `ref_b_logps`.

use super::columns::{Use, Wanted};
use super::fold::Piece;
use super::{LogFile, failure, nested, problem};
use crate::declare::{
    LogSpec, MADE_LABEL, MADE_PROMPT, MADE_RESPONSE_A, MADE_RESPONSE_B, Preset, Problem, Role, WHOLE_LOG,
};
use arrow::array::{Array, ArrayRef, StringArray, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What the hash that decides an order begins with: its seed.
const SEED: &str = "counterweight/side/v1";

/// The one level of [`WHOLE_LOG`].
const EVERY_ROW: &str = "all";

/// A larger `dataset_info.json` is none.
const MAX_INFO: u64 = 16 << 20;

/// The columns that can be made, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Derivation {
    made: BTreeMap<String, Made>,
    forms: Forms,
}

/// In which forms the source keeps comparisons.
#[derive(Debug, Clone, Default)]
struct Forms {
    /// A preferred and a rejected response.
    chosen: Option<Chosen>,
    /// Two conversations.
    conversations: Option<(String, String)>,
    /// One column each for a, b and tie.
    one_hot: Option<[String; 3]>,
    /// A prompt that is a list of messages.
    context: Option<String>,
}

/// Where a preferred and a rejected response are.
#[derive(Debug, Clone)]
struct Chosen {
    /// The prompt's columns, one after the other; none where the prompt is what the two begin with alike.
    prompt: Vec<String>,
    chosen: String,
    rejected: String,
    /// The scores of the two: equal ones are a tie.
    scores: Option<(String, String)>,
}

/// One column that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Made {
    /// A part of the comparison.
    Part(Part),
    /// One of a pair of columns of the chosen and the rejected response.
    Ordered { chosen: String, rejected: String, slot: Slot },
    /// The same value in every row.
    Constant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Prompt,
    A,
    B,
    Label,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    A,
    B,
}

/// One row's comparison.
#[derive(Debug, Clone, Default)]
struct Comparison {
    prompt: Option<String>,
    a: Option<String>,
    b: Option<String>,
    label: Option<&'static str>,
    /// Whether a is the chosen response; `None` where the source keeps none, or this row lacks one.
    chosen_is_a: Option<bool>,
}

impl Derivation {
    /// What can be made of these columns.
    ///
    /// Problems: a `dataset_info.json` that cannot be read, or that says that the log holds no pairs.
    pub(super) fn new(
        spec: &LogSpec,
        files: &[LogFile],
        available: &BTreeSet<&str>,
        problems: &mut Vec<Problem>,
    ) -> Derivation {
        let mut derivation = Derivation::default();
        let has = |name: &str| available.contains(name);
        if let Some((chosen, rejected)) = &spec.chosen {
            let mut chosen = Chosen {
                prompt: spec.columns.get(&Role::Prompt).cloned().into_iter().collect(),
                chosen: chosen.clone(),
                rejected: rejected.clone(),
                scores: None,
            };
            if chosen.prompt.is_empty() {
                chosen.prompt = prompt_columns(spec.preset, available);
            }
            if spec.preset == Preset::Llamafactory {
                dataset_info(files, &mut chosen, problems);
            }
            if spec.preset == Preset::Ultrafeedback && has("score_chosen") && has("score_rejected") {
                chosen.scores = Some(("score_chosen".to_owned(), "score_rejected".to_owned()));
            }
            derivation.add_ordered(&chosen, available);
            derivation.add_parts(&[Part::Prompt, Part::A, Part::B, Part::Label]);
            derivation.forms.chosen = Some(chosen);
        }
        if spec.preset == Preset::Arena {
            derivation.add_arena(available);
        }
        if spec.preset == Preset::Helpsteer3 && has("context") {
            derivation.forms.context = Some("context".to_owned());
            derivation.add_parts(&[Part::Prompt]);
        }
        if !has(WHOLE_LOG) {
            derivation.made.insert(WHOLE_LOG.to_owned(), Made::Constant);
        }
        derivation
    }

    fn add_parts(&mut self, parts: &[Part]) {
        self.made.extend(parts.iter().map(|part| (part.name().to_owned(), Made::Part(*part))));
    }

    fn add_arena(&mut self, available: &BTreeSet<&str>) {
        let has = |name: &str| available.contains(name);
        if has("conversation_a") && has("conversation_b") {
            self.forms.conversations = Some(("conversation_a".to_owned(), "conversation_b".to_owned()));
            self.add_parts(&[Part::Prompt, Part::A, Part::B]);
        }
        let one_hot = ["winner_model_a", "winner_model_b", "winner_tie"];
        if !has("winner") && one_hot.iter().all(|name| has(name)) {
            self.forms.one_hot = Some(one_hot.map(str::to_owned));
            self.add_parts(&[Part::Label]);
        }
    }

    /// The pairs of columns whose names differ in `chosen` and `rejected` alone.
    fn add_ordered(&mut self, form: &Chosen, available: &BTreeSet<&str>) {
        for chosen in available.iter().filter(|name| name.contains("chosen") && **name != form.chosen) {
            let rejected = chosen.replace("chosen", "rejected");
            if !available.contains(rejected.as_str()) {
                continue;
            }
            for (slot, letter) in [(Slot::A, "a"), (Slot::B, "b")] {
                let name = chosen.replace("chosen", letter);
                if !available.contains(name.as_str()) {
                    let made = Made::Ordered { chosen: (*chosen).to_owned(), rejected: rejected.clone(), slot };
                    self.made.insert(name, made);
                }
            }
        }
    }

    /// The names of what can be made.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.made.keys().map(String::as_str)
    }

    /// Whether a column of this name is made of others.
    pub(super) fn makes(&self, name: &str) -> bool {
        self.made.contains_key(name)
    }

    /// The columns that a made one is made of.
    pub(super) fn sources(&self, name: &str) -> Vec<String> {
        match self.made.get(name) {
            None | Some(Made::Constant) => Vec::new(),
            Some(Made::Part(part)) => self.forms.sources(*part),
            Some(Made::Ordered { chosen, rejected, .. }) => {
                let mut sources = self.forms.sources(Part::A);
                sources.extend([chosen.clone(), rejected.clone()]);
                sources
            }
        }
    }

    /// The columns to decode for the wanted ones, and which of those are then to be made.
    pub(super) fn split(&self, wanted: Wanted) -> (Wanted, Vec<String>) {
        let (made, mut decoded): (Wanted, Wanted) = wanted.into_iter().partition(|(name, _)| self.makes(name));
        let made: Vec<String> = made.into_keys().collect();
        for source in made.iter().flat_map(|name| self.sources(name)) {
            let how = decoded.entry(source).or_insert(Use::Whole);
            if *how == Use::Presence {
                *how = Use::Whole;
            }
        }
        (decoded, made)
    }

    /// The piece with these columns made.
    ///
    /// # Errors
    /// Columns of a type that has no text form.
    pub(super) fn apply<'a>(&self, made: &[String], piece: &Piece<'a>) -> Result<Piece<'a>, Vec<Problem>> {
        let failed = |error: &ArrowError| {
            let message = format!("the rows from {} on cannot be read: {error}", piece.row_in_file + 1);
            failure(&piece.file.name, message, "")
        };
        let batch = self.batch(made, &piece.batch).map_err(|error| failed(&error))?;
        Ok(Piece { file: piece.file, first_row: piece.first_row, row_in_file: piece.row_in_file, batch })
    }

    fn batch(&self, made: &[String], batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = batch.num_rows();
        let constant = |made: &Made| *made == Made::Constant;
        let comparisons = if made.iter().filter_map(|name| self.made.get(name)).all(constant) {
            Vec::new()
        } else {
            self.forms.comparisons(batch)?
        };
        let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
        let mut columns = batch.columns().to_vec();
        for (name, made) in made.iter().filter_map(|name| self.made.get_key_value(name)) {
            let column = match made {
                Made::Constant => Arc::new(StringArray::from(vec![EVERY_ROW; rows])) as ArrayRef,
                Made::Part(part) => part.of(&comparisons),
                Made::Ordered { chosen, rejected, slot } => ordered(batch, chosen, rejected, *slot, &comparisons)?,
            };
            fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
            columns.push(column);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Prompt => MADE_PROMPT,
            Part::A => MADE_RESPONSE_A,
            Part::B => MADE_RESPONSE_B,
            Part::Label => MADE_LABEL,
        }
    }

    fn of(self, comparisons: &[Comparison]) -> ArrayRef {
        let value = |comparison: &Comparison| match self {
            Part::Prompt => comparison.prompt.clone(),
            Part::A => comparison.a.clone(),
            Part::B => comparison.b.clone(),
            Part::Label => comparison.label.map(str::to_owned),
        };
        Arc::new(comparisons.iter().map(value).collect::<StringArray>())
    }
}

impl Forms {
    fn sources(&self, part: Part) -> Vec<String> {
        let mut sources = Vec::new();
        if let Some(Chosen { prompt, chosen, rejected, scores }) = &self.chosen {
            sources.extend(prompt.iter().chain([chosen, rejected]).cloned());
            sources.extend(scores.iter().filter(|_| part == Part::Label).flat_map(|(a, b)| [a.clone(), b.clone()]));
        }
        if let Some((a, b)) = self.conversations.as_ref().filter(|_| part != Part::Label) {
            sources.extend([a.clone(), b.clone()]);
        }
        if let Some(one_hot) = self.one_hot.as_ref().filter(|_| part == Part::Label) {
            sources.extend(one_hot.iter().cloned());
        }
        sources.extend(self.context.iter().filter(|_| part == Part::Prompt).cloned());
        sources
    }

    /// Every row's comparison, as far as the batch has the columns for it.
    fn comparisons(&self, batch: &RecordBatch) -> Result<Vec<Comparison>, ArrowError> {
        let mut comparisons = vec![Comparison::default(); batch.num_rows()];
        if let Some(chosen) = &self.chosen {
            chosen.fill(batch, &mut comparisons)?;
        }
        if let Some((a, b)) = &self.conversations
            && let (Some(a), Some(b)) = (batch.column_by_name(a), batch.column_by_name(b))
        {
            let sides = nested::values(a)?.into_iter().zip(nested::values(b)?);
            for (comparison, (a, b)) in comparisons.iter_mut().zip(sides) {
                let (Some(a), Some(b)) = (a, b) else { continue };
                let (prompt, a, b) = split_off_prompt(a, b);
                (comparison.prompt, comparison.a, comparison.b) = (prompt, Some(text(a)), Some(text(b)));
            }
        }
        if let Some(one_hot) = &self.one_hot {
            let columns: Option<Vec<&ArrayRef>> = one_hot.iter().map(|name| batch.column_by_name(name)).collect();
            let columns: Vec<Vec<Option<Value>>> =
                columns.unwrap_or_default().into_iter().map(nested::values).collect::<Result<_, _>>()?;
            for (row, comparison) in comparisons.iter_mut().enumerate() {
                let set: Vec<bool> = columns.iter().map(|column| column[row].as_ref().is_some_and(is_set)).collect();
                comparison.label = match set.as_slice() {
                    [true, false, false] => Some("model_a"),
                    [false, true, false] => Some("model_b"),
                    [false, false, true] => Some("tie"),
                    _ => None,
                };
            }
        }
        if let Some(column) = self.context.as_ref().and_then(|name| batch.column_by_name(name)) {
            for (comparison, value) in comparisons.iter_mut().zip(nested::values(column)?) {
                comparison.prompt = value.map(text);
            }
        }
        Ok(comparisons)
    }
}

impl Chosen {
    fn fill(&self, batch: &RecordBatch, comparisons: &mut [Comparison]) -> Result<(), ArrowError> {
        let values = |name: &String| batch.column_by_name(name).map(nested::values).transpose();
        let (Some(chosen), Some(rejected)) = (values(&self.chosen)?, values(&self.rejected)?) else { return Ok(()) };
        let prompts: Vec<Vec<Option<Value>>> =
            self.prompt.iter().filter_map(|name| values(name).transpose()).collect::<Result<_, _>>()?;
        let scores = match &self.scores {
            Some((chosen, rejected)) => values(chosen)?.zip(values(rejected)?),
            None => None,
        };
        for (row, (comparison, pair)) in comparisons.iter_mut().zip(chosen.into_iter().zip(rejected)).enumerate() {
            let (Some(chosen), Some(rejected)) = pair else { continue };
            let (prompt, chosen, rejected) = if self.prompt.is_empty() {
                split_off_prompt(chosen, rejected)
            } else {
                let parts: Vec<String> = prompts
                    .iter()
                    .filter_map(|column| column[row].clone())
                    .map(text)
                    .filter(|t| !t.is_empty())
                    .collect();
                ((!parts.is_empty()).then(|| parts.join("\n")), chosen, rejected)
            };
            let tied = scores.as_ref().is_some_and(|(chosen, rejected)| same_score(&chosen[row], &rejected[row]));
            *comparison = in_order(prompt, text(chosen), text(rejected), tied);
        }
        Ok(())
    }
}

/// The ordered pair of a chosen and a rejected response. Two responses that are the same text are a tie, whatever the
/// source says: nothing was preferred to anything.
fn in_order(prompt: Option<String>, chosen: String, rejected: String, tied: bool) -> Comparison {
    let key = |response: &str| order_key(prompt.as_deref().unwrap_or(""), response);
    let (of_chosen, of_rejected) = (key(&chosen), key(&rejected));
    let chosen_is_a = of_chosen <= of_rejected;
    let label = match (tied || chosen == rejected, chosen_is_a) {
        (true, _) => "tie",
        (false, true) => "a",
        (false, false) => "b",
    };
    let (a, b) = if chosen_is_a { (chosen, rejected) } else { (rejected, chosen) };
    Comparison { prompt, a: Some(a), b: Some(b), label: Some(label), chosen_is_a: Some(chosen_is_a) }
}

/// What decides a response's place: it depends on the prompt and the response alone.
fn order_key(prompt: &str, response: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(SEED);
    hash.update((prompt.len() as u64).to_le_bytes());
    hash.update(prompt);
    hash.update(response);
    hash.finalize().into()
}

/// What two texts, or two lists of messages, begin with alike is the prompt; the rest of each is the response. As TRL's
/// `extract_prompt` does it: text goes back one character where that is a space, and where one is the beginning of the
/// other, its last character (or message) still belongs to the response. Without a common beginning, or where the two
/// are of different kinds, there is no prompt.
fn split_off_prompt(a: Value, b: Value) -> (Option<String>, Value, Value) {
    match (a, b) {
        (Value::String(a), Value::String(b)) => {
            let at = common_beginning(&a, &b);
            let prompt = a.get(..at).filter(|prompt| !prompt.is_empty()).map(str::to_owned);
            let rest = |text: &str| Value::String(text.get(at..).unwrap_or_default().to_owned());
            (prompt, rest(&a), rest(&b))
        }
        (Value::Array(mut a), Value::Array(mut b)) => {
            let alike = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            let at = alike.min(a.len().min(b.len()).saturating_sub(1));
            let (rest_a, rest_b) = (a.split_off(at), b.split_off(at));
            let prompt = (!a.is_empty()).then(|| text(Value::Array(a)));
            (prompt, Value::Array(rest_a), Value::Array(rest_b))
        }
        (a, b) => (None, a, b),
    }
}

/// The byte at which two texts' common beginning ends.
fn common_beginning(a: &str, b: &str) -> usize {
    let both = || a.chars().zip(b.chars());
    let mut alike: usize = both().take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    if alike == a.len().min(b.len()) {
        let last = a[..alike].chars().next_back().map_or(0, char::len_utf8);
        return alike - last;
    }
    if a[..alike].ends_with(' ') {
        alike -= 1;
    }
    alike
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn is_set(value: &Value) -> bool {
    *value == Value::Bool(true) || number(value) == Some(1.0) || value.as_str() == Some("true")
}

/// Whether both scores are there and equal. Scores that are not there tie nothing.
fn same_score(chosen: &Option<Value>, rejected: &Option<Value>) -> bool {
    let score = |value: &Option<Value>| value.as_ref().and_then(number);
    score(chosen).zip(score(rejected)).is_some_and(|(chosen, rejected)| chosen.total_cmp(&rejected).is_eq())
}

/// One of two columns, row by row: that of the response in this slot.
fn ordered(
    batch: &RecordBatch,
    chosen: &str,
    rejected: &str,
    slot: Slot,
    comparisons: &[Comparison],
) -> Result<ArrayRef, ArrowError> {
    let column = |name: &str| {
        let missing = || ArrowError::SchemaError(format!("column `{name}` was there and is gone"));
        batch.column_by_name(name).cloned().ok_or_else(missing)
    };
    let (mut chosen, mut rejected) = (column(chosen)?, column(rejected)?);
    if chosen.data_type() != rejected.data_type() {
        let plain = |array: &ArrayRef| super::convert::strict_cast(array, &DataType::Utf8);
        (chosen, rejected) = (plain(&chosen)?, plain(&rejected)?);
    }
    let nothing = new_null_array(chosen.data_type(), 1);
    let of_row = |(row, comparison): (usize, &Comparison)| match comparison.chosen_is_a {
        None => (2, 0),
        Some(chosen_is_a) => (usize::from(chosen_is_a != (slot == Slot::A)), row),
    };
    let indices: Vec<(usize, usize)> = comparisons.iter().enumerate().map(of_row).collect();
    interleave(&[&chosen, &rejected, &nothing], &indices)
}

/// The columns that hold the prompt where the audit document names none.
fn prompt_columns(preset: Preset, available: &BTreeSet<&str>) -> Vec<String> {
    let sets: &[&[&str]] = match preset {
        Preset::Llamafactory => &[&["conversations"], &["instruction", "input"], &["prompt"]],
        _ => &[&["prompt"]],
    };
    let present = |set: &&[&str]| -> Vec<String> {
        set.iter().filter(|name| available.contains(**name)).map(|name| (*name).to_owned()).collect()
    };
    sets.iter().map(present).find(|columns| !columns.is_empty()).unwrap_or_default()
}

/// Whether the `dataset_info.json` beside the log names the log's file.
pub(super) fn is_listed(files: &[LogFile]) -> bool {
    matches!(info(files), Ok(Some(_)))
}

/// What the `dataset_info.json` beside the log says of the log's file, if it is there and says anything.
fn info(files: &[LogFile]) -> Result<Option<Value>, String> {
    let Some(file) = files.first() else { return Ok(None) };
    let path = file.path.parent().unwrap_or(Path::new("")).join(super::files::DATA_SETS);
    let (true, Some(name)) = (path.is_file(), file.path.file_name().and_then(|name| name.to_str())) else {
        return Ok(None);
    };
    let all = read_info(&path)?;
    let is_it = |entry: &&Value| entry.get("file_name").and_then(Value::as_str) == Some(name);
    Ok(all.as_object().and_then(|all| all.values().find(is_it).cloned()))
}

/// Takes the columns' names from the `dataset_info.json` beside the log, if it names the log's file.
fn dataset_info(files: &[LogFile], form: &mut Chosen, problems: &mut Vec<Problem>) {
    let name = files.first().map_or("", |file| &file.name);
    let entry = info(files).unwrap_or_else(|why| {
        let message = format!("the dataset_info.json beside it cannot be read: {why}");
        problems.push(problem(name, message, "mend it, or move it away"));
        None
    });
    let Some(entry) = entry else { return };
    if entry.get("ranking").and_then(Value::as_bool) != Some(true) {
        let message = "dataset_info.json does not say `\"ranking\": true` of this file: it holds no pairs";
        problems.push(problem(name, message, "name the file of a preference data set"));
    }
    let column = |key: &str| entry.get("columns").and_then(|columns| columns.get(key)?.as_str()).map(str::to_owned);
    if let Some(chosen) = column("chosen") {
        form.chosen = chosen;
    }
    if let Some(rejected) = column("rejected") {
        form.rejected = rejected;
    }
    let prompt: Vec<String> = match column("messages") {
        Some(messages) => vec![messages],
        None => [column("prompt"), column("query")].into_iter().flatten().collect(),
    };
    if !prompt.is_empty() {
        form.prompt = prompt;
    }
}

fn read_info(path: &Path) -> Result<Value, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > MAX_INFO {
        return Err("it is larger than 16 MiB".to_owned());
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}
