//! What is kept of the logged propensities, by mechanism and month.

use crate::logs::{Block, Codes, Moment, Month, Outcome, PropensityState};
use crate::numeric::RelativeHistogram;
use std::collections::BTreeMap;

/// Beyond this many mechanisms nothing more is kept of their propensities: each may take half a megabyte.
pub const MAX_FLOORS: usize = 1_000;

/// The logged propensities of the audited rows whose g_O is valid.
///
/// Bounded by [`MAX_FLOORS`] mechanisms, each with 2,760 months and a histogram of at most 69,079 buckets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoggedPropensities {
    /// By mechanism; under `None` the rows that name none. Empty once there are too many.
    pub mechanisms: BTreeMap<Option<String>, Floor>,
    /// Whether there are more than [`MAX_FLOORS`] mechanisms.
    pub too_many: bool,
    /// Rows without a timestamp, where one is mapped.
    pub without_time: u64,
    /// Rows whose timestamp cannot be read.
    pub unreadable_time: u64,
}

/// The smallest propensities of one mechanism.
#[derive(Debug, Clone, PartialEq)]
pub struct Floor {
    /// Rows.
    pub rows: u64,
    /// Natural logarithm of the smallest g_O.
    pub ln_min: f64,
    /// The distribution of g_O.
    pub histogram: RelativeHistogram,
    /// Rows and the logarithm of the smallest g_O, by calendar month, of the rows whose month is known.
    pub months: BTreeMap<Month, (u64, f64)>,
}

impl Default for Floor {
    fn default() -> Floor {
        Floor { rows: 0, ln_min: f64::INFINITY, histogram: RelativeHistogram::default(), months: BTreeMap::new() }
    }
}

impl Floor {
    /// Adds rows' ln g_O.
    fn add_all(&mut self, ln_propensities: &[f64]) {
        self.rows += ln_propensities.len() as u64;
        self.ln_min = ln_propensities.iter().copied().fold(self.ln_min, f64::min);
        self.histogram.add_all(ln_propensities);
    }

    fn add_month(&mut self, month: Month, (rows, ln_min): (u64, f64)) {
        let own = self.months.entry(month).or_insert((0, f64::INFINITY));
        *own = (own.0 + rows, own.1.min(ln_min));
    }

    fn merge(&mut self, other: &Floor) {
        self.rows += other.rows;
        self.ln_min = self.ln_min.min(other.ln_min);
        self.histogram.merge(&other.histogram);
        for (month, floor) in &other.months {
            self.add_month(*month, *floor);
        }
    }
}

impl LoggedPropensities {
    /// Adds a block's rows; its propensities are mapped.
    pub(super) fn add(&mut self, block: &Block) {
        let values = block.mechanisms.as_ref().map_or(&[][..], |mechanisms| &mechanisms.values);
        let mut named = vec![Floor::default(); values.len()];
        let mut unnamed = Floor::default();
        // Sorted by mechanism first: one after the other, rows would each look for their floor's histogram.
        let mut of_named: Vec<Vec<f64>> = vec![Vec::new(); values.len()];
        let mut of_unnamed = Vec::new();
        let states = block.outcomes.iter().zip(&block.propensities);
        for (row, ((outcome, state), ln_propensity)) in states.zip(&block.ln_propensities).enumerate() {
            if *outcome != Outcome::Audited || *state != PropensityState::Valid {
                continue;
            }
            let code = block.mechanisms.as_ref().and_then(|codes| codes.codes.get(row)).copied();
            let code = code.unwrap_or(Codes::MISSING);
            super::at(&mut of_named, code).unwrap_or(&mut of_unnamed).push(*ln_propensity);
            if let Some(month) = self.month(block.moments.as_ref().and_then(|moments| moments.get(row)).copied()) {
                super::at(&mut named, code).unwrap_or(&mut unnamed).add_month(month, (1, *ln_propensity));
            }
        }
        unnamed.add_all(&of_unnamed);
        named.iter_mut().zip(&of_named).for_each(|(floor, own)| floor.add_all(own));
        if unnamed.rows > 0 {
            self.mechanisms.entry(None).or_default().merge(&unnamed);
        }
        for (name, floor) in values.iter().zip(&named).filter(|(_, floor)| floor.rows > 0) {
            self.mechanisms.entry(Some(name.clone())).or_default().merge(floor);
        }
        self.bound();
    }

    /// A row's month; one that has none is counted.
    fn month(&mut self, moment: Option<Moment>) -> Option<Month> {
        match moment? {
            Moment::Month(month) => return Some(month),
            Moment::Missing => self.without_time += 1,
            Moment::Unreadable => self.unreadable_time += 1,
        }
        None
    }

    pub(super) fn merge(&mut self, other: LoggedPropensities) {
        self.too_many |= other.too_many;
        self.without_time += other.without_time;
        self.unreadable_time += other.unreadable_time;
        for (mechanism, floor) in other.mechanisms {
            self.mechanisms.entry(mechanism).or_default().merge(&floor);
        }
        self.bound();
    }

    fn bound(&mut self) {
        self.too_many |= self.mechanisms.len() > MAX_FLOORS;
        if self.too_many {
            self.mechanisms.clear();
        }
    }
}
