//! A world made ready: its prompts and scores, and for every prompt and user type what is shown and liked.

use crate::declare::{
    Filter, Generated, MechanismVersion, Problem, Problems, Responses, Selection, Tilt, Toward, World, WorldPairs,
};
use crate::logs;
use crate::numeric::Random;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use std::collections::BTreeMap;

/// Most pairs of responses over all prompts, user types and mechanisms: some 800 MB of tables, and 160 MB for each component
/// of a mixture where the log names it.
const MAX_PAIRS: u64 = 20_000_000;
/// Log-probabilities are whole multiples of this, so that their sums and differences are exact and two responses that a
/// policy likes alike have a margin of exactly zero.
const GRID: f64 = (1_u64 << 30) as f64;

/// The reference's name among the policies.
pub(super) const REFERENCE: &str = "ref";
/// The name of the policy that maximises the target's welfare.
pub(super) const ORACLE: &str = "oracle";

/// A world made ready to draw from and to enumerate.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The world.
    pub world: World,
    /// The levels of the covariate `domain`.
    pub domains: Vec<String>,
    /// The prompts; those of one domain are asked with equal probability.
    pub prompts: Vec<Prompt>,
    /// Indices into `prompts`, by domain.
    pub(super) by_domain: Vec<Vec<usize>>,
    /// Stretches of the log within which neither mechanism nor tastes change.
    pub(super) epochs: Vec<Epoch>,
    /// The running sum of p_O over the cells: user types (outer), domains (inner).
    pub(super) cumulative_cells: Vec<f64>,
    /// What each mechanism shows: by mechanism, then user type, then prompt.
    pub(super) shown: Vec<Vec<Vec<Shown>>>,
    /// The policies: the reference, the candidates, the oracle.
    pub(super) policies: Vec<Policy>,
}

/// One prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Its identifier, such as `coding-07`.
    pub id: String,
    /// Index of its domain in [`Scene::domains`].
    pub domain: usize,
    /// Its responses.
    pub responses: Vec<Response>,
}

/// One response to a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Its identifier.
    pub id: String,
    /// The model that wrote it, where known.
    pub generator: Option<String>,
    /// s_base, in nats.
    pub base: f64,
    /// s_attr, in nats.
    pub attribute: f64,
}

/// The ordered pairs of a prompt with what a mechanism makes of them for one type of user.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shown {
    /// The pairs, by index of a and of b.
    pub pairs: Vec<(usize, usize)>,
    /// g_O of each pair.
    pub propensity: Vec<f64>,
    /// What g_O would be without the filter.
    pub before_filter: Vec<f64>,
    /// The running sum of `propensity`.
    pub(super) cumulative: Vec<f64>,
    /// For each pair the running sum of what each component of the mixture adds to it; empty where the log does not name
    /// the component.
    parts: Vec<f64>,
}

impl Shown {
    /// The running sum of what each component adds to a pair, in proportion to which it drew it; `None` where the log does
    /// not name the component.
    pub(super) fn parts_of(&self, place: usize) -> Option<&[f64]> {
        let components = self.parts.len() / self.pairs.len().max(1);
        self.parts.get(place * components..(place + 1) * components).filter(|own| !own.is_empty())
    }
}

/// A stretch of the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Epoch {
    /// Its share of the rows.
    pub(super) share: f64,
    /// Where it ends, as a share of the rows.
    pub(super) end: f64,
    /// The mechanism in use.
    pub(super) mechanism: usize,
    /// What is added to every alpha.
    pub(super) drift: f64,
}

/// A policy over a prompt's responses.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Policy {
    pub(super) name: String,
    /// What it adds to the reference's log-probability, up to the prompt's constant: by prompt and response.
    pub(super) tilt: Vec<Vec<f64>>,
    /// log pi, by prompt and response.
    pub(super) logp: Vec<Vec<f64>>,
}

