//! Was every pair drawn by a mechanism that was declared?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Need, Undetermined, at_most, list, rows, share};
use crate::declare::Role;
use std::collections::BTreeSet;

pub(super) static CHECK: Check = Check {
    id: "mechanism-provenance",
    title: "Mechanism provenance",
    source: "Lemma (2026), sections 3 and 9",
    page: include_str!("../../docs/checks/mechanism-provenance.md"),
    needs: &[Need::Column(Role::Mechanism)],
    run,
};

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let counts = evidence.statistics.mechanisms.clone().unwrap_or_default();
    let declared: BTreeSet<&str> = evidence.regime.mechanisms.iter().map(|mechanism| mechanism.id.as_str()).collect();
    let undeclared: Vec<(&String, u64)> = counts
        .rows
        .iter()
        .filter(|(id, _)| !declared.contains(id.as_str()))
        .map(|(id, counted)| (id, counted.rows))
        .collect();
    let read = evidence.statistics.rows_read;
    let bad = counts.missing + undeclared.iter().map(|(_, n)| n).sum::<u64>();
    let limit = at_most("max_undeclared_share", limits.number("max_undeclared_share")?);
    let mut measures =
        vec![Measure::held("share without a declared one", share(bad, read), limit, Crossed::Limit).of_rows(read)];
    measures.extend(
        undeclared
            .iter()
            .map(|(id, n)| Measure::fault("rows of an undeclared mechanism", *n, Crossed::Nothing).about(id)),
    );
    if counts.missing > 0 {
        measures.push(Measure::fault("rows without a mechanism", counts.missing, Crossed::Nothing));
    }
    let names: Vec<String> = undeclared.iter().map(|(id, _)| (*id).clone()).collect();
    let message = match (names.is_empty(), counts.missing) {
        (true, 0) => format!("{} carry a declared mechanism ({} declared)", rows(read), declared.len()),
        (true, missing) => format!("{} of {} name no mechanism", super::thousands(missing), rows(read)),
        (false, _) => {
            format!("{} of {} were drawn by undeclared mechanisms: {}", super::thousands(bad), rows(read), list(&names))
        }
    };
    Ok(Finding::from_measures(
        measures,
        message,
        "declare the mechanism in the regime under mechanisms (and move the regime's version), or leave its rows out of the log; \
         a silent change of mechanism is a silent change of what is estimated",
    ))
}
