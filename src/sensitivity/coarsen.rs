//! What the same comparisons say with coarser cells: a covariate dropped, or levels taken together.
//!
//! Owns: coarser cells and their weights, estimates and rankings under them, and what a covariate that is logged would have
//! done had it been hidden. Must never: turn stability into a statement about what is not logged.

use super::pair::disagreements;
use crate::declare::{Coarsening, Levels};
use crate::estimate::{Comparisons, Estimate, Evaluation, Sample, agreement, margins, mean};
use crate::numeric::{Sum, kendall_tau};
use std::collections::BTreeMap;

/// The estimates under one coarsening.
#[derive(Debug, Clone, PartialEq)]
pub struct Coarsened {
    /// What was done: `without user_type`.
    pub name: String,
    /// Coarser cells that the target names.
    pub cells: u64,
    /// Kish's effective sample size of the labelled rows; 0 without weight.
    pub n_eff: f64,
    /// The largest weight of a row over the mean weight; `None` without weight.
    pub largest_weight: Option<f64>,
    /// Each candidate's target preference accuracy, in the order of the evaluation.
    pub candidates: Vec<Option<Estimate>>,
    /// Each comparison's difference, in the order of the evaluation.
    pub differences: Vec<Option<Estimate>>,
    /// Indices of the candidates, best first; of equals the first declared first. Those without an estimate are left out.
    pub ranking: Vec<usize>,
    /// Kendall's tau-b between the candidates' accuracies here and with the declared cells; `None` where it is not defined.
    pub kendall_tau: Option<f64>,
    /// The largest change of a candidate's accuracy.
    pub largest_shift: Option<f64>,
    /// How far the odds of a comparison being logged are off where the finer levels are not looked at: the largest p_T/p_O
    /// of a cell over that of its coarser one, or the other way round. `None` where no cell of the target is logged.
    pub odds_ratio: Option<f64>,
    /// The largest ratio of these odds between two cells that are taken together; `None` where none are.
    pub odds_between: Option<f64>,
    /// By comparison: the largest odds ratio, between two cells that are taken together, of the challenger winning a
    /// disagreement. `None` where no two have rows enough.
    pub answers: Vec<Option<f64>>,
}

/// A coarsening that does not fit the regime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfitting {
    /// No such covariate.
    #[error("{0} is no covariate of the regime's cells")]
    Covariate(String),
    /// No cell has such a level.
    #[error("{covariate} has no level {level}, in the target or the log")]
    Level {
        /// The covariate.
        covariate: String,
        /// The level.
        level: String,
    },
}

/// The estimates under every declared coarsening, or, where none is declared, with each covariate dropped in turn.
/// `min_cell_rows` is how many disagreements a cell needs for its odds to be compared with another's.
///
/// # Errors
/// The first coarsening that does not fit the regime's cells.
pub fn coarsen_all(
    table: &Comparisons,
    evaluation: &Evaluation,
    covariates: &[String],
    declared: &[Coarsening],
    min_cell_rows: u32,
) -> Result<Vec<Coarsened>, Unfitting> {
    let dropped: Vec<Coarsening> = covariates.iter().cloned().map(Coarsening::Drop).collect();
    let all = if declared.is_empty() { &dropped } else { declared };
    let scores: Vec<Vec<f64>> =
        table.policies.iter().map(|policy| agreement(&margins(policy), &table.answers)).collect();
    all.iter()
        .map(|own| {
            let keys = coarser(&table.cells, covariates, own)?;
            Ok(coarsen((table, &scores), evaluation, (&name(own), &keys), min_cell_rows))
        })
        .collect()
}

/// `without user_type`; `domain: koala, oasst as chat`.
fn name(coarsening: &Coarsening) -> String {
    match coarsening {
        Coarsening::Drop(covariate) => format!("without {covariate}"),
        Coarsening::Merge(merged) => {
            let one = |(covariate, new): (&String, &BTreeMap<String, Vec<String>>)| {
                let levels = new.iter().map(|(level, taken)| format!("{} as {level}", taken.join(", ")));
                format!("{covariate}: {}", levels.collect::<Vec<_>>().join("; "))
            };
            merged.iter().map(one).collect::<Vec<_>>().join("; ")
        }
    }
}

