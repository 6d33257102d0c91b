//! Upper bounds on P(sum of s_i B_i >= t) for independent B_i ~ Bernoulli(p): never below the probability itself.

use crate::numeric::Sum;
use statrs::distribution::{ContinuousCDF, Normal};
use std::collections::BTreeMap;

/// Up to so many scores every outcome is enumerated, half against half.
const ENUMERATED: usize = 40;
/// Up to so many scores the distribution is computed on a grid.
const ON_GRID: usize = 512;
/// Cells of that grid.
const CELLS: f64 = 65_536.0;
/// Sums that differ by less than this share of the total are one: what rounding splits, and ties at t count.
const ROUNDING: f64 = 1e-11;
/// What is less than this above a whole number of cells is that number: the rounding of a division.
const CELL_ROUNDING: f64 = 1e-7;
/// Scores that differ by less than this share are one in the exponential bound, which their convexity keeps an upper bound.
const STEP: f64 = 1e-3;
/// The constant of the Berry-Esseen inequality for summands that differ (Shevtsova 2010, Dokl. Math. 82:862).
const BERRY_ESSEEN: f64 = 0.56;

/// How a bound was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TailMethod {
    /// Every outcome counted: the probability itself.
    Exact,
    /// The distribution on a grid, every score rounded up: the probability itself where the scores lie on the grid.
    Grid,
    /// The normal distribution and the most that it can be off (Berry-Esseen).
    Normal,
    /// The exponential bound (Chernoff 1952).
    Exponential,
    /// The excess over a threshold, whatever the dependence within clusters.
    Excess,
}

/// An upper bound on a tail probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// The bound, in \[0, 1\].
    pub p_value: f64,
    /// How it was computed.
    pub method: TailMethod,
}

/// Scores and a threshold, prepared so that bounds at many p cost little.
#[derive(Debug, Clone)]
pub(super) struct Tails {
    threshold: f64,
    sum: f64,
    squares: f64,
    cubes: f64,
    size: usize,
    halves: Option<Halves>,
    grid: Option<Vec<usize>>,
    cell: f64,
    pub(super) groups: Groups,
}

/// The least of the upper bounds on P(sum of s_i B_i >= threshold), B_i ~ Bernoulli(p) independent. `None` for scores that
/// are negative or no numbers, or p outside \[0, 1\].
pub fn tail_bound(scores: &[f64], threshold: f64, p: f64) -> Option<Tail> {
    let sound = scores.iter().all(|score| *score >= 0.0 && score.is_finite()) && (0.0..=1.0).contains(&p);
    (sound && threshold.is_finite()).then(|| Tails::new(scores, threshold).bound(p))
}

impl Tails {
    /// `scores` are at least 0 and finite; those that are 0 change nothing.
    pub(super) fn new(scores: &[f64], threshold: f64) -> Tails {
        let mut scores: Vec<f64> = scores.iter().copied().filter(|score| *score > 0.0).collect();
        scores.sort_by(f64::total_cmp);
        let total = |power: i32| scores.iter().map(|score| score.powi(power)).collect::<Sum>().value();
        let sum = total(1);
        // Ties at the threshold count: what rounding has put just below it is at it.
        let threshold = threshold - ROUNDING * sum;
        let enumerated = scores.len() <= ENUMERATED;
        let (grid, cell) = if !enumerated && scores.len() <= ON_GRID { on_grid(&scores, sum) } else { (None, 0.0) };
        Tails {
            threshold,
            sum,
            squares: total(2),
            cubes: total(3),
            size: scores.len(),
            halves: enumerated.then(|| Halves::new(&scores, threshold)),
            grid,
            cell,
            groups: Groups::new(&scores),
        }
    }

