//! What changed since the audit that went before, and was it announced?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Status, Undetermined, at_most, list};
use crate::change::{Ruling, judge};

pub(super) static CHECK: Check = Check {
    id: "change-management",
    title: "Changes since the baseline",
    source: "Lemma (2026), section 9, change management hooks",
    page: include_str!("../../docs/checks/change-management.md"),
    needs: &[],
    run,
};

/// How many changes under one rule are named one by one.
const NAMED: usize = 20;

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let Some(changes) = evidence.changes else { return without_baseline(limits) };
    let limit = |key: &str| match limits.0.get(key) {
        Some(crate::declare::Limit::Number(value)) => Some(*value),
        _ => None,
    };
    let rulings = judge(changes, false, limit).map_err(Undetermined::missing_limit)?;
    let mut measures: Vec<Measure> = rulings.iter().map(measure).collect();
    // The headline is what is worst.
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let crossed = || rulings.iter().filter(|ruling| ruling.crossed());
    measures.extend(crossed().flat_map(|ruling| ruling.changes.iter().take(NAMED)).map(|change| {
        Measure::shown("change", change.size).about(&format!("{}: {}", change.about.name(), change.item))
    }));
    let message = match crossed().next() {
        None if changes.is_empty() => "nothing changed since the baseline".to_owned(),
        None => "what changed since the baseline is within the limits".to_owned(),
        Some(_) => crossed().map(words).collect::<Vec<_>>().join("; "),
    };
    Ok(Finding::from_measures(
        measures,
        message,
        "give what changed a new version with its reason, name the version before under supersedes, declare new mechanisms; \
         where the change was not meant, take it back",
    ))
}

/// Nothing to be compared with: that is an answer unless the policy demands a baseline.
fn without_baseline(limits: &Limits) -> Result<Finding, Undetermined> {
    if limits.text("baseline")? == "optional" {
        return Ok(Finding {
            status: Status::NotApplicable,
            message: "no earlier audit was given to compare with".to_owned(),
            measures: Vec::new(),
            remedy: None,
            not_logged: false,
        });
    }
    Err(Undetermined {
        message: "the policy demands the record of an earlier audit, and none was given".to_owned(),
        remedy: "give the report.json of the last accepted audit with --baseline".to_owned(),
        not_logged: false,
        measures: Vec::new(),
    })
}

fn measure(ruling: &Ruling) -> Measure {
    let crossed = if ruling.rule.fails() { Crossed::Limit } else { Crossed::Warning };
    Measure::held(ruling.rule.name, ruling.value, at_most(ruling.rule.key, ruling.limit), crossed)
}

/// `changes under an unchanged version: 1 (regime: the content, under the same version 1.2.0)`
fn words(ruling: &Ruling) -> String {
    let mut changes = ruling.changes.clone();
    changes.sort_by(|a, b| b.size.total_cmp(&a.size));
    let items: Vec<String> = changes.iter().map(|change| format!("{}: {}", change.about.name(), change.item)).collect();
    let amount = if ruling.rule.largest { String::new() } else { format!(": {}", ruling.changes.len()) };
    format!("{}{amount} ({})", ruling.rule.name, list(&items))
}
