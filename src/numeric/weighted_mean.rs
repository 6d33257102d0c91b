//! The self-normalised weighted mean of independent rows.

use super::Sum;

/// A weighted mean and its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightedMean {
    /// sum(w x) / sum(w).
    pub estimate: f64,
    /// The linearisation standard error, sqrt(n/(n-1) sum(u^2)) with u = w (x - estimate) / sum(w); `None` for one row.
    pub standard_error: Option<f64>,
}

/// The weighted mean (ratio estimator; Särndal, Swensson & Wretman 1992, section 5.7). Rows are taken as independent.
///
/// `None` when the lengths differ, there is no row, or the weights do not sum to a positive finite number.
#[expect(clippy::cast_precision_loss, reason = "row counts below 2^53 are exact")]
pub fn weighted_mean(values: &[f64], weights: &[f64]) -> Option<WeightedMean> {
    let total = weights.iter().copied().collect::<Sum>().value();
    if values.len() != weights.len() || !(total > 0.0 && total.is_finite()) {
        return None;
    }
    let estimate = values.iter().zip(weights).map(|(x, w)| w * x).collect::<Sum>().value() / total;
    let n = values.len() as f64;
    let squares =
        values.iter().zip(weights).map(|(x, w)| (w * (x - estimate) / total).powi(2)).collect::<Sum>().value();
    let standard_error = (values.len() > 1).then(|| (n / (n - 1.0) * squares).sqrt());
    Some(WeightedMean { estimate, standard_error })
}
