//! A block's audited rows, sorted by cell.
//!
//! So that what is kept of a cell is touched once a block, for all of the cell's rows in a row, and not once a row: a table
//! of histograms is larger than a processor's caches.

use crate::logs::{Block, Label, Outcome};

/// Labels, pair ratios and inclusion probabilities (where they are mapped) of the audited rows: cell by cell, and within a
/// cell in the order of the rows.
pub(super) struct ByCell {
    /// Where the rows of each cell end.
    ends: Vec<usize>,
    labels: Vec<Label>,
    ratios: Vec<f64>,
    inclusions: Option<Vec<f64>>,
}

/// The rows of one cell.
pub(super) type CellRows<'a> = (&'a [Label], &'a [f64], Option<&'a [f64]>);

impl ByCell {
    /// Sorts by counting.
    pub(super) fn of(block: &Block) -> ByCell {
        let cell_of = |(outcome, cell): (&Outcome, &u32)| {
            let index = super::index(*cell);
            (*outcome == Outcome::Audited && index < block.cells.len()).then_some(index)
        };
        let cells = || block.outcomes.iter().zip(&block.cell_of_row).map(cell_of);
        let mut ends = vec![0; block.cells.len()];
        for cell in cells().flatten() {
            ends[cell] += 1;
        }
        let mut rows = 0;
        for end in &mut ends {
            // First where the cell's rows begin; each row that is put in its place moves it on.
            rows += std::mem::replace(end, rows);
        }
        let mut labels = vec![Label::Invalid; rows];
        let mut ratios = vec![0.0; rows];
        let mut inclusions = block.inclusions.as_ref().map(|_| vec![0.0; rows]);
        let values = block.labels.iter().zip(&block.pair_ratios);
        for (row, (cell, (label, ratio))) in cells().zip(values).enumerate() {
            let Some(cell) = cell else { continue };
            let place = ends[cell];
            ends[cell] += 1;
            (labels[place], ratios[place]) = (*label, *ratio);
            if let (Some(to), Some(from)) = (&mut inclusions, &block.inclusions) {
                to[place] = from[row];
            }
        }
        ByCell { ends, labels, ratios, inclusions }
    }

    /// The rows of a cell; `None` where there are none.
    pub(super) fn cell(&self, index: usize) -> Option<CellRows<'_>> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        let range = start..self.ends[index];
        let inclusions = self.inclusions.as_ref().map(|inclusions| &inclusions[range.clone()]);
        (!range.is_empty()).then(|| (&self.labels[range.clone()], &self.ratios[range.clone()], inclusions))
    }
}
