//! Statistics into the rows of the table.

use super::super::{
    CellStatistics, Floor, InverseInclusions, InversePropensities, LabelCounts, MechanismRows, RatioMoments, Statistics,
};
use super::columns::{
    self, AUDITED, COLUMNS, Entry, Kind, LABELLED, Moments, RATIO_LABEL, SHOWN_AUDITED, SHOWN_LABELLED,
};
use crate::logs::{Month, TableColumn};
use crate::numeric::{RelativeHistogram, Sum, Tail};
use std::collections::BTreeMap;

/// A value of a row.
enum Value {
    Text(&'static str),
    Texts(Vec<String>),
    Integer(i64),
    Integers(Vec<i64>),
    Number(f64),
    Numbers(Vec<f64>),
}

/// One row: the values that its kind has.
#[derive(Default)]
struct Row(BTreeMap<&'static str, Value>);

impl Row {
    fn new(entry: Entry, levels: Vec<String>) -> Row {
        Row(BTreeMap::from([("kind", Value::Text(entry.name())), ("levels", Value::Texts(levels))]))
    }

    fn count(&mut self, column: &'static str, count: u64) -> Option<()> {
        self.0.insert(column, Value::Integer(i64::try_from(count).ok()?));
        Some(())
    }

    fn number(&mut self, column: &'static str, number: f64) {
        self.0.insert(column, Value::Number(number));
    }

    fn sum(&mut self, (total, compensation): (&'static str, &'static str), sum: Sum) {
        let parts = sum.parts();
        self.number(total, parts.0);
        self.number(compensation, parts.1);
    }

    fn moments(&mut self, place: &Moments, moments: &RatioMoments) -> Option<()> {
        self.count(place.rows, moments.n)?;
        if moments.n > 0 {
            self.number(place.min, moments.min);
            self.number(place.max, moments.max);
        }
        self.sum(place.sum, moments.sum);
        self.sum(place.squares, moments.sum_of_squares);
        self.sum(place.ratio_ln_ratio, moments.sum_of_ratio_ln_ratio);
        Some(())
    }

    fn histogram(&mut self, histogram: &RelativeHistogram) -> Option<()> {
        self.count("zeros", histogram.zeros())?;
        let (buckets, counts): (Vec<i32>, Vec<u64>) = histogram.occupied().unzip();
        self.0.insert("buckets", Value::Integers(buckets.into_iter().map(i64::from).collect()));
        let counts: Option<Vec<i64>> = counts.into_iter().map(|count| i64::try_from(count).ok()).collect();
        self.0.insert("bucket_counts", Value::Integers(counts?));
        Some(())
    }

    /// The kept values, each distinct one once: under `pairs: logged` they are all 1.
    fn tail(&mut self, tail: &Tail) {
        let (mut values, mut counts): (Vec<f64>, Vec<i64>) = (Vec::new(), Vec::new());
        for value in tail.descending() {
            match (values.last(), counts.last_mut()) {
                (Some(last), Some(count)) if last.to_bits() == value.to_bits() => *count += 1,
                _ => {
                    values.push(value);
                    counts.push(1);
                }
            }
        }
        self.0.insert("tail_values", Value::Numbers(values));
        self.0.insert("tail_counts", Value::Integers(counts));
        if let Some(floor) = tail.complete_above() {
            self.number("tail_floor", floor);
        }
    }
}

/// Sums of 1/inclusion.
fn inverse_inclusions(row: &mut Row, place: &columns::Shown, own: &InverseInclusions) {
    if own.min <= own.max {
        row.number(place.min, own.min);
        row.number(place.max, own.max);
    }
    row.sum(place.sum, own.sum);
    row.sum(place.squares, own.sum_of_squares);
}

fn cell_row(levels: &[String], cell: &CellStatistics) -> Option<Row> {
    let mut row = Row::new(Entry::Cell, levels.to_vec());
    row.moments(&AUDITED, &cell.audited)?;
    row.moments(&LABELLED, &cell.labelled)?;
    let LabelCounts { a, b, tie, abstain, soft } = cell.labels;
    let counts = [("label_a", a), ("label_b", b), ("label_tie", tie), ("label_abstain", abstain), ("label_soft", soft)];
    counts.into_iter().try_for_each(|(column, count)| row.count(column, count))?;
    row.sum(RATIO_LABEL, cell.ratio_times_label);
    row.histogram(&cell.histogram)?;
    row.tail(&cell.tail);
    if let Some(shown) = &cell.shown {
        inverse_inclusions(&mut row, &SHOWN_AUDITED, &shown.audited);
        inverse_inclusions(&mut row, &SHOWN_LABELLED, &shown.labelled);
    }
    Some(row)
}

fn mechanism_row(id: &str, own: &MechanismRows) -> Option<Row> {
    let mut row = Row::new(Entry::Mechanism, vec![id.to_owned()]);
    row.count("rows", own.rows)?;
    if let Some(max) = own.max_pair_ratio {
        row.number("max", max);
    }
    Some(row)
}

fn generator_row(entry: Entry, name: &str, own: &InversePropensities) -> Option<Row> {
    let mut row = Row::new(entry, vec![name.to_owned()]);
    row.count("rows", own.rows)?;
    row.number("min", own.min);
    row.number("max", own.max);
    row.sum(AUDITED.sum, own.sum);
    row.histogram(&own.histogram)?;
    Some(row)
}

fn floor_row(mechanism: Option<&String>, floor: &Floor) -> Option<Row> {
    let mut row = Row::new(Entry::Floor, mechanism.into_iter().cloned().collect());
    row.count("rows", floor.rows)?;
    row.number("ln_min", floor.ln_min);
    row.histogram(&floor.histogram)?;
    let month = |month: &Month| i64::from(month.year) * 100 + i64::from(month.month);
    row.0.insert("months", Value::Integers(floor.months.keys().map(month).collect()));
    let rows: Option<Vec<i64>> = floor.months.values().map(|(rows, _)| i64::try_from(*rows).ok()).collect();
    row.0.insert("month_rows", Value::Integers(rows?));
    row.0.insert("month_ln_min", Value::Numbers(floor.months.values().map(|(_, ln_min)| *ln_min).collect()));
    Some(row)
}

fn unlabelled_row(levels: &[String], count: u64) -> Option<Row> {
    let mut row = Row::new(Entry::Unlabelled, levels.to_vec());
    row.count("rows", count)?;
    Some(row)
}

/// The table's columns; `None` where a count does not fit 63 bits.
pub(super) fn columns_of(statistics: &Statistics) -> Option<Vec<(String, TableColumn)>> {
    let mut rows: Vec<Row> =
        statistics.cells.iter().map(|(levels, cell)| cell_row(levels, cell)).collect::<Option<_>>()?;
    for (id, own) in statistics.mechanisms.iter().flat_map(|counts| &counts.rows) {
        rows.push(mechanism_row(id, own)?);
    }
    for (name, own) in statistics.generators.iter().flat_map(|counts| &counts.a) {
        rows.push(generator_row(Entry::GeneratorA, name, own)?);
    }
    for (name, own) in statistics.generators.iter().flat_map(|counts| &counts.b) {
        rows.push(generator_row(Entry::GeneratorB, name, own)?);
    }
    for (mechanism, floor) in statistics.logged.iter().flat_map(|logged| &logged.mechanisms) {
        rows.push(floor_row(mechanism.as_ref(), floor)?);
    }
    for (levels, count) in &statistics.unlabelled {
        rows.push(unlabelled_row(levels, *count)?);
    }
    Some(COLUMNS.iter().map(|(name, kind)| ((*name).to_owned(), column(*kind, name, &mut rows))).collect())
}

/// One column of all rows, taken out of them; empty or missing where a row has no such value.
fn column(kind: Kind, name: &str, rows: &mut [Row]) -> TableColumn {
    let values = rows.iter_mut().map(|row| row.0.remove(name));
    match kind {
        Kind::Text => TableColumn::Text(
            values
                .map(|value| if let Some(Value::Text(text)) = value { text.to_owned() } else { String::new() })
                .collect(),
        ),
        Kind::Texts => TableColumn::Texts(
            values.map(|value| if let Some(Value::Texts(list)) = value { list } else { Vec::new() }).collect(),
        ),
        Kind::Integer => TableColumn::Integer(
            values.map(|value| if let Some(Value::Integer(own)) = value { Some(own) } else { None }).collect(),
        ),
        Kind::Integers => TableColumn::Integers(
            values.map(|value| if let Some(Value::Integers(list)) = value { list } else { Vec::new() }).collect(),
        ),
        Kind::Number => TableColumn::Number(
            values.map(|value| if let Some(Value::Number(own)) = value { Some(own) } else { None }).collect(),
        ),
        Kind::Numbers => TableColumn::Numbers(
            values.map(|value| if let Some(Value::Numbers(list)) = value { list } else { Vec::new() }).collect(),
        ),
    }
}
