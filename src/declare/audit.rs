//! The audit document: which declaration, which logs, which candidates.

use super::preset::Preset;
use super::problem::{Findings, quoted};
use super::regime::texts;
use super::shape::{DocumentKind, Range, Shape, either, fields, list, may, must, positive, schema_field, word};
use super::yaml::{Entry, Node};
use super::{Source, prose};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The key under `columns` that names several columns.
const PARTS: &str = "log_propensity_parts";
/// The key under `columns` that names the preferred response's column.
const CHOSEN: &str = "chosen";
/// The key under `columns` that names the rejected response's column.
const REJECTED: &str = "rejected";
/// Folds where `fit` says nothing.
const DEFAULT_FOLDS: u64 = 5;
/// Smoothing where `fit` says nothing, as in TRL's examples.
const DEFAULT_SMOOTHING: f64 = 0.1;
/// Lambda of the worst case where `fit` says nothing: a quarter more or less, the middle of `standard`'s curve.
const DEFAULT_LAMBDA: f64 = 1.25;
/// Hidden units and steps of a network where `fit` says nothing.
const DEFAULT_HIDDEN: u64 = 16;
const DEFAULT_STEPS: u64 = 400;
/// Numbers that a text is encoded into where `fit` says nothing.
const DEFAULT_SIZE: u64 = 128;

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
    /// Cells with fewer audited rows are withheld from statistics files; `None` where all are kept.
    pub min_cell_rows: Option<u64>,
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
    /// The columns of the preferred and the rejected response, where the preset keeps these.
    pub chosen: Option<(String, String)>,
    /// The label alphabet, when declared or the preset's: then only these words are labels. When not, the words `a`, `b`, `tie` and
    /// `abstain`, booleans and numbers in \[0, 1\] (the probability that a is preferred) are.
    pub labels: Option<LabelWords>,
    /// Roles (or columns) whose shared value makes rows dependent; empty when not declared.
    pub cluster: Vec<String>,
    /// The responses file, as written.
    pub responses: Option<String>,
    /// Pairs drawn from the target, without labels, as written: a file, a glob or a folder.
    pub target_sample: Option<String>,
    /// How shown comparisons came to be labelled, in words.
    pub selection: Option<String>,
}

/// What a log column is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The comparison's identifier.
    Id,
    /// The prompt's identifier.
    Prompt,
    /// The prompt's text, where `prompt` is an identifier.
    PromptText,
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
    pub const ALL: [Role; 21] = [
        Role::Id,
        Role::Prompt,
        Role::PromptText,
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

    /// What the role's column holds, for people who have to find it.
    pub fn meaning(self) -> &'static str {
        match self {
            Role::Id => "The comparison's identifier.",
            Role::Prompt => "The prompt's identifier, or the prompt.",
            Role::PromptText => "The prompt's text, where `prompt` is an identifier.",
            Role::ResponseA => "The response that was shown first: its identifier, or its text.",
            Role::ResponseB => "The response that was shown second.",
            Role::Label => {
                "Which was preferred: a word of the alphabet, or a number from 0 to 1, the probability that a is."
            }
            Role::Propensity => {
                "g_O of the ordered pair, in (0, 1]: the probability with which the mechanism showed it."
            }
            Role::LogPropensity => "Natural logarithm of g_O, where g_O itself would underflow.",
            Role::TargetPropensity => {
                "g_T of the ordered pair, in [0, 1]: the probability with which the target's mechanism would show it."
            }
            Role::LogTargetPropensity => "Natural logarithm of g_T.",
            Role::Mechanism => "The mechanism that drew the pair: its id, as the regime declares it.",
            Role::Annotator => "Who answered; a pseudonym is enough.",
            Role::Timestamp => "When the comparison was shown.",
            Role::Inclusion => "The probability with which the comparison, once shown, was selected for labelling.",
            Role::GeneratorA => "The model that wrote response a.",
            Role::GeneratorB => "The model that wrote response b.",
            Role::User => "The user who wrote the prompt; a pseudonym is enough.",
            Role::Session => "The session of the comparison.",
            Role::Labeller => "The kind of labeller, such as person or model.",
            Role::FeaturesA => "Features of response a, a list of numbers.",
            Role::FeaturesB => "Features of response b, a list of numbers.",
        }
    }

    /// The role's name under `columns:`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Id => "id",
            Role::Prompt => "prompt",
            Role::PromptText => "prompt_text",
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

