//! Pairs drawn from the target that nobody labelled, as an audit document's `target_sample` names them.
//!
//! Owns: reading them as comparisons are read, with the same columns, and where each lies: its cell, its prompt in the log.
//! Must never: leave a row out. A row that the target has no place for says that the sample is not the target's.
//!
//! Memory: as for comparisons, a pair taking what a comparison takes.

use super::comparisons::{Factors, Part, Plan, Strays, dense, feature_columns, one_problem, scan};
use super::{Clusters, Comparisons, FeaturePair, PolicyColumns};
use crate::declare::{Audit, LogProbabilities, Problems, Role};
use crate::logs::{Codes, Log, Progress};
use std::collections::HashMap;

/// One entry for each pair of the sample, in file and row order.
#[derive(Debug, Clone, Default)]
pub struct TargetSample {
    /// Index of its cell in [`Comparisons::cells`].
    pub cell: Vec<u32>,
    /// What makes pairs dependent: those of the log's groupings that the sample has columns for, else the prompt where it has
    /// one.
    pub clusters: Vec<Clusters>,
    /// The code of its prompt in [`Comparisons::prompt`], or [`Codes::MISSING`] where the log has no such prompt.
    pub prompt: Vec<u32>,
    /// Index of response a in the responses file, or [`Codes::MISSING`]; `None` without a responses file or a column of responses.
    pub response_a: Option<Vec<u32>>,
    /// The same of response b.
    pub response_b: Option<Vec<u32>>,
    /// Features of both responses, where the log's columns hold features.
    pub features: Option<FeaturePair>,
    /// The candidates with log-probabilities, as in [`Comparisons::policies`] but for those that are fitted.
    pub policies: Vec<PolicyColumns>,
}

/// Reads the sample of the target that an audit names; `None` where it names none. `table` is the log's.
///
/// # Errors
/// Whatever a scan finds wrong with the files; rows without a covariate, or in a cell that the target gives no mass; features that
/// are not as many as the log's.
pub fn collect_target_sample(
    log: &Log,
    audit: &Audit,
    table: &Comparisons,
    progress: &dyn Progress,
) -> Result<Option<TargetSample>, Problems> {
    let Some(sample) = log.target_sample() else { return Ok(None) };
    let plan = plan(sample, log, audit)?;
    let targeted = (0..).zip(table.cells.iter().zip(&table.p_target)).filter(|(_, (_, mass))| **mass > 0.0);
    let factors: Factors = targeted.map(|(index, (levels, _))| (levels, (index, 1.0))).collect();
    let part = scan((sample, &[]), &plan, &factors, ("reading the sample of the target", progress))?;
    let file = audit.logs.target_sample.as_deref().unwrap_or_default();
    finish(part, &plan, table).map(Some).map_err(|(message, help)| one_problem(file, message, help))
}

fn plan<'a>(sample: &'a Log, log: &'a Log, audit: &'a Audit) -> Result<Plan<'a>, Problems> {
    let column = |role: Role| sample.mapped.get(&role).cloned();
    let named = audit.logs.cluster.iter().map(|name| (name.clone(), sample.column(name)));
    let mut clusters: Vec<(String, String)> = named.filter(|(_, column)| sample.holds(column)).collect();
    if clusters.is_empty() {
        clusters.extend(column(Role::Prompt).map(|column| (Role::Prompt.name().to_owned(), column)));
    }
    let candidates = audit.candidates.iter();
    let candidates =
        candidates.filter_map(|candidate| Some((candidate, held(candidate.log_probabilities.as_ref()?, sample))));
    let of_log = feature_columns(log, audit)?;
    Ok(Plan {
        labelled: false,
        responses: log.responses(),
        reference: audit.reference.as_ref().map(|own| held(own, sample)),
        candidates: candidates.collect(),
        features: if of_log.is_some() { feature_columns(sample, audit)? } else { None },
        clusters,
        prompt: column(Role::Prompt),
        annotator: None,
        response_a: log.responses().and_then(|_| column(Role::ResponseA)),
        response_b: log.responses().and_then(|_| column(Role::ResponseB)),
        has_months: false,
        has_generators: false,
        shares_prompts: true,
    })
}

/// A policy's log-probabilities in the sample's own columns where it has them, else in the responses file.
fn held(source: &LogProbabilities, sample: &Log) -> LogProbabilities {
    let own = source.log.clone().filter(|(a, b)| sample.holds(a) && sample.holds(b));
    let tokens = source.tokens.clone().filter(|_| own.is_some());
    LogProbabilities { log: own, tokens, responses: source.responses.clone() }
}

fn finish(part: Part, plan: &Plan<'_>, table: &Comparisons) -> Result<TargetSample, (String, &'static str)> {
    if let Some(problem) = stray(&part.strays) {
        return Err(problem);
    }
    let widths = |own: &Option<FeaturePair>| own.as_ref().map(|own| own.width);
    let (own, of_log) = (widths(&part.comparisons.features), widths(&table.features));
    if part.ragged || own != of_log {
        let message =
            "the features of the target sample's responses are not as many as those of the log's, column by column";
        return Err((message.to_owned(), "give both responses of every pair the log's features, in the same order"));
    }
    let of_prompt: HashMap<u64, u32> =
        table.prompt_keys.iter().zip(0..).filter_map(|(key, code)| Some(((*key)?, code))).collect();
    let known = |key: &Option<u64>| key.and_then(|key| of_prompt.get(&key).copied()).unwrap_or(Codes::MISSING);
    let prompts = plan.prompt.as_ref().map(|column| part.keys_of(column).iter().map(known).collect());
    let rows = part.comparisons.cell.len();
    let clusters = plan.clusters.iter().map(|(name, column)| dense(name, part.keys_of(column))).collect();
    let own = part.comparisons;
    Ok(TargetSample {
        cell: own.cell,
        clusters,
        prompt: prompts.unwrap_or_else(|| vec![Codes::MISSING; rows]),
        response_a: own.response_a,
        response_b: own.response_b,
        features: own.features,
        policies: own.policies,
    })
}

/// What to say about rows that are none of the target's.
fn stray(strays: &Strays) -> Option<(String, &'static str)> {
    let (row, levels) = strays.first.as_ref()?;
    let first = format!("row {} is the first of {}", row + 1, strays.count);
    Some(match levels {
        None => (
            format!("a pair of the target sample lacks a covariate of the regime's cells ({first})"),
            "give every pair its covariates: leaving rows out would change what is sampled",
        ),
        Some(levels) => (
            format!(
                "a pair of the target sample lies in {:?}, which has no mass under the target ({first})",
                levels.join(", ")
            ),
            "draw the sample from the regime's target, with its levels written as there",
        ),
    })
}
