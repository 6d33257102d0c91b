//! Defects to plant into a clean log, each of which some check has to find.

use super::random::Random;
use super::rows::Row;
use crate::declare::Levels;
use std::collections::BTreeMap;

/// One thing that is wrong with a log. Shares are of the rows, rounded, and at least one row
/// where they are above zero; counts above the rows there are mean all rows.
/// Which rows are hit depends on the seed alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Defect {
    /// g_O is missing on this share of the rows. At 1 the column itself is gone: see [`super::columns`].
    MissingPropensity(f64),
    /// g_O is NaN on this share of the rows.
    NanPropensity(f64),
    /// g_O is zero on this share of the rows.
    ZeroPropensity(f64),
    /// g_O is 1.5 on this share of the rows.
    PropensityAboveOne(f64),
    /// g_O is multiplied by this factor in this cell (domain, user type), up to 1.
    ScaledPropensity {
        /// The cell.
        cell: Levels,
        /// The factor, above 0.
        factor: f64,
    },
    /// g_O is at least this in every row, as when a log rounds small probabilities up.
    FlooredPropensity(f64),
    /// g_O claims to be g_T in every row: a mechanism that says it is uniform and is not.
    ClaimedUniform,
    /// g_T is -0.1 on this share of the rows.
    InvalidTargetPropensity(f64),
    /// From this row (counted from 0) on, the mechanism explores less: g_O of every 50th row is divided by this factor.
    LowFloor {
        /// The first row that may be hit.
        from_row: usize,
        /// What g_O is divided by.
        factor: f64,
    },
    /// Every row carries an inclusion probability of 1, and 0 on this share of the rows.
    InvalidInclusion(f64),
    /// In this cell (domain, user type), the label is missing on every so many-th row.
    UnlabelledCell {
        /// The cell.
        cell: Levels,
        /// One row in so many.
        every: usize,
    },
    /// `user_type` is missing on this many rows.
    MissingCovariate(usize),
    /// A response identifier is missing on this many rows.
    MissingResponse(usize),
    /// The label is missing on this many rows.
    MissingLabel(usize),
    /// The label is the word `left`, which is in no alphabet, on this many rows.
    UnknownLabel(usize),
    /// The annotators abstained on this share of the rows.
    Abstentions(f64),
    /// This many rows are there a second time, at the end of the log.
    IdenticalDuplicates(usize),
    /// This many rows are there a second time, at the end of the log, with the other label.
    ConflictingDuplicates(usize),
    /// From this row (counted from 0) on, rows carry this mechanism.
    Mechanism {
        /// The first row that carries it.
        from_row: usize,
        /// The identifier.
        id: String,
    },
    /// The mechanism is missing on this many rows.
    MissingMechanism(usize),
    /// Of this cell (domain, user type) only the first so many rows are left.
    ThinCell {
        /// The cell.
        cell: Levels,
        /// Rows to keep; none makes the cell unsupported.
        keep: usize,
    },
    /// This many rows are of this cell (domain, user type), which the target does not name.
    CellOutsideTarget {
        /// The cell.
        cell: Levels,
        /// How many rows.
        rows: usize,
    },
    /// One row holds this share of the total weight, above 0 and below 1, under the target that is uniform over the log's cells.
    DominantRow(f64),
    /// This annotator answers a on every row.
    AlwaysA(String),
    /// This annotator labelled this share of the rows, whoever did before.
    BusyAnnotator {
        /// The annotator.
        annotator: String,
        /// Share of the rows.
        share: f64,
    },
    /// This share of the rows asks one of so many prompts of each domain (those that the log shows first), whatever it
    /// asked before. Responses and propensities stay as they are.
    FewPrompts {
        /// Prompts of each domain.
        per_domain: usize,
        /// Share of the rows.
        share: f64,
    },
    /// On this share of the rows the response on side a is preferred because it is there.
    SideA(f64),
    /// Nobody logs this column (a canonical name; others change nothing).
    NoColumn(String),
}