/// Where one policy's log-probabilities of the two responses come from: the log, the responses file, or both (then rows
/// take the log's). In nats, of the whole response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogProbabilities {
    /// The log's columns of log pi(a) and log pi(b): sums, or lists of the tokens' log-probabilities, which are summed.
    pub log: Option<(String, String)>,
    /// The column of the responses file, looked up by response.
    pub responses: Option<String>,
    /// The log's columns of how many tokens each response has, where `log` holds means per token: sums are means times
    /// these.
    pub tokens: Option<(String, String)>,
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

/// Where the features of the two responses are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Features {
    /// Columns of numbers, or of lists of them, one after the other; equally many of each response.
    Columns {
        /// Those of response a.
        a: Vec<String>,
        /// Those of response b.
        b: Vec<String>,
    },
    /// The text itself, encoded into numbers.
    Text {
        /// The columns of the texts, where they are not those of the responses.
        columns: Option<(String, String)>,
        /// How many numbers.
        size: u64,
    },
}

/// How a candidate is to be fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The model: `tilt` or `mlp`.
    pub model: String,
    /// Hidden units of a network.
    pub hidden: u64,
    /// Steps of its training.
    pub steps: u64,
    /// Where the features of the two responses are, if it is said.
    pub features: Option<Features>,
    /// The objective: `weighted`, `naive`, `conservative`, `robust`, `doubly_robust` or `worst_case`.
    pub objective: String,
    /// How far from the computed weight the true one can be, as a factor, for `worst_case`; at least 1.
    pub lambda: f64,
    /// The share of labels that `conservative` takes for undecided and `robust` for flipped, below one half.
    pub smoothing: f64,
    /// Number of folds.
    pub folds: u64,
    /// Seed.
    pub seed: u64,
}

impl Audit {
    /// How the document evaluates, with defaults: what a protocol fixes before labels are seen. Where files lie, and what the
    /// report may show, is no part of it.
    pub fn evaluation(&self) -> Json {
        let LogSpec {
            path: _,
            preset,
            columns,
            log_propensity_parts,
            chosen,
            labels,
            cluster,
            responses,
            target_sample,
            selection,
        } = &self.logs;
        let columns: BTreeMap<&str, &String> = columns.iter().map(|(role, column)| (role.name(), column)).collect();
        let labels = labels
            .as_ref()
            .map(|words| json!({"a": words.a, "b": words.b, "tie": words.tie, "abstain": words.abstain}));
        let candidates: BTreeMap<&str, Json> =
            self.candidates.iter().map(|candidate| (candidate.name.as_str(), candidate_json(candidate))).collect();
        json!({
            "preset": preset.name(),
            "columns": columns,
            "log_propensity_parts": log_propensity_parts,
            "chosen_and_rejected": chosen,
            "labels": labels,
            "cluster": cluster,
            "selection": selection,
            "responses": responses.is_some(),
            "target_sample": target_sample.is_some(),
            "reference": self.reference.as_ref().map(log_probabilities_json),
            "candidates": candidates,
        })
    }
}

/// Every field is named, so that a new one cannot be left out of what a protocol fixes.
fn log_probabilities_json(source: &LogProbabilities) -> Json {
    let LogProbabilities { log, responses, tokens } = source;
    json!({"log": log, "responses": responses, "tokens": tokens})
}

fn candidate_json(candidate: &Candidate) -> Json {
    let Candidate { name: _, incumbent, beta, log_probabilities, fit, artifact } = candidate;
    json!({
        "role": if *incumbent { "incumbent" } else { "challenger" },
        "beta": beta,
        "log_probabilities": log_probabilities.as_ref().map(log_probabilities_json),
        "fit": fit.as_ref().map(fit_json),
        "artifact": artifact,
    })
}

