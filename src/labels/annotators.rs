//! Do annotators answer as the label model says?

use super::model::{LabelModel, Side, agreement};
use crate::estimate::{Comparisons, Estimate};
use crate::numeric::{holm, t_tail};

/// One annotator's agreement with the label model.
#[derive(Debug, Clone, PartialEq)]
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
    /// Two-sided p-value of no difference beyond that of all annotators together, over all annotators and sides (Holm). `None`
    /// where it has too few labels or prompts.
    pub p_value: Option<f64>,
    /// The difference of observed and expected, less that of all annotators together.
    pub shift: f64,
    /// The same for the sides that the first differences of a pair favour: where half of the annotators want the opposite of the others,
    /// the model favours no side, and only these tell them apart.
    pub along: Vec<SideShift>,
}

/// One annotator's agreement with one side.
#[derive(Debug, Clone, PartialEq)]
pub struct SideShift {
    /// What favours the side.
    pub side: String,
    /// Observed agreement less what the model expects, less that of all annotators together.
    pub shift: f64,
    /// As above.
    pub p_value: Option<f64>,
}

/// Labels below which the error of a mean of answers is not to be relied on.
pub(super) const MIN_LABELS: u64 = 30;

/// One for each annotator, most labels first; empty where they are not mapped.
pub fn annotator_shifts(model: &LabelModel, table: &Comparisons, implied: &[f64]) -> Vec<AnnotatorShift> {
    let both = implied.iter().zip(&model.answers).map(|(z, y)| agreement(*z, *y));
    let expected: Vec<f64> = both.map(|(_, p)| p).collect();
    let (sides, variances) = (model.sides(implied), model.variances(implied));
    let overall: Vec<f64> = sides.iter().map(|side| mean(model, side, None).map_or(0.0, |own| own.estimate)).collect();
    let mut shifts: Vec<AnnotatorShift> = Vec::new();
    for (ordinal, rows) in (1_u64..).zip(&rows_of(model, table)).filter(|(_, rows)| !rows.is_empty()) {
        let along = |(side, overall): (&Side, &f64)| {
            let mean = mean(model, side, Some(rows))?;
            let shift = mean.estimate - overall;
            let sided = rows.iter().copied().filter(|row| side.has(*row));
            let least = independent_error(&variances, sided);
            let tested = mean.se.filter(|se| *se > 0.0 && mean.n >= MIN_LABELS).map(|se| se.max(least));
            let tail = tested.and_then(|se| t_tail(shift.abs() / se, mean.freedom));
            let p_value = tail.map(|tail| (2.0 * tail).min(1.0));
            Some((mean, SideShift { side: side.name.clone(), shift, p_value }))
        };
        let mut each = sides.iter().zip(&overall).map(along);
        let (Some((own, first)), Some(expected)) = (each.next().flatten(), model.mean_of(&expected, rows)) else {
            continue;
        };
        shifts.push(AnnotatorShift {
            ordinal,
            n: own.n,
            expected: expected.estimate,
            observed: expected.estimate + own.estimate,
            standard_error: own.se,
            p_value: first.p_value,
            shift: first.shift,
            along: each.flatten().map(|(_, own)| own).collect(),
        });
    }
    adjust(
        shifts
            .iter_mut()
            .flat_map(|own| std::iter::once(&mut own.p_value).chain(own.along.iter_mut().map(|own| &mut own.p_value))),
    );
    shifts.sort_by(|a, b| b.n.cmp(&a.n).then(a.ordinal.cmp(&b.ordinal)));
    shifts
}

/// Holm over those that are known.
pub(super) fn adjust<'a>(p_values: impl Iterator<Item = &'a mut Option<f64>>) {
    let mut known: Vec<&mut f64> = p_values.filter_map(Option::as_mut).collect();
    let adjusted = holm(&known.iter().map(|own| **own).collect::<Vec<_>>());
    known.iter_mut().zip(adjusted).for_each(|(own, adjusted)| **own = adjusted);
}

/// Each annotator's rows, in the order in which rows first show them; empty where they are not mapped.
pub(super) fn rows_of(model: &LabelModel, table: &Comparisons) -> Vec<Vec<usize>> {
    let Some(annotators) = &table.annotator else { return Vec::new() };
    let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); annotators.count];
    for (row, at) in model.rows.iter().enumerate() {
        let own = annotators.codes.get(*at as usize).and_then(|code| rows_of.get_mut(*code as usize));
        own.into_iter().for_each(|own| own.push(row));
    }
    rows_of
}

/// The mean residual over these rows (all, where none are given) that are of either side.
fn mean(model: &LabelModel, side: &Side, rows: Option<&Vec<usize>>) -> Option<Estimate> {
    let all: Vec<usize>;
    let rows = match rows {
        Some(rows) => rows,
        None => {
            all = (0..model.rows.len()).collect();
            &all
        }
    };
    let rows: Vec<usize> = rows.iter().copied().filter(|row| side.has(*row)).collect();
    model.mean_of(&side.residuals, &rows)
}

/// The standard error of the mean of independent answers of these variances.
pub(super) fn independent_error(variances: &[f64], rows: impl Iterator<Item = usize>) -> f64 {
    let (n, sum) = rows.fold((0.0, 0.0), |(n, sum), row| (n + 1.0, sum + variances.get(row).copied().unwrap_or(0.0)));
    f64::sqrt(sum) / n
}
