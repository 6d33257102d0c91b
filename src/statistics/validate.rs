//! Do the numbers of a statistics file contradict each other? Damage that a digest does not see, such as a file that was
//! made by hand, must not become an audit.

use super::collected::MAX_SCANS;
use super::{
    CellStatistics, Collected, GeneratorCounts, InversePropensities, MAX_LEVELS, RatioMoments, SourceRole, Statistics,
};
use crate::declare::Role;
use crate::logs::{Duplicates, Exclusion};
use crate::numeric::Sum;

/// More rows than any log has; counts below it cannot overflow when scans are merged.
const MAX_ROWS: u64 = 1 << 40;
/// How far a rounded sum may be outside of what its smallest and largest term allow, relative.
const ROUNDING: f64 = 1e-9;

/// What is wrong, in words; `None` when nothing is.
pub(super) fn contradiction(collected: &Collected) -> Option<String> {
    let found = whole(collected).or_else(|| counted(&collected.statistics)).or_else(|| {
        collected.statistics.generators.as_ref().and_then(|counts| generators(counts, &collected.statistics))
    });
    if let Some(what) = found {
        return Some(what.to_owned());
    }
    collected.statistics.cells.iter().find_map(|(levels, own)| {
        let what =
            cell(own).or((levels.len() != collected.conditions.covariates.len()).then_some("levels are missing"))?;
        Some(format!("in cell [{}] {what}", levels.join(", ").escape_debug()))
    })
}

/// The sum of counts; `None` beyond 64 bits.
fn total(counts: impl IntoIterator<Item = u64>) -> Option<u64> {
    counts.into_iter().try_fold(0_u64, u64::checked_add)
}

fn whole(collected: &Collected) -> Option<&'static str> {
    let statistics = &collected.statistics;
    if statistics.rows_read > MAX_ROWS || collected.scans == 0 || collected.scans > MAX_SCANS {
        return Some("there are more rows or scans than can be");
    }
    if too_many_levels(statistics) {
        return Some("there are too many cells, mechanisms or generators");
    }
    let maps = |role: Role| collected.conditions.columns.contains_key(&role);
    let mapped = [maps(Role::Id), maps(Role::Mechanism), maps(Role::Propensity) || maps(Role::LogPropensity)];
    let kept = [collected.duplicates.is_some(), statistics.mechanisms.is_some(), statistics.propensities.is_some()];
    if mapped != kept {
        return Some("what is counted is not what is mapped");
    }
    let logs = || collected.sources.iter().filter(|file| file.role == SourceRole::Log);
    let known: Option<Vec<u64>> = logs().map(|file| file.rows).collect();
    if logs().count() == 0 || known.is_some_and(|rows| total(rows) != Some(statistics.rows_read)) {
        return Some("the files scanned hold other rows than were read");
    }
    let Duplicates { identical, conflicting, missing_ids, .. } = collected.duplicates.clone().unwrap_or_default();
    let skipped = statistics.excluded_for(Exclusion::DuplicateId);
    if total([identical, conflicting]) != Some(skipped) || missing_ids > statistics.rows_read {
        return Some("other rows were skipped than are copies");
    }
    None
}

fn too_many_levels(statistics: &Statistics) -> bool {
    let mechanisms = statistics.mechanisms.as_ref().map_or(0, |counts| counts.rows.len());
    let generators = statistics.generators.as_ref().map_or(0, |counts| counts.a.len().max(counts.b.len()));
    [statistics.cells.len(), mechanisms, generators].into_iter().any(|levels| levels > MAX_LEVELS)
}

fn counted(statistics: &Statistics) -> Option<&'static str> {
    let read = Some(statistics.rows_read);
    let audited = statistics.cells.values().map(|cell| cell.audited.n);
    if total(audited.chain(statistics.excluded.values().copied())) != read {
        return Some("audited and excluded rows are not the rows read");
    }
    let states = statistics.propensities.as_ref();
    if states.is_some_and(|counts| total(counts.invalid.values().copied().chain([counts.valid])) != read) {
        return Some("propensities are not counted for the rows read");
    }
    let mechanisms = statistics.mechanisms.as_ref();
    if mechanisms.is_some_and(|c| total(c.rows.values().map(|own| own.rows).chain([c.missing])) != read) {
        return Some("mechanisms are not counted for the rows read");
    }
    let largest = mechanisms.into_iter().flat_map(|counts| counts.rows.values()).filter_map(|own| own.max_pair_ratio);
    if largest.into_iter().any(|ratio| !(ratio.is_finite() && ratio >= 0.0)) {
        return Some("a mechanism's largest ratio is no ratio");
    }
    if statistics.missing.values().any(|missing| *missing > statistics.rows_read) {
        return Some("more values are missing than there are rows");
    }
    None
}

