//! Every candidate and every comparison of candidates, from the table of comparisons.
//!
//! Owns: which estimates are made, on which rows. Must never: compare one with a limit.

use super::bound::{FiniteSampleBound, finite_sample_bound};
use super::estimators::{cell_form, clipped, ips};
use super::mean::{Estimate, Sample, mean};
use super::scores::{Calibration, agreement, brier_scores, calibration, log_losses, margins};
use super::{Answer, Clusters, Comparisons, NotRobust, PolicyColumns};
use crate::declare::{Cap, CapAt, Regime, Slice};
use crate::numeric::{Sum, quantile_linear};
use std::collections::BTreeMap;

const UNIT: (f64, f64) = (0.0, 1.0);
const DIFFERENCE: (f64, f64) = (-1.0, 1.0);
const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
/// The probability with which the finite-sample bound may fail.
const DELTA: f64 = 0.05;

/// All that is estimated about the candidates of an audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Labelled rows.
    pub n: u64,
    /// Kish's effective sample size of their weights; 0 without weight.
    pub n_eff: f64,
    /// p_T of the cells without a labelled row of positive weight.
    pub unsupported: f64,
    /// The largest weight that can occur by design; `None` where a mechanism declares no bound on the pair ratio, or rows
    /// were selected for labelling.
    pub largest_weight: Option<f64>,
    /// The share of each critical slice's p_T without a labelled row of positive weight; 1 where the target gives it none.
    pub slice_unsupported: Vec<f64>,
    /// What rows are grouped by, with the number of groups.
    pub clusters: Vec<(String, u64)>,
    /// The largest share of the weight on the ten prompts with most; `None` without prompts.
    pub top_prompts_share: Option<f64>,
    /// The caps at which clipped estimates are made: as written, and in the units of the weights (infinite for `none`).
    pub caps: Vec<(String, f64)>,
    /// The candidates with log-probabilities, in the order declared.
    pub candidates: Vec<CandidateEvaluation>,
    /// Every challenger with every incumbent, in the order declared.
    pub comparisons: Vec<ComparisonEvaluation>,
    /// The sample of the target that doubly robust estimates rest on, where there is one. [`super::add_doubly_robust`] puts it here.
    pub target_sample: Option<SampleSize>,
    /// The finite-sample bound on the candidates' target losses; `None` without a largest weight by design.
    pub bound: Option<FiniteSampleBound>,
}

/// How large a sample of the target is, and how its cells are filled.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSize {
    /// Its pairs.
    pub pairs: u64,
    /// What they are grouped by, with the number of groups.
    pub clusters: Vec<(String, u64)>,
    /// How many of its pairs are of prompts that the log has too.
    pub of_logged_prompts: u64,
    /// The probability of cell counts as far from p_T as these, by the chi-squared test that takes pairs as independent; `None` with
    /// a single cell. Estimates do not depend on the counts: each cell has its p_T.
    pub shares_p_value: Option<f64>,
}

/// One candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateEvaluation {
    /// Its name.
    pub name: String,
    /// Whether it is an incumbent.
    pub incumbent: bool,
    /// The temperature of its implicit reward.
    pub beta: Option<f64>,
    /// Rows in which one of its log-probabilities, or of the reference's, is missing or none.
    pub missing: u64,
    /// Share of the weight on them.
    pub missing_weight_share: f64,
    /// Rows in which a number is there that is no log-probability.
    pub unusable: u64,
    /// Rows in which it gives both responses the same log-probability, to the last bit.
    pub equal: u64,
    /// Rows in which it prefers neither response.
    pub zero_margins: u64,
    /// Under the target.
    pub target: Scores,
    /// As logged, every row counting the same.
    pub observed: Scores,
    /// Other estimators of the target preference accuracy, each by name.
    pub estimators: Vec<(String, Option<Estimate>)>,
    /// The doubly robust one, or why there is none. [`super::add_doubly_robust`] puts it here.
    pub doubly_robust: Result<Estimate, NotRobust>,
    /// Calibration of its implied win rates under the target; `None` without beta.
    pub calibration: Option<Calibration>,
    /// Mean shift of the log-probability of the preferred and of the other response, under the target, in nats.
    pub shifts: Shifts,
    /// Target preference accuracy in each critical slice of the regime.
    pub slices: Vec<(Slice, Option<Estimate>)>,
    /// The same in each cell that the target names, in the order of the table's cells.
    pub cells: Vec<(usize, Option<Estimate>)>,
}

