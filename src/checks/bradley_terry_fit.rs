//! Does one score a response explain the choices?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_most, rows, thousands};
use crate::labels::{Cycle, PreferenceFit};

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
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let message = format!("{}; {}", calibration(fit, modelled.rows, misfit), circles(evidence, fit, &shown));
    Ok(Finding::from_measures(measures, message, REMEDY))
}

fn calibration(fit: &PreferenceFit, n: u64, misfit: bool) -> String {
    let verdict = if misfit { "differ beyond chance from" } else { "are within chance of" };
    format!("over {}, win rates {verdict} those that one score implies (mean distance {:.3})", rows(n), fit.error)
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
