//! The world: its users, prompts, responses and pair mechanism, and its truth by enumeration.

use super::random::Random;
use crate::declare::Levels;
use chrono::NaiveDate;
use std::collections::BTreeMap;

/// A population of users, a set of prompts with one response a generator, and a mechanism that shows ordered pairs.
///
/// Fields may be set freely. Shares are relative: they are divided by their sum, and those not above zero count as zero.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// The levels of the covariate `domain`.
    pub domains: Vec<String>,
    /// The levels of the covariate `user_type`, with what their users ask and like.
    pub user_types: Vec<UserType>,
    /// How many prompts each domain has; a user asks each of them with equal probability.
    pub prompts_per_domain: usize,
    /// The models: each wrote one response to every prompt.
    pub generators: Vec<String>,
    /// The models' general quality in quarter doublings of the odds, in the order of `generators`: part of s_base.
    pub strengths: Vec<i32>,
    /// Seed of the responses' own scores.
    pub response_seed: u64,
    /// Epsilon, in \[0, 1\]: the share of pairs drawn uniformly from the ordered pairs of distinct responses. The others
    /// are drawn without replacement in proportion to the exponential of the router's score.
    pub uniform_share: f64,
    /// Probability that a labelled comparison is a tie, in \[0, 1\].
    pub tie_share: f64,
    /// Probability that the annotator abstains, in \[0, 1\].
    pub abstain_share: f64,
    /// How many annotators there are; each labels with equal probability.
    pub annotators: usize,
    /// The identifier of the pair-assignment mechanism.
    pub mechanism: String,
    /// The first day of the log.
    pub start: NaiveDate,
    /// How many days the log spans.
    pub days: u32,
}

/// A type of user.
#[derive(Debug, Clone, PartialEq)]
pub struct UserType {
    /// The level of the covariate `user_type`.
    pub name: String,
    /// Share of the traffic.
    pub share: f64,
    /// What these users ask: shares of the domains, in the order of [`World::domains`]. Those left out are zero.
    pub domain_shares: Vec<f64>,
    /// alpha_c: how much s_attr counts for these users, as r* = s_base + alpha_c * s_attr.
    pub alpha: i32,
    /// How much the router believes s_attr to count for these users: its score is s_base + tilt * s_attr.
    pub tilt: i32,
}

/// One prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Its identifier, such as `coding-07`.
    pub id: String,
    /// Index of its domain in [`World::domains`].
    pub domain: usize,
    /// s_base of the response of each generator, in quarter doublings.
    pub base: Vec<i32>,
    /// s_attr of the response of each generator, in quarter doublings.
    pub attribute: Vec<i32>,
}

/// What is true of a world and its uniform pair target g_T = 1/(K(K-1)), by enumeration.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// By cell (domain, user type), for cells of positive probability.
    pub cells: BTreeMap<Levels, CellTruth>,
    /// The bound on g_T/g_O that the mechanism's design gives: 1 / epsilon (infinite at epsilon = 0).
    pub max_pair_ratio: f64,
    /// E\[w^2\] under the target that is uniform over `cells`. As E\[w\] = 1, the expected n_eff/n tends to its inverse.
    pub mean_square_weight: f64,
}

/// What is true of one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellTruth {
    /// p_O of the cell.
    pub p_observed: f64,
    /// E\[g_T/g_O\] under g_O: 1 up to rounding, as every ordered pair has positive g_O.
    pub mean_pair_ratio: f64,
    /// E\[(g_T/g_O)^2\] under g_O.
    pub mean_square_pair_ratio: f64,
    /// The largest g_T/g_O of any pair.
    pub max_pair_ratio: f64,
}

impl Truth {
    /// E\[w^2\] for a target over the cells; `None` where the target has mass on a cell that is never logged.
    pub fn mean_square_weight_for(&self, target: &BTreeMap<Levels, f64>) -> Option<f64> {
        target.iter().filter(|(_, mass)| **mass > 0.0).map(|(cell, mass)| self.term(cell, *mass)).sum()
    }

