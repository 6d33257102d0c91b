//! The weights of the labelled rows, for training elsewhere.

use crate::declare::{CapAt, Declaration, Problem, Problems, Role};
use crate::logs::{self, Block, Label, Outcome, Progress, Request};
use crate::numeric::{Sum, quantile_linear};
use crate::statistics::Collected;
use crate::weights;

/// One entry for each audited row that answers (a, b, tie or soft), in file and row order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowWeights {
    /// The row's identifier; its place over all files, from 1, where none is mapped.
    pub ids: Vec<String>,
    /// w = p_T/p_O x g_T/g_O / inclusion, with p_O counted over these rows.
    pub weight: Vec<f64>,
    /// w over its mean.
    pub normalised: Vec<f64>,
    /// min(w, cap) over its mean.
    pub clipped: Vec<f64>,
    /// The cap, as written in the policy; `none` where it has none.
    pub cap: String,
}

/// Reads the weights of the labelled rows. `cap` names the policy's cap to clip at; without it, the policy's first that clips.
///
/// # Errors
/// Those of the scan; no labelled row carries weight.
pub fn row_weights(
    declaration: &Declaration,
    collected: &Collected,
    cap: Option<&str>,
    progress: &dyn Progress,
) -> Result<RowWeights, Problems> {
    let Declaration { audit, regime, policy, .. } = declaration;
    let log = logs::open(audit, regime)?;
    let weights = weights::weigh(&collected.statistics, regime);
    let context = weights::row_factors(&collected.statistics, regime, &weights);
    let skip = collected.duplicates.as_ref().map_or(&[][..], |duplicates| &duplicates.rows);
    let further = [Role::Id];
    let request = Request { what: "reading weights", further: &further, skip, ..Request::default() };
    let add = |(ids, own): &mut (Vec<String>, Vec<f64>), block: &Block| {
        let factors: Vec<f64> =
            block.cells.iter().map(|levels| context.factors.get(levels).map_or(0.0, |own| own.labelled)).collect();
        let keys = block.keys.get(&Role::Id);
        for row in 0..block.outcomes.len() {
            let answers = !matches!(block.labels[row], Label::Abstain | Label::Invalid);
            if block.outcomes[row] != Outcome::Audited || !answers {
                continue;
            }
            let factor = usize::try_from(block.cell_of_row[row]).ok().and_then(|cell| factors.get(cell));
            let inclusion = block.inclusions.as_ref().map_or(1.0, |inclusions| inclusions[row]);
            own.push(factor.map_or(0.0, |factor| factor * (block.pair_ratios[row] / inclusion)));
            let id = keys.and_then(|keys| keys.values.get(usize::try_from(*keys.codes.get(row)?).ok()?));
            ids.push(id.cloned().unwrap_or_else(|| (block.first_row + row as u64 + 1).to_string()));
        }
    };
    let mut merge = |total: &mut (Vec<String>, Vec<f64>), part: (Vec<String>, Vec<f64>)| {
        total.0.extend(part.0);
        total.1.extend(part.1);
    };
    let (ids, weight) = logs::scan(&log, &request, progress, &Default::default, &add, &mut merge)?;
    let named = |text: &str| policy.clip.iter().find(|own| own.text == text);
    let clips = policy.clip.iter().find(|own| !matches!(own.at, CapAt::None));
    let cap = cap.and_then(named).or(clips);
    let clipped = |mean: f64| {
        let limit = cap.map_or(f64::INFINITY, |cap| limit(cap.at, &weight, mean));
        weight.iter().map(|weight| weight.min(limit)).collect::<Vec<f64>>()
    };
    let normalised = over_mean(weight.clone());
    let clipped = mean(&weight).and_then(|mean| over_mean(clipped(mean)));
    let (Some(normalised), Some(clipped)) = (normalised, clipped) else { return Err(no_weight(&audit.source.name)) };
    Ok(RowWeights { ids, weight, normalised, clipped, cap: cap.map_or("none", |cap| &cap.text).to_owned() })
}

fn limit(at: CapAt, weights: &[f64], mean: f64) -> f64 {
    match at {
        CapAt::None => f64::INFINITY,
        CapAt::Times(times) => times * mean,
        CapAt::Quantile(q) => {
            let mut ascending = weights.to_vec();
            ascending.sort_by(f64::total_cmp);
            quantile_linear(&ascending, q).unwrap_or(f64::INFINITY)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn mean(weights: &[f64]) -> Option<f64> {
    let mean = weights.iter().copied().collect::<Sum>().value() / weights.len() as f64;
    (mean > 0.0 && mean.is_finite()).then_some(mean)
}

fn over_mean(weights: Vec<f64>) -> Option<Vec<f64>> {
    let mean = mean(&weights)?;
    Some(weights.into_iter().map(|weight| weight / mean).collect())
}

fn no_weight(file: &str) -> Problems {
    Problems(vec![Problem {
        file: file.to_owned(),
        position: None,
        width: 1,
        line: None,
        message: "--weights: no labelled row carries weight under the target".to_owned(),
        help: Some("see cell-support and propensity-completeness in the report".to_owned()),
    }])
}
