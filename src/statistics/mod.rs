//! The table that one scan leaves behind: statistics of the pair ratio and the labels, cell by cell.
//!
//! Owns: what is accumulated per cell, its merge law, collecting it from a log, the file that keeps it. The declared
//! target masses never enter, so that shards merge, and another target on the same log needs no second scan. What needs a
//! weight for every row is a second scan with a bound of its own ([`groups`]), which is given the weights' factors and
//! knows nothing of their making.
//! Must never: know p_T, or keep anything whose size grows with the rows.

mod answers;
mod by_cell;
mod cell;
mod collected;
mod file;
pub mod groups;
mod overlap;
mod validate;

pub use answers::{AnnotatorAnswers, Comparison, compare};
pub use cell::{CellStatistics, InverseInclusions, LabelCounts, RatioMoments, Shown, TAIL_CAPACITY};
pub use collected::{Collected, Conditions, SourceFile, SourceRole, pairs_name};
pub use file::{SCHEMA, read, write};
pub use overlap::{Floor, LoggedPropensities, MAX_FLOORS};

use crate::declare::{Levels, Problem, Problems, Role};
use crate::logs::{self, Block, Exclusion, Log, Outcome, Progress, PropensityState, Request};
use crate::numeric::{RelativeHistogram, Sum};
use by_cell::ByCell;
use std::collections::BTreeMap;

/// How many cells, mechanisms or generators a log may hold: more means that a column of free values was taken for one of
/// few, and the table would grow with the rows.
pub const MAX_LEVELS: usize = 50_000;

/// The statistics of a log (or of a shard of one): a commutative monoid under [`Statistics::merge`], up to rounding in
/// the sums and exactly in everything else.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistics {
    /// Rows read, excluded ones included.
    pub rows_read: u64,
    /// Excluded rows by reason; reasons that never held are absent.
    pub excluded: BTreeMap<Exclusion, u64>,
    /// The audited rows, by cell.
    pub cells: BTreeMap<Levels, CellStatistics>,
    /// The state of every row's logged g_O; `None` when no propensity is mapped.
    pub propensities: Option<PropensityCounts>,
    /// The valid g_O of the audited rows, by mechanism and month; `None` when no propensity is mapped.
    pub logged: Option<LoggedPropensities>,
    /// The state of every row's inclusion probability; `None` when none is mapped.
    pub inclusions: Option<InclusionCounts>,
    /// Rows that lack a label, by cell: those excluded under [`Exclusion::MissingLabel`].
    pub unlabelled: BTreeMap<Levels, u64>,
    /// Rows read by mechanism; `None` when no mechanism is mapped.
    pub mechanisms: Option<MechanismCounts>,
    /// Both slots' generators over the rows with valid g_O; `None` unless both are mapped and g_O is.
    pub generators: Option<GeneratorCounts>,
    /// Set when a column that the table is kept by holds more than [`MAX_LEVELS`] values: the rest is then meaningless.
    pub overflow: Option<&'static str>,
    /// Rows that lack a value, for each of the mapped roles prompt, response_a, response_b and timestamp.
    pub missing: BTreeMap<Role, u64>,
    /// Rows read that hold the same response twice; `None` unless both responses are mapped.
    pub alike: Option<u64>,
}

/// Rows by the state of their logged g_O.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PropensityCounts {
    /// g_O in (0, 1].
    pub valid: u64,
    /// Anything else, by reason.
    pub invalid: BTreeMap<Exclusion, u64>,
}

/// Rows by the state of their inclusion probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InclusionCounts {
    /// In (0, 1].
    pub valid: u64,
    /// Missing, not finite, or outside.
    pub invalid: u64,
    /// The smallest valid one; positive infinity without any.
    pub min: f64,
}

impl Default for InclusionCounts {
    fn default() -> InclusionCounts {
        InclusionCounts { valid: 0, invalid: 0, min: f64::INFINITY }
    }
}

impl InclusionCounts {
    fn merge(&mut self, other: InclusionCounts) {
        self.valid += other.valid;
        self.invalid += other.invalid;
        self.min = self.min.min(other.min);
    }
}

