//! Sampling error of the bounds: a percentile bootstrap over clusters.
//!
//! Each replicate draws as many clusters as there are, with replacement, and computes the bounds of the rows drawn; the interval
//! takes the alpha/2 quantile of the lower ends and the 1 - alpha/2 quantile of the upper ends (Zhao, Small & Bhattacharya 2019,
//! JRSSB 81:735, theorem 1). Bounds depend on the weights summed by score alone, so that rows are sorted once, a replicate is
//! one sum over the clusters' rows, and bounds at every lambda follow from the replicates' sums.

use super::marginal::{Bounds, Level, Row, bounds_of_levels};
use crate::numeric::{Random, quantile_linear};
use rayon::prelude::*;

/// More different scores than this are rounded to so many steps, outwards for either end.
const MAX_LEVELS: usize = 1024;

/// The weights by score of every replicate.
#[derive(Debug, Clone)]
pub struct Resampled {
    /// With scores rounded down, for lower ends.
    lower: Replicates,
    /// With scores rounded up, for upper ends; `None` where nothing is rounded.
    upper: Option<Replicates>,
}

#[derive(Debug, Clone)]
struct Replicates {
    scores: Vec<f64>,
    /// By replicate, then by score: (fixed, varying).
    sums: Vec<Vec<(f64, f64)>>,
}

/// Draws `replicates` bootstrap samples of the clusters: `clusters[i]`, below `count`, is row i's; clusters without rows count as
/// drawn and hold nothing. The draws follow from `seed` and the replicate's number alone. `None` where lengths differ or a cluster
/// is not below `count`.
pub fn resample(rows: &[Row], clusters: &[u32], count: usize, (replicates, seed): (u32, u64)) -> Option<Resampled> {
    if rows.len() != clusters.len() || clusters.iter().any(|cluster| *cluster as usize >= count) {
        return None;
    }
    let mut scores: Vec<f64> = rows.iter().map(|row| row.score).collect();
    scores.sort_by(f64::total_cmp);
    scores.dedup_by(|a, b| a.total_cmp(b).is_eq());
    let sample = |scores: Vec<f64>, level: &dyn Fn(f64) -> usize| {
        let table = Table::new(rows, clusters, count, level);
        table.sample(scores, replicates, seed)
    };
    if scores.len() <= MAX_LEVELS {
        let level = |score: f64| scores.partition_point(|other| other.total_cmp(&score).is_lt());
        return Some(Resampled { lower: sample(scores.clone(), &level), upper: None });
    }
    let (low, high) = (scores.first().copied()?, scores.last().copied()?);
    let steps = as_f64(MAX_LEVELS - 1);
    let grid: Vec<f64> = (0..MAX_LEVELS).map(|step| low + (high - low) * as_f64(step) / steps).collect();
    let down = |score: f64| grid.partition_point(|edge| *edge <= score).saturating_sub(1);
    let up = |score: f64| grid.partition_point(|edge| *edge < score).min(MAX_LEVELS - 1);
    Some(Resampled { lower: sample(grid.clone(), &down), upper: Some(sample(grid.clone(), &up)) })
}

impl Resampled {
    /// The interval of the bounds at a lambda: at least `level` of the samples have their bounds inside. `None` where a replicate
    /// drew no weight, or for a level outside (0, 1).
    pub fn interval(&self, lambda: f64, level: f64) -> Option<Bounds> {
        let tail = (1.0 - level) / 2.0;
        let lower = quantile(self.lower.ends(lambda, &|bounds| bounds.lower)?, tail)?;
        let upper = self.upper.as_ref().unwrap_or(&self.lower).ends(lambda, &|bounds| bounds.upper)?;
        Some(Bounds { lower, upper: quantile(upper, 1.0 - tail)? })
    }
}

impl Replicates {
    fn ends(&self, lambda: f64, end: &(dyn Fn(Bounds) -> f64 + Sync)) -> Option<Vec<f64>> {
        let of = |sums: &Vec<(f64, f64)>| {
            let levels: Vec<Level> = self
                .scores
                .iter()
                .zip(sums)
                .filter(|(_, sums)| sums.0 + sums.1 > 0.0)
                .map(|(score, (fixed, varying))| Level { score: *score, fixed: *fixed, varying: *varying })
                .collect();
            bounds_of_levels(&levels, lambda).map(end)
        };
        self.sums.par_iter().map(of).collect()
    }
}

fn quantile(mut values: Vec<f64>, q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    quantile_linear(&values, q)
}

/// Rows in the order of their clusters.
struct Table {
    /// Where each cluster's entries begin; one more for the end.
    begins: Vec<usize>,
    /// Level, fixed part, varying part.
    entries: Vec<(u32, f64, f64)>,
    levels: usize,
}

impl Table {
    fn new(rows: &[Row], clusters: &[u32], count: usize, level: &dyn Fn(f64) -> usize) -> Table {
        let mut keyed: Vec<(u32, u32, f64, f64)> = rows
            .iter()
            .zip(clusters)
            .filter(|(row, _)| row.weight() > 0.0)
            .map(|(row, cluster)| (*cluster, small(level(row.score)), row.fixed, row.varying))
            .collect();
        // Stable, so that sums are in row order.
        keyed.sort_by_key(|(cluster, level, ..)| (*cluster, *level));
        let mut begins = Vec::with_capacity(count + 1);
        let mut entries: Vec<(u32, f64, f64)> = Vec::with_capacity(keyed.len());
        let mut rest = keyed.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).peekable();
        for cluster in 0..small(count) {
            begins.push(entries.len());
            while let Some(rows) = rest.next_if(|rows| rows.first().is_some_and(|row| row.0 == cluster)) {
                let sums = rows.iter().fold((0.0, 0.0), |sums, row| (sums.0 + row.2, sums.1 + row.3));
                entries.push((rows.first().map_or(0, |row| row.1), sums.0, sums.1));
            }
        }
        begins.push(entries.len());
        let levels = entries.iter().map(|entry| entry.0 as usize + 1).max().unwrap_or(0);
        Table { begins, entries, levels }
    }

    fn sample(&self, scores: Vec<f64>, replicates: u32, seed: u64) -> Replicates {
        let count = self.begins.len() - 1;
        let replicate = |times: &mut Vec<u16>, number: u32| {
            draw(times, count, seed, number);
            let mut sums = vec![(0.0, 0.0); self.levels];
            for (cluster, times) in times.iter().enumerate().filter(|(_, times)| **times > 0) {
                for (level, fixed, varying) in &self.entries[self.begins[cluster]..self.begins[cluster + 1]] {
                    let sum = &mut sums[*level as usize];
                    sum.0 += f64::from(*times) * fixed;
                    sum.1 += f64::from(*times) * varying;
                }
            }
            sums
        };
        // Collected in the order of their numbers: the thread count changes nothing.
        Replicates { scores, sums: (0..replicates).into_par_iter().map_init(Vec::new, replicate).collect() }
    }
}

/// How often each of `count` clusters is drawn, in as many draws.
fn draw(times: &mut Vec<u16>, count: usize, seed: u64, number: u32) {
    // An odd multiplier scatters neighbouring numbers over the generator's cycle.
    const SCATTER: u64 = 0xD134_2543_DE82_EF95;
    let mut random = Random::new(seed.wrapping_add(1 + u64::from(number)).wrapping_mul(SCATTER));
    times.clear();
    times.resize(count, 0);
    for _ in 0..count {
        let drawn = &mut times[random.below(count)];
        *drawn = drawn.saturating_add(1);
    }
}

fn small(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of levels are far below 2^53")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
