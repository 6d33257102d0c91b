//! Linear tilts fitted on parts of the log: every one once.

use super::checkpoint::Checkpoint;
use super::{Objective, folds};
use crate::numeric::{Logistic, Sum, Unfit, fit_logistic, linear_scores};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The most folds: each pair of them is left out together once.
pub(super) const MAX_FOLDS: usize = 16;

/// Comparisons to fit on, n rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// phi(x, a) - phi(x, b), n x `width`, row by row.
    pub differences: Vec<f64>,
    /// Features of a response.
    pub width: usize,
    /// The probability that a is preferred.
    pub labels: Vec<f64>,
    /// The weights w >= 0, not normalised.
    pub weights: Vec<f64>,
    /// The cluster of each row, below `cluster_count`; rows of one cluster share a fold.
    pub clusters: Vec<u32>,
    /// How many clusters there are.
    pub cluster_count: usize,
}

/// A cap on the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Cap {
    /// As written in the policy.
    pub text: String,
    /// The largest weight, in the units of the weights; infinite where nothing is clipped.
    pub limit: f64,
}

/// How tilts are fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Caps on the weights.
    pub caps: Vec<Cap>,
    /// Ridges to choose from, on standardised features and weights of mean 1.
    pub ridges: Vec<f64>,
    /// Number of folds.
    pub folds: usize,
    /// Seed of the folds.
    pub seed: u64,
}

/// Why there is no frontier.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unfitted {
    /// Too few clusters, or too many folds.
    #[error("{clusters} clusters cannot be cut into {folds} folds (2 to {MAX_FOLDS}, each with a cluster)")]
    Folds {
        /// Declared folds.
        folds: usize,
        /// Clusters there are.
        clusters: usize,
    },
    /// Nothing to fit.
    #[error("there is no cap, no temperature or no ridge to try")]
    EmptyGrid,
    /// A regression failed.
    #[error("the re-fit cannot be computed: {0}")]
    Unfit(#[from] Unfit),
    /// The reference's probabilities are no distribution.
    #[error("the responses of a prompt carry no reference probability")]
    Reference,
    /// The checkpoint cannot be written.
    #[error("the checkpoint cannot be written: {0}")]
    Checkpoint(String),
}

/// One fitted tilt.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Coefficients of the standardised features: the implicit reward is r = sum_j u_j phi_j / scale_j.
    pub coefficients: Vec<f64>,
    /// Whether the gradient is zero to f64's precision.
    pub converged: bool,
    /// Whether every row that was fitted on lies on its label's side.
    pub separated: bool,
}

/// Which tilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Place in the list of objectives.
    pub(super) objective: usize,
    /// Place in the list of ridges.
    pub(super) ridge: usize,
    /// Folds that were left out, one bit each.
    pub(super) without: u32,
    /// Place in the order of falling caps.
    pub(super) cap: usize,
}

/// The fits of one problem, each computed once: from the checkpoint where it is there.
pub(super) struct Models<'a> {
    pub(super) pairs: &'a Pairs,
    pub(super) settings: &'a Settings,
    pub(super) objectives: &'a [Objective],
    /// Root mean square of each feature's difference, by which it is divided; 1 where that is 0.
    pub(super) scale: Vec<f64>,
    /// The differences over their scale.
    pub(super) standardised: Vec<f64>,
    /// The fold of each row.
    pub(super) folds: Vec<u8>,
    /// The caps' places from the highest to the lowest.
    pub(super) falling: Vec<usize>,
    fitted: BTreeMap<Key, Fitted>,
    checkpoint: Option<&'a mut Checkpoint>,
    step: &'a dyn Fn(),
}

