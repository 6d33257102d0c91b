//! Does the comparison with the incumbent hang on the cap?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Status, Undetermined, at_most, list, status_of};
use crate::refit::{Frontier, Paired, Refit};

pub(super) static CHECK: Check = Check {
    id: "frontier-stability",
    title: "Stability along the frontier",
    source: "Lemma (2026), sections 8 and 9",
    page: include_str!("../../docs/checks/frontier-stability.md"),
    needs: &[],
    run,
};

const REMEDY: &str = "do not take one cap's conclusion for the log's: collect comparisons where the weights are large, or say at which \
                      caps the conclusion holds";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    if !evidence.audit.candidates.iter().any(|candidate| candidate.fit.is_some()) {
        return Ok(Finding::not_applicable("no candidate is to be fitted"));
    }
    let weighted = |fit: &crate::declare::Fit| fit.objective != "naive";
    if !evidence.audit.candidates.iter().any(|candidate| candidate.fit.as_ref().is_some_and(weighted)) {
        return Ok(Finding::not_applicable("no candidate is to be fitted with weights that a cap could touch"));
    }
    if !evidence.audit.candidates.iter().any(|candidate| candidate.incumbent) {
        return Ok(Finding::not_applicable("no incumbent is declared that a fitted candidate could be compared with"));
    }
    let warn = at_most("warn_flipped_share", limits.number("warn_flipped_share")?);
    let fail = at_most("max_reversed_share", limits.number("max_reversed_share")?);
    let mut measures = Vec::new();
    let mut messages = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for (refit, frontier) in frontiers(evidence).filter(|(refit, _)| refit.objective.is_weighted()) {
        let over = &frontier.over_incumbent;
        let Some(taken) = over.iter().find(|paired| paired.clip == frontier.selected.clip) else {
            let without = "the incumbent's log-probabilities are not there for every row";
            open.push(format!("{}: {without}", refit.candidate));
            continue;
        };
        if over.len() < 2 {
            let alone = "it was fitted at one cap alone, so that no other could turn the comparison around";
            open.push(format!("{}: {alone}", refit.candidate));
            continue;
        }
        let flipped = share(over, |paired| !same_side(paired, taken));
        let reversed = share(over, |paired| is_reversed(paired, taken));
        measures.push(
            Measure::held("share of caps that reverse it beyond chance", reversed, fail.clone(), Crossed::Limit)
                .about(&refit.candidate),
        );
        measures.push(
            Measure::held("share of caps with another sign", flipped, warn.clone(), Crossed::Warning)
                .about(&refit.candidate),
        );
        messages.push(format!(
            "{} against the incumbent: {:+.2} points of target accuracy at the cap taken, and another sign at {:.0} % of {} caps",
            refit.candidate,
            100.0 * taken.difference.estimate,
            100.0 * flipped,
            over.len()
        ));
    }
    let finding = finish(evidence, measures, &messages, REMEDY, &list(&open))?;
    if open.is_empty() || finding.status == Status::Fail {
        return Ok(finding);
    }
    Err(Undetermined {
        message: list(&open),
        remedy: "log the incumbent's log-probabilities for every row, and name several caps under frontier.clip in the policy"
            .to_owned(),
        not_logged: false,
        measures: finding.measures,
    })
}

/// Both above zero or both below: no difference at all, and none that is a number, is neither.
fn same_side(paired: &Paired, taken: &Paired) -> bool {
    paired.difference.estimate * taken.difference.estimate > 0.0
}

/// The other side, and zero outside the interval.
fn is_reversed(paired: &Paired, taken: &Paired) -> bool {
    let sign = taken.difference.estimate.signum();
    paired.difference.interval.is_some_and(|[low, high]| if sign > 0.0 { high < 0.0 } else { low > 0.0 })
}

#[expect(clippy::cast_precision_loss, reason = "numbers of caps are small")]
fn share(over: &[Paired], holds: impl Fn(&Paired) -> bool) -> f64 {
    over.iter().filter(|paired| holds(paired)).count() as f64 / over.len().max(1) as f64
}

/// The fitted candidates with their frontiers.
pub(super) fn frontiers<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (&'a Refit, &'a Frontier)> {
    evidence.refits.iter().filter_map(|refit| Some((refit, refit.result.as_ref().ok()?)))
}

/// The finding of a check on re-fits: what fails, fails; otherwise a candidate that could not be fitted leaves it undetermined.
pub(super) fn finish(
    evidence: &Evidence,
    mut measures: Vec<Measure>,
    messages: &[String],
    remedy: &str,
    nothing: &str,
) -> Result<Finding, Undetermined> {
    let problems: Vec<String> = evidence
        .refits
        .iter()
        .filter_map(|refit| Some(format!("{}: {}", refit.candidate, refit.result.as_ref().err()?)))
        .collect();
    let declared = evidence.audit.candidates.iter().filter(|candidate| candidate.fit.is_some()).count();
    let missing = declared > evidence.refits.len() || measures.is_empty();
    if status_of(&measures) != Status::Fail && (missing || !problems.is_empty()) {
        let message = match problems.as_slice() {
            [] if evidence.refits.is_empty() => {
                "fitting needs the rows, and the audit was made from statistics".to_owned()
            }
            [] => nothing.to_owned(),
            problems => list(problems),
        };
        let remedy = "see the section on re-fits: what a fit needs is rows, features of every response and two folds";
        return Err(Undetermined { message, remedy: remedy.to_owned(), not_logged: false, measures });
    }
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    Ok(Finding::from_measures(measures, messages.join("; "), remedy))
}