/// Plants a defect. Rows keep their order; the same rows, defect and seed give the same result.
pub fn plant(rows: &mut Vec<Row>, defect: &Defect, seed: u64) {
    let random = &mut Random::new(seed);
    let n = rows.len();
    match defect {
        Defect::MissingPropensity(share) => change(rows, random, part(*share, n), |row| row.propensity = None),
        Defect::NanPropensity(share) => change(rows, random, part(*share, n), |row| row.propensity = Some(f64::NAN)),
        Defect::ZeroPropensity(share) => change(rows, random, part(*share, n), |row| row.propensity = Some(0.0)),
        Defect::PropensityAboveOne(share) => change(rows, random, part(*share, n), |row| row.propensity = Some(1.5)),
        Defect::ScaledPropensity { cell, factor } => {
            let cell = levels(cell);
            let inside = |row: &&mut Row| (&row.domain, &row.user_type) == (&cell.0, &cell.1);
            for row in rows.iter_mut().filter(inside) {
                row.propensity = row.propensity.map(|g| (g * factor).min(1.0));
            }
        }
        Defect::FlooredPropensity(floor) => {
            rows.iter_mut().for_each(|row| row.propensity = row.propensity.map(|g| g.max(*floor)));
        }
        Defect::ClaimedUniform => rows.iter_mut().for_each(|row| row.propensity = row.target_propensity),
        Defect::InvalidTargetPropensity(share) => {
            change(rows, random, part(*share, n), |row| row.target_propensity = Some(-0.1));
        }
        Defect::LowFloor { from_row, factor } => {
            let hit = rows.iter_mut().skip(*from_row).step_by(50);
            hit.for_each(|row| row.propensity = row.propensity.map(|propensity| propensity / factor));
        }
        Defect::InvalidInclusion(share) => {
            rows.iter_mut().for_each(|row| row.inclusion = Some(1.0));
            change(rows, random, part(*share, n), |row| row.inclusion = Some(0.0));
        }
        Defect::UnlabelledCell { cell, every } => {
            let cell = levels(cell);
            let inside = rows.iter_mut().filter(|row| (&row.domain, &row.user_type) == (&cell.0, &cell.1));
            inside.step_by((*every).max(1)).for_each(|row| row.label = None);
        }
        Defect::MissingCovariate(count) => change(rows, random, *count, |row| row.user_type = None),
        Defect::MissingResponse(count) => change(rows, random, *count, |row| row.response_a = None),
        Defect::MissingLabel(count) => change(rows, random, *count, |row| row.label = None),
        Defect::UnknownLabel(count) => change(rows, random, *count, |row| row.label = Some("left".to_owned())),
        Defect::Abstentions(share) => {
            change(rows, random, part(*share, n), |row| row.label = Some("abstain".to_owned()));
        }
        Defect::IdenticalDuplicates(count) => duplicate(rows, random, *count, |_| ()),
        Defect::ConflictingDuplicates(count) => duplicate(rows, random, *count, other_label),
        Defect::Mechanism { from_row, id } => {
            rows.iter_mut().skip(*from_row).for_each(|row| row.mechanism = Some(id.clone()));
        }
        Defect::MissingMechanism(count) => change(rows, random, *count, |row| row.mechanism = None),
        Defect::ThinCell { cell, keep } => thin(rows, cell, *keep),
        Defect::CellOutsideTarget { cell, rows: count } => {
            change(rows, random, *count, |row| (row.domain, row.user_type) = levels(cell));
        }
        Defect::DominantRow(share) => dominate(rows, random, *share),
        Defect::AlwaysA(annotator) => {
            let own = rows.iter_mut().filter(|row| row.annotator_id.as_ref() == Some(annotator));
            own.for_each(|row| row.label = Some("a".to_owned()));
        }
        Defect::BusyAnnotator { annotator, share } => {
            change(rows, random, part(*share, n), |row| row.annotator_id = Some(annotator.clone()));
        }
        Defect::FewPrompts { per_domain, share } => few_prompts(rows, random, *per_domain, part(*share, n)),
        Defect::SideA(share) => change(rows, random, part(*share, n), |row| row.label = Some("a".to_owned())),
        Defect::NoColumn(name) => rows.iter_mut().for_each(|row| clear(row, name)),
    }
}

/// A share of n rows, rounded, and at least one where it is above zero.
fn part(share: f64, n: usize) -> usize {
    if share > 0.0 { ((share * n as f64).round() as usize).max(1) } else { 0 }
}

