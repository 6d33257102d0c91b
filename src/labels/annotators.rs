//! Do annotators answer as the label model says?

use super::model::{LabelModel, agreement};
use crate::estimate::Comparisons;
use crate::numeric::{holm, t_tail};

/// One annotator's agreement with the label model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnnotatorShift {
    /// Its number, from 1, in the order in which the labelled rows show annotators.
    pub ordinal: u64,
    /// Its labels among the model's rows.
    pub n: u64,
    /// The share of them that should be on the side that the model favours, by the model.
    pub expected: f64,
    /// The share that is.
    pub observed: f64,
    /// Standard error of the difference, by prompt; `None` where it is not known.
    pub standard_error: Option<f64>,
    /// Two-sided p-value of no difference beyond that of all annotators together, over all annotators (Holm). `None` where
    /// it has too few labels or prompts.
    pub p_value: Option<f64>,
    /// The difference of observed and expected, less that of all annotators together.
    pub shift: f64,
}

/// Labels below which an annotator's error is not to be relied on.
const MIN_LABELS: u64 = 30;

/// One for each annotator, most labels first; empty where they are not mapped.
pub fn annotator_shifts(model: &LabelModel, table: &Comparisons, implied: &[f64]) -> Vec<AnnotatorShift> {
    let Some(annotators) = &table.annotator else { return Vec::new() };
    let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); annotators.count];
    for (row, at) in model.rows.iter().enumerate() {
        let own = annotators.codes.get(*at as usize).and_then(|code| rows_of.get_mut(*code as usize));
        own.into_iter().for_each(|own| own.push(row));
    }
    let both: Vec<(f64, f64)> = implied.iter().zip(&model.answers).map(|(z, y)| agreement(*z, *y)).collect();
    let (residuals, expected): (Vec<f64>, Vec<f64>) = both.iter().map(|(own, p)| (own - p, *p)).unzip();
    let overall = model.mean(&residuals, |_| true).map_or(0.0, |own| own.estimate);
    let mut shifts: Vec<AnnotatorShift> = Vec::new();
    for (ordinal, rows) in (1_u64..).zip(&rows_of).filter(|(_, rows)| !rows.is_empty()) {
        let (Some(mean), Some(expected)) = (model.mean_of(&residuals, rows), model.mean_of(&expected, rows)) else {
            continue;
        };
        let shift = mean.estimate - overall;
        let tested = mean.se.filter(|se| *se > 0.0 && mean.n >= MIN_LABELS);
        shifts.push(AnnotatorShift {
            ordinal,
            n: mean.n,
            expected: expected.estimate,
            observed: expected.estimate + mean.estimate,
            standard_error: mean.se,
            p_value: tested.and_then(|se| t_tail(shift.abs() / se, mean.freedom)).map(|tail| (2.0 * tail).min(1.0)),
            shift,
        });
    }
    let tested: Vec<usize> = (0..shifts.len()).filter(|at| shifts[*at].p_value.is_some()).collect();
    let p_values: Vec<f64> = tested.iter().filter_map(|at| shifts[*at].p_value).collect();
    for (at, p_value) in tested.into_iter().zip(holm(&p_values)) {
        shifts[at].p_value = Some(p_value);
    }
    shifts.sort_by(|a, b| b.n.cmp(&a.n).then(a.ordinal.cmp(&b.ordinal)));
    shifts
}
