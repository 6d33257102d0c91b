//! Does weighting change the policy that one would ship?

use super::frontier_stability::{finish, frontiers};
use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, at_most};

pub(super) static CHECK: Check = Check {
    id: "refit-shift",
    title: "What weighting does to the policy",
    source: "Lemma (2026), sections 6 and 8",
    page: include_str!("../../docs/checks/refit-shift.md"),
    needs: &[],
    run,
};

const REMEDY: &str = "train with the weights (audit --weights writes them), or show why the policy that the plain log trains serves the \
                      target as well";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let weighted = |fit: &crate::declare::Fit| fit.objective != "naive";
    if !evidence.audit.candidates.iter().any(|candidate| candidate.fit.as_ref().is_some_and(weighted)) {
        return Ok(Finding::not_applicable("no candidate is to be fitted with weights"));
    }
    let bound = at_most("warn_disagreement", limits.number("warn_disagreement")?);
    let mut measures = Vec::new();
    let mut messages = Vec::new();
    for (refit, frontier) in frontiers(evidence).filter(|(refit, _)| refit.objective.is_weighted()) {
        let selected = &frontier.selected;
        measures.push(
            Measure::held(
                "target share on which they disagree",
                selected.disagreement,
                bound.clone(),
                Crossed::Warning,
            )
            .about(&refit.candidate),
        );
        let gain = "target accuracy less the unweighted re-fit's";
        measures.push(Measure::shown(gain, selected.over_naive.estimate).about(&refit.candidate));
        measures.push(Measure::shown("its standard error", selected.over_naive.standard_error).about(&refit.candidate));
        messages.push(format!(
            "{} and the unweighted re-fit prefer different responses in {:.1} % of the target; weighting changes its target \
             accuracy by {:+.2} points",
            refit.candidate,
            100.0 * selected.disagreement,
            100.0 * selected.over_naive.estimate
        ));
    }
    finish(evidence, measures, &messages, REMEDY, "no weighted re-fit was made")
}
