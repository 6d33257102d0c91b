//! Can the logged propensities be the ones that drew the pairs?

use super::{
    Bound, Check, Crossed, Direction, Evidence, Finding, Limits, Measure, Status, Undetermined, at_least, cell_name,
    slice_of,
};
use crate::declare::{Levels, Pairs};
use crate::numeric::{holm, p_value_of_log_e};
use crate::weights::{Calibration, CellCalibration};

pub(super) static CHECK: Check = Check {
    id: "propensity-calibration",
    title: "Propensity calibration",
    source: "Lemma (2026), section 5 (E[g_T/g_O] = 1); Waudby-Smith & Ramdas (2024), JRSSB 86:1; Holm (1979)",
    page: include_str!("../../docs/checks/propensity-calibration.md"),
    needs: &[],
    run,
};

const REMEDY: &str = "compare the logging code with the sampler in the cells named: a mean above 1 means that logged propensities are too \
    small for what was shown (scaled down, of another mechanism, of the reversed pair) or that rows were selected after logging; below 1, \
    that they are too large (scaled up, floored, defaulted) or that pairs the target shows are never drawn";

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let alpha = limits.number("alpha")?;
    let Some(calibration) = evidence.calibration else {
        if evidence.regime.pairs != Pairs::Logged {
            return Err(super::selected_within_cells(evidence));
        }
        return Ok(Finding {
            status: Status::NotApplicable,
            message: "the regime declares g_T = g_O: the pair ratio is 1 by declaration".to_owned(),
            measures: Vec::new(),
            remedy: None,
            not_logged: false,
        });
    };
    let tests = tests(evidence, calibration);
    let adjusted = holm(&tests.iter().map(|test| test.p_value).collect::<Vec<_>>());
    let mut measures: Vec<Measure> =
        tests.iter().zip(adjusted).map(|(test, p_value)| measure(evidence, test, p_value, alpha)).collect();
    measures.extend(beyond_design(evidence));
    measures.sort_by(|a, b| b.crossed.cmp(&a.crossed).then(p_value_of(a).total_cmp(&p_value_of(b))));
    let finding = Finding::from_measures(measures, message(evidence, &tests, calibration, alpha), REMEDY);
    if finding.status == Status::Pass && (calibration.bound.is_none() || tests.is_empty()) {
        return Err(one_sided(finding.measures));
    }
    Ok(finding)
}

/// One side of one cell.
struct Test<'a> {
    levels: &'a Levels,
    cell: &'a CellCalibration,
    side: &'static str,
    p_value: f64,
}

/// Both sides of every cell with target mass, as far as they are testable. By Markov, 1/e is a p-value.
fn tests<'a>(evidence: &'a Evidence, calibration: &'a Calibration) -> Vec<Test<'a>> {
    let targeted = |levels: &Levels| evidence.weights.cells.get(levels).is_some_and(|cell| cell.p_target > 0.0);
    calibration
        .cells
        .iter()
        .filter(|(levels, _)| targeted(levels))
        .flat_map(|(levels, cell)| {
            let above = Test { levels, cell, side: "above 1", p_value: p_value_of_log_e(cell.log_e_above) };
            let below =
                cell.log_e_below.map(|log_e| Test { levels, cell, side: "below 1", p_value: p_value_of_log_e(log_e) });
            [Some(above), below].into_iter().flatten()
        })
        .collect()
}

fn measure(evidence: &Evidence, test: &Test, p_value: f64, alpha: f64) -> Measure {
    let name = format!("p-value, mean {}", test.side);
    // A p-value at the level rejects, so that inside is strictly above it.
    let measure = Measure::held(&name, p_value, at_least("alpha", alpha), Crossed::Limit);
    let crossed = if p_value <= alpha { Crossed::Limit } else { Crossed::Nothing };
    Measure { crossed, ..measure }.of_rows(test.cell.n).in_cell(slice_of(&evidence.regime.cells, test.levels))
}

fn p_value_of(measure: &Measure) -> f64 {
    measure.value.filter(|_| measure.cell.is_some()).unwrap_or(f64::INFINITY)
}

/// Ratios above what a mechanism's design allows are wrong whatever their mean. One part in a billion is rounding.
fn beyond_design(evidence: &Evidence) -> Vec<Measure> {
    const ROUNDING: f64 = 1.0 + 1e-9;
    let Some(counts) = &evidence.statistics.mechanisms else { return Vec::new() };
    let declared = evidence.regime.mechanisms.iter().filter_map(|mechanism| {
        let rows = counts.rows.get(&mechanism.id)?;
        Some((mechanism, mechanism.max_pair_ratio?, rows.max_pair_ratio?, rows.rows))
    });
    declared
        .map(|(mechanism, bound, largest, rows)| {
            let bound = Bound { direction: Direction::AtMost, value: bound * ROUNDING, key: None };
            Measure::held("largest g_T/g_O, against max_pair_ratio", largest, bound, Crossed::Limit)
                .about(&mechanism.id)
                .of_rows(rows)
        })
        .collect()
}

fn message(evidence: &Evidence, tests: &[Test], calibration: &Calibration, alpha: f64) -> String {
    let beyond = beyond_design(evidence).into_iter().find(|measure| measure.crossed == Crossed::Limit);
    let adjusted = holm(&tests.iter().map(|test| test.p_value).collect::<Vec<_>>());
    let worst =
        tests.iter().zip(adjusted).filter(|(_, p)| *p <= alpha).min_by(|a, b| a.0.p_value.total_cmp(&b.0.p_value));
    match (worst, beyond) {
        (Some((test, p_value)), _) => format!(
            "in {} the mean of g_T/g_O is {:.3}, {} beyond chance (p = {p_value:.1e} after correction for {} tests)",
            cell_name(test.levels),
            test.cell.mean,
            test.side,
            tests.len()
        ),
        (None, Some(measure)) => format!(
            "a ratio g_T/g_O of {:.4} exceeds the design bound of {}",
            measure.value.unwrap_or(f64::NAN),
            measure.subject.as_deref().unwrap_or("its mechanism")
        ),
        (None, None) if calibration.bound.is_some() => {
            format!("the mean of g_T/g_O is compatible with 1 in all {} cells, on both sides", tests.len() / 2)
        }
        (None, None) => format!("no mean of g_T/g_O is above 1 in {} cells; below 1 was not testable", tests.len()),
    }
}

fn one_sided(measures: Vec<Measure>) -> Undetermined {
    Undetermined {
        message:
            "no mean of g_T/g_O is above 1, but without a design bound propensities that are too large cannot be found"
                .to_owned(),
        remedy: "declare max_pair_ratio for every mechanism: the largest g_T/g_O that its exploration floor allows"
            .to_owned(),
        not_logged: true,
        measures,
    }
}
