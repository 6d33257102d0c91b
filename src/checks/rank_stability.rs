//! May a comparison be trusted? The paper's rule, in this one place: n_eff not dramatically smaller than n, the weight not
//! on few prompts, and a conclusion that clipping does not change.

use super::candidates::{evaluation, nothing_to_compare, settle, unjudged, versus};
use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_least, at_most, list};
use crate::estimate::{ComparisonEvaluation, Estimate, Evaluation};

pub(super) static CHECK: Check = Check {
    id: "rank-stability",
    title: "Stability of the comparisons",
    source: "Lemma (2026), section 9 (what to trust); Ionides (2008)",
    page: include_str!("../../docs/checks/rank-stability.md"),
    needs: &[Need::Candidates, Need::Weights],
    run,
};

const REMEDY: &str = "do not act on a ranking that a few heavy rows decide: collect comparisons where the weights are large (see \
    weight-concentration and effective-sample-size)";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let evaluation = evaluation(evidence)?;
    if let Some(finding) = nothing_to_compare(evaluation) {
        return Ok(finding);
    }
    if evaluation.caps.iter().all(|(_, cap)| cap.is_infinite()) {
        return Err(Undetermined {
            message: "the policy's frontier.clip names no cap: whether clipping changes a conclusion cannot be said"
                .to_owned(),
            remedy: "list caps under frontier.clip in the policy, such as p99, 10 and 5".to_owned(),
            not_logged: false,
            measures: Vec::new(),
        });
    }
    let mut measures = trust(evaluation, limits)?;
    let (mut unknown, mut unstable) = (Vec::new(), Vec::new());
    for comparison in &evaluation.comparisons {
        let about = versus(comparison);
        if let Some(measure) = unjudged(comparison, comparison.difference.as_ref(), limits, &about)? {
            unknown.push(measure);
        } else if let Some(estimate) = &comparison.difference {
            let measure = flips(evaluation, comparison, estimate, limits)?;
            if measure.crossed != Crossed::Nothing {
                unstable.push(about.clone());
            }
            measures.push(measure.about(&about));
        }
    }
    let message = message(evaluation, &measures, &unstable);
    settle(measures, unknown, message, REMEDY)
}

/// The two parts of the rule that are about the weights alone.
fn trust(evaluation: &Evaluation, limits: &Limits) -> Result<Vec<Measure>, Undetermined> {
    let (least, soft) = (limits.number("min_ratio")?, limits.number("warn_ratio")?);
    let ratio = evaluation.n_eff / as_f64(evaluation.n);
    let name = "effective share of the labelled rows, n_eff/n";
    let hard = Measure::held(name, ratio, at_least("min_ratio", least), Crossed::Limit).of_rows(evaluation.n);
    let softer = Measure::held(name, ratio, at_least("warn_ratio", soft), Crossed::Warning).of_rows(evaluation.n);
    let mut measures = vec![if hard.crossed == Crossed::Nothing { softer } else { hard }];
    let most = limits.number("warn_top_prompts_share")?;
    measures.extend(evaluation.top_prompts_share.map(|top| {
        let name = "share of the weight on the ten prompts with most";
        Measure::held(name, top, at_most("warn_top_prompts_share", most), Crossed::Warning).of_rows(evaluation.n)
    }));
    Ok(measures)
}

/// At how many caps the challenger and the incumbent change places. That is a failure where the unclipped difference would
/// be acted on, and a warning where it shows nothing anyway.
fn flips(
    evaluation: &Evaluation,
    comparison: &ComparisonEvaluation,
    estimate: &Estimate,
    limits: &Limits,
) -> Result<Measure, Undetermined> {
    let most = limits.number("max_flips")?;
    let flipped = comparison.by_cap.iter().flatten().filter(|difference| *difference * estimate.estimate < 0.0).count();
    let unknown = comparison.by_cap.iter().filter(|difference| difference.is_none()).count();
    let conclusive = estimate.interval.is_some_and(|own| own.low > 0.0 || own.high < 0.0);
    let otherwise = if conclusive { Crossed::Limit } else { Crossed::Warning };
    let name = format!("caps of {} at which the two change places", evaluation.caps.len());
    Ok(Measure::held(&name, as_f64((flipped + unknown) as u64), at_most("max_flips", most), otherwise)
        .of_rows(estimate.n))
}

fn message(evaluation: &Evaluation, measures: &[Measure], unstable: &[String]) -> String {
    let others = measures.iter().filter(|measure| measure.subject.is_none() && measure.crossed != Crossed::Nothing);
    let weak: Vec<&str> = others.map(|measure| measure.name.as_str()).collect();
    let caps = evaluation.caps.len();
    let kept = if unstable.is_empty() {
        format!("every comparison keeps its sign at all {caps} caps")
    } else {
        format!("the sign changes with the cap in {}", list(unstable))
    };
    if weak.is_empty() { kept } else { format!("{kept}; outside of what is trusted: {}", weak.join(", ")) }
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