fn fit_json(fit: &Fit) -> Json {
    let Fit { model, hidden, steps, features, objective, lambda, smoothing, folds, seed } = fit;
    let features = features.as_ref().map(|features| match features {
        Features::Columns { a, b } => json!({"a": a, "b": b}),
        Features::Text { columns, size } => json!({"text": columns, "size": size}),
    });
    json!({
        "model": model,
        "hidden": hidden,
        "steps": steps,
        "features": features,
        "objective": objective,
        "lambda": lambda,
        "smoothing": smoothing,
        "folds": folds,
        "seed": seed,
    })
}

// ---- Shape ----

/// The shape of audit documents.
pub(super) fn shape() -> Shape {
    fields(vec![
        schema_field(DocumentKind::Audit),
        must("regime", Shape::Text, "The regime document, relative to this one.", "regime: regime.yaml"),
        may(
            "policy",
            Shape::Text,
            "The policy document, relative to this one, or a shipped name; `standard` unless said.",
        ),
        must("logs", logs_shape(), "Which logs, and how to read them.", "logs: {path: logs.parquet}"),
        may("reference", fields(log_probability_fields()), "The reference policy's log-probability columns."),
        may("candidates", list(candidate_shape(), 0), "The candidate policies."),
        may(
            "statistics",
            fields(vec![may(
                "min_cell_rows",
                Shape::Integer(1),
                "Cells with fewer audited rows are withheld from statistics files.",
            )]),
            "What statistics files may tell.",
        ),
        may(
            "report",
            fields(vec![may("identify", list(role_shape(), 0), "Roles whose raw identifiers the report may show.")]),
            "What the report may show.",
        ),
    ])
}

fn role_shape() -> Shape {
    word("role", &Role::ALL.map(Role::name))
}

fn logs_shape() -> Shape {
    let cluster = Shape::List { items: Box::new(Shape::Text), min: 1, max: Some(2) };
    fields(vec![
        must("path", Shape::Text, "A file, a glob or a folder, relative to this document.", "path: logs.parquet"),
        may(
            "preset",
            word("preset", &Preset::ALL.map(Preset::name)),
            "Whose column names apply where `columns` says nothing.",
        ),
        may("columns", columns_shape(), "Column names by role."),
        may("labels", labels_shape(), "The label alphabet: then only these words are labels."),
        may(
            "cluster",
            either(Shape::Text, cluster),
            "One or two roles (or columns) whose shared value makes rows dependent.",
        ),
        may("responses", Shape::Text, "The responses file, relative to this document."),
        may(
            "target_sample",
            Shape::Text,
            "Pairs drawn from the target, without labels (a file, a glob or a folder, relative to this document).",
        ),
        may("selection", Shape::Text, "How shown comparisons came to be labelled, in words."),
    ])
}

fn columns_shape() -> Shape {
    let column = |role: Role| may(role.name(), Shape::Text, role.meaning());
    let mut known: Vec<_> = Role::ALL.into_iter().map(column).collect();
    known.push(may(PARTS, list(Shape::Text, 1), "Columns of logged parts of the pair's log-probability, summed."));
    known.push(may(CHOSEN, Shape::Text, "The column of the preferred response, under a preset that keeps it."));
    known.push(may(REJECTED, Shape::Text, "The column of the rejected response, under a preset that keeps it."));
    fields(known)
}

fn labels_shape() -> Shape {
    fields(vec![
        must("a", list(Shape::Text, 1), "Words for \"a is preferred\".", "a: [a]"),
        must("b", list(Shape::Text, 1), "Words for \"b is preferred\".", "b: [b]"),
        may("tie", list(Shape::Text, 0), "Words for a tie."),
        may("abstain", list(Shape::Text, 0), "Words for an abstention."),
    ])
}

fn log_probability_fields() -> Vec<super::shape::Field> {
    let token_count = |key, which: &str| {
        let about = format!("Column of the number of tokens of response {which}; mandatory with `form: mean`.");
        may(key, Shape::Text, &about)
    };
    vec![
        may("logp_a", Shape::Text, "The log's column of log pi(a), in nats: a sum or a list of the tokens'."),
        may("logp_b", Shape::Text, "The log's column of log pi(b), in nats: a sum or a list of the tokens'."),
        may("logp", Shape::Text, "The responses file's column of log pi, in nats, looked up by response."),
        may(
            "form",
            word("form", &["sum", "mean"]),
            "Whether `logp_a` and `logp_b` are sums (unless said) or means per token.",
        ),
        token_count("tokens_a", "a"),
        token_count("tokens_b", "b"),
    ]
}