/// Rows by mechanism.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MechanismCounts {
    /// By mechanism identifier.
    pub rows: BTreeMap<String, MechanismRows>,
    /// Rows without one.
    pub missing: u64,
}

/// The rows of one mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MechanismRows {
    /// Rows read.
    pub rows: u64,
    /// Largest g_T/g_O of its audited rows; `None` without any.
    pub max_pair_ratio: Option<f64>,
}

impl MechanismRows {
    fn merge(&mut self, other: MechanismRows) {
        self.rows += other.rows;
        self.max_pair_ratio = match (self.max_pair_ratio, other.max_pair_ratio) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }
}

/// The generators of both slots, over all rows that are audited and whose g_O is valid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GeneratorCounts {
    /// By generator, slot a.
    pub a: BTreeMap<String, InversePropensities>,
    /// By generator, slot b.
    pub b: BTreeMap<String, InversePropensities>,
    /// Rows that were counted.
    pub rows: u64,
    /// Rows whose two slots were filled by the same generator.
    pub same: u64,
    /// Rows that lack one of the two.
    pub missing: u64,
}

/// The distribution of 1/g_O over the rows of one generator in one slot.
#[derive(Debug, Clone, PartialEq)]
pub struct InversePropensities {
    /// Rows.
    pub rows: u64,
    /// Sum of 1/g_O.
    pub sum: Sum,
    /// The distribution.
    pub histogram: RelativeHistogram,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

impl Default for InversePropensities {
    fn default() -> InversePropensities {
        InversePropensities {
            rows: 0,
            sum: Sum::default(),
            histogram: RelativeHistogram::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl InversePropensities {
    fn add(&mut self, propensity: f64) {
        let inverse = 1.0 / propensity;
        self.rows += 1;
        self.sum.add(inverse);
        self.histogram.add(inverse.ln());
        self.min = self.min.min(inverse);
        self.max = self.max.max(inverse);
    }

    fn merge(&mut self, other: &InversePropensities) {
        self.rows += other.rows;
        self.sum.merge(other.sum);
        self.histogram.merge(&other.histogram);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// Scans a log once. `skip` lists the rows to exclude as duplicates, ascending.
///
/// # Errors
/// Whatever [`logs::scan`] finds wrong with the files.
pub fn collect(log: &Log, skip: &[u64], progress: &dyn Progress) -> Result<Statistics, Problems> {
    let new = Statistics::default;
    let request = Request { what: "scanning the log", skip, ..Request::default() };
    let total = logs::scan(log, &request, progress, &new, &Statistics::add, &mut Statistics::merge)?;
    match total.overflow {
        Some(what) => Err(Problems(vec![Problem {
            file: log.files.first().map_or_else(String::new, |file| file.name.clone()),
            position: None,
            width: 1,
            line: None,
            message: format!("the log holds more than {MAX_LEVELS} different {what}"),
            help: Some("map a column with few different values: the audit counts by them".to_owned()),
        }])),
        None => Ok(total),
    }
}

impl Statistics {
    /// Audited rows.
    pub fn audited(&self) -> u64 {
        self.cells.values().map(|cell| cell.audited.n).sum()
    }

    /// Audited rows whose label is not an abstention.
    pub fn labelled(&self) -> u64 {
        self.cells.values().map(|cell| cell.labelled.n).sum()
    }

    /// Labels of the audited rows.
    pub fn labels(&self) -> LabelCounts {
        self.cells.values().fold(LabelCounts::default(), |mut total, cell| {
            total.merge(&cell.labels);
            total
        })
    }

    /// Whether rows of one cell differ in their inclusion probability. Which pair was shown may then have mattered for its
    /// selection, and the mean of g_T/g_O over the selected rows is not 1 under correct propensities.
    pub fn selected_within_cells(&self) -> bool {
        self.cells.values().any(|cell| cell.common_inverse_inclusion().is_none())
    }

    /// Rows excluded under that reason.
    pub fn excluded_for(&self, reason: Exclusion) -> u64 {
        self.excluded.get(&reason).copied().unwrap_or(0)
    }

    /// Adds a block of rows.
    pub fn add(&mut self, block: &Block) {
        if self.overflow.is_some() {
            return;
        }
        self.rows_read += u64::try_from(block.outcomes.len()).unwrap_or(u64::MAX);
        self.count_exclusions(block);
        self.add_audited(block);
        self.count_propensities(block);
        self.count_inclusions(block);
        self.count_unlabelled(block);
        self.count_mechanisms(block);
        self.count_generators(block);
        for (role, missing) in &block.missing {
            *self.missing.entry(*role).or_default() += missing;
        }
        if let Some(alike) = block.alike {
            *self.alike.get_or_insert_default() += alike;
        }
        self.bound();
    }

    /// Gives up, and lets go of what was kept, once there are too many levels of anything.
    fn bound(&mut self) {
        let generators = self.generators.as_ref().map_or(0, |counts| counts.a.len().max(counts.b.len()));
        let mechanisms = self.mechanisms.as_ref().map_or(0, |counts| counts.rows.len());
        let cells = self.cells.len().max(self.unlabelled.len());
        let sizes = [(cells, "cells"), (generators, "generators"), (mechanisms, "mechanisms")];
        if let Some((_, what)) = sizes.into_iter().find(|(size, _)| *size > MAX_LEVELS) {
            *self = Statistics { overflow: Some(what), ..Statistics::default() };
        }
    }

    fn count_exclusions(&mut self, block: &Block) {
        for outcome in &block.outcomes {
            if let Outcome::Excluded(reason) = outcome {
                *self.excluded.entry(*reason).or_default() += 1;
            }
        }
    }

    fn add_audited(&mut self, block: &Block) {
        let rows = ByCell::of(block);
        for (index, levels) in block.cells.iter().enumerate() {
            let Some((labels, ratios, inclusions)) = rows.cell(index) else { continue };
            if !self.cells.contains_key(levels) {
                self.cells.insert(levels.clone(), CellStatistics::default());
            }
            let Some(cell) = self.cells.get_mut(levels) else { continue };
            match inclusions {
                None => cell.add_rows(labels, ratios),
                Some(inclusions) => cell.add_selected_rows(labels, ratios, inclusions),
            }
        }
    }

    fn count_propensities(&mut self, block: &Block) {
        if block.propensities.is_empty() {
            return;
        }
        let counts = self.propensities.get_or_insert_default();
        for state in &block.propensities {
            match state {
                PropensityState::Valid => counts.valid += 1,
                PropensityState::Invalid(reason) => *counts.invalid.entry(*reason).or_default() += 1,
            }
        }
        self.logged.get_or_insert_default().add(block);
    }

    fn count_inclusions(&mut self, block: &Block) {
        let Some(inclusions) = &block.inclusions else { return };
        let counts = self.inclusions.get_or_insert_default();
        for inclusion in inclusions {
            counts.merge(match inclusion.is_nan() {
                true => InclusionCounts { invalid: 1, ..InclusionCounts::default() },
                false => InclusionCounts { valid: 1, min: *inclusion, invalid: 0 },
            });
        }
    }

    fn count_unlabelled(&mut self, block: &Block) {
        let mut by_code = vec![0_u64; block.cells.len()];
        for (outcome, cell) in block.outcomes.iter().zip(&block.cell_of_row) {
            if *outcome == Outcome::Excluded(Exclusion::MissingLabel)
                && let Some(rows) = at(&mut by_code, *cell)
            {
                *rows += 1;
            }
        }
        for (levels, rows) in block.cells.iter().zip(by_code).filter(|(_, rows)| *rows > 0) {
            *self.unlabelled.entry(levels.clone()).or_default() += rows;
        }
    }

    fn count_mechanisms(&mut self, block: &Block) {
        let Some(mechanisms) = &block.mechanisms else { return };
        let mut by_code = vec![MechanismRows::default(); mechanisms.values.len()];
        let counts = self.mechanisms.get_or_insert_default();
        for (code, (outcome, ratio)) in mechanisms.codes.iter().zip(block.outcomes.iter().zip(&block.pair_ratios)) {
            match at(&mut by_code, *code) {
                Some(own) => {
                    let max_pair_ratio = (*outcome == Outcome::Audited).then_some(*ratio);
                    own.merge(MechanismRows { rows: 1, max_pair_ratio });
                }
                None => counts.missing += 1,
            }
        }
        for (value, own) in mechanisms.values.iter().zip(by_code).filter(|(_, own)| own.rows > 0) {
            counts.rows.entry(value.clone()).or_default().merge(own);
        }
    }

    fn count_generators(&mut self, block: &Block) {
        let Some(generators) = &block.generators else { return };
        let counts = self.generators.get_or_insert_default();
        let mut slot_a = vec![InversePropensities::default(); generators.a.values.len()];
        let mut slot_b = vec![InversePropensities::default(); generators.b.values.len()];
        let states = block.propensities.iter().zip(&generators.propensities);
        let rows = block.outcomes.iter().zip(states).zip(generators.a.codes.iter().zip(&generators.b.codes));
        for ((outcome, (state, propensity)), (a, b)) in rows {
            if *outcome != Outcome::Audited || *state != PropensityState::Valid {
                continue;
            }
            let (Some(in_a), Some(in_b)) = (at(&mut slot_a, *a), at(&mut slot_b, *b)) else {
                counts.missing += 1;
                continue;
            };
            in_a.add(*propensity);
            in_b.add(*propensity);
            counts.rows += 1;
            counts.same += u64::from(generators.a.values.get(index(*a)) == generators.b.values.get(index(*b)));
        }
        merge_slot(&mut counts.a, generators.a.values.iter().zip(&slot_a));
        merge_slot(&mut counts.b, generators.b.values.iter().zip(&slot_b));
    }

    /// Adds the statistics of other rows.
    pub fn merge(&mut self, other: Statistics) {
        if let Some(what) = self.overflow.or(other.overflow) {
            *self = Statistics { overflow: Some(what), ..Statistics::default() };
            return;
        }
        self.rows_read += other.rows_read;
        merge_counts(&mut self.excluded, other.excluded);
        merge_counts(&mut self.missing, other.missing);
        if let Some(alike) = other.alike {
            *self.alike.get_or_insert_default() += alike;
        }
        merge_counts(&mut self.unlabelled, other.unlabelled);
        for (levels, cell) in other.cells {
            match self.cells.entry(levels) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(cell);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(&cell),
            }
        }
        if let Some(propensities) = other.propensities {
            let own = self.propensities.get_or_insert_default();
            own.valid += propensities.valid;
            merge_counts(&mut own.invalid, propensities.invalid);
        }
        if let Some(logged) = other.logged {
            self.logged.get_or_insert_default().merge(logged);
        }
        if let Some(inclusions) = other.inclusions {
            self.inclusions.get_or_insert_default().merge(inclusions);
        }
        if let Some(generators) = other.generators {
            let own = self.generators.get_or_insert_default();
            merge_slot(&mut own.a, generators.a.iter());
            merge_slot(&mut own.b, generators.b.iter());
            own.rows += generators.rows;
            own.same += generators.same;
            own.missing += generators.missing;
        }
        if let Some(mechanisms) = other.mechanisms {
            let own = self.mechanisms.get_or_insert_default();
            own.missing += mechanisms.missing;
            for (id, rows) in mechanisms.rows {
                own.rows.entry(id).or_default().merge(rows);
            }
        }
        self.bound();
    }
}

/// The index that a code stands for; one beyond any vector for [`logs::Codes::MISSING`].
fn index(code: u32) -> usize {
    usize::try_from(code).unwrap_or(usize::MAX)
}

fn at<T>(values: &mut [T], code: u32) -> Option<&mut T> {
    values.get_mut(index(code))
}

fn merge_slot<'a>(
    into: &mut BTreeMap<String, InversePropensities>,
    from: impl Iterator<Item = (&'a String, &'a InversePropensities)>,
) {
    for (generator, own) in from.filter(|(_, own)| own.rows > 0) {
        into.entry(generator.clone()).or_default().merge(own);
    }
}

fn merge_counts<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key).or_default() += count;
    }
}