    /// The least of the bounds at p.
    pub(super) fn bound(&self, p: f64) -> Tail {
        let certain = Tail { p_value: 1.0, method: TailMethod::Exact };
        if self.threshold <= 0.0 || self.size == 0 || p >= 1.0 {
            return certain;
        }
        if p <= 0.0 {
            return Tail { p_value: 0.0, ..certain };
        }
        if let Some(halves) = &self.halves {
            return Tail { p_value: halves.probability(p), ..certain };
        }
        let mut bounds = vec![
            Tail { p_value: self.normal(p), method: TailMethod::Normal },
            Tail { p_value: self.groups.exponential(p, self.threshold), method: TailMethod::Exponential },
        ];
        if let Some(grid) = &self.grid {
            let p_value = grid_tail(grid, self.threshold / self.cell, p);
            bounds.push(Tail { p_value, method: TailMethod::Grid });
        }
        bounds.into_iter().min_by(|a, b| a.p_value.total_cmp(&b.p_value)).unwrap_or(certain)
    }

    /// Phi(-z) + C sum E|s (B - p)|^3 / sigma^3, with E|B - p|^3 = p q (p^2 + q^2).
    fn normal(&self, p: f64) -> f64 {
        let q = 1.0 - p;
        let variance = p * q * self.squares;
        if variance <= 0.0 {
            return if self.threshold > p * self.sum { 0.0 } else { 1.0 };
        }
        let z = (self.threshold - p * self.sum) / variance.sqrt();
        let error = BERRY_ESSEEN * p * q * (p * p + q * q) * self.cubes / variance.powf(1.5);
        (Normal::standard().cdf(-z) + error).min(1.0)
    }
}

/// All sums of either half of the scores: every sum of all is one of each.
#[derive(Debug, Clone)]
struct Halves {
    /// For each sum of the first half: its ones, and from which of the second half's sums on the threshold is reached.
    first: Vec<(u8, u32)>,
    /// The ones of the second half's sums, in ascending order of the sums.
    second: Vec<u8>,
    sizes: (i32, i32),
}

impl Halves {
    fn new(scores: &[f64], threshold: f64) -> Halves {
        let (left, right) = scores.split_at(scores.len() / 2);
        let mut second = sums(right);
        second.sort_by(|a, b| a.0.total_cmp(&b.0));
        let reach = |sum: f64| second.partition_point(|(other, _)| sum + other < threshold);
        let first = sums(left).into_iter().map(|(sum, ones)| (ones, u32::try_from(reach(sum)).unwrap_or(u32::MAX)));
        let size = |half: &[f64]| i32::try_from(half.len()).unwrap_or(i32::MAX);
        Halves {
            first: first.collect(),
            second: second.iter().map(|(_, ones)| *ones).collect(),
            sizes: (size(left), size(right)),
        }
    }

    fn probability(&self, p: f64) -> f64 {
        let chance = |ones: u8, of: i32| p.powi(i32::from(ones)) * (1.0 - p).powi(of - i32::from(ones));
        // Suffix sums from the largest down.
        let mut beyond = vec![0.0; self.second.len() + 1];
        for (index, ones) in self.second.iter().enumerate().rev() {
            beyond[index] = beyond[index + 1] + chance(*ones, self.sizes.1);
        }
        let reached = |from: u32| beyond.get(from as usize).copied().unwrap_or(0.0);
        let total = self.first.iter().map(|(ones, from)| chance(*ones, self.sizes.0) * reached(*from)).collect::<Sum>();
        total.value().clamp(0.0, 1.0)
    }
}

/// Every sum of the scores, with how many of them it takes.
fn sums(scores: &[f64]) -> Vec<(f64, u8)> {
    let mut all = vec![(0.0, 0)];
    for score in scores {
        let with: Vec<(f64, u8)> = all.iter().map(|(sum, ones)| (sum + score, ones + 1)).collect();
        all.extend(with);
    }
    all
}

