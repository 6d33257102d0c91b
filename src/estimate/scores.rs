//! What a candidate's log-probabilities say about a comparison, as one number: agreement, log-loss, Brier score.
//!
//! Owns: the margin of the implicit reward and the scores made of it, calibration in bins. NaN where a log-probability is
//! missing.

use super::{Answer, Comparisons, PolicyColumns};
use crate::numeric::Sum;

/// Bins of predicted probability.
const BINS: usize = 10;

/// Each row's margin, \[log pi - log ref\](a) - \[log pi - log ref\](b), in nats (paper, section 6). Its sign is the
/// candidate's preference. NaN also where it is beyond any number: an infinite margin would have no loss to be averaged.
pub fn margins(policy: &PolicyColumns) -> Vec<f64> {
    let finite = |margin: f64| if margin.is_finite() { margin } else { f64::NAN };
    policy.shift_a.iter().zip(&policy.shift_b).map(|(a, b)| finite(a - b)).collect()
}

/// Agreement of the margin's sign with the answer: 1 or 0, one half where either is undecided; under a soft answer the
/// probability of the preferred side.
pub fn agreement(margins: &[f64], answers: &[Answer]) -> Vec<f64> {
    let score = |(margin, answer): (&f64, &Answer)| match margin.partial_cmp(&0.0) {
        None => f64::NAN,
        Some(std::cmp::Ordering::Greater) => answer.value(),
        Some(std::cmp::Ordering::Less) => 1.0 - answer.value(),
        Some(std::cmp::Ordering::Equal) => 0.5,
    };
    margins.iter().zip(answers).map(score).collect()
}

/// -log likelihood of the answer under sigma(beta margin): softplus(z) - y z, the loss of DPO (Rafailov et al. 2023).
pub fn log_losses(margins: &[f64], answers: &[Answer], beta: f64) -> Vec<f64> {
    let loss = |z: f64, y: f64| z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z;
    margins.iter().zip(answers).map(|(margin, answer)| loss(beta * margin, answer.value())).collect()
}

/// (sigma(beta margin) - y)^2 (Brier 1950), with y the probability that the answer gives a.
pub fn brier_scores(margins: &[f64], answers: &[Answer], beta: f64) -> Vec<f64> {
    let score = |(margin, answer): (&f64, &Answer)| (sigmoid(beta * margin) - answer.value()).powi(2);
    margins.iter().zip(answers).map(score).collect()
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

/// One bin of predicted probabilities that a is preferred.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// Rows.
    pub n: u64,
    /// Share of the total weight.
    pub weight_share: f64,
    /// Weighted mean prediction.
    pub predicted: f64,
    /// Weighted mean of the answers.
    pub observed: f64,
}

/// Predicted against observed, in ten bins of equal width; bins without weight are absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibration {
    /// The bins, ascending.
    pub bins: Vec<CalibrationBin>,
    /// Weighted mean of |predicted - observed| over the bins (expected calibration error; Naeini, Cooper & Hauskrecht 2015).
    pub error: f64,
}

/// The calibration of sigma(beta margin) under the weights. `None` without weight.
pub fn calibration(table: &Comparisons, margins: &[f64], beta: f64) -> Option<Calibration> {
    let mut sums = vec![(0_u64, Sum::default(), Sum::default(), Sum::default()); BINS];
    for ((margin, answer), weight) in margins.iter().zip(&table.answers).zip(&table.weight) {
        let predicted = sigmoid(beta * margin);
        if predicted.is_nan() || *weight <= 0.0 {
            continue;
        }
        let (n, total, forecast, observed) = sums.get_mut(bin(predicted))?;
        *n += 1;
        total.add(*weight);
        forecast.add(weight * predicted);
        observed.add(weight * answer.value());
    }
    let total = sums.iter().map(|(_, weight, ..)| weight.value()).sum::<f64>();
    let made = sums.iter().filter(|(_, weight, ..)| weight.value() > 0.0).map(|(n, weight, forecast, observed)| {
        let weight = weight.value();
        CalibrationBin {
            n: *n,
            weight_share: weight / total,
            predicted: forecast.value() / weight,
            observed: observed.value() / weight,
        }
    });
    let bins: Vec<CalibrationBin> = made.collect();
    let error = bins.iter().map(|bin| bin.weight_share * (bin.predicted - bin.observed).abs()).sum();
    (!bins.is_empty()).then_some(Calibration { bins, error })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability times ten, rounded down")]
fn bin(probability: f64) -> usize {
    ((probability * 10.0) as usize).min(BINS - 1)
}
