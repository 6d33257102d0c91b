//! Does the log carry the fields that make a row a comparison, in every row?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, list, rows};
use crate::declare::Role;

pub(super) static CHECK: Check = Check {
    id: "required-fields",
    title: "Required fields",
    source: "Lemma (2026), sections 3 and 9",
    page: include_str!("../../docs/checks/required-fields.md"),
    needs: &[],
    run,
};

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let carried = |role: &Role| match role {
        Role::Propensity => [role, &Role::LogPropensity].iter().any(|form| evidence.mapped.contains_key(form)),
        other => evidence.mapped.contains_key(other),
    };
    let absent = |key| -> Result<Vec<String>, Undetermined> {
        Ok(limits.roles(key)?.iter().filter(|role| !carried(role)).map(|role| role.name().to_owned()).collect())
    };
    let (required, recommended) = (absent("required")?, absent("recommended")?);
    let empty: Vec<(Role, u64)> =
        evidence.statistics.missing.iter().map(|(role, n)| (*role, *n)).filter(|(_, n)| *n > 0).collect();

    let count = |fields: &[String]| u64::try_from(fields.len()).unwrap_or(u64::MAX);
    let mut measures = vec![
        Measure::fault("required fields not mapped", count(&required), Crossed::Limit),
        Measure::fault("recommended fields not mapped", count(&recommended), Crossed::Warning),
    ];
    let fields = required
        .iter()
        .map(|role| (role, Crossed::Limit))
        .chain(recommended.iter().map(|role| (role, Crossed::Warning)));
    measures.extend(fields.map(|(role, crossed)| Measure::fault("field not mapped", 1, crossed).about(role)));
    let advised = limits.roles("recommended")?;
    measures.extend(empty.iter().map(|(role, n)| {
        let crossed = if advised.contains(role) { Crossed::Warning } else { Crossed::Limit };
        Measure::fault("rows without a value", *n, crossed).about(role.name()).of_rows(evidence.statistics.rows_read)
    }));
    // What is wrong is said first.
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    Ok(Finding::from_measures(
        measures,
        message(&required, &empty, &recommended),
        "log these fields and map them under logs.columns",
    ))
}

fn message(required: &[String], empty: &[(Role, u64)], recommended: &[String]) -> String {
    let mut parts = Vec::new();
    if !required.is_empty() {
        parts.push(format!("required but not mapped: {}", list(required)));
    }
    parts.extend(empty.iter().map(|(role, n)| format!("{} without a {}", rows(*n), role.name())));
    if !recommended.is_empty() {
        parts.push(format!("recommended but not mapped: {}", list(recommended)));
    }
    if parts.is_empty() {
        "every required and recommended field is mapped and filled".to_owned()
    } else {
        parts.join("; ")
    }
}
