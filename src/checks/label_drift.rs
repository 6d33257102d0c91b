//! Do people answer late in the log as they did early, and does every annotator answer alike?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined};
use super::{at_least, at_most, cell_name, list, rows, share};
use crate::labels::{AnnotatorShift, Drift, Modelled, Part, PartChange};

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
    let bounds = Bounds {
        level: limits.level("alpha")?,
        change: limits.number("warn_change")?,
        shift: limits.number("warn_annotator_shift")?,
        part: limits.number("warn_part_change")?,
        rows: limits.number("min_rows")?,
        untimed: limits.number("max_untimed_share")?,
    };
    let modelled = super::label_model(evidence)?;
    let (mut measures, people) = annotators(modelled, &bounds);
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
    let (over_time, whole) = over_time(drift, &bounds);
    let (within, parts) = within_parts(evidence, drift, &bounds);
    let (lacking, why) = lacking(drift, modelled.rows, &bounds);
    let told = |sentence: &String| !sentence.is_empty();
    let message = [whole, parts, people].into_iter().filter(told).collect::<Vec<_>>().join("; ");
    measures.splice(0..0, over_time.into_iter().chain(within).chain(lacking));
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    if measures.iter().all(|measure| measure.crossed == Crossed::Nothing) && !why.is_empty() {
        return Err(Undetermined {
            message: format!("{}: {message}", list(&why)),
            remedy: "label more comparisons over a longer time, and log when every one was labelled".to_owned(),
            not_logged: false,
            measures,
        });
    }
    Ok(Finding::from_measures(measures, message, REMEDY))
}

/// The policy's limits.
struct Bounds {
    level: f64,
    change: f64,
    shift: f64,
    part: f64,
    rows: f64,
    untimed: f64,
}

impl Bounds {
    /// Three tests of time share the level: early against late, along the way, within parts.
    fn share_of_level(&self) -> f64 {
        self.level / 3.0
    }
}

