//! What clipping the weights would do: variance against bias, cap by cap.

use super::Weights;
use super::summary::{as_f64, total, values_with_counts};
use crate::declare::{Cap, CapAt};
use crate::numeric::quantile_linear_of_counts;
use crate::statistics::{CellStatistics, Statistics};

/// The weights clipped at one cap.
#[derive(Debug, Clone, PartialEq)]
pub struct Clipped {
    /// The cap M, in units of the mean weight; `None` where nothing is clipped by declaration.
    pub cap: Option<f64>,
    /// Share of the rows above the cap.
    pub share_of_rows: f64,
    /// Share of the total weight that clipping removes: sum (w - M)+ / sum w. A self-normalised mean of scores in
    /// \[0, 1\] moves by at most this, either way: it is (1 - share) of the clipped mean and share of the mean of what was
    /// removed.
    pub share_of_weight: f64,
    /// Kish's effective sample size of the clipped weights.
    pub n_eff: f64,
    /// The sample mean of (w - M)+, the most by which clipping lowers an unnormalised target mean of scores in \[0, 1\]:
    /// 0 <= E\[w phi\] - E\[min(w, M) phi\] <= E\[(w - M)+\] <= E\[w^2\] / (4 M). A plug-in, itself heavy tailed.
    pub bias_bound: f64,
}

/// The weights of the audited rows clipped at each of the caps, in their order. Empty when the weights sum to nothing.
pub fn clip_all(statistics: &Statistics, weights: &Weights, caps: &[Cap]) -> Vec<(String, Clipped)> {
    let Some(summary) = &weights.summary else { return Vec::new() };
    let parts: Vec<(f64, &CellStatistics)> = statistics
        .cells
        .iter()
        .map(|(levels, cell)| (weights.cells.get(levels).map_or(0.0, super::CellWeight::factor), cell))
        .collect();
    let ascending = values_with_counts(&parts);
    let unclipped =
        Clipped { cap: None, share_of_rows: 0.0, share_of_weight: 0.0, n_eff: summary.n_eff, bias_bound: 0.0 };
    // The mean is exact, the histogram's own is not.
    let clipped = |limit: f64| Some(Clipped { cap: Some(limit / summary.mean), ..clip(&ascending, limit)? });
    let at = |cap: &Cap| match cap.at {
        CapAt::None => Some(unclipped.clone()),
        CapAt::Times(times) => clipped(times * summary.mean),
        CapAt::Quantile(q) => clipped(quantile_linear_of_counts(&ascending, q)?),
    };
    caps.iter().filter_map(|cap| Some((cap.text.clone(), at(cap)?))).collect()
}

/// The weights clipped at `limit`, in the units of the weights; `ascending` lists every weight with its count, to within
/// 0.05 %. `None` when the clipped weights sum to nothing, or to more than f64 holds.
pub fn clip(ascending: &[(f64, u64)], limit: f64) -> Option<Clipped> {
    let n = as_f64(ascending.iter().map(|(_, count)| count).sum());
    let sum = total(ascending, |weight| weight);
    let kept = total(ascending, |weight| weight.min(limit));
    let squares = total(ascending, |weight| weight.min(limit).powi(2));
    let above: u64 = ascending.iter().filter(|(weight, _)| *weight > limit).map(|(_, count)| count).sum();
    // Removed mass is summed by itself: the difference of the two sums would lose its digits where little is clipped.
    let removed = total(ascending, |weight| (weight - limit).max(0.0));
    let n_eff = kept * kept / squares;
    (sum > 0.0 && sum.is_finite() && squares > 0.0 && n_eff.is_finite()).then(|| Clipped {
        cap: Some(limit * n / sum),
        share_of_rows: as_f64(above) / n,
        share_of_weight: removed / sum,
        n_eff,
        bias_bound: removed / n,
    })
}
