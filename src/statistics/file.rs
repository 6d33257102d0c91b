//! Statistics as a file: `counterweight/statistics/v1`, a Parquet table that merges. `docs/statistics.md` is its manual.
//!
//! One row a cell, mechanism or generator; what is about the log as a whole is JSON in the footer.
//! Must never: hold text of a prompt or response, or anything that names a row.

use super::collected::problem;
use super::validate::contradiction;
use super::{
    CellStatistics, Collected, Conditions, GeneratorCounts, InversePropensities, LabelCounts, MechanismCounts,
    MechanismRows, PropensityCounts, RatioMoments, SourceFile, SourceRole, Statistics, TAIL_CAPACITY,
};
use crate::declare::{LabelWords, Problems, Role};
use crate::logs::{self, Duplicates, Exclusion, Table, TableColumn};
use crate::numeric::{RelativeHistogram, Sum, Tail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The schema that the footer names.
pub const SCHEMA: &str = "counterweight/statistics/v1";
/// The footer's keys.
const SCHEMA_KEY: &str = "schema";
const HEADER_KEY: &str = "statistics";

/// Cells, mechanisms and the generators of two slots.
const MAX_ROWS: u64 = 4 * super::MAX_LEVELS as u64;
/// Buckets that all histograms of a file may span, and values that all tails may keep: half a gibibyte of each. A
/// histogram that spans a factor of a million takes 14,000; a tail at most 16,383.
const MAX_VALUES: usize = 1 << 26;

/// The columns, in order.
const COLUMNS: [(&str, Kind); 33] = [
    ("kind", Kind::Text),
    ("levels", Kind::Texts),
    ("rows", Kind::Integer),
    ("min", Kind::Number),
    ("max", Kind::Number),
    ("sum", Kind::Number),
    ("sum_compensation", Kind::Number),
    ("squares", Kind::Number),
    ("squares_compensation", Kind::Number),
    ("ratio_ln_ratio", Kind::Number),
    ("ratio_ln_ratio_compensation", Kind::Number),
    ("label_a", Kind::Integer),
    ("label_b", Kind::Integer),
    ("label_tie", Kind::Integer),
    ("label_abstain", Kind::Integer),
    ("label_soft", Kind::Integer),
    ("labelled_rows", Kind::Integer),
    ("labelled_min", Kind::Number),
    ("labelled_max", Kind::Number),
    ("labelled_sum", Kind::Number),
    ("labelled_sum_compensation", Kind::Number),
    ("labelled_squares", Kind::Number),
    ("labelled_squares_compensation", Kind::Number),
    ("labelled_ratio_ln_ratio", Kind::Number),
    ("labelled_ratio_ln_ratio_compensation", Kind::Number),
    ("ratio_label", Kind::Number),
    ("ratio_label_compensation", Kind::Number),
    ("zeros", Kind::Integer),
    ("buckets", Kind::Integers),
    ("bucket_counts", Kind::Integers),
    ("tail_values", Kind::Numbers),
    ("tail_counts", Kind::Integers),
    ("tail_floor", Kind::Number),
];

/// The columns of the moments of a cell's audited rows, and of its labelled ones.
const AUDITED: Moments = Moments {
    rows: "rows",
    min: "min",
    max: "max",
    sum: ("sum", "sum_compensation"),
    squares: ("squares", "squares_compensation"),
    ratio_ln_ratio: ("ratio_ln_ratio", "ratio_ln_ratio_compensation"),
};
const LABELLED: Moments = Moments {
    rows: "labelled_rows",
    min: "labelled_min",
    max: "labelled_max",
    sum: ("labelled_sum", "labelled_sum_compensation"),
    squares: ("labelled_squares", "labelled_squares_compensation"),
    ratio_ln_ratio: ("labelled_ratio_ln_ratio", "labelled_ratio_ln_ratio_compensation"),
};
const RATIO_LABEL: (&str, &str) = ("ratio_label", "ratio_label_compensation");

/// Where the moments of a set of rows are.
struct Moments {
    rows: &'static str,
    min: &'static str,
    max: &'static str,
    sum: (&'static str, &'static str),
    squares: (&'static str, &'static str),
    ratio_ln_ratio: (&'static str, &'static str),
}

/// What a column holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Integer,
    Integers,
    Number,
    Numbers,
}

/// What a row is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Cell,
    Mechanism,
    GeneratorA,
    GeneratorB,
}

impl Entry {
    const ALL: [Entry; 4] = [Entry::Cell, Entry::Mechanism, Entry::GeneratorA, Entry::GeneratorB];

    fn name(self) -> &'static str {
        match self {
            Entry::Cell => "cell",
            Entry::Mechanism => "mechanism",
            Entry::GeneratorA => "generator_a",
            Entry::GeneratorB => "generator_b",
        }
    }
}

