//! Is the declaration in force, current, and complete enough to be audited against?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, at_most};

pub(super) static CHECK: Check = Check {
    id: "regime-declaration",
    title: "Declared target regime",
    source: "Lemma (2026), sections 3 and 9",
    page: include_str!("../../docs/checks/regime-declaration.md"),
    needs: &[],
    run,
};

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let regime = evidence.regime;
    let age = (evidence.as_of - regime.effective).num_days();
    let without_mass = !evidence.weights.cells.values().any(|cell| cell.p_target > 0.0);
    let single = evidence.weights.cells.values().filter(|cell| cell.p_target > 0.0).count() == 1;
    let unwritten = regime.unwritten();
    let untargeted = critical_slices_without_mass(evidence);
    let mut measures = vec![
        Measure::held(
            "age in days",
            days(age),
            at_most("max_age_days", limits.number("max_age_days")?),
            Crossed::Warning,
        ),
        Measure::fault("drafts that nobody has taken over", u64::from(regime.draft), Crossed::Limit),
        Measure::fault("texts still to be written", unwritten.len() as u64, Crossed::Limit),
        Measure::fault("targets of a single cell", u64::from(single), Crossed::Warning),
        Measure::fault("targets without any mass", u64::from(without_mass), Crossed::Limit),
        Measure::fault("days until the regime takes effect", u64::try_from(-age).unwrap_or(0), Crossed::Limit),
        Measure::fault("declared mechanisms missing", u64::from(regime.mechanisms.is_empty()), Crossed::Warning),
    ];
    measures.extend(
        untargeted
            .iter()
            .map(|slice| Measure::fault("critical slice without target mass", 1, Crossed::Warning).about(slice)),
    );
    // The headline is the worst measure; a stable sort keeps the order among equals.
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let message = if regime.draft {
        format!(
            "{} {} is a draft that a program wrote: nobody has declared this population yet",
            regime.name, regime.version
        )
    } else if !unwritten.is_empty() {
        format!("{} {} still has to say: {}", regime.name, regime.version, unwritten.join(", "))
    } else if age < 0 {
        format!(
            "the regime {} {} takes effect on {}, after the audit's date",
            regime.name, regime.version, regime.effective
        )
    } else if without_mass {
        format!(
            "{} {} resolves to no mass in any cell: its multipliers meet no audited row",
            regime.name, regime.version
        )
    } else if regime.mechanisms.is_empty() {
        format!("the regime {} {} declares a target but no pair-assignment mechanism", regime.name, regime.version)
    } else if single {
        format!(
            "the regime {} {} has mass in one cell alone: every row weighs the same, and no group is told from another",
            regime.name, regime.version
        )
    } else if let Some(slice) = untargeted.first() {
        format!("the regime {} {} monitors {slice}, which has no target mass", regime.name, regime.version)
    } else {
        format!("the regime {} {} has been in effect for {age} days", regime.name, regime.version)
    };
    let remedy = if regime.draft {
        "replace the drafted target by the population that you mean, fill in owner and motivation, and delete `draft: true`"
    } else if !unwritten.is_empty() {
        "write what the drafted document leaves to a person, in place of `TODO`"
    } else if single {
        "name covariates under `cells` that tell users or prompts apart, and declare how much each group counts"
    } else {
        "have the owner review the declaration: its date, its mechanisms, its critical slices; then move its version"
    };
    Ok(Finding::from_measures(measures, message, remedy))
}

#[expect(clippy::cast_precision_loss, reason = "days of a calendar")]
fn days(count: i64) -> f64 {
    count as f64
}

fn critical_slices_without_mass(evidence: &Evidence) -> Vec<String> {
    let covariates = &evidence.regime.cells;
    let inside = |slice: &crate::declare::Slice, levels: &[String]| {
        covariates.iter().zip(levels).all(|(name, level)| slice.get(name).is_none_or(|wanted| wanted == level))
    };
    let targeted = |slice: &crate::declare::Slice| {
        evidence.weights.cells.iter().any(|(levels, cell)| cell.p_target > 0.0 && inside(slice, levels))
    };
    let name = |slice: &crate::declare::Slice| {
        slice.iter().map(|(covariate, level)| format!("{covariate} = {level}")).collect::<Vec<_>>().join(", ")
    };
    evidence.regime.critical.iter().filter(|slice| !targeted(slice)).map(name).collect()
}
