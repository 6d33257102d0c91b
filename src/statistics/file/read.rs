//! The rows of the table into statistics.

use super::super::{
    CellStatistics, Floor, InverseInclusions, InversePropensities, LabelCounts, MechanismRows, RatioMoments, Shown,
    Statistics, TAIL_CAPACITY,
};
use super::columns::{self, AUDITED, Entry, LABELLED, Moments, RATIO_LABEL, SHOWN_AUDITED, SHOWN_LABELLED};
use super::{MAX_VALUES, span};
use crate::logs::{Month, Table, TableColumn};
use crate::numeric::{RelativeHistogram, Sum, Tail};

/// Adds the rows of a table to statistics, or says what is wrong.
pub(super) fn add_rows(statistics: &mut Statistics, table: &Table) -> Result<(), String> {
    let mut room = Room { buckets: MAX_VALUES, tails: MAX_VALUES };
    let length = table.column("kind").map_or(0, |column| match column {
        TableColumn::Text(values) => values.len(),
        _ => 0,
    });
    for row in 0..length {
        add_row(statistics, Cursor { table, row }, &mut room)?;
    }
    Ok(())
}

fn add_row(statistics: &mut Statistics, row: Cursor<'_>, room: &mut Room) -> Result<(), String> {
    let kind = row.text("kind")?;
    let Some(entry) = Entry::ALL.into_iter().find(|entry| entry.name() == kind) else {
        return Err(row.missing("kind"));
    };
    let unexpected = || format!("row {} is of a {kind}, which the log does not carry", row.row + 1);
    let twice = match entry {
        Entry::Cell => statistics.cells.insert(row.texts("levels")?.to_vec(), row.cell(room)?).is_some(),
        Entry::Mechanism => {
            let own = MechanismRows { rows: row.count("rows")?, max_pair_ratio: row.optional("max")? };
            let counts = statistics.mechanisms.as_mut().ok_or_else(unexpected)?;
            counts.rows.insert(row.level()?, own).is_some()
        }
        Entry::GeneratorA => {
            let counts = statistics.generators.as_mut().ok_or_else(unexpected)?;
            counts.a.insert(row.level()?, row.generator(room)?).is_some()
        }
        Entry::GeneratorB => {
            let counts = statistics.generators.as_mut().ok_or_else(unexpected)?;
            counts.b.insert(row.level()?, row.generator(room)?).is_some()
        }
        Entry::Floor => {
            let logged = statistics.logged.as_mut().ok_or_else(unexpected)?;
            let mechanism = if row.texts("levels")?.is_empty() { None } else { Some(row.level()?) };
            logged.mechanisms.insert(mechanism, row.floor(room)?).is_some()
        }
        Entry::Unlabelled => statistics.unlabelled.insert(row.texts("levels")?.to_vec(), row.count("rows")?).is_some(),
    };
    if twice { Err(format!("row {} repeats an earlier {kind}", row.row + 1)) } else { Ok(()) }
}

/// A row of a table that is being read.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    table: &'a Table,
    row: usize,
}

impl<'a> Cursor<'a> {
    fn missing(self, column: &str) -> String {
        format!("row {} of the table has no usable `{column}`", self.row + 1)
    }

