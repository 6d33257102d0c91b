//! What is true of a world, by enumerating prompts, user types, pairs, annotators and times.
//!
//! Nothing here is sampled, and nothing comes from the code that audits logs.

use super::scene::{Answering, Policy, Prompt, Scene, exp, inclusion, ln, logistic};
use crate::declare::Levels;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// The quantiles of the weights that are given.
const QUANTILES: [(&str, f64); 8] = [
    ("0.01", 0.01),
    ("0.05", 0.05),
    ("0.25", 0.25),
    ("0.5", 0.5),
    ("0.75", 0.75),
    ("0.95", 0.95),
    ("0.99", 0.99),
    ("0.999", 0.999),
];

/// What is true of a world.
///
/// Accuracies are the probability that a policy's preference (the sign of log pi - log pi_ref) agrees with the label,
/// among comparisons that are not abstained from; a tie counts one half, and so does a policy that likes both responses
/// alike. Labels are those of the world's annotators and times, averaged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Truth {
    /// By cell (domain, user type), for cells with logged or target mass.
    pub cells: BTreeMap<Levels, CellTruth>,
    /// The reference, the candidates, and the oracle pi_ref exp(E_T\[r* | x\] / beta), in that order.
    pub policies: Vec<PolicyTruth>,
    /// The weights w = p_T/p_O * g_T/g_O of the log as designed: no selection, no defects.
    pub weights: WeightTruth,
    /// p_T of the cells that are never logged.
    pub unsupported_target_mass: f64,
    /// The mass that p_T times g_T has on pairs that g_O never shows, in cells that are logged.
    pub missing_pair_mass: f64,
    /// I(C; X) in nats, of user type and prompt in the log. Within a domain all types ask alike, so that it is I(C; domain).
    pub mutual_information: f64,
    /// The largest g_T/g_O of any pair that a mechanism can show, by mechanism.
    pub max_pair_ratio: BTreeMap<String, f64>,
}

/// What is true of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CellTruth {
    /// p_O of the cell.
    pub p_observed: f64,
    /// p_T of the cell.
    pub p_target: f64,
    /// E\[g_T/g_O\] under g_O: 1 less the mass of g_T on pairs that are never shown.
    pub mean_pair_ratio: f64,
    /// E\[(g_T/g_O)^2\] under g_O.
    pub mean_square_pair_ratio: f64,
    /// The largest g_T/g_O of any pair.
    pub max_pair_ratio: f64,
}

/// What is true of one policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicyTruth {
    /// Its name.
    pub name: String,
    /// Under p_T and g_T, without a hidden confounder: what an estimate is an estimate of.
    pub target_accuracy: f64,
    /// Under p_O and g_O, as logged: with the hidden confounder and the selection of labels, if there are any.
    pub observational_accuracy: f64,
    /// Where the self-normalised weighted estimate from the log goes as rows grow, with p_O counted from the log: the target
    /// accuracy, unless a cell or pair is unsupported, a confounder hidden or a selection unlogged.
    pub weighted_accuracy: f64,
    /// `target_accuracy` within each cell of positive target mass.
    pub target_by_cell: BTreeMap<Levels, f64>,
    /// J = E_T\[r*\] - beta KL(pi || pi_ref), the paper's section 8; r* without the annotators' biases.
    pub welfare: f64,
}

/// The distribution of the weights of the log as designed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WeightTruth {
    /// E\[w\].
    pub mean: f64,
    /// E\[w^2\].
    pub mean_square: f64,
    /// The largest weight.
    pub max: f64,
    /// The smallest weight that is reached with at least this probability.
    pub quantiles: BTreeMap<&'static str, f64>,
}

impl Truth {
    /// E\[w^2\] for another target over the cells; `None` where it has mass on a cell that is never logged.
    pub fn mean_square_weight_for(&self, target: &BTreeMap<Levels, f64>) -> Option<f64> {
        let term = |(cell, mass): (&Levels, &f64)| {
            let truth = self.cells.get(cell).filter(|truth| truth.p_observed > 0.0)?;
            Some(mass * mass / truth.p_observed * truth.mean_square_pair_ratio)
        };
        target.iter().filter(|(_, mass)| **mass > 0.0).map(term).sum()
    }