/// Each cell's coarser key.
fn coarser(cells: &[Levels], covariates: &[String], coarsening: &Coarsening) -> Result<Vec<Levels>, Unfitting> {
    let place = |covariate: &String| {
        let found = covariates.iter().position(|own| own == covariate);
        found.ok_or_else(|| Unfitting::Covariate(covariate.clone()))
    };
    match coarsening {
        Coarsening::Drop(covariate) => {
            let at = place(covariate)?;
            let without = |levels: &Levels| {
                levels.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, level)| level.clone()).collect()
            };
            Ok(cells.iter().map(without).collect())
        }
        Coarsening::Merge(merged) => {
            let mut keys = cells.to_vec();
            for (covariate, new) in merged {
                let at = place(covariate)?;
                for (level, taken) in new {
                    for old in taken {
                        let mut known = false;
                        for (key, cell) in keys.iter_mut().zip(cells).filter(|(_, cell)| cell.get(at) == Some(old)) {
                            known = cell.get(at).is_some();
                            if let Some(own) = key.get_mut(at) {
                                own.clone_from(level);
                            }
                        }
                        if !known {
                            return Err(Unfitting::Level { covariate: covariate.clone(), level: old.clone() });
                        }
                    }
                }
            }
            Ok(keys)
        }
    }
}

/// `scores`: of every policy, each row's agreement with its answer.
fn coarsen(
    (table, scores): (&Comparisons, &[Vec<f64>]),
    evaluation: &Evaluation,
    (name, keys): (&str, &[Levels]),
    min_cell_rows: u32,
) -> Coarsened {
    let factors = coarse_factors(table, keys);
    let of_row = |cell: &u32| factors.get(*cell as usize).copied().unwrap_or(0.0);
    let row_factors: Vec<f64> = table.cell.iter().map(of_row).collect();
    let weights: Vec<f64> = row_factors.iter().zip(&table.pair_ratio).map(|(factor, ratio)| factor * ratio).collect();
    let rows: Vec<u32> = (0..u32::try_from(weights.len()).unwrap_or(u32::MAX)).collect();
    // No bound at any sample size is asked for here.
    let sample = Sample {
        rows: &rows,
        weights: &weights,
        factors: &row_factors,
        clusters: &table.clusters,
        largest_weight: None,
    };
    let candidates: Vec<Option<Estimate>> = scores.iter().map(|own| mean(&sample, own, (0.0, 1.0))).collect();
    let place = |wanted: &String| table.policies.iter().position(|policy| policy.name == *wanted);
    let pairs: Vec<Option<(usize, usize)>> =
        evaluation.comparisons.iter().map(|own| place(&own.challenger).zip(place(&own.incumbent))).collect();
    let difference = |pair: &Option<(usize, usize)>| {
        let (challenger, incumbent) = (*pair)?;
        let both = scores.get(challenger)?.iter().zip(scores.get(incumbent)?);
        mean(&sample, &both.map(|(own, other)| own - other).collect::<Vec<_>>(), (-1.0, 1.0))
    };
    let (fine, coarse) = (values(evaluation.candidates.iter().map(|own| own.target.accuracy.as_ref())), {
        values(candidates.iter().map(Option::as_ref))
    });
    let mut ranking: Vec<usize> =
        coarse.iter().enumerate().filter(|(_, own)| own.is_some()).map(|(index, _)| index).collect();
    ranking.sort_by(|a, b| coarse[*b].unwrap_or(0.0).total_cmp(&coarse[*a].unwrap_or(0.0)));
    let both: Vec<(f64, f64)> = fine.iter().zip(&coarse).filter_map(|(a, b)| (*a).zip(*b)).collect();
    let (n_eff, largest_weight) = size(&weights);
    let (odds_ratio, odds_between) = odds(table, keys, &factors);
    Coarsened {
        name: name.to_owned(),
        cells: named_cells(table, keys),
        n_eff,
        largest_weight,
        differences: pairs.iter().map(difference).collect(),
        ranking,
        kendall_tau: kendall_tau(&both),
        largest_shift: both.iter().map(|(a, b)| (b - a).abs()).reduce(f64::max),
        odds_ratio,
        odds_between,
        answers: pairs.iter().map(|pair| pair.and_then(|pair| answers(table, keys, pair, min_cell_rows))).collect(),
        candidates,
    }
}

fn values<'a>(estimates: impl Iterator<Item = Option<&'a Estimate>>) -> Vec<Option<f64>> {
    estimates.map(|own| own.map(|own| own.estimate)).collect()
}

