//! The estimators of a target mean of scores in \[0, 1\], beside the self-normalised one.
//!
//! Owns: inverse propensity weighting, clipping, the cell form, doubly robust scores, what each assumes.
//! Must never: choose between them: the headline is the self-normalised mean, the others are shown beside it.

use super::mean::{Estimate, Influence, Sample, mean, with_errors};
use super::{Clusters, Comparisons};
use crate::numeric::Sum;

const UNIT: (f64, f64) = (0.0, 1.0);

/// Inverse propensity weighting, mean(w v) over the mean of the factors (Horvitz & Thompson 1952): unbiased where the
/// propensities are right, and not held to \[0, 1\]. `None` without rows.
pub fn ips(sample: &Sample<'_>, values: &[f64]) -> Option<Estimate> {
    let term = |row: &u32| {
        let at = *row as usize;
        let (weight, factor, value) = (*sample.weights.get(at)?, *sample.factors.get(at)?, *values.get(at)?);
        (factor > 0.0 && !value.is_nan()).then_some((*row, weight * value, factor, weight))
    };
    let terms: Vec<(u32, f64, f64, f64)> = sample.rows.iter().filter_map(term).collect();
    let expected = terms.iter().map(|(_, _, factor, _)| *factor).collect::<Sum>().value();
    if terms.is_empty() || !(expected > 0.0 && expected.is_finite()) {
        return None;
    }
    let estimate = terms.iter().map(|(_, product, ..)| *product).collect::<Sum>().value() / expected;
    let share = 1.0 / as_f64(terms.len());
    let values = terms.iter().map(|(row, product, ..)| (*row, product / expected - estimate * share)).collect();
    let sum = terms.iter().map(|(.., weight)| *weight).collect::<Sum>().value();
    let squares = terms.iter().map(|(.., weight)| weight * weight).collect::<Sum>().value();
    let unbounded = (f64::NEG_INFINITY, f64::INFINITY);
    Some(with_errors(sample, Influence { estimate, values }, sum * sum / squares, unbounded, None))
}

/// The self-normalised mean with weights held to `cap` times their mean over the sample (Ionides 2008): less variance, and
/// a bias towards what the log shows often. `None` where no weight is left. What holds at any sample size holds for the target, and
/// clipped weights are not the target's: there is no such interval here.
pub fn clipped(sample: &Sample<'_>, values: &[f64], cap: f64) -> Option<Estimate> {
    let weights: Vec<f64> = sample.weights.iter().map(|weight| weight.min(cap)).collect();
    mean(&Sample { weights: &weights, largest_weight: None, ..*sample }, values, UNIT)
}

/// The cell form, sum_c p_T(c) theta_c over the cells with rows, theta_c the mean within the cell weighted by the pair ratio
/// alone: post-stratification (Holt & Smith 1979), which needs no p_O. `None` where a cell that the target names has a
/// single row: its error is unknown.
pub fn cell_form(table: &Comparisons, sample: &Sample<'_>, values: &[f64]) -> Option<Estimate> {
    let cells = CellRows { cell: &table.cell, ratio: &table.pair_ratio, mass: &table.p_target };
    let (influence, n_eff) = post_stratified(&cells, sample, values)?;
    Some(with_errors(sample, influence, n_eff, UNIT, None))
}

/// Which cell each row lies in, its pair ratio, and the mass of each cell.
pub(super) struct CellRows<'a> {
    pub(super) cell: &'a [u32],
    pub(super) ratio: &'a [f64],
    pub(super) mass: &'a [f64],
}