fn candidate_shape() -> Shape {
    let mut known = vec![
        must("name", Shape::Text, "The candidate's name.", "name: judge"),
        must("role", word("role", &["incumbent", "challenger"]), "What it is compared as.", "role: challenger"),
        may("beta", positive(), "The temperature of the implicit reward."),
        may("fit", fit_shape(), "How to fit it, unless its log-probabilities are logged."),
        may("artifact", Shape::Text, "The file or folder that would be deployed."),
    ];
    known.extend(log_probability_fields());
    fields(known)
}

fn fit_shape() -> Shape {
    let columns = || either(Shape::Text, list(Shape::Text, 1));
    let features = fields(vec![
        may("a", columns(), "Feature column of response a, or several."),
        may("b", columns(), "Feature column of response b, or several."),
        may("text", word("encoder", &["ngrams"]), "Encode the responses' text (or that of a and b) into numbers."),
        may("size", Shape::Integer(16), "Numbers that a text is encoded into, at most 4,096; 128 unless said."),
    ]);
    let allowed = ["weighted", "naive", "conservative", "robust", "doubly_robust", "worst_case"];
    let objective = word("objective", &allowed);
    // At 1 the worst case is the weighted objective.
    let lambda = Shape::Number(Range { min: 1.0, above: false, max: None });
    // At one half the robust objective divides by zero.
    let smoothing = Shape::Number(Range { min: 0.0, above: false, max: Some(0.49) });
    fields(vec![
        must(
            "model",
            word("model", &["tilt", "mlp"]),
            "The model: linear in the features, or a network.",
            "model: tilt",
        ),
        may("hidden", Shape::Integer(1), "Hidden units of an `mlp`, at most 1,024; 16 unless said."),
        may("steps", Shape::Integer(1), "Training steps of an `mlp`, at most 100,000; 400 unless said."),
        may("features", features, "The features of the two responses."),
        may("objective", objective, "The objective; `weighted` unless said."),
        may(
            "smoothing",
            smoothing,
            "Share of labels taken for flipped by `conservative` and `robust`; 0.1 unless said.",
        ),
        may("lambda", lambda, "The factor by which weights may be wrong, for `worst_case`; 1.25 unless said."),
        may("folds", Shape::Integer(2), "Number of folds; 5 unless said."),
        may("seed", Shape::Integer(0), "Seed; 0 unless said."),
    ])
}

// ---- Reading ----

/// The entries that name the regime and the policy documents, whatever else is wrong with the audit document.
pub(super) fn references(root: &Node) -> (Option<&Node>, Option<&Node>) {
    let named = |key: &str| root.get(key).map(|entry| &entry.node).filter(|node| node.text().is_some());
    (named("regime"), named("policy"))
}

/// Reads an audit from a tree that has been checked against [`shape`]. Problems that need two values go to
/// `findings`; `None` where a value is missing or malformed, which the check has reported.
pub(super) fn read(source: &Source, folder: &Path, root: &Node, findings: &mut Findings<'_>) -> Option<Audit> {
    let text = |key: &str| root.get(key).and_then(|entry| entry.node.text()).map(str::to_owned);
    let logs = root.get("logs").and_then(|entry| read_logs(&entry.node, findings));
    let candidates = read_candidates(root, findings);
    check_target_sample(root, findings);
    let identify = root.get("report").and_then(|report| report.node.get("identify"));
    let identify = identify.map_or(&[][..], |entry| entry.node.items());
    let statistics = root.get("statistics").map(|entry| &entry.node);
    Some(Audit {
        source: source.clone(),
        folder: folder.to_owned(),
        regime: text("regime")?,
        policy: text("policy").unwrap_or_else(|| "standard".to_owned()),
        logs: logs?,
        reference: read_reference(root, findings),
        candidates,
        min_cell_rows: statistics.and_then(|node| node.get("min_cell_rows")?.node.integer()),
        identify: identify.iter().filter_map(|item| Role::from_name(item.text()?)).collect(),
    })
}