    /// What is true of the policy of that name.
    pub fn policy(&self, name: &str) -> Option<&PolicyTruth> {
        self.policies.iter().find(|policy| policy.name == name)
    }
}

/// Sums over the pairs of one prompt for one type of user, time averaged.
#[derive(Default)]
struct Sums {
    /// Logged: sum of g_O s, with s the probability of a label.
    shown: f64,
    /// Logged as counted by whoever weighs: the same, or sum of g_O where the log says s.
    counted: f64,
    /// Weighted: sum of g_T s over pairs with g_O > 0.
    weighted: f64,
    /// Sum of g_T over pairs with g_O = 0.
    missing: f64,
    ratio: f64,
    square_ratio: f64,
    max_ratio: f64,
    /// By policy: of g_T times agreement, of g_O s times agreement as logged, of g_T s times agreement as logged.
    target: Vec<f64>,
    logged: Vec<f64>,
    weighted_agreement: Vec<f64>,
    welfare: Vec<f64>,
    /// g_T/g_O and its probability, for each pair and time.
    ratios: Vec<(f64, f64)>,
}

/// Who answers, with the probability: the distinct annotators.
type Answerers = Vec<(Answering, f64)>;

impl Scene {
    /// Enumerates what is true of this world.
    pub fn truth(&self) -> Truth {
        let cells = self.cells();
        let answerers = self.answerers();
        let prompts: Vec<(usize, usize)> =
            (0..self.world.user_types.len()).flat_map(|c| (0..self.prompts.len()).map(move |x| (c, x))).collect();
        let sums: Vec<Sums> = prompts.into_par_iter().map(|(c, x)| self.sums(c, x, &answerers)).collect();
        let mut total = Total::new(self);
        for (user_type, (own, shares)) in self.world.user_types.iter().zip(cells).enumerate() {
            for (domain, (name, p_observed)) in self.domains.iter().zip(shares).enumerate() {
                let cell = vec![name.clone(), own.name.clone()];
                let p_target = self.world.target.get(&cell).copied().unwrap_or(0.0);
                if p_observed <= 0.0 && p_target <= 0.0 {
                    continue;
                }
                let of_domain = self.by_domain.get(domain).map_or(&[][..], Vec::as_slice);
                let of_cell: Vec<&Sums> =
                    of_domain.iter().filter_map(|x| sums.get(user_type * self.prompts.len() + x)).collect();
                total.add_cell(cell, (p_observed, p_target), &of_cell);
            }
        }
        total.truth.mutual_information = self.mutual_information();
        total.truth.max_pair_ratio = self.max_pair_ratios();
        total.finish()
    }

    fn answerers(&self) -> Answerers {
        let own = &self.world.annotators;
        if own.count == 0 || (own.position.abs() + own.attribute.abs()) <= 0.0 {
            return vec![(Answering::default(), 1.0)];
        }
        let share = 1.0 / own.count as f64;
        (0..own.count).map(|index| (self.annotator(index), share)).collect()
    }