/// Makes a world ready: makes up or reads the responses, and works out what is shown.
///
/// # Errors
/// The file of responses cannot be read or lacks what is needed; a domain or candidate that the world does not have; a
/// filter that leaves no pair; more pairs than fit in memory.
pub fn scene(world: &World) -> Result<Scene, Problems> {
    let (domains, prompts) = match &world.responses {
        Responses::Generated(generated) => {
            let prompts = generated.prompts_per_domain.saturating_mul(generated.domains.len() as u64);
            check_size(world, prompts.saturating_mul((generated.generators.len() as u64).saturating_pow(2)))?;
            (generated.domains.clone(), made_up(generated))
        }
        Responses::File(written) => {
            let (domains, prompts) = read(world, written)?;
            check_size(world, prompts.iter().map(|prompt| (prompt.responses.len() as u64).saturating_pow(2)).sum())?;
            (domains, prompts)
        }
    };
    check(world, &domains, &prompts)?;
    let by_domain: Vec<Vec<usize>> = (0..domains.len())
        .map(|domain| {
            (0..prompts.len()).filter(|index| prompts.get(*index).is_some_and(|p| p.domain == domain)).collect()
        })
        .collect();
    let epochs = epochs(world);
    let shown = world.mechanisms.iter().map(|mechanism| shown_by(world, mechanism, &prompts)).collect();
    let mut scene = Scene {
        world: world.clone(),
        domains,
        prompts,
        by_domain,
        epochs,
        cumulative_cells: Vec::new(),
        shown,
        policies: Vec::new(),
    };
    scene.cumulative_cells = running(scene.cells().into_iter().flatten());
    scene.policies = scene.policies();
    scene.check_pairs()?;
    Ok(scene)
}

/// e^x whose last digit does not depend on the machine.
pub(super) fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// ln x whose last digit does not depend on the machine.
pub(super) fn ln(x: f64) -> f64 {
    libm::log(x)
}

fn running(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut total = 0.0;
    let add = |value| {
        total += value;
        total
    };
    values.into_iter().map(add).collect()
}

fn problem(world: &World, message: String, help: &str) -> Problem {
    let help = (!help.is_empty()).then(|| help.to_owned());
    Problem { file: world.source.name.clone(), position: None, width: 1, line: None, message, help }
}

// ---- Responses ----

/// Every prompt, domain by domain, with its responses' scores.
fn made_up(generated: &Generated) -> Vec<Prompt> {
    let mut random = Random::new(generated.seed);
    let mut prompts = Vec::new();
    for (domain, name) in generated.domains.iter().enumerate() {
        for number in 1..=generated.prompts_per_domain {
            let id = format!("{name}-{number:02}");
            let mut noise = |limit: u64| whole(&mut random, limit);
            let base: Vec<f64> = generated.generators.iter().map(|g| g.base + noise(generated.base_noise)).collect();
            let attribute =
                generated.generators.iter().map(|g| g.attribute + noise(generated.attribute_noise)).collect::<Vec<_>>();
            let response = |((generator, base), attribute): ((&crate::declare::Generator, f64), f64)| Response {
                id: format!("{id}/{}", generator.name),
                generator: Some(generator.name.clone()),
                base: base * generated.step,
                attribute: attribute * generated.step,
            };
            let responses = generated.generators.iter().zip(base).zip(attribute).map(response).collect();
            prompts.push(Prompt { id, domain, responses });
        }
    }
    prompts
}

/// A whole number, uniform on -limit..=limit.
fn whole(random: &mut Random, limit: u64) -> f64 {
    let limit = limit.min(1 << 30);
    random.below(2 * limit as usize + 1) as f64 - limit as f64
}

/// The domains, sorted, and the prompts in the order of the file.
fn read(world: &World, written: &str) -> Result<(Vec<String>, Vec<Prompt>), Problems> {
    let rows = logs::read_responses(&world.folder, written)?;
    let mut domains: Vec<String> = rows.iter().map(|row| row.domain.clone()).collect();
    domains.sort();
    domains.dedup();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut prompts: Vec<Prompt> = Vec::new();
    for row in rows {
        let domain = domains.binary_search(&row.domain).unwrap_or_default();
        let place = *places.entry(row.prompt.clone()).or_insert_with(|| {
            prompts.push(Prompt { id: row.prompt.clone(), domain, responses: Vec::new() });
            prompts.len() - 1
        });
        let Some(prompt) = prompts.get_mut(place) else { continue };
        if prompt.domain != domain {
            let message = format!("{written}: prompt `{}` is of two domains", row.prompt.escape_debug());
            return Err(Problems(vec![problem(world, message, "give every prompt one domain")]));
        }
        let (generator, base, attribute) = (row.generator, row.base, row.attribute);
        prompt.responses.push(Response { id: row.response, generator, base, attribute });
    }
    Ok((domains, prompts))
}

