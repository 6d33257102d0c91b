//! What clipping the weights would do: variance against bias, cap by cap.

use super::summary::{as_f64, total};

/// The weights clipped at one cap.
#[derive(Debug, Clone, PartialEq)]
pub struct Clipped {
    /// The cap, in units of the mean weight.
    pub cap: f64,
    /// Share of the rows above the cap.
    pub share_of_rows: f64,
    /// Share of the total weight that clipping removes.
    pub share_of_weight: f64,
    /// Kish's effective sample size of the clipped weights.
    pub n_eff: f64,
    /// The most by which clipping can lower a target mean of scores in \[0, 1\], in the units of the score:
    /// 0 <= E\[w phi\] - E\[min(w, M) phi\] <= E\[(w - M)+\], here over the mean weight. A plug-in, itself heavy tailed.
    pub bias_bound: f64,
}

/// The weights clipped at a cap in units of their mean; `ascending` lists every weight with its count, to within 0.05 %.
/// `None` when the weights sum to nothing.
pub fn clip(ascending: &[(f64, u64)], cap: f64) -> Option<Clipped> {
    let n = as_f64(ascending.iter().map(|(_, count)| count).sum());
    let sum = total(ascending, |weight| weight);
    let limit = cap * sum / n;
    let kept = total(ascending, |weight| weight.min(limit));
    let squares = total(ascending, |weight| weight.min(limit).powi(2));
    let above: u64 = ascending.iter().filter(|(weight, _)| *weight > limit).map(|(_, count)| count).sum();
    // Removed mass is summed by itself: the difference of the two sums would lose its digits where little is clipped.
    let removed = total(ascending, |weight| (weight - limit).max(0.0));
    (sum > 0.0 && squares > 0.0 && limit > 0.0).then(|| Clipped {
        cap,
        share_of_rows: as_f64(above) / n,
        share_of_weight: removed / sum,
        n_eff: kept * kept / squares,
        bias_bound: removed / sum,
    })
}