/// Three scores of a candidate. `None` without rows of weight, and, for the last two, without beta.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores {
    /// Agreement with the answers; a tie or an undecided candidate counts one half.
    pub accuracy: Option<Estimate>,
    /// Log-loss, in nats.
    pub log_loss: Option<Estimate>,
    /// Brier score.
    pub brier: Option<Estimate>,
}

/// Log-probability shifts against the reference, in nats, over the rows whose answer decides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shifts {
    /// Of the preferred response.
    pub chosen: Option<Estimate>,
    /// Of the other.
    pub rejected: Option<Estimate>,
}

/// One challenger with one incumbent, on the rows where both have log-probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonEvaluation {
    /// The challenger.
    pub challenger: String,
    /// The incumbent.
    pub incumbent: String,
    /// Target preference accuracy of the challenger minus that of the incumbent, on the same rows.
    pub difference: Option<Estimate>,
    /// The same as logged.
    pub observed_difference: Option<Estimate>,
    /// Rows on which the two prefer different sides.
    pub disagreements: u64,
    /// The difference at each cap of [`Evaluation::caps`].
    pub by_cap: Vec<Option<f64>>,
    /// The difference in each critical slice.
    pub slices: Vec<(Slice, Option<Estimate>)>,
    /// The largest share of the weight of missing log-probabilities of the two.
    pub missing_weight_share: f64,
}

impl Evaluation {
    /// What is left of an interval for the whole target where part of it has no rows (Manski 1990): outside of the logged
    /// cells, a score may be anything in its range.
    pub fn with_unsupported(&self, (low, high): (f64, f64), range: (f64, f64)) -> (f64, f64) {
        let kept = 1.0 - self.unsupported;
        (kept * low + self.unsupported * range.0, kept * high + self.unsupported * range.1)
    }
}

/// Evaluates the candidates of a table. `pair_bound` is the largest g_T/g_O / inclusion that can occur by design, where that
/// is declared; one that the log exceeds is none.
pub fn evaluate(table: &Comparisons, regime: &Regime, caps: &[Cap], pair_bound: Option<f64>) -> Evaluation {
    let rows: Vec<u32> = (0..u32::try_from(table.rows.len()).unwrap_or(u32::MAX)).collect();
    let row_factors: Vec<f64> =
        table.cell.iter().map(|cell| table.factors.get(*cell as usize).copied().unwrap_or(0.0)).collect();
    let largest_weight = pair_bound.and_then(|bound| largest_weight(table, bound));
    let ones = vec![1.0; rows.len()];
    let caps = limits(table, caps);
    let context = Context {
        table,
        target: Sample {
            rows: &rows,
            weights: &table.weight,
            factors: &row_factors,
            clusters: &table.clusters,
            largest_weight,
        },
        logged: Sample {
            rows: &rows,
            weights: &ones,
            factors: &ones,
            clusters: &table.clusters,
            largest_weight: Some(1.0),
        },
        slices: slices(table, regime),
        caps: &caps,
    };
    let margins: Vec<Vec<f64>> = table.policies.iter().map(margins).collect();
    let scored: Vec<Vec<f64>> = margins.iter().map(|own| agreement(own, &table.answers)).collect();
    let candidates: Vec<CandidateEvaluation> = table
        .policies
        .iter()
        .zip(margins.iter().zip(&scored))
        .map(|(policy, (margins, scores))| candidate(&context, policy, margins, scores))
        .collect();
    let comparisons = pairs(&table.policies)
        .map(|(challenger, incumbent)| compare(&context, &candidates, (&margins, &scored), challenger, incumbent))
        .collect();
    let (n_eff, second_moment, _) = moments(&table.weight);
    Evaluation {
        n: rows.len() as u64,
        n_eff,
        unsupported: unsupported(table, |_| true).0,
        slice_unsupported: regime.critical.iter().map(|slice| slice_unsupported(table, regime, slice)).collect(),
        largest_weight,
        clusters: table.clusters.iter().map(|own| (own.role.clone(), own.count as u64)).collect(),
        top_prompts_share: table.prompt.as_ref().and_then(|prompt| top_share(prompt, &table.weight)),
        target_sample: None,
        bound: largest_weight.and_then(|largest| bound(table, largest, second_moment)),
        caps,
        candidates,
        comparisons,
    }
}

