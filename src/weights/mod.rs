//! The change of measure: w = p_T/p_O x g_T/g_O (over the inclusion probability, where rows were selected), and what the weights say about overlap.
//!
//! Owns: p_O, the cell factors p_T/p_O, the weight summary, where further comparisons would help most. Works from statistics alone.
//! Must never: read rows, or compare anything with a limit.

mod allocation;
mod calibration;
mod clipping;
mod concentration;
mod information;
mod masses;
mod sides;
mod subgroups;
mod summary;
mod tail;

pub use allocation::{Allocation, NotPlanned, PlannedCell, allocate};
pub use calibration::{Calibration, CellCalibration, calibrate, largest_pair_ratio};
pub use clipping::{Clipped, clip, clip_all};
pub use concentration::{TOP, row_factors, top_share, total_weight, weight_share};
pub use information::{Information, information};
pub use masses::{against_table, p_value_of_table};
pub use sides::{Sides, share_of_side_a, sides};
pub use subgroups::{Subgroup, subgroup};
pub use summary::{HistogramBin, Summary, summarize_values};
pub use tail::TailShape;

use crate::declare::{Levels, Observed, Regime};
use crate::statistics::{RatioMoments, Statistics};
use std::collections::BTreeMap;

/// The levels at which the weight's quantiles are reported.
pub const QUANTILES: [(&str, f64); 8] = [
    ("0.01", 0.01),
    ("0.05", 0.05),
    ("0.25", 0.25),
    ("0.5", 0.5),
    ("0.75", 0.75),
    ("0.95", 0.95),
    ("0.99", 0.99),
    ("0.999", 0.999),
];

/// The weights of a log under a declared target.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Every cell that the target names or the log holds.
    pub cells: BTreeMap<Levels, CellWeight>,
    /// p_T of the cells without an audited row (or, with `observed: table`, where p_O is declared zero).
    pub unsupported_target_mass: f64,
    /// Over all audited rows, abstentions included; `None` when the weights sum to nothing that can be divided by.
    pub summary: Option<Summary>,
    /// Rows and Kish's effective sample size of the labelled rows alone, p_O recomputed over them.
    pub labelled: EffectiveSize,
    /// Target-weighted, self-normalised share of comparisons that a wins among the labelled rows of the supported
    /// cells (ties one half); `None` without labelled weight.
    pub share_won_by_a: Option<f64>,
}

/// One cell's masses and weights.
#[derive(Debug, Clone, PartialEq)]
pub struct CellWeight {
    /// Audited rows.
    pub n: u64,
    /// Labelled rows among them.
    pub n_labelled: u64,
    /// p_T of the cell; 0 where the target does not name it.
    pub p_target: f64,
    /// p_O of the cell: counted over the audited rows (1/inclusion of them a row, where that is logged), or declared.
    pub p_observed: f64,
    /// p_T/p_O; `None` where p_O is zero.
    pub ratio: Option<f64>,
    /// Kish's effective sample size within the cell; `None` without rows of positive weight.
    pub n_eff: Option<f64>,
    /// Mean of g_T/g_O over the comparisons shown in the cell, which the audited rows stand for; `None` without rows.
    pub mean_pair_ratio: Option<f64>,
    /// Largest weight in the cell; `None` without rows.
    pub max_weight: Option<f64>,
    /// Share of the total weight.
    pub weight_share: f64,
}

impl CellWeight {
    /// The factor that turns a pair ratio of the cell into a weight: p_T/p_O, and 0 where that is not defined.
    pub fn factor(&self) -> f64 {
        self.ratio.unwrap_or(0.0)
    }
}

/// A number of rows and what they are worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EffectiveSize {
    /// Rows.
    pub n: u64,
    /// Kish's effective sample size, (sum w)^2 / sum w^2 (Kish 1965, section 11.7); `None` where it is not defined.
    pub n_eff: Option<f64>,
}

/// Weighs a log's statistics under the declared target.
pub fn weigh(statistics: &Statistics, regime: &Regime) -> Weights {
    let shown = statistics.cells.iter().map(|(levels, cell)| (levels.clone(), cell.shown_audited()));
    let observed = observed_masses(regime, shown);
    let target = regime.target_masses(&observed);
    let mut cells: BTreeMap<Levels, CellWeight> = target
        .keys()
        .chain(statistics.cells.keys())
        .map(|levels| (levels.clone(), cell_weight(levels, statistics, &target, &observed)))
        .collect();
    let total: f64 = cells.iter().map(|(levels, cell)| cell.factor() * ratio_sum(statistics, levels)).sum();
    for (levels, cell) in &mut cells {
        cell.weight_share = if total > 0.0 { cell.factor() * ratio_sum(statistics, levels) / total } else { 0.0 };
    }
    let (labelled, share_won_by_a) = weigh_labelled(statistics, regime, &target, &observed);
    Weights {
        unsupported_target_mass: cells
            .values()
            .filter(|cell| cell.n == 0 || cell.ratio.is_none())
            .map(|cell| cell.p_target)
            .sum(),
        summary: summary::summarize(statistics, &cells),
        cells,
        labelled,
        share_won_by_a,
    }
}

