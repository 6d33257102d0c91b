//! Does one score a response explain the choices?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined};
use super::{at_most, cell_name, rows, slice_of, thousands};
use crate::labels::{CellFit, Cycle, PreferenceFit};

pub(super) static CHECK: Check = Check {
    id: "bradley-terry-fit",
    title: "Fit of Bradley-Terry preferences",
    source: "Bradley & Terry (1952); expected calibration error (Naeini, Cooper & Hauskrecht 2015); intersection-union test (Berger 1982)",
    page: include_str!("../../docs/checks/bradley-terry-fit.md"),
    needs: &[Need::Candidates],
    run,
};

const REMEDY: &str = "do not read implied win rates or rewards of a model trained on this log as preferences; compare pairs directly, split \
                      the cells by what people disagree about, or train with a loss that does not assume one score";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let (alpha, max_error) = (limits.level("alpha")?, limits.number("warn_error")?);
    let most = limits.number("warn_cycles")?;
    let modelled = super::label_model(evidence)?;
    let fit = &modelled.fit;
    let misfit = fit.p_value.is_some_and(|p| p <= alpha);
    let name = "mean distance of observed and implied win rates";
    let error = match misfit {
        true => Measure::held(name, fit.error, at_most("warn_error", max_error), Crossed::Warning),
        false => Measure::shown(name, fit.error),
    };
    let shown: Vec<&Cycle> = fit.cycles.iter().filter(|own| own.p_value <= alpha).collect();
    let name = "intransitive triples of generators, beyond chance";
    let cycles = match fit.triples {
        0 => Measure::shown(name, None),
        _ => Measure::held(name, as_f64(shown.len() as u64), at_most("warn_cycles", most), Crossed::Warning),
    };
    let mut measures = vec![
        error.of_rows(modelled.rows),
        Measure::shown("smallest p-value that a bin or cell is as implied (Holm)", fit.p_value).of_rows(modelled.rows),
        cycles,
        Measure::shown("triples with prompts enough on all sides", as_f64(fit.triples)),
        Measure::shown("triples that go round in a circle, by chance or not", as_f64(fit.circular)),
    ];
    let cell = worst_cell(fit, alpha);
    measures.extend(cell.map(|own| of_cell(evidence, own, max_error)));
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let far = cell.filter(|own| distance(own) > max_error);
    let calibration = calibration(evidence, (fit, modelled.rows), misfit, far);
    let message = format!("{calibration}; {}", circles(evidence, fit, &shown));
    // Neither shown to differ nor shown to be close: there is too little to tell.
    let open = !misfit && (fit.p_value.is_none() || fit.error > max_error);
    if open && measures.iter().all(|measure| measure.crossed == Crossed::Nothing) {
        return Err(Undetermined {
            message: format!("too few labels to tell whether choices fit one score: {message}"),
            remedy: "label more comparisons, of more prompts".to_owned(),
            not_logged: false,
            measures,
        });
    }
    Ok(Finding::from_measures(measures, message, REMEDY))
}

/// The cell that differs most of those that differ beyond chance.
fn worst_cell(fit: &PreferenceFit, alpha: f64) -> Option<&CellFit> {
    let shown = fit.cells.iter().filter(|own| own.p_value.is_some_and(|p| p <= alpha));
    shown.max_by(|a, b| distance(a).total_cmp(&distance(b)))
}

fn distance(cell: &CellFit) -> f64 {
    (cell.observed - cell.implied).abs()
}

fn of_cell(evidence: &Evidence, own: &CellFit, max_error: f64) -> Measure {
    let name = "largest distance of a cell's agreement from the implied, beyond chance";
    let held = Measure::held(name, distance(own), at_most("warn_error", max_error), Crossed::Warning).of_rows(own.n);
    match levels(evidence, own) {
        Some(levels) => held.in_cell(slice_of(&evidence.regime.cells, levels)),
        None => held,
    }
}

fn levels<'a>(evidence: &Evidence<'a>, own: &CellFit) -> Option<&'a crate::declare::Levels> {
    evidence.comparisons?.cells.get(own.cell)
}

fn calibration(evidence: &Evidence, (fit, n): (&PreferenceFit, u64), misfit: bool, far: Option<&CellFit>) -> String {
    let verdict = if misfit { "differ beyond chance from" } else { "are within chance of" };
    let cell = far.map_or_else(String::new, |own| {
        let name = levels(evidence, own).map(cell_name).unwrap_or_default();
        let (observed, implied) = (100.0 * own.observed, 100.0 * own.implied);
        format!(", most in {name}: {observed:.0} % agree with the side that it favours, and {implied:.0} % should")
    });
    let of = rows(n);
    format!("over {of}, win rates {verdict} those that one score implies (mean distance {:.3}{cell})", fit.error)
}

fn circles(evidence: &Evidence, fit: &PreferenceFit, shown: &[&Cycle]) -> String {
    match (fit.triples, shown.first()) {
        (0, _) if evidence.comparisons.is_none_or(|table| table.generators.is_none()) => {
            "the log does not name both generators: no triples".to_owned()
        }
        (0, _) => "no three generators meet on prompts enough to form a triple".to_owned(),
        (triples, None) => {
            format!("none of {} triples of generators is intransitive beyond chance", thousands(triples))
        }
        (triples, Some(worst)) => {
            let [a, b, c] = &worst.generators;
            let [first, second, third] = worst.wins.map(|wins| 100.0 * wins);
            format!(
                "{} of {} triples of generators are intransitive beyond chance: {a} beats {b} ({first:.0} %), {b} beats {c} \
                 ({second:.0} %), {c} beats {a} ({third:.0} %)",
                shown.len(),
                thousands(triples)
            )
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