/// What every estimate is made from.
struct Context<'a> {
    table: &'a Comparisons,
    target: Sample<'a>,
    logged: Sample<'a>,
    /// The critical slices, with their rows.
    slices: Vec<(Slice, Vec<u32>)>,
    caps: &'a [(String, f64)],
}

fn candidate(context: &Context<'_>, policy: &PolicyColumns, margins: &[f64], agreed: &[f64]) -> CandidateEvaluation {
    let Context { table, target, logged, .. } = context;
    let losses = policy.beta.map(|beta| log_losses(margins, &table.answers, beta));
    let brier = policy.beta.map(|beta| brier_scores(margins, &table.answers, beta));
    let scores = |sample: &Sample<'_>| Scores {
        accuracy: mean(sample, agreed, UNIT),
        log_loss: losses.as_ref().and_then(|values| mean(sample, values, ANY)),
        brier: brier.as_ref().and_then(|values| mean(sample, values, UNIT)),
    };
    let (missing, missing_weight) = missing(&table.weight, margins);
    CandidateEvaluation {
        name: policy.name.clone(),
        incumbent: policy.incumbent,
        beta: policy.beta,
        missing,
        missing_weight_share: missing_weight,
        unusable: policy.unusable,
        equal: policy.equal,
        zero_margins: margins.iter().filter(|margin| margin.abs() <= 0.0).count() as u64,
        target: scores(target),
        observed: scores(logged),
        estimators: estimators(context, agreed),
        doubly_robust: Err(NotRobust::NotIdentified),
        calibration: policy.beta.and_then(|beta| calibration(table, margins, beta)),
        shifts: shifts(context, policy),
        slices: context
            .slices
            .iter()
            .map(|(slice, rows)| (slice.clone(), within(target, rows, agreed, UNIT)))
            .collect(),
        cells: cells(context, agreed),
    }
}

fn estimators(context: &Context<'_>, agreed: &[f64]) -> Vec<(String, Option<Estimate>)> {
    let mut made = vec![("inverse propensity weighted".to_owned(), ips(&context.target, agreed))];
    made.push(("cell form".to_owned(), cell_form(context.table, &context.target, agreed)));
    for (text, cap) in context.caps.iter().filter(|(_, cap)| cap.is_finite()) {
        made.push((format!("clipped at {text}"), clipped(&context.target, agreed, *cap)));
    }
    made
}

fn within(sample: &Sample<'_>, rows: &[u32], values: &[f64], range: (f64, f64)) -> Option<Estimate> {
    mean(&Sample { rows, ..*sample }, values, range)
}

fn cells(context: &Context<'_>, agreed: &[f64]) -> Vec<(usize, Option<Estimate>)> {
    let mut rows: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (row, cell) in context.target.rows.iter().zip(&context.table.cell) {
        rows.entry(*cell as usize).or_default().push(*row);
    }
    let named = context.table.p_target.iter().enumerate().filter(|(_, mass)| **mass > 0.0);
    let estimate = |cell: usize| within(&context.target, rows.get(&cell)?, agreed, UNIT);
    named.map(|(cell, _)| (cell, estimate(cell))).collect()
}

/// The shifts of the preferred and of the other response, where the answer is a or b.
fn shifts(context: &Context<'_>, policy: &PolicyColumns) -> Shifts {
    let pick = |when_a: &[f64], when_b: &[f64]| -> Vec<f64> {
        let both = when_a.iter().zip(when_b);
        let of = |((a, b), answer): ((&f64, &f64), &Answer)| match answer {
            Answer::A => *a,
            Answer::B => *b,
            Answer::Tie | Answer::Soft(_) => f64::NAN,
        };
        both.zip(&context.table.answers).map(of).collect()
    };
    Shifts {
        chosen: mean(&context.target, &pick(&policy.shift_a, &policy.shift_b), ANY),
        rejected: mean(&context.target, &pick(&policy.shift_b, &policy.shift_a), ANY),
    }
}

