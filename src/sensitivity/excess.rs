//! The tail of a sum whose terms come in clusters, whatever the dependence within them.
//!
//! Let T_k in \[0, S_k\] be a cluster's part with mean at most p S_k, the clusters independent. Whatever T_k's distribution, it
//! is below S_k B_k, B_k ~ Bernoulli(p), in the increasing convex order (the two-point law is its greatest element: Müller &
//! Stoyan 2002, section 1.5), and so are sums of independent ones. For any increasing convex f: P(T >= t) <= E f(Y) / f(t) with
//! Y = sum of S_k B_k. With f = (y - u)+ for u below t that is E(Y - u)+ / (t - u); with f an exponential it is Chernoff's bound.
//! P(Y >= t) itself would be no bound: a cluster that spreads its mass may reach t more often than one that does not.

use super::tail::{Tail, TailMethod, Tails};
use crate::numeric::Sum;
use statrs::distribution::{Continuous, ContinuousCDF, Normal};

/// Up to so many clusters the distribution of Y is computed on a grid.
const ON_GRID: usize = 20_000;
/// Cells in the root mean square of the cluster sums, for up to [`FINE`] of them and for more. A sum is divided between two
/// cells with its mean kept: a spread in the convex order, so that the bound stays one. It adds some 3 % to the variance at four
/// cells, and 12 % at two.
const CELLS: (f64, f64) = (4.0, 2.0);
/// Up to so many clusters the grid is fine.
const FINE: usize = 4096;
/// What is cut from the low end of the distribution is moved up to where it is cut, and from the high end accounted for at the
/// largest sum there is.
const CUT: f64 = 1e-17;

/// An upper bound on P(sum of T_k >= threshold) for independent T_k in \[0, sums_k\] with means at most p sums_k. `None` for
/// sums that are negative or no numbers, or p outside \[0, 1\].
pub fn clustered_tail(sums: &[f64], threshold: f64, p: f64) -> Option<Tail> {
    let sound = sums.iter().all(|sum| *sum >= 0.0 && sum.is_finite()) && (0.0..=1.0).contains(&p);
    (sound && threshold.is_finite()).then(|| Excess::new(sums, threshold).bound(p))
}

/// Cluster sums and a threshold, prepared so that bounds at many p cost little.
#[derive(Debug, Clone)]
pub(super) struct Excess {
    sums: Vec<f64>,
    threshold: f64,
    sum: f64,
    squares: f64,
    cubes: f64,
    tails: Tails,
}

impl Excess {
    pub(super) fn new(sums: &[f64], threshold: f64) -> Excess {
        let mut sums: Vec<f64> = sums.iter().copied().filter(|sum| *sum > 0.0).collect();
        sums.sort_by(f64::total_cmp);
        let total = |power: i32| sums.iter().map(|sum| sum.powi(power)).collect::<Sum>().value();
        Excess {
            threshold,
            sum: total(1),
            squares: total(2),
            cubes: total(3),
            tails: Tails::new(&sums, threshold),
            sums,
        }
    }

    /// The least of the bounds at p.
    pub(super) fn bound(&self, p: f64) -> Tail {
        let certain = Tail { p_value: 1.0, method: TailMethod::Excess };
        if self.threshold <= p * self.sum || self.sums.is_empty() || p >= 1.0 {
            return certain;
        }
        if p <= 0.0 {
            return Tail { p_value: 0.0, ..certain };
        }
        let exponential = self.tails.groups.exponential(p, self.threshold);
        let excess = if self.sums.len() <= ON_GRID { self.on_grid(p) } else { self.normal(p) };
        if excess <= exponential {
            Tail { p_value: excess.min(1.0), method: TailMethod::Excess }
        } else {
            Tail { p_value: exponential, method: TailMethod::Exponential }
        }
    }

    /// The least over u of E(Y - u)+ / (t - u), Y on a grid.
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^53")]
    fn on_grid(&self, p: f64) -> f64 {
        let count = self.sums.len() as f64;
        let cell = (self.squares / count).sqrt() / if self.sums.len() <= FINE { CELLS.0 } else { CELLS.1 };
        let Distribution { low, mass, escaped } = distribution(&self.sums, cell, p);
        let t = self.threshold / cell;
        let top = self.sum / cell + count;
        // From the highest cell down: P(Y > u) and E(Y - u)+ at every cell u.
        let (mut above, mut excess, mut least) = (0.0_f64, 0.0_f64, 1.0_f64);
        for (index, mass) in mass.iter().enumerate().rev() {
            let u = (low + index) as f64;
            excess += above;
            if u < t {
                least = least.min((excess + escaped * (top - u)) / (t - u));
            }
            above += mass;
        }
        least
    }

    /// The same with E(Y - u)+ of the normal distribution and the most that it can be off: Wasserstein's distance of Y to the
    /// normal is at most sum E|X_k|^3 / sigma^2 (Goldstein 2010, Ann. Probab. 38:1672, theorem 1.1, constant 1).
    fn normal(&self, p: f64) -> f64 {
        let q = 1.0 - p;
        let variance = p * q * self.squares;
        if variance <= 0.0 {
            return 1.0;
        }
        let deviation = variance.sqrt();
        let error = p * q * (p * p + q * q) * self.cubes / (variance * deviation);
        let z = (self.threshold - p * self.sum) / deviation;
        let normal = Normal::standard();
        let at = |u: f64| (normal.pdf(u) - u * normal.cdf(-u) + error) / (z - u);
        // A fine grid of u below z: any of them gives a bound.
        (1..=400_u32).map(|step| at(z - 0.01 * f64::from(step))).fold(1.0, f64::min)
    }
}

/// The distribution of a sum on the cells from `low` on, and the mass that left it at the top.
struct Distribution {
    low: usize,
    mass: Vec<f64>,
    escaped: f64,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of cells")]
fn distribution(sums: &[f64], cell: f64, p: f64) -> Distribution {
    let q = 1.0 - p;
    let (mut low, mut escaped) = (0, 0.0);
    let mut mass: Vec<f64> = vec![1.0];
    let mut next: Vec<f64> = Vec::new();
    for sum in sums {
        let cells = sum / cell;
        let (step, part) = (cells.floor() as usize, cells.fract());
        next.clear();
        next.resize(mass.len() + step + 1, 0.0);
        for (index, mass) in mass.iter().enumerate() {
            next[index] += q * mass;
            next[index + step] += p * (1.0 - part) * mass;
            next[index + step + 1] += p * part * mass;
        }
        std::mem::swap(&mut mass, &mut next);
        low += cut_low(&mut mass);
        escaped += cut_high(&mut mass);
    }
    Distribution { low, mass, escaped }
}

/// Moves what the low end holds up, and says by how many cells the distribution now starts later.
fn cut_low(mass: &mut Vec<f64>) -> usize {
    let mut total = 0.0;
    let keep = mass.iter().take_while(|mass| {
        total += **mass;
        total < CUT
    });
    let cut = keep.count().min(mass.len().saturating_sub(1));
    if cut > 0 {
        let moved: f64 = mass.drain(..cut).sum();
        if let Some(first) = mass.first_mut() {
            *first += moved;
        }
    }
    cut
}

/// Takes the high end away, and says how much it held.
fn cut_high(mass: &mut Vec<f64>) -> f64 {
    let mut total = 0.0;
    while let Some(last) = mass.last().copied()
        && mass.len() > 1
        && total + last < CUT
    {
        total += last;
        mass.pop();
    }
    total
}
