//! Doubly robust evaluation from a sample of the target's pairs, which nobody labelled.
//!
//! Owns: the outcome model on both samples, the estimate, its error from both. Must never: take a part of the target that one of the
//! two samples does not hold for known.

use super::doubly_robust::{FOLDS, cross_fitted, folds, sigmoid};
use super::estimators::{CellRows, post_stratified};
use super::evaluate::SampleSize;
use super::mean::{Estimate, Interval, IntervalMethod, LEVEL, Sample, mean, with_errors};
use super::scores::{agreement, margins};
use super::{Answer, Comparisons, NotRobust, Outcomes, PolicyColumns, TargetSample};
use crate::logs::{Codes, Responses};
use crate::numeric::{Sum, chi_squared, t_quantile};

const UNIT: (f64, f64) = (0.0, 1.0);
const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// How large the sample is.
pub(super) fn describe(table: &Comparisons, sample: &TargetSample) -> SampleSize {
    /// Cells are taken together until so many pairs are expected of them (Cochran 1952).
    const MIN_EXPECTED: f64 = 5.0;
    let n = as_f64(sample.cell.len());
    let counts: Vec<(f64, f64)> =
        counts(table, sample).into_iter().zip(&table.p_target).map(|(own, mass)| (own, n * mass)).collect();
    SampleSize {
        pairs: sample.cell.len() as u64,
        clusters: sample.clusters.iter().map(|own| (own.role.clone(), own.count as u64)).collect(),
        of_logged_prompts: sample.prompt.iter().filter(|code| **code != Codes::MISSING).count() as u64,
        shares_p_value: chi_squared(&counts, MIN_EXPECTED).and_then(|own| own.p_value(1.0)),
    }
}

/// The pairs of the sample in each cell.
fn counts(table: &Comparisons, sample: &TargetSample) -> Vec<f64> {
    let mut counts = vec![0.0; table.cells.len()];
    for cell in &sample.cell {
        if let Some(count) = counts.get_mut(*cell as usize) {
            *count += 1.0;
        }
    }
    counts
}

/// The outcome model's word on both samples.
pub(super) struct Pool<'a> {
    table: &'a Comparisons,
    sample: &'a TargetSample,
    /// P(a preferred) of each comparison, by the fit on the other folds.
    logged: Vec<Answer>,
    /// The same of each pair of the sample: by the fit that leaves out its prompt where the log has that, else the mean over fits.
    sampled: Vec<Answer>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(
        table: &'a Comparisons,
        sample: &'a TargetSample,
        responses: Option<&'a Responses>,
    ) -> Result<Pool<'a>, NotRobust> {
        check_cells(table, &supported(table), &counts(table, sample))?;
        let (width, of_log, of_sample) = sample_differences(table, sample, responses)?;
        if width == 0 || !of_log.iter().chain(&of_sample).all(|difference| difference.is_finite()) {
            return Err(NotRobust::NoFit);
        }
        let folds = folds(table)?;
        let outcomes = Outcomes::of_differences(table, width, of_log.clone());
        let fits = cross_fitted(&outcomes, table, &folds)?;
        let wins = |fold: usize, cell: u32, differences: &[f64]| -> f64 {
            let utility = fits.get(fold).and_then(|cells| cells.get(cell as usize));
            utility.map_or(f64::NAN, |own| sigmoid(own.iter().zip(differences).map(|(u, d)| u * d).sum()))
        };
        let rows = of_log.chunks_exact(width).zip(&table.cell).zip(&folds);
        let logged = rows.map(|((own, cell), fold)| Answer::Soft(wins(*fold, *cell, own))).collect();
        let by_prompt = table.prompt.is_some();
        let pair = |((own, cell), prompt): ((&[f64], &u32), &u32)| {
            if by_prompt && *prompt != Codes::MISSING {
                return Answer::Soft(wins(*prompt as usize % FOLDS, *cell, own));
            }
            Answer::Soft((0..FOLDS).map(|fold| wins(fold, *cell, own)).sum::<f64>() / as_f64(FOLDS))
        };
        let sampled = of_sample.chunks_exact(width).zip(&sample.cell).zip(&sample.prompt).map(pair).collect();
        Ok(Pool { table, sample, logged, sampled })
    }

    pub(super) fn estimate(&self, policy: &PolicyColumns) -> Result<Estimate, NotRobust> {
        let own = self.sample.policies.iter().find(|own| own.name == policy.name).ok_or(NotRobust::Fitted)?;
        let direct = agreement(&margins(own), &self.sampled);
        let of_log = margins(policy);
        let values = agreement(&of_log, &self.table.answers);
        let fitted = agreement(&of_log, &self.logged);
        let residuals: Vec<f64> = values.iter().zip(&fitted).map(|(value, fitted)| value - fitted).collect();
        if direct.iter().chain(&residuals).any(|value| value.is_nan()) {
            return Err(NotRobust::MissingLogProbability);
        }
        sampled_doubly_robust(self.table, self.sample, &direct, &residuals).ok_or(NotRobust::NoFit)
    }
}