fn compare(
    context: &Context<'_>,
    candidates: &[CandidateEvaluation],
    (margins, scored): (&[Vec<f64>], &[Vec<f64>]),
    challenger: usize,
    incumbent: usize,
) -> ComparisonEvaluation {
    let empty: &[f64] = &[];
    let of = |all: &'_ [Vec<f64>], index: usize| all.get(index).map_or(empty.to_vec(), Clone::clone);
    let (ours, theirs) = (of(scored, challenger), of(scored, incumbent));
    let differences: Vec<f64> = ours.iter().zip(&theirs).map(|(own, other)| own - other).collect();
    let (our_margins, their_margins) = (of(margins, challenger), of(margins, incumbent));
    // Their product may be too small for a number.
    let disagree = |(own, other): &(&f64, &f64)| (**own > 0.0 && **other < 0.0) || (**own < 0.0 && **other > 0.0);
    let at_cap = |(_, cap): &(String, f64)| {
        let weights: Vec<f64> = context.table.weight.iter().map(|weight| weight.min(*cap)).collect();
        plain_mean(&weights, &differences)
    };
    let of_candidate = |index: usize| candidates.get(index);
    let name = |index| of_candidate(index).map(|own| own.name.clone()).unwrap_or_default();
    let missing = |index| of_candidate(index).map_or(1.0, |own| own.missing_weight_share);
    let slice =
        |(slice, rows): &(Slice, Vec<u32>)| (slice.clone(), within(&context.target, rows, &differences, DIFFERENCE));
    ComparisonEvaluation {
        challenger: name(challenger),
        incumbent: name(incumbent),
        difference: mean(&context.target, &differences, DIFFERENCE),
        observed_difference: mean(&context.logged, &differences, DIFFERENCE),
        disagreements: our_margins.iter().zip(&their_margins).filter(disagree).count() as u64,
        by_cap: context.caps.iter().map(at_cap).collect(),
        slices: context.slices.iter().map(slice).collect(),
        missing_weight_share: missing(challenger).max(missing(incumbent)),
    }
}

/// The indices of every challenger with every incumbent.
fn pairs(policies: &[PolicyColumns]) -> impl Iterator<Item = (usize, usize)> {
    let challengers = policies.iter().enumerate().filter(|(_, policy)| !policy.incumbent);
    challengers.flat_map(|(challenger, _)| {
        let incumbents = policies.iter().enumerate().filter(|(_, policy)| policy.incumbent);
        incumbents.map(move |(incumbent, _)| (challenger, incumbent))
    })
}

fn plain_mean(weights: &[f64], values: &[f64]) -> Option<f64> {
    let usable = || weights.iter().zip(values).filter(|(weight, value)| **weight > 0.0 && !value.is_nan());
    let total = usable().map(|(weight, _)| *weight).collect::<Sum>().value();
    (total > 0.0).then(|| usable().map(|(weight, value)| weight * value).collect::<Sum>().value() / total)
}

/// Rows without a margin, and their share of the weight.
fn missing(weights: &[f64], margins: &[f64]) -> (u64, f64) {
    let without = || weights.iter().zip(margins).filter(|(_, margin)| margin.is_nan());
    let total = weights.iter().copied().collect::<Sum>().value();
    let weight = without().map(|(weight, _)| *weight).collect::<Sum>().value();
    let count = without().count() as u64;
    (
        count,
        if count == 0 {
            0.0
        } else if total > 0.0 {
            weight / total
        } else {
            1.0
        },
    )
}

/// Kish's effective sample size, the mean square over the squared mean, and the mean.
fn moments(weights: &[f64]) -> (f64, f64, f64) {
    let n = as_f64(weights.len());
    let sum = weights.iter().copied().collect::<Sum>().value();
    let squares = weights.iter().map(|weight| weight * weight).collect::<Sum>().value();
    if sum > 0.0 && squares.is_finite() { (sum * sum / squares, squares / n, sum / n) } else { (0.0, 0.0, 0.0) }
}

/// p_T of the cells among those that `holds` picks that have no row of positive weight, and of all of them.
fn unsupported(table: &Comparisons, holds: impl Fn(usize) -> bool) -> (f64, f64) {
    let mut seen = vec![false; table.cells.len()];
    for (cell, weight) in table.cell.iter().zip(&table.weight) {
        if let Some(seen) = seen.get_mut(*cell as usize).filter(|_| *weight > 0.0) {
            *seen = true;
        }
    }
    let picked = || table.p_target.iter().zip(&seen).enumerate().filter(|(cell, _)| holds(*cell));
    let without = picked().filter(|(_, (_, seen))| !**seen).map(|(_, (mass, _))| mass).sum::<f64>();
    // A share of at most 1, whatever the rounding of the masses' sum.
    (without.min(1.0), picked().map(|(_, (mass, _))| mass).sum())
}

