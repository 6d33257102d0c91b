//! Sharper bounds, for true weights that also keep the mass of every cell.

use super::marginal::{Bounds, Level, Row, levels, marginal_bounds};
use crate::numeric::Sum;
use std::collections::BTreeMap;

/// The least and the largest of sum(v score) / sum(v) over the true weights that `lambda` allows and that sum, within every cell,
/// to what the computed weights sum to there (Dorn & Guo 2023, JASA 118:2645; quantile balancing in its exact finite form, by
/// filling up the rows with the most extreme scores first).
///
/// A cell of one row would leave only v = w, and few rows little more: a bound that is too good. Cells with fewer than
/// `min_rows` rows of positive weight keep their mass together only, with further small cells until they are enough; where
/// there are not, the bounds are the marginal ones.
pub fn sharp_bounds(rows: &[Row], cells: &[u32], lambda: f64, min_rows: usize) -> Option<Bounds> {
    if rows.len() != cells.len() || lambda.is_nan() || lambda < 1.0 {
        return None;
    }
    match Sharp::new(rows, cells, min_rows) {
        Some(sharp) => sharp.bounds(lambda),
        None => marginal_bounds(rows, lambda),
    }
}

/// The weights by score of every cell, small cells pooled: what the bounds depend on.
pub(super) struct Sharp {
    pools: Vec<Vec<Level>>,
    total: f64,
}

impl Sharp {
    /// `None` where there are too few rows for any cell to keep its mass.
    pub(super) fn new(rows: &[Row], cells: &[u32], min_rows: usize) -> Option<Sharp> {
        let pools: Vec<Vec<Level>> = pools(rows, cells, min_rows)?.iter().map(|pool| levels(pool)).collect();
        let weights = pools.iter().flatten().map(|level| level.fixed + level.varying);
        Some(Sharp { total: weights.collect::<Sum>().value(), pools })
    }

    pub(super) fn bounds(&self, lambda: f64) -> Option<Bounds> {
        if self.total.is_nan() || self.total <= 0.0 {
            return None;
        }
        let ends = self.pools.iter().map(|pool| ends(pool, lambda)).collect::<Vec<_>>();
        let mean = |end: fn(&Bounds) -> f64| ends.iter().map(end).collect::<Sum>().value() / self.total;
        Some(Bounds { lower: mean(|ends| ends.lower), upper: mean(|ends| ends.upper) })
    }
}

/// The rows with weight by cell, small cells pooled, the smallest first. `None` where all of them are too few.
fn pools(rows: &[Row], cells: &[u32], min_rows: usize) -> Option<Vec<Vec<Row>>> {
    let mut by_cell: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
    for (row, cell) in rows.iter().zip(cells).filter(|(row, _)| row.weight() > 0.0) {
        by_cell.entry(*cell).or_default().push(*row);
    }
    let mut cells: Vec<Vec<Row>> = by_cell.into_values().collect();
    cells.sort_by_key(Vec::len);
    let mut pooled: Vec<Row> = Vec::new();
    let mut kept: Vec<Vec<Row>> = Vec::new();
    for cell in cells {
        if cell.len() < min_rows || (!pooled.is_empty() && pooled.len() < min_rows) {
            pooled.extend(cell);
        } else {
            kept.push(cell);
        }
    }
    if !pooled.is_empty() {
        if pooled.len() < min_rows {
            return None;
        }
        kept.push(pooled);
    }
    Some(kept)
}

/// The least and the largest sum of v score in one cell.
fn ends(ascending: &[Level], lambda: f64) -> Bounds {
    let upper = filled(ascending.iter().rev().copied(), lambda);
    let negated = ascending.iter().map(|level| Level { score: -level.score, ..*level });
    Bounds { lower: -filled(negated, lambda), upper }
}

/// Every row starts at its least weight, and what the cell's mass leaves goes to the first in order, up to its most.
fn filled(descending: impl Iterator<Item = Level> + Clone, lambda: f64) -> f64 {
    let mut left = descending.clone().map(|level| level.varying * (1.0 - 1.0 / lambda)).collect::<Sum>().value();
    let product = descending.map(|level| {
        let room = level.varying * (lambda - 1.0 / lambda);
        let more = room.min(left.max(0.0));
        left -= more;
        (level.fixed + level.varying / lambda + more) * level.score
    });
    product.collect::<Sum>().value()
}