/// theta = sum_c p_T(c) mean_c(m) + sum(w (v - q)) / sum(w), with m the outcome model's score of a pair of the sample (`direct`),
/// v - q what a logged row's score is above the model's (`residuals`): Dudík et al. 2014, with two samples. The sample's cells count
/// by their p_T, whatever their share of it (post-stratification; Holt & Smith 1979), as far as the log supports them.
///
/// Both samples are drawn apart from each other: V is the sum of both parts' (each by row and by cluster), and, where rows are grouped
/// by prompt, of what they share through prompts that are in both. `None` without weight, or where a cell has fewer than two pairs.
pub fn sampled_doubly_robust(
    table: &Comparisons,
    sample: &TargetSample,
    direct: &[f64],
    residuals: &[f64],
) -> Option<Estimate> {
    let share = sample_weights(table, sample).ok()?;
    let masses = supported(table);
    let numbers = |count: usize| -> Vec<u32> { (0..u32::try_from(count).unwrap_or(u32::MAX)).collect() };
    let (pairs, rows, ratios) = (numbers(direct.len()), numbers(residuals.len()), vec![1.0; direct.len()]);
    let cells = CellRows { cell: &sample.cell, ratio: &ratios, mass: &masses };
    let of_sample =
        Sample { rows: &pairs, weights: &share, factors: &share, clusters: &sample.clusters, largest_weight: None };
    let (influence, n_eff) = post_stratified(&cells, &of_sample, direct)?;
    let of_pairs = influence.values.clone();
    let modelled = with_errors(&of_sample, influence, n_eff, ANY, None);
    let (weights, clusters) = (&table.weight, &table.clusters);
    let of_log = Sample { rows: &rows, weights, factors: weights, clusters, largest_weight: None };
    let correction = mean(&of_log, residuals, ANY)?;
    let total = weights.iter().copied().collect::<Sum>().value();
    let influence =
        |((row, weight), residual): ((u32, &f64), &f64)| (row, weight * (residual - correction.estimate) / total);
    let of_rows: Vec<(u32, f64)> = (0..).zip(weights).zip(residuals).map(influence).collect();
    Some(both(&modelled, &correction, covariance((table, &of_rows), (sample, &of_pairs))))
}

/// What both parts owe to prompts that both samples hold, where rows are grouped by prompt: the sum over these of the product of
/// their influences. 0 where that is negative: what it would take off the error is not to be relied on.
fn covariance(
    (table, of_rows): (&Comparisons, &[(u32, f64)]),
    (sample, of_pairs): (&TargetSample, &[(u32, f64)]),
) -> f64 {
    let Some(prompt) = &table.prompt else { return 0.0 };
    if !table.clusters.iter().any(|own| own.codes == prompt.codes) {
        return 0.0;
    }
    let sums = |values: &[(u32, f64)], codes: &[u32]| {
        let mut sums = vec![0.0; prompt.count];
        for (row, value) in values {
            let code = codes.get(*row as usize).and_then(|code| usize::try_from(*code).ok());
            if let Some(sum) = code.and_then(|code| sums.get_mut(code)) {
                *sum += value;
            }
        }
        sums
    };
    let (rows, pairs) = (sums(of_rows, &prompt.codes), sums(of_pairs, &sample.prompt));
    rows.iter().zip(&pairs).map(|(own, other)| own * other).collect::<Sum>().value().max(0.0)
}

/// p_T of the cells that have a row of positive weight, 0 of the others.
fn supported(table: &Comparisons) -> Vec<f64> {
    let mut masses = vec![0.0; table.p_target.len()];
    for (cell, _) in table.cell.iter().zip(&table.weight).filter(|(_, weight)| **weight > 0.0) {
        let cell = *cell as usize;
        if let (Some(own), Some(mass)) = (masses.get_mut(cell), table.p_target.get(cell)) {
            *own = *mass;
        }
    }
    masses
}

/// Every supported cell of the target takes two pairs: none would leave a part of the target out, and the error of one is unknown.
fn check_cells(table: &Comparisons, masses: &[f64], counts: &[f64]) -> Result<(), NotRobust> {
    let short =
        table.cells.iter().zip(masses.iter().zip(counts)).find(|(_, (mass, count))| **mass > 0.0 && **count < 2.0);
    match short {
        None => Ok(()),
        Some((levels, (_, count))) => Err(NotRobust::SampleCell {
            cell: levels.join(", "),
            pairs: if *count > 0.0 { "a single pair" } else { "no pair" },
        }),
    }
}

