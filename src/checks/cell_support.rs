//! Does the log hold enough rows in every cell that the target names?

use super::{
    Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, at_least, at_most, cell_name, rows, share,
    slice_of,
};
use crate::declare::Levels;
use crate::weights::CellWeight;

pub(super) static CHECK: Check = Check {
    id: "cell-support",
    title: "Support of every target cell",
    source: "Lemma (2026), sections 5, 7 and 9 (overlap)",
    page: include_str!("../../docs/checks/cell-support.md"),
    needs: &[],
    run,
};

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let (min_rows, min_share) = (limits.number("min_rows")?, limits.number("min_share")?);
    let max_outside = limits.number("warn_outside_share")?;
    let audited = evidence.statistics.audited();
    let outside: u64 = evidence.weights.cells.values().filter(|cell| cell.p_target <= 0.0).map(|cell| cell.n).sum();
    let mut measures: Vec<Measure> = evidence
        .weights
        .cells
        .iter()
        .filter(|(_, cell)| cell.p_target > 0.0)
        .flat_map(|(levels, cell)| of_cell(evidence, levels, cell, min_rows, min_share))
        .collect();
    measures.push(
        Measure::held(
            "share of rows in cells outside the target",
            share(outside, audited),
            at_most("warn_outside_share", max_outside),
            Crossed::Warning,
        )
        .of_rows(audited),
    );
    // The weakest cell first: it is the headline.
    measures.sort_by(|a, b| b.crossed.cmp(&a.crossed).then(margin(a).total_cmp(&margin(b))));
    let thin: std::collections::BTreeSet<_> = measures
        .iter()
        .filter(|measure| measure.crossed == Crossed::Limit)
        .filter_map(|measure| measure.cell.clone())
        .collect();
    let message = message(evidence, thin.len(), outside, &measures);
    Ok(Finding::from_measures(
        measures,
        message,
        "collect comparisons in the cells named (paper, section 9: randomised or standardised traffic), or declare a target that does \
         not rest on them; rows outside the target weigh nothing: name their cells in the regime if they should count",
    ))
}

/// The cell's measures: labelled rows (the smaller of the two counts), its share of the log, and whether rows and the
/// declared p_O contradict each other.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn of_cell(evidence: &Evidence, levels: &Levels, cell: &CellWeight, min_rows: f64, min_share: f64) -> Vec<Measure> {
    let slice = slice_of(&evidence.regime.cells, levels);
    let usable = cell.n.min(cell.n_labelled);
    let mut measures = vec![
        Measure::held("labelled rows", usable as f64, at_least("min_rows", min_rows), Crossed::Limit),
        Measure::held("share of logged rows", cell.p_observed, at_least("min_share", min_share), Crossed::Limit),
    ];
    if cell.n > 0 && cell.p_observed <= 0.0 {
        measures.push(Measure::fault("rows although p_O is declared zero", cell.n, Crossed::Limit));
    }
    measures.into_iter().map(|measure| measure.of_rows(cell.n).in_cell(slice.clone())).collect()
}

/// How far a measure is above its bound, in units of the bound.
fn margin(measure: &Measure) -> f64 {
    match (measure.value, &measure.bound) {
        (Some(value), Some(bound)) if bound.value > 0.0 && measure.cell.is_some() => value / bound.value,
        _ => f64::INFINITY,
    }
}

fn message(evidence: &Evidence, thin: usize, outside: u64, measures: &[Measure]) -> String {
    let targeted = evidence.weights.cells.values().filter(|cell| cell.p_target > 0.0).count();
    let outside =
        if outside > 0 { format!("; outside the target, weighing nothing: {}", rows(outside)) } else { String::new() };
    let weakest = measures.iter().find(|measure| measure.cell.is_some()).map(|measure| {
        let levels: Levels =
            evidence.regime.cells.iter().filter_map(|name| measure.cell.as_ref()?.get(name).cloned()).collect();
        format!("{} with {}", cell_name(&levels), rows(measure.n.unwrap_or(0)))
    });
    let weakest = weakest.map_or(String::new(), |name| format!(", the weakest is {name}"));
    match thin {
        0 => format!("all {targeted} target cells have enough rows{weakest}{outside}"),
        thin => format!("{thin} of {targeted} target cells have too few rows{weakest}{outside}"),
    }
}