/// Whoever gives a sample of the target expects estimates from it: none in silence.
fn check_target_sample(root: &Node, findings: &mut Findings<'_>) {
    let sample = root.get("logs").and_then(|logs| logs.node.get("target_sample"));
    if let Some(entry) = sample.filter(|_| root.get("candidates").is_none_or(|own| own.node.items().is_empty())) {
        let help = "it serves to evaluate candidates: declare some, or leave it out".to_owned();
        findings.add(entry.span, "`target_sample` says nothing without `candidates`", Some(help));
    }
}

fn read_logs(node: &Node, findings: &mut Findings<'_>) -> Option<LogSpec> {
    let text = |key: &str| node.get(key).and_then(|entry| prose(&entry.node));
    let columns = node.get("columns").map(|entry| &entry.node);
    if let Some(columns) = columns {
        check_alternatives(columns, findings);
        check_distinct(columns, findings);
    }
    let named = columns.map_or(&[][..], Node::entries);
    let parts = columns.and_then(|columns| columns.get(PARTS)).and_then(|entry| texts(&entry.node, "column", findings));
    let cluster = match node.get("cluster") {
        None => Vec::new(),
        Some(entry) => match entry.node.text() {
            Some(one) => vec![one.to_owned()],
            None => texts(&entry.node, "role", findings)?,
        },
    };
    let preset =
        node.get("preset").and_then(|entry| Preset::from_name(entry.node.text()?)).unwrap_or(Preset::Canonical);
    let chosen = read_chosen(preset, columns, findings);
    let labels = node.get("labels").and_then(|entry| read_labels(&entry.node, findings));
    if let Some(entry) = node.get("target_sample").filter(|_| preset.keeps_chosen_and_rejected()) {
        let message = format!("`target_sample` cannot be read under the preset {}", preset.name());
        let help =
            "pairs without labels have no chosen response: name the columns under the preset canonical".to_owned();
        findings.add(entry.span, &message, Some(help));
    }
    if let Some(entry) = node.get("labels").filter(|_| preset.keeps_chosen_and_rejected()) {
        let message =
            format!("`labels` says nothing under the preset {}: the label is which response was chosen", preset.name());
        findings.add(entry.span, &message, Some("remove it, or use another preset".to_owned()));
    }
    Some(LogSpec {
        path: node.get("path")?.node.text()?.to_owned(),
        preset,
        chosen,
        columns: named
            .iter()
            .filter_map(|entry| Some((Role::from_name(&entry.key)?, entry.node.text()?.to_owned())))
            .collect(),
        log_propensity_parts: parts.unwrap_or_default(),
        labels: labels.or_else(|| preset.labels()),
        cluster,
        responses: text("responses"),
        target_sample: text("target_sample"),
        selection: text("selection"),
    })
}

/// The columns of the preferred and the rejected response: the preset's, or others that are named. What the preset makes of
/// them cannot be named as well.
fn read_chosen(preset: Preset, columns: Option<&Node>, findings: &mut Findings<'_>) -> Option<(String, String)> {
    let entry = |key: &str| columns.and_then(|columns| columns.get(key));
    let Some((chosen, rejected)) = preset.chosen_and_rejected() else {
        for entry in [CHOSEN, REJECTED].into_iter().filter_map(entry) {
            let message = format!("`{}` says nothing under the preset {}", entry.key, preset.name());
            let help = "name a preset that keeps chosen and rejected responses, such as `trl`".to_owned();
            findings.add(entry.span, &message, Some(help));
        }
        return None;
    };
    for entry in [Role::ResponseA, Role::ResponseB, Role::Label].into_iter().filter_map(|role| entry(role.name())) {
        let message = format!(
            "`{}` is made of the chosen and the rejected response under the preset {}",
            entry.key,
            preset.name()
        );
        findings.add(entry.span, &message, Some(format!("name the columns under `{CHOSEN}` and `{REJECTED}`")));
    }
    let named = |key: &str, own: &str| entry(key).and_then(|entry| entry.node.text()).unwrap_or(own).to_owned();
    Some((named(CHOSEN, chosen), named(REJECTED, rejected)))
}

