//! The logged cells against the masses that a regime states by design.

use crate::declare::Levels;
use crate::numeric::chi_squared;
use crate::statistics::{CellStatistics, InverseInclusions};
use std::collections::{BTreeMap, BTreeSet};

/// The p-value of Pearson's test that the audited rows were drawn with the masses of the table, cells taken together until
/// each group expects `min_expected` rows. Assumes independent rows. `None` with fewer than two groups.
pub fn p_value_of_table(
    cells: &BTreeMap<Levels, CellStatistics>,
    masses: &BTreeMap<Levels, f64>,
    min_expected: f64,
) -> Option<f64> {
    let compared = against_table(cells, masses);
    let counts: Vec<(f64, f64)> = compared.iter().map(|(_, observed, expected)| (*observed, *expected)).collect();
    chi_squared(&counts, min_expected)?.p_value(design_effect(cells, masses))
}

/// Every cell with its count and the count that the table expects of as many rows. Where rows were selected for
/// labelling, counts are those of the comparisons shown, scaled to the number of rows.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
pub fn against_table<'a>(
    cells: &'a BTreeMap<Levels, CellStatistics>,
    masses: &'a BTreeMap<Levels, f64>,
) -> Vec<(&'a Levels, f64, f64)> {
    let n = cells.values().map(|cell| cell.audited.n).sum::<u64>() as f64;
    let shown: f64 = cells.values().map(CellStatistics::shown_audited).sum();
    let all: BTreeSet<&Levels> = cells.keys().chain(masses.keys()).collect();
    let observed = |levels| cells.get(levels).map_or(0.0, |cell| cell.shown_audited() * n / shown);
    let expected = |levels| n * masses.get(levels).copied().unwrap_or(0.0);
    let counts = all.into_iter().map(|levels| (levels, observed(levels), expected(levels)));
    counts.filter(|(_, observed, expected)| *observed > 0.0 || *expected > 0.0).collect()
}

/// The mean design effect of the estimated cell shares (Rao & Scott 1981, first-order correction): how much more they
/// vary than shares of as many independent draws, because rows stand for different numbers of shown comparisons. 1 where
/// every row stands for itself.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn design_effect(cells: &BTreeMap<Levels, CellStatistics>, masses: &BTreeMap<Levels, f64>) -> f64 {
    if cells.values().all(|cell| cell.shown.is_none()) {
        return 1.0;
    }
    let sums = |of: fn(&InverseInclusions) -> f64| -> f64 {
        cells.values().filter_map(|cell| cell.shown.as_ref()).map(|shown| of(&shown.audited)).sum()
    };
    let (sum, squares) = (sums(|inverse| inverse.sum.value()), sums(|inverse| inverse.sum_of_squares.value()));
    let n = cells.values().map(|cell| cell.audited.n).sum::<u64>() as f64;
    let positive: Vec<(&Levels, f64)> =
        masses.iter().map(|(l, mass)| (l, *mass)).filter(|(_, mass)| *mass > 0.0).collect();
    // Var(p) = sum v^2 (1{cell} - p)^2 / (sum v)^2, over the p (1 - p) / n of independent draws; their mean is weighted 1 - p.
    let terms = positive.iter().map(|(levels, p)| {
        let own = cells.get(*levels).and_then(|cell| cell.shown.as_ref());
        let own = own.map_or(0.0, |shown| shown.audited.sum_of_squares.value());
        n * ((1.0 - 2.0 * p) * own + p * p * squares) / (sum * sum * p)
    });
    (terms.sum::<f64>() / (positive.len() as f64 - 1.0)).max(1.0)
}