    /// p_T^2/p_O * E\[(g_T/g_O)^2\] of one cell.
    fn term(&self, cell: &Levels, mass: f64) -> Option<f64> {
        let truth = self.cells.get(cell)?;
        Some(mass * mass / truth.p_observed * truth.mean_square_pair_ratio)
    }
}

impl World {
    /// Product telemetry: three quarters of the traffic is casual, experts ask mostly about coding, the two disagree
    /// about long answers, and the router shows them what it takes them to like.
    pub fn telemetry() -> World {
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        let user_type = |name: &str, share, domain_shares: [f64; 3], alpha, tilt| UserType {
            name: name.to_owned(),
            share,
            domain_shares: domain_shares.to_vec(),
            alpha,
            tilt,
        };
        World {
            domains: text(&["writing", "coding", "advice"]),
            user_types: vec![
                user_type("casual", 0.75, [0.5, 0.2, 0.3], -1, -1),
                user_type("expert", 0.25, [0.28, 0.44, 0.28], 2, 1),
            ],
            prompts_per_domain: 20,
            generators: text(&["aspen", "birch", "cedar", "hazel", "maple", "rowan"]),
            strengths: vec![3, 2, 1, 0, -2, -4],
            response_seed: 20_260_701,
            uniform_share: 0.5,
            tie_share: 0.03,
            abstain_share: 0.01,
            annotators: 12,
            mechanism: "router@2.1.0".to_owned(),
            start: NaiveDate::from_ymd_opt(2026, 7, 1).unwrap_or_default(),
            days: 92,
        }
    }

    /// Every prompt, domain by domain, with its responses' scores.
    pub fn prompts(&self) -> Vec<Prompt> {
        let mut random = Random::new(self.response_seed);
        let numbers =
            (0..self.domains.len()).flat_map(|domain| (1..=self.prompts_per_domain).map(move |n| (domain, n)));
        numbers
            .map(|(domain, number)| {
                let name = self.domains.get(domain).map(String::as_str).unwrap_or_default();
                let strength = |k: usize| self.strengths.get(k).copied().unwrap_or(0);
                Prompt {
                    id: format!("{name}-{number:02}"),
                    domain,
                    base: (0..self.generators.len())
                        .map(|k| strength(k).saturating_add(between(&mut random, 2)))
                        .collect(),
                    attribute: (0..self.generators.len()).map(|_| between(&mut random, 3)).collect(),
                }
            })
            .collect()
    }

    /// Joint probability of user type (outer, as in `user_types`) and domain (inner, as in `domains`).
    pub fn cell_probabilities(&self) -> Vec<Vec<f64>> {
        let types = shares(self.user_types.iter().map(|user_type| user_type.share));
        let conditional = |user_type: &UserType| {
            shares((0..self.domains.len()).map(|domain| user_type.domain_shares.get(domain).copied().unwrap_or(0.0)))
        };
        self.user_types
            .iter()
            .zip(types)
            .map(|(user_type, share)| conditional(user_type).into_iter().map(|p| share * p).collect())
            .collect()
    }

    /// g_O(a, b | x, c) of every ordered pair of distinct responses: index of a, index of b, probability.
    ///
    /// The pair is uniform over the K(K-1) ordered pairs with probability epsilon; otherwise a and then b are drawn
    /// without replacement in proportion to exp(score) (Plackett-Luce).
    pub fn pair_propensities(&self, prompt: &Prompt, user_type: &UserType) -> Vec<(usize, usize, f64)> {
        let epsilon = self.uniform_share.clamp(0.0, 1.0);
        let odds: Vec<f64> = scores(prompt, user_type.tilt).map(odds).collect();
        let total: f64 = odds.iter().sum();
        let uniform = self.target_propensity();
        let mut pairs = Vec::new();
        for (a, odds_a) in odds.iter().enumerate() {
            let others: f64 = odds.iter().enumerate().filter(|(b, _)| *b != a).map(|(_, odds)| odds).sum();
            for (b, odds_b) in odds.iter().enumerate().filter(|(b, _)| *b != a) {
                let drawn = (odds_a / total) * (odds_b / others);
                pairs.push((a, b, epsilon * uniform + (1.0 - epsilon) * drawn));
            }
        }
        pairs
    }

