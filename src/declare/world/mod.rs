//! The world document: a simulated platform whose truth is known.
//!
//! Users of several types ask prompts of several domains; every prompt has a response of each generator, with two scores;
//! a mechanism shows ordered pairs; annotators label them. `simulate` draws logs from it and enumerates its truth.

mod defect;
mod read;
mod shape;

pub use defect::{Defect, Flaws, HiddenConfounder, LoggedPropensity, Selection, Toward};
pub(super) use read::read;
pub(super) use shape::shape;

use super::{Levels, Source};
use chrono::NaiveDate;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The covariates of every world, in the order in which its cells list their levels.
pub const WORLD_COVARIATES: [&str; 2] = ["domain", "user_type"];

/// A validated `counterweight/world/v1` document. Its fields may be set freely: what cannot be drawn from is an error of
/// `simulate::scene`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct World {
    /// The document as read.
    pub source: Source,
    /// The folder that the document's paths are relative to.
    pub folder: PathBuf,
    /// The world's name.
    pub name: String,
    /// How many rows its log has, before defects that add or remove rows.
    pub rows: u64,
    /// The seed of the draws.
    pub seed: u64,
    /// The first day of the log.
    pub start: NaiveDate,
    /// How many days the log spans.
    pub days: u32,
    /// The prompts, their responses and the responses' scores.
    pub responses: Responses,
    /// Who asks, what they ask and what they like.
    pub user_types: Vec<UserType>,
    /// The dial of confounding d, from 0 to 1: p_O(x | c) is 1 - d parts what all users ask together and d parts what the
    /// type's own `asks` say. At 0 prompt and user are independent; at 1 they depend on each other as written.
    pub confounding: f64,
    /// The versions of the pair mechanism, in the order of time.
    pub mechanisms: Vec<MechanismVersion>,
    /// How comparisons are answered.
    pub labels: Labels,
    /// Who answers.
    pub annotators: Annotators,
    /// Whether the log names the component of the mixture that drew each pair.
    pub component_logged: bool,
    /// The declared target p_T over the cells (domain, user type), summing to 1.
    pub target: BTreeMap<Levels, f64>,
    /// The target pair mechanism g_T.
    pub pairs: WorldPairs,
    /// log pi_ref of a response, up to the prompt's constant.
    pub reference: Tilt,
    /// The candidate policies.
    pub candidates: Vec<WorldCandidate>,
    /// The weight of the divergence in the welfare J.
    pub beta: f64,
    /// What is wrong with how the log came about.
    pub flaws: Flaws,
    /// What goes wrong with the log afterwards, in this order.
    pub defects: Vec<Defect>,
}

/// Where responses and their scores come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Responses {
    /// Made up.
    Generated(Generated),
    /// Read from a file of real ones, relative to the document: `prompt_id`, `domain`, `response_id`, `base` and
    /// `attribute`, and `generator` where it is known.
    File(String),
}

/// Made-up prompts: each generator wrote one response to each.
///
/// Scores are whole numbers of steps: a generator's own, plus one drawn evenly from minus to plus the noise.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Generated {
    /// The seed of the scores.
    pub seed: u64,
    /// The levels of the covariate `domain`.
    pub domains: Vec<String>,
    /// How many prompts each domain has; each is asked with equal probability.
    pub prompts_per_domain: u64,
    /// The models.
    pub generators: Vec<Generator>,
    /// One step, in nats of the odds.
    pub step: f64,
    /// Noise of s_base, in steps.
    pub base_noise: u64,
    /// Noise of s_attr, in steps.
    pub attribute_noise: u64,
}

/// A model that writes responses.
#[derive(Debug, Clone, PartialEq)]
pub struct Generator {
    /// Its name.
    pub name: String,
    /// Its part of s_base, in steps.
    pub base: f64,
    /// Its part of s_attr, in steps.
    pub attribute: f64,
}

