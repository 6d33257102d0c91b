//! Do labels late in the log follow the same model as early ones?

use super::annotators::{MIN_LABELS, adjust, independent_error, rows_of};
use super::model::{Blocks, Gain, LabelModel, Side, agreement, as_f64};
use super::monitor::{Monitor, monitor};
use crate::estimate::{Comparisons, Estimate};
use crate::logs::Month;
use crate::numeric::{sigmoid, t_tail};
use std::collections::BTreeMap;

/// Early against late.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// The first month that counts as late.
    pub late_from: Month,
    /// Rows that are early.
    pub early: u64,
    /// Rows that are late.
    pub late: u64,
    /// Rows without a month: neither.
    pub untimed: u64,
    /// By how much a model with coefficients of its own for late rows predicts held-out labels better.
    pub gain: Gain,
    /// The mean change of the probability of an answer, from the early model to the late one, over all rows.
    pub mean_change: f64,
    /// Agreement with the model that knows no time, by month.
    pub months: Vec<MonthlyAgreement>,
    /// The same question asked after every stretch of the log, at one level for all of them together. `None` where what
    /// came first cannot be fitted.
    pub monitor: Option<Monitor>,
    /// Every cell and every annotator with labels enough on both sides, one entry for each side that answers are held against.
    pub parts: Vec<PartChange>,
}

/// What a change is within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Index of the cell in the table.
    Cell(usize),
    /// The annotator's number, from 1, in the order in which the labelled rows show annotators.
    Annotator(u64),
}

/// A part of the rows, early against late: what cancels in the whole log, or is small there.
#[derive(Debug, Clone, PartialEq)]
pub struct PartChange {
    /// The part.
    pub part: Part,
    /// What favours the side that answers are held against.
    pub side: String,
    /// Its rows, early and late.
    pub n: u64,
    /// The mean of agreement less what the label model expects, late less early.
    pub change: f64,
    /// Two-sided p-value of no change, by prompt, over all parts and sides (Holm); `None` where it has no error.
    pub p_value: Option<f64>,
}

/// One month.
#[derive(Debug, Clone, PartialEq)]
pub struct MonthlyAgreement {
    /// The month.
    pub month: Month,
    /// Rows.
    pub n: u64,
    /// Share of the answers that should be on the side that the model favours, by the model.
    pub expected: f64,
    /// The share that is.
    pub observed: f64,
    /// Standard error of their difference, by prompt; `None` where it is not known.
    pub standard_error: Option<f64>,
}

/// `blocks` and `implied` are those of the model that knows the cells. `None` without timestamps, or where all rows are of one
/// month.
pub fn drift(model: &LabelModel, table: &Comparisons, blocks: &Blocks, implied: &[f64]) -> Option<Drift> {
    let months = table.months.as_ref()?;
    let of_row: Vec<Option<Month>> =
        model.rows.iter().map(|row| months.get(*row as usize).copied().flatten()).collect();
    let mut counts: BTreeMap<Month, usize> = BTreeMap::new();
    of_row.iter().flatten().for_each(|month| *counts.entry(*month).or_default() += 1);
    let late_from = boundary(&counts)?;
    let is_late = |row: usize| of_row.get(row).copied().flatten().is_some_and(|month| month >= late_from);
    let is_timed = |row: usize| of_row.get(row).copied().flatten().is_some();
    let timed = blocks.with(is_late);
    let fits = model.fit_halves(&timed)?;
    let predicted = model.predicted(&fits, &timed);
    let with_late = |row: usize, late: bool| {
        let mut own = blocks.of_row.get(row).cloned().unwrap_or_default();
        own.extend(late.then_some(blocks.count));
        let [first, second] = &fits;
        sigmoid(model.log_odds(if model.half(row) { second } else { first }, row, &own))
    };
    let rows: Vec<usize> = (0..model.rows.len()).filter(|row| is_timed(*row)).collect();
    let change: f64 = rows.iter().map(|row| (with_late(*row, true) - with_late(*row, false)).abs()).sum();
    let by_month = |month: &Month| monthly(model, implied, *month, |row| of_row.get(row) == Some(&Some(*month)));
    Some(Drift {
        late_from,
        early: rows.iter().filter(|row| !is_late(**row)).count() as u64,
        late: rows.iter().filter(|row| is_late(**row)).count() as u64,
        untimed: (model.rows.len() - rows.len()) as u64,
        parts: part_changes(model, table, implied, &|row| is_timed(row).then(|| is_late(row))),
        gain: model.gain(&predicted, implied),
        mean_change: change / as_f64(rows.len()),
        months: counts.keys().filter_map(by_month).collect(),
        monitor: monitor(model, blocks, &in_time(&of_row)),
    })
}