    fn sums(&self, user_type: usize, x: usize, answerers: &Answerers) -> Sums {
        let zeros = vec![0.0; self.policies.len()];
        let mut sums =
            Sums { target: zeros.clone(), logged: zeros.clone(), weighted_agreement: zeros.clone(), ..Sums::default() };
        let Some(prompt) = self.prompts.get(x) else { return sums };
        for epoch in &self.epochs {
            let Some(shown) = self.shown(epoch.mechanism, user_type, x) else { continue };
            for (pair, g_o) in shown.pairs.iter().zip(&shown.propensity) {
                let g_t = self.target_propensity(prompt, *pair, *g_o);
                let (Some(a), Some(b)) = (prompt.responses.get(pair.0), prompt.responses.get(pair.1)) else { continue };
                let selected = inclusion(self.world.flaws.selection.as_ref(), a, b);
                // With the inclusion logged, weighting divides by it.
                let corrected = self.world.flaws.selection.is_none_or(|selection| selection.logged);
                let weighted = g_t * if corrected { 1.0 } else { selected };
                if *g_o > 0.0 {
                    let ratio = g_t / g_o;
                    sums.shown += epoch.share * g_o * selected;
                    sums.counted += epoch.share * g_o * if corrected { 1.0 } else { selected };
                    sums.weighted += epoch.share * weighted;
                    sums.ratio += epoch.share * g_t;
                    sums.square_ratio += epoch.share * g_t * ratio;
                    sums.max_ratio = sums.max_ratio.max(ratio);
                    sums.ratios.push((ratio, epoch.share * g_o));
                } else {
                    sums.missing += epoch.share * g_t;
                }
                let answering = |own: &Answering| Answering { attribute: own.attribute + epoch.drift, ..*own };
                let (mut clean, mut as_logged) = (0.0, 0.0);
                let hidden = self.hidden_log_odds(x, *pair);
                let there = self.world.flaws.hidden.as_ref().map_or(0.0, |hidden| hidden.share);
                for (own, probability) in answerers {
                    let log_odds = self.log_odds(user_type, a, b, answering(own));
                    let (without, with) = (logistic(log_odds), logistic(log_odds + hidden));
                    clean += probability * without;
                    as_logged += probability * ((1.0 - there) * without + there * with);
                }
                for (index, policy) in self.policies.iter().enumerate() {
                    let margin = policy.margin(x, *pair);
                    let add = |sum: Option<&mut f64>, amount: f64| sum.into_iter().for_each(|sum| *sum += amount);
                    let logged = self.agreement(margin, as_logged);
                    add(sums.target.get_mut(index), epoch.share * g_t * self.agreement(margin, clean));
                    add(sums.logged.get_mut(index), epoch.share * g_o * selected * logged);
                    if *g_o > 0.0 {
                        add(sums.weighted_agreement.get_mut(index), epoch.share * weighted * logged);
                    }
                }
            }
        }
        sums.welfare = self.policies.iter().map(|policy| self.welfare(user_type, x, prompt, policy)).collect();
        sums
    }

    /// The probability that a preference of this sign agrees with the label, where a is preferred with probability `a`.
    fn agreement(&self, margin: f64, a: f64) -> f64 {
        let tie = self.world.labels.tie;
        let decided = if margin > 0.0 {
            a
        } else if margin < 0.0 {
            1.0 - a
        } else {
            0.5
        };
        tie * 0.5 + (1.0 - tie) * decided
    }

    /// E_pi\[r*\] - beta KL(pi || pi_ref) for one prompt and type of user (paper, section 8).
    fn welfare(&self, user_type: usize, x: usize, prompt: &Prompt, policy: &Policy) -> f64 {
        let alpha = self.world.user_types.get(user_type).map_or(0.0, |own| own.alpha) + self.mean_drift();
        let of = |policy: &Policy| policy.logp.get(x).cloned().unwrap_or_default();
        let reference = self.policies.first().map(of).unwrap_or_default();
        let terms = prompt.responses.iter().zip(of(policy)).zip(reference);
        terms
            .map(|((response, logp), reference)| {
                let reward = response.base + alpha * response.attribute;
                exp(logp) * (reward - self.world.beta * (logp - reference))
            })
            .sum()
    }

    /// I(C; X) = sum of p(c, x) ln p(c, x) / (p(c) p(x)).
    fn mutual_information(&self) -> f64 {
        let cells = self.cells();
        let domain_mass = |domain: usize| cells.iter().filter_map(|own| own.get(domain)).sum::<f64>();
        let by_domain: Vec<f64> = (0..self.domains.len()).map(domain_mass).collect();
        let mut information = 0.0;
        for own in &cells {
            let of_type: f64 = own.iter().sum();
            for (p, of_domain) in own.iter().zip(&by_domain).filter(|(p, _)| **p > 0.0) {
                information += p * ln(p / (of_type * of_domain));
            }
        }
        // Independence leaves rounding of either sign.
        information.max(0.0)
    }

    fn max_pair_ratios(&self) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        for (mechanism, by_type) in self.world.mechanisms.iter().zip(&self.shown) {
            let largest: &mut f64 = all.entry(mechanism.id.clone()).or_insert(0.0);
            for (prompt, shown) in by_type.iter().flat_map(|of_type| self.prompts.iter().zip(of_type)) {
                for (pair, g_o) in shown.pairs.iter().zip(&shown.propensity).filter(|(_, g_o)| **g_o > 0.0) {
                    *largest = largest.max(self.target_propensity(prompt, *pair, *g_o) / g_o);
                }
            }
        }
        all
    }
}

