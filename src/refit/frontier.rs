//! The frontier: every cap, temperature and objective, cross-fitted, and the point that the declared rule takes.

use super::checkpoint::{self, Checkpoint, digest};
use super::models::{Cap, Fitted, Key, Model, Models, Pairs, Settings, Unfitted, unclipped};
use super::objective::{Objective, loss};
use super::robust::Robust;
use super::welfare::{Menu, OnPrompts, on_prompts};
use super::worst_case::WorstCaseCurve;
use crate::numeric::{Sum, clustered_ratio};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The grid, and how a point of it is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Caps, ridges, folds and seed.
    pub settings: Settings,
    /// Temperatures: deployment alone, no fit depends on them.
    pub betas: Vec<f64>,
    /// The candidate's objective. The naive one is always fitted beside it.
    pub objective: Objective,
    /// For the worst-case objective, the further values of Lambda that its curve has; each at least 1.
    pub lambdas: Vec<f64>,
    /// The rule.
    pub select: Select,
}

/// The rule that takes a point: the cap with the highest cross-fitted target accuracy (of equals the highest cap), then the
/// smallest temperature whose divergence stays within the limit; where divergence is not identified, the largest temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Select {
    /// The largest KL from the reference, in nats.
    pub max_kl: Option<f64>,
}

/// A self-normalised target mean with its clustered standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub estimate: f64,
    /// Its linearised standard error by cluster; `None` with fewer than two clusters.
    pub standard_error: Option<f64>,
    /// The 95 % interval, by Student's t on one degree of freedom less than the effective number of clusters.
    pub interval: Option<[f64; 2]>,
}

/// One point of the frontier.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The objective that was minimised.
    pub objective: Objective,
    /// The cap on its weights, as written; `none` for the naive objective.
    pub clip: String,
    /// The temperature.
    pub beta: f64,
    /// KL from the reference under the target; `None` where it is not identified.
    pub kl: Option<f64>,
    /// Its standard error by prompt, with the tilt taken as given.
    pub kl_error: Option<f64>,
    /// E_pi\[r\] - E_ref\[r\] under the target, with r fitted on the fold that the tilt was not; `None` likewise.
    pub reward: Option<f64>,
    /// Its standard error by prompt, with both fits taken as given.
    pub reward_error: Option<f64>,
    /// reward - beta KL. Not for ranking temperatures: it changes its meaning with beta.
    pub welfare: Option<f64>,
    /// Target preference accuracy, out of fold.
    pub preference_accuracy: Estimate,
    /// Target log-loss, out of fold.
    pub log_loss: Estimate,
    /// Kish's effective sample size of the clipped weights.
    pub n_eff: f64,
    /// Whether every fold's fit reached its minimum; see [`Fitted`].
    pub converged: bool,
    /// Whether a fold's fit separates its rows.
    pub separated: bool,
    /// Whether the rule takes it.
    pub selected: bool,
}

/// A difference of two policies on the same rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// The cap of the first, as written.
    pub clip: String,
    /// Its target accuracy less the other's.
    pub difference: Estimate,
}

/// Reward at one divergence, so that caps can be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched {
    /// The objective.
    pub objective: Objective,
    /// The cap, as written.
    pub clip: String,
    /// The divergence.
    pub kl: f64,
    /// The temperature that gives it.
    pub beta: f64,
    /// The reward there.
    pub reward: f64,
}

/// The point that the rule takes, fitted on all rows, and measured on rows that had no part in taking or fitting it.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// The cap, as written.
    pub clip: String,
    /// The ridge.
    pub ridge: f64,
    /// The temperature.
    pub beta: f64,
    /// The family of its reward.
    pub model: Model,
    /// For a linear one, the coefficients of the features as logged; else the parameters over standardised features.
    pub coefficients: Vec<f64>,
    /// What each feature was divided by.
    pub scale: Vec<f64>,
    /// Whether the fit on all rows separates them.
    pub separated: bool,
    /// Each row's margin under a tilt whose ridge, cap and coefficients were found without the row's fold. Rule and fits are
    /// run anew in each fold: the cap may differ between folds.
    pub margins: Vec<f64>,
    /// Target accuracy of those margins.
    pub preference_accuracy: Estimate,
    /// Target log-loss of those margins.
    pub log_loss: Estimate,
    /// Target accuracy of the fit on all rows, on the rows it was fitted on.
    pub in_sample_accuracy: f64,
    /// Target log-loss of the fit on all rows, on the rows it was fitted on.
    pub in_sample_loss: f64,
    /// The accuracy of `margins` less that of the naive re-fit, made in the same folds.
    pub over_naive: Estimate,
    /// The target share of comparisons on which the two prefer different responses.
    pub disagreement: f64,
}

