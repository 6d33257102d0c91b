//! The summary of all weights.

use super::{CellWeight, QUANTILES, TailShape, tail};
use crate::declare::Levels;
use crate::logs::Label;
use crate::numeric::{Sum, quantile_linear_of_counts};
use crate::statistics::{CellStatistics, Statistics};
use std::collections::BTreeMap;

/// What the weights of the audited rows look like. Rows of weight zero count.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Rows.
    pub n: u64,
    /// Mean weight; 1 in expectation when the declaration, p_O and g_O agree.
    pub mean: f64,
    /// Mean square.
    pub mean_square: f64,
    /// Largest weight.
    pub max: f64,
    /// Kish's effective sample size.
    pub n_eff: f64,
    /// exp of the entropy of the normalised weights (Martino, Elvira & Louzada 2017).
    pub perplexity: f64,
    /// Type-7 quantiles by level, within 0.05 % of the exact value.
    pub quantiles: BTreeMap<String, f64>,
    /// Share of the total weight on the ceil(n / 100) rows with most.
    pub top_share: f64,
    /// The tail.
    pub tail: TailShape,
    /// The distribution, for a figure.
    pub histogram: Vec<HistogramBin>,
}

/// Weights between two edges.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramBin {
    /// Lower edge.
    pub from: f64,
    /// Upper edge.
    pub to: f64,
    /// Rows.
    pub rows: u64,
    /// Share of the total weight.
    pub weight_share: f64,
}

impl Summary {
    /// n_eff / n.
    pub fn n_eff_ratio(&self) -> f64 {
        self.n_eff / as_f64(self.n)
    }

    /// n / n_eff: 1 plus the squared coefficient of variation of the weights (Kish 1965).
    pub fn design_effect(&self) -> f64 {
        as_f64(self.n) / self.n_eff
    }

    /// The largest weight's share of the total.
    pub fn max_share(&self) -> f64 {
        self.max / (self.mean * as_f64(self.n))
    }

    /// 1 / the largest normalised weight.
    pub fn max_share_ess(&self) -> f64 {
        1.0 / self.max_share()
    }
}

/// The summary of weights that are given one by one, such as those of a table from elsewhere. Kish's n_eff, the
/// perplexity and the rest follow the same path as an audit's. `None` when they are not finite, not all at least 0,
/// or sum to zero.
pub fn summarize_values(weights: &[f64]) -> Option<Summary> {
    if weights.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return None;
    }
    let mut cell = CellStatistics::default();
    weights.iter().for_each(|weight| cell.add(Label::Abstain, *weight));
    let statistics = Statistics { cells: BTreeMap::from([(Vec::new(), cell)]), ..Statistics::default() };
    let unit = CellWeight {
        n: statistics.audited(),
        n_labelled: 0,
        p_target: 1.0,
        p_observed: 1.0,
        ratio: Some(1.0),
        n_eff: None,
        mean_pair_ratio: None,
        max_weight: None,
        weight_share: 1.0,
    };
    summarize(&statistics, &BTreeMap::from([(Vec::new(), unit)]))
}

/// Summarises the weights of all audited rows; `None` when there is nothing to divide by.
pub(super) fn summarize(statistics: &Statistics, cells: &BTreeMap<Levels, CellWeight>) -> Option<Summary> {
    let n = statistics.audited();
    let parts: Vec<(f64, &CellStatistics)> = statistics
        .cells
        .iter()
        .map(|(levels, cell)| (cells.get(levels).map_or(0.0, CellWeight::factor), cell))
        .collect();
    let sum: f64 = parts.iter().map(|(factor, cell)| factor * cell.audited.sum.value()).sum();
    let n_eff = super::kish(&parts.iter().map(|(factor, cell)| (*factor, &cell.audited)).collect::<Vec<_>>())?;
    let squares: f64 = parts.iter().map(|(factor, cell)| factor * factor * cell.audited.sum_of_squares.value()).sum();
    let max = parts.iter().map(|(factor, cell)| factor * cell.audited.max.max(0.0)).fold(0.0, f64::max);
    let ascending = values_with_counts(&parts);
    let rows_on_top = n.div_ceil(100);
    Some(Summary {
        n,
        mean: sum / as_f64(n),
        mean_square: squares / as_f64(n),
        max,
        n_eff,
        perplexity: perplexity(&parts, sum),
        quantiles: QUANTILES
            .iter()
            .filter_map(|(name, q)| Some(((*name).to_owned(), quantile_linear_of_counts(&ascending, *q)?)))
            .collect(),
        top_share: top_sum(statistics, cells, &ascending, rows_on_top) / sum,
        tail: tail::shape(statistics, cells, n),
        histogram: histogram(&ascending, sum),
    })
}