/// Sums over cells.
struct Total {
    truth: Truth,
    weights: Vec<(f64, f64)>,
    /// Probability of a labelled row, and by policy of one that agrees.
    shown: f64,
    logged: Vec<f64>,
    /// Weighted mass, and by policy of what agrees.
    weighted: f64,
    weighted_agreement: Vec<f64>,
}

impl Total {
    fn new(scene: &Scene) -> Total {
        let policies: Vec<PolicyTruth> = scene
            .policies
            .iter()
            .map(|policy| PolicyTruth { name: policy.name.clone(), ..PolicyTruth::default() })
            .collect();
        let zeros = vec![0.0; policies.len()];
        Total {
            truth: Truth { policies, ..Truth::default() },
            weights: Vec::new(),
            shown: 0.0,
            logged: zeros.clone(),
            weighted: 0.0,
            weighted_agreement: zeros,
        }
    }

    fn add_cell(&mut self, cell: Levels, (p_observed, p_target): (f64, f64), prompts: &[&Sums]) {
        let share = 1.0 / prompts.len() as f64;
        let mean = |value: fn(&Sums) -> f64| prompts.iter().map(|sums| value(sums)).sum::<f64>() * share;
        let mean_of = |values: fn(&Sums) -> &[f64], index: usize| {
            prompts.iter().filter_map(|sums| values(sums).get(index)).sum::<f64>() * share
        };
        let counted = mean(|sums| sums.counted);
        self.shown += p_observed * mean(|sums| sums.shown);
        let supported = p_observed > 0.0 && counted > 0.0;
        if supported {
            // p_O is counted from the log, so that a cell's mass is what is labelled of it.
            self.weighted += p_target * mean(|sums| sums.weighted) / counted;
            self.truth.missing_pair_mass += p_target * mean(|sums| sums.missing);
            let factor = p_target / p_observed;
            for (ratio, probability) in prompts.iter().flat_map(|sums| &sums.ratios) {
                self.weights.push((factor * ratio, p_observed * share * probability));
            }
        } else {
            self.truth.unsupported_target_mass += p_target;
        }
        for index in 0..self.truth.policies.len() {
            let target = mean_of(|sums| &sums.target, index);
            if let Some(sum) = self.logged.get_mut(index) {
                *sum += p_observed * mean_of(|sums| &sums.logged, index);
            }
            if let Some(sum) = self.weighted_agreement.get_mut(index).filter(|_| supported) {
                *sum += p_target * mean_of(|sums| &sums.weighted_agreement, index) / counted;
            }
            let Some(policy) = self.truth.policies.get_mut(index).filter(|_| p_target > 0.0) else { continue };
            policy.target_accuracy += p_target * target;
            policy.welfare += p_target * mean_of(|sums| &sums.welfare, index);
            policy.target_by_cell.insert(cell.clone(), target);
        }
        let own = CellTruth {
            p_observed,
            p_target,
            mean_pair_ratio: mean(|sums| sums.ratio),
            mean_square_pair_ratio: mean(|sums| sums.square_ratio),
            max_pair_ratio: prompts.iter().map(|sums| sums.max_ratio).fold(0.0, f64::max),
        };
        self.truth.cells.insert(cell, own);
    }

    fn finish(mut self) -> Truth {
        for (index, policy) in self.truth.policies.iter_mut().enumerate() {
            let of = |sums: &[f64]| sums.get(index).copied().unwrap_or(0.0);
            policy.observational_accuracy = of(&self.logged) / self.shown;
            policy.weighted_accuracy = of(&self.weighted_agreement) / self.weighted;
        }
        self.weights.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let total: f64 = self.weights.iter().map(|(_, p)| p).sum();
        let mean = self.weights.iter().map(|(w, p)| w * p).sum::<f64>() / total;
        let mean_square = self.weights.iter().map(|(w, p)| w * w * p).sum::<f64>() / total;
        let mut below = 0.0;
        let mut quantiles = BTreeMap::new();
        let mut wanted = QUANTILES.iter().peekable();
        for (weight, probability) in &self.weights {
            below += probability / total;
            while let Some((name, _)) = wanted.next_if(|(_, level)| below >= *level) {
                quantiles.insert(*name, *weight);
            }
        }
        self.truth.weights =
            WeightTruth { mean, mean_square, max: self.weights.last().map_or(0.0, |(weight, _)| *weight), quantiles };
        self.truth
    }
}

