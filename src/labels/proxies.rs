//! Does the label model differ across the cells at all?

use super::model::{LabelModel, as_f64};
use crate::estimate::{Comparisons, Estimate};
use std::collections::BTreeMap;

/// By how much knowing covariates of the cells improves the prediction of labels that were not fitted on.
#[derive(Debug, Clone, PartialEq)]
pub struct Informativeness {
    /// The covariates in question: those that differ between rows of one prompt, and so are about who is asked; where none
    /// does, all of them.
    pub proxies: Vec<String>,
    /// Whether they differ between rows of one prompt.
    pub within_prompts: bool,
    /// All of them together, beyond the other covariates. `None` where its error is not known.
    pub joint: Option<Estimate>,
    /// Each covariate of the cells with more than one level, beyond the others.
    pub each: Vec<CovariateGain>,
    /// Share of the rows' weight that differs for another reason than the cells: the variance of ln w within cells, over all.
    pub pair_share: f64,
}

/// One covariate.
#[derive(Debug, Clone, PartialEq)]
pub struct CovariateGain {
    /// The covariate.
    pub covariate: String,
    /// Whether it differs between rows of one prompt.
    pub within_prompts: bool,
    /// The gain in nats a row beyond all other covariates; `None` where its error is not known.
    pub gain: Option<Estimate>,
    /// The gain of knowing it alone of those in question: where two of them say the same, neither says anything beyond the other.
    /// `None` where its error is not known, and for a covariate that is not in question.
    pub alone: Option<Estimate>,
}

/// Compares the model that knows the cells (`full`: its held-out log-odds) with models that do not know some covariates.
/// `None` where every covariate has a single level. A model that cannot be fitted leaves a gain without an error.
pub fn informativeness(
    model: &LabelModel,
    table: &Comparisons,
    covariates: &[String],
    full: &[f64],
) -> Option<Informativeness> {
    let varying: Vec<usize> = (0..covariates.len()).filter(|at| levels(model, table, *at) > 1).collect();
    if varying.is_empty() {
        return None;
    }
    let within: Vec<bool> = (0..covariates.len()).map(|at| varies_within_prompts(model, table, at)).collect();
    let is_within = |at: &usize| within.get(*at).copied().unwrap_or(false);
    let own: Vec<usize> = varying.iter().copied().filter(is_within).collect();
    let proxies = if own.is_empty() { varying.clone() } else { own.clone() };
    let knowing =
        |known: &dyn Fn(usize) -> bool| model.held_out(&model.by_cell(table, |at| varying.contains(&at) && known(at)));
    let over = |reduced: &Option<Vec<f64>>, full: &[f64]| reduced.as_ref().and_then(|own| model.gain(full, own));
    let nothing = knowing(&|at| !proxies.contains(&at));
    let joint = over(&nothing, full);
    let mut each = Vec::new();
    for at in &varying {
        let is_all = proxies == [*at];
        let gain = if is_all { joint.clone() } else { over(&knowing(&|other| other != *at), full) };
        let alone = match proxies.contains(at) {
            true if is_all => joint.clone(),
            true => knowing(&|other| other == *at || !proxies.contains(&other)).and_then(|own| over(&nothing, &own)),
            false => None,
        };
        each.push(CovariateGain {
            covariate: covariates.get(*at)?.clone(),
            within_prompts: is_within(at),
            gain,
            alone,
        });
    }
    Some(Informativeness {
        proxies: proxies.iter().filter_map(|at| covariates.get(*at)).cloned().collect(),
        within_prompts: !own.is_empty(),
        joint,
        each,
        pair_share: pair_share(model, table),
    })
}

fn level(table: &Comparisons, row: u32, at: usize) -> Option<&String> {
    table.cells.get(*table.cell.get(row as usize)? as usize)?.get(at)
}

fn levels(model: &LabelModel, table: &Comparisons, at: usize) -> usize {
    model.rows.iter().filter_map(|row| level(table, *row, at)).collect::<std::collections::BTreeSet<_>>().len()
}

fn varies_within_prompts(model: &LabelModel, table: &Comparisons, at: usize) -> bool {
    if table.prompt.is_none() {
        return false;
    }
    let mut first: Vec<Option<&String>> = vec![None; model.clusters.count];
    for (row, code) in model.rows.iter().zip(&model.clusters.codes) {
        let (Some(own), Some(seen)) = (level(table, *row, at), first.get_mut(*code as usize)) else { continue };
        if seen.is_some_and(|seen| seen != own) {
            return true;
        }
        *seen = Some(own);
    }
    false
}

/// The variance of ln w within cells over that of all rows of positive weight; 0 without spread.
fn pair_share(model: &LabelModel, table: &Comparisons) -> f64 {
    let mut cells: BTreeMap<u32, (f64, f64, f64)> = BTreeMap::new();
    for row in &model.rows {
        let at = *row as usize;
        let (Some(cell), Some(weight)) = (table.cell.get(at), table.weight.get(at).filter(|own| **own > 0.0)) else {
            continue;
        };
        let (own, log) = (cells.entry(*cell).or_default(), weight.ln());
        *own = (own.0 + 1.0, own.1 + log, own.2 + log * log);
    }
    let (n, sum, squares) = cells.values().fold((0.0, 0.0, 0.0), |t, c| (t.0 + c.0, t.1 + c.1, t.2 + c.2));
    let total = squares - sum * sum / n;
    let within: f64 = cells.values().map(|(n, sum, squares)| (squares - sum * sum / n).max(0.0)).sum();
    let rounding = 1e-9 * squares.max(as_f64(model.rows.len()));
    if total > rounding { (within / total).clamp(0.0, 1.0) } else { 0.0 }
}