/// A probability is logged in one form only.
fn check_alternatives(columns: &Node, findings: &mut Findings<'_>) {
    let groups: [&[&str]; 2] =
        [&["propensity", "log_propensity", PARTS], &["target_propensity", "log_target_propensity"]];
    for group in groups {
        let mut given: Vec<&Entry> = group.iter().filter_map(|key| columns.get(key)).collect();
        given.sort_by_key(|entry| entry.span);
        if let [first, second, ..] = given.as_slice() {
            let message = format!("`columns` has both `{}` and `{}`", first.key, second.key);
            let help = "they say the same thing in different forms; keep the one that is logged".to_owned();
            findings.add(second.span, &message, Some(help));
        }
    }
}

/// Two roles that one column cannot have both, and what to write instead.
type Distinct = (&'static str, &'static str, &'static str);

/// A response compared with itself says nothing; g_T read from g_O's column is a mechanism that the regime declares by a word.
const DISTINCT: [Distinct; 5] = [
    ("response_a", "response_b", "name the column of each response"),
    ("generator_a", "generator_b", "name the column of each response's generator"),
    ("propensity", "target_propensity", "if the target shows pairs as the log did, say `pairs: logged` in the regime"),
    (
        "log_propensity",
        "log_target_propensity",
        "if the target shows pairs as the log did, say `pairs: logged` in the regime",
    ),
    (CHOSEN, REJECTED, "name the column of each response"),
];

/// No column has two roles that contradict each other.
fn check_distinct(columns: &Node, findings: &mut Findings<'_>) {
    for (one, other, help) in DISTINCT {
        let (Some(first), Some(second)) = (columns.get(one), columns.get(other)) else { continue };
        let (Some(column), Some(again)) = (first.node.text(), second.node.text()) else { continue };
        if column == again {
            let message = format!("`{one}` and `{other}` are the same column, {}", quoted(column));
            findings.add(first.node.span.max(second.node.span), &message, Some(help.to_owned()));
        }
    }
}

fn read_labels(node: &Node, findings: &mut Findings<'_>) -> Option<LabelWords> {
    let mut outcomes: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in node.entries() {
        for item in entry.node.items() {
            let Some(label) = item.text() else { continue };
            if let Some(other) = outcomes.insert(label, &entry.key) {
                let message = format!("the label {} stands for `{other}` already", quoted(label));
                findings.add(item.span, &message, Some("let every word stand for one outcome, once".to_owned()));
            }
        }
    }
    let words = |key: &str| -> Option<Vec<String>> {
        let items = node.get(key).map_or(&[][..], |entry| entry.node.items());
        items.iter().map(|item| item.text().map(str::to_owned)).collect()
    };
    Some(LabelWords { a: words("a")?, b: words("b")?, tie: words("tie")?, abstain: words("abstain")? })
}

fn read_log_probabilities(node: &Node) -> Option<LogProbabilities> {
    let text = |key: &str| node.get(key).and_then(|entry| entry.node.text()).map(str::to_owned);
    let log = text("logp_a").zip(text("logp_b"));
    let tokens = text("tokens_a").zip(text("tokens_b")).filter(|_| text("form").as_deref() == Some("mean"));
    let found = LogProbabilities { log, responses: text("logp"), tokens };
    (found.log.is_some() || found.responses.is_some()).then_some(found)
}

fn read_reference(root: &Node, findings: &mut Findings<'_>) -> Option<LogProbabilities> {
    let Some(entry) = root.get("reference") else {
        let logged = |item: &&Node| ["logp_a", "logp_b", "logp"].iter().any(|key| item.get(key).is_some());
        let candidates = root.get("candidates").map_or(&[][..], |entry| entry.node.items());
        if let Some(first) = candidates.iter().find(logged) {
            let help = "a candidate's margin is against the reference: add, for example, `reference: {logp_a: ref_logp_a, \
                        logp_b: ref_logp_b}`";
            findings.add(
                first.span,
                "the candidate has log-probabilities and there is no `reference`",
                Some(help.to_owned()),
            );
        }
        return None;
    };
    let node = &entry.node;
    if !node.entries().is_empty() {
        check_columns(node, "the reference", findings);
        if ["logp_a", "logp_b", "logp"].iter().all(|key| node.get(key).is_none()) {
            let help = Some("give `logp_a` and `logp_b`, or `logp`".to_owned());
            findings.add(node.span, "the reference has no log-probabilities", help);
        }
    }
    read_log_probabilities(node)
}

/// Both columns or none, and means only where they are said to be means, with what turns them into sums.
fn check_columns(node: &Node, whose: &str, findings: &mut Findings<'_>) {
    for (one, other) in [("logp_a", "logp_b"), ("logp_b", "logp_a"), ("tokens_a", "tokens_b"), ("tokens_b", "tokens_a")]
    {
        if let (Some(entry), None) = (node.get(one), node.get(other)) {
            let help = Some(format!("give both, `{one}` and `{other}`"));
            findings.add(entry.span, &format!("{whose} has `{one}` and lacks `{other}`"), help);
        }
    }
    let form = node.get("form").and_then(|entry| entry.node.text());
    if let (Some("mean"), Some(entry)) = (form, node.get("form")) {
        if node.get("tokens_a").is_none() && node.get("tokens_b").is_none() {
            let help = "margins are of whole responses: name the columns of token counts as `tokens_a` and `tokens_b`, or log sums";
            findings.add(entry.span, "means per token cannot be turned into sums", Some(help.to_owned()));
        }
        if let Some(entry) = node.get("logp").filter(|_| node.get("logp_a").is_none()) {
            let help = Some("let the responses file hold sums, in nats".to_owned());
            findings.add(entry.span, "means per token are read from the log alone, not from the responses file", help);
        }
    }
    if form.is_none() {
        let entries = ["logp_a", "logp_b", "logp"].into_iter().filter_map(|key| node.get(key));
        for entry in entries.filter(|entry| entry.node.text().is_some_and(names_a_mean)) {
            let help = "say `form: mean` (with `tokens_a` and `tokens_b`), or `form: sum` if the name misleads";
            let column = quoted(entry.node.text().unwrap_or_default());
            findings.add(
                entry.span,
                &format!("the column {column} sounds like a mean per token"),
                Some(help.to_owned()),
            );
        }
    }
}

/// Whether a column's name says that it holds a mean.
fn names_a_mean(column: &str) -> bool {
    let lower = column.to_lowercase();
    lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| ["mean", "avg", "average"].contains(&part))
}

