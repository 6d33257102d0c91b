//! Tests of a mean of values in \[0, 1\] that hold at any sample size, and of a ratio whose rows come in clusters.

use super::Sum;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A bound on the two-sided p-value of a mean of n values in \[0, 1\] (independent, or drawn without replacement) whose
/// expectations average to `expected`: 2 exp(-n KL(observed || expected)), at most 1 (Hoeffding 1963, JASA 58:13,
/// theorem 1, also known as Chernoff's bound). `None` where a share is not in \[0, 1\].
pub fn hoeffding_p_value(n: f64, observed: f64, expected: f64) -> Option<f64> {
    // Sums of shares may leave [0, 1] by rounding.
    const ROUNDING: f64 = 1e-12;
    let unit = -ROUNDING..=1.0 + ROUNDING;
    if !(unit.contains(&observed) && unit.contains(&expected)) {
        return None;
    }
    let (p, q) = (observed.clamp(0.0, 1.0), expected.clamp(0.0, 1.0));
    let divergence = term(p, q) + term(1.0 - p, 1.0 - q);
    Some((2.0 * (-n * divergence.max(0.0)).exp()).min(1.0))
}

/// p ln(p/q), with 0 ln 0 = 0.
fn term(p: f64, q: f64) -> f64 {
    if p > 0.0 { p * (p / q).ln() } else { 0.0 }
}

/// A ratio of sums over clusters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusteredRatio {
    /// The ratio.
    pub estimate: f64,
    /// Its linearised standard error.
    pub standard_error: f64,
    /// Clusters of positive weight.
    pub clusters: u64,
    /// Kish's effective number of clusters, (sum W)^2 / sum W^2 over their weights W (Kish 1965, section 11.7).
    pub effective_clusters: f64,
}

/// The ratio sum(value) / sum(weight) of clusters (weight, value), with V = C/(C-1) sum_k u_k^2 and
/// u_k = (value_k - estimate weight_k) / sum(weight): the linearised variance of the ratio estimator under independent
/// clusters (Särndal, Swensson & Wretman 1992, section 5.7; `svymean` of R's survey). Clusters without weight do not count.
/// `None` with fewer than two clusters.
#[expect(clippy::cast_precision_loss, reason = "numbers of clusters are far below 2^53")]
pub fn clustered_ratio(clusters: &[(f64, f64)]) -> Option<ClusteredRatio> {
    let carrying: Vec<(f64, f64)> = clusters.iter().copied().filter(|(weight, _)| *weight > 0.0).collect();
    let total = carrying.iter().map(|(weight, _)| *weight).collect::<Sum>().value();
    if carrying.len() < 2 || !total.is_finite() {
        return None;
    }
    let estimate = carrying.iter().map(|(_, value)| *value).collect::<Sum>().value() / total;
    let squares =
        carrying.iter().map(|(weight, value)| ((value - estimate * weight) / total).powi(2)).collect::<Sum>().value();
    let shares = carrying.iter().map(|(weight, _)| (weight / total).powi(2)).collect::<Sum>().value();
    let count = carrying.len() as f64;
    Some(ClusteredRatio {
        estimate,
        standard_error: (count / (count - 1.0) * squares).sqrt(),
        clusters: carrying.len() as u64,
        effective_clusters: 1.0 / shares,
    })
}

impl ClusteredRatio {
    /// Student's two-sided p-value against a ratio, on one degree of freedom less than there are clusters. Without any
    /// spread it is 0, or 1 at the ratio itself. `None` where the distribution does not exist.
    #[expect(clippy::cast_precision_loss, reason = "numbers of clusters are far below 2^53")]
    pub fn p_value(&self, against: f64) -> Option<f64> {
        let difference = (self.estimate - against).abs();
        if self.standard_error <= 0.0 {
            return Some(if difference > 0.0 { 0.0 } else { 1.0 });
        }
        let freedom = self.clusters.saturating_sub(1) as f64;
        let distribution = StudentsT::new(0.0, 1.0, freedom).ok()?;
        Some(2.0 * distribution.cdf(-difference / self.standard_error))
    }
}
