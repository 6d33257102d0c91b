//! The responses file: how many responses each prompt has, and, where candidates are declared, its rows.

use super::columns::{Use, Wanted, missing_column};
use super::files::{self, Opened};
use super::{Codes, LogFile, convert, failure, fold, rows};
use crate::declare::{Audit, Problem, Problems};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const RESPONSE: &str = "response_id";
const PROMPT: &str = "prompt_id";
const FEATURES: &str = "features";

/// The rows of a responses file, whole, in file order: 8 bytes for each feature and log-probability of a response, and its
/// identifier.
#[derive(Debug, Clone, Default)]
pub struct Responses {
    /// Each response's prompt.
    pub prompts: Codes,
    /// Each response's identifier.
    pub ids: Vec<String>,
    /// How many features a response has; 0 without features.
    pub width: usize,
    /// The features, a row a response; `None` where the file has no column `features`.
    pub features: Option<Vec<f64>>,
    /// Log-probabilities by column, in nats; NaN where missing. The columns are those that the reference's and the
    /// candidates' `logp` name.
    pub log_probabilities: BTreeMap<String, Vec<f64>>,
    /// Where to find a response.
    pub keys: ResponseKeys,
}

impl Responses {
    /// The features of a response, by its place in the file. `None` without features or such a response.
    pub fn features_of(&self, response: usize) -> Option<&[f64]> {
        let start = response.checked_mul(self.width)?;
        self.features.as_ref()?.get(start..start.checked_add(self.width)?)
    }
}

/// Where to find a response by the 64-bit keys of its identifier and its prompt's, as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseKeys {
    /// Identifiers are unique in the file.
    ById(HashMap<u64, u32>),
    /// Identifiers are unique within a prompt alone.
    ByPrompt(HashMap<(u64, u64), u32>),
}

impl Default for ResponseKeys {
    fn default() -> ResponseKeys {
        ResponseKeys::ById(HashMap::new())
    }
}

impl ResponseKeys {
    /// The response with this identifier, of this prompt; [`Codes::MISSING`] where the file has none.
    pub fn find(&self, prompt: Option<u64>, id: Option<u64>) -> u32 {
        let found = match self {
            ResponseKeys::ById(index) => id.and_then(|id| index.get(&id)),
            ResponseKeys::ByPrompt(index) => prompt.zip(id).and_then(|key| index.get(&key)),
        };
        found.copied().unwrap_or(Codes::MISSING)
    }
}

/// Reads the responses file where candidates are declared and one is named. `None` otherwise.
///
/// # Errors
/// It cannot be read, a named column is not there, a row lacks its prompt or its identifier, a response stands twice,
/// features are not numbers or not equally many everywhere.
pub(super) fn read_for_candidates(audit: &Audit) -> Result<Option<(LogFile, Responses)>, Vec<Problem>> {
    let policies = || audit.candidates.iter().filter_map(|c| c.log_probabilities.as_ref()).chain(&audit.reference);
    let columns: BTreeSet<&String> = policies().filter_map(|policy| policy.responses.as_ref()).collect();
    if audit.candidates.is_empty() {
        return Ok(None);
    }
    let Some(written) = &audit.logs.responses else {
        if let Some(column) = columns.first() {
            let message = format!("`logp: {column}` is a column of the responses file, and none is named");
            return Err(failure(&audit.source.name, message, "name it as logs.responses in the audit document"));
        }
        return Ok(None);
    };
    read(files::single(&audit.folder, written)?, &columns).map(Some)
}

