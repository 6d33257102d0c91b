//! The generalised Pareto fit of a sample's tail and the Pareto-smoothing diagnostic k-hat.

/// A fitted generalised Pareto distribution of exceedances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeneralizedPareto {
    /// Shape without a prior; moments of order 1/k and above do not exist.
    pub shape: f64,
    /// Shape with the weakly informative prior of Vehtari et al. 2024: (M k + 5) / (M + 10).
    pub shape_with_prior: f64,
    /// Scale, in the units of the exceedances.
    pub scale: f64,
}

/// Fits a generalised Pareto distribution to exceedances in ascending order, all positive (Zhang & Stephens 2009,
/// Technometrics 51:316, with the grid of Vehtari et al. 2024, JMLR 25:72).
///
/// `None` when the fit is not finite: fewer than 5 values, or a first quartile of zero.
#[expect(clippy::cast_precision_loss, reason = "tail lengths are far below 2^53")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive numbers")]
pub fn fit_generalized_pareto(exceedances: &[f64]) -> Option<GeneralizedPareto> {
    let count = exceedances.len();
    if count < 5 {
        return None;
    }
    let m = count as f64;
    let largest = exceedances[count - 1];
    let quartile = exceedances[((m / 4.0 + 0.5).floor() as usize).max(1) - 1];
    let grid = 30 + m.sqrt().floor() as usize;
    let mean_log = |theta: f64| exceedances.iter().map(|z| (-theta * z).ln_1p()).sum::<f64>() / m;
    let thetas: Vec<f64> = (1..=grid)
        .map(|j| 1.0 / largest + (1.0 - (grid as f64 / (j as f64 - 0.5)).sqrt()) / (3.0 * quartile))
        .collect();
    let log_likelihoods: Vec<f64> = thetas
        .iter()
        .map(|theta| {
            let k = mean_log(*theta);
            m * ((-theta / k).ln() - k - 1.0)
        })
        .collect();
    let theta = softmax_mean(&thetas, &log_likelihoods);
    let shape = mean_log(theta);
    let fit = GeneralizedPareto { shape, shape_with_prior: (m * shape + 5.0) / (m + 10.0), scale: -shape / theta };
    (fit.shape.is_finite() && fit.scale.is_finite()).then_some(fit)
}

fn softmax_mean(values: &[f64], log_weights: &[f64]) -> f64 {
    let top = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut total, mut weighted) = (0.0, 0.0);
    for (value, log_weight) in values.iter().zip(log_weights) {
        let weight = (log_weight - top).exp();
        total += weight;
        weighted += weight * value;
    }
    weighted / total
}

/// How many of the largest of `n` weights make the tail: ceil(min(0.2 n, 3 sqrt n)) (loo, arviz).
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^53")]
pub fn tail_length(n: u64) -> usize {
    (0.2 * n as f64).min(3.0 * (n as f64).sqrt()).ceil() as usize
}

/// The largest k-hat at which estimates from `n` weights are reliable: min(1 - 1 / log10 n, 0.7) (Vehtari et al. 2024,
/// section 3.2.4). `None` for n < 2.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
pub fn pareto_k_limit(n: u64) -> Option<f64> {
    (n >= 2).then(|| (1.0 - 1.0 / (n as f64).log10()).min(0.7))
}

/// The shape of a tail of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParetoK {
    /// k-hat, with the prior.
    pub k: f64,
    /// How many weights made the tail.
    pub tail: usize,
}

/// Why k-hat is not assessable. Packages return infinity or large negative numbers here, which read as bad or as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAssessable {
    /// Fewer than 5 weights make the tail.
    TooFew,
    /// Every weight of the tail is the same.
    Constant,
    /// The tail holds fewer than 5 distinct values.
    FewDistinct,
    /// The fit is not finite.
    NotFinite,
}

/// k-hat of the largest weights: `descending` holds at least the `tail + 1` largest of all of them, in descending order.
///
/// The tail is the `tail` largest; the next one is the cutoff. Scale invariant.
///
/// # Errors
/// Why it cannot be assessed.
pub fn pareto_k(descending: &[f64], tail: usize) -> Result<ParetoK, NotAssessable> {
    if tail < 5 || descending.len() <= tail {
        return Err(NotAssessable::TooFew);
    }
    let (largest, cutoff) = (descending[0], descending[tail]);
    let mut distinct = descending[..=tail].to_vec();
    distinct.dedup();
    match distinct.len() {
        1 => return Err(NotAssessable::Constant),
        2..=4 => return Err(NotAssessable::FewDistinct),
        _ => {}
    }
    // Values tied with the cutoff exceed it by nothing and are left out of the fit, as arviz does.
    let exceedances: Vec<f64> =
        descending[..tail].iter().rev().map(|w| (w - cutoff) / largest).filter(|z| *z > 0.0).collect();
    if exceedances.len() < 5 {
        return Err(NotAssessable::FewDistinct);
    }
    let fit = fit_generalized_pareto(&exceedances).ok_or(NotAssessable::NotFinite)?;
    Ok(ParetoK { k: fit.shape_with_prior, tail: exceedances.len() })
}
