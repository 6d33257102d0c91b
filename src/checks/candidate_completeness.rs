//! Are a candidate's log-probabilities there, for every comparison?

use super::candidates::evaluation;
use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_least, at_most, list, share};
use crate::estimate::CandidateEvaluation;

pub(super) static CHECK: Check = Check {
    id: "candidate-completeness",
    title: "Log-probabilities of the candidates",
    source: "Lemma (2026), sections 6 and 9",
    page: include_str!("../../docs/checks/candidate-completeness.md"),
    needs: &[Need::Candidates],
    run,
};

const REMEDY: &str = "score every logged response under every candidate and the reference, in nats and with the tokens' log-probabilities \
    summed; where a candidate is undecided everywhere, look whether its columns are those of the reference, and where both responses \
    have the same log-probability, whether the columns hold what was scored";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let evaluation = evaluation(evidence)?;
    if evaluation.candidates.is_empty() {
        return Ok(Finding::not_applicable("no candidate is declared with log-probabilities"));
    }
    let (min_share, warn_zero) = (limits.number("min_share")?, limits.number("warn_undecided_share")?);
    let measures: Vec<Measure> = evaluation
        .candidates
        .iter()
        .flat_map(|candidate| measures(candidate, evaluation.n, min_share, warn_zero))
        .collect();
    let crossed = |wanted: Crossed| -> Vec<String> {
        let names = measures.iter().filter(|measure| measure.crossed == wanted);
        names.filter_map(|measure| measure.subject.clone()).collect()
    };
    let message = match (crossed(Crossed::Limit), crossed(Crossed::Warning)) {
        (lacking, _) if !lacking.is_empty() => {
            format!("log-probabilities are missing, or none, in rows of {}", list(&lacking))
        }
        (_, undecided) if !undecided.is_empty() => format!("{} mostly prefers neither response", list(&undecided)),
        _ => format!(
            "every labelled comparison has the log-probabilities of all {} candidates{}",
            evaluation.candidates.len(),
            constant(&evaluation.candidates, evaluation.n)
        ),
    };
    Ok(Finding::from_measures(measures, message, REMEDY))
}

/// Names the candidates that never tell two responses apart. That is what a uniform policy does, and what a column does that
/// was filled with one number: the reader knows which.
fn constant(candidates: &[CandidateEvaluation], n: u64) -> String {
    let always = candidates.iter().filter(|own| own.equal > 0 && own.equal == n.saturating_sub(own.missing));
    let names: Vec<String> = always.map(|own| own.name.clone()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "; under {} both responses have the same log-probability in every row: uniform, or a column filled with one number",
        list(&names)
    )
}

fn measures(candidate: &CandidateEvaluation, n: u64, min_share: f64, warn_zero: f64) -> Vec<Measure> {
    let there = n.saturating_sub(candidate.missing);
    let complete = Measure::held(
        "share of the labelled rows with log-probabilities",
        share(there, n),
        at_least("min_share", min_share),
        Crossed::Limit,
    );
    let undecided = Measure::held(
        "share of them in which it prefers neither response",
        share(candidate.zero_margins, there),
        at_most("warn_undecided_share", warn_zero),
        Crossed::Warning,
    );
    let equal = Measure::shown(
        "share of them in which it gives both responses the same log-probability",
        share(candidate.equal, there),
    );
    let unusable =
        Measure::fault("rows with a number that is no log-probability", candidate.unusable, Crossed::Nothing);
    [complete.of_rows(n), undecided.of_rows(there), equal.of_rows(there), unusable]
        .map(|measure| measure.about(&candidate.name))
        .into()
}