fn slice_unsupported(table: &Comparisons, regime: &Regime, slice: &Slice) -> f64 {
    let inside = |cell: usize| table.cells.get(cell).is_some_and(|levels| lies_in(slice, levels, &regime.cells));
    let (without, mass) = unsupported(table, inside);
    if mass > 0.0 { (without / mass).min(1.0) } else { 1.0 }
}

/// max p_T/p_O over the cells of the target, times the bound on g_T/g_O by design. `None` where a logged weight exceeds it.
fn largest_weight(table: &Comparisons, pair_bound: f64) -> Option<f64> {
    const ROUNDING: f64 = 1e-9;
    let largest = table.factors.iter().copied().fold(0.0, f64::max) * pair_bound;
    let seen = table.weight.iter().copied().fold(0.0, f64::max);
    (largest > 0.0 && largest.is_finite() && seen <= largest * (1.0 + ROUNDING)).then_some(largest)
}

/// The caps of the policy in the units of the weights.
fn limits(table: &Comparisons, caps: &[Cap]) -> Vec<(String, f64)> {
    let (_, _, mean) = moments(&table.weight);
    let mut ascending = table.weight.clone();
    ascending.sort_by(f64::total_cmp);
    let limit = |cap: &Cap| match cap.at {
        CapAt::None => Some(f64::INFINITY),
        CapAt::Times(times) => Some(times * mean),
        CapAt::Quantile(q) => quantile_linear(&ascending, q),
    };
    let usable = |cap: &Cap| limit(cap).filter(|limit| *limit > 0.0);
    caps.iter().filter_map(|cap| Some((cap.text.clone(), usable(cap)?))).collect()
}

/// Whether a cell lies in a slice.
fn lies_in(slice: &Slice, levels: &[String], covariates: &[String]) -> bool {
    slice.iter().all(|(covariate, level)| {
        let at = covariates.iter().position(|name| name == covariate);
        at.and_then(|at| levels.get(at)) == Some(level)
    })
}

fn slices(table: &Comparisons, regime: &Regime) -> Vec<(Slice, Vec<u32>)> {
    let of = |slice: &Slice| {
        let inside: Vec<bool> = table.cells.iter().map(|levels| lies_in(slice, levels, &regime.cells)).collect();
        let rows = (0_u32..).zip(&table.cell).filter(|(_, cell)| inside.get(**cell as usize) == Some(&true));
        (slice.clone(), rows.map(|(row, _)| row).collect())
    };
    regime.critical.iter().map(of).collect()
}

fn top_share(prompts: &Clusters, weights: &[f64]) -> Option<f64> {
    const TOP: usize = 10;
    let mut sums = vec![0.0; prompts.count];
    for (code, weight) in prompts.codes.iter().zip(weights) {
        *sums.get_mut(*code as usize)? += weight;
    }
    sums.sort_by(|a, b| f64::total_cmp(b, a));
    let total = sums.iter().copied().collect::<Sum>().value();
    (total > 0.0).then(|| sums.iter().take(TOP).copied().collect::<Sum>().value() / total)
}

/// With clustered rows, units are the clusters' sums, scaled to the same mean.
fn bound(table: &Comparisons, largest: f64, second_moment: f64) -> Option<FiniteSampleBound> {
    let class = table.policies.len() as u64;
    let n = as_f64(table.rows.len());
    match table.clusters.as_slice() {
        [] => finite_sample_bound((largest, second_moment), n, class, DELTA),
        [clusters] => {
            let mut sums = vec![(0.0, 0.0); clusters.count];
            for (code, weight) in clusters.codes.iter().zip(&table.weight) {
                let (sum, size) = sums.get_mut(*code as usize)?;
                *sum += weight;
                *size += 1.0;
            }
            let units = as_f64(sums.len());
            let widest = sums.iter().map(|(_, size)| *size).fold(0.0, f64::max) * units / n;
            let squares = sums.iter().map(|(sum, _)| (sum * units / n).powi(2)).collect::<Sum>().value() / units;
            finite_sample_bound((largest * widest, squares), units, class, DELTA)
        }
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
