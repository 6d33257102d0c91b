//! The sample of the target: pairs that nobody labelled, read like a log.
//!
//! Owns: finding its files, and which of the log's columns it must have too. Its rows are read by [`super::scan`]: to a scan, pairs
//! without labels are rows that miss their labels.

use super::columns::{self, Mapping, missing_column};
use super::{Log, LogFile, Responses, files, problem};
use crate::declare::{Audit, Features, LogProbabilities, Problem, Regime, Role};
use std::collections::BTreeMap;

/// What a column is needed for, and whether it must hold numbers.
type Needs = BTreeMap<String, (String, bool)>;

/// Opens the sample that an audit document names, if any, its columns mapped like the log's (`mapped`).
///
/// Problems: no such file, a file that cannot be read, no rows, a column that is not there.
pub(super) fn open(
    audit: &Audit,
    regime: &Regime,
    mapped: &BTreeMap<Role, String>,
    responses: Option<&Responses>,
    problems: &mut Vec<Problem>,
) -> Option<Log> {
    let written = audit.logs.target_sample.as_ref().filter(|_| !audit.candidates.is_empty())?;
    let before = problems.len();
    let (files, opened) = files::open_all(&audit.folder, written, problems);
    if problems.len() == before && !opened.iter().any(|opened| opened.has_rows) {
        let help = "draw pairs from the target, or leave `target_sample` out";
        problems.push(problem(written, "the target sample holds no rows", help));
    }
    if problems.len() > before {
        return None;
    }
    let Mapping { mapped: own, plan } = columns::map_unlabelled(&audit.logs, regime, &files, &opened, problems);
    let columns = opened.first().map(|opened| opened.columns.clone()).unwrap_or_default();
    let log =
        Log { files, columns, mapped: own, opened, plan, responses: None, response_rows: None, target_sample: None };
    check(audit, mapped, &log, responses, problems);
    Some(log)
}

/// Checks the columns that the candidates' scores of the pairs need.
fn check(
    audit: &Audit,
    of_log: &BTreeMap<Role, String>,
    sample: &Log,
    responses: Option<&Responses>,
    problems: &mut Vec<Problem>,
) {
    let needs = needs(audit, of_log, sample, responses);
    let derivation = &sample.plan.derivation;
    for (file, opened) in sample.files.iter().zip(&sample.opened) {
        for (name, (purpose, numbers)) in &needs {
            if *numbers && opened.columns.contains(name) {
                columns::check_evaluation_column(file, opened, name, (purpose, true), problems);
            } else {
                absent(file, &opened.columns, (derivation, name), purpose, problems);
            }
        }
    }
}

fn needs(audit: &Audit, of_log: &BTreeMap<Role, String>, sample: &Log, responses: Option<&Responses>) -> Needs {
    let mut needs = Needs::new();
    let mut need = |column: &str, purpose: &str, numbers: bool| {
        needs.entry(column.to_owned()).or_insert_with(|| (purpose.to_owned(), numbers));
    };
    let policies =
        audit.candidates.iter().filter_map(|c| Some((format!("of {}", c.name), c.log_probabilities.as_ref()?)));
    let mut looked_up = false;
    for (whose, source) in policies.chain(audit.reference.iter().map(|own| ("of the reference".to_owned(), own))) {
        let purpose = format!("log-probabilities {whose}");
        looked_up |= is_looked_up(source, sample);
        let logged = source.log.iter().chain(&source.tokens).filter(|_| !is_looked_up(source, sample));
        logged.flat_map(|(a, b)| [a, b]).for_each(|column| need(column, &purpose, true));
    }
    match feature_columns(audit, of_log) {
        Some(columns) => columns.iter().for_each(|column| need(column, "features, as in the log", !are_texts(audit))),
        None => looked_up |= responses.is_some_and(|own| own.features.is_some()),
    }
    let by_role = |role: Role| of_log.get(&role).map_or(role.canonical(), String::as_str);
    if looked_up {
        for role in [Role::ResponseA, Role::ResponseB] {
            need(by_role(role), "it is looked up in the responses file", false);
        }
    }
    if of_log.contains_key(&Role::Prompt) {
        need(by_role(Role::Prompt), "prompts, as in the log", false);
    }
    needs
}

/// Says that a column, or one that it is made of, is not there, unless that has been said.
fn absent(
    file: &LogFile,
    columns: &[String],
    (derivation, name): (&super::derive::Derivation, &str),
    purpose: &str,
    problems: &mut Vec<Problem>,
) {
    let sources = if derivation.makes(name) { derivation.sources(name) } else { vec![name.to_owned()] };
    let said = |name: &str, problems: &[Problem]| {
        let start = format!("there is no column `{name}`");
        problems.iter().any(|own| own.file == file.name && own.message.starts_with(&start))
    };
    for source in sources.iter().filter(|source| !columns.contains(source)) {
        if !said(source, problems) {
            problems.push(missing_column(&file.name, source, purpose, columns));
        }
    }
}

/// Whether a policy's log-probabilities of the sample's pairs are in the responses file: the sample lacks their columns.
fn is_looked_up(source: &LogProbabilities, sample: &Log) -> bool {
    let held = source.log.iter().any(|(a, b)| sample.holds(a) && sample.holds(b));
    source.responses.is_some() && !held
}

fn are_texts(audit: &Audit) -> bool {
    named_features(audit).is_some_and(|features| matches!(features, Features::Text { .. }))
}

/// What the fits name; they name the same.
fn named_features(audit: &Audit) -> Option<&Features> {
    audit.candidates.iter().filter_map(|candidate| candidate.fit.as_ref()).find_map(|fit| fit.features.as_ref())
}

/// The columns of the log that features are made of, if they are in the log.
fn feature_columns(audit: &Audit, of_log: &BTreeMap<Role, String>) -> Option<Vec<String>> {
    let named = |name: &String| columns::role_or_column(name, of_log);
    let both = |a: Role, b: Role| Some(vec![of_log.get(&a)?.clone(), of_log.get(&b)?.clone()]);
    match named_features(audit) {
        Some(Features::Columns { a, b }) => Some(a.iter().chain(b).map(named).collect()),
        Some(Features::Text { columns: Some((a, b)), .. }) => Some([a, b].map(named).into()),
        Some(Features::Text { columns: None, .. }) => both(Role::ResponseA, Role::ResponseB),
        None => both(Role::FeaturesA, Role::FeaturesB),
    }
}
