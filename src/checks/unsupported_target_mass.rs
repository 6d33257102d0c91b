//! How much of the declared target does the log say nothing about?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, at_most, cell_name, list};
use crate::weights::CellWeight;
use std::collections::BTreeSet;

pub(super) static CHECK: Check = Check {
    id: "unsupported-target-mass",
    title: "Target mass without any row",
    source: "Manski (1990), American Economic Review 80:319; Lemma (2026), section 5",
    page: include_str!("../../docs/checks/unsupported-target-mass.md"),
    needs: &[],
    run,
};

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let mass = evidence.weights.unsupported_target_mass;
    let bound = at_most("max_mass", limits.number("max_mass")?);
    let mut measures = vec![
        Measure::held("unsupported target mass", mass, bound, Crossed::Limit).of_rows(evidence.statistics.audited()),
    ];
    // With nothing unsupported the interval is a point, and an estimate without its error is nothing to show.
    let interval = evidence.weights.share_won_by_a.filter(|_| mass > 0.0).map(|share| manski(share, mass));
    if let Some((low, high)) = interval {
        let n = evidence.weights.labelled.n;
        measures.push(Measure::shown("target share of comparisons won by a, at least", low).of_rows(n));
        measures.push(Measure::shown("target share of comparisons won by a, at most", high).of_rows(n));
    }
    let cells: Vec<String> = evidence
        .weights
        .cells
        .iter()
        .filter(|(_, cell)| cell.p_target > 0.0 && (cell.n == 0 || cell.ratio.is_none()))
        .map(|(levels, _)| cell_name(levels))
        .collect();
    let message = match (cells.is_empty(), interval) {
        (true, _) => "every cell of the target has rows".to_owned(),
        (false, Some((low, high))) => format!(
            "{:.1} % of the target has no row ({}): the target share won by a is known only to lie in [{low:.3}, {high:.3}], sampling error aside",
            100.0 * mass,
            list(&cells)
        ),
        (false, None) => format!("{:.1} % of the target has no row ({})", 100.0 * mass, list(&cells)),
    };
    let remedy =
        "collect comparisons in these cells, or declare a target without them: more rows elsewhere do not help";
    Ok(Finding::from_measures(measures, message, &format!("{}{remedy}", misspelt(evidence))))
}

/// Levels of the target that no row has, each with a level of the log that the target does not name and that reads alike:
/// most likely a slip of the pen. Empty where there is none.
fn misspelt(evidence: &Evidence) -> String {
    // Jaro-Winkler similarity above which two words read alike; it words a hint and judges nothing.
    const ALIKE: f64 = 0.85;
    let cells = &evidence.weights.cells;
    let mut hints = Vec::new();
    for (place, covariate) in evidence.regime.cells.iter().enumerate() {
        let levels = |wanted: &dyn Fn(&CellWeight) -> bool| -> BTreeSet<&str> {
            let held = cells.iter().filter(|(_, cell)| wanted(cell));
            held.filter_map(|(levels, _)| levels.get(place).map(String::as_str)).collect()
        };
        let (targeted, logged) = (levels(&|cell| cell.p_target > 0.0), levels(&|cell| cell.n > 0));
        for level in targeted.difference(&logged) {
            let alike = |other: &&&str| strsim::jaro_winkler(&level.to_lowercase(), &other.trim().to_lowercase());
            let nearest = logged.difference(&targeted).max_by(|a, b| alike(a).total_cmp(&alike(b)));
            if let Some(near) = nearest.filter(|near| alike(near) >= ALIKE) {
                hints.push(format!(
                    "did you mean {covariate} `{near}`, which the log has, by `{level}`, which it has not? "
                ));
            }
        }
    }
    hints.into_iter().take(3).collect()
}

/// What is known of a target share when a part of the target is never seen (Manski 1990): theta is the share in the
/// rest, and the unseen part may lie anywhere in \[0, 1\]. Ignores sampling error.
fn manski(theta: f64, unsupported: f64) -> (f64, f64) {
    ((1.0 - unsupported) * theta, (1.0 - unsupported) * theta + unsupported)
}

#[cfg(test)]
mod tests {
    use super::manski;

    #[test]
    fn the_interval_is_as_wide_as_the_unsupported_mass() {
        let (low, high) = manski(0.6, 0.3);
        assert!((low - 0.42).abs() < 1e-15 && (high - 0.72).abs() < 1e-15);
        assert_eq!(manski(0.6, 0.0), (0.6, 0.6));
        assert_eq!(manski(0.6, 1.0), (0.0, 1.0));
    }
}
