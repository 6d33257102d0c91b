//! Are the labels in their alphabet, and is every comparison in the log once?

use super::{
    Check, Crossed, Evidence, Finding, Limits, Measure, Need, Status, Undetermined, at_most, rows, share,
    side_is_known, side_not_kept,
};
use crate::logs::Exclusion;

pub(super) static CHECK: Check = Check {
    id: "label-integrity",
    title: "Label integrity",
    source: "Lemma (2026), sections 3 and 9",
    page: include_str!("../../docs/checks/label-integrity.md"),
    needs: &[Need::OneScan],
    run,
};

const REMEDY: &str =
    "mend the pipeline that writes the log: remove copies by event id, declare every label word under logs.labels";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let statistics = evidence.statistics;
    let read = statistics.rows_read;
    let held = |name, count, total, key, crossed| -> Result<Measure, Undetermined> {
        Ok(Measure::held(name, share(count, total), at_most(key, limits.number(key)?), crossed).of_rows(total))
    };
    let (unknown, missing) =
        (statistics.excluded_for(Exclusion::UnknownLabel), statistics.excluded_for(Exclusion::MissingLabel));
    let labels = statistics.labels();
    let mut measures = vec![
        held("share with an unknown label", unknown, read, "max_unknown_share", Crossed::Limit)?,
        held("share without a label", missing, read, "max_missing_share", Crossed::Limit)?,
        held("share of ties", labels.tie, labels.total(), "warn_tie_share", Crossed::Warning)?,
        held("share of abstentions", labels.abstain, labels.total(), "warn_abstain_share", Crossed::Warning)?,
    ];
    let decided = labels.a + labels.b;
    let sides = side_is_known(evidence);
    let one_sided = sides && share(labels.a.max(labels.b), decided) > limits.number("max_side_share")?;
    if decided > 0 && sides {
        let side = labels.a.max(labels.b);
        measures.push(held("share of choices for one side", side, decided, "max_side_share", Crossed::Limit)?);
    }
    let mut faults = vec![(unknown, "with a label outside the alphabet"), (missing, "without a label")];
    if let Some(alike) = statistics.alike {
        let name = "share that compares a response with itself";
        let hard = held(name, alike, read, "max_alike_share", Crossed::Limit)?;
        let soft = held(name, alike, read, "warn_alike_share", Crossed::Warning)?;
        let measure = if hard.crossed == Crossed::Limit { hard } else { soft };
        if measure.crossed != Crossed::Nothing {
            faults.push((alike, "that compare a response with itself"));
        }
        measures.push(measure);
    }
    if let Some(duplicates) = evidence.duplicates {
        let copies = duplicates.identical + duplicates.conflicting;
        measures.push(held("share that repeats an id", copies, read, "max_duplicate_share", Crossed::Limit)?);
        measures.push(Measure::fault(
            "copies that differ from the first row of their id",
            duplicates.conflicting,
            Crossed::Limit,
        ));
        measures.push(Measure::fault("rows without an id", duplicates.missing_ids, Crossed::Warning).of_rows(read));
        faults.extend([
            (duplicates.identical, "that copy an earlier row"),
            (duplicates.conflicting, "that repeat an id with other content"),
            (duplicates.missing_ids, "without an id"),
        ]);
    }
    // The headline is the worst measure; a stable sort keeps the order among equals.
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let named: Vec<String> =
        faults.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", rows(*n))).collect();
    let message = if named.is_empty() && one_sided {
        format!(
            "{} choices, {} for a and {} for b: not a record of choices",
            super::thousands(decided),
            super::thousands(labels.a),
            super::thousands(labels.b)
        )
    } else if named.is_empty() {
        format!(
            "{} labelled a, b or tie, {} abstained, no copies",
            super::thousands(statistics.labelled()),
            super::thousands(labels.abstain)
        )
    } else {
        named.join("; ")
    };
    let finding = Finding::from_measures(measures, message, REMEDY);
    if !sides && finding.status != Status::Fail {
        return Err(side_not_kept("whether the labels are choices", finding.measures));
    }
    if evidence.duplicates.is_none() && finding.status != Status::Fail {
        return Err(without_ids(finding.measures));
    }
    Ok(finding)
}

fn without_ids(measures: Vec<Measure>) -> Undetermined {
    Undetermined {
        message: "the labels are in their alphabet, but without ids copies of rows cannot be found".to_owned(),
        remedy: "log an id for every comparison when it is shown, and map it under logs.columns.id in the audit file"
            .to_owned(),
        not_logged: true,
        measures,
    }
}