/// Everything that the exploration leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontier {
    /// The points: naive first, then the candidate's objective by cap as declared; by temperature as declared.
    pub points: Vec<Point>,
    /// Reward at matched divergence; empty where it is not identified.
    pub matched: Vec<Matched>,
    /// The point taken.
    pub selected: Selected,
    /// By cap as declared, the re-fit's accuracy less the incumbent's; empty without one.
    pub over_incumbent: Vec<Paired>,
    /// Why divergence and reward are not identified, where they are not.
    pub unidentified: Option<String>,
    /// For the worst-case objective, what becomes of it as Lambda grows.
    pub worst_case: Option<WorstCaseCurve>,
}

/// The problem.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The comparisons.
    pub pairs: &'a Pairs,
    /// The responses of the prompts, with the reference's probabilities, if they are known.
    pub menu: Option<&'a Menu>,
    /// The incumbent's margins, any positive multiple of them, if there is one.
    pub incumbent: Option<&'a [f64]>,
    /// The target's own pairs, for the doubly robust objective.
    pub robust: Option<&'a Robust>,
}

/// The digest of everything that the fits depend on: the checkpoint's name for the problem.
pub fn problem_digest(problem: &Problem<'_>, grid: &Grid) -> String {
    let (pairs, robust) = (problem.pairs, problem.robust);
    let words =
        format!("{:?} {:?} {:?} {} {}", grid.settings, grid.objective, grid.lambdas, pairs.width, pairs.cluster_count);
    let clusters: Vec<f64> = pairs.clusters.iter().map(|cluster| f64::from(*cluster)).collect();
    let (a, b) = pairs.sides.as_ref().map_or((&[][..], &[][..]), |(a, b)| (a, b));
    let robust = robust.map_or_else(Vec::new, Robust::numbers);
    let own = [&pairs.differences, &pairs.labels, &pairs.weights, &clusters[..], a, b];
    let all: Vec<&[f64]> = own.into_iter().chain(robust.iter().map(|numbers| &**numbers)).collect();
    digest(&all, &words)
}

/// How many fits [`explore`] makes, at most.
pub fn fits(grid: &Grid) -> usize {
    let (folds, ridges, caps) = (grid.settings.folds, grid.settings.ridges.len(), grid.settings.caps.len());
    let held_out = folds + folds * folds.saturating_sub(1) / 2;
    // The weighted re-fit and each Lambda beyond the declared one, which has a fit of its own where every declared cap clips.
    let curves = grid.lambdas.len() + 1 + usize::from(unclipped(&grid.settings) > 0);
    let curve = if matches!(grid.objective, Objective::WorstCase(_)) { curves * (folds + 1) } else { 0 };
    ridges * held_out + caps * held_out.saturating_mul(ridges.min(folds)) + 2 * folds + caps + curve
}

