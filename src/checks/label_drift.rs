//! Do people answer late in the log as they did early, and does every annotator answer alike?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_most, list, rows};
use crate::labels::{AnnotatorShift, Drift, Modelled};

pub(super) static CHECK: Check = Check {
    id: "label-drift",
    title: "Drift of the labels",
    source: "Lemma (2026), section 10 (nonstationarity of P(l | x, y, y')); Wasserman, Ramdas & Balakrishnan (2020); Ville (1939)",
    page: include_str!("../../docs/checks/label-drift.md"),
    needs: &[Need::Candidates],
    run,
};

const REMEDY: &str = "find out what changed (instructions, interface, people, the questions): audit the part of the log that the target is \
                      about, or declare the period and the annotators as covariates of the cells";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let alpha = limits.level("alpha")?;
    let (max_change, max_shift) = (limits.number("warn_change")?, limits.number("warn_annotator_shift")?);
    let modelled = super::label_model(evidence)?;
    let (mut measures, people) = annotators(modelled, alpha, max_shift);
    let Some(drift) = &modelled.drift else {
        if measures.iter().any(|measure| measure.crossed != Crossed::Nothing) {
            return Ok(Finding::from_measures(measures, people, REMEDY));
        }
        return Err(Undetermined {
            message: "the log carries no timestamps of two months at least: drift over time cannot be seen".to_owned(),
            remedy: "log when every comparison was labelled, and map it under logs.columns.timestamp".to_owned(),
            not_logged: true,
            measures,
        });
    };
    let (over_time, sentence) = over_time(drift, alpha, max_change);
    measures.splice(0..0, over_time);
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let message = if people.is_empty() { sentence } else { format!("{sentence}; {people}") };
    Ok(Finding::from_measures(measures, message, REMEDY))
}

/// Held against the limit only where chance is ruled out, by either of the two tests.
fn over_time(drift: &Drift, alpha: f64, max_change: f64) -> (Vec<Measure>, String) {
    let p_value = drift.gain.as_ref().and_then(|gain| gain.p_above(0.0));
    let log_e = drift.monitor.as_ref().map(|monitor| monitor.largest());
    // Each at half the level, so that both together keep it.
    let shown = p_value.is_some_and(|p| p <= alpha / 2.0) || log_e.is_some_and(|log_e| log_e >= (2.0 / alpha).ln());
    let n = drift.early + drift.late;
    let name = "mean change of an answer's probability, from early to late";
    let change = match shown {
        true => Measure::held(name, drift.mean_change, at_most("warn_change", max_change), Crossed::Warning),
        false => Measure::shown(name, drift.mean_change),
    };
    let measures = vec![
        change.of_rows(n),
        Measure::shown("p-value that late rows follow the early model", p_value).of_rows(n),
        Measure::shown(
            "largest evidence along the log, log10 of the e-value",
            log_e.map(|own| own / std::f64::consts::LN_10),
        ),
    ];
    let from = format!("{}-{:02}", drift.late_from.year, drift.late_from.month);
    let when = match drift.monitor.as_ref().and_then(|own| own.curve.iter().find(|at| at.log_e >= (2.0 / alpha).ln())) {
        Some(at) => format!("; the running test shows it first in {}-{:02}", at.month.year, at.month.month),
        None => String::new(),
    };
    let points = 100.0 * drift.mean_change;
    let sentence = match shown {
        true => format!(
            "from {from} on, {} follow another model than the {} before: answers' probabilities differ by {points:.1} points on average{when}",
            rows(drift.late),
            rows(drift.early)
        ),
        false => format!(
            "no change is shown between {} and {} from {from} on, nor along the way",
            rows(drift.early),
            rows(drift.late)
        ),
    };
    (measures, sentence)
}

fn annotators(modelled: &Modelled, alpha: f64, max_shift: f64) -> (Vec<Measure>, String) {
    let tested = || modelled.annotators.iter().filter(|own| own.p_value.is_some());
    let significant: Vec<&AnnotatorShift> = tested().filter(|own| own.p_value.is_some_and(|p| p <= alpha)).collect();
    let mut measures = Vec::new();
    let mut told = Vec::new();
    for own in &significant {
        let name = "agreement with the label model beyond the expected, less everybody's";
        let held = Measure::held(name, own.shift.abs(), at_most("warn_annotator_shift", max_shift), Crossed::Warning);
        if held.crossed != Crossed::Nothing {
            told.push(format!("annotator {} by first label ({:+.0} points)", own.ordinal, 100.0 * own.shift));
        }
        measures.push(
            Measure { value: Some(own.shift), ..held }
                .about(&format!("annotator {} by first label", own.ordinal))
                .of_rows(own.n),
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let count = tested().count() as f64;
    measures.push(Measure::shown("annotators with labels enough to be compared", count));
    let sentence = if told.is_empty() {
        String::new()
    } else {
        format!("{} answer unlike the label model and everybody else", list(&told))
    };
    (measures, sentence)
}
