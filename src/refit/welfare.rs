//! What a tilt does on the responses of a prompt: divergence from the reference, and reward.

use super::Unfitted;
use crate::numeric::{Sum, clustered_ratio};
use std::ops::Range;

/// The responses of each prompt, with the reference's probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Menu {
    /// phi(x, y), a row a response, the responses of one prompt one after the other.
    pub features: Vec<f64>,
    /// log pi_ref(y | x) of each response, in nats.
    pub ln_reference: Vec<f64>,
    /// The responses of each prompt.
    pub prompts: Vec<Range<usize>>,
    /// The prompt of each comparison; one that is not there is no index of `prompts`.
    pub prompt_of_row: Vec<u32>,
}

impl Menu {
    /// Whether the responses of every prompt are all that the reference can say: its probabilities sum to one. Only then are
    /// divergence and reward identified without knowing how the responses were drawn.
    pub fn is_whole(&self) -> bool {
        let mass = |prompt: &Range<usize>| self.ln_reference[prompt.clone()].iter().map(|ln| ln.exp()).sum::<f64>();
        !self.prompts.is_empty() && self.prompts.iter().all(|prompt| (mass(prompt) - 1.0).abs() <= 1e-6)
    }
}

/// One prompt's responses under pi proportional to pi_ref exp(r / beta).
#[derive(Debug, Clone, PartialEq)]
pub struct Tilted {
    /// pi of each response.
    pub probabilities: Vec<f64>,
    /// KL(pi || pi_ref) over these responses, in nats.
    pub kl: f64,
    /// Kish's effective number of responses, 1 / sum pi^2.
    pub effective: f64,
}

/// The tilt of the reference (log-probabilities, normalised here) by rewards at a temperature: the closed form of
/// KL-regularised reward maximisation (Lemma 2026, section 7). `None` where nothing has mass.
pub fn tilt(ln_reference: &[f64], rewards: &[f64], beta: f64) -> Option<Tilted> {
    let ln_total = ln_sum_exp(ln_reference.iter().copied())?;
    let tilted = || ln_reference.iter().zip(rewards).map(|(ln, r)| ln - ln_total + r / beta);
    let ln_z = ln_sum_exp(tilted())?;
    let probabilities: Vec<f64> = tilted().map(|ln| (ln - ln_z).exp()).collect();
    // log(pi / ref) = r / beta - log Z; a response without mass adds nothing.
    let kl = probabilities.iter().zip(rewards).filter(|(p, _)| **p > 0.0).map(|(p, r)| p * (r / beta - ln_z));
    let kl = kl.collect::<Sum>().value().max(0.0);
    let squares: f64 = probabilities.iter().map(|p| p * p).sum();
    (kl.is_finite() && squares > 0.0).then(|| Tilted { probabilities, kl, effective: 1.0 / squares })
}

/// E\[r\] under the tilt, its KL, E\[r\] - beta KL and the effective number of draws, from K draws of the reference and their
/// rewards: the self-normalised estimates, with omega_j proportional to exp(r_j / beta) and KL = sum omega log(K omega).
///
/// With the tilt's own rewards, E\[r\] - beta KL = beta log(1/K sum exp(r_j / beta)). KL cannot exceed log K: draws say little
/// about a divergence beyond half of it.
#[expect(clippy::cast_precision_loss, reason = "numbers of responses are far below 2^53")]
pub fn welfare_of_draws(rewards: &[f64], beta: f64) -> Option<(f64, f64, f64, f64)> {
    let ln_reference = vec![-(rewards.len() as f64).ln(); rewards.len()];
    let tilted = tilt(&ln_reference, rewards, beta)?;
    let reward = tilted.probabilities.iter().zip(rewards).map(|(p, r)| p * r).collect::<Sum>().value();
    Some((reward, tilted.kl, reward - beta * tilted.kl, tilted.effective))
}

fn ln_sum_exp(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    largest.is_finite().then(|| largest + values.map(|value| (value - largest).exp()).sum::<f64>().ln())
}

/// Divergence and gain in reward of a tilt over the prompts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct OnPrompts {
    pub(super) kl: f64,
    /// Its standard error over prompts.
    pub(super) kl_error: Option<f64>,
    /// E_pi\[r\] - E_ref\[r\]: rewards are identified up to what depends on the prompt alone.
    pub(super) reward: f64,
    /// Its standard error over prompts.
    pub(super) reward_error: Option<f64>,
}

/// The target mean over prompts: `policy` holds each response's reward that the tilt is made of, `value` the one that it is
/// measured by, `weights` each prompt's.
pub(super) fn on_prompts(
    menu: &Menu,
    policy: &[f64],
    value: &[f64],
    weights: &[f64],
    beta: f64,
) -> Result<OnPrompts, Unfitted> {
    let (mut kl, mut reward) = (Vec::new(), Vec::new());
    for (prompt, weight) in menu.prompts.iter().zip(weights).filter(|(_, weight)| **weight > 0.0) {
        let ln_reference = &menu.ln_reference[prompt.clone()];
        let tilted = tilt(ln_reference, &policy[prompt.clone()], beta).ok_or(Unfitted::Reference)?;
        let ln_total = ln_sum_exp(ln_reference.iter().copied()).ok_or(Unfitted::Reference)?;
        let gain = tilted.probabilities.iter().zip(ln_reference).zip(&value[prompt.clone()]);
        let gain = gain.map(|((p, ln), r)| (p - (ln - ln_total).exp()) * r).collect::<Sum>().value();
        kl.push((*weight, weight * tilted.kl));
        reward.push((*weight, weight * gain));
    }
    let mean = |clusters: &[(f64, f64)]| {
        let sums = clusters.iter().fold((0.0, 0.0), |(w, s), (weight, sum)| (w + weight, s + sum));
        let error = clustered_ratio(clusters).map(|ratio| (ratio.estimate, Some(ratio.standard_error)));
        error.or_else(|| (sums.0 > 0.0).then(|| (sums.1 / sums.0, None)))
    };
    let ((kl, kl_error), (reward, reward_error)) = mean(&kl).zip(mean(&reward)).ok_or(Unfitted::Reference)?;
    Ok(OnPrompts { kl, kl_error, reward, reward_error })
}
