//! Do the numbers of a statistics file contradict each other? Damage that a digest does not see, such as a file that was
//! made by hand, must not become an audit.

use super::collected::MAX_SCANS;
use super::{
    CellStatistics, Collected, Floor, GeneratorCounts, InverseInclusions, InversePropensities, LoggedPropensities,
    MAX_FLOORS, MAX_LEVELS, RatioMoments, SourceRole, Statistics,
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
    let statistics = &collected.statistics;
    let found = whole(collected)
        .or_else(|| counted(statistics))
        .or_else(|| selected(statistics))
        .or_else(|| statistics.logged.as_ref().and_then(|logged| floors(logged, statistics)))
        .or_else(|| statistics.generators.as_ref().and_then(|counts| generators(counts, statistics)));
    if let Some(what) = found {
        return Some(what.to_owned());
    }
    let covariates = collected.conditions.covariates.len();
    if statistics.unlabelled.keys().any(|levels| levels.len() != covariates) {
        return Some("levels are missing".to_owned());
    }
    statistics.cells.iter().find_map(|(levels, own)| {
        let what = cell(own).or((levels.len() != covariates).then_some("levels are missing"))?;
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
    let propensity = maps(Role::Propensity) || maps(Role::LogPropensity);
    let responses = maps(Role::ResponseA) && maps(Role::ResponseB);
    let mapped = [maps(Role::Id), maps(Role::Mechanism), propensity, propensity, maps(Role::Inclusion), responses];
    let kept = [
        collected.duplicates.is_some(),
        statistics.mechanisms.is_some(),
        statistics.propensities.is_some(),
        statistics.logged.is_some(),
        statistics.inclusions.is_some(),
        statistics.alike.is_some(),
    ];
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
    [statistics.cells.len(), statistics.unlabelled.len(), mechanisms, generators]
        .into_iter()
        .any(|levels| levels > MAX_LEVELS)
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
    if statistics.alike.is_some_and(|alike| alike > statistics.rows_read) {
        return Some("more rows hold one response twice than there are");
    }
    None
}

fn selected(statistics: &Statistics) -> Option<&'static str> {
    if let Some(counts) = statistics.inclusions {
        let min = if counts.valid > 0 { counts.min > 0.0 && counts.min <= 1.0 } else { counts.min == f64::INFINITY };
        if total([counts.valid, counts.invalid]) != Some(statistics.rows_read) || !min {
            return Some("inclusion probabilities are not counted for the rows read");
        }
    }
    if statistics.cells.values().any(|cell| cell.shown.is_some() != statistics.inclusions.is_some()) {
        return Some("cells and inclusion probabilities do not agree");
    }
    let missing = total(statistics.unlabelled.values().copied());
    let excluded = statistics.excluded_for(Exclusion::MissingLabel);
    missing.is_none_or(|missing| missing > excluded).then_some("more rows lack a label than are excluded for it")
}

/// The rows that were audited when the statistics were made: those of cells that are withheld since are among them.
fn audited(statistics: &Statistics) -> u64 {
    statistics.audited().saturating_add(statistics.excluded_for(Exclusion::Withheld))
}

fn floors(logged: &LoggedPropensities, statistics: &Statistics) -> Option<&'static str> {
    let floors = || logged.mechanisms.values();
    let valid = statistics.propensities.as_ref().map_or(0, |counts| counts.valid);
    let audited = audited(statistics);
    let rows = total(floors().map(|floor| floor.rows)).filter(|rows| *rows <= audited.min(valid));
    let Some(rows) = rows else { return Some("more propensities are logged than rows are audited") };
    if floors().len() > if logged.too_many { 0 } else { MAX_FLOORS } {
        return Some("more floors are kept than can be");
    }
    let dated = floors().flat_map(|floor| floor.months.values()).map(|(rows, _)| *rows);
    let moments = total(dated.chain([logged.without_time, logged.unreadable_time]));
    let beyond = if logged.too_many { audited } else { rows };
    if moments.is_none_or(|moments| moments > beyond) {
        return Some("more timestamps are counted than rows");
    }
    floors().any(|floor| !floor_is_possible(floor)).then_some("a floor is impossible")
}

fn floor_is_possible(floor: &Floor) -> bool {
    let dated = total(floor.months.values().map(|(rows, _)| *rows));
    floor.rows > 0
        && floor.histogram.total() == floor.rows
        && floor.ln_min.is_finite()
        && floor.ln_min <= 0.0
        && dated.is_some_and(|dated| dated <= floor.rows)
        && floor.months.values().all(|(rows, ln_min)| *rows > 0 && (floor.ln_min..=0.0).contains(ln_min))
}

fn generators(counts: &GeneratorCounts, statistics: &Statistics) -> Option<&'static str> {
    let of_slot =
        |slot: &std::collections::BTreeMap<String, InversePropensities>| total(slot.values().map(|own| own.rows));
    let uncounted = [&counts.a, &counts.b].into_iter().any(|slot| of_slot(slot) != Some(counts.rows));
    let beyond = total([counts.rows, counts.missing]).is_none_or(|rows| rows > audited(statistics));
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
    if cell
        .shown
        .is_some_and(|shown| !stand_for(&shown.audited, cell.audited.n) || !stand_for(&shown.labelled, cell.labelled.n))
    {
        return Some("the sums of 1/inclusion are impossible");
    }
    tail(cell)
}

/// Whether `n` rows can stand for that many shown comparisons.
fn stand_for(shown: &InverseInclusions, n: u64) -> bool {
    let InverseInclusions { sum, sum_of_squares, min, max } = *shown;
    if n == 0 {
        return sum.parts() == (0.0, 0.0) && sum_of_squares.parts() == (0.0, 0.0) && min > max;
    }
    min >= 1.0 && between(min, max) && sums_to(sum, n, min, max) && sums_to(sum_of_squares, n, min * min, max * max)
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