/// Scores in cells of a grid that divides the largest of them evenly, each rounded up, and the size of a cell.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the number of cells")]
fn on_grid(ascending: &[f64], sum: f64) -> (Option<Vec<usize>>, f64) {
    let Some(largest) = ascending.last() else { return (None, 0.0) };
    let cell = largest / (CELLS * largest / sum).floor().max(1.0);
    let cells = |score: &f64| (score / cell - CELL_ROUNDING).ceil().max(1.0) as usize;
    (Some(ascending.iter().map(cells).collect()), cell)
}

/// P(sum of k_i B_i >= threshold): if the rounded scores do not reach it, the scores do not.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of cells")]
#[expect(clippy::cast_precision_loss, reason = "a few hundred scores")]
fn grid_tail(scores: &[usize], threshold: f64, p: f64) -> f64 {
    // Every score may have been rounded down by so much.
    let target = (threshold - CELL_ROUNDING * (scores.len() + 1) as f64).ceil().max(0.0) as usize;
    // Mass that has reached the target stays there.
    let mut mass = vec![0.0; target + 1];
    mass[0] = 1.0;
    let mut top = 0;
    for score in scores {
        for at in (0..=top.min(target.saturating_sub(1))).rev() {
            let moved = p * mass[at];
            mass[at] -= moved;
            mass[(at + score).min(target)] += moved;
        }
        top = (top + score).min(target);
    }
    mass[target].clamp(0.0, 1.0)
}

/// Scores and how often each occurs.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    counts: Vec<(f64, f64)>,
    sum: f64,
    squares: f64,
}

impl Groups {
    /// Each score is divided between the two powers of 1 + [`STEP`] next to it so that their mean is the score. The
    /// logarithm of E exp(theta s B) is convex in s, so that this can only raise it.
    fn new(scores: &[f64]) -> Groups {
        let mut counts: BTreeMap<u64, f64> = BTreeMap::new();
        let mut distinct = scores.to_vec();
        distinct.dedup();
        let few = distinct.len() <= 4096;
        for score in scores {
            if few {
                *counts.entry(score.to_bits()).or_default() += 1.0;
                continue;
            }
            let power = (score.ln() / STEP.ln_1p()).floor();
            let (low, high) = ((power * STEP.ln_1p()).exp(), ((power + 1.0) * STEP.ln_1p()).exp());
            let above = ((score - low) / (high - low)).clamp(0.0, 1.0);
            *counts.entry(low.to_bits()).or_default() += 1.0 - above;
            *counts.entry(high.to_bits()).or_default() += above;
        }
        // Positive doubles are in the order of their bits.
        let counts: Vec<(f64, f64)> = counts.into_iter().map(|(bits, count)| (f64::from_bits(bits), count)).collect();
        let total = |power: i32| counts.iter().map(|(score, count)| count * score.powi(power)).collect::<Sum>().value();
        Groups { sum: total(1), squares: total(2), counts }
    }

    /// The least over theta >= 0 of exp(-theta t) prod (1 + p (exp(theta s) - 1)) (Chernoff 1952), by bisection of the
    /// derivative of its logarithm, which is convex. Any theta gives a bound.
    pub(super) fn exponential(&self, p: f64, threshold: f64) -> f64 {
        if threshold <= p * self.sum || self.squares <= 0.0 {
            return 1.0;
        }
        let odds = (1.0 - p) / p;
        let slope = |theta: f64| {
            let tilted = self.counts.iter().map(|(s, count)| count * s / (1.0 + odds * (-theta * s).exp()));
            tilted.sum::<f64>() - threshold
        };
        let mut high = 1.0 / self.squares.sqrt();
        let mut doublings = 0;
        while slope(high) < 0.0 && doublings < 60 {
            high *= 2.0;
            doublings += 1;
        }
        let mut low = 0.0;
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if slope(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        // ln(1 + p (e^x - 1)) = x + ln p + ln(1 + (q/p) e^-x), which does not overflow.
        let log = self.counts.iter().map(|(s, count)| {
            let x = low * s;
            count * (x + p.ln() + (odds * (-x).exp()).ln_1p())
        });
        (log.collect::<Sum>().value() - low * threshold).exp().min(1.0)
    }
}