fn read_candidates(root: &Node, findings: &mut Findings<'_>) -> Vec<Candidate> {
    let Some(entry) = root.get("candidates") else { return Vec::new() };
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for node in entry.node.items().iter().filter_map(|item| Some(&item.get("name")?.node)) {
        let Some(name) = node.text() else { continue };
        if let Some(line) = names.insert(name, node.span.line) {
            let message = format!("duplicate candidate {}", quoted(name));
            let help = format!("it stands on line {line} already; give every candidate a name of its own");
            findings.add(node.span, &message, Some(help));
        }
    }
    entry.node.items().iter().filter_map(|item| read_candidate(item, findings)).collect()
}

fn read_candidate(node: &Node, findings: &mut Findings<'_>) -> Option<Candidate> {
    if !node.entries().is_empty() {
        check_evidence(node, findings);
    }
    let text = |key: &str| node.get(key).and_then(|entry| entry.node.text());
    Some(Candidate {
        name: text("name")?.to_owned(),
        incumbent: text("role")? == "incumbent",
        beta: node.get("beta").and_then(|entry| entry.node.number()),
        log_probabilities: read_log_probabilities(node).filter(|_| node.get("fit").is_none()),
        fit: node.get("fit").and_then(|entry| read_fit(&entry.node, findings)),
        artifact: text("artifact").map(str::to_owned),
    })
}