/// Fits and measures the whole grid. Same result for any number of threads, with and without a checkpoint.
///
/// `step` is called after each fit.
///
/// # Errors
/// See [`Unfitted`].
pub fn explore(
    problem: &Problem<'_>,
    grid: &Grid,
    checkpoint: Option<&mut Checkpoint>,
    step: &dyn Fn(),
) -> Result<Frontier, Unfitted> {
    if grid.betas.is_empty() {
        return Err(Unfitted::EmptyGrid);
    }
    let mut objectives = vec![Objective::Naive, grid.objective];
    // What rewards are measured by, and worst cases are held against: the weighted objective, whatever the candidate's.
    objectives.push(Objective::Weighted);
    objectives.extend(grid.lambdas.iter().map(|lambda| Objective::WorstCase(*lambda)));
    let models = Models::new((problem.pairs, problem.robust), &grid.settings, &objectives, checkpoint, step)?;
    // With a checkpoint or without: what can be fitted must not hang on where fits are kept.
    let (parameters, fits) = (grid.settings.model.parameters(problem.pairs.width), fits(grid));
    if !checkpoint::holds(parameters, fits) {
        return Err(Unfitted::TooLarge { parameters, fits });
    }
    let mut search = Search { problem: *problem, grid, models };
    let ridge = search.best_ridge(None)?;
    let curves = search.curves(ridge)?;
    let unidentified = search.unidentified();
    let mut points = Vec::new();
    for curve in &curves {
        search.points(curve, ridge, unidentified.is_none(), &mut points)?;
    }
    let candidate = &curves[search.first()..];
    let taken = search.best_cap(candidate, None);
    let beta = search.temperature(&points, &candidate[taken].clip);
    for point in &mut points {
        let taken = point.objective == grid.objective && point.clip == candidate[taken].clip;
        point.selected = taken && point.beta.to_bits() == beta.to_bits();
    }
    let selected = search.selected(ridge, &curves, taken, beta)?;
    let matched = if unidentified.is_none() { search.matched(&curves, ridge)? } else { Vec::new() };
    let over_incumbent = problem.incumbent.map_or_else(Vec::new, |incumbent| {
        let other = search.hits(incumbent);
        let paired = |curve: &Curve| {
            let own = search.hits(&curve.margins);
            let difference: Vec<f64> = own.iter().zip(&other).map(|(own, other)| own - other).collect();
            Paired { clip: curve.clip.clone(), difference: search.mean(&difference, None) }
        };
        candidate.iter().map(paired).collect()
    });
    let worst_case = match grid.objective {
        Objective::WorstCase(lambda) => Some(super::worst_case::curve(&mut search.models, lambda, grid, ridge)?),
        _ => None,
    };
    Ok(Frontier { points, matched, selected, over_incumbent, unidentified, worst_case })
}

/// The place of the weighted objective behind the naive one and the candidate's own.
pub(super) const WEIGHTED: usize = 2;
/// Where the further values of Lambda begin.
pub(super) const LAMBDAS: usize = 3;

struct Search<'a> {
    problem: Problem<'a>,
    grid: &'a Grid,
    models: Models<'a>,
}

/// One objective at one cap.
struct Curve {
    objective: usize,
    /// Place in the order of falling caps.
    cap: usize,
    clip: String,
    limit: f64,
    /// Out of fold.
    margins: Vec<f64>,
}

/// What a curve gives the responses of the menu.
struct Rewards {
    /// The reward that the tilt is made of.
    policy: Vec<f64>,
    /// The reward that it is measured by.
    value: Vec<f64>,
    /// The weight of each prompt.
    weights: Vec<f64>,
}

impl Rewards {
    fn at(&self, menu: &Menu, beta: f64) -> Result<OnPrompts, Unfitted> {
        on_prompts(menu, &self.policy, &self.value, &self.weights, beta)
    }
}