fn generators(counts: &GeneratorCounts, statistics: &Statistics) -> Option<&'static str> {
    let of_slot =
        |slot: &std::collections::BTreeMap<String, InversePropensities>| total(slot.values().map(|own| own.rows));
    let uncounted = [&counts.a, &counts.b].into_iter().any(|slot| of_slot(slot) != Some(counts.rows));
    let beyond = total([counts.rows, counts.missing]).is_none_or(|rows| rows > statistics.audited());
    if uncounted || beyond || counts.same > counts.rows {
        return Some("the generators' rows do not add up");
    }
    let odd = |own: &InversePropensities| {
        own.rows == 0
            || own.histogram.total() != own.rows
            || !between(own.min, own.max)
            || own.min <= 0.0
            || !sums_to(own.sum, own.rows, own.min, own.max)
    };
    counts.a.values().chain(counts.b.values()).any(odd).then_some("a generator's numbers are impossible")
}

fn cell(cell: &CellStatistics) -> Option<&'static str> {
    let labels = cell.labels;
    let labelled = total([labels.a, labels.b, labels.tie, labels.soft]);
    let all = labelled.and_then(|labelled| labelled.checked_add(labels.abstain));
    if labelled != Some(cell.labelled.n) || all != Some(cell.audited.n) {
        return Some("labels are not counted for the audited rows");
    }
    if cell.histogram.total() != cell.audited.n {
        return Some("the histogram does not hold the audited rows");
    }
    if cell.audited.n == 0 || !possible(&cell.audited) || !possible(&cell.labelled) {
        return Some("moments of the ratio are impossible");
    }
    let ratio_label = cell.ratio_times_label.value();
    if !ratio_label.is_finite() || ratio_label < 0.0 || ratio_label > cell.labelled.sum.value() * (1.0 + ROUNDING) {
        return Some("the label's sum is impossible");
    }
    tail(cell)
}

fn tail(cell: &CellStatistics) -> Option<&'static str> {
    let kept = cell.tail.descending();
    let count = u64::try_from(kept.len()).unwrap_or(u64::MAX);
    let within = kept.iter().all(|value| (cell.audited.min..=cell.audited.max).contains(value));
    let complete = match cell.tail.complete_above() {
        None => count == cell.audited.n,
        Some(floor) => floor.is_finite() && count < cell.audited.n && kept.iter().all(|value| *value >= floor),
    };
    // Whatever else was dropped, the largest is kept.
    let largest = kept.first().is_some_and(|value| *value >= cell.audited.max);
    (!(within && complete && largest)).then_some("the tail is impossible")
}

fn possible(moments: &RatioMoments) -> bool {
    let RatioMoments { n, sum, sum_of_squares, sum_of_ratio_ln_ratio, min, max } = *moments;
    if n == 0 {
        return [sum, sum_of_squares, sum_of_ratio_ln_ratio].iter().all(|sum| sum.parts() == (0.0, 0.0));
    }
    between(min, max)
        && sums_to(sum, n, min, max)
        && sums_to(sum_of_squares, n, min * min, max * max)
        && sum_of_ratio_ln_ratio.value().is_finite()
}

/// Whether two numbers are the extremes of something that is finite and not negative.
fn between(min: f64, max: f64) -> bool {
    min >= 0.0 && min <= max && max.is_finite()
}

/// Whether `n` terms between `min` and `max` can have that sum.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn sums_to(sum: Sum, n: u64, min: f64, max: f64) -> bool {
    let (n, value) = (n as f64, sum.value());
    value.is_finite() && value >= n * min * (1.0 - ROUNDING) && value <= n * max * (1.0 + ROUNDING)
}