impl<'a> Models<'a> {
    pub(super) fn new(
        pairs: &'a Pairs,
        settings: &'a Settings,
        objectives: &'a [Objective],
        checkpoint: Option<&'a mut Checkpoint>,
        step: &'a dyn Fn(),
    ) -> Result<Models<'a>, Unfitted> {
        if settings.caps.is_empty() || settings.ridges.is_empty() || objectives.is_empty() {
            return Err(Unfitted::EmptyGrid);
        }
        if !(2..=MAX_FOLDS).contains(&settings.folds) || pairs.cluster_count < settings.folds {
            return Err(Unfitted::Folds { folds: settings.folds, clusters: pairs.cluster_count });
        }
        let of_cluster = folds::assign(pairs.cluster_count, settings.folds, settings.seed);
        let folds = pairs.clusters.iter().map(|cluster| of_cluster.get(*cluster as usize).copied().unwrap_or(0));
        let scale = root_mean_squares(pairs);
        let standardised = pairs
            .differences
            .par_chunks(pairs.width.max(1))
            .flat_map_iter(|row| row.iter().zip(&scale).map(|(x, scale)| x / scale))
            .collect();
        let mut falling: Vec<usize> = (0..settings.caps.len()).collect();
        falling.sort_by(|a, b| settings.caps[*b].limit.total_cmp(&settings.caps[*a].limit));
        let fitted = checkpoint.as_ref().map(|checkpoint| checkpoint.fitted(pairs.width)).unwrap_or_default();
        Ok(Models {
            pairs,
            settings,
            objectives,
            scale,
            standardised,
            folds: folds.collect(),
            falling,
            fitted,
            checkpoint,
            step,
        })
    }

    /// The tilt under this key. A lower cap starts from the next higher one, whichever was asked for first: what is fitted
    /// depends on the key alone.
    pub(super) fn get(&mut self, key: Key) -> Result<&Fitted, Unfitted> {
        for cap in 0..=key.cap {
            let key = Key { cap, ..key };
            if !self.fitted.contains_key(&key) {
                let start = cap.checked_sub(1).and_then(|above| self.fitted.get(&Key { cap: above, ..key }));
                let fitted = self.fit(key, start.map(|model| model.coefficients.as_slice()))?;
                if let Some(checkpoint) = &mut self.checkpoint {
                    checkpoint.keep(key, &fitted).map_err(|error| Unfitted::Checkpoint(error.to_string()))?;
                }
                self.fitted.insert(key, fitted);
                (self.step)();
            }
        }
        self.fitted.get(&key).ok_or(Unfitted::EmptyGrid)
    }

    fn fit(&self, key: Key, start: Option<&[f64]>) -> Result<Fitted, Unfitted> {
        let objective = self.objectives[key.objective];
        let limit = self.settings.caps[self.falling[key.cap]].limit;
        let weights = self.weights(objective, limit, key.without);
        let labels: Vec<f64> = self.pairs.labels.iter().map(|y| objective.label(*y)).collect();
        let ridge = self.settings.ridges[key.ridge];
        let problem = Logistic::new(&self.standardised, self.pairs.width, &labels, &weights, ridge);
        let fit = fit_logistic(&problem, start)?;
        Ok(Fitted { coefficients: fit.coefficients, converged: fit.converged, separated: fit.separated })
    }

    /// The fit's weights: 0 in the folds left out, else clipped and divided by their mean over the rows fitted on.
    #[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
    fn weights(&self, objective: Objective, limit: f64, without: u32) -> Vec<f64> {
        let of = |(weight, fold): (&f64, &u8)| match (without >> fold) & 1 {
            0 if objective.is_weighted() => weight.min(limit),
            0 => 1.0,
            _ => 0.0,
        };
        let mut weights: Vec<f64> = self.pairs.weights.iter().zip(&self.folds).map(of).collect();
        let rows = self.folds.iter().filter(|fold| (without >> **fold) & 1 == 0).count();
        let mean = weights.iter().copied().collect::<Sum>().value() / rows.max(1) as f64;
        if mean > 0.0 && mean.is_finite() {
            weights.iter_mut().for_each(|weight| *weight /= mean);
        }
        weights
    }

    /// The margin z of every row under a tilt.
    pub(super) fn scores(&self, fitted: &Fitted) -> Vec<f64> {
        linear_scores(&self.standardised, self.pairs.width, &fitted.coefficients)
    }

    /// The margin of every row under the tilt that was fitted without its fold (and without the folds in `also`).
    pub(super) fn out_of_fold(&mut self, key: Key, also: u32) -> Result<Vec<f64>, Unfitted> {
        let mut scores = vec![0.0; self.folds.len()];
        for fold in 0..self.settings.folds {
            let without = (1 << fold) | also;
            let fitted = self.get(Key { without, ..key })?.clone();
            let of_fold = self.scores(&fitted);
            for (row, score) in scores.iter_mut().enumerate().filter(|(row, _)| usize::from(self.folds[*row]) == fold) {
                *score = of_fold[row];
            }
        }
        Ok(scores)
    }
}

/// The root mean square of each difference over the rows; 1 where it is 0. It has no centre to take off: a constant cancels
/// in a difference.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn root_mean_squares(pairs: &Pairs) -> Vec<f64> {
    let mut sums = vec![Sum::default(); pairs.width];
    for row in pairs.differences.chunks_exact(pairs.width.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| sum.add(x * x));
    }
    let root = |sum: Sum| (sum.value() / pairs.labels.len().max(1) as f64).sqrt();
    sums.into_iter().map(root).map(|scale| if scale > 0.0 && scale.is_finite() { scale } else { 1.0 }).collect()
}
