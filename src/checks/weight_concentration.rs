//! Does the weight rest on few prompts, annotators or users, or on copies of texts?

use super::{
    Check, Crossed, Evidence, Finding, Limits, Measure, Need, Status, Undetermined, at_most, share, status_of,
    thousands,
};
use crate::declare::Role;
use crate::statistics::groups::{Groups, MAX_VALUES, Members, Repeats};
use crate::weights::{TOP, top_share};

pub(super) static CHECK: Check = Check {
    id: "weight-concentration",
    title: "Concentration of the weight",
    source: "Lemma (2026), section 9; ratio of the k largest to all (concentration ratio)",
    page: include_str!("../../docs/checks/weight-concentration.md"),
    needs: &[Need::Weights, Need::SecondScan],
    run,
};

const REMEDY: &str = "collect comparisons of more prompts, annotators and users in the cells that weigh most; give copies of one \
    prompt one identifier, and drop rows that were written twice; read every estimate by prompt before it is used for a claim";

/// The roles, their plural, and the names of their limits.
const ROLES: [(Role, &str, &str, &str); 3] = [
    (Role::Prompt, "prompts", "warn_top_prompts_share", "max_top_prompts_share"),
    (Role::Annotator, "annotators", "warn_top_annotators_share", "max_top_annotators_share"),
    (Role::User, "users", "warn_top_users_share", "max_top_users_share"),
];

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let mut measures = Vec::new();
    let mut unknown = Vec::new();
    for (role, plural, warn, max) in ROLES {
        let Some(members) = evidence.groups.and_then(|groups| groups.roles.get(&role)) else { continue };
        match members.as_ref().and_then(|members| Some((members, top_share(members)?))) {
            Some((members, top)) => measures.extend(held(members, top, (plural, warn, max), limits)?),
            None => unknown.push(plural),
        }
    }
    if measures.is_empty() && unknown.is_empty() {
        return Err(not_mapped());
    }
    if let Some(groups) = evidence.groups {
        measures.extend(repeated_texts(evidence, groups, limits)?);
    }
    let failed = status_of(&measures) == Status::Fail;
    if !unknown.is_empty() && !failed {
        return Err(too_many(&unknown, measures));
    }
    let shares: Vec<String> = measures
        .iter()
        .filter_map(|measure| Some((measure.subject.as_ref()?, measure.value?)))
        .map(|(subject, share)| match ROLES.iter().any(|(_, plural, ..)| plural == subject) {
            true => format!("{:.1} % on {TOP} {subject}", 100.0 * share),
            false => format!("{:.1} % on {subject}", 100.0 * share),
        })
        .collect();
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    Ok(Finding::from_measures(measures, format!("of the weight {}", shares.join(", ")), REMEDY))
}

/// The share against both limits, as one measure with the harder limit that it crosses; and the rows without a value.
fn held(
    members: &Members,
    top: f64,
    (plural, warn, max): (&str, &'static str, &'static str),
    limits: &Limits,
) -> Result<[Measure; 2], Undetermined> {
    let name =
        format!("share of the weight on the {TOP} {plural} with most, of {}", thousands(members.values.len() as u64));
    let measure = within(&name, top, (warn, max), limits)?;
    let rows = members.values.iter().map(|member| member.rows).sum::<u64>() + members.missing.rows;
    let missing = Measure::shown(&format!("share of rows without one, of {plural}"), share(members.missing.rows, rows));
    Ok([measure.about(plural).of_rows(rows), missing.of_rows(rows)])
}

/// A share against both limits, with the harder one that it crosses.
fn within(
    name: &str,
    share: f64,
    (warn, max): (&'static str, &'static str),
    limits: &Limits,
) -> Result<Measure, Undetermined> {
    let hard = Measure::held(name, share, at_most(max, limits.number(max)?), Crossed::Limit);
    let soft = Measure::held(name, share, at_most(warn, limits.number(warn)?), Crossed::Warning);
    Ok(if hard.crossed == Crossed::Limit { hard } else { soft })
}

/// The weight on copies of texts, as far as the log carries them.
fn repeated_texts(evidence: &Evidence, groups: &Groups, limits: &Limits) -> Result<Vec<Measure>, Undetermined> {
    let already =
        if evidence.mapped.contains_key(&Role::Annotator) { "annotator saw before" } else { "log holds already" };
    let found: [(Option<&Repeats>, _, _, _); 2] = [
        (
            groups.comparisons.as_ref(),
            format!("share of the weight on comparisons that the same {already}"),
            ("warn_repeated_comparisons_share", "max_repeated_comparisons_share"),
            "repeated comparisons",
        ),
        (
            groups.prompt_texts.as_ref(),
            "share of the weight on prompts whose text another identifier has too".to_owned(),
            ("warn_copied_prompts_share", "max_copied_prompts_share"),
            "copied prompts",
        ),
    ];
    let mut measures = Vec::new();
    for (repeats, name, bounds, subject) in found {
        let Some((repeats, share)) = repeats.and_then(|repeats| Some((repeats, repeats.share()?))) else { continue };
        let name = match repeats.one_in {
            1 => format!("{name}, of {}", thousands(repeats.values)),
            one_in => format!("{name}, of {} (one in {one_in} was looked at)", thousands(repeats.values)),
        };
        measures.push(within(&name, share, bounds, limits)?.about(subject).of_rows(repeats.rows));
    }
    Ok(measures)
}

fn not_mapped() -> Undetermined {
    Undetermined {
        message: "the log carries no prompt, annotator or user column".to_owned(),
        remedy: "log them, and map them under `logs.columns` in the audit file".to_owned(),
        not_logged: true,
        measures: Vec::new(),
    }
}

fn too_many(unknown: &[&str], measures: Vec<Measure>) -> Undetermined {
    Undetermined {
        message: format!(
            "the log holds more than {} {}: their weights are not kept",
            thousands(MAX_VALUES as u64),
            unknown.join(" and ")
        ),
        remedy: "audit the log in parts".to_owned(),
        not_logged: false,
        measures,
    }
}