/// `late` says of a row whether it is late; `None` without a month.
fn part_changes(
    model: &LabelModel,
    table: &Comparisons,
    implied: &[f64],
    late: &dyn Fn(usize) -> Option<bool>,
) -> Vec<PartChange> {
    let mut cells: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, at) in model.rows.iter().enumerate() {
        if let Some(cell) = table.cell.get(*at as usize) {
            cells.entry(*cell as usize).or_default().push(row);
        }
    }
    let people = (1_u64..).zip(rows_of(model, table)).map(|(ordinal, rows)| (Part::Annotator(ordinal), rows));
    let parts = cells.into_iter().map(|(cell, rows)| (Part::Cell(cell), rows)).chain(people);
    let (sides, variances) = (model.sides(implied), model.variances(implied));
    let of_part = |(part, rows): (Part, Vec<usize>)| {
        let of_side = |side: &Side| Some(PartChange { part, ..change(model, (side, &variances), &rows, late)? });
        let own = sides.iter().filter_map(of_side);
        own.collect::<Vec<_>>()
    };
    let mut changes: Vec<PartChange> = parts.flat_map(of_part).collect();
    adjust(changes.iter_mut().map(|own| &mut own.p_value));
    changes
}

/// The difference of two means over rows of the same prompts: that of one score, each half's residuals about their mean and divided by
/// its share of the rows, has the same error. `None` with too few labels in either half.
fn change(
    model: &LabelModel,
    (side, variances): (&Side, &[f64]),
    rows: &[usize],
    late: &dyn Fn(usize) -> Option<bool>,
) -> Option<PartChange> {
    let known = rows.iter().filter_map(|row| {
        let residual = side.residuals.get(*row).copied().filter(|own| !own.is_nan())?;
        Some((*row, residual, late(*row)?))
    });
    let known: Vec<(usize, f64, bool)> = known.collect();
    let half = |wanted: bool| {
        let own = || known.iter().filter(|(.., late)| *late == wanted);
        let n = own().count();
        (n, own().map(|(_, residual, _)| residual).sum::<f64>() / as_f64(n))
    };
    let ((early, before), (later, after)) = (half(false), half(true));
    if early.min(later) < usize::try_from(MIN_LABELS).unwrap_or(usize::MAX) {
        return None;
    }
    let share = |n: usize| as_f64(n) / as_f64(known.len());
    let score = |(_, residual, late): &(usize, f64, bool)| {
        if *late { (residual - after) / share(later) } else { (before - residual) / share(early) }
    };
    let rows: Vec<usize> = known.iter().map(|(row, ..)| *row).collect();
    let spread = model.mean_of_own(&known.iter().map(score).collect::<Vec<_>>(), &rows)?;
    let change = after - before;
    let of_half = |wanted: bool| known.iter().filter(move |(.., late)| *late == wanted).map(|(row, ..)| *row);
    let least = independent_error(variances, of_half(false)).hypot(independent_error(variances, of_half(true)));
    let error = spread.se.filter(|se| *se > 0.0).map(|se| se.max(least));
    let tail = error.and_then(|se| t_tail(change.abs() / se, spread.freedom));
    Some(PartChange {
        part: Part::Cell(0),
        side: side.name.clone(),
        n: spread.n,
        change,
        p_value: tail.map(|tail| (2.0 * tail).min(1.0)),
    })
}

/// The month from which on about half of the rows are late; `None` with a single month.
fn boundary(counts: &BTreeMap<Month, usize>) -> Option<Month> {
    let total: usize = counts.values().sum();
    let mut before = 0_usize;
    let mut best: Option<(usize, Month)> = None;
    for (month, n) in counts {
        let distance = (2 * before).abs_diff(total);
        if before > 0 && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, *month));
        }
        before += n;
    }
    best.map(|(_, month)| month)
}

/// The rows with a month, in the order of these; within a month as they stand in the log.
fn in_time(months: &[Option<Month>]) -> Vec<(usize, Month)> {
    let mut rows: Vec<(usize, Month)> =
        months.iter().enumerate().filter_map(|(row, month)| Some((row, (*month)?))).collect();
    rows.sort_by_key(|(row, month)| (*month, *row));
    rows
}

fn monthly(
    model: &LabelModel,
    implied: &[f64],
    month: Month,
    takes: impl Fn(usize) -> bool + Copy,
) -> Option<MonthlyAgreement> {
    let both: Vec<(f64, f64)> = implied.iter().zip(&model.answers).map(|(z, y)| agreement(*z, *y)).collect();
    let (residuals, expected): (Vec<f64>, Vec<f64>) = both.iter().map(|(own, p)| (own - p, *p)).unzip();
    let mean: Estimate = model.mean(&residuals, takes)?;
    let expected = model.mean(&expected, takes)?.estimate;
    Some(MonthlyAgreement { month, n: mean.n, expected, observed: expected + mean.estimate, standard_error: mean.se })
}
