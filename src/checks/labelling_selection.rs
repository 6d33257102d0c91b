//! How did the comparisons that were shown come to be labelled?

use super::{
    Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, at_least, at_most, rows, share, thousands,
};
use crate::declare::Levels;
use crate::numeric::chi_squared;
use crate::statistics::{InclusionCounts, Statistics};
use std::collections::BTreeSet;

pub(super) static CHECK: Check = Check {
    id: "labelling-selection",
    title: "Selection into labelling",
    source: "Lemma (2026), section 4; Horvitz & Thompson (1952), JASA 47:663; Pearson (1900)",
    page: include_str!("../../docs/checks/labelling-selection.md"),
    needs: &[],
    run,
};

const REMEDY: &str = "log the probability with which each shown comparison was selected for labelling and map it under \
    logs.columns.inclusion, or say under logs.selection how rows came to be labelled: routing, filters, sampling, instructions";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let max_invalid = limits.number("max_invalid_share")?;
    let (alpha, min_expected) = (limits.number("warn_alpha")?, limits.number("min_expected")?);
    let statistics = evidence.statistics;
    let (mut measures, mut message) = match statistics.inclusions {
        Some(counts) => by_probability(statistics, counts, max_invalid),
        None => by_description(evidence.audit.logs.selection.as_deref()),
    };
    if let Some(p_value) = unlabelled_by_cell(statistics, min_expected) {
        let measure = Measure::held(
            "p-value for missing labels that have nothing to do with the cell",
            p_value,
            at_least("warn_alpha", alpha),
            Crossed::Warning,
        );
        let crossed = if p_value <= alpha { Crossed::Warning } else { Crossed::Nothing };
        measures.push(Measure { crossed, ..measure }.of_rows(statistics.unlabelled.values().sum()));
        if crossed == Crossed::Warning {
            message.push_str("; labels are missing more often in some cells than in others");
        }
    }
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    Ok(Finding::from_measures(measures, message, REMEDY))
}

/// What the inclusion probabilities say.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn by_probability(statistics: &Statistics, counts: InclusionCounts, max_invalid: f64) -> (Vec<Measure>, String) {
    let read = counts.valid + counts.invalid;
    let bound = at_most("max_invalid_share", max_invalid);
    let audited = statistics.audited();
    let shown: f64 = statistics.cells.values().map(|cell| cell.shown_audited()).sum();
    let estimate = (shown > 0.0).then(|| audited as f64 / shown);
    let measures = vec![
        Measure::held(
            "share of rows without a valid inclusion probability",
            share(counts.invalid, read),
            bound,
            Crossed::Limit,
        )
        .of_rows(read),
        Measure::shown("smallest inclusion probability", counts.min).of_rows(counts.valid),
        Measure::shown("share of the shown comparisons that was selected, estimated", estimate).of_rows(audited),
    ];
    let message = match (counts.invalid, estimate) {
        (0, Some(estimate)) => format!(
            "every row counts one over its inclusion probability; the log is {:.1} % of what was shown, by these probabilities",
            100.0 * estimate
        ),
        (0, None) => "every row carries an inclusion probability, and none is audited".to_owned(),
        (invalid, _) => format!("{} of {} lack a valid inclusion probability", thousands(invalid), rows(read)),
    };
    (measures, message)
}

/// What the audit document says in words: declared, not tested.
fn by_description(selection: Option<&str>) -> (Vec<Measure>, String) {
    const SHOWN: usize = 200;
    let missing = Measure::fault("descriptions missing", u64::from(selection.is_none()), Crossed::Warning);
    let message = match selection {
        None => "the audit file does not say how rows were selected for labelling".to_owned(),
        Some(words) => {
            let more = if words.chars().nth(SHOWN).is_some() { "…" } else { "" };
            format!("declared, not tested: {}{more}", words.chars().take(SHOWN).collect::<String>())
        }
    };
    (vec![missing], message)
}

/// Pearson's test that labels are missing at the same rate in every cell, over the rows that are audited or lack but
/// their label. The counts of missing labels are held against their share of each cell's rows; the counts of the others
/// vary with them, hence 1 - rate. `None` where no label is missing, all are, or too few.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn unlabelled_by_cell(statistics: &Statistics, min_expected: f64) -> Option<f64> {
    let cells: BTreeSet<&Levels> = statistics.cells.keys().chain(statistics.unlabelled.keys()).collect();
    let missing: u64 = statistics.unlabelled.values().sum();
    let rate = share(missing, statistics.audited() + missing);
    let counts: Vec<(f64, f64)> = cells
        .into_iter()
        .map(|levels| {
            let missing = statistics.unlabelled.get(levels).copied().unwrap_or(0);
            let rows = missing + statistics.cells.get(levels).map_or(0, |cell| cell.audited.n);
            (missing as f64, rate * rows as f64)
        })
        .collect();
    (rate > 0.0 && rate < 1.0).then(|| chi_squared(&counts, min_expected)?.p_value(1.0 - rate)).flatten()
}
