//! What a fitted policy reads of a log: each row's identifier and its responses' features, nothing else.

use super::columns::{Use, Wanted, missing_column};
use super::{Codes, LogFile, Responses, failure, files, fold, responses, rows};
use crate::declare::{Problem, Problems, Role};
use std::collections::BTreeSet;
use std::path::Path;

/// Rows to score, in file and row order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureRows {
    /// Each row's identifier; its place over all files, from 1, where the log has none.
    pub ids: Vec<String>,
    /// Features of a response.
    pub width: usize,
    /// phi(a) - phi(b), row by row; NaN where a response has no features.
    pub differences: Vec<f64>,
}

/// Reads the rows of a log (a file, a glob or a folder) by the canonical names: features from its lists `features_a` and
/// `features_b`, or, where a responses file is given, from there by `response_a`, `response_b` and `prompt_id`.
///
/// # Errors
/// A file cannot be read, a column is not there, features are not numbers or not equally many.
pub fn read_features(log: &Path, responses_file: Option<&Path>) -> Result<FeatureRows, Problems> {
    let mut problems = Vec::new();
    let (files, opened) = files::open_all(Path::new(""), &log.display().to_string(), &mut problems);
    if !problems.is_empty() || files.is_empty() {
        return Err(Problems(problems));
    }
    let found = responses_file.map(read_responses).transpose().map_err(Problems)?;
    let id = Role::Id.canonical();
    let (a, b) = match found {
        Some(_) => (Role::ResponseA.canonical(), Role::ResponseB.canonical()),
        None => (Role::FeaturesA.canonical(), Role::FeaturesB.canonical()),
    };
    let has = |name: &str| opened.iter().all(|opened| opened.columns.iter().any(|column| column == name));
    let why = "a fitted policy reads it";
    let columns = opened.first().map(|opened| opened.columns.clone()).unwrap_or_default();
    let absent = [a, b].into_iter().filter(|name| !has(name));
    let absent: Vec<Problem> =
        absent.map(|name| missing_column(&log.display().to_string(), name, why, &columns)).collect();
    if !absent.is_empty() {
        return Err(Problems(absent));
    }
    let by_prompt = found.is_some() && has(Role::Prompt.canonical());
    let mut wanted = Wanted::from([(a.to_owned(), Use::Whole), (b.to_owned(), Use::Whole)]);
    wanted.extend(has(id).then(|| (id.to_owned(), Use::Scalar)));
    wanted.extend(by_prompt.then(|| (Role::Prompt.canonical().to_owned(), Use::Scalar)));
    let source = fold::Source { files: &files, opened: &opened, wanted };
    let reader = Reader { a, b, id: has(id).then_some(id), by_prompt, responses: found.as_ref() };
    let work = |part: &mut Part, piece: &fold::Piece<'_>| reader.add(part, piece);
    let mut merge = |total: &mut Part, part: Part| {
        total.ids.extend(part.ids);
        total.a.extend(part.a);
        total.b.extend(part.b);
    };
    let part = fold::fold(&source, "reading features", &(), &Part::default, &work, &mut merge)?;
    finish(part, &log.display().to_string()).map_err(Problems)
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
}

struct Reader<'a> {
    a: &'a str,
    b: &'a str,
    id: Option<&'a str>,
    by_prompt: bool,
    responses: Option<&'a Responses>,
}

impl Reader<'_> {
    fn add(&self, part: &mut Part, piece: &fold::Piece<'_>) -> Result<(), Vec<Problem>> {
        for (name, into) in [(self.a, &mut part.a), (self.b, &mut part.b)] {
            match self.responses {
                Some(responses) => into.extend(self.looked_up(piece, name, responses)?),
                None => {
                    let lists = rows::lists(piece, name)?;
                    into.extend((0..lists.ends.len()).map(|row| lists.row(row).to_vec()));
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

    fn looked_up(
        &self,
        piece: &fold::Piece<'_>,
        name: &str,
        responses: &Responses,
    ) -> Result<Vec<Vec<f64>>, Vec<Problem>> {
        let keys = |name: &str| rows::column_keys(piece, &(name.to_owned(), true)).map(|(_, keys)| keys);
        let own = keys(name)?;
        let prompts = if self.by_prompt { keys(Role::Prompt.canonical())? } else { vec![None; own.len()] };
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
    if part.a.iter().chain(&part.b).any(|list| !list.is_empty() && list.len() != width) {
        let message = "rows have different numbers of features";
        return Err(failure(file, message, "give every response the same features, in the same order"));
    }
    let mut differences = Vec::with_capacity(part.a.len() * width);
    for (a, b) in part.a.iter().zip(&part.b) {
        if a.is_empty() || b.is_empty() {
            differences.extend(std::iter::repeat_n(f64::NAN, width));
        } else {
            differences.extend(a.iter().zip(b).map(|(a, b)| a - b));
        }
    }
    let ids = part.ids.into_iter().enumerate();
    let ids = ids.map(|(row, id)| id.unwrap_or_else(|| (row + 1).to_string())).collect();
    Ok(FeatureRows { ids, width, differences })
}
