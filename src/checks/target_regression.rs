//! Is a challenger worse than an incumbent under the declared target?

use super::candidates::{evaluation, nothing_to_compare, settle, unjudged, versus, worded};
use super::{Bound, Check, Crossed, Direction, Evidence, Finding, Limits, Measure, Need, Undetermined};
use crate::estimate::{ComparisonEvaluation, Estimate, Evaluation};

pub(super) static CHECK: Check = Check {
    id: "target-regression",
    title: "Regression under the target",
    source: "Lemma (2026), section 8; ratio estimator with clustered errors (Särndal, Swensson & Wretman 1992, section 5.7); Manski (1990)",
    page: include_str!("../../docs/checks/target-regression.md"),
    needs: &[Need::Candidates, Need::Weights],
    run,
};

const REMEDY: &str = "do not ship the challenger for this population on this evidence: look at the cells where it loses, or collect \
    comparisons where the weights are large until the interval says enough";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let evaluation = evaluation(evidence)?;
    if let Some(finding) = nothing_to_compare(evaluation) {
        return Ok(finding);
    }
    let margin = limits.number("margin")?;
    let (mut measures, mut unknown, mut sentences) = (Vec::new(), Vec::new(), Vec::new());
    for comparison in &evaluation.comparisons {
        let about = versus(comparison);
        let estimate = comparison.difference.as_ref();
        if let Some(measure) = unjudged(comparison, estimate, limits, &about)? {
            unknown.push(measure);
        } else if let Some(estimate) = estimate {
            let (more, sentence) = judged(evaluation, comparison, estimate, margin);
            measures.extend(more);
            sentences.push(sentence);
        }
    }
    sentences.sort_by_key(|(worst, _)| std::cmp::Reverse(*worst));
    let told = sentences.iter().take(3).map(|(_, sentence)| sentence.clone()).collect::<Vec<_>>().join("; ");
    let more = sentences.len().saturating_sub(3);
    let message = if more > 0 { format!("{told}; and {more} more") } else { told };
    settle(measures, unknown, message, REMEDY)
}

/// An end of an interval held against the margin: a regression beyond it is shown where even the upper end is below, and
/// not ruled out where the lower end is.
pub(super) fn held_ends((low, high): (f64, f64), margin: f64) -> [Measure; 2] {
    let bound = Bound { direction: Direction::AtLeast, value: 0.0 - margin, key: Some("margin") };
    [
        Measure::held("upper end of the 95 % interval of the difference", high, bound.clone(), Crossed::Limit),
        Measure::held("lower end of the 95 % interval of the difference", low, bound, Crossed::Warning),
    ]
}

/// The worst thing that measures say of one comparison, and the sentence about it.
type Told = (Crossed, String);

fn judged(
    evaluation: &Evaluation,
    comparison: &ComparisonEvaluation,
    estimate: &Estimate,
    margin: f64,
) -> (Vec<Measure>, Told) {
    let about = versus(comparison);
    let supported = estimate.interval.map_or((f64::NAN, f64::NAN), |interval| (interval.low, interval.high));
    let ends = evaluation.with_unsupported(supported, (-1.0, 1.0));
    let held = held_ends(ends, margin);
    let worst = held.iter().map(|measure| measure.crossed).max().unwrap_or(Crossed::Limit);
    let verdict = match worst {
        Crossed::Limit => "is worse",
        Crossed::Warning => "may be worse",
        Crossed::Nothing => "is not worse",
    };
    let sentence = format!(
        "{} {verdict} than {} under the target, {} in preference accuracy",
        comparison.challenger,
        comparison.incumbent,
        worded(estimate, ends)
    );
    let shown = [
        Measure::shown("difference in target preference accuracy", estimate.estimate).of_rows(estimate.n),
        Measure::shown("its standard error", estimate.se).of_rows(estimate.n),
        Measure::shown("difference as logged", comparison.observed_difference.as_ref().map(|own| own.estimate)),
    ];
    (held.into_iter().chain(shown).map(|measure| measure.about(&about)).collect(), (worst, sentence))
}
