//! Tilts fitted on parts of the log: every one once.

use super::checkpoint::{Checkpoint, MAX_BYTES};
use super::mlp::{self, Network, Training, Untrained};
use super::{NotRobust, Objective, Robust, folds};
use crate::numeric::{Logistic, Sum, Unfit, WorstCase, fit_logistic, fit_worst_case, linear_scores};
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
    /// phi(x, a) and phi(x, b), n x `width` each: what a model that is not linear needs.
    pub sides: Option<(Vec<f64>, Vec<f64>)>,
}

/// The family of rewards r(x, y) of the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Model {
    /// Linear in them.
    #[default]
    Tilt,
    /// A network with one hidden layer.
    Mlp(Network),
}

impl Model {
    /// Its name in documents and reports.
    pub fn name(self) -> &'static str {
        match self {
            Model::Tilt => "tilt",
            Model::Mlp(_) => "mlp",
        }
    }

    /// How many parameters it has over `width` features.
    pub fn parameters(self, width: usize) -> usize {
        match self {
            Model::Tilt => width,
            Model::Mlp(network) => mlp::parameters(width, network.hidden),
        }
    }

    /// r of a response with these (standardised) features, as many as the parameters are for.
    pub(super) fn value(self, parameters: &[f64], features: &[f64]) -> f64 {
        match self {
            Model::Tilt => parameters.iter().zip(features).map(|(u, x)| u * x).sum(),
            Model::Mlp(network) => mlp::reward(parameters, network.hidden, features),
        }
    }
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
    /// Seed of the folds, and of what else is drawn.
    pub seed: u64,
    /// The family of rewards.
    pub model: Model,
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
    /// More than is kept of a run that is cut off.
    #[error(
        "{parameters} parameters in each of {fits} fits are more than a checkpoint holds, {MAX_BYTES} bytes: use fewer hidden units or \
         features, or fewer caps or ridges"
    )]
    TooLarge {
        /// Parameters of the model.
        parameters: usize,
        /// Fits of the grid.
        fits: usize,
    },
    /// Nothing to fit.
    #[error("there is no cap, no temperature or no ridge to try")]
    EmptyGrid,
    /// A regression failed.
    #[error("the re-fit cannot be computed: {0}")]
    Unfit(#[from] Unfit),
    /// A network failed.
    #[error("the network cannot be trained: {0}")]
    Untrained(#[from] Untrained),
    /// The features of each response by itself are not there.
    #[error("a model that is not linear needs the features of each response, not their differences")]
    Sides,
    /// The doubly robust objective has no target.
    #[error("{0}")]
    Robust(#[from] NotRobust),
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
    /// Its parameters over standardised features; for a linear one r = sum_j u_j phi_j / scale_j.
    pub coefficients: Vec<f64>,
    /// Whether the fit reached its minimum: the gradient is zero to f64's precision, or (worst case) the optimum is certified to
    /// a thousandth of a nat. A network counts if what its training still follows is no more than the rows' own noise, and its
    /// loss is below that of no reward: a minimum that may be one of several, to within what the rows can tell.
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
    /// Place in the order of falling caps; see [`Models::unclipped`].
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
    /// The features of each response over their scale, for a model that is not linear.
    sides: Option<(Vec<f64>, Vec<f64>)>,
    /// The fold of each row.
    pub(super) folds: Vec<u8>,
    /// The caps' places from the highest to the lowest.
    pub(super) falling: Vec<usize>,
    robust: Option<&'a Robust>,
    /// For the doubly robust objective, the standardised differences of the target's pairs, and behind them those of the log.
    stacked: Vec<f64>,
    /// By the folds left out, the outcome model by cell.
    outcomes: BTreeMap<u32, Vec<Vec<f64>>>,
    fitted: BTreeMap<Key, Fitted>,
    checkpoint: Option<&'a mut Checkpoint>,
    step: &'a dyn Fn(),
}

impl<'a> Models<'a> {
    pub(super) fn new(
        (pairs, robust): (&'a Pairs, Option<&'a Robust>),
        settings: &'a Settings,
        objectives: &'a [Objective],
        mut checkpoint: Option<&'a mut Checkpoint>,
        step: &'a dyn Fn(),
    ) -> Result<Models<'a>, Unfitted> {
        if settings.caps.is_empty() || settings.ridges.is_empty() || objectives.is_empty() {
            return Err(Unfitted::EmptyGrid);
        }
        if !(2..=MAX_FOLDS).contains(&settings.folds) || pairs.cluster_count < settings.folds {
            return Err(Unfitted::Folds { folds: settings.folds, clusters: pairs.cluster_count });
        }
        if settings.model != Model::Tilt && pairs.sides.is_none() {
            return Err(Unfitted::Sides);
        }
        let doubly_robust = objectives.contains(&Objective::DoublyRobust);
        let robust = robust.filter(|_| doubly_robust);
        if doubly_robust && robust.is_none() {
            return Err(NotRobust::NotIdentified.into());
        }
        if doubly_robust && settings.folds < 4 {
            return Err(NotRobust::Folds.into());
        }
        let of_cluster = folds::assign(pairs.cluster_count, settings.folds, settings.seed);
        let folds = pairs.clusters.iter().map(|cluster| of_cluster.get(*cluster as usize).copied().unwrap_or(0));
        let scale = root_mean_squares(pairs);
        let over_scale = |values: &[f64]| -> Vec<f64> {
            let rows = values.par_chunks(pairs.width.max(1));
            rows.flat_map_iter(|row| row.iter().zip(&scale).map(|(x, scale)| x / scale)).collect()
        };
        let standardised = over_scale(&pairs.differences);
        let mut stacked = robust.map_or_else(Vec::new, |robust| over_scale(&robust.differences));
        if robust.is_some() {
            stacked.extend_from_slice(&standardised);
        }
        let sides = pairs.sides.as_ref().filter(|_| settings.model != Model::Tilt);
        let sides = sides.map(|(a, b)| (over_scale(a), over_scale(b)));
        let mut falling: Vec<usize> = (0..settings.caps.len()).collect();
        falling.sort_by(|a, b| settings.caps[*b].limit.total_cmp(&settings.caps[*a].limit));
        let fitted = checkpoint
            .as_mut()
            .map(|checkpoint| checkpoint.take(settings.model.parameters(pairs.width)))
            .unwrap_or_default();
        Ok(Models {
            pairs,
            settings,
            objectives,
            scale,
            standardised,
            sides,
            folds: folds.collect(),
            falling,
            robust,
            stacked,
            outcomes: BTreeMap::new(),
            fitted,
            checkpoint,
            step,
        })
    }

    /// The place of the cap that clips nothing: the highest one's where that is infinite, else one of its own, which the policy
    /// does not declare.
    pub(super) fn unclipped(&self) -> usize {
        unclipped(self.settings)
    }

    /// The tilt under this key. A lower cap starts from the next higher one, whichever was asked for first: what is fitted
    /// depends on the key alone.
    pub(super) fn get(&mut self, key: Key) -> Result<&Fitted, Unfitted> {
        // Nothing that is declared starts from what is not, nor the other way round.
        let first = if key.cap < self.falling.len() { 0 } else { key.cap };
        for cap in first..=key.cap {
            let key = Key { cap, ..key };
            if !self.fitted.contains_key(&key) {
                let above = cap.checked_sub(1).filter(|_| cap > first);
                let start = above.and_then(|above| self.fitted.get(&Key { cap: above, ..key }));
                let start = start.map(|model| model.coefficients.clone());
                let fitted = self.fit(key, start.as_deref())?;
                if let Some(checkpoint) = &mut self.checkpoint {
                    checkpoint.keep(key, &fitted).map_err(|error| Unfitted::Checkpoint(error.to_string()))?;
                }
                self.fitted.insert(key, fitted);
                (self.step)();
            }
        }
        self.fitted.get(&key).ok_or(Unfitted::EmptyGrid)
    }

    fn fit(&mut self, key: Key, start: Option<&[f64]>) -> Result<Fitted, Unfitted> {
        let objective = self.objectives[key.objective];
        let limit = self.falling.get(key.cap).map_or(f64::INFINITY, |at| self.settings.caps[*at].limit);
        let weights = self.weights(objective, limit, key.without);
        let ridge = self.settings.ridges[key.ridge];
        let (pairs, width) = (self.pairs, self.pairs.width);
        match (objective, self.settings.model) {
            (Objective::DoublyRobust, _) => self.fit_robust(key.without, &weights, ridge, start),
            (Objective::WorstCase(lambda), _) => {
                let (features, labels) = (&self.standardised, &pairs.labels);
                let problem = WorstCase { features, width, labels, weights: &weights, ridge, lambda };
                let fit = fit_worst_case(&problem, start)?;
                Ok(Fitted { coefficients: fit.coefficients, converged: fit.converged, separated: false })
            }
            (_, Model::Tilt) => {
                let labels: Vec<f64> = pairs.labels.iter().map(|y| objective.label(*y)).collect();
                let problem = Logistic::new(&self.standardised, width, &labels, &weights, ridge);
                let fit = fit_logistic(&problem, start)?;
                Ok(Fitted { coefficients: fit.coefficients, converged: fit.converged, separated: fit.separated })
            }
            (_, Model::Mlp(network)) => self.train(network, key, &weights),
        }
    }

    fn train(&self, network: Network, key: Key, weights: &[f64]) -> Result<Fitted, Unfitted> {
        let (a, b) = self.sides.as_ref().ok_or(Unfitted::Sides)?;
        let objective = self.objectives[key.objective];
        let labels: Vec<f64> = self.pairs.labels.iter().map(|y| objective.label(*y)).collect();
        let ridge = self.settings.ridges[key.ridge];
        // The same start and order everywhere on the grid: points differ by their data, not by their luck.
        let seed = self.settings.seed;
        let training = Training { a, b, width: self.pairs.width, weights, labels: &labels, ridge, seed };
        let mlp::Trained { parameters: coefficients, gradient } = mlp::train(&training, network)?;
        let scores = self.scores_of(&coefficients);
        let losses = scores.iter().zip(&labels).map(|(z, y)| super::loss(*z, *y));
        let (mut loss, mut nothing) = (Sum::default(), Sum::default());
        losses.zip(weights).for_each(|(own, w)| {
            loss.add(w * own);
            nothing.add(w * std::f64::consts::LN_2);
        });
        let mut sides = scores.iter().zip(&labels).zip(weights).filter(|(_, w)| **w > 0.0);
        let separated = sides.all(|((z, y), _)| (y - 0.5) * z > 0.0);
        let converged = gradient <= mlp::AS_NOISE && loss.value() <= nothing.value();
        Ok(Fitted { coefficients, converged, separated })
    }

    /// The minimum of mean over the target of \[softplus(z) - q z\] + mean over the log of w (q - y) z (Lemma 2026, section 6): rows
    /// of the target weigh in the first, rows of the log pull in the second. q of a row comes from the other folds.
    fn fit_robust(
        &mut self,
        without: u32,
        weights: &[f64],
        ridge: f64,
        start: Option<&[f64]>,
    ) -> Result<Fitted, Unfitted> {
        let robust = self.robust.ok_or(NotRobust::NotIdentified)?;
        let used: Vec<bool> = self.folds.iter().map(|fold| (without >> fold) & 1 == 0).collect();
        for fold in (0..self.settings.folds).filter(|fold| (without >> fold) & 1 == 0) {
            let left_out = without | (1 << fold);
            if !self.outcomes.contains_key(&left_out) {
                let excluded: Vec<bool> = self.folds.iter().map(|fold| (left_out >> fold) & 1 == 1).collect();
                let utilities = robust.utilities(&self.pairs.labels, &excluded)?;
                self.outcomes.insert(left_out, utilities);
            }
        }
        let of_row = |row: usize| {
            self.outcomes.get(&(without | (1 << self.folds[row]))).map_or(&[][..], |utilities| utilities.as_slice())
        };
        let folds = (0..self.settings.folds).filter(|fold| (without >> fold) & 1 == 0);
        let all: Vec<&[Vec<f64>]> =
            folds.filter_map(|fold| self.outcomes.get(&(without | (1 << fold))).map(Vec::as_slice)).collect();
        let (mut masses, mut pulls) = robust.target(&used, &of_row, &all);
        let width = self.pairs.width;
        for (row, weight) in weights.iter().enumerate() {
            let own = &self.pairs.differences[row * width..(row + 1) * width];
            let q = if used[row] { robust.expected(of_row(row), row, own) } else { 0.0 };
            masses.push(0.0);
            pulls.push(weight * (self.pairs.labels[row] - q));
        }
        let problem = Logistic {
            features: &self.stacked,
            width,
            weights: &masses,
            pulls,
            offsets: None,
            intercept: false,
            ridge,
        };
        let fit = fit_logistic(&problem, start)?;
        // The target's labels are probabilities, which nothing separates.
        Ok(Fitted { coefficients: fit.coefficients, converged: fit.converged, separated: false })
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
        self.scores_of(&fitted.coefficients)
    }

    fn scores_of(&self, parameters: &[f64]) -> Vec<f64> {
        let (model, width) = (self.settings.model, self.pairs.width.max(1));
        match &self.sides {
            Some((a, b)) => {
                let rows = a.par_chunks_exact(width).zip(b.par_chunks_exact(width));
                rows.map(|(a, b)| model.value(parameters, a) - model.value(parameters, b)).collect()
            }
            None => linear_scores(&self.standardised, width, parameters),
        }
    }

    /// The reward of a response with these features, as logged.
    pub(super) fn reward(&self, fitted: &Fitted, features: &[f64]) -> f64 {
        let standardised: Vec<f64> = features.iter().zip(&self.scale).map(|(x, scale)| x / scale).collect();
        self.settings.model.value(&fitted.coefficients, &standardised)
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

/// See [`Models::unclipped`].
pub(super) fn unclipped(settings: &Settings) -> usize {
    if settings.caps.iter().any(|cap| cap.limit.is_infinite()) { 0 } else { settings.caps.len() }
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
