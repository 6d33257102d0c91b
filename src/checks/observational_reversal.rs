//! Do the logs, read naively, rank a challenger and an incumbent the other way round than the target does?

use super::candidates::{evaluation, nothing_to_compare, settle, unjudged, versus};
use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_least};
use crate::estimate::{ComparisonEvaluation, Estimate};

pub(super) static CHECK: Check = Check {
    id: "observational-reversal",
    title: "Reversal of the naive ranking",
    source: "Lemma (2026), sections 4 and 8",
    page: include_str!("../../docs/checks/observational-reversal.md"),
    needs: &[Need::Candidates, Need::Weights],
    run,
};

const REMEDY: &str = "quote the target-weighted numbers and not the logged ones for this population: the logged ranking is that of who \
    wrote, and of what was shown";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let evaluation = evaluation(evidence)?;
    if let Some(finding) = nothing_to_compare(evaluation) {
        return Ok(finding);
    }
    let alpha = limits.number("alpha")?;
    let (mut measures, mut unknown, mut reversed) = (Vec::new(), Vec::new(), Vec::new());
    for comparison in &evaluation.comparisons {
        let about = versus(comparison);
        let both = comparison.difference.as_ref().zip(comparison.observed_difference.as_ref());
        if let Some(measure) = unjudged(comparison, comparison.difference.as_ref(), limits, &about)? {
            unknown.push(measure);
        } else if let Some((target, observed)) = both {
            let p_value = p_value(target);
            let ranked = held(target, observed, p_value, alpha);
            if ranked.crossed == Crossed::Limit {
                reversed.push(sentence(comparison, target, observed));
            }
            measures.extend(of(target, observed, ranked).map(|measure| measure.about(&about)));
        }
    }
    let message = if reversed.is_empty() {
        format!("no logged ranking is reversed under the target, in {} comparisons", evaluation.comparisons.len())
    } else {
        reversed.join("; ")
    };
    settle(measures, unknown, message, REMEDY)
}

/// Two-sided, against no difference. Without spread there is nothing to test: 1.
fn p_value(target: &Estimate) -> f64 {
    let one_sided = target.p_below(0.0).zip(target.p_above(0.0)).map(|(below, above)| below.min(above));
    one_sided.map_or(1.0, |p| (2.0 * p).min(1.0))
}

/// Held against the limit only where the two rankings differ.
fn held(target: &Estimate, observed: &Estimate, p_value: f64, alpha: f64) -> Measure {
    let name = "p-value of no difference under the target";
    if target.estimate * observed.estimate < 0.0 {
        let name = "p-value of no difference under the target, where the logs rank the other way round";
        return Measure::held(name, p_value, at_least("alpha", alpha), Crossed::Limit);
    }
    Measure::shown(name, p_value)
}

fn of(target: &Estimate, observed: &Estimate, ranked: Measure) -> [Measure; 5] {
    [
        ranked.of_rows(target.n),
        Measure::shown("difference in target preference accuracy", target.estimate).of_rows(target.n),
        Measure::shown("its standard error", target.se),
        Measure::shown("difference as logged", observed.estimate).of_rows(observed.n),
        Measure::shown("its standard error", observed.se),
    ]
}

fn sentence(comparison: &ComparisonEvaluation, target: &Estimate, observed: &Estimate) -> String {
    let ((better, worse), sign) = if target.estimate > 0.0 {
        ((&comparison.challenger, &comparison.incumbent), 1.0)
    } else {
        ((&comparison.incumbent, &comparison.challenger), -1.0)
    };
    let interval = observed.interval.map_or(String::new(), |own| {
        let (low, high) = if sign > 0.0 { (own.low, own.high) } else { (-own.high, -own.low) };
        format!(", 95 % interval {low:+.3} to {high:+.3}")
    });
    format!(
        "{worse} looks better in the logs ({better} minus {worse}: {:+.3}{interval}), and {better} is better under the target ({:+.3})",
        sign * observed.estimate,
        sign * target.estimate
    )
}