/// p_O by cell: as declared, or the cells' shares of the comparisons that were shown. Those are the rows themselves, or,
/// where rows were selected for labelling, 1/inclusion of them a row (Horvitz & Thompson 1952, JASA 47:663): within a
/// cell, the weights p_T/p_O x g_T/g_O / inclusion then sum to p_T of the total again.
fn observed_masses(regime: &Regime, shown: impl Iterator<Item = (Levels, f64)>) -> BTreeMap<Levels, f64> {
    match &regime.observed {
        Observed::Table(masses) => masses.clone(),
        Observed::Empirical => {
            let shown: BTreeMap<Levels, f64> = shown.filter(|(_, n)| *n > 0.0).collect();
            let total: f64 = shown.values().sum();
            shown.into_iter().map(|(levels, n)| (levels, n / total)).collect()
        }
    }
}

fn ratio_sum(statistics: &Statistics, levels: &Levels) -> f64 {
    statistics.cells.get(levels).map_or(0.0, |cell| cell.audited.sum.value())
}

fn cell_weight(
    levels: &Levels,
    statistics: &Statistics,
    target: &BTreeMap<Levels, f64>,
    observed: &BTreeMap<Levels, f64>,
) -> CellWeight {
    let p_target = target.get(levels).copied().unwrap_or(0.0);
    let p_observed = observed.get(levels).copied().unwrap_or(0.0);
    let ratio = (p_observed > 0.0).then(|| p_target / p_observed);
    let cell = statistics.cells.get(levels).filter(|cell| cell.audited.n > 0);
    CellWeight {
        n: cell.map_or(0, |cell| cell.audited.n),
        n_labelled: cell.map_or(0, |cell| cell.labelled.n),
        p_target,
        p_observed,
        ratio,
        n_eff: cell.filter(|_| ratio.is_some_and(|ratio| ratio > 0.0)).and_then(|cell| kish(&[(1.0, &cell.audited)])),
        mean_pair_ratio: cell.map(|cell| cell.audited.sum.value() / cell.shown_audited()),
        max_weight: cell.map(|cell| ratio.unwrap_or(0.0) * cell.audited.max),
        weight_share: 0.0,
    }
}

/// p_O of each cell over the labelled rows: abstentions must not shift the cell masses.
fn labelled_masses(
    statistics: &Statistics,
    regime: &Regime,
    observed: &BTreeMap<Levels, f64>,
) -> BTreeMap<Levels, f64> {
    let shown = statistics.cells.iter().map(|(levels, cell)| (levels.clone(), cell.shown_labelled()));
    match regime.observed {
        Observed::Table(_) => observed.clone(),
        Observed::Empirical => observed_masses(regime, shown),
    }
}

/// p_T/p_O of each cell over the labelled rows; 0 where it is not defined.
fn labelled_factors(
    statistics: &Statistics,
    regime: &Regime,
    target: &BTreeMap<Levels, f64>,
    observed: &BTreeMap<Levels, f64>,
) -> BTreeMap<Levels, f64> {
    // A multiplier target stays what it was over the audited rows.
    let observed = labelled_masses(statistics, regime, observed);
    let factor = |levels: &Levels| match (target.get(levels), observed.get(levels)) {
        (Some(p_target), Some(p_observed)) if *p_observed > 0.0 => p_target / p_observed,
        _ => 0.0,
    };
    statistics.cells.keys().map(|levels| (levels.clone(), factor(levels))).collect()
}

fn weigh_labelled(
    statistics: &Statistics,
    regime: &Regime,
    target: &BTreeMap<Levels, f64>,
    observed: &BTreeMap<Levels, f64>,
) -> (EffectiveSize, Option<f64>) {
    let factors = labelled_factors(statistics, regime, target, observed);
    let factor = |levels: &Levels| factors.get(levels).copied().unwrap_or(0.0);
    let parts: Vec<(f64, &RatioMoments)> =
        statistics.cells.iter().map(|(levels, cell)| (factor(levels), &cell.labelled)).collect();
    let weight: f64 = parts.iter().map(|(factor, moments)| factor * moments.sum.value()).sum();
    let won: f64 = statistics.cells.iter().map(|(levels, cell)| factor(levels) * cell.ratio_times_label.value()).sum();
    let size = EffectiveSize { n: statistics.labelled(), n_eff: kish(&parts) };
    (size, (weight > 0.0).then(|| won / weight))
}

/// Kish's effective sample size of rows in cells with a common factor each; `None` where it is not defined: no weight,
/// or squares that vanish or overflow in f64.
fn kish(parts: &[(f64, &RatioMoments)]) -> Option<f64> {
    let sum: f64 = parts.iter().map(|(factor, moments)| factor * moments.sum.value()).sum();
    let squares: f64 = parts.iter().map(|(factor, moments)| factor * factor * moments.sum_of_squares.value()).sum();
    let n_eff = sum * sum / squares;
    (squares > 0.0 && squares.is_finite() && n_eff.is_finite()).then_some(n_eff)
}
