//! How much of a candidate lies where nobody ever looked?

use super::candidates::{evaluation, nothing_to_compare};
use super::{
    Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_most, list, slice_of, thousands,
};
use crate::labels::Support;

pub(super) static CHECK: Check = Check {
    id: "candidate-support",
    title: "Support of the candidates",
    source: "Lemma (2026), section 4 (spurious safety)",
    page: include_str!("../../docs/checks/candidate-support.md"),
    needs: &[Need::Candidates],
    run,
};

const REMEDY: &str = "show and label responses that the candidate would give, before it gives them: add it to the pool of generators, with \
                      a logged share";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let (most, soft) = (limits.number("max_unseen_share")?, limits.number("warn_unseen_share")?);
    let soft_cell = limits.number("warn_cell_unseen_share")?;
    let evaluation = evaluation(evidence)?;
    if evaluation.candidates.is_empty() {
        return nothing_to_compare(evaluation).ok_or_else(|| super::needs_rows(Vec::new()));
    }
    let Some(labels) = evidence.labels else { return Err(super::needs_rows(Vec::new())) };
    let mut measures: Vec<Measure> =
        labels.support.iter().flat_map(|own| measures(evidence, own, (most, soft, soft_cell))).collect();
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let failed = measures.iter().any(|measure| measure.crossed == Crossed::Limit);
    let beyond = |own: &&Support| crossed(1.0 - own.judged, most, soft) > crossed(own.unseen, most, soft);
    let open: Vec<&Support> = labels.support.iter().filter(beyond).collect();
    if failed || (open.is_empty() && labels.unlisted.is_empty()) {
        return Ok(Finding::from_measures(measures, message(&labels.support), REMEDY));
    }
    Err(Undetermined {
        message: unknown(&open, &labels.unlisted),
        remedy: LISTS.to_owned(),
        not_logged: true,
        measures,
    })
}

const LISTS: &str = "name a responses file that lists every logged response, and what the candidates would answer beside them, with a \
                     column of log-probabilities for each candidate (`logp`) for every response";

/// What a share crosses.
fn crossed(share: f64, most: f64, soft: f64) -> Crossed {
    let within = |bound: f64| share <= bound;
    match (within(most), within(soft)) {
        (true, true) => Crossed::Nothing,
        (true, false) => Crossed::Warning,
        (false, _) => Crossed::Limit,
    }
}

/// Candidates of which too much lies off the list, and those of which nothing is known.
fn unknown(open: &[&Support], unlisted: &[String]) -> String {
    let least = open.iter().min_by(|a, b| a.listed.total_cmp(&b.listed));
    let off = least.map(|own| {
        format!(
            "the list holds {:.1e} of all that {} may answer, and what it does not hold was never judged either: the share on listed \
             responses ({:.1} %) is about how they rank alone",
            own.listed,
            own.name,
            100.0 * own.unseen
        )
    });
    let none = (!unlisted.is_empty())
        .then(|| format!("what {} would answer and was never shown is not known", list(unlisted)));
    off.into_iter().chain(none).collect::<Vec<_>>().join("; ")
}

fn measures(evidence: &Evidence, own: &Support, (most, soft, soft_cell): (f64, f64, f64)) -> Vec<Measure> {
    let name = "share of its mass on listed responses that no labelled comparison shows";
    let hard = Measure::held(name, own.unseen, at_most("max_unseen_share", most), Crossed::Limit);
    let softer = Measure::held(name, own.unseen, at_most("warn_unseen_share", soft), Crossed::Warning);
    let mut measures = vec![if hard.crossed == Crossed::Nothing { softer } else { hard }.about(&own.name)];
    let worst = own.cells.iter().max_by(|a, b| a.unseen.total_cmp(&b.unseen));
    measures.extend(worst.and_then(|worst| {
        let levels = evidence.comparisons?.cells.get(worst.cell)?;
        let name = format!("{}: largest share of its mass that was not shown to anybody of a cell", own.name);
        let bound = at_most("warn_cell_unseen_share", soft_cell);
        let cell = slice_of(&evidence.regime.cells, levels);
        Some(Measure::held(&name, worst.unseen, bound, Crossed::Warning).in_cell(cell).of_rows(worst.prompts))
    }));
    measures.push(Measure::shown("its mass on all listed responses", own.listed).about(&own.name));
    measures.push(Measure::shown("its mass on responses that were judged", own.judged).about(&own.name));
    let name = "prompts on which its probabilities of listed responses sum to more than 1";
    measures.push(Measure::fault(name, own.above_one, Crossed::Limit).about(&own.name));
    measures
}

fn message(support: &[Support]) -> String {
    if let Some(own) = support.iter().max_by_key(|own| own.above_one).filter(|own| own.above_one > 0) {
        return format!(
            "on {} prompts the probabilities that {} gives to the listed responses sum to more than 1: its column holds no \
             log-probabilities of whole responses in nats, or the list holds a response more than once",
            thousands(own.above_one),
            own.name
        );
    }
    let worst = support.iter().max_by(|a, b| a.unseen.total_cmp(&b.unseen));
    worst.map_or_else(String::new, |worst| {
        let outside = if worst.listed < 0.999 {
            format!(", and the list holds {:.1e} of all that it may answer", worst.listed)
        } else {
            String::new()
        };
        format!(
            "of {} candidates, {} has the most of its mass on listed responses that were never judged: {:.1} %{outside}",
            support.len(),
            worst.name,
            100.0 * worst.unseen
        )
    })
}