/// Held against the limit only where chance is ruled out, by either of the two tests.
fn over_time(drift: &Drift, bounds: &Bounds) -> (Vec<Measure>, String) {
    let level = bounds.share_of_level();
    let p_value = p_value(drift);
    let log_e = drift.monitor.as_ref().map(|monitor| monitor.largest());
    let along_the_way = log_e.is_some_and(|log_e| log_e >= -level.ln());
    let shown = p_value.is_some_and(|p| p <= level) || along_the_way;
    let n = drift.early + drift.late;
    let held = |name: &str, shown: bool, value: Option<f64>| match value.filter(|_| shown) {
        Some(value) => Measure::held(name, value, at_most("warn_change", bounds.change), Crossed::Warning),
        None => Measure::shown(name, value),
    };
    let stretch = drift.monitor.as_ref().map(|monitor| monitor.largest_change());
    let measures = vec![
        held("mean change of an answer's probability, from early to late", shown, Some(drift.mean_change)).of_rows(n),
        Measure::shown("p-value that late rows follow the early model", p_value).of_rows(n),
        Measure::shown(
            "largest evidence along the log, log10 of the e-value",
            log_e.map(|own| own / std::f64::consts::LN_10),
        ),
        held("largest mean change of four stretches from all before and of them", along_the_way, stretch),
    ];
    let from = format!("{}-{:02}", drift.late_from.year, drift.late_from.month);
    let first = drift.monitor.as_ref().and_then(|own| own.curve.iter().find(|at| at.log_e >= -level.ln()));
    let when = match first {
        Some(at) => format!(
            "; the running test shows it first in {}-{:02}, of up to {:.1} points",
            at.month.year,
            at.month.month,
            100.0 * stretch.unwrap_or(f64::NAN)
        ),
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

fn p_value(drift: &Drift) -> Option<f64> {
    drift.gain.as_ref().and_then(|gain| gain.p_above(0.0))
}

/// What there is too little of for "no change" to say anything, and why.
fn lacking(drift: &Drift, all: u64, bounds: &Bounds) -> (Vec<Measure>, Vec<String>) {
    let fewer = drift.early.min(drift.late);
    #[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
    let least = fewer as f64;
    let untimed = share(drift.untimed, all);
    let measures = vec![
        Measure::held("rows of the shorter half", least, at_least("min_rows", bounds.rows), Crossed::Nothing),
        Measure::held(
            "share of the rows without a month",
            untimed,
            at_most("max_untimed_share", bounds.untimed),
            Crossed::Nothing,
        )
        .of_rows(all),
    ];
    let mut why = Vec::new();
    if least < bounds.rows {
        why.push(format!("too few rows for a change to be seen ({} in the shorter half)", rows(fewer)));
    }
    if untimed > bounds.untimed {
        why.push(format!("{} of {} do not say when they were labelled", rows(drift.untimed), rows(all)));
    }
    if p_value(drift).is_none() {
        why.push("what the late rows' own model would gain has no error that could be computed".to_owned());
    }
    (measures, why)
}

/// Cells and annotators that changed, the largest changes first.
fn within_parts(evidence: &Evidence, drift: &Drift, bounds: &Bounds) -> (Vec<Measure>, String) {
    const SHOWN: usize = 10;
    let level = bounds.share_of_level();
    let mut changed: Vec<&PartChange> =
        drift.parts.iter().filter(|own| own.p_value.is_some_and(|p| p <= level)).collect();
    changed.sort_by(|a, b| b.change.abs().total_cmp(&a.change.abs()));
    let mut told: Vec<String> = Vec::new();
    let mut measures = Vec::new();
    for own in changed.iter().take(SHOWN) {
        let name = part_name(evidence, own.part);
        let bound = at_most("warn_part_change", bounds.part);
        let held =
            Measure::held("agreement beyond the expected, late less early", own.change.abs(), bound, Crossed::Warning);
        if held.crossed != Crossed::Nothing && !told.iter().any(|told| told.starts_with(&name)) {
            told.push(format!("{name} ({:+.0} points of agreement with {})", 100.0 * own.change, own.side));
        }
        let about = format!("{name}, with {}", own.side);
        measures.push(Measure { value: Some(own.change), ..held }.about(&about).of_rows(own.n));
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let count = drift.parts.len() as f64;
    measures.push(Measure::shown("cells and annotators by sides, compared early against late", count));
    let sentence = if told.is_empty() { String::new() } else { format!("from early to late change {}", list(&told)) };
    (measures, sentence)
}

fn part_name(evidence: &Evidence, part: Part) -> String {
    match part {
        Part::Cell(cell) => evidence.comparisons.and_then(|own| own.cells.get(cell)).map(cell_name).unwrap_or_default(),
        Part::Annotator(ordinal) => annotator_name(ordinal),
    }
}

fn annotator_name(ordinal: u64) -> String {
    format!("annotator {ordinal} by first label")
}

fn annotators(modelled: &Modelled, bounds: &Bounds) -> (Vec<Measure>, String) {
    let tested = || modelled.annotators.iter().filter(|own| own.p_value.is_some());
    let mut measures = Vec::new();
    let mut told: Vec<String> = Vec::new();
    for own in &modelled.annotators {
        let name = annotator_name(own.ordinal);
        for (side, shift) in significant(own, bounds.level) {
            let what = match side {
                None => "agreement with the label model beyond the expected, less everybody's".to_owned(),
                Some(side) => format!("agreement with {side} beyond the expected, less everybody's"),
            };
            let bound = at_most("warn_annotator_shift", bounds.shift);
            let held = Measure::held(&what, shift.abs(), bound, Crossed::Warning);
            if held.crossed != Crossed::Nothing && !told.iter().any(|told| told.starts_with(&name)) {
                told.push(format!("{name} ({:+.0} points)", 100.0 * shift));
            }
            measures.push(Measure { value: Some(shift), ..held }.about(&name).of_rows(own.n));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let count = tested().count() as f64;
    measures.push(Measure::shown("annotators with labels enough to be compared", count));
    let sentence = match (told.is_empty(), modelled.annotators.len()) {
        (false, _) => format!("{} answer unlike the label model and everybody else", list(&told)),
        (true, 0) => "the log carries no annotators who could answer unlike each other".to_owned(),
        (true, all) if tested().count() == 0 => {
            format!("none of {all} annotators has labels enough to be compared with the others")
        }
        _ => String::new(),
    };
    (measures, sentence)
}

/// An annotator's shifts that are beyond chance: with the model (no side named), and with the sides of a pair's differences.
fn significant(own: &AnnotatorShift, level: f64) -> impl Iterator<Item = (Option<&String>, f64)> {
    let along = own.along.iter().map(|own| (Some(&own.side), own.shift, own.p_value));
    let all = std::iter::once((None, own.shift, own.p_value)).chain(along);
    all.filter(move |(.., p)| p.is_some_and(|p| p <= level)).map(|(side, shift, _)| (side, shift))
}