    /// g_T of every ordered pair: 1/(K(K-1)) for K generators; infinite below two generators, which have no pair.
    pub fn target_propensity(&self) -> f64 {
        let k = self.generators.len();
        1.0 / (k * k.saturating_sub(1)) as f64
    }

    /// The Bradley-Terry probability that response a beats response b for this user type (paper, section 3).
    pub fn preference(prompt: &Prompt, user_type: &UserType, a: usize, b: usize) -> Option<f64> {
        let rewards: Vec<i32> = scores(prompt, user_type.alpha).collect();
        let (odds_a, odds_b) = (odds(*rewards.get(a)?), odds(*rewards.get(b)?));
        Some(odds_a / (odds_a + odds_b))
    }

    /// What an audit of this world's logs should find, by enumerating prompts, types and pairs.
    pub fn truth(&self) -> Truth {
        let prompts = self.prompts();
        let mut cells = BTreeMap::new();
        for (user_type, probabilities) in self.user_types.iter().zip(self.cell_probabilities()) {
            for (domain, (name, p_observed)) in self.domains.iter().zip(probabilities).enumerate() {
                let of_domain: Vec<&Prompt> = prompts.iter().filter(|prompt| prompt.domain == domain).collect();
                if p_observed > 0.0 && !of_domain.is_empty() {
                    let truth = self.cell_truth(&of_domain, user_type, p_observed);
                    cells.insert(vec![name.clone(), user_type.name.clone()], truth);
                }
            }
        }
        let mass = 1.0 / cells.len() as f64;
        let uniform = cells.keys().map(|cell| (cell.clone(), mass)).collect();
        let mut truth = Truth { cells, max_pair_ratio: 1.0 / self.uniform_share, mean_square_weight: 0.0 };
        truth.mean_square_weight = truth.mean_square_weight_for(&uniform).unwrap_or(0.0);
        truth
    }

    fn cell_truth(&self, prompts: &[&Prompt], user_type: &UserType, p_observed: f64) -> CellTruth {
        let target = self.target_propensity();
        let mut truth =
            CellTruth { p_observed, mean_pair_ratio: 0.0, mean_square_pair_ratio: 0.0, max_pair_ratio: 0.0 };
        for prompt in prompts {
            for (_, _, propensity) in self.pair_propensities(prompt, user_type) {
                let ratio = target / propensity;
                let share = propensity / prompts.len() as f64;
                truth.mean_pair_ratio += share * ratio;
                truth.mean_square_pair_ratio += share * ratio * ratio;
                truth.max_pair_ratio = truth.max_pair_ratio.max(ratio);
            }
        }
        truth
    }
}

/// s_base + weight * s_attr of every response, in quarter doublings.
fn scores(prompt: &Prompt, weight: i32) -> impl Iterator<Item = i32> {
    let parts = prompt.base.iter().zip(&prompt.attribute);
    parts.map(move |(base, attribute)| base.saturating_add(weight.saturating_mul(*attribute)))
}

/// 2^(quarters / 4), with `quarters` held within ±160.
fn odds(quarters: i32) -> f64 {
    const ROOTS: [f64; 4] = [1.0, 1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];
    let quarters = quarters.clamp(-160, 160);
    let root = ROOTS.get(quarters.rem_euclid(4).unsigned_abs() as usize).copied().unwrap_or(1.0);
    let power = quarters.div_euclid(4);
    let doubled = (1_u64 << power.unsigned_abs()) as f64;
    if power < 0 { root / doubled } else { root * doubled }
}

/// A whole number, uniform on -limit..=limit.
fn between(random: &mut Random, limit: u8) -> i32 {
    let draw = random.below(2 * usize::from(limit) + 1);
    i32::try_from(draw).unwrap_or(0) - i32::from(limit)
}

/// Shares divided by their sum; those not above zero are zero, and all are where none is above it.
fn shares(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.map(|value| if value > 0.0 { value } else { 0.0 }).collect();
    let total: f64 = values.iter().sum();
    values.into_iter().map(|value| if total > 0.0 { value / total } else { 0.0 }).collect()
}
