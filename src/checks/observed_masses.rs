//! Were the cells logged as often as the regime states by design?

use super::{
    Check, Crossed, Evidence, Finding, Limits, Measure, Status, Undetermined, at_least, cell_name, rows, slice_of,
};
use crate::declare::{Levels, Observed};
use crate::weights::{against_table, p_value_of_table};

pub(super) static CHECK: Check = Check {
    id: "observed-masses",
    title: "Logged masses as declared",
    source: "Pearson (1900), Philosophical Magazine 50:157; Rao & Scott (1981), JASA 76:221; Lemma (2026), section 5",
    page: include_str!("../../docs/checks/observed-masses.md"),
    needs: &[],
    run,
};

const REMEDY: &str = "compare the table under observed with how traffic was routed while these rows were logged, and look for rows lost \
    before the log; if the design does not fix the shares, declare observed: empirical";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let (alpha, min_expected) = (limits.number("alpha")?, limits.number("min_expected")?);
    let Observed::Table(masses) = &evidence.regime.observed else { return Ok(not_applicable()) };
    let n = evidence.statistics.audited();
    let compared = against_table(&evidence.statistics.cells, masses);
    let impossible: u64 = evidence
        .statistics
        .cells
        .iter()
        .filter(|(levels, _)| masses.get(*levels).is_none_or(|mass| *mass <= 0.0))
        .map(|(_, cell)| cell.audited.n)
        .sum();
    let mut measures =
        vec![Measure::fault("rows in cells that the table gives no mass", impossible, Crossed::Limit).of_rows(n)];
    let p_value = p_value_of_table(&evidence.statistics.cells, masses, min_expected);
    match p_value {
        Some(p_value) => measures.insert(0, tested(p_value, alpha, n)),
        // One cell that holds all there is has nothing to be compared with.
        None if impossible > 0 || n > 0 && compared.len() == 1 => {}
        None => return Err(too_few(n)),
    }
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let furthest = furthest(&compared);
    measures.extend(furthest.iter().map(|(levels, observed, expected)| {
        Measure::shown("rows over what the table expects", observed / expected)
            .in_cell(slice_of(&evidence.regime.cells, levels))
            .of_rows(evidence.statistics.cells.get(*levels).map_or(0, |cell| cell.audited.n))
    }));
    let message = match (super::status_of(&measures), furthest.first(), impossible) {
        (_, _, 1..) => format!("{} lie in cells that the table says are never logged", rows(impossible)),
        (Status::Fail, Some((levels, observed, expected)), _) => format!(
            "the logged shares of the cells are not those declared (p = {:.1e}): {} has {:.2} times the rows expected",
            p_value.unwrap_or(f64::NAN),
            cell_name(levels),
            observed / expected
        ),
        _ => format!("{} are spread over the cells as the table declares", rows(n)),
    };
    Ok(Finding::from_measures(measures, message, REMEDY))
}

fn tested(p_value: f64, alpha: f64, n: u64) -> Measure {
    let name = "p-value for rows drawn with the declared masses";
    // A p-value at the level rejects, so that inside is strictly above it.
    let crossed = if p_value <= alpha { Crossed::Limit } else { Crossed::Nothing };
    Measure { crossed, ..Measure::held(name, p_value, at_least("alpha", alpha), Crossed::Limit) }.of_rows(n)
}

/// The cells by how far their counts are from what is expected, in units of what chance allows; the furthest first.
fn furthest<'a>(compared: &[(&'a Levels, f64, f64)]) -> Vec<(&'a Levels, f64, f64)> {
    let distance = |(_, observed, expected): &(&Levels, f64, f64)| (observed - expected).powi(2) / expected;
    let mut cells: Vec<_> = compared.iter().copied().filter(|(_, _, expected)| *expected > 0.0).collect();
    cells.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
    cells
}

fn not_applicable() -> Finding {
    Finding {
        status: Status::NotApplicable,
        message: "the regime declares observed: empirical: the logged shares are counted, not stated".to_owned(),
        measures: Vec::new(),
        remedy: None,
        not_logged: false,
    }
}

fn too_few(n: u64) -> Undetermined {
    Undetermined {
        message: format!("{} are too few to hold against the table", rows(n)),
        remedy: "collect more rows: at least two groups of cells must expect min_expected each".to_owned(),
        not_logged: false,
        measures: Vec::new(),
    }
}
