//! What the checks of candidates share: when a comparison is known well enough to be judged, and how it is worded.

use super::{Evidence, Finding, Limits, Measure, Undetermined, at_most};
use crate::estimate::{ComparisonEvaluation, Estimate, Evaluation, IntervalMethod};

/// The evaluation of the candidates with log-probabilities.
pub(super) fn evaluation<'a>(evidence: &Evidence<'a>) -> Result<&'a Evaluation, Undetermined> {
    evidence.evaluation.ok_or_else(|| super::needs_rows(Vec::new()))
}

/// What is said where no challenger can be compared with an incumbent, by declaration. `None` where some can.
pub(super) fn nothing_to_compare(evaluation: &Evaluation) -> Option<Finding> {
    if evaluation.candidates.is_empty() {
        return Some(Finding::not_applicable("no candidate is declared with log-probabilities"));
    }
    evaluation
        .comparisons
        .is_empty()
        .then(|| Finding::not_applicable("a comparison takes a challenger and an incumbent with log-probabilities"))
}

/// `judge against longer`.
pub(super) fn versus(comparison: &ComparisonEvaluation) -> String {
    format!("{} against {}", comparison.challenger, comparison.incumbent)
}

/// Why a comparison cannot be judged: log-probabilities are missing where they weigh, or too little is effectively there.
/// `None` where it can.
pub(super) fn unjudged(
    comparison: &ComparisonEvaluation,
    estimate: Option<&Estimate>,
    limits: &Limits<'_>,
    about: &str,
) -> Result<Option<Measure>, Undetermined> {
    let (min_n_eff, max_missing) = (limits.number("min_n_eff")?, limits.number("max_missing_share")?);
    if comparison.missing_weight_share > max_missing {
        let name = "share of the weight without log-probabilities";
        let bound = at_most("max_missing_share", max_missing);
        let measure = Measure::held(name, comparison.missing_weight_share, bound, super::Crossed::Nothing);
        return Ok(Some(measure.about(about)));
    }
    let n_eff = estimate.map_or(0.0, |own| own.n_eff);
    if n_eff < min_n_eff || estimate.is_none_or(|own| own.interval.is_none()) {
        let bound = super::at_least("min_n_eff", min_n_eff);
        let measure = Measure::held("effective sample size", n_eff, bound, super::Crossed::Nothing);
        return Ok(Some(measure.of_rows(estimate.map_or(0, |own| own.n)).about(about)));
    }
    let min_clusters = limits.number("min_clusters")?;
    let clusters = estimate.and_then(|own| own.effective_clusters);
    Ok(clusters.filter(|own| *own < min_clusters).map(|own| {
        let bound = super::at_least("min_clusters", min_clusters);
        let measure = Measure::held("effective number of clusters", own, bound, super::Crossed::Nothing);
        measure.of_rows(estimate.map_or(0, |own| own.n)).about(about)
    }))
}

/// The finding of several comparisons: undetermined where one could not be judged, unless another fails.
pub(super) fn settle(
    measures: Vec<Measure>,
    unjudged: Vec<Measure>,
    message: String,
    remedy: &str,
) -> Result<Finding, Undetermined> {
    if unjudged.is_empty() || super::status_of(&measures) == super::Status::Fail {
        return Ok(Finding::from_measures(measures.into_iter().chain(unjudged).collect(), message, remedy));
    }
    let names: Vec<String> = unjudged.iter().filter_map(|measure| measure.subject.clone()).collect();
    Err(Undetermined {
        message: format!(
            "too little is known of {}: log-probabilities are missing, or the rows, or the clusters, are effectively too few, \
             or they show no spread and no bound on the weights is declared",
            super::list(&names)
        ),
        remedy: "log the candidates' log-probabilities for every comparison, collect more comparisons of more prompts where \
                 weights are large, and declare max_pair_ratio for every mechanism"
            .to_owned(),
        not_logged: false,
        measures: unjudged.into_iter().chain(measures).collect(),
    })
}

/// `+0.118 (95 % interval +0.090 to +0.146)`.
pub(super) fn worded(estimate: &Estimate, ends: (f64, f64)) -> String {
    let how = match estimate.interval.map(|interval| interval.method) {
        Some(IntervalMethod::EmpiricalBernstein) => ", the empirical Bernstein bound, for there is no spread",
        _ => "",
    };
    format!("{:+.3} (95 % interval {:+.3} to {:+.3}{how})", estimate.estimate, ends.0, ends.1)
}
