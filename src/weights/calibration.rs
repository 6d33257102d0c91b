//! Evidence against the logged propensities: under correct ones the pair ratio g_T/g_O has mean 1 in every cell.

use crate::declare::{Levels, Pairs, Regime};
use crate::numeric::{Bin, log_e_value_above_one, log_e_value_below_one, t_test_of_mean_one};
use crate::statistics::{RatioMoments, Statistics};
use std::collections::BTreeMap;

/// The evidence in every cell with rows. Pairs are drawn independently given prompt and type, so rows need no clustering.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The bound on g_T/g_O that holds by design for every row of the log; without it "too small" is not testable.
    pub bound: Option<f64>,
    /// By cell.
    pub cells: BTreeMap<Levels, CellCalibration>,
}

/// One cell's evidence. Values are natural logarithms of e-values: 1/e is a p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellCalibration {
    /// Audited rows.
    pub n: u64,
    /// Mean of g_T/g_O.
    pub mean: f64,
    /// Against "the mean is at most 1".
    pub log_e_above: f64,
    /// Against "the mean is at least 1"; `None` without a design bound.
    pub log_e_below: Option<f64>,
    /// Student's t, a hint only; `None` without spread.
    pub t: Option<f64>,
}

/// The evidence of every cell; `None` under `pairs: logged`, where the ratio is 1 by declaration, and where rows of one
/// cell were selected with different probabilities.
pub fn calibrate(statistics: &Statistics, regime: &Regime) -> Option<Calibration> {
    if regime.pairs == Pairs::Logged || statistics.selected_within_cells() {
        return None;
    }
    let bound = design_bound(statistics, regime);
    let cells = statistics.cells.iter().filter(|(_, cell)| cell.audited.n > 0).map(|(levels, cell)| {
        // Selection with one probability leaves which pairs are seen as it is; it only scales the ratio that is kept.
        let scale = 1.0 / cell.common_inverse_inclusion().unwrap_or(1.0);
        let bins: Vec<Bin> = cell
            .histogram
            .bins(cell.audited.min, cell.audited.max)
            .into_iter()
            .map(|bin| Bin { from: bin.from * scale, to: bin.to * scale, ..bin })
            .collect();
        let mean = mean(&cell.audited) * scale;
        let calibration = CellCalibration {
            n: cell.audited.n,
            mean,
            log_e_above: log_e_value_above_one(&bins),
            log_e_below: bound.map(|bound| log_e_value_below_one(&bins, bound)),
            t: t_test_of_mean_one(cell.audited.n, mean, standard_deviation(&cell.audited, scale)).map(|(t, _)| t),
        };
        (levels.clone(), calibration)
    });
    Some(Calibration { bound, cells: cells.collect() })
}

/// The largest g_T/g_O that can occur by design: 1 under `pairs: logged`, else the bound that the mechanisms declare. `None`
/// without one, and where rows were selected for labelling, whose weights no design bounds.
pub fn largest_pair_ratio(statistics: &Statistics, regime: &Regime) -> Option<f64> {
    if statistics.inclusions.is_some() {
        return None;
    }
    if regime.pairs == Pairs::Logged { Some(1.0) } else { design_bound(statistics, regime) }
}

/// The largest `max_pair_ratio` of the mechanisms that drew the log's rows (of all declared ones where the log does not
/// name them); `None` when one of them declares none.
fn design_bound(statistics: &Statistics, regime: &Regime) -> Option<f64> {
    let drew = |id: &str| statistics.mechanisms.as_ref().is_none_or(|counts| counts.rows.contains_key(id));
    let bounds: Option<Vec<f64>> = regime
        .mechanisms
        .iter()
        .filter(|mechanism| drew(&mechanism.id))
        .map(|mechanism| mechanism.max_pair_ratio)
        .collect();
    bounds?.into_iter().max_by(f64::total_cmp)
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn mean(moments: &RatioMoments) -> f64 {
    moments.sum.value() / moments.n as f64
}

/// From the sums: exact enough for a hint.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn standard_deviation(moments: &RatioMoments, scale: f64) -> f64 {
    let (n, mean) = (moments.n as f64, mean(moments));
    scale * ((moments.sum_of_squares.value() - n * mean * mean).max(0.0) / (n - 1.0)).sqrt()
}