/// Reads a responses file with these columns of log-probabilities.
pub(super) fn read(mut file: LogFile, columns: &BTreeSet<&String>) -> Result<(LogFile, Responses), Vec<Problem>> {
    let opened = files::open(&file)?;
    file.rows = opened.footer.as_ref().map(super::parquet::Footer::rows);
    check_columns(&file, &opened)?;
    let absent = columns.iter().filter(|name| !opened.columns.contains(name));
    let absent: Vec<Problem> =
        absent.map(|name| missing_column(&file.name, name, "log-probabilities", &opened.columns)).collect();
    if !absent.is_empty() {
        return Err(absent);
    }
    let has_features = opened.columns.iter().any(|name| name == FEATURES);
    let mut wanted = Wanted::from([(PROMPT.to_owned(), Use::Scalar), (RESPONSE.to_owned(), Use::Scalar)]);
    wanted.extend(columns.iter().map(|name| ((*name).clone(), Use::Whole)));
    wanted.extend(has_features.then(|| (FEATURES.to_owned(), Use::Whole)));
    let source = fold::Source::new(std::slice::from_ref(&file), std::slice::from_ref(&opened), wanted);
    let new = || Part { features: has_features.then(Vec::new), ..Part::default() };
    let work = |part: &mut Part, piece: &fold::Piece<'_>| part.add(piece, columns);
    let mut merge = |total: &mut Part, part: Part| total.merge(part);
    let whole = fold::fold(&source, "reading responses", &(), &new, &work, &mut merge).map_err(|Problems(p)| p)?;
    let responses = whole.finish(&file.name)?;
    Ok((file, responses))
}

/// Rows as they accumulate.
#[derive(Default)]
struct Part {
    prompts: Vec<String>,
    prompt_keys: Vec<u64>,
    ids: Vec<String>,
    id_keys: Vec<u64>,
    /// The width of the features so far, and whether rows disagree.
    width: Option<usize>,
    ragged: bool,
    features: Option<Vec<f64>>,
    log_probabilities: BTreeMap<String, Vec<f64>>,
}

impl Part {
    fn add(&mut self, piece: &fold::Piece<'_>, columns: &BTreeSet<&String>) -> Result<(), Vec<Problem>> {
        for (name, texts, keys) in
            [(PROMPT, &mut self.prompts, &mut self.prompt_keys), (RESPONSE, &mut self.ids, &mut self.id_keys)]
        {
            let codes = rows::codes(piece, name)?;
            let of_row = rows::column_keys(piece, &(name.to_owned(), false))?.1;
            for (row, (code, key)) in codes.codes.iter().zip(of_row).enumerate() {
                let text = usize::try_from(*code).ok().and_then(|code| codes.values.get(code));
                let (Some(text), Some(key)) = (text, key) else {
                    let message = format!("row {}: no {name}", piece.row_in_file + row as u64 + 1);
                    return Err(failure(&piece.file.name, message, "every response has an identifier and a prompt"));
                };
                texts.push(text.clone());
                keys.push(key);
            }
        }
        if let Some(features) = &mut self.features {
            let lists = rows::lists(piece, FEATURES)?;
            for row in 0..lists.ends.len() {
                let own = lists.row(row);
                let width = *self.width.get_or_insert(own.len());
                self.ragged |= width != own.len();
                features.extend_from_slice(own);
            }
        }
        for name in columns {
            self.log_probabilities.entry((*name).clone()).or_default().extend(rows::sums(piece, name)?);
        }
        Ok(())
    }

    fn merge(&mut self, other: Part) {
        self.prompts.extend(other.prompts);
        self.prompt_keys.extend(other.prompt_keys);
        self.ids.extend(other.ids);
        self.id_keys.extend(other.id_keys);
        self.ragged |= other.ragged || matches!((self.width, other.width), (Some(own), Some(more)) if own != more);
        self.width = self.width.or(other.width);
        if let (Some(own), Some(more)) = (&mut self.features, other.features) {
            own.extend(more);
        }
        for (name, values) in other.log_probabilities {
            self.log_probabilities.entry(name).or_default().extend(values);
        }
    }

    fn finish(self, file: &str) -> Result<Responses, Vec<Problem>> {
        if self.ragged {
            let message = format!("column `{FEATURES}`: rows have different numbers of features");
            return Err(failure(file, message, "give every response the same features, in the same order"));
        }
        let keys = self.index(file)?;
        let mut prompts = Codes::default();
        let mut seen: HashMap<String, u32> = HashMap::new();
        for prompt in self.prompts {
            let next = u32::try_from(prompts.values.len()).unwrap_or(Codes::MISSING);
            let code = *seen.entry(prompt).or_insert_with_key(|prompt| {
                prompts.values.push(prompt.clone());
                next
            });
            prompts.codes.push(code);
        }
        let width = self.width.unwrap_or(0);
        Ok(Responses {
            prompts,
            ids: self.ids,
            width,
            features: self.features.filter(|_| width > 0),
            log_probabilities: self.log_probabilities,
            keys,
        })
    }