impl Search<'_> {
    /// Where the candidate's curves begin: behind the naive one, which they are themselves for a naive candidate.
    fn first(&self) -> usize {
        usize::from(self.grid.objective.is_weighted())
    }

    /// The place of the candidate's objective.
    fn own(&self) -> usize {
        usize::from(self.grid.objective.is_weighted())
    }

    fn key(&self, objective: usize, ridge: usize, cap: usize) -> Key {
        Key { objective, ridge, without: 0, cap }
    }

    /// The out-of-fold margins of every objective and cap. The naive objective has no weights to clip.
    fn curves(&mut self, ridge: usize) -> Result<Vec<Curve>, Unfitted> {
        let mut curves = vec![Curve {
            objective: 0,
            cap: 0,
            clip: "none".to_owned(),
            limit: f64::INFINITY,
            margins: self.models.out_of_fold(self.key(0, ridge, 0), 0)?,
        }];
        if !self.grid.objective.is_weighted() {
            return Ok(curves);
        }
        for (place, cap) in self.grid.settings.caps.iter().enumerate() {
            let falling = self.models.falling.iter().position(|at| *at == place).unwrap_or(0);
            let margins = self.models.out_of_fold(self.key(1, ridge, falling), 0)?;
            let Cap { text, limit } = cap.clone();
            curves.push(Curve { objective: 1, cap: falling, clip: text, limit, margins });
        }
        Ok(curves)
    }

    /// The ridge with the lowest cross-fitted target loss at the highest cap; of equals the first. `but` leaves a fold out of
    /// the fits and of the measure.
    fn best_ridge(&mut self, but: Option<usize>) -> Result<usize, Unfitted> {
        let also = but.map_or(0, |fold| 1 << fold);
        let mut best = (0, f64::INFINITY);
        for ridge in 0..self.grid.settings.ridges.len() {
            let margins = self.models.out_of_fold(self.key(self.own(), ridge, 0), also)?;
            let loss = self.mean(&self.losses(&margins), but).estimate;
            if loss < best.1 {
                best = (ridge, loss);
            }
        }
        Ok(best.0)
    }

    /// The place in `curves` of the highest target accuracy; of equals the highest cap.
    fn best_cap(&self, curves: &[Curve], but: Option<usize>) -> usize {
        let mut order: Vec<usize> = (0..curves.len()).collect();
        order.sort_by(|a, b| curves[*b].limit.total_cmp(&curves[*a].limit));
        let mut best = (0, f64::NEG_INFINITY);
        for at in order {
            let accuracy = self.mean(&self.hits(&curves[at].margins), but).estimate;
            if accuracy > best.1 {
                best = (at, accuracy);
            }
        }
        best.0
    }

    /// The smallest temperature within the limit on divergence, among the points at this cap; the largest one where
    /// divergence is not identified, or everywhere beyond the limit.
    fn temperature(&self, points: &[Point], clip: &str) -> f64 {
        let largest = self.grid.betas.iter().copied().fold(0.0, f64::max);
        let own = points.iter().filter(|point| point.objective == self.grid.objective && point.clip == clip);
        let within = own.filter(|point| match (point.kl, self.grid.select.max_kl) {
            (Some(kl), Some(limit)) => kl <= limit,
            (Some(_), None) => true,
            (None, _) => false,
        });
        within.map(|point| point.beta).min_by(f64::total_cmp).unwrap_or(largest)
    }

    fn points(&mut self, curve: &Curve, ridge: usize, identified: bool, into: &mut Vec<Point>) -> Result<(), Unfitted> {
        let preference_accuracy = self.mean(&self.hits(&curve.margins), None);
        let log_loss = self.mean(&self.losses(&curve.margins), None);
        let (mut converged, mut separated) = (true, false);
        for fold in 0..self.grid.settings.folds {
            let key = Key { without: 1 << fold, ..self.key(curve.objective, ridge, curve.cap) };
            let fitted = self.models.get(key)?;
            converged &= fitted.converged;
            separated |= fitted.separated;
        }
        let objective = self.models.objectives[curve.objective];
        let rewards = if identified { Some(self.rewards(curve, ridge)?) } else { None };
        for beta in &self.grid.betas {
            let on = match (&rewards, self.problem.menu) {
                (Some(rewards), Some(menu)) => Some(rewards.at(menu, *beta)?),
                _ => None,
            };
            into.push(Point {
                objective,
                clip: curve.clip.clone(),
                beta: *beta,
                kl: on.map(|on| on.kl),
                kl_error: on.and_then(|on| on.kl_error),
                reward: on.map(|on| on.reward),
                reward_error: on.and_then(|on| on.reward_error),
                welfare: on.map(|on| on.reward - beta * on.kl),
                preference_accuracy,
                log_loss,
                n_eff: n_eff(&self.problem.pairs.weights, objective, curve.limit),
                converged,
                separated,
                selected: false,
            });
        }
        Ok(())
    }

    /// The reward of each response under the tilt that was fitted without its prompt's fold, the same under a weighted,
    /// unclipped fit on that fold alone, and each prompt's weight.
    fn rewards(&mut self, curve: &Curve, ridge: usize) -> Result<Rewards, Unfitted> {
        let Some(menu) = self.problem.menu else { return Err(Unfitted::Reference) };
        let (mut fold_of, mut weights) = (vec![0; menu.prompts.len()], vec![0.0; menu.prompts.len()]);
        for (row, prompt) in menu.prompt_of_row.iter().enumerate() {
            if let (Some(fold), Some(weight)) = (fold_of.get_mut(*prompt as usize), weights.get_mut(*prompt as usize)) {
                *fold = usize::from(self.models.folds[row]);
                *weight += self.problem.pairs.weights[row];
            }
        }
        let (mut policy, mut value) = (vec![0.0; menu.ln_reference.len()], vec![0.0; menu.ln_reference.len()]);
        let all = (1_u32 << self.grid.settings.folds) - 1;
        for fold in 0..self.grid.settings.folds {
            let without = 1 << fold;
            let tilt = self.models.get(Key { without, ..self.key(curve.objective, ridge, curve.cap) })?.clone();
            // Every reward is a target quantity, whatever the objective of the candidate that it stands beside.
            let measured_by = match self.grid.objective {
                Objective::Weighted => self.own(),
                _ => WEIGHTED,
            };
            let other = Key { without: all & !without, ..self.key(measured_by, ridge, self.models.unclipped()) };
            let measure = self.models.get(other)?.clone();
            for (prompt, _) in menu.prompts.iter().zip(&fold_of).filter(|(_, own)| **own == fold) {
                for response in prompt.clone() {
                    policy[response] = self.reward(menu, response, &tilt);
                    value[response] = self.reward(menu, response, &measure);
                }
            }
        }
        Ok(Rewards { policy, value, weights })
    }

    fn reward(&self, menu: &Menu, response: usize, tilt: &Fitted) -> f64 {
        let width = self.problem.pairs.width;
        self.models.reward(tilt, &menu.features[response * width..(response + 1) * width])
    }

    /// Reward at a quarter, a half and the whole of the declared divergence, by bisection on the temperature.
    fn matched(&mut self, curves: &[Curve], ridge: usize) -> Result<Vec<Matched>, Unfitted> {
        let (Some(menu), Some(limit)) = (self.problem.menu, self.grid.select.max_kl) else { return Ok(Vec::new()) };
        let mut matched = Vec::new();
        for curve in curves {
            let rewards = self.rewards(curve, ridge)?;
            for kl in [0.25 * limit, 0.5 * limit, limit] {
                let at = |ln_beta: f64| rewards.at(menu, ln_beta.exp());
                // Divergence falls as the temperature rises.
                let (mut low, mut high) = (-10.0, 10.0);
                if at(low)?.kl < kl {
                    continue;
                }
                for _ in 0..50 {
                    let middle = 0.5 * (low + high);
                    if at(middle)?.kl > kl { low = middle } else { high = middle }
                }
                let objective = self.models.objectives[curve.objective];
                let (clip, reward) = (curve.clip.clone(), at(high)?.reward);
                matched.push(Matched { objective, clip, kl, beta: high.exp(), reward });
            }
        }
        Ok(matched)
    }

    fn unidentified(&self) -> Option<String> {
        match self.problem.menu {
            None => Some(
                "the log alone shows two responses of a prompt, on which KL saturates at log 2 = 0.69 nats: divergence, reward \
                 and welfare are not identified beyond a fraction of that; a responses file with the reference's \
                 log-probabilities identifies them"
                    .to_owned(),
            ),
            Some(menu) if !menu.is_whole() => Some(
                "the reference's probabilities in the responses file do not sum to one over each prompt's responses: how the \
                 listed ones were drawn is not declared, and divergence and reward are not identified without"
                    .to_owned(),
            ),
            Some(_) => None,
        }
    }

    /// The rule and the fits, run anew without each fold, and measured on it.
    fn selected(&mut self, ridge: usize, curves: &[Curve], taken: usize, beta: f64) -> Result<Selected, Unfitted> {
        let mut margins = vec![0.0; self.models.folds.len()];
        let mut naive = margins.clone();
        for fold in 0..self.grid.settings.folds {
            let also = 1 << fold;
            let own_ridge = self.best_ridge(Some(fold))?;
            let mut inner = Vec::new();
            for curve in &curves[self.first()..] {
                let margins = self.models.out_of_fold(self.key(curve.objective, own_ridge, curve.cap), also)?;
                inner.push(Curve { margins, clip: curve.clip.clone(), ..*curve });
            }
            let best = &inner[self.best_cap(&inner, Some(fold))];
            // The rows of this fold were scored by the tilt fitted without it alone.
            let plain = Key { without: also, ..self.key(0, own_ridge, 0) };
            let plain = self.models.get(plain)?.clone();
            let plain = self.models.scores(&plain);
            for row in (0..margins.len()).filter(|row| usize::from(self.models.folds[*row]) == fold) {
                margins[row] = best.margins[row];
                naive[row] = plain[row];
            }
        }
        let curve = &curves[self.first() + taken];
        let fitted = self.models.get(self.key(curve.objective, ridge, curve.cap))?.clone();
        let whole = self.models.scores(&fitted);
        let (own, other) = (self.hits(&margins), self.hits(&naive));
        let difference: Vec<f64> = own.iter().zip(&other).map(|(own, other)| own - other).collect();
        let differ = |(own, other): (&f64, &f64)| f64::from(u8::from(own * other < 0.0));
        let disagree: Vec<f64> = margins.iter().zip(&naive).map(differ).collect();
        let scale = self.models.scale.clone();
        Ok(Selected {
            clip: curve.clip.clone(),
            ridge: self.grid.settings.ridges[ridge],
            beta,
            model: self.grid.settings.model,
            coefficients: match self.grid.settings.model {
                Model::Tilt => fitted.coefficients.iter().zip(&scale).map(|(u, scale)| u / scale).collect(),
                Model::Mlp(_) => fitted.coefficients,
            },
            scale,
            separated: fitted.separated,
            preference_accuracy: self.mean(&own, None),
            log_loss: self.mean(&self.losses(&margins), None),
            in_sample_accuracy: self.mean(&self.hits(&whole), None).estimate,
            in_sample_loss: self.mean(&self.losses(&whole), None).estimate,
            over_naive: self.mean(&difference, None),
            disagreement: self.mean(&disagree, None).estimate,
            margins,
        })
    }

    fn hits(&self, margins: &[f64]) -> Vec<f64> {
        hits(self.problem.pairs, margins)
    }

    fn losses(&self, margins: &[f64]) -> Vec<f64> {
        losses(self.problem.pairs, margins)
    }

    /// The target mean, always with the unclipped weights: a cap is for fitting.
    fn mean(&self, values: &[f64], but: Option<usize>) -> Estimate {
        target_mean(self.problem.pairs, values, &|row| but == Some(usize::from(self.models.folds[row])))
    }
}

