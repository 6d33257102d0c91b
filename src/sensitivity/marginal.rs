//! The marginal sensitivity model: what a weighted mean can be if each true weight is within a factor of the computed one.

use crate::numeric::Sum;

/// Which part of a weight is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Box {
    /// The whole weight: w/Lambda <= v <= w Lambda (Soriano et al. 2023, arXiv 2102.13218).
    Ratio,
    /// The odds of being shown: base (1 + (1/e - 1)/Lambda) <= v <= base (1 + (1/e - 1) Lambda) with e = g_O and base = w e (Tan 2006,
    /// JASA 101:1619; Zhao, Small & Bhattacharya 2019, JRSSB 81:735).
    Tan,
}

/// A row: its score, and its weight in two parts. The true weight is `fixed + varying f` with f in \[1/Lambda, Lambda\].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// What is averaged.
    pub score: f64,
    /// The part of the weight that is not in doubt, at least 0.
    pub fixed: f64,
    /// The part that is, at least 0.
    pub varying: f64,
}

impl Row {
    /// A row of weight `weight`, whose pair was shown with probability `propensity`.
    pub fn new(shape: Box, score: f64, weight: f64, propensity: f64) -> Row {
        match shape {
            Box::Ratio => Row { score, fixed: 0.0, varying: weight },
            Box::Tan => Row { score, fixed: weight * propensity, varying: weight * (1.0 - propensity) },
        }
    }

    /// Its weight as computed.
    pub fn weight(&self) -> f64 {
        self.fixed + self.varying
    }
}

/// An interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Its lower end.
    pub lower: f64,
    /// Its upper end.
    pub upper: f64,
}

/// Weights summed by score: what the bounds depend on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Level {
    pub(super) score: f64,
    pub(super) fixed: f64,
    pub(super) varying: f64,
}

/// The least and the largest of sum(v score) / sum(v) over all true weights v that `lambda` >= 1 allows. Zero weights stay zero:
/// no lambda makes up for missing support.
///
/// For the difference of two policies `score` is the difference of their scores, on the same v: subtracting two intervals would
/// combine worst cases that exclude each other. `None` without weight, or for a lambda below 1.
pub fn marginal_bounds(rows: &[Row], lambda: f64) -> Option<Bounds> {
    bounds_of_levels(&levels(rows), lambda)
}

/// Rows of one score together, in ascending order of the score.
pub(super) fn levels(rows: &[Row]) -> Vec<Level> {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    sorted
        .chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq())
        .map(|rows| Level {
            score: rows.first().map_or(0.0, |row| row.score),
            fixed: rows.iter().map(|row| row.fixed).collect::<Sum>().value(),
            varying: rows.iter().map(|row| row.varying).collect::<Sum>().value(),
        })
        .collect()
}

/// The extremes have a threshold: everything above it weighs the most that it can, everything below the least, or the reverse
/// (Zhao, Small & Bhattacharya 2019, proposition 2). One sweep over the levels finds it.
pub(super) fn bounds_of_levels(ascending: &[Level], lambda: f64) -> Option<Bounds> {
    if lambda.is_nan() || lambda < 1.0 {
        return None;
    }
    let upper = largest(ascending.iter().copied(), lambda)?;
    let negated = ascending.iter().rev().map(|level| Level { score: -level.score, ..*level });
    Some(Bounds { lower: -largest(negated, lambda)?, upper })
}

/// The largest mean, over all thresholds: levels before it weigh fixed + varying / lambda, levels from it on
/// fixed + varying lambda.
fn largest(ascending: impl Iterator<Item = Level> + Clone, lambda: f64) -> Option<f64> {
    let (mut weight, mut product) = (Sum::default(), Sum::default());
    for level in ascending.clone() {
        let most = level.fixed + level.varying * lambda;
        weight.add(most);
        product.add(most * level.score);
    }
    if weight.value().is_nan() || weight.value() <= 0.0 {
        return None;
    }
    let mut best = product.value() / weight.value();
    for level in ascending {
        let less = level.varying * (lambda - 1.0 / lambda);
        weight.add(-less);
        product.add(-less * level.score);
        if weight.value() > 0.0 {
            best = best.max(product.value() / weight.value());
        }
    }
    best.is_finite().then_some(best)
}

/// The largest lambda at which a lower end, which falls as lambda grows, is still above 0, by bisection from below. `None` where
/// it is not above 0 at 1.
pub fn tipping_lambda(lower_end: &dyn Fn(f64) -> Option<f64>) -> Option<f64> {
    const HIGHEST: f64 = 1e6;
    const PRECISION: f64 = 1e-6;
    let above = |lambda: f64| lower_end(lambda).is_some_and(|lower| lower > 0.0);
    if !above(1.0) {
        return None;
    }
    let (mut low, mut high) = (1.0_f64, 2.0_f64);
    while high < HIGHEST && above(high) {
        low = high;
        high *= 2.0;
    }
    while high - low > PRECISION * low {
        let middle = 0.5 * (low + high);
        if above(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(low)
}