/// What every pair of the sample weighs: p_T over the number of pairs in its cell, 0 where the log does not support it.
///
/// # Errors
/// A supported cell of the target has fewer than two pairs.
pub fn sample_weights(table: &Comparisons, sample: &TargetSample) -> Result<Vec<f64>, NotRobust> {
    let (masses, counts) = (supported(table), counts(table, sample));
    check_cells(table, &masses, &counts)?;
    let of = |all: &[f64], cell: u32| all.get(cell as usize).copied().unwrap_or(0.0);
    Ok(sample.cell.iter().map(|cell| of(&masses, *cell) / of(&counts, *cell)).collect())
}

/// How many features there are, and phi(a) - phi(b) row by row, of the log and of the sample: from the log's columns where these hold
/// features, else from the responses file.
///
/// # Errors
/// There are no features, or a response is not in the responses file.
pub fn sample_differences(
    table: &Comparisons,
    sample: &TargetSample,
    responses: Option<&Responses>,
) -> Result<(usize, Vec<f64>, Vec<f64>), NotRobust> {
    if let (Some(own), Some(other)) = (&table.features, &sample.features) {
        let of = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        return Ok((own.width, of(&own.a, &own.b), of(&other.a, &other.b)));
    }
    let responses = responses.ok_or(NotRobust::NoFeatures)?;
    let features = responses.features.as_ref().ok_or(NotRobust::NoFeatures)?;
    let width = responses.width;
    let of = |response: u32| {
        let start = usize::try_from(response).ok().filter(|_| response != Codes::MISSING)?.checked_mul(width)?;
        Some((features.get(start..start + width)?, responses.prompts.codes.get(response as usize)?))
    };
    let listed = |a: &Option<Vec<u32>>, b: &Option<Vec<u32>>| -> Option<Vec<f64>> {
        let mut differences = Vec::new();
        for (a, b) in a.as_ref()?.iter().zip(b.as_ref()?) {
            let ((a, of_a), (b, of_b)) = (of(*a)?, of(*b)?);
            if of_a != of_b {
                return None;
            }
            differences.extend(a.iter().zip(b).map(|(a, b)| a - b));
        }
        Some(differences)
    };
    let of_log = listed(&table.response_a, &table.response_b).ok_or(NotRobust::UnknownResponse)?;
    let of_sample = listed(&sample.response_a, &sample.response_b).ok_or(NotRobust::UnknownPair)?;
    Ok((width, of_log, of_sample))
}

/// The sum of two means from different rows: V = V_1 + V_2 + 2 C, on the degrees of freedom of Welch (1947) where they share nothing, else
/// on the fewer of both.
fn both(modelled: &Estimate, correction: &Estimate, covariance: f64) -> Estimate {
    let estimate = modelled.estimate + correction.estimate;
    let added = |one: Option<f64>, other: Option<f64>, twice: f64| {
        Some((one?.powi(2) + other?.powi(2) + 2.0 * twice).sqrt()).filter(|se| se.is_finite())
    };
    let se = added(modelled.se, correction.se, covariance);
    let freedom = match covariance > 0.0 {
        // The same prompts twice are no more prompts.
        true => modelled.freedom.min(correction.freedom),
        false => welch((modelled.se, modelled.freedom), (correction.se, correction.freedom)),
    };
    let student = se.filter(|se| *se > 0.0).zip(t_quantile(LEVEL, freedom)).map(|(se, t)| Interval {
        low: (estimate - t * se).max(UNIT.0),
        high: (estimate + t * se).min(UNIT.1),
        method: IntervalMethod::Student,
    });
    let fewest = [modelled.effective_clusters, correction.effective_clusters].into_iter().flatten().reduce(f64::min);
    Estimate {
        estimate,
        n: correction.n,
        n_eff: correction.n_eff,
        effective_clusters: fewest,
        se_by_row: added(modelled.se_by_row, correction.se_by_row, 0.0),
        se_by_cluster: correction.se_by_cluster.iter().map(|own| added(modelled.se, *own, covariance)).collect(),
        se,
        freedom,
        interval: student.filter(|own| own.high > own.low),
        outer: None,
    }
}

/// (V_1 + V_2)^2 / (V_1^2 / d_1 + V_2^2 / d_2) (Welch 1947); a part without an error has no say.
fn welch((one, freedom): (Option<f64>, f64), (other, more): (Option<f64>, f64)) -> f64 {
    let variance = |se: Option<f64>| se.map_or(0.0, |se| se * se);
    let (first, second) = (variance(one), variance(other));
    let share = |variance: f64, freedom: f64| if variance > 0.0 { variance * variance / freedom } else { 0.0 };
    (first + second).powi(2) / (share(first, freedom) + share(second, more))
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