// ---- Checks ----

/// Whether the tables of this many pairs of responses fit in memory, for every user type and mechanism.
fn check_size(world: &World, pairs: u64) -> Result<(), Problems> {
    let tables = (world.user_types.len() as u64).saturating_mul(world.mechanisms.len() as u64);
    if pairs.saturating_mul(tables) <= MAX_PAIRS {
        return Ok(());
    }
    let message =
        format!("{pairs} pairs of responses, times {tables} user types and mechanisms, are more than {MAX_PAIRS}");
    Err(Problems(vec![problem(world, message, "have fewer prompts or fewer responses a prompt")]))
}

fn check(world: &World, domains: &[String], prompts: &[Prompt]) -> Result<(), Problems> {
    let mut problems = Vec::new();
    let mut asked: Vec<&String> = world.user_types.iter().flat_map(|user_type| user_type.asks.keys()).collect();
    asked.extend(world.target.iter().filter(|(_, mass)| **mass > 0.0).filter_map(|(levels, _)| levels.first()));
    asked.sort();
    asked.dedup();
    for domain in asked.into_iter().filter(|domain| !domains.contains(domain)) {
        let message = format!("no prompt is of the domain `{}`", domain.escape_debug());
        let names: Vec<String> = domains.iter().take(24).map(|name| format!("`{}`", name.escape_debug())).collect();
        problems.push(problem(world, message, &format!("domains: {}", names.join(", "))));
    }
    if let Some(prompt) = prompts.iter().find(|prompt| prompt.responses.len() < 2) {
        let message = format!("prompt `{}` has fewer than two responses", prompt.id.escape_debug());
        problems.push(problem(world, message, "a comparison needs two; add some, or leave the prompt out"));
    }
    if prompts.is_empty() || world.user_types.is_empty() || world.mechanisms.is_empty() {
        problems.push(problem(world, "there are no prompts, users or mechanisms".to_owned(), "name some"));
    }
    let types = world.user_types.len();
    let of_types = |mechanism: &MechanismVersion| {
        mechanism.mixture.iter().all(|part| part.share.len() == types && part.score.len() == types)
    };
    if !world.mechanisms.iter().all(of_types) {
        problems.push(problem(world, "a mixture does not say what it does for every user type".to_owned(), ""));
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

impl Scene {
    /// Every prompt has a pair that each mechanism can show.
    fn check_pairs(&self) -> Result<(), Problems> {
        let mut problems = Vec::new();
        for (mechanism, by_type) in self.world.mechanisms.iter().zip(&self.shown) {
            for (prompt, shown) in by_type.iter().flat_map(|of_type| self.prompts.iter().zip(of_type)) {
                let total = shown.cumulative.last().copied().unwrap_or(0.0);
                if !(total > 0.0 && total.is_finite()) && problems.len() < 20 {
                    let (id, prompt) = (mechanism.id.escape_debug(), prompt.id.escape_debug());
                    let message = format!("mechanism `{id}` has no pair to show for prompt `{prompt}`");
                    problems.push(problem(&self.world, message, "soften its filter"));
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }
}

// ---- Who asks what ----

impl Scene {
    /// p_O: joint probability of user type (outer, as in the world) and domain (inner, as in `domains`).
    ///
    /// The paper's endogenous prompt selection p_O(x | c) (section 8); the dial moves it to what all users ask together.
    pub fn cells(&self) -> Vec<Vec<f64>> {
        let world = &self.world;
        let dial = world.confounding;
        let asks = |user_type: &crate::declare::UserType, domain: &String| {
            user_type.asks.get(domain).copied().filter(|share| *share > 0.0).unwrap_or(0.0)
        };
        let together: Vec<f64> = self
            .domains
            .iter()
            .map(|domain| world.user_types.iter().map(|own| own.share * asks(own, domain)).sum())
            .collect();
        let of_type = |own: &crate::declare::UserType| {
            let mixed = self.domains.iter().zip(&together);
            mixed.map(|(domain, all)| own.share * (dial * asks(own, domain) + (1.0 - dial) * all)).collect()
        };
        world.user_types.iter().map(of_type).collect()
    }
}

// ---- What is shown ----

/// Where mechanisms and tastes change.
fn epochs(world: &World) -> Vec<Epoch> {
    let ends = running(world.mechanisms.iter().map(|mechanism| mechanism.share));
    let mut cuts: Vec<f64> = ends.iter().copied().chain(world.labels.drift.iter().map(|(from, _)| *from)).collect();
    cuts.retain(|cut| *cut > 0.0 && *cut < 1.0);
    cuts.push(1.0);
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    let mut start = 0.0;
    let mut all = Vec::new();
    for end in cuts {
        let middle = f64::midpoint(start, end);
        let mechanism = ends.partition_point(|end| *end <= middle).min(world.mechanisms.len().saturating_sub(1));
        let drift = world.labels.drift.iter().rev().find(|(from, _)| *from <= middle).map_or(0.0, |(_, alpha)| *alpha);
        all.push(Epoch { share: end - start, end, mechanism, drift });
        start = end;
    }
    all
}

fn shown_by(world: &World, mechanism: &MechanismVersion, prompts: &[Prompt]) -> Vec<Vec<Shown>> {
    let named = world.component_logged;
    let of_type = |user_type| prompts.par_iter().map(|prompt| shown(prompt, mechanism, user_type, named)).collect();
    (0..world.user_types.len()).map(of_type).collect()
}

/// g_O(a, b | x, c) of every ordered pair: a mixture of draws of a and then b in proportion to exp(score / temperature),
/// with or without replacement (without: Plackett-Luce), then the filter and renormalisation.
fn shown(prompt: &Prompt, mechanism: &MechanismVersion, user_type: usize, component_named: bool) -> Shown {
    let k = prompt.responses.len();
    let replaced = mechanism.mixture.iter().any(|component| component.replacement);
    let pairs: Vec<(usize, usize)> =
        (0..k).flat_map(|a| (0..k).map(move |b| (a, b))).filter(|(a, b)| replaced || a != b).collect();
    let mut before_filter = vec![0.0; pairs.len()];
    let components = mechanism.mixture.len();
    let mut parts = vec![0.0; if component_named { pairs.len() * components } else { 0 }];
    for (index, component) in mechanism.mixture.iter().enumerate() {
        let (Some(share), Some(score)) = (component.share.get(user_type), component.score.get(user_type)) else {
            continue;
        };
        let drawn = component_pairs(prompt, score, component.temperature, component.replacement);
        for (place, (total, (a, b))) in before_filter.iter_mut().zip(&pairs).enumerate() {
            *total += share * drawn.get(a * k + b).copied().unwrap_or(0.0);
            if let Some(so_far) = parts.get_mut(place * components + index) {
                *so_far = *total;
            }
        }
    }
    let passes = |(a, b): &(usize, usize)| match (prompt.responses.get(*a), prompt.responses.get(*b)) {
        (Some(a), Some(b)) => lets_through(&mechanism.filter, a, b),
        _ => false,
    };
    let mut propensity = before_filter.clone();
    if mechanism.filter != Filter::default() {
        propensity.iter_mut().zip(&pairs).for_each(|(g, pair)| *g = if passes(pair) { *g } else { 0.0 });
        let left: f64 = propensity.iter().sum();
        propensity.iter_mut().for_each(|g| *g /= left);
    }
    let cumulative = running(propensity.iter().copied());
    Shown { pairs, propensity, before_filter, cumulative, parts }
}

fn lets_through(filter: &Filter, a: &Response, b: &Response) -> bool {
    filter.min_base.is_none_or(|min| a.base >= min && b.base >= min)
        && filter.max_gap.is_none_or(|max| (a.base - b.base).abs() <= max)
}

/// The probability of every ordered pair under one component, at a * K + b.
fn component_pairs(prompt: &Prompt, score: &Tilt, temperature: f64, replacement: bool) -> Vec<f64> {
    let scores: Vec<f64> = prompt.responses.iter().map(|response| tilted(response, score) / temperature).collect();
    let k = scores.len();
    let alike = scores.windows(2).all(|pair| matches!(pair, [x, y] if x.total_cmp(y).is_eq()));
    if alike {
        // As one division, so that the ratio to the uniform target is exactly 1.
        let uniform = 1.0 / (k * if replacement { k } else { k.saturating_sub(1) }) as f64;
        return (0..k * k).map(|at| if replacement || at / k != at % k { uniform } else { 0.0 }).collect();
    }
    let first = softmax(&scores, None);
    let mut all = Vec::with_capacity(k * k);
    for (a, p) in first.iter().enumerate() {
        let second = if replacement { first.clone() } else { softmax(&scores, Some(a)) };
        all.extend(second.into_iter().map(|q| p * q));
    }
    all
}

/// exp(score) over their sum, one score left out at zero.
fn softmax(scores: &[f64], skip: Option<usize>) -> Vec<f64> {
    let left = |index: usize| skip != Some(index);
    let largest =
        scores.iter().enumerate().filter(|(index, _)| left(*index)).map(|(_, s)| *s).fold(f64::NEG_INFINITY, f64::max);
    let odds: Vec<f64> =
        scores.iter().enumerate().map(|(index, s)| if left(index) { exp(s - largest) } else { 0.0 }).collect();
    let total: f64 = odds.iter().sum();
    odds.into_iter().map(|odds| odds / total).collect()
}

/// base * s_base + attribute * s_attr.
pub(super) fn tilted(response: &Response, tilt: &Tilt) -> f64 {
    tilt.base * response.base + tilt.attribute * response.attribute
}

impl Scene {
    /// What a mechanism shows a type of user for a prompt.
    pub fn shown(&self, mechanism: usize, user_type: usize, prompt: usize) -> Option<&Shown> {
        self.shown.get(mechanism)?.get(user_type)?.get(prompt)
    }

    /// g_T of a pair of a prompt's responses whose g_O is `propensity`.
    pub fn target_propensity(&self, prompt: &Prompt, (a, b): (usize, usize), propensity: f64) -> f64 {
        let k = prompt.responses.len();
        match self.world.pairs {
            WorldPairs::Logged => propensity,
            WorldPairs::Uniform if a == b => 0.0,
            WorldPairs::Uniform => 1.0 / (k * k.saturating_sub(1)) as f64,
        }
    }
}

// ---- What is liked ----

/// Who and when a comparison is answered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Answering {
    /// What the annotator adds to the log-odds of a.
    pub(super) position: f64,
    /// What the annotator and the time add to alpha.
    pub(super) attribute: f64,
}

impl Scene {
    /// The bias of an annotator.
    pub(super) fn annotator(&self, index: u64) -> Answering {
        let own = &self.world.annotators;
        let step = |index: u64| match own.count {
            0 | 1 => 0.0,
            count => 2.0 * index as f64 / (count - 1) as f64 - 1.0,
        };
        let shifted = (index + own.count / 2) % own.count.max(1);
        Answering { position: own.position * step(index), attribute: own.attribute * step(shifted) }
    }

    /// The log-odds that response a beats response b by Bradley-Terry, r* = s_base + alpha_c s_attr (paper, sections 3 and 8).
    pub(super) fn log_odds(&self, user_type: usize, a: &Response, b: &Response, answering: Answering) -> f64 {
        let alpha = self.world.user_types.get(user_type).map_or(0.0, |own| own.alpha) + answering.attribute;
        (a.base - b.base) + alpha * (a.attribute - b.attribute) + self.world.labels.position + answering.position
    }

    /// The Bradley-Terry probability that response a beats response b for a type of user, without anybody's bias or drift.
    pub fn preference(&self, user_type: usize, prompt: &Prompt, (a, b): (usize, usize)) -> Option<f64> {
        let (a, b) = (prompt.responses.get(a)?, prompt.responses.get(b)?);
        let alpha = self.world.user_types.get(user_type)?.alpha;
        Some(logistic((a.base - b.base) + alpha * (a.attribute - b.attribute)))
    }

    /// What the hidden confounder adds to the log-odds of a where it is there.
    pub(super) fn hidden_log_odds(&self, prompt: usize, (a, b): (usize, usize)) -> f64 {
        let Some(hidden) = &self.world.flaws.hidden else { return 0.0 };
        let responses = self.prompts.get(prompt).map_or(&[][..], |prompt| &prompt.responses);
        let attribute = |index: usize| responses.get(index).map_or(0.0, |response| response.attribute);
        let favour = match &hidden.toward {
            Toward::A => 1.0,
            Toward::Attribute => attribute(a) - attribute(b),
            Toward::Candidate(name) => {
                let policy = self.policies.iter().find(|policy| policy.name == *name);
                policy.map_or(0.0, |policy| policy.margin(prompt, (a, b)))
            }
        };
        let direction = if favour > 0.0 {
            1.0
        } else if favour < 0.0 {
            -1.0
        } else {
            0.0
        };
        direction * ln(hidden.gamma)
    }
}

/// The probability of log-odds.
pub(super) fn logistic(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + exp(-x)) } else { exp(x) / (1.0 + exp(x)) }
}

/// How likely a comparison is to be labelled.
pub(super) fn inclusion(selection: Option<&Selection>, a: &Response, b: &Response) -> f64 {
    match selection {
        Some(selection) if (a.base - b.base).abs() < selection.gap => selection.keep,
        _ => 1.0,
    }
}

// ---- Policies ----

impl Policy {
    /// By how much it prefers a to b, compared with the reference; exactly zero where it likes both alike.
    pub(super) fn margin(&self, prompt: usize, (a, b): (usize, usize)) -> f64 {
        let tilt = |index: usize| self.tilt.get(prompt).and_then(|own| own.get(index)).copied().unwrap_or(0.0);
        tilt(a) - tilt(b)
    }
}

impl Scene {
    fn policies(&self) -> Vec<Policy> {
        let of_reference = |response: &Response| tilted(response, &self.world.reference);
        let policy = |name: &str, tilt: &dyn Fn(&Prompt, &Response) -> f64| {
            let tilts = |prompt: &Prompt| prompt.responses.iter().map(|r| on_grid(tilt(prompt, r))).collect::<Vec<_>>();
            let tilt: Vec<Vec<f64>> = self.prompts.iter().map(tilts).collect();
            let logp = self.prompts.iter().zip(&tilt).map(|(prompt, own)| {
                let scores: Vec<f64> =
                    prompt.responses.iter().zip(own).map(|(r, tilt)| on_grid(of_reference(r)) + tilt).collect();
                log_softmax(&scores)
            });
            Policy { name: name.to_owned(), logp: logp.collect(), tilt }
        };
        let mut all = vec![policy(REFERENCE, &|_, _| 0.0)];
        let candidates = self.world.candidates.iter();
        all.extend(candidates.map(|candidate| policy(&candidate.name, &|_, r| tilted(r, &candidate.tilt))));
        let alpha: Vec<f64> = (0..self.domains.len()).map(|domain| self.target_alpha(domain)).collect();
        let beta = self.world.beta;
        // The maximiser of the welfare under p_T: pi_ref exp(E_T[r* | x] / beta), as no policy sees the user's type.
        all.push(policy(ORACLE, &|prompt, r| {
            let alpha = alpha.get(prompt.domain).copied().unwrap_or(0.0);
            if alpha.is_nan() { 0.0 } else { (r.base + alpha * r.attribute) / beta }
        }));
        all
    }

    /// E_T\[alpha_c | domain\], the drift averaged over the log's time; NaN for a domain without target mass.
    fn target_alpha(&self, domain: usize) -> f64 {
        let drift = self.mean_drift();
        let mass_of = |name: &String| {
            self.domains.get(domain).and_then(|d| self.world.target.get(&vec![d.clone(), name.clone()])).copied()
        };
        let masses: Vec<(f64, f64)> =
            self.world.user_types.iter().map(|own| (mass_of(&own.name).unwrap_or(0.0), own.alpha + drift)).collect();
        let total: f64 = masses.iter().map(|(mass, _)| mass).sum();
        masses.iter().map(|(mass, alpha)| mass * alpha).sum::<f64>() / total
    }

    /// What time adds to alpha, on average over the log.
    pub(super) fn mean_drift(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.share * epoch.drift).sum()
    }
}

fn on_grid(value: f64) -> f64 {
    (value * GRID).round() / GRID
}

/// Scores, which are on the grid, less the logarithm of the sum of their exponentials, rounded to the grid.
fn log_softmax(scores: &[f64]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|score| exp(score - largest)).sum();
    let constant = on_grid(largest + ln(total));
    scores.iter().map(|score| score - constant).collect()
}