    fn text(self, column: &str) -> Result<&'a str, String> {
        match self.table.column(column) {
            Some(TableColumn::Text(values)) => values.get(self.row).map(String::as_str),
            _ => None,
        }
        .ok_or_else(|| self.missing(column))
    }

    fn texts(self, column: &str) -> Result<&'a [String], String> {
        match self.table.column(column) {
            Some(TableColumn::Texts(lists)) => lists.get(self.row).map(Vec::as_slice),
            _ => None,
        }
        .ok_or_else(|| self.missing(column))
    }

    fn count(self, column: &str) -> Result<u64, String> {
        match self.table.column(column) {
            Some(TableColumn::Integer(values)) => values.get(self.row).copied().flatten(),
            _ => None,
        }
        .and_then(|value| u64::try_from(value).ok())
        .ok_or_else(|| self.missing(column))
    }

    /// `Ok(None)` where the value is missing.
    fn optional(self, column: &str) -> Result<Option<f64>, String> {
        match self.table.column(column) {
            Some(TableColumn::Number(values)) => values.get(self.row).copied(),
            _ => None,
        }
        .ok_or_else(|| self.missing(column))
    }

    fn number(self, column: &str) -> Result<f64, String> {
        self.optional(column)?.ok_or_else(|| self.missing(column))
    }

    fn numbers(self, column: &str) -> Result<&'a [f64], String> {
        match self.table.column(column) {
            Some(TableColumn::Numbers(lists)) => lists.get(self.row).map(Vec::as_slice),
            _ => None,
        }
        .ok_or_else(|| self.missing(column))
    }

    fn counts(self, column: &str) -> Result<Vec<u64>, String> {
        self.integers(column)?.iter().map(|v| u64::try_from(*v).map_err(|_| self.missing(column))).collect()
    }

    fn integers(self, column: &str) -> Result<&'a [i64], String> {
        match self.table.column(column) {
            Some(TableColumn::Integers(lists)) => lists.get(self.row).map(Vec::as_slice),
            _ => None,
        }
        .ok_or_else(|| self.missing(column))
    }

    fn sum(self, (total, compensation): (&str, &str)) -> Result<Sum, String> {
        Ok(Sum::from_parts(self.number(total)?, self.number(compensation)?))
    }

    fn moments(self, place: &Moments) -> Result<RatioMoments, String> {
        let n = self.count(place.rows)?;
        let (min, max) =
            if n > 0 { (self.number(place.min)?, self.number(place.max)?) } else { (f64::INFINITY, f64::NEG_INFINITY) };
        Ok(RatioMoments {
            n,
            sum: self.sum(place.sum)?,
            sum_of_squares: self.sum(place.squares)?,
            sum_of_ratio_ln_ratio: self.sum(place.ratio_ln_ratio)?,
            min,
            max,
        })
    }

    fn histogram(self, room: &mut Room) -> Result<RelativeHistogram, String> {
        let wrong = || self.missing("buckets");
        let buckets: Vec<i32> = self
            .integers("buckets")?
            .iter()
            .map(|bucket| i32::try_from(*bucket).map_err(|_| wrong()))
            .collect::<Result<_, String>>()?;
        let counts = self.counts("bucket_counts")?;
        if counts.len() != buckets.len() {
            return Err(wrong());
        }
        room.buckets = room.buckets.checked_sub(span(&buckets)).ok_or("the histograms span too many buckets")?;
        let occupied: Vec<(i32, u64)> = buckets.into_iter().zip(counts).collect();
        RelativeHistogram::from_parts(self.count("zeros")?, &occupied).ok_or_else(wrong)
    }

    fn tail(self, room: &mut Room) -> Result<Tail, String> {
        let wrong = || self.missing("tail_values");
        let (distinct, counts) = (self.numbers("tail_values")?, self.counts("tail_counts")?);
        let total = counts.iter().try_fold(0_usize, |sum, count| sum.checked_add(usize::try_from(*count).ok()?));
        let total = total.filter(|total| *total < 2 * TAIL_CAPACITY && distinct.len() == counts.len());
        let total = total.ok_or_else(wrong)?;
        room.tails = room.tails.checked_sub(total).ok_or("the tails keep too many values")?;
        let each = distinct.iter().zip(counts);
        let values = each.flat_map(|(value, count)| std::iter::repeat_n(*value, usize::try_from(count).unwrap_or(0)));
        Tail::from_parts(TAIL_CAPACITY, values.collect(), self.optional("tail_floor")?).ok_or_else(wrong)
    }

    fn cell(self, room: &mut Room) -> Result<CellStatistics, String> {
        Ok(CellStatistics {
            labels: LabelCounts {
                a: self.count("label_a")?,
                b: self.count("label_b")?,
                tie: self.count("label_tie")?,
                abstain: self.count("label_abstain")?,
                soft: self.count("label_soft")?,
            },
            audited: self.moments(&AUDITED)?,
            labelled: self.moments(&LABELLED)?,
            ratio_times_label: self.sum(RATIO_LABEL)?,
            histogram: self.histogram(room)?,
            tail: self.tail(room)?,
            shown: self.shown()?,
        })
    }

    fn shown(self) -> Result<Option<Shown>, String> {
        if self.optional(SHOWN_AUDITED.sum.0)?.is_none() {
            return Ok(None);
        }
        let (audited, labelled) = (self.inverse_inclusions(&SHOWN_AUDITED)?, self.inverse_inclusions(&SHOWN_LABELLED)?);
        Ok(Some(Shown { audited, labelled }))
    }

    fn inverse_inclusions(self, place: &columns::Shown) -> Result<InverseInclusions, String> {
        Ok(InverseInclusions {
            sum: self.sum(place.sum)?,
            sum_of_squares: self.sum(place.squares)?,
            min: self.optional(place.min)?.unwrap_or(f64::INFINITY),
            max: self.optional(place.max)?.unwrap_or(f64::NEG_INFINITY),
        })
    }

    fn floor(self, room: &mut Room) -> Result<Floor, String> {
        let (months, rows, floors) =
            (self.integers("months")?, self.counts("month_rows")?, self.numbers("month_ln_min")?);
        if months.len() != rows.len() || months.len() != floors.len() {
            return Err(self.missing("months"));
        }
        let month = |own: &i64| Month::new(own.div_euclid(100), own.rem_euclid(100));
        let months: Option<Vec<Month>> = months.iter().map(month).collect();
        let months = months.filter(|months| months.is_sorted_by(|a, b| a < b));
        let months = months.ok_or_else(|| self.missing("months"))?;
        Ok(Floor {
            rows: self.count("rows")?,
            ln_min: self.number("ln_min")?,
            histogram: self.histogram(room)?,
            months: months.into_iter().zip(rows.into_iter().zip(floors.iter().copied())).collect(),
        })
    }

    fn generator(self, room: &mut Room) -> Result<InversePropensities, String> {
        Ok(InversePropensities {
            rows: self.count("rows")?,
            sum: self.sum(AUDITED.sum)?,
            histogram: self.histogram(room)?,
            min: self.number("min")?,
            max: self.number("max")?,
        })
    }

    /// The one level of a mechanism or generator.
    fn level(self) -> Result<String, String> {
        match self.texts("levels")? {
            [level] => Ok(level.clone()),
            _ => Err(self.missing("levels")),
        }
    }
}

/// How many more buckets and tail values a file may hold.
struct Room {
    buckets: usize,
    tails: usize,
}