/// The cell form with what each row adds to its error, and its effective sample size.
pub(super) fn post_stratified(rows: &CellRows<'_>, sample: &Sample<'_>, values: &[f64]) -> Option<(Influence, f64)> {
    let mut cells = vec![CellSums::default(); rows.mass.len()];
    let used: Vec<(u32, usize, f64, f64)> = sample
        .rows
        .iter()
        .filter_map(|row| {
            let at = *row as usize;
            let cell = *rows.cell.get(at)? as usize;
            let (ratio, value) = (*rows.ratio.get(at)?, *values.get(at)?);
            let target = *rows.mass.get(cell)?;
            (target > 0.0 && ratio > 0.0 && !value.is_nan()).then_some((*row, cell, ratio, value))
        })
        .collect();
    for (_, cell, ratio, value) in &used {
        cells.get_mut(*cell)?.add(*ratio, *value);
    }
    let mass = |(cell, _): (usize, &CellSums)| rows.mass.get(cell).copied().unwrap_or(0.0);
    let filled = || cells.iter().enumerate().filter(|(_, sums)| sums.n > 0.0);
    let supported: f64 = filled().map(mass).sum();
    if filled().any(|(_, sums)| sums.n < 2.0) || supported <= 0.0 {
        return None;
    }
    let theta = |cell: usize| cells.get(cell).map_or(f64::NAN, |own| own.product.value() / own.ratio.value());
    let share = |cell: usize| rows.mass.get(cell).map_or(0.0, |mass| mass / supported);
    let estimate: f64 = filled().map(|(cell, _)| share(cell) * theta(cell)).sum();
    let influence: Option<Vec<(u32, f64)>> = used
        .iter()
        .map(|(row, cell, ratio, value)| {
            let own = cells.get(*cell)?;
            // s_c^2 / n_c, with n_c - 1 in s_c^2.
            let correction = (own.n / (own.n - 1.0)).sqrt();
            Some((*row, share(*cell) * correction * ratio * (value - theta(*cell)) / own.ratio.value()))
        })
        .collect();
    let weight = |(_, cell, ratio, _): &(u32, usize, f64, f64)| {
        share(*cell) * ratio / cells.get(*cell).map_or(f64::NAN, |own| own.ratio.value())
    };
    let squares = used.iter().map(|row| weight(row).powi(2)).collect::<Sum>().value();
    Some((Influence { estimate, values: influence? }, 1.0 / squares))
}

/// One cell's sums.
#[derive(Debug, Clone, Copy, Default)]
struct CellSums {
    n: f64,
    ratio: Sum,
    product: Sum,
}

impl CellSums {
    fn add(&mut self, ratio: f64, value: f64) {
        self.n += 1.0;
        self.ratio.add(ratio);
        self.product.add(ratio * value);
    }
}

/// Doubly robust scores m_i + w_i (v_i - q_i), whose mean is the estimate (Robins, Rotnitzky & Zhao 1994; Dudík et al. 2014),
/// from the outcome model's mean over the target's pairs `direct` and its prediction `fitted` of the logged pair.
pub fn doubly_robust_scores(weights: &[f64], values: &[f64], direct: &[f64], fitted: &[f64]) -> Vec<f64> {
    let parts = weights.iter().zip(values).zip(direct.iter().zip(fitted));
    parts.map(|((weight, value), (direct, fitted))| direct + weight * (value - fitted)).collect()
}

/// What doubly robust scores do about large weights: each gives up some of what the weights correct for less variance, and
/// leaves that to the outcome model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Held {
    /// Nothing.
    Not,
    /// At most so much (Ionides 2008).
    Clipped(f64),
    /// Rows of a larger weight count through the model alone: a weight of 0 (Wang, Agarwal & Dudík 2017).
    Switched(f64),
    /// w l / (w^2 + l), which goes back to 0 as w grows (optimistic shrinkage; Su, Dimakopoulou, Krishnamurthy & Dudík 2020).
    Shrunk(f64),
}

impl Held {
    /// What is left of a weight of at least 0.
    pub fn of(self, weight: f64) -> f64 {
        match self {
            Held::Not => weight,
            Held::Clipped(cap) => weight.min(cap),
            Held::Switched(limit) => {
                if weight <= limit {
                    weight
                } else {
                    0.0
                }
            }
            Held::Shrunk(scale) => weight * scale / (weight * weight + scale),
        }
    }
}

/// The plain mean of scores that are weighted already, with its errors. `None` without any.
pub fn mean_of_scores(scores: &[f64], clusters: &[Clusters]) -> Option<Estimate> {
    let ones = vec![1.0; scores.len()];
    let rows: Vec<u32> = (0..u32::try_from(scores.len()).ok()?).collect();
    let sample = Sample { rows: &rows, weights: &ones, factors: &ones, clusters, largest_weight: None };
    mean(&sample, scores, (f64::NEG_INFINITY, f64::INFINITY))
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