/// A type of user.
#[derive(Debug, Clone, PartialEq)]
pub struct UserType {
    /// The level of the covariate `user_type`.
    pub name: String,
    /// Share of the traffic.
    pub share: f64,
    /// Shares of the domains that these users ask in; those left out are zero.
    pub asks: BTreeMap<String, f64>,
    /// alpha_c: how much s_attr counts for these users, as r* = s_base + alpha_c * s_attr.
    pub alpha: f64,
}

/// One version of the pair mechanism g_O.
#[derive(Debug, Clone, PartialEq)]
pub struct MechanismVersion {
    /// The identifier that log rows carry.
    pub id: String,
    /// What it does, in prose.
    pub description: Option<String>,
    /// Its share of the log's rows; versions follow one another in time.
    pub share: f64,
    /// The components of the mixture.
    pub mixture: Vec<Component>,
    /// Which pairs may be shown; the probabilities of the others are shared out in proportion.
    pub filter: Filter,
}

/// One component of a mixture of pair mechanisms.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its share of the pairs, by user type.
    pub share: Vec<f64>,
    /// The score that a response is drawn by, as exp(score / temperature), by user type. All zero is uniform.
    pub score: Vec<Tilt>,
    /// The temperature.
    pub temperature: f64,
    /// Whether b is drawn from all responses, a among them; otherwise from the others.
    pub replacement: bool,
}

/// Which pairs a mechanism may show.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Filter {
    /// Both responses have at least this s_base.
    pub min_base: Option<f64>,
    /// The responses' s_base differ by at most this.
    pub max_gap: Option<f64>,
}

/// A linear score: base * s_base + attribute * s_attr.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tilt {
    /// The factor of s_base.
    pub base: f64,
    /// The factor of s_attr.
    pub attribute: f64,
}

/// How comparisons are answered: an abstention, else a tie, else a or b by Bradley-Terry. Abstentions and ties do not
/// depend on the comparison.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Labels {
    /// Share of abstentions.
    pub abstain: f64,
    /// Share of ties among the answers.
    pub tie: f64,
    /// What is added to the log-odds of a because it is shown first.
    pub position: f64,
    /// From when on how much is added to every alpha: share of the log's rows, and the amount.
    pub drift: Vec<(f64, f64)>,
}

/// Who labels: each annotator with equal probability, each with a bias of their own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Annotators {
    /// How many there are.
    pub count: u64,
    /// The annotators' own additions to the log-odds of a are even steps from minus to plus this.
    pub position: f64,
    /// The annotators' own additions to alpha are even steps from minus to plus this, in an order of their own.
    pub attribute: f64,
}

/// The target pair mechanism g_T.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorldPairs {
    /// Uniform over the K(K-1) ordered pairs of distinct responses.
    #[default]
    Uniform,
    /// g_T = g_O.
    Logged,
}

/// A candidate policy: log pi = log pi_ref + tilt, up to the prompt's constant.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldCandidate {
    /// Its name.
    pub name: String,
    /// `incumbent` or `challenger`.
    pub incumbent: bool,
    /// The temperature of its implicit reward, if declared.
    pub beta: Option<f64>,
    /// What it adds to the reference.
    pub tilt: Tilt,
}

impl Default for Responses {
    fn default() -> Responses {
        Responses::Generated(Generated::default())
    }
}

impl World {
    /// Another length of the log; what begins at a share of the rows begins at the same share.
    pub fn set_rows(&mut self, rows: u64) {
        for defect in &mut self.defects {
            if let Defect::Mechanism { from_row, .. } | Defect::LowFloor { from_row, .. } = defect {
                *from_row = (*from_row as f64 / self.rows as f64 * rows as f64).round() as usize;
            }
        }
        self.rows = rows;
    }

    /// The user type of that name, by its place.
    pub fn user_type(&self, name: &str) -> Option<usize> {
        self.user_types.iter().position(|user_type| user_type.name == name)
    }
}
