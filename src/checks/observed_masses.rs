//! Were the cells logged as often as the regime states by design?

use super::{
    Check, Crossed, Evidence, Finding, Limits, Measure, Status, Undetermined, at_least, cell_name, rows, slice_of,
};
use crate::declare::{Levels, Observed};
use crate::numeric::chi_squared;
use crate::statistics::{CellStatistics, InverseInclusions};
use std::collections::{BTreeMap, BTreeSet};

pub(super) static CHECK: Check = Check {
    id: "observed-masses",
    title: "Logged masses as declared",
    source: "Pearson (1900), Philosophical Magazine 50:157; Rao & Scott (1981), JASA 76:221; Lemma (2026), section 5",
    page: include_str!("../../docs/checks/observed-masses.md"),
    needs: &[],
    run,
};

const REMEDY: &str = "compare the table under `observed` with how traffic was routed while these rows were logged, and look for rows lost \
    before the log; if the design does not fix the shares, declare `observed: empirical`";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let (alpha, min_expected) = (limits.number("alpha")?, limits.number("min_expected")?);
    let Observed::Table(masses) = &evidence.regime.observed else { return Ok(not_applicable()) };
    let n = evidence.statistics.audited();
    let compared = compare(&evidence.statistics.cells, masses);
    let impossible: u64 = evidence
        .statistics
        .cells
        .iter()
        .filter(|(levels, _)| masses.get(*levels).is_none_or(|mass| *mass <= 0.0))
        .map(|(_, cell)| cell.audited.n)
        .sum();
    let mut measures =
        vec![Measure::fault("rows in cells that the table gives no mass", impossible, Crossed::Limit).of_rows(n)];
    let p_value = p_value_of_table(&evidence.statistics.cells, masses, min_expected);
    match p_value {
        Some(p_value) => measures.insert(0, tested(p_value, alpha, n)),
        // One cell that holds all there is has nothing to be compared with.
        None if impossible > 0 || n > 0 && compared.len() == 1 => {}
        None => return Err(too_few(n)),
    }
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let furthest = furthest(&compared);
    measures.extend(furthest.iter().map(|(levels, observed, expected)| {
        Measure::shown("rows over what the table expects", observed / expected)
            .in_cell(slice_of(&evidence.regime.cells, levels))
            .of_rows(evidence.statistics.cells.get(*levels).map_or(0, |cell| cell.audited.n))
    }));
    let message = match (super::status_of(&measures), furthest.first(), impossible) {
        (_, _, 1..) => format!("{} lie in cells that the table says are never logged", rows(impossible)),
        (Status::Fail, Some((levels, observed, expected)), _) => format!(
            "the logged shares of the cells are not those declared (p = {:.1e}): {} has {:.2} times the rows expected",
            p_value.unwrap_or(f64::NAN),
            cell_name(levels),
            observed / expected
        ),
        _ => format!("{} are spread over the cells as the table declares", rows(n)),
    };
    Ok(Finding::from_measures(measures, message, REMEDY))
}

/// The p-value of Pearson's test that audited rows were drawn with these masses by cell (Pearson 1900; over the mean design
/// effect of Rao & Scott 1981 where rows stand for different numbers of shown comparisons). Rows are taken as independent.
///
/// `None` with fewer than two groups of cells that expect `min_expected` rows each.
pub fn p_value_of_table(
    cells: &BTreeMap<Levels, CellStatistics>,
    masses: &BTreeMap<Levels, f64>,
    min_expected: f64,
) -> Option<f64> {
    let counts: Vec<(f64, f64)> =
        compare(cells, masses).into_iter().map(|(_, observed, expected)| (observed, expected)).collect();
    chi_squared(&counts, min_expected)?.p_value(design_effect(cells, masses))
}

fn tested(p_value: f64, alpha: f64, n: u64) -> Measure {
    let name = "p-value for rows drawn with the declared masses";
    // A p-value at the level rejects, so that inside is strictly above it.
    let crossed = if p_value <= alpha { Crossed::Limit } else { Crossed::Nothing };
    Measure { crossed, ..Measure::held(name, p_value, at_least("alpha", alpha), Crossed::Limit) }.of_rows(n)
}

/// Every cell with its count and the count that the table expects of as many rows. Where rows were selected for
/// labelling, counts are those of the comparisons shown, scaled to the number of rows.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn compare<'a>(
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

/// The cells by how far their counts are from what is expected, in units of what chance allows; the furthest first.
fn furthest<'a>(compared: &[(&'a Levels, f64, f64)]) -> Vec<(&'a Levels, f64, f64)> {
    let distance = |(_, observed, expected): &(&Levels, f64, f64)| (observed - expected).powi(2) / expected;
    let mut cells: Vec<_> = compared.iter().copied().filter(|(_, _, expected)| *expected > 0.0).collect();
    cells.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
    cells
}

fn not_applicable() -> Finding {
    Finding {
        status: Status::NotApplicable,
        message: "the regime declares `observed: empirical`: the logged shares are counted, not stated".to_owned(),
        measures: Vec::new(),
        remedy: None,
        not_logged: false,
    }
}

fn too_few(n: u64) -> Undetermined {
    Undetermined {
        message: format!("{} are too few to hold against the table", rows(n)),
        remedy: "collect more rows: at least two groups of cells must expect `min_expected` each".to_owned(),
        not_logged: false,
        measures: Vec::new(),
    }
}
