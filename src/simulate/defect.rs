//! Planting defects into a log, each of which some check has to find.

use super::rows::Row;
use crate::declare::{Defect, Levels};
use crate::numeric::Random;
use std::collections::{BTreeMap, BTreeSet};

/// Plants a defect. Rows keep their order; the same rows, defect and seed give the same result.
pub fn plant(rows: &mut Vec<Row>, defect: &Defect, seed: u64) {
    plant_block(rows, defect, &mut Random::new(seed), 0);
}

/// Plants a defect into one block of a log, whose first row is the `first` of the log: shares and counts are of the block.
pub(super) fn plant_block(rows: &mut Vec<Row>, defect: &Defect, random: &mut Random, first: u64) {
    let n = rows.len();
    let from = |row: usize| row.saturating_sub(usize::try_from(first).unwrap_or(usize::MAX));
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
        Defect::RoundedPropensity(decimals) => {
            let scale = 10_f64.powi(i32::try_from(*decimals).unwrap_or(i32::MAX).min(300));
            rows.iter_mut().for_each(|row| row.propensity = row.propensity.map(|g| (g * scale).round() / scale));
        }
        Defect::DefaultedPropensity(share) => change(rows, random, part(*share, n), |row| row.propensity = Some(1.0)),
        Defect::ClaimedUniform => rows.iter_mut().for_each(|row| row.propensity = row.target_propensity),
        Defect::InvalidTargetPropensity(share) => {
            change(rows, random, part(*share, n), |row| row.target_propensity = Some(-0.1));
        }
        Defect::LowFloor { from_row, factor } => {
            let hit = rows.iter_mut().skip(from(*from_row)).step_by(50);
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
        Defect::Missing { column, share } => change(rows, random, part(*share, n), |row| clear(row, column)),
        Defect::Relabelled { label, share } => {
            change(rows, random, part(*share, n), |row| row.label = Some(label.clone()));
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
        Defect::DuplicatedRows { share, conflicting: false } => duplicate(rows, random, part(*share, n), |_| ()),
        Defect::DuplicatedRows { share, conflicting: true } => duplicate(rows, random, part(*share, n), other_label),
        Defect::ReplicatedClusters { times, share } => replicate(rows, random, *times, *share),
        Defect::Mechanism { from_row, id } => {
            rows.iter_mut().skip(from(*from_row)).for_each(|row| row.mechanism = Some(id.clone()));
        }
        Defect::MissingMechanism(count) => change(rows, random, *count, |row| row.mechanism = None),
        Defect::ThinCell { cell, keep } => thin(rows, cell, *keep),
        Defect::CellOutsideTarget { cell, rows: count } => {
            change(rows, random, *count, |row| (row.domain, row.user_type) = levels(cell));
        }
        Defect::DominantRow(share) => dominate(rows, random, *share),
        Defect::CoarsenedProxy(written) => {
            let coarser = |level: String| written.get(&level).cloned().unwrap_or(level);
            rows.iter_mut().for_each(|row| row.user_type = row.user_type.take().map(coarser));
        }
        Defect::NoisedProxy(share) => confuse(rows, random, part(*share, n)),
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

/// Writes every row of a share of the prompts `times` times, each copy under an id of its own.
fn replicate(rows: &mut Vec<Row>, random: &mut Random, times: usize, share: f64) {
    let prompts: BTreeSet<Option<String>> = rows.iter().map(|row| row.prompt_id.clone()).collect();
    let hit: BTreeSet<&Option<String>> = prompts.iter().filter(|_| random.unit() < share).collect();
    let copies = |row: Row| {
        let again = if hit.contains(&row.prompt_id) { times.max(1) } else { 1 };
        let copy = move |copy: usize| Row {
            event_id: row.event_id.as_ref().map(|id| if copy == 1 { id.clone() } else { format!("{id}-{copy}") }),
            ..row.clone()
        };
        (1..=again).map(copy)
    };
    *rows = std::mem::take(rows).into_iter().flat_map(copies).collect();
}

/// Gives `count` rows another of the log's user types, drawn evenly.
fn confuse(rows: &mut [Row], random: &mut Random, count: usize) {
    let types: BTreeSet<String> = rows.iter().filter_map(|row| row.user_type.clone()).collect();
    for index in random.distinct(count, rows.len()) {
        let Some(row) = rows.get_mut(index) else { continue };
        let others: Vec<&String> = types.iter().filter(|level| Some(*level) != row.user_type.as_ref()).collect();
        if let Some(other) = others.get(random.below(others.len())) {
            row.user_type = Some((*other).clone());
        }
    }
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
        "component" => row.component = None,
        "annotator_id" => row.annotator_id = None,
        "timestamp" => row.timestamp = None,
        "label" => row.label = None,
        _ => (),
    }
}