/// What is about the log as a whole.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    covariates: Vec<String>,
    pairs: String,
    columns: BTreeMap<String, String>,
    labels: Option<Alphabet>,
    scans: u64,
    sources: Vec<HeaderSource>,
    rows_read: u64,
    excluded: BTreeMap<String, u64>,
    propensities: Option<HeaderPropensities>,
    missing: BTreeMap<String, u64>,
    mechanism_missing: Option<u64>,
    generators: Option<HeaderGenerators>,
    duplicates: Option<HeaderDuplicates>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alphabet {
    a: Vec<String>,
    b: Vec<String>,
    tie: Vec<String>,
    abstain: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderSource {
    role: String,
    name: String,
    sha256: String,
    bytes: u64,
    rows: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderPropensities {
    valid: u64,
    invalid: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderGenerators {
    rows: u64,
    same: u64,
    missing: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderDuplicates {
    identical: u64,
    conflicting: u64,
    missing_ids: u64,
}

/// Writes statistics to a file. The same statistics give the same bytes.
///
/// # Errors
/// Sums that are not finite, more buckets or tail values than a file may hold; the file cannot be written.
pub fn write(collected: &Collected, path: &Path) -> Result<(), Problems> {
    let name = path.display().to_string();
    let bad = |message: &str, help: &str| Problems(vec![problem(&name, message, help)]);
    if let Some(what) = contradiction(collected).or_else(|| too_large(&collected.statistics)) {
        return Err(bad(&format!("these statistics cannot be kept: {what}"), "audit the rows themselves"));
    }
    let table = to_table(collected).ok_or_else(|| bad("a count does not fit 63 bits", "audit the rows themselves"))?;
    logs::write_table(path, &table).map_err(|error| bad(&format!("cannot be written: {error}"), "name another file"))
}

/// Reads the statistics of a file; `name` is what problems call it.
///
/// # Errors
/// An unreadable or damaged file, one of another schema, numbers that contradict each other.
pub fn read(path: &Path, name: &str) -> Result<Collected, Problems> {
    let table = logs::read_table(path, name, MAX_ROWS)?;
    let again = "make the file again with `counterweight statistics`";
    let collected = from_table(&table).and_then(|collected| match contradiction(&collected) {
        Some(what) => Err(format!("the statistics contradict themselves: {what}")),
        None => Ok(collected),
    });
    collected.map_err(|message| Problems(vec![problem(name, &message, again)]))
}

fn too_large(statistics: &Statistics) -> Option<String> {
    let generators = statistics.generators.iter().flat_map(|counts| counts.a.values().chain(counts.b.values()));
    let histograms = statistics.cells.values().map(|cell| &cell.histogram).chain(generators.map(|own| &own.histogram));
    let spanned: usize =
        histograms.map(|histogram| span(&histogram.occupied().map(|(b, _)| b).collect::<Vec<_>>())).sum();
    let kept: usize = statistics.cells.values().map(|cell| cell.tail.descending().len()).sum();
    (spanned > MAX_VALUES || kept > MAX_VALUES)
        .then(|| format!("histograms or tails hold more than {MAX_VALUES} numbers; audit fewer cells"))
}

/// The buckets from the first to the last.
fn span(ascending: &[i32]) -> usize {
    let (Some(first), Some(last)) = (ascending.first(), ascending.last()) else { return 0 };
    usize::try_from(i64::from(*last) - i64::from(*first) + 1).unwrap_or(usize::MAX)
}

// ---- Writing ----

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

fn to_table(collected: &Collected) -> Option<Table> {
    let statistics = &collected.statistics;
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
    let columns = COLUMNS.iter().map(|(name, kind)| ((*name).to_owned(), column(*kind, name, &mut rows))).collect();
    let header = serde_json::to_string(&header(collected)).ok()?;
    let metadata = [(SCHEMA_KEY.to_owned(), SCHEMA.to_owned()), (HEADER_KEY.to_owned(), header)];
    Some(Table { columns, metadata: BTreeMap::from(metadata) })
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

fn header(collected: &Collected) -> Header {
    let Collected { conditions, scans, sources, duplicates, statistics } = collected;
    let reasons = |counts: &BTreeMap<Exclusion, u64>| {
        counts.iter().map(|(reason, count)| (reason.name().to_owned(), *count)).collect()
    };
    let source = |file: &SourceFile| HeaderSource {
        role: file.role.name().to_owned(),
        name: file.name.clone(),
        sha256: file.sha256.clone(),
        bytes: file.bytes,
        rows: file.rows,
    };
    Header {
        covariates: conditions.covariates.clone(),
        pairs: conditions.pairs.clone(),
        columns: conditions.columns.iter().map(|(role, column)| (role.name().to_owned(), column.clone())).collect(),
        labels: conditions.labels.clone().map(|LabelWords { a, b, tie, abstain }| Alphabet { a, b, tie, abstain }),
        scans: *scans,
        sources: sources.iter().map(source).collect(),
        rows_read: statistics.rows_read,
        excluded: reasons(&statistics.excluded),
        propensities: statistics
            .propensities
            .as_ref()
            .map(|counts| HeaderPropensities { valid: counts.valid, invalid: reasons(&counts.invalid) }),
        missing: statistics.missing.iter().map(|(role, count)| (role.name().to_owned(), *count)).collect(),
        mechanism_missing: statistics.mechanisms.as_ref().map(|counts| counts.missing),
        generators: statistics.generators.as_ref().map(|counts| HeaderGenerators {
            rows: counts.rows,
            same: counts.same,
            missing: counts.missing,
        }),
        duplicates: duplicates.as_ref().map(|found| HeaderDuplicates {
            identical: found.identical,
            conflicting: found.conflicting,
            missing_ids: found.missing_ids,
        }),
    }
}

// ---- Reading ----

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

fn from_table(table: &Table) -> Result<Collected, String> {
    let schema = table.metadata.get(SCHEMA_KEY).map(String::as_str);
    if schema != Some(SCHEMA) {
        let schema = schema.unwrap_or("no schema at all").escape_debug().to_string();
        return Err(format!("this is `{schema}`, where `{SCHEMA}` is needed"));
    }
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    if names != COLUMNS.map(|(name, _)| name) {
        return Err(format!("the columns are not those of `{SCHEMA}`"));
    }
    let header = table.metadata.get(HEADER_KEY).map_or("", String::as_str);
    let header: Header = serde_json::from_str(header).map_err(|error| format!("the footer's JSON: {error}"))?;
    let mut collected = from_header(header)?;
    let mut room = Room { buckets: MAX_VALUES, tails: MAX_VALUES };
    let length = table.column("kind").map_or(0, |column| match column {
        TableColumn::Text(values) => values.len(),
        _ => 0,
    });
    for row in 0..length {
        add_row(&mut collected.statistics, Cursor { table, row }, &mut room)?;
    }
    Ok(collected)
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
    };
    if twice { Err(format!("row {} repeats an earlier {kind}", row.row + 1)) } else { Ok(()) }
}

fn from_header(header: Header) -> Result<Collected, String> {
    let role = |name: &str| Role::from_name(name).ok_or_else(|| format!("`{}` is no role", name.escape_debug()));
    let reason = |name: &str| {
        Exclusion::from_name(name).ok_or_else(|| format!("`{}` is no reason for exclusion", name.escape_debug()))
    };
    let reasons = |counts: BTreeMap<String, u64>| -> Result<BTreeMap<Exclusion, u64>, String> {
        counts.into_iter().map(|(name, count)| Ok((reason(&name)?, count))).collect()
    };
    let columns = header.columns.into_iter().map(|(name, column)| Ok((role(&name)?, column)));
    let missing = header.missing.into_iter().map(|(name, count)| Ok((role(&name)?, count)));
    let propensities = header
        .propensities
        .map(|counts| Ok::<_, String>(PropensityCounts { valid: counts.valid, invalid: reasons(counts.invalid)? }));
    Ok(Collected {
        conditions: Conditions {
            covariates: header.covariates,
            pairs: header.pairs,
            columns: columns.collect::<Result<_, String>>()?,
            labels: header.labels.map(|Alphabet { a, b, tie, abstain }| LabelWords { a, b, tie, abstain }),
        },
        scans: header.scans,
        sources: header.sources.into_iter().map(from_source).collect::<Result<_, String>>()?,
        duplicates: header.duplicates.map(|found| Duplicates {
            rows: Vec::new(),
            identical: found.identical,
            conflicting: found.conflicting,
            missing_ids: found.missing_ids,
        }),
        statistics: Statistics {
            rows_read: header.rows_read,
            excluded: reasons(header.excluded)?,
            cells: BTreeMap::new(),
            propensities: propensities.transpose()?,
            mechanisms: header
                .mechanism_missing
                .map(|missing| MechanismCounts { missing, ..MechanismCounts::default() }),
            generators: header.generators.map(|HeaderGenerators { rows, same, missing }| GeneratorCounts {
                rows,
                same,
                missing,
                ..GeneratorCounts::default()
            }),
            overflow: None,
            missing: missing.collect::<Result<_, String>>()?,
        },
    })
}

fn from_source(source: HeaderSource) -> Result<SourceFile, String> {
    let role = [SourceRole::Log, SourceRole::Responses].into_iter().find(|role| role.name() == source.role);
    let hexadecimal =
        |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match role {
        Some(role) if hexadecimal(&source.sha256) => {
            Ok(SourceFile { role, name: source.name, sha256: source.sha256, bytes: source.bytes, rows: source.rows })
        }
        _ => Err("a source in the footer's JSON has no role or digest".to_owned()),
    }
}
