//! The table that one scan leaves behind: statistics of the pair ratio and the labels, cell by cell.
//!
//! Owns: what is accumulated per cell, its merge law, collecting it from a log. The declared target masses never enter,
//! so that shards merge, and another target on the same log needs no second scan.
//! Must never: know p_T, or keep anything whose size grows with the rows.

mod cell;

pub use cell::{CellStatistics, LabelCounts, RatioMoments, TAIL_CAPACITY};

use crate::declare::{Levels, Problems, Role};
use crate::logs::{self, Block, Exclusion, Log, Outcome, Progress, PropensityState};
use std::collections::BTreeMap;

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
    /// Rows read by mechanism; `None` when no mechanism is mapped.
    pub mechanisms: Option<MechanismCounts>,
    /// Rows that lack a value, for each of the mapped roles prompt, response_a and response_b.
    pub missing: BTreeMap<Role, u64>,
}

/// Rows by the state of their logged g_O.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PropensityCounts {
    /// g_O in (0, 1].
    pub valid: u64,
    /// Anything else, by reason.
    pub invalid: BTreeMap<Exclusion, u64>,
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

/// Scans a log once. `skip` lists the rows to exclude as duplicates, ascending.
///
/// # Errors
/// Whatever [`logs::scan`] finds wrong with the files.
pub fn collect(log: &Log, skip: &[u64], progress: &dyn Progress) -> Result<Statistics, Problems> {
    logs::scan(log, skip, progress, &Statistics::default, &Statistics::add, &mut Statistics::merge)
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

    /// Rows excluded under that reason.
    pub fn excluded_for(&self, reason: Exclusion) -> u64 {
        self.excluded.get(&reason).copied().unwrap_or(0)
    }

    /// Adds a block of rows.
    pub fn add(&mut self, block: &Block) {
        self.rows_read += u64::try_from(block.outcomes.len()).unwrap_or(u64::MAX);
        self.count_exclusions(block);
        self.add_audited(block);
        self.count_propensities(block);
        self.count_mechanisms(block);
        for (role, missing) in &block.missing {
            *self.missing.entry(*role).or_default() += missing;
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
        // The block's cells are taken out of the map for the row loop, so that a row costs an index and no lookup.
        let mut cells: Vec<Option<CellStatistics>> =
            block.cells.iter().map(|levels| self.cells.remove(levels)).collect();
        let rows = block.outcomes.iter().zip(&block.cell_of_row).zip(block.labels.iter().zip(&block.pair_ratios));
        for ((outcome, cell), (label, ratio)) in rows {
            let index = usize::try_from(*cell).unwrap_or(usize::MAX);
            if let (Outcome::Audited, Some(cell)) = (outcome, cells.get_mut(index)) {
                cell.get_or_insert_default().add(*label, *ratio);
            }
        }
        for (levels, cell) in block.cells.iter().zip(cells) {
            if let Some(cell) = cell {
                self.cells.insert(levels.clone(), cell);
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
    }

    fn count_mechanisms(&mut self, block: &Block) {
        let Some(mechanisms) = &block.mechanisms else { return };
        let mut by_code = vec![MechanismRows::default(); mechanisms.values.len()];
        let counts = self.mechanisms.get_or_insert_default();
        for (code, (outcome, ratio)) in mechanisms.codes.iter().zip(block.outcomes.iter().zip(&block.pair_ratios)) {
            match usize::try_from(*code).ok().and_then(|code| by_code.get_mut(code)) {
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

    /// Adds the statistics of other rows.
    pub fn merge(&mut self, other: Statistics) {
        self.rows_read += other.rows_read;
        merge_counts(&mut self.excluded, other.excluded);
        merge_counts(&mut self.missing, other.missing);
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
        if let Some(mechanisms) = other.mechanisms {
            let own = self.mechanisms.get_or_insert_default();
            own.missing += mechanisms.missing;
            for (id, rows) in mechanisms.rows {
                own.rows.entry(id).or_default().merge(rows);
            }
        }
    }
}

fn merge_counts<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key).or_default() += count;
    }
}