fn change(rows: &mut [Row], random: &mut Random, count: usize, edit: impl Fn(&mut Row)) {
    for index in random.distinct(count, rows.len()) {
        if let Some(row) = rows.get_mut(index) {
            edit(row);
        }
    }
}

fn duplicate(rows: &mut Vec<Row>, random: &mut Random, count: usize, edit: impl Fn(&mut Row)) {
    let mut copies: Vec<Row> =
        random.distinct(count, rows.len()).into_iter().filter_map(|index| rows.get(index).cloned()).collect();
    copies.iter_mut().for_each(edit);
    rows.extend(copies);
}

fn other_label(row: &mut Row) {
    let other = if row.label.as_deref() == Some("a") { "b" } else { "a" };
    row.label = Some(other.to_owned());
}

fn levels(cell: &Levels) -> (Option<String>, Option<String>) {
    (cell.first().cloned(), cell.get(1).cloned())
}

fn thin(rows: &mut Vec<Row>, cell: &Levels, keep: usize) {
    let cell = levels(cell);
    let mut seen = 0_usize;
    rows.retain(|row| {
        let inside = (&row.domain, &row.user_type) == (&cell.0, &cell.1);
        seen += usize::from(inside);
        !inside || seen <= keep
    });
}

/// Lowers one row's propensity until its weight (p_T/p_O) * (g_T/g_O) is `share` of the total, with p_T uniform over the
/// cells and p_O counted; the factors that all cells have in common cancel.
fn dominate(rows: &mut [Row], random: &mut Random, share: f64) {
    let mut counts: BTreeMap<_, f64> = BTreeMap::new();
    for row in rows.iter() {
        *counts.entry((row.domain.clone(), row.user_type.clone())).or_default() += 1.0;
    }
    let chosen = random.below(rows.len());
    let cell_factor = |row: &Row| counts.get(&(row.domain.clone(), row.user_type.clone())).map_or(0.0, |n| 1.0 / n);
    let weight = |row: &Row| Some(cell_factor(row) * row.target_propensity? / row.propensity?);
    let others: f64 =
        rows.iter().enumerate().filter(|(index, _)| *index != chosen).filter_map(|(_, row)| weight(row)).sum();
    let Some(factor) = rows.get(chosen).map(cell_factor) else { return };
    if let Some(row) = rows.get_mut(chosen) {
        row.propensity = row.target_propensity.map(|target| factor * target * (1.0 - share) / (share * others));
    }
}

/// Lets `count` rows ask, in turn, one of the first prompts of their domain.
fn few_prompts(rows: &mut [Row], random: &mut Random, per_domain: usize, count: usize) {
    let mut first: BTreeMap<Option<String>, Vec<Option<String>>> = BTreeMap::new();
    for row in rows.iter() {
        let prompts = first.entry(row.domain.clone()).or_default();
        if prompts.len() < per_domain && !prompts.contains(&row.prompt_id) {
            prompts.push(row.prompt_id.clone());
        }
    }
    for (turn, index) in random.distinct(count, rows.len()).into_iter().enumerate() {
        let Some(row) = rows.get_mut(index) else { continue };
        if let Some(prompts) = first.get(&row.domain).filter(|prompts| !prompts.is_empty()) {
            row.prompt_id = prompts.get(turn % prompts.len()).cloned().flatten();
        }
    }
}

fn clear(row: &mut Row, column: &str) {
    match column {
        "propensity" => row.propensity = None,
        "target_propensity" => row.target_propensity = None,
        "event_id" => row.event_id = None,
        "prompt_id" => row.prompt_id = None,
        "domain" => row.domain = None,
        "user_type" => row.user_type = None,
        "response_a" => row.response_a = None,
        "response_b" => row.response_b = None,
        "generator_a" => row.generator_a = None,
        "generator_b" => row.generator_b = None,
        "inclusion" => row.inclusion = None,
        "mechanism" => row.mechanism = None,
        "annotator_id" => row.annotator_id = None,
        "timestamp" => row.timestamp = None,
        "label" => row.label = None,
        _ => (),
    }
}
