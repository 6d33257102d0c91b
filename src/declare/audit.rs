//! The audit document: which declaration, which logs, which candidates.

use super::Source;
use std::collections::BTreeMap;

/// A validated `counterweight/audit/v1` document.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The document as read.
    pub source: Source,
    /// The folder that holds the document; every path in it is relative to this.
    pub folder: std::path::PathBuf,
    /// The regime document's path as written.
    pub regime: String,
    /// The policy's path or shipped name as written (`standard` when absent).
    pub policy: String,
    /// Which logs, and how to read them.
    pub logs: LogSpec,
    /// The reference policy's log-probability columns.
    pub reference: Option<LogProbabilities>,
    /// The candidate policies.
    pub candidates: Vec<Candidate>,
    /// Roles whose raw identifiers the report may show (`report: {identify: [annotator]}`).
    pub identify: Vec<Role>,
}

/// Which logs, and how to read them.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSpec {
    /// A file, a glob or a folder, as written.
    pub path: String,
    /// The preset whose column names apply where `columns` says nothing.
    pub preset: Preset,
    /// Explicit column names by role. A column named here that the log lacks is an error.
    pub columns: BTreeMap<Role, String>,
    /// Columns of logged parts of the pair's log-probability, summed (mixture share, proposal, filter). Empty when not used.
    pub log_propensity_parts: Vec<String>,
    /// The label alphabet, when declared: then only these words are labels. When not, the words `a`, `b`, `tie` and
    /// `abstain`, booleans and numbers in \[0, 1\] (the probability that a is preferred) are.
    pub labels: Option<LabelWords>,
    /// Roles (or columns) whose shared value makes rows dependent; empty when not declared.
    pub cluster: Vec<String>,
    /// The responses file, as written.
    pub responses: Option<String>,
    /// The unlabelled target sample, as written.
    pub target_sample: Option<String>,
    /// How shown comparisons came to be labelled, in words.
    pub selection: Option<String>,
}

/// The names under which a source keeps its columns. Further presets come with later versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// `event_id`, `prompt_id`, `response_a`, … : see [`Role::canonical`].
    Canonical,
}

/// What a log column is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The comparison's identifier.
    Id,
    /// The prompt's identifier.
    Prompt,
    /// The first shown response.
    ResponseA,
    /// The second shown response.
    ResponseB,
    /// Which was preferred.
    Label,
    /// g_O of the ordered pair, in (0, 1].
    Propensity,
    /// Natural logarithm of g_O.
    LogPropensity,
    /// g_T of the ordered pair, in \[0, 1\].
    TargetPropensity,
    /// Natural logarithm of g_T.
    LogTargetPropensity,
    /// The identifier of the pair-assignment mechanism.
    Mechanism,
    /// Who labelled.
    Annotator,
    /// When.
    Timestamp,
    /// Probability that the shown comparison was selected for labelling.
    Inclusion,
    /// The model that wrote response a.
    GeneratorA,
    /// The model that wrote response b.
    GeneratorB,
    /// The user.
    User,
    /// The session.
    Session,
    /// The kind of labeller (person, model).
    Labeller,
    /// Features of response a.
    FeaturesA,
    /// Features of response b.
    FeaturesB,
}

impl Role {
    /// Every role, in the order of documentation.
    pub const ALL: [Role; 20] = [
        Role::Id,
        Role::Prompt,
        Role::ResponseA,
        Role::ResponseB,
        Role::Label,
        Role::Propensity,
        Role::LogPropensity,
        Role::TargetPropensity,
        Role::LogTargetPropensity,
        Role::Mechanism,
        Role::Annotator,
        Role::Timestamp,
        Role::Inclusion,
        Role::GeneratorA,
        Role::GeneratorB,
        Role::User,
        Role::Session,
        Role::Labeller,
        Role::FeaturesA,
        Role::FeaturesB,
    ];

    /// The role's name under `columns:`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Id => "id",
            Role::Prompt => "prompt",
            Role::ResponseA => "response_a",
            Role::ResponseB => "response_b",
            Role::Label => "label",
            Role::Propensity => "propensity",
            Role::LogPropensity => "log_propensity",
            Role::TargetPropensity => "target_propensity",
            Role::LogTargetPropensity => "log_target_propensity",
            Role::Mechanism => "mechanism",
            Role::Annotator => "annotator",
            Role::Timestamp => "timestamp",
            Role::Inclusion => "inclusion",
            Role::GeneratorA => "generator_a",
            Role::GeneratorB => "generator_b",
            Role::User => "user",
            Role::Session => "session",
            Role::Labeller => "labeller",
            Role::FeaturesA => "features_a",
            Role::FeaturesB => "features_b",
        }
    }

    /// The role with this name under `columns:`.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The column that the `canonical` preset maps to this role.
    pub fn canonical(self) -> &'static str {
        match self {
            Role::Id => "event_id",
            Role::Prompt => "prompt_id",
            Role::Annotator => "annotator_id",
            Role::User => "user_id",
            Role::Session => "session_id",
            other => other.name(),
        }
    }
}

/// The words (or numbers) that a label column uses. A word stands for exactly one outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelWords {
    /// Words for "a is preferred".
    pub a: Vec<String>,
    /// Words for "b is preferred".
    pub b: Vec<String>,
    /// Words for a tie.
    pub tie: Vec<String>,
    /// Words for an abstention.
    pub abstain: Vec<String>,
}

/// The columns of one policy's log-probabilities of the two responses, in nats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProbabilities {
    /// Column of log pi(a).
    pub logp_a: String,
    /// Column of log pi(b).
    pub logp_b: String,
}

/// One candidate policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// `incumbent` or `challenger`.
    pub incumbent: bool,
    /// The temperature of the implicit reward, if declared.
    pub beta: Option<f64>,
    /// Its logged log-probabilities, unless it is to be fitted.
    pub log_probabilities: Option<LogProbabilities>,
    /// How to fit it, unless its log-probabilities are logged.
    pub fit: Option<Fit>,
    /// The file or folder that would be deployed, as written.
    pub artifact: Option<String>,
}

/// How a candidate is to be fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The model: `tilt`.
    pub model: String,
    /// The feature columns of the two responses.
    pub features: Option<(String, String)>,
    /// The objective: `weighted` or `naive`.
    pub objective: String,
    /// Number of folds.
    pub folds: u64,
    /// Seed.
    pub seed: u64,
}