/// Agreement of the margin's side with the label: 1, 0, or a part; a margin of zero counts one half.
pub(super) fn hits(pairs: &Pairs, margins: &[f64]) -> Vec<f64> {
    let hit = |(z, y): (&f64, &f64)| match z.partial_cmp(&0.0) {
        Some(std::cmp::Ordering::Greater) => *y,
        Some(std::cmp::Ordering::Less) => 1.0 - y,
        _ => 0.5,
    };
    margins.iter().zip(&pairs.labels).map(hit).collect()
}

pub(super) fn losses(pairs: &Pairs, margins: &[f64]) -> Vec<f64> {
    margins.iter().zip(&pairs.labels).map(|(z, y)| loss(*z, *y)).collect()
}

/// The target mean of the rows' values, without those that are left out.
pub(super) fn target_mean(pairs: &Pairs, values: &[f64], left_out: &dyn Fn(usize) -> bool) -> Estimate {
    let mut clusters = vec![(Sum::default(), Sum::default()); pairs.cluster_count];
    for (row, value) in values.iter().enumerate().filter(|(row, _)| !left_out(*row)) {
        if let Some((weight, sum)) = clusters.get_mut(pairs.clusters[row] as usize) {
            weight.add(pairs.weights[row]);
            sum.add(pairs.weights[row] * value);
        }
    }
    let clusters: Vec<(f64, f64)> = clusters.iter().map(|(weight, sum)| (weight.value(), sum.value())).collect();
    estimate(&clusters)
}

