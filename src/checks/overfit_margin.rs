//! Do fitted margins hold on rows that were not fitted on?

use super::frontier_stability::{finish, frontiers};
use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, at_most};

pub(super) static CHECK: Check = Check {
    id: "overfit-margin",
    title: "Margins beyond the rows that were fitted on",
    source: "Albert & Anderson (1984), Biometrika 71:1; Lemma (2026), section 7",
    page: include_str!("../../docs/checks/overfit-margin.md"),
    needs: &[],
    run,
};

const REMEDY: &str =
    "use fewer features or a larger ridge, or collect more prompts; look for copies of comparisons under several ids";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    if !evidence.audit.candidates.iter().any(|candidate| candidate.fit.is_some()) {
        return Ok(Finding::not_applicable("no candidate is to be fitted"));
    }
    let accuracy = at_most("warn_accuracy_optimism", limits.number("warn_accuracy_optimism")?);
    let loss = at_most("max_loss_optimism", limits.number("max_loss_optimism")?);
    let mut measures = Vec::new();
    let mut messages = Vec::new();
    for (refit, frontier) in frontiers(evidence) {
        let selected = &frontier.selected;
        let by = |measure: Measure| measure.about(&refit.candidate);
        let optimism = selected.in_sample_accuracy - selected.preference_accuracy.estimate;
        let excess = selected.log_loss.estimate - selected.in_sample_loss;
        let separated = frontier.points.iter().filter(|point| point.separated).count() as u64;
        let unfinished = frontier.points.iter().filter(|point| !point.converged).count() as u64;
        measures.push(by(Measure::held(
            "log-loss out of fold above that within",
            excess,
            loss.clone(),
            Crossed::Limit,
        )));
        measures.push(by(Measure::held(
            "accuracy within above that out of fold",
            optimism,
            accuracy.clone(),
            Crossed::Warning,
        )));
        measures.push(by(Measure::fault("points whose fit separates its rows", separated, Crossed::Limit)));
        measures.push(by(Measure::fault("points whose fit is no minimum", unfinished, Crossed::Limit)));
        measures.push(by(Measure::fault(
            "fits on all rows that separate them",
            u64::from(selected.separated),
            Crossed::Limit,
        )));
        let separation = if separated > 0 || selected.separated { "; the features separate the answers" } else { "" };
        messages.push(format!(
            "{}: accuracy {:.1} % on the rows that were fitted on, {:.1} % on others; log-loss {:.3} and {:.3}{separation}",
            refit.candidate,
            100.0 * selected.in_sample_accuracy,
            100.0 * selected.preference_accuracy.estimate,
            selected.in_sample_loss,
            selected.log_loss.estimate
        ));
    }
    finish(evidence, measures, &messages, REMEDY, "no re-fit was made")
}
