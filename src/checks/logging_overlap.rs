//! How much does each mechanism explore, and does it go on doing so?

use super::{Check, Crossed, Evidence, Finding, Limits, Measure, Undetermined, at_least, list, rows};
use crate::declare::Role;
use crate::logs::Month;
use crate::numeric::quantile_linear_of_counts;
use crate::statistics::{Floor, LoggedPropensities, MAX_FLOORS};

pub(super) static CHECK: Check = Check {
    id: "logging-overlap",
    title: "Logging overlap",
    source: "Lemma (2026), sections 3 and 5 (overlap); Swaminathan & Joachims (2015), JMLR 16:1731",
    page: include_str!("../../docs/checks/logging-overlap.md"),
    needs: &[],
    run,
};

const REMEDY: &str = "keep an exploration floor: mix the mechanism with a uniform draw at a share that is fixed and logged; declare a changed \
    mechanism under a new id, and audit an adaptive one in batches between its updates";

/// The most recent months whose floors are listed, a mechanism.
const MONTHS_SHOWN: usize = 24;

/// What floors are held against.
struct Bounds {
    min_propensity: f64,
    floor_drop: f64,
    month_rows: f64,
}

fn run(evidence: &Evidence, limits: &Limits) -> Result<Finding, Undetermined> {
    let bounds = Bounds {
        min_propensity: limits.number("warn_min_propensity")?,
        floor_drop: limits.number("warn_floor_drop")?,
        month_rows: limits.number("month_rows")?,
    };
    let counts = evidence.statistics.logged.as_ref();
    let logged = counts.filter(|logged| logged.too_many || !logged.mechanisms.is_empty()).ok_or_else(nothing_logged)?;
    if logged.too_many {
        return Err(too_many());
    }
    let adaptive = adaptive(evidence, logged);
    let mut measures: Vec<Measure> = logged
        .mechanisms
        .iter()
        .flat_map(|(mechanism, floor)| of_mechanism(mechanism.as_deref(), floor, &bounds))
        .collect();
    measures.extend(adaptive.iter().map(|id| Measure::fault("declared adaptive", 1, Crossed::Warning).about(id)));
    if evidence.mapped.contains_key(&Role::Timestamp) {
        let timeless = logged.without_time + logged.unreadable_time;
        measures.push(
            Measure::fault("rows without a readable timestamp", timeless, Crossed::Nothing)
                .of_rows(evidence.statistics.audited()),
        );
    }
    let message = message(evidence, logged, &measures, &adaptive);
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    Ok(Finding::from_measures(measures, message, REMEDY))
}

/// The declared mechanisms that learn from the labels and drew rows (or may have, where the log does not name them):
/// labels are then not independent given the past (Zhan et al. 2021).
fn adaptive(evidence: &Evidence, logged: &LoggedPropensities) -> Vec<String> {
    let named = evidence.mapped.contains_key(&Role::Mechanism);
    let drew = |id: &String| !named || logged.mechanisms.contains_key(&Some(id.clone()));
    let mechanisms = evidence.regime.mechanisms.iter().filter(|mechanism| mechanism.adaptive);
    mechanisms.map(|mechanism| mechanism.id.clone()).filter(drew).collect()
}

fn of_mechanism(mechanism: Option<&str>, floor: &Floor, bounds: &Bounds) -> Vec<Measure> {
    let bound = at_least("warn_min_propensity", bounds.min_propensity);
    let mut measures = vec![
        Measure::held("smallest logged propensity", floor.ln_min.exp(), bound, Crossed::Warning).of_rows(floor.rows),
        Measure::shown("logged propensity, 1 % quantile", low_quantile(floor)).of_rows(floor.rows),
    ];
    measures.extend(drops(floor, bounds));
    let months = floor.months.iter().rev().take(MONTHS_SHOWN);
    measures.extend(months.rev().map(|(month, (rows, ln_min))| {
        Measure::shown(&format!("smallest logged propensity in {month}"), ln_min.exp()).of_rows(*rows)
    }));
    match mechanism {
        Some(id) => measures.into_iter().map(|measure| measure.about(id)).collect(),
        None => measures,
    }
}

/// The type-7 quantile, within 0.05 %.
fn low_quantile(floor: &Floor) -> Option<f64> {
    let buckets =
        floor.histogram.buckets().map(|(propensity, count)| (propensity.max(floor.ln_min.exp()).min(1.0), count));
    let ascending: Vec<(f64, u64)> = [(0.0, floor.histogram.zeros())].into_iter().chain(buckets).collect();
    quantile_linear_of_counts(&ascending, 0.01)
}

/// The lowest month's floor over that of the first month, among the months with rows enough. Logarithms are subtracted,
/// so that floors too small for f64 compare.
fn drops(floor: &Floor, bounds: &Bounds) -> Option<Measure> {
    let mut months = compared(floor, bounds);
    let (first, _, first_floor) = months.next()?;
    let (month, rows, lowest) = months.min_by(|a, b| a.2.total_cmp(&b.2))?;
    let name = format!("smallest logged propensity in {month} over that in {first}");
    let bound = at_least("warn_floor_drop", bounds.floor_drop);
    Some(Measure::held(&name, (lowest - first_floor).exp(), bound, Crossed::Warning).of_rows(rows))
}

/// Month, rows and logarithm of the floor of the months that hold rows enough.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn compared<'a>(floor: &'a Floor, bounds: &Bounds) -> impl Iterator<Item = (Month, u64, f64)> + use<'a> {
    let enough = bounds.month_rows;
    let months = floor.months.iter().map(|(month, (rows, ln_min))| (*month, *rows, *ln_min));
    months.filter(move |(_, rows, _)| *rows as f64 >= enough)
}

fn message(evidence: &Evidence, logged: &LoggedPropensities, measures: &[Measure], adaptive: &[String]) -> String {
    let smallest = logged.mechanisms.values().map(|floor| floor.ln_min).fold(f64::INFINITY, f64::min).exp();
    let of = match logged.mechanisms.len() {
        1 => String::new(),
        n => format!(" of {n} mechanisms"),
    };
    let count: u64 = logged.mechanisms.values().map(|floor| floor.rows).sum();
    let mut parts = vec![format!("the smallest logged propensity{of} is {smallest:.2e} over {}", rows(count))];
    parts.extend(
        measures
            .iter()
            .filter(|measure| measure.crossed != Crossed::Nothing && measure.name.contains(" over that in "))
            .map(|drop| format!("{}: {:.3}", drop.name, drop.value.unwrap_or(f64::NAN))),
    );
    if !adaptive.is_empty() {
        parts.push(format!("declared adaptive, so that rows are not independent: {}", list(adaptive)));
    }
    if !evidence.mapped.contains_key(&Role::Timestamp) {
        parts.push("without a timestamp, floors over time are not seen".to_owned());
    } else if logged.mechanisms.values().all(|floor| floor.months.is_empty()) {
        parts.push("no timestamp could be read, so that floors over time are not seen".to_owned());
    }
    parts.join("; ")
}

fn nothing_logged() -> Undetermined {
    Undetermined {
        message: "no audited row carries a valid logged propensity".to_owned(),
        remedy: "log the probability of the ordered pair and map it under logs.columns.propensity".to_owned(),
        not_logged: true,
        measures: Vec::new(),
    }
}

fn too_many() -> Undetermined {
    Undetermined {
        message: format!("the log names more than {MAX_FLOORS} mechanisms, more than floors are kept of"),
        remedy: "map a column that names the mechanism, not the draw".to_owned(),
        not_logged: false,
        measures: Vec::new(),
    }
}
