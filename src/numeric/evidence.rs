//! Evidence against the hypothesis that non-negative values have mean 1, safe for skewed values and any sample size.
//!
//! For independent r_i >= 0 with mean at most 1, the product of 1 + lambda (r_i - 1) has mean at most 1 for any lambda
//! in \[0, 1\], and so has its mean over a fixed grid of lambda: an e-value (Waudby-Smith & Ramdas 2024, JRSSB 86:1;
//! Vovk & Wang 2021). By Markov, 1 / e is a valid p-value. Unlike a t-test it does not reject too often when a few large
//! values carry the mean. The product does not depend on the order of rows, so it is computed from counts.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Values between two edges, and how many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Every value is at least this.
    pub from: f64,
    /// Every value is at most this.
    pub to: f64,
    /// How many.
    pub count: u64,
}

/// The p-value that an e-value gives, 1/e (Markov), from its logarithm: never below 1e-300, for a larger p-value is valid
/// too and a zero would claim certainty.
pub fn p_value_of_log_e(log_e: f64) -> f64 {
    (-log_e).exp().clamp(1e-300, 1.0)
}

/// How many halvings (in steps of the square root of 2) the grid of lambda spans below its largest value.
const GRID: i32 = 28;

/// Natural logarithm of the e-value against "the mean is at most 1". Needs no bound. Each value is taken at the lower
/// edge of its bin, so that binning can only weaken the evidence.
pub fn log_e_value_above_one(bins: &[Bin]) -> f64 {
    mixture(|lambda| sum(bins, |bin| (lambda * (bin.from - 1.0)).ln_1p()), 1.0)
}

/// Natural logarithm of the e-value against "the mean is at least 1", for values that cannot exceed `bound` >= 1 by
/// design. Each value is taken at the upper edge of its bin (at most the bound). With a bound of 1 only the constant 1
/// has that mean, so that a single value below it is conclusive.
pub fn log_e_value_below_one(bins: &[Bin], bound: f64) -> f64 {
    const ROUNDING: f64 = 1e-9;
    if bound > 1.0 + ROUNDING {
        return mixture(|lambda| sum(bins, |bin| (-lambda * (bin.to.min(bound) - 1.0)).ln_1p()), 1.0 / (bound - 1.0));
    }
    if bins.iter().any(|bin| bin.to < 1.0 - ROUNDING) { f64::INFINITY } else { 0.0 }
}

/// The logarithm of the mean of exp(f) over the grid: largest/sqrt(2)^j for j = 1 to [`GRID`].
fn mixture(log_product: impl Fn(f64) -> f64, largest: f64) -> f64 {
    let logs: Vec<f64> = (1..=GRID).map(|step| log_product(largest * 0.5_f64.powf(f64::from(step) / 2.0))).collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + (logs.iter().map(|log| (log - top).exp()).sum::<f64>() / f64::from(GRID)).ln()
}

#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
fn sum(bins: &[Bin], log_factor: impl Fn(&Bin) -> f64) -> f64 {
    bins.iter().map(|bin| bin.count as f64 * log_factor(bin)).sum()
}

/// Student's two-sided test that a mean is 1, from the sample's size, mean and standard deviation.
///
/// A hint, not evidence: for skewed values it rejects too often on the low side. `None` for fewer than 2 values or no spread.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
pub fn t_test_of_mean_one(n: u64, mean: f64, standard_deviation: f64) -> Option<(f64, f64)> {
    if n < 2 || standard_deviation.is_nan() || standard_deviation <= 0.0 {
        return None;
    }
    let t = (mean - 1.0) / (standard_deviation / (n as f64).sqrt());
    let distribution = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?;
    Some((t, 2.0 * distribution.cdf(-t.abs())))
}
