//! The assumptions register: what the claim rests on, and which of it this audit tested.

use super::record::{Report, Status};
use serde::Serialize;

/// One line of the register.
#[derive(Debug, Serialize)]
pub(super) struct Assumption {
    name: &'static str,
    meaning: String,
    status: &'static str,
    by: String,
}

/// Every assumption, in the order in which the claim leans on them.
pub(super) fn register(report: &Report) -> Vec<Assumption> {
    vec![
        overlap(report),
        pair_support(report),
        propensities(report),
        mechanisms(report),
        untestable(
            "Unconfoundedness given the covariates",
            "Within a cell, which pair was shown has nothing to do with what the person would have preferred.",
            "nothing in the log can show it; it rests on how the pairs were assigned",
        ),
        observed(report),
        selection(report),
        untestable(
            "Independence of rows",
            "Every row is one more piece of evidence. Rows that share a prompt or an annotator are worth less than the numbers here say.",
            "the errors of candidates' estimates are by cluster; the count of independent comparisons is not, and is an upper \
             reading",
        ),
        evidenced(
            report,
            "Covariates that matter",
            "People of different cells choose differently in ways that the covariates record.",
            "proxy-informativeness",
            "no candidate is evaluated; weighting through covariates that record nothing corrects nothing",
        ),
        evidenced(
            report,
            "One population of labels",
            "Labels follow the same model from the log's first day to its last, whoever labels.",
            "label-drift",
            "no candidate is evaluated; an average over a log that changed is the preference of nobody",
        ),
        evidenced(
            report,
            "Bradley-Terry preferences",
            "Preferences follow from one score a response. Target accuracies do not need it; log-loss, implied rewards and training do.",
            "bradley-terry-fit",
            "no number in this report needs it; training on the logs does",
        ),
    ]
}

fn overlap(report: &Report) -> Assumption {
    tested(
        report,
        "Overlap of cells",
        "Every cell that the target names was logged often enough to learn from.",
        &["cell-support", "unsupported-target-mass"],
    )
}

fn pair_support(report: &Report) -> Assumption {
    let (status, by) = match report.missing_pair_mass {
        Some(_) => ("tested", "missing pair mass, under Support"),
        None if report.regime.pairs == "logged" => ("declared", "the regime: the target pairs are the logged pairs"),
        None => ("untestable", "this log does not say which pairs could have been shown"),
    };
    Assumption {
        name: "Overlap of pairs",
        meaning: "Within a cell, every pair that the target would show had a chance of being shown.".to_owned(),
        status,
        by: by.to_owned(),
    }
}

fn propensities(report: &Report) -> Assumption {
    tested(
        report,
        "Complete propensities",
        "Every row carries the probability with which its pair was shown.",
        &["propensity-completeness"],
    )
}

/// Averages of the logged probabilities are tested; that each one is right is not testable.
fn mechanisms(report: &Report) -> Assumption {
    let averages = tested(
        report,
        "Correct propensities",
        "The logged probabilities are those that the mechanism really used.",
        &["propensity-calibration", "generator-balance"],
    );
    match averages.status {
        "tested" => Assumption {
            status: "tested in part",
            by: format!("{}: on average, not row by row", averages.by),
            ..averages
        },
        _ => Assumption {
            status: "declared",
            by: format!("the declared mechanisms, under The declared regime; not computed: {}", averages.by),
            ..averages
        },
    }
}

fn observed(report: &Report) -> Assumption {
    let (name, meaning) = ("Logged shares of the cells", "How often each cell was logged is known.");
    if report.regime.observed != "empirical" {
        return tested(report, name, meaning, &["observed-masses"]);
    }
    let by = match report.audit.columns.contains_key("inclusion") {
        true => "counted from the audited rows, each one over its inclusion probability",
        false => "counted from the audited rows; it says nothing about rows that never reached the log",
    };
    Assumption { name, meaning: meaning.to_owned(), status: "counted", by: by.to_owned() }
}

fn selection(report: &Report) -> Assumption {
    let logged = report.audit.columns.get("inclusion");
    let (status, by) = match (logged, &report.audit.selection) {
        (Some(column), _) => {
            ("declared", format!("the logged inclusion probabilities, column {column}: rows count one over them"))
        }
        (None, Some(words)) => ("declared", format!("the audit document: {words}")),
        (None, None) => (
            "not declared",
            "the audit document has no `selection`: say there how comparisons came to be labelled".to_owned(),
        ),
    };
    Assumption {
        name: "Selection into labelling",
        meaning: "Which comparisons were labelled has nothing to do with the answer, given the covariates (and the inclusion probabilities, where logged). Rows missing within a cell are never repaired by weighting.".to_owned(),
        status,
        by,
    }
}

/// Evidence can speak against such an assumption and never for it: at most it is tested in part.
fn evidenced(report: &Report, name: &'static str, meaning: &str, id: &'static str, unused: &str) -> Assumption {
    let own = tested(report, name, meaning, &[id]);
    let applies = report.checks.iter().any(|check| check.id == id && check.status != Status::NotApplicable);
    match (own.status, applies) {
        ("tested", _) => Assumption { status: "tested in part", ..own },
        (_, true) => own,
        (_, false) => Assumption { status: "not used", by: unused.to_owned(), ..own },
    }
}

fn untestable(name: &'static str, meaning: &str, by: &str) -> Assumption {
    Assumption { name, meaning: meaning.to_owned(), status: "untestable", by: by.to_owned() }
}

/// Tested where every check that bears on it was computed.
fn tested(report: &Report, name: &'static str, meaning: &str, ids: &[&str]) -> Assumption {
    let computed = |id: &&str| {
        let check = report.checks.iter().find(|check| check.id == **id);
        let status = check.map(|check| check.status_before_waiver.unwrap_or(check.status));
        matches!(status, Some(Status::Pass | Status::Warn | Status::Fail))
    };
    let status = if ids.iter().all(computed) { "tested" } else { "not tested" };
    Assumption { name, meaning: meaning.to_owned(), status, by: ids.join(", ") }
}