/// A candidate's log-probabilities are logged or it is fitted, and not both.
fn check_evidence(node: &Node, findings: &mut Findings<'_>) {
    let help = Some("give either `logp_a` and `logp_b` (or `logp`), or `fit`".to_owned());
    let logged = ["logp_a", "logp_b", "logp"].iter().any(|key| node.get(key).is_some());
    match (logged, node.get("fit")) {
        (false, Some(_)) => {}
        (false, None) => findings.add(node.span, "the candidate has neither log-probabilities nor `fit`", help),
        (true, Some(fit)) => findings.add(fit.span, "the candidate has both log-probabilities and `fit`", help),
        (true, None) => check_columns(node, "the candidate", findings),
    }
}

fn read_fit(node: &Node, findings: &mut Findings<'_>) -> Option<Fit> {
    let text = |key: &str| node.get(key).and_then(|entry| entry.node.text()).map(str::to_owned);
    let integer = |key: &str| node.get(key).and_then(|entry| entry.node.integer());
    let number = |key: &str| node.get(key).and_then(|entry| entry.node.number());
    let model = text("model")?;
    let objective = text("objective").unwrap_or_else(|| "weighted".to_owned());
    let of_tilts = ["doubly_robust", "worst_case"].contains(&objective.as_str());
    if let Some(entry) = node.get("objective").filter(|_| model == "mlp" && of_tilts) {
        let help = "fit it with `model: tilt`, or use `objective: weighted`".to_owned();
        findings.add(entry.node.span, &format!("{} is fitted for a linear tilt only", quoted(&objective)), Some(help));
    }
    for (key, most) in [("hidden", 1024), ("steps", 100_000)] {
        check_at_most(node, key, most, findings);
    }
    Some(Fit {
        features: node.get("features").and_then(|entry| read_features(&entry.node, findings)),
        model,
        hidden: integer("hidden").unwrap_or(DEFAULT_HIDDEN),
        steps: integer("steps").unwrap_or(DEFAULT_STEPS),
        objective,
        smoothing: number("smoothing").unwrap_or(DEFAULT_SMOOTHING),
        lambda: number("lambda").unwrap_or(DEFAULT_LAMBDA),
        folds: integer("folds").unwrap_or(DEFAULT_FOLDS),
        seed: integer("seed").unwrap_or(0),
    })
}

fn check_at_most(node: &Node, key: &str, most: u64, findings: &mut Findings<'_>) {
    let Some(entry) = node.get(key) else { return };
    if entry.node.integer().is_some_and(|value| value > most) {
        findings.add(entry.node.span, &format!("`{key}` is larger than {most}"), Some(format!("use at most {most}")));
    }
}

/// Columns of both responses, equally many, or a text to be encoded.
fn read_features(node: &Node, findings: &mut Findings<'_>) -> Option<Features> {
    let mut side = |key: &str| -> Option<Vec<String>> {
        let entry = node.get(key)?;
        match entry.node.text() {
            Some(one) => Some(vec![one.to_owned()]),
            None => texts(&entry.node, "column", findings),
        }
    };
    let (a, b) = (side("a"), side("b"));
    let encoded = node.get("text").is_some();
    check_at_most(node, "size", 4096, findings);
    if let Some(entry) = node.get("size").filter(|_| !encoded) {
        findings.add(
            entry.node.span,
            "`size` says nothing without `text`",
            Some("add `text: ngrams`, or delete it".to_owned()),
        );
    }
    let count = |columns: &Option<Vec<String>>| columns.as_ref().map_or(0, Vec::len);
    if count(&a) != count(&b) || (!encoded && a.is_none()) || (encoded && count(&a) > 1) {
        let message = "features are columns of both responses, equally many (of texts, one each)";
        let help = "name them as `a` and `b`, or write `text: ngrams` to encode the responses' text".to_owned();
        findings.add(node.span, message, Some(help));
        return None;
    }
    let size = node.get("size").and_then(|entry| entry.node.integer()).unwrap_or(DEFAULT_SIZE);
    match (encoded, a, b) {
        (true, a, b) => {
            let columns = a.zip(b).and_then(|(a, b)| a.into_iter().zip(b).next());
            Some(Features::Text { columns, size })
        }
        (false, Some(a), Some(b)) => Some(Features::Columns { a, b }),
        _ => None,
    }
}
