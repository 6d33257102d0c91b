//! The tail of the weights, put together from the cells' tails.

use super::CellWeight;
use crate::declare::Levels;
use crate::numeric::{NotAssessable, pareto_k, pareto_k_limit, tail_length};
use crate::statistics::Statistics;
use std::collections::BTreeMap;

/// The Pareto shape of the weights' tail and how far it can be trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct TailShape {
    /// k-hat, or why it is not assessable.
    pub k: Result<f64, NotAssessable>,
    /// The largest k-hat at which estimates from this many rows are reliable; `None` for fewer than 2 rows.
    pub limit: Option<f64>,
    /// Weights that made the tail.
    pub length: usize,
    /// The tail length that the method asks for, where the statistics keep too few values for it.
    pub wanted: Option<usize>,
}

/// The largest weights, descending: all of them that are certain to be no smaller than any weight left out, at most `count`.
pub(super) fn largest(statistics: &Statistics, cells: &BTreeMap<Levels, CellWeight>, count: usize) -> Vec<f64> {
    let mut values = Vec::new();
    let mut complete_above = 0.0_f64;
    for (levels, cell) in &statistics.cells {
        let factor = cells.get(levels).map_or(0.0, CellWeight::factor);
        values.extend(cell.tail.values().iter().map(|ratio| factor * ratio));
        complete_above = complete_above.max(factor * cell.tail.complete_above().unwrap_or(0.0));
    }
    // Below this value, a cell's tail may have dropped weights that belong in between.
    values.retain(|value| *value >= complete_above);
    if count < values.len() {
        // Sorting what is not asked for would take most of the time.
        values.select_nth_unstable_by(count, |a, b| b.total_cmp(a));
        values.truncate(count);
    }
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values
}

/// k-hat over `n` weights (Vehtari et al. 2024, JMLR 25:72).
pub(super) fn shape(statistics: &Statistics, cells: &BTreeMap<Levels, CellWeight>, n: u64) -> TailShape {
    let wanted = tail_length(n);
    let values = largest(statistics, cells, wanted + 1);
    let length = wanted.min(values.len().saturating_sub(1));
    let fit = pareto_k(&values, length);
    TailShape {
        k: fit.map(|fit| fit.k),
        limit: pareto_k_limit(n),
        length: fit.map_or(length, |fit| fit.tail),
        wanted: (length < wanted).then_some(wanted),
    }
}
