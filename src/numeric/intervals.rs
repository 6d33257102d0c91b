//! Intervals for a proportion from `successes` of `trials` independent draws: what any weighted interval reduces to
//! when all weights are equal.

use statrs::distribution::{Beta, ContinuousCDF, Normal};

/// The Wilson score interval (Wilson 1927). `None` without trials or for a level outside (0, 1).
pub fn wilson(successes: u64, trials: u64, level: f64) -> Option<(f64, f64)> {
    score(successes, trials, level, 0.0)
}

/// The Wilson score interval with continuity correction (Newcombe 1998, method 4).
pub fn wilson_continuity_corrected(successes: u64, trials: u64, level: f64) -> Option<(f64, f64)> {
    score(successes, trials, level, 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
fn score(successes: u64, trials: u64, level: f64, correction: f64) -> Option<(f64, f64)> {
    if trials == 0 || successes > trials || !(level > 0.0 && level < 1.0) {
        return None;
    }
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let z = Normal::standard().inverse_cdf(0.5 + level / 2.0);
    let (q, denominator, centre) = (1.0 - p, 2.0 * (n + z * z), 2.0 * n * p + z * z);
    // Newcombe's radicand; without correction it is z^2 + 4 n p q.
    let radius = |sign: f64| {
        let radicand = z * z + 4.0 * n * p * q + correction * (sign * (4.0 * p - 2.0) - 1.0 / n);
        z * radicand.sqrt()
    };
    let low = (centre - correction - radius(1.0)) / denominator;
    let high = (centre + correction + radius(-1.0)) / denominator;
    Some((if successes == 0 { 0.0 } else { low }, if successes == trials { 1.0 } else { high }))
}

/// The exact interval (Clopper & Pearson 1934): at least the level in coverage, for any proportion.
#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact")]
pub fn clopper_pearson(successes: u64, trials: u64, level: f64) -> Option<(f64, f64)> {
    clopper_pearson_of_mass(successes as f64, trials as f64, level)
}

/// The same formula for numbers that are not whole, such as sums of weights: a way of counting, and no exact interval.
pub fn clopper_pearson_of_mass(successes: f64, trials: f64, level: f64) -> Option<(f64, f64)> {
    let sound = trials > 0.0 && trials.is_finite() && (0.0..=trials).contains(&successes);
    if !(sound && level > 0.0 && level < 1.0) {
        return None;
    }
    let (k, n, tail) = (successes, trials, (1.0 - level) / 2.0);
    let low = if k <= 0.0 { 0.0 } else { beta_quantile(k, n - k + 1.0, tail)? };
    let high = if k >= n { 1.0 } else { beta_quantile(k + 1.0, n - k, 1.0 - tail)? };
    Some((low, high))
}

/// The quantile of a beta distribution by bisection of its distribution function, to the last bit that it resolves.
fn beta_quantile(a: f64, b: f64, probability: f64) -> Option<f64> {
    let beta = Beta::new(a, b).ok()?;
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if beta.cdf(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(low + (high - low) / 2.0)
}
