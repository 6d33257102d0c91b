//! Rosenbaum's bound for the sign-score test: could hidden reasons explain that one policy's choices win?
//!
//! On the rows where two policies disagree, T = sum of w_i B_i with B_i = 1 where the challenger agrees with the label. Under
//! the null that the target-weighted share of the challenger is one half at most, and with hidden reasons that move the odds of
//! B_i by at most Gamma, P(B_i = 1) <= Gamma / (1 + Gamma) (Rosenbaum 2002, Observational Studies, sections 4.3 and 4.4). T grows
//! with every B_i, so that P(T >= t) is greatest where all of them reach it: one distribution bounds the p-value. The null is
//! composite: probabilities below one half for some rows and above for others are allowed by it, and for these the variance of
//! a fair coin is conservative.

use super::excess::Excess;
use super::tail::{Tail, Tails};
use crate::numeric::Sum;
use statrs::distribution::{ContinuousCDF, Normal};

/// A row on which two policies disagree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disagreement {
    /// Its weight, at least 0. Rows without weight drop out.
    pub score: f64,
    /// Whether the label agrees with the challenger.
    pub won: bool,
    /// The group of rows that depend on each other, which it belongs to.
    pub cluster: u32,
}

/// The sign-score test of rows on which two policies disagree.
#[derive(Debug, Clone)]
pub struct SignScore {
    /// Rows with weight.
    pub rows: u64,
    /// Clusters that hold one.
    pub clusters: u64,
    /// T: the score of the rows that the challenger wins.
    pub won: f64,
    /// S: the score of all rows.
    pub total: f64,
    /// Sum of the squared scores.
    pub squares: f64,
    /// Sum of the squared sums of the clusters.
    pub clustered_squares: f64,
    by_row: Tails,
    /// `None` where every cluster is one row.
    clustered: Option<Excess>,
}

/// The bounds at one Gamma.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GammaPoint {
    /// Gamma, at least 1.
    pub gamma: f64,
    /// The upper bound on the one-sided p-value with rows of a cluster dependent in any way. What a verdict uses.
    pub p_value: Tail,
    /// The same with all rows independent.
    pub by_row: Tail,
    /// The normal approximation of the clustered form: a hint, for it can be below the truth.
    pub normal: f64,
}

impl SignScore {
    /// `None` for a score that is negative or no number.
    pub fn new(rows: &[Disagreement]) -> Option<SignScore> {
        if rows.iter().any(|row| row.score < 0.0 || !row.score.is_finite()) {
            return None;
        }
        let rows: Vec<Disagreement> = rows.iter().copied().filter(|row| row.score > 0.0).collect();
        let scores: Vec<f64> = rows.iter().map(|row| row.score).collect();
        let won = rows.iter().filter(|row| row.won).map(|row| row.score).collect::<Sum>().value();
        let sums = cluster_sums(&rows);
        let squares = |values: &[f64]| values.iter().map(|value| value * value).collect::<Sum>().value();
        Some(SignScore {
            rows: count(rows.len()),
            clusters: count(sums.len()),
            won,
            total: scores.iter().copied().collect::<Sum>().value(),
            squares: squares(&scores),
            clustered_squares: squares(&sums),
            by_row: Tails::new(&scores, won),
            clustered: (sums.len() < rows.len()).then(|| Excess::new(&sums, won)),
        })
    }

    /// The bounds at a Gamma of at least 1.
    pub fn at(&self, gamma: f64) -> GammaPoint {
        let p = gamma / (1.0 + gamma);
        let by_row = self.by_row.bound(p);
        // A bound whatever the dependence is one for independent rows too.
        let (p_value, by_row) = match self.clustered.as_ref().map(|clustered| clustered.bound(p)) {
            None => (by_row, by_row),
            Some(clustered) if clustered.p_value < by_row.p_value => (clustered, clustered),
            Some(clustered) => (clustered, by_row),
        };
        GammaPoint { gamma, p_value, by_row, normal: self.normal(gamma, self.clustered_squares) }
    }

    /// 1 - Phi(z), z = (T - p S) / sqrt(p (1 - p) Q) with p = Gamma / (1 + Gamma): R's `senmv(method = "t")` on +-w for Q the sum
    /// of squares.
    pub fn normal(&self, gamma: f64, squares: f64) -> f64 {
        let p = gamma / (1.0 + gamma);
        let deviation = (p * (1.0 - p) * squares).sqrt();
        if deviation <= 0.0 {
            return 1.0;
        }
        Normal::standard().cdf(-(self.won - p * self.total) / deviation)
    }

    /// The largest Gamma at which the clustered bound is at most alpha; `None` where it is not at 1.
    pub fn tipping(&self, alpha: f64) -> Option<f64> {
        self.largest(alpha, &|gamma| self.at(gamma).p_value.p_value)
    }

    /// The same with all rows independent.
    pub fn tipping_by_row(&self, alpha: f64) -> Option<f64> {
        self.largest(alpha, &|gamma| self.at(gamma).by_row.p_value)
    }

    /// The same by the normal approximation of the clustered form: a hint.
    pub fn tipping_normal(&self, alpha: f64) -> Option<f64> {
        self.largest(alpha, &|gamma| self.normal(gamma, self.clustered_squares))
    }

    /// The Gamma at which T is what is expected, sampling error left out: T / (S - T). `None` where that is below 1, and
    /// infinite where the challenger wins every row.
    pub fn tipping_point(&self) -> Option<f64> {
        let gamma = self.won / (self.total - self.won);
        (self.rows > 0 && gamma >= 1.0).then_some(gamma)
    }

    /// Bisection of a p-value that grows with Gamma, from below: what is returned satisfies the bound.
    fn largest(&self, alpha: f64, p_value: &dyn Fn(f64) -> f64) -> Option<f64> {
        const HIGHEST: f64 = 1e6;
        const PRECISION: f64 = 1e-4;
        if p_value(1.0) > alpha {
            return None;
        }
        let (mut low, mut high) = (1.0_f64, 2.0_f64);
        while high < HIGHEST && p_value(high) <= alpha {
            low = high;
            high *= 2.0;
        }
        while high - low > PRECISION * low {
            let middle = 0.5 * (low + high);
            if p_value(middle) <= alpha {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(low)
    }
}

/// The sums of the clusters, in the order of their codes.
fn cluster_sums(rows: &[Disagreement]) -> Vec<f64> {
    let mut keyed: Vec<(u32, f64)> = rows.iter().map(|row| (row.cluster, row.score)).collect();
    keyed.sort_by_key(|(cluster, _)| *cluster);
    keyed
        .chunk_by(|a, b| a.0 == b.0)
        .map(|rows| rows.iter().map(|(_, score)| *score).collect::<Sum>().value())
        .collect()
}

fn count(value: usize) -> u64 {
    value as u64
}
