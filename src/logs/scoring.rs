//! What a fitted policy reads of a log: each row's identifier and its responses' features, nothing else.

use super::columns::{self, Use, Wanted, missing_column};
use super::derive::Derivation;
use super::{Codes, LogFile, Responses, failure, files, fold, responses, rows};
use crate::declare::{LogSpec, Problem, Problems, Role};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where the features are that a policy was fitted on, and what names a row: columns of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureReading {
    /// The rows' identifiers, where there were any.
    pub id: Option<String>,
    /// The prompts, where there were any.
    pub prompt: Option<String>,
    /// Of response a.
    pub a: Vec<String>,
    /// Of response b.
    pub b: Vec<String>,
    /// What these columns hold.
    pub kind: FeatureKind,
}

/// What columns of features hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// Numbers, or lists of them.
    Numbers,
    /// Texts, encoded by [`super::ngrams`] into so many numbers.
    Ngrams(usize),
    /// Identifiers of responses, whose features are in the responses file.
    Responses,
}

/// Rows to score, in file and row order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureRows {
    /// Each row's identifier; its place over all files, from 1, where the log has none.
    pub ids: Vec<String>,
    /// Features of a response.
    pub width: usize,
    /// phi(a), row by row; NaN where a response has no features.
    pub a: Vec<f64>,
    /// phi(b).
    pub b: Vec<f64>,
}

/// Reads the rows of a log (a file, a glob or a folder). Columns are those that `reading` names or, under an audit document's
/// `logs`, those that it maps, made ones among them.
///
/// # Errors
/// A file cannot be read, a column is not there, features are not numbers or not equally many, features are in a responses
/// file and none is given.
pub fn read_features(
    log: &Path,
    responses_file: Option<&Path>,
    reading: &FeatureReading,
    spec: Option<&LogSpec>,
) -> Result<FeatureRows, Problems> {
    let mut problems = Vec::new();
    let name = log.display().to_string();
    let (files, opened) = files::open_all(Path::new(""), &name, &mut problems);
    if !problems.is_empty() || files.is_empty() {
        return Err(Problems(problems));
    }
    let (mapped, derivation) = match spec {
        Some(spec) => columns::mapped(spec, &files, &opened, &mut problems),
        None => (BTreeMap::new(), Derivation::default()),
    };
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    // A responses file that is given is read, whatever the policy was fitted from.
    let kind = if responses_file.is_some() { FeatureKind::Responses } else { reading.kind };
    if kind == FeatureKind::Responses && responses_file.is_none() {
        let help = "give the file that lists every response with its features as --responses";
        return Err(Problems(failure(
            &name,
            "the policy was fitted on features of a responses file, and none is given",
            help,
        )));
    }
    let found = responses_file.map(read_responses).transpose().map_err(Problems)?;
    let has = |column: &str| {
        derivation.makes(column) || opened.iter().all(|opened| opened.columns.iter().any(|own| own == column))
    };
    let by_role = |role: Role, named: Option<&String>| -> String {
        let canonical = || role.canonical().to_owned();
        mapped.get(&role).cloned().or_else(|| named.cloned()).unwrap_or_else(canonical)
    };
    let (a, b) = match kind {
        FeatureKind::Responses => {
            let named = |own: &[String]| (reading.kind == kind).then(|| own.first().cloned()).flatten();
            let (a, b) = (named(&reading.a), named(&reading.b));
            (vec![by_role(Role::ResponseA, a.as_ref())], vec![by_role(Role::ResponseB, b.as_ref())])
        }
        _ => (reading.a.clone(), reading.b.clone()),
    };
    let columns = opened.first().map(|opened| opened.columns.clone()).unwrap_or_default();
    let absent = a.iter().chain(&b).filter(|name| !has(name));
    let absent: Vec<Problem> =
        absent.map(|column| missing_column(&name, column, "the fitted policy reads it", &columns)).collect();
    if !absent.is_empty() {
        return Err(Problems(absent));
    }
    let id = Some(by_role(Role::Id, reading.id.as_ref())).filter(|id| has(id));
    let prompt = Some(by_role(Role::Prompt, reading.prompt.as_ref())).filter(|prompt| found.is_some() && has(prompt));
    let mut wanted: Wanted = id.iter().chain(&prompt).map(|column| (column.clone(), Use::Scalar)).collect();
    wanted.extend(a.iter().chain(&b).map(|column| (column.clone(), Use::Whole)));
    let source = fold::Source::new(&files, &opened, wanted).deriving(&derivation);
    let reader = Reader { a: &a, b: &b, id: id.as_deref(), prompt: prompt.as_deref(), kind, responses: found.as_ref() };
    let work = |part: &mut Part, piece: &fold::Piece<'_>| reader.add(part, piece);
    let mut merge = |total: &mut Part, part: Part| {
        total.ids.extend(part.ids);
        total.a.extend(part.a);
        total.widths.extend(part.widths);
        total.b.extend(part.b);
    };
    let part = fold::fold(&source, "reading features", &(), &Part::default, &work, &mut merge)?;
    finish(part, &name).map_err(Problems)
}