fn estimate(clusters: &[(f64, f64)]) -> Estimate {
    let Some(ratio) = clustered_ratio(clusters) else {
        let (weight, sum) = clusters.iter().fold((0.0, 0.0), |(w, s), (weight, sum)| (w + weight, s + sum));
        return Estimate { estimate: sum / weight, standard_error: None, interval: None };
    };
    let freedom = (ratio.effective_clusters - 1.0).max(1.0);
    let half = StudentsT::new(0.0, 1.0, freedom).ok().map(|t| t.inverse_cdf(0.975) * ratio.standard_error);
    let interval = half.filter(|half| *half > 0.0).map(|half| [ratio.estimate - half, ratio.estimate + half]);
    Estimate { estimate: ratio.estimate, standard_error: Some(ratio.standard_error), interval }
}

/// Kish's effective sample size of the weights that an objective is fitted with.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn n_eff(weights: &[f64], objective: Objective, limit: f64) -> f64 {
    if !objective.is_weighted() {
        return weights.len() as f64;
    }
    let largest = weights.iter().copied().fold(0.0, f64::max).min(limit);
    let share = |weight: &f64| weight.min(limit) / largest;
    let (sum, squares): (Sum, Sum) =
        (weights.iter().map(share).collect(), weights.iter().map(|w| share(w).powi(2)).collect());
    if squares.value() > 0.0 { sum.value() * sum.value() / squares.value() } else { 0.0 }
}