/// p_T/p_O of each cell's coarser cell, from the sums of both masses; 0 where it is not defined.
fn coarse_factors(table: &Comparisons, keys: &[Levels]) -> Vec<f64> {
    let mut masses: BTreeMap<&Levels, (f64, f64)> = BTreeMap::new();
    for (key, (target, observed)) in keys.iter().zip(table.p_target.iter().zip(&table.p_observed)) {
        let own = masses.entry(key).or_default();
        *own = (own.0 + target, own.1 + observed);
    }
    let factor = |key: &Levels| match masses.get(key) {
        Some((target, observed)) if *observed > 0.0 => target / observed,
        _ => 0.0,
    };
    keys.iter().map(factor).collect()
}

fn named_cells(table: &Comparisons, keys: &[Levels]) -> u64 {
    let named = keys.iter().zip(&table.p_target).filter(|(_, mass)| **mass > 0.0).map(|(key, _)| key);
    named.collect::<std::collections::BTreeSet<_>>().len() as u64
}

/// Kish's effective sample size, and the largest weight over the mean.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn size(weights: &[f64]) -> (f64, Option<f64>) {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let sum = weights.iter().map(|weight| weight / largest).collect::<Sum>().value();
    let squares = weights.iter().map(|weight| (weight / largest).powi(2)).collect::<Sum>().value();
    if largest > 0.0 && squares.is_finite() {
        (sum * sum / squares, Some(weights.len() as f64 / sum))
    } else {
        (0.0, None)
    }
}

/// The odds of a comparison of a cell being in the log instead of the target are p_O/p_T up to a constant: how far those of a
/// cell are from its coarser cell's, and those of two cells that are taken together from each other's.
fn odds(table: &Comparisons, keys: &[Levels], coarse: &[f64]) -> (Option<f64>, Option<f64>) {
    let logged = table.factors.iter().zip(coarse.iter().zip(keys)).filter(|(fine, _)| **fine > 0.0);
    let mut spread: BTreeMap<&Levels, (f64, f64)> = BTreeMap::new();
    let mut dropped: Option<f64> = None;
    for (fine, (coarse, key)) in logged {
        let ratio = (fine / coarse).max(coarse / fine);
        dropped = Some(dropped.map_or(ratio, |own| own.max(ratio)));
        let own = spread.entry(key).or_insert((*fine, *fine));
        *own = (own.0.min(*fine), own.1.max(*fine));
    }
    let between = spread.values().map(|(least, most)| most / least).reduce(f64::max);
    (dropped, between.filter(|ratio| *ratio > 1.0))
}

/// The largest odds ratio of winning a disagreement, between two cells of one coarser cell. Odds are those of the share won,
/// weighted by the pair ratio, with one half added to both effective counts (Haldane 1956), so that none is infinite.
fn answers(
    table: &Comparisons,
    keys: &[Levels],
    (challenger, incumbent): (usize, usize),
    min_cell_rows: u32,
) -> Option<f64> {
    let both = margins(table.policies.get(challenger)?).into_iter().zip(margins(table.policies.get(incumbent)?));
    let found = disagreements(table, &both.collect::<Vec<_>>());
    let mut cells: BTreeMap<usize, (u32, f64, f64, f64)> = BTreeMap::new();
    for (row, _, won) in found.rows {
        let (cell, ratio) = (*table.cell.get(row)? as usize, *table.pair_ratio.get(row)?);
        let own = cells.entry(cell).or_default();
        *own = (own.0 + 1, own.1 + ratio, own.2 + ratio * ratio, own.3 + if won { ratio } else { 0.0 });
    }
    let mut spread: BTreeMap<&Levels, (f64, f64, u32)> = BTreeMap::new();
    for (cell, (rows, sum, squares, won)) in cells {
        if rows < min_cell_rows {
            continue;
        }
        let n_eff = sum * sum / squares;
        let odds = (won / sum * n_eff + 0.5) / ((1.0 - won / sum).max(0.0) * n_eff + 0.5);
        let own = spread.entry(keys.get(cell)?).or_insert((odds, odds, 0));
        *own = (own.0.min(odds), own.1.max(odds), own.2 + 1);
    }
    spread.values().filter(|(.., cells)| *cells > 1).map(|(least, most, _)| most / least).reduce(f64::max)
}