    /// Finds responses by identifier, or, where prompts share identifiers, by both.
    fn index(&self, file: &str) -> Result<ResponseKeys, Vec<Problem>> {
        let numbers = || (0..self.ids.len()).map(|row| u32::try_from(row).unwrap_or(Codes::MISSING));
        let by_id: HashMap<u64, u32> = self.id_keys.iter().copied().zip(numbers()).collect();
        if by_id.len() == self.ids.len() {
            return Ok(ResponseKeys::ById(by_id));
        }
        let mut by_prompt = HashMap::with_capacity(self.ids.len());
        for (row, key) in numbers().zip(self.prompt_keys.iter().copied().zip(self.id_keys.iter().copied())) {
            if by_prompt.insert(key, row).is_some() {
                let id = self.ids.get(row as usize).map_or("", String::as_str);
                let message = format!(
                    "row {}: the response `{}` of this prompt stands above already",
                    row + 1,
                    super::columns::shortened(id)
                );
                return Err(failure(file, message, "give every response of a prompt an identifier of its own, once"));
            }
        }
        Ok(ResponseKeys::ByPrompt(by_prompt))
    }
}

/// Counts the rows of each prompt in the audit's responses file.
///
/// # Errors
/// No responses file is named, it cannot be read, a column is not there, or a row lacks its prompt.
pub(super) fn count(audit: &Audit) -> Result<(LogFile, HashMap<String, u64>), Vec<Problem>> {
    let Some(written) = &audit.logs.responses else {
        let message = "pairs: {uniform: responses} needs the responses file";
        return Err(failure(&audit.source.name, message, "name it as logs.responses in the audit document"));
    };
    let mut file = files::single(&audit.folder, written)?;
    let opened = files::open(&file)?;
    file.rows = opened.footer.as_ref().map(super::parquet::Footer::rows);
    check_columns(&file, &opened)?;
    let wanted = Wanted::from([(PROMPT.to_owned(), Use::Scalar)]);
    let source = fold::Source::new(std::slice::from_ref(&file), std::slice::from_ref(&opened), wanted);
    let work = |counts: &mut HashMap<String, u64>, piece: &fold::Piece<'_>| add(counts, piece);
    let mut merge = |total: &mut HashMap<String, u64>, part: HashMap<String, u64>| {
        for (prompt, rows) in part {
            *total.entry(prompt).or_default() += rows;
        }
    };
    let counts = fold::fold(&source, "counting responses", &(), &HashMap::new, &work, &mut merge)
        .map_err(|Problems(problems)| problems)?;
    Ok((file, counts))
}

fn check_columns(file: &LogFile, opened: &Opened) -> Result<(), Vec<Problem>> {
    let absent = [RESPONSE, PROMPT].into_iter().filter(|name| !opened.columns.iter().any(|column| column == name));
    let problems: Vec<Problem> =
        absent.map(|name| missing_column(&file.name, name, "the responses file needs it", &opened.columns)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Adds a piece's rows to the counts.
fn add(counts: &mut HashMap<String, u64>, piece: &fold::Piece<'_>) -> Result<(), Vec<Problem>> {
    let name = &piece.file.name;
    let Some(column) = piece.batch.column_by_name(PROMPT) else { return Ok(()) };
    let Codes { codes, values } = convert::codes(column)
        .map_err(|error| failure(name, format!("column `{PROMPT}` cannot be used: {error}"), ""))?;
    let mut rows = vec![0_u64; values.len()];
    for (row, code) in codes.iter().enumerate() {
        match rows.get_mut(*code as usize) {
            Some(count) => *count += 1,
            None => {
                let message = format!("row {}: no {PROMPT}", piece.row_in_file + row as u64 + 1);
                return Err(failure(name, message, "every response belongs to a prompt"));
            }
        }
    }
    for (value, rows) in values.into_iter().zip(rows) {
        *counts.entry(value).or_default() += rows;
    }
    Ok(())
}
