//! Is a challenger worse than an incumbent in one of the slices that the regime monitors?

use super::candidates::{evaluation, nothing_to_compare, settle, unjudged, versus, worded};
use super::target_regression::held_ends;
use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_least};
use crate::declare::Slice;
use crate::estimate::{ComparisonEvaluation, Estimate};
use crate::numeric::holm;

pub(super) static CHECK: Check = Check {
    id: "slice-regression",
    title: "Regression in a critical slice",
    source: "Lemma (2026), section 8; Holm (1979)",
    page: include_str!("../../docs/checks/slice-regression.md"),
    needs: &[Need::Candidates, Need::Weights],
    run,
};

const REMEDY: &str =
    "look at the challenger's answers in the slice, or collect comparisons there until the interval says enough";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let evaluation = evaluation(evidence)?;
    if let Some(finding) = nothing_to_compare(evaluation) {
        return Ok(finding);
    }
    if evidence.regime.critical.is_empty() {
        return Ok(Finding::not_applicable("the regime names no critical slice"));
    }
    let (margin, alpha) = (limits.number("margin")?, limits.number("alpha")?);
    let (mut measures, mut unknown) = (Vec::new(), Vec::new());
    let mut told: Vec<(Crossed, f64, String)> = Vec::new();
    for comparison in &evaluation.comparisons {
        let mut known: Vec<(&Slice, &Estimate, (f64, f64), f64)> = Vec::new();
        for ((slice, estimate), unsupported) in comparison.slices.iter().zip(&evaluation.slice_unsupported) {
            let about = about(comparison, slice);
            if let Some(measure) = unjudged(comparison, estimate.as_ref(), limits, &about)? {
                unknown.push(measure);
            } else if let Some((estimate, interval)) = estimate.as_ref().and_then(|own| Some((own, own.interval?))) {
                let outside = |end: f64, worst: f64| (1.0 - unsupported) * end + unsupported * worst;
                known.push((slice, estimate, (outside(interval.low, -1.0), outside(interval.high, 1.0)), *unsupported));
            }
        }
        let p_of =
            |(_, own, ends, unsupported): &(_, &Estimate, _, f64)| p_of_regression(own, *ends, margin, *unsupported);
        let p_values: Vec<f64> = known.iter().map(p_of).collect();
        for ((slice, estimate, ends, _), p_value) in known.into_iter().zip(holm(&p_values)) {
            let own = judged(comparison, slice, (estimate, ends), (p_value, alpha), margin);
            let worst = own.iter().map(|measure| measure.crossed).max().unwrap_or(Crossed::Nothing);
            let p_value = if worst == Crossed::Limit { one_sided(p_value) } else { String::new() };
            let sentence = format!("{}: {}{p_value}", about(comparison, slice), worded(estimate, ends));
            told.push((worst, estimate.estimate, sentence));
            measures.extend(own);
        }
    }
    let message = message(told, &measures);
    settle(measures, unknown, message, REMEDY)
}

/// The one-sided p-value of a regression beyond the margin, whatever the unsupported part of the slice says: were the challenger ahead
/// on all of it by 1, the rest would have to be below (-margin - u) / (1 - u). Without spread, 0 or 1 by the interval.
fn p_of_regression(estimate: &Estimate, (_, high): (f64, f64), margin: f64, unsupported: f64) -> f64 {
    let by_interval = if high < -margin { 0.0 } else { 1.0 };
    let supported = (-margin - unsupported) / (1.0 - unsupported);
    estimate.p_below(supported).unwrap_or(by_interval)
}

/// What shows a regression is the one-sided p-value over all slices; the interval beside it is two-sided and may hold the margin.
fn one_sided(p_value: f64) -> String {
    format!(", one-sided p = {p_value:.1e} over the slices")
}

fn judged(
    comparison: &ComparisonEvaluation,
    slice: &Slice,
    (estimate, ends): (&Estimate, (f64, f64)),
    (p_value, alpha): (f64, f64),
    margin: f64,
) -> Vec<Measure> {
    let about = about(comparison, slice);
    let [_, lower] = held_ends(ends, margin);
    let regression = Measure::held(
        "p-value of a regression beyond the margin, over the comparison's slices (Holm)",
        p_value,
        at_least("alpha", alpha),
        Crossed::Limit,
    );
    let difference = Measure::shown("difference in target preference accuracy", estimate.estimate);
    let error = Measure::shown("its standard error", estimate.se);
    let measures = [regression, lower, difference, error];
    measures.map(|measure| measure.of_rows(estimate.n).about(&about)).into()
}

fn message(mut told: Vec<(Crossed, f64, String)>, measures: &[Measure]) -> String {
    const SHOWN: usize = 3;
    told.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
    let of = |wanted: Crossed| told.iter().filter(|(worst, ..)| *worst == wanted).count();
    let (worse, open) = (of(Crossed::Limit), of(Crossed::Warning));
    let first: Vec<&str> = told.iter().take(SHOWN).map(|(.., sentence)| sentence.as_str()).collect();
    let (first, questions) = (first.join("; "), measures.len() / 4);
    match (worse, open) {
        (0, 0) => format!("no regression in {questions} comparisons of critical slices, the worst {first}"),
        (0, _) => {
            format!("a regression is not ruled out in {open} of {questions} comparisons of critical slices: {first}")
        }
        _ => format!("a regression is shown in {worse} of {questions} comparisons of critical slices: {first}"),
    }
}

fn about(comparison: &ComparisonEvaluation, slice: &Slice) -> String {
    let levels: Vec<String> = slice.iter().map(|(covariate, level)| format!("{covariate} = {level}")).collect();
    format!("{}, {}", versus(comparison), levels.join(", "))
}