/// exp(H) with H = ln S - (sum w ln w) / S, from the cells' sums: w = f r, so w ln w = f (r ln f + r ln r).
fn perplexity(parts: &[(f64, &CellStatistics)], sum: f64) -> f64 {
    let weight_ln_weight: f64 = parts
        .iter()
        .filter(|(factor, _)| *factor > 0.0)
        .map(|(factor, cell)| {
            factor * (factor.ln() * cell.audited.sum.value() + cell.audited.sum_of_ratio_ln_ratio.value())
        })
        .sum();
    (sum.ln() - weight_ln_weight / sum).exp()
}

/// Every weight, to within the histogram's relative error, with the number of rows that have it; ascending.
pub(super) fn values_with_counts(parts: &[(f64, &CellStatistics)]) -> Vec<(f64, u64)> {
    let mut values = Vec::new();
    for (factor, cell) in parts {
        values.push((0.0, cell.histogram.zeros()));
        // The exact extremes bound the bucket representatives, so that a constant ratio keeps its exact value.
        let inside = |ratio: f64| ratio.max(cell.audited.min).min(cell.audited.max);
        values.extend(cell.histogram.buckets().map(|(ratio, count)| (factor * inside(ratio), count)));
    }
    // The cells' values ascend already: the stable sort merges such runs.
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values
}

/// The sum of the `count` largest weights: exact where the cells keep that many, else from the histogram.
fn top_sum(statistics: &Statistics, cells: &BTreeMap<Levels, CellWeight>, ascending: &[(f64, u64)], count: u64) -> f64 {
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let exact = tail::largest(statistics, cells, wanted);
    if exact.len() == wanted {
        return exact.iter().sum();
    }
    let mut left = count;
    let mut sum = 0.0;
    for (value, rows) in ascending.iter().rev() {
        let taken = left.min(*rows);
        sum += value * as_f64(taken);
        left -= taken;
    }
    sum
}

const FIGURE_BINS: usize = 40;

/// Bins of equal width in ln w over the positive weights.
#[expect(clippy::cast_precision_loss, reason = "a bin's index")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bins")]
fn histogram(ascending: &[(f64, u64)], sum: f64) -> Vec<HistogramBin> {
    let positive: Vec<&(f64, u64)> = ascending.iter().filter(|(value, _)| *value > 0.0).collect();
    let (Some(first), Some(last)) = (positive.first(), positive.last()) else { return Vec::new() };
    let (low, high) = (first.0.ln(), last.0.ln());
    let bins = if high - low < 1e-9 { 1 } else { FIGURE_BINS };
    let width = (high - low) / bins as f64;
    let edge = |index: usize| (low + width * index as f64).exp();
    let mut result: Vec<HistogramBin> = (0..bins)
        .map(|index| HistogramBin { from: edge(index), to: edge(index + 1), rows: 0, weight_share: 0.0 })
        .collect();
    for (value, count) in positive {
        let index = if bins == 1 { 0 } else { (((value.ln() - low) / width) as usize).min(bins - 1) };
        result[index].rows += count;
        result[index].weight_share += value * as_f64(*count) / sum;
    }
    result
}

/// The sum of f(weight) over rows.
pub(super) fn total(values: &[(f64, u64)], f: impl Fn(f64) -> f64) -> f64 {
    values.iter().map(|(weight, count)| f(*weight) * as_f64(*count)).collect::<Sum>().value()
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}