/// A number of JSON, or null.
fn finite(value: f64) -> Json {
    serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number)
}

impl Scene {
    /// What is true of a log of `rows` rows, as truth.json has it.
    pub fn truth_json(&self, truth: &Truth, rows: u64, seed: u64) -> Json {
        let world = &self.world;
        let by_policy = |value: fn(&PolicyTruth) -> Json, reference: bool| -> Json {
            let policies = truth.policies.iter().skip(usize::from(!reference));
            policies.map(|policy| (policy.name.clone(), value(policy))).collect::<Map<_, _>>().into()
        };
        let by_cell = |value: fn(&CellTruth) -> f64| -> Json {
            truth.cells.iter().map(|(cell, own)| (cell.join("|"), finite(value(own)))).collect::<Map<_, _>>().into()
        };
        let within = |policy: &PolicyTruth| -> Json {
            policy.target_by_cell.iter().map(|(cell, p)| (cell.join("|"), finite(*p))).collect::<Map<_, _>>().into()
        };
        let sizes: Vec<usize> = self.prompts.iter().map(|prompt| prompt.responses.len()).collect();
        let size = sizes.first().filter(|first| sizes.iter().all(|size| size == *first));
        let mut generators: Vec<&String> =
            self.prompts.iter().flat_map(|p| &p.responses).filter_map(|r| r.generator.as_ref()).collect();
        generators.sort();
        generators.dedup();
        let weights = &truth.weights;
        let quantiles: BTreeMap<&str, Json> = weights.quantiles.iter().map(|(name, w)| (*name, finite(*w))).collect();
        let mut all = json!({
            "world": world.name,
            "n_rows": rows,
            "seed": seed,
            "n_prompts": self.prompts.len(),
            "responses_per_prompt": size,
            "domains": self.domains,
            "types": world.user_types.iter().map(|own| &own.name).collect::<Vec<_>>(),
            "generators": generators,
            "beta": world.beta,
            "target_preference_accuracy": by_policy(|policy| finite(policy.target_accuracy), false),
            "observational_preference_accuracy": by_policy(|policy| finite(policy.observational_accuracy), false),
            "weighted_preference_accuracy": by_policy(|policy| finite(policy.weighted_accuracy), false),
            "target_preference_accuracy_by_cell": by_policy(within, false),
            "p_observed_by_cell": by_cell(|cell| cell.p_observed),
            "p_target_by_cell": by_cell(|cell| cell.p_target),
            "mean_pair_ratio_by_cell": by_cell(|cell| cell.mean_pair_ratio),
            "weights_true_pO": {
                "mean": finite(weights.mean),
                "mean_sq": finite(weights.mean_square),
                "max": finite(weights.max),
                "n_eff": finite(rows as f64 * weights.mean * weights.mean / weights.mean_square),
                "quantiles": quantiles,
            },
            "unsupported_target_mass": finite(truth.unsupported_target_mass),
            "missing_pair_mass": finite(truth.missing_pair_mass),
            "mutual_information_nats": finite(truth.mutual_information),
            "max_pair_ratio_by_design": finite(truth.max_pair_ratio.values().copied().fold(0.0, f64::max)),
            "max_pair_ratio_by_mechanism": truth.max_pair_ratio,
            "about": "By enumeration, of the world as its document describes it. Ties and policies that like both \
                      responses alike count one half; abstentions are independent of everything and left out. \
                      observational and weighted accuracies have a hidden confounder and an unlogged selection of labels \
                      in them; every other defect happens to the log alone and is in no number here.",
        });
        if let Json::Object(object) = &mut all {
            object.insert(format!("welfare_J_beta_{}", world.beta), by_policy(|policy| finite(policy.welfare), true));
        }
        all
    }
}