fn read_responses(path: &Path) -> Result<Responses, Vec<Problem>> {
    let file: LogFile = files::single(Path::new(""), &path.display().to_string())?;
    responses::read(file, &BTreeSet::new()).map(|(_, responses)| responses)
}

/// Rows as they accumulate; a response without features is an empty list.
#[derive(Default)]
struct Part {
    ids: Vec<Option<String>>,
    a: Vec<Vec<f64>>,
    b: Vec<Vec<f64>>,
    /// Each column's place among those of its side, and how many numbers it holds where it holds any.
    widths: BTreeSet<(usize, usize)>,
}

struct Reader<'a> {
    a: &'a [String],
    b: &'a [String],
    id: Option<&'a str>,
    prompt: Option<&'a str>,
    kind: FeatureKind,
    responses: Option<&'a Responses>,
}

impl Reader<'_> {
    fn add(&self, part: &mut Part, piece: &fold::Piece<'_>) -> Result<(), Vec<Problem>> {
        for (names, into) in [(self.a, &mut part.a), (self.b, &mut part.b)] {
            let before = into.len();
            for (place, name) in names.iter().enumerate() {
                let own = self.column(piece, name)?;
                part.widths.extend(own.iter().filter(|list| !list.is_empty()).map(|list| (place, list.len())));
                match place {
                    0 => into.extend(own),
                    _ => into[before..].iter_mut().zip(own).for_each(|(all, more)| all.extend(more)),
                }
            }
        }
        let rows = part.a.len() - part.ids.len();
        match self.id {
            None => part.ids.extend(std::iter::repeat_n(None, rows)),
            Some(name) => {
                let Codes { codes, values } = rows::codes(piece, name)?;
                let text = |code: u32| usize::try_from(code).ok().and_then(|code| values.get(code).cloned());
                part.ids.extend(codes.into_iter().map(text));
            }
        }
        Ok(())
    }

    /// Each row's features from one column.
    fn column(&self, piece: &fold::Piece<'_>, name: &str) -> Result<Vec<Vec<f64>>, Vec<Problem>> {
        let lists = match (self.kind, self.responses) {
            (FeatureKind::Responses, Some(responses)) => return self.looked_up(piece, name, responses),
            (FeatureKind::Ngrams(size), _) => rows::encoded(piece, name, size)?,
            _ => rows::lists(piece, name)?,
        };
        Ok((0..lists.ends.len()).map(|row| lists.row(row).to_vec()).collect())
    }

    fn looked_up(
        &self,
        piece: &fold::Piece<'_>,
        name: &str,
        responses: &Responses,
    ) -> Result<Vec<Vec<f64>>, Vec<Problem>> {
        let keys = |name: &str| rows::column_keys(piece, &(name.to_owned(), false)).map(|(_, keys)| keys);
        let own = keys(name)?;
        let prompts = self.prompt.map_or_else(|| Ok(vec![None; own.len()]), keys)?;
        let features = |(id, prompt): (Option<u64>, Option<u64>)| {
            let found = responses.keys.find(prompt, id);
            let at = usize::try_from(found).ok().filter(|_| found != Codes::MISSING)?.checked_mul(responses.width)?;
            responses.features.as_ref()?.get(at..at + responses.width).map(<[f64]>::to_vec)
        };
        Ok(own.into_iter().zip(prompts).map(|row| features(row).unwrap_or_default()).collect())
    }
}

fn finish(part: Part, file: &str) -> Result<FeatureRows, Vec<Problem>> {
    let width = part.a.iter().chain(&part.b).map(Vec::len).max().unwrap_or(0);
    // Column by column too: where one list is longer and the next one shorter, numbers would change their places.
    let ragged = part.widths.iter().zip(part.widths.iter().skip(1)).any(|(one, next)| one.0 == next.0);
    if ragged || part.a.iter().chain(&part.b).any(|list| !list.is_empty() && list.len() != width) {
        let message = "rows have different numbers of features";
        return Err(failure(file, message, "give every response the same features, in the same order"));
    }
    let flat = |lists: Vec<Vec<f64>>| -> Vec<f64> {
        let whole = |list: Vec<f64>| if list.is_empty() { vec![f64::NAN; width] } else { list };
        lists.into_iter().flat_map(whole).collect()
    };
    let ids = part.ids.into_iter().enumerate();
    let ids = ids.map(|(row, id)| id.unwrap_or_else(|| (row + 1).to_string())).collect();
    Ok(FeatureRows { ids, width, a: flat(part.a), b: flat(part.b) })
}
