//! The audit policy: severities, limits, the gate and the waivers.

use super::audit::Role;
use super::canonical::fingerprint;
use super::problem::{Findings, Problem, quoted};
use super::regime::slice_of;
use super::shape::{
    self, DocumentKind, Field, Fields, Range, Shape, Words, at_least, fields, list, map, may, must, one_of, positive,
    schema_field, word,
};
use super::yaml::{self, Node};
use super::{Slice, Source, prose, read_tree, source};
use chrono::NaiveDate;
use semver::Version;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A policy may extend another, that one another, and so on, this many times.
const MAX_CHAIN: usize = 8;
/// What `--set` problems name as their file.
const SET: &str = "--set";

/// A validated `counterweight/policy/v1` document, with `extends` resolved and every check of `standard` present.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The document as read (before `extends`).
    pub source: Source,
    /// The policy's name.
    pub name: String,
    /// The policy's semantic version.
    pub version: Version,
    /// SHA-256 of the RFC 8785 JSON of the resolved policy (after `extends`, inheritance from `standard` and `--set`).
    pub fingerprint: String,
    /// From which verdict on the exit code is 1.
    pub fail_on: FailOn,
    /// Severity and limits of every check, by check id.
    pub checks: BTreeMap<String, CheckPolicy>,
    /// The caps at which clipped weights are shown beside the unclipped ones, in the order written.
    pub clip: Vec<Cap>,
    /// The grid of fitted candidates.
    pub fits: FitGrid,
    /// Coarser cells to try; where none is declared, each covariate is dropped in turn.
    pub coarsenings: Vec<Coarsening>,
    /// The waivers, in the order written.
    pub waivers: Vec<Waiver>,
    /// Where every severity and limit stands, by check and key: in the document whose word is the last.
    pub places: BTreeMap<String, BTreeMap<String, Place>>,
}

/// Where a value of a policy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A shipped policy's name, a path as the documents write it (relative to the audit document), or `--set`.
    pub document: String,
    /// Whether that document is part of the program.
    pub shipped: bool,
    /// 1-based line and column of the key; `None` for `--set`.
    pub position: Option<(usize, usize)>,
}

/// The grid on which candidates are fitted, and the rule that takes a point of it (`max_accuracy`).
#[derive(Debug, Clone, PartialEq)]
pub struct FitGrid {
    /// Temperatures.
    pub betas: Vec<f64>,
    /// Ridges to choose from, on standardised features and weights of mean 1.
    pub ridges: Vec<f64>,
    /// The largest divergence from the reference, in nats.
    pub max_kl: Option<f64>,
}

/// A way to make the cells coarser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coarsening {
    /// Leaves a covariate out.
    Drop(String),
    /// By covariate and new level: the levels that it takes in. Every level is in one new level at most.
    Merge(BTreeMap<String, BTreeMap<String, Vec<String>>>),
}

/// A cap on weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Cap {
    /// As written: `none`, `p99.9`, `20`.
    pub text: String,
    /// Where it lies.
    pub at: CapAt,
}

/// Where a cap on weights lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CapAt {
    /// Nowhere: nothing is clipped.
    None,
    /// At this quantile of the weights, in (0, 1).
    Quantile(f64),
    /// At so many times the mean weight, above 0.
    Times(f64),
}

/// From which verdict on the exit code is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailOn {
    /// A `diagnostic` verdict fails the gate too.
    Diagnostic,
    /// Only a `block` verdict fails the gate.
    Block,
}

/// What a check's failure means for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Shown, never in the verdict.
    Note,
    /// Makes the verdict diagnostic.
    Diagnostic,
    /// Blocks.
    Block,
}

/// Severity and limits of one check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckPolicy {
    /// The severity.
    pub severity: Severity,
    /// The severity that applies instead when the log does not carry the evidence that the check needs.
    pub when_not_logged: Option<Severity>,
    /// The limits by name. The names and kinds allowed are those that `standard` gives the check.
    pub limits: BTreeMap<String, Limit>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// A finite number, at least 0.
    Number(f64),
    /// A list of finite numbers, such as a grid of Gamma.
    Numbers(Vec<f64>),
    /// A word, such as the name of a box.
    Text(String),
    /// A list of words, such as the roles that must be mapped.
    Texts(Vec<String>),
}

/// Permission to go on although a check does not pass: mandatory reason, owner, approver, ticket and expiry.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiver {
    /// The check that is waived.
    pub check: String,
    /// Restricts the waiver to findings within this slice; the whole check when absent.
    pub cell: Option<Slice>,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub owner: String,
    /// Who agreed.
    pub approver: String,
    /// Where it is recorded.
    pub ticket: String,
    /// The last day on which it holds.
    pub expires: NaiveDate,
    /// The line of the policy document on which it stands, 1-based.
    pub line: usize,
}

/// The policies embedded in the binary: name and YAML text.
pub fn shipped_policies() -> [(&'static str, &'static str); 2] {
    [("standard", include_str!("../../policies/standard.yaml")), ("strict", include_str!("../../policies/strict.yaml"))]
}

impl Severity {
    /// The severity's word in documents.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Diagnostic => "diagnostic",
            Severity::Block => "block",
        }
    }

    /// The severity with this word.
    pub fn from_name(name: &str) -> Option<Severity> {
        [Severity::Note, Severity::Diagnostic, Severity::Block].into_iter().find(|severity| severity.name() == name)
    }
}

impl FailOn {
    /// The word in documents.
    pub fn name(self) -> &'static str {
        match self {
            FailOn::Diagnostic => "diagnostic",
            FailOn::Block => "block",
        }
    }

    /// The value with this word.
    pub fn from_name(name: &str) -> Option<FailOn> {
        [FailOn::Diagnostic, FailOn::Block].into_iter().find(|fail_on| fail_on.name() == name)
    }
}

// ---- Shape ----

/// What `standard` gives each check: the vocabulary of policies.
type Vocabulary = BTreeMap<String, BTreeMap<String, LimitKind>>;

/// What kind of value a limit takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LimitKind {
    Number,
    Share,
    Numbers,
    Text,
    Texts,
    /// A list of names of roles.
    Roles,
}

/// The checks of the shipped `standard` policy, their limits and the kinds of those.
fn vocabulary() -> Vocabulary {
    let text = include_str!("../../policies/standard.yaml");
    let root = yaml::parse(text, &mut Findings::new("standard", text));
    let checks = root.as_ref().and_then(|root| root.get("checks"));
    let limits = |check: &yaml::Entry| {
        let limits = check.node.entries().iter().filter(|limit| !is_judgement(&limit.key));
        limits.map(|limit| (limit.key.clone(), kind_of(&limit.key, &limit.node))).collect()
    };
    checks
        .map_or(&[][..], |checks| checks.node.entries())
        .iter()
        .map(|check| (check.key.clone(), limits(check)))
        .collect()
}

/// Whether a key of a check is a severity and not a limit.
fn is_judgement(key: &str) -> bool {
    matches!(key, "severity" | "when_not_logged")
}

fn kind_of(name: &str, node: &Node) -> LimitKind {
    let items = node.items();
    let is_role = |item: &Node| item.text().and_then(Role::from_name).is_some();
    match items.first() {
        Some(first) if first.number().is_some() => LimitKind::Numbers,
        Some(_) if items.iter().all(is_role) => LimitKind::Roles,
        Some(_) => LimitKind::Texts,
        None if node.number().is_none() => LimitKind::Text,
        None if name.ends_with("_share") => LimitKind::Share,
        None => LimitKind::Number,
    }
}

fn limit_shape(kind: LimitKind) -> Shape {
    match kind {
        LimitKind::Number => at_least(0.0),
        LimitKind::Share => Shape::Number(Range { min: 0.0, above: false, max: Some(1.0) }),
        LimitKind::Numbers => list(at_least(0.0), 0),
        LimitKind::Text => Shape::Text,
        LimitKind::Texts => list(Shape::Text, 0),
        LimitKind::Roles => list(word("role", &Role::ALL.map(Role::name)), 0),
    }
}

fn severity_shape() -> Shape {
    word("severity", &["block", "diagnostic", "note"])
}

fn fail_on_shape() -> Shape {
    word("verdict", &["block", "diagnostic"])
}

fn check_shape(limits: &BTreeMap<String, LimitKind>) -> Shape {
    let mut known = vec![
        may("severity", severity_shape(), "What a failure means for the verdict."),
        may("when_not_logged", severity_shape(), "The severity where the log does not carry the evidence."),
    ];
    let limit = |(name, kind): (&String, &LimitKind)| {
        may(name, limit_shape(*kind), "A limit; policies/standard.yaml says where its value comes from.")
    };
    known.extend(limits.iter().map(limit));
    Shape::Fields(Fields { noun: "limit", fields: known })
}

fn checks_shape(vocabulary: &Vocabulary) -> Shape {
    let check = |(id, limits): (&String, &BTreeMap<String, LimitKind>)| {
        may(id, check_shape(limits), "What is not given is inherited.")
    };
    Shape::Fields(Fields { noun: "check", fields: vocabulary.iter().map(check).collect() })
}

/// The shape of policy documents.
pub(super) fn shape() -> Shape {
    let vocabulary = vocabulary();
    fields(vec![
        schema_field(DocumentKind::Policy),
        must("name", Shape::Text, "The policy's name.", "name: team-policy"),
        must("version", Shape::SemanticVersion, "The policy's semantic version.", "version: 1.0.0"),
        may("extends", Shape::Text, "A shipped policy's name or a file: what is not given here is taken from there."),
        may(
            "gate",
            fields(vec![may("fail_on", fail_on_shape(), "From which verdict on the exit code is 1.")]),
            "When the command fails.",
        ),
        may("checks", checks_shape(&vocabulary), "Severity and limits of checks, by check."),
        may("frontier", frontier_shape(), "Caps on the weights, and the grid of fitted candidates."),
        may(
            "coarsening",
            coarsening_shape(),
            "Coarser cells to try; without, each covariate of the cells is dropped in turn.",
        ),
        may("waivers", list(waiver_shape(&vocabulary), 0), "Permissions to go on although a check does not pass."),
    ])
}

fn frontier_shape() -> Shape {
    let select = fields(vec![
        may("rule", word("rule", &["max_accuracy"]), "How a candidate is chosen."),
        may("max_kl", at_least(0.0), "The largest divergence from the reference policy, in nats."),
    ]);
    fields(vec![
        may("clip", list(Shape::Cap, 1), "Caps on weights, in units of the mean weight."),
        may("beta", list(positive(), 1), "Temperatures of fitted candidates."),
        may("ridge", list(positive(), 1), "Ridges to choose from, on standardised features and weights of mean 1."),
        may("select", select, "Which point of the frontier is taken."),
    ])
}

fn coarsening_shape() -> Shape {
    list(
        one_of(vec![
            may("drop", Shape::Text, "A covariate to leave out."),
            may("merge", map(map(list(Shape::Text, 1))), "Covariate, new level, the levels that it takes in."),
        ]),
        0,
    )
}

fn waiver_shape(vocabulary: &Vocabulary) -> Shape {
    let ids = Words { noun: "check", allowed: vocabulary.keys().cloned().collect(), later: &[] };
    fields(vec![
        must("check", Shape::Word(ids), "The check that is waived.", "check: cell-support"),
        may("cell", map(Shape::Text), "Restricts the waiver to findings within this slice."),
        must("reason", Shape::Text, "Why.", "reason: the cell is being filled until March"),
        must("owner", Shape::Text, "Who asked.", "owner: Alignment"),
        must("approver", Shape::Text, "Who agreed.", "approver: Model Risk"),
        must("ticket", Shape::Text, "Where it is recorded.", "ticket: RISK-123"),
        must("expires", Shape::Date, "The last day on which it holds.", "expires: 2026-12-31"),
    ])
}

// ---- Reading ----

/// One policy document, before inheritance.
struct Draft {
    source: Source,
    name: String,
    version: Version,
    extends: Option<String>,
    fail_on: Option<FailOn>,
    checks: BTreeMap<String, PartialCheck>,
    clip: Option<Vec<Cap>>,
    beta: Option<Vec<f64>>,
    ridge: Option<Vec<f64>>,
    max_kl: Option<f64>,
    coarsenings: Option<Vec<Coarsening>>,
    waivers: Vec<Waiver>,
    /// Line and column of every key of every check.
    positions: Vec<(String, String, (usize, usize))>,
    /// The document's name as it is shown, and whether it is part of the program.
    document: (String, bool),
}

/// What a document gives of one check.
#[derive(Debug, Clone, Default)]
struct PartialCheck {
    severity: Option<Severity>,
    when_not_logged: Option<Severity>,
    limits: BTreeMap<String, Limit>,
}

/// Where a policy comes from.
enum Origin {
    Shipped(&'static str, &'static str),
    File(PathBuf),
}

/// Finds a policy by the name that a document gives it: a shipped name, else a path relative to `folder`.
fn origin(name: &str, folder: &Path) -> Origin {
    let shipped = shipped_policies().into_iter().find(|(shipped, _)| *shipped == name);
    shipped.map_or_else(|| Origin::File(folder.join(name)), |(name, text)| Origin::Shipped(name, text))
}

/// Reads the policy `name` (a shipped name, or a path relative to `folder`) and everything that it extends, and
/// applies `settings`.
///
/// The outer error says that the policy itself cannot be opened, and why; whoever named it has the place.
pub(super) fn load(name: &str, folder: &Path, settings: &[String]) -> Result<Result<Policy, Vec<Problem>>, String> {
    match origin(name, folder) {
        Origin::Shipped(name, text) => Ok(resolve(name, text, folder, None, settings)),
        Origin::File(path) => match super::read_file(name, &path) {
            Err(unreadable) => Err(unreadable),
            Ok(Err(problems)) => Ok(Err(problems)),
            Ok(Ok(text)) => Ok(resolve(name, &text, path.parent().unwrap_or(folder), Some(&path), settings)),
        },
    }
}

/// Resolves a policy's text: its chain of `extends`, inheritance from `standard`, settings.
pub(super) fn resolve(
    name: &str,
    text: &str,
    folder: &Path,
    path: Option<&Path>,
    settings: &[String],
) -> Result<Policy, Vec<Problem>> {
    let vocabulary = vocabulary();
    let chain = read_chain(name, text, folder, path, &vocabulary);
    let mut problems = Vec::new();
    let applied: Vec<Setting> =
        settings.iter().filter_map(|setting| read_setting(setting, &vocabulary, &mut problems)).collect();
    let chain = match chain {
        Ok(chain) if problems.is_empty() => chain,
        Ok(_) => return Err(problems),
        Err(mut earlier) => {
            earlier.append(&mut problems);
            return Err(earlier);
        }
    };
    merge(chain, applied).ok_or_else(|| {
        let message = "the policy does not give every check a severity".to_owned();
        vec![Problem::without_place(name, message, "extend a policy that does, such as `standard`".to_owned())]
    })
}

/// Reads a policy and what it extends: the policy itself first, `standard` (or what extends nothing) last.
fn read_chain(
    name: &str,
    text: &str,
    folder: &Path,
    path: Option<&Path>,
    vocabulary: &Vocabulary,
) -> Result<Vec<Draft>, Vec<Problem>> {
    let mut chain: Vec<Draft> = Vec::new();
    let mut visited: Vec<PathBuf> = path.map(identity).into_iter().collect();
    let mut next = (name.to_owned(), text.to_owned(), folder.to_owned(), path.is_none() && name == "standard");
    loop {
        let (name, text, folder, is_root) = next;
        let mut findings = Findings::new(&name, &text);
        let root = read_tree(&text, DocumentKind::Policy, &mut findings);
        let draft = root.as_ref().and_then(|root| read(&source(&name, &text), root, vocabulary));
        if let Some(root) = &root {
            check_coarsenings(root, &mut findings);
        }
        let base = draft.as_ref().and_then(|draft| draft.extends.clone());
        let following = match (base, &root) {
            (Some(base), Some(root)) => Some(follow(&base, root, &folder, &mut visited, chain.len(), &mut findings)),
            _ => None,
        };
        let mut problems = findings.finish();
        let Some(mut draft) = draft.filter(|_| problems.is_empty()) else {
            if problems.is_empty() {
                problems.push(super::unreadable(&name));
            }
            return Err(problems);
        };
        draft.document = shown(&name, is_root || (chain.is_empty() && path.is_none()), chain.last());
        chain.push(draft);
        next = match following {
            Some(Ok(Some(step))) => step,
            Some(Ok(None)) => return Err(vec![super::unreadable(&name)]),
            Some(Err(problems)) => return Err(problems),
            None if is_root => return Ok(chain),
            None => {
                let [(standard, text), _] = shipped_policies();
                (standard.to_owned(), text.to_owned(), folder, true)
            }
        };
    }
}

/// A document's name as it is shown, and whether it is part of the program: `extends` names a path relative to the
/// document that says so.
fn shown(name: &str, embedded: bool, extending: Option<&Draft>) -> (String, bool) {
    let shipped = shipped_policies().iter().any(|(shipped, _)| *shipped == name);
    if shipped && (embedded || extending.is_some()) {
        return (name.to_owned(), true);
    }
    let beside = extending.and_then(|draft| Path::new(&draft.document.0).parent());
    (beside.map_or_else(|| name.to_owned(), |folder| folder.join(name).display().to_string()), false)
}

/// The next document of a chain: its name, text and folder, and whether it is the root of all.
type Step = (String, String, PathBuf, bool);

/// Opens what `extends` names. Cycles, long chains and missing files are problems of the document that names it.
fn follow(
    base: &str,
    root: &Node,
    folder: &Path,
    visited: &mut Vec<PathBuf>,
    length: usize,
    findings: &mut Findings<'_>,
) -> Result<Option<Step>, Vec<Problem>> {
    let Some(entry) = root.get("extends") else { return Ok(None) };
    let span = entry.node.span;
    if length >= MAX_CHAIN {
        let message = format!("policies extend each other more than {MAX_CHAIN} times");
        findings.add(span, &message, Some("shorten the chain".to_owned()));
        return Ok(None);
    }
    let path = match origin(base, folder) {
        Origin::Shipped(name, text) => {
            return Ok(Some((name.to_owned(), text.to_owned(), folder.to_owned(), name == "standard")));
        }
        Origin::File(path) => path,
    };
    if visited.contains(&identity(&path)) {
        let message = format!("policies extend each other in a circle: {} is extended already", quoted(base));
        findings.add(span, &message, Some("let one of them extend `standard`".to_owned()));
        return Ok(None);
    }
    match super::read_file(base, &path) {
        Err(unreadable) => {
            findings.add(span, &unreadable, Some(missing_help(&path)));
            Ok(None)
        }
        Ok(text) => {
            visited.push(identity(&path));
            let folder = path.parent().unwrap_or(folder).to_owned();
            Ok(Some((base.to_owned(), text?, folder, false)))
        }
    }
}

/// What to do about a policy that is not there.
pub(super) fn missing_help(path: &Path) -> String {
    let names = shipped_policies().map(|(name, _)| format!("`{name}`")).join(" and ");
    format!("looked for `{}`; the shipped policies are {names}", path.display())
}

/// A path by which a file is recognised however it is written.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Reads one document from a tree that has been checked. `None` where the check has reported a problem.
fn read(source: &Source, root: &Node, vocabulary: &Vocabulary) -> Option<Draft> {
    let text = |key: &str| root.get(key).and_then(|entry| entry.node.text());
    let checks = root.get("checks").map_or(&[][..], |checks| checks.node.entries());
    let waivers = root.get("waivers").map_or(&[][..], |waivers| waivers.node.items());
    let frontier = |key: &str| Some(&root.get("frontier")?.node.get(key)?.node);
    let numbers = |key: &str| -> Option<Vec<f64>> { frontier(key)?.items().iter().map(Node::number).collect() };
    let check = |check: &yaml::Entry| Some((check.key.clone(), read_check(vocabulary.get(&check.key)?, &check.node)?));
    Some(Draft {
        source: source.clone(),
        name: root.get("name").and_then(|entry| prose(&entry.node))?,
        version: Version::parse(text("version")?).ok()?,
        extends: text("extends").map(str::to_owned),
        fail_on: root.get("gate").and_then(|gate| FailOn::from_name(gate.node.get("fail_on")?.node.text()?)),
        checks: checks.iter().map(check).collect::<Option<_>>()?,
        clip: frontier("clip").map(read_caps),
        beta: numbers("beta"),
        ridge: numbers("ridge"),
        max_kl: frontier("select").and_then(|select| select.get("max_kl")?.node.number()),
        coarsenings: match root.get("coarsening") {
            Some(entry) => Some(entry.node.items().iter().map(read_coarsening).collect::<Option<_>>()?),
            None => None,
        },
        waivers: waivers.iter().map(read_waiver).collect::<Option<_>>()?,
        positions: checks.iter().flat_map(positions).collect(),
        document: (source.name.clone(), false),
    })
}

/// Where the keys of a check stand.
fn positions(check: &yaml::Entry) -> impl Iterator<Item = (String, String, (usize, usize))> {
    let of = |key: &yaml::Entry| (check.key.clone(), key.key.clone(), (key.span.line, key.span.column));
    check.node.entries().iter().map(of)
}

fn read_caps(node: &Node) -> Vec<Cap> {
    let cap = |item: &Node| {
        let text = item.text()?.to_owned();
        let at = match (item.number(), text.strip_prefix('p')) {
            (Some(times), _) => CapAt::Times(times),
            (None, Some(percent)) => CapAt::Quantile(percent.parse::<f64>().ok()? / 100.0),
            (None, None) => CapAt::None,
        };
        Some(Cap { text, at })
    };
    node.items().iter().filter_map(cap).collect()
}

fn read_coarsening(node: &Node) -> Option<Coarsening> {
    if let Some(covariate) = node.get("drop") {
        return covariate.node.text().map(|name| Coarsening::Drop(name.to_owned()));
    }
    let levels = |new: &yaml::Entry| {
        let taken: Option<Vec<String>> = new.node.items().iter().map(|item| item.text().map(str::to_owned)).collect();
        Some((new.key.clone(), taken?))
    };
    let covariate = |own: &yaml::Entry| {
        let merged: Option<BTreeMap<_, _>> = own.node.entries().iter().map(levels).collect();
        Some((own.key.clone(), merged?))
    };
    let merged: Option<BTreeMap<_, _>> = node.get("merge")?.node.entries().iter().map(covariate).collect();
    merged.map(Coarsening::Merge)
}

/// A level that is in two new ones would be in whichever comes last: said where it stands.
fn check_coarsenings(root: &Node, findings: &mut Findings<'_>) {
    let listed = root.get("coarsening").map_or(&[][..], |entry| entry.node.items());
    let covariates = listed.iter().filter_map(|item| item.get("merge")).flat_map(|merge| merge.node.entries());
    for covariate in covariates {
        let mut seen = std::collections::BTreeSet::new();
        for level in covariate.node.entries().iter().flat_map(|new| new.node.items()) {
            if level.text().is_some_and(|text| !seen.insert(text)) {
                let message = format!("{} goes into two new levels", quoted(level.text().unwrap_or_default()));
                findings.add(level.span, &message, Some("list every level once".to_owned()));
            }
        }
    }
}

fn read_check(limits: &BTreeMap<String, LimitKind>, node: &Node) -> Option<PartialCheck> {
    let severity = |key: &str| node.get(key).and_then(|entry| Severity::from_name(entry.node.text()?));
    let given = node.entries().iter().filter(|limit| !is_judgement(&limit.key));
    let read = |limit: &yaml::Entry| Some((limit.key.clone(), read_limit(*limits.get(&limit.key)?, &limit.node)?));
    Some(PartialCheck {
        severity: severity("severity"),
        when_not_logged: severity("when_not_logged"),
        limits: given.map(read).collect::<Option<_>>()?,
    })
}

fn read_limit(kind: LimitKind, node: &Node) -> Option<Limit> {
    let text = |node: &Node| node.text().map(str::to_owned);
    match kind {
        LimitKind::Number | LimitKind::Share => node.number().map(Limit::Number),
        LimitKind::Numbers => node.items().iter().map(Node::number).collect::<Option<_>>().map(Limit::Numbers),
        LimitKind::Text => text(node).map(Limit::Text),
        LimitKind::Texts | LimitKind::Roles => node.items().iter().map(text).collect::<Option<_>>().map(Limit::Texts),
    }
}

fn read_waiver(node: &Node) -> Option<Waiver> {
    let text = |key: &str| node.get(key).and_then(|entry| prose(&entry.node));
    let cell = match node.get("cell") {
        Some(entry) => Some(slice_of(&entry.node)?),
        None => None,
    };
    Some(Waiver {
        check: text("check")?,
        cell,
        reason: text("reason")?,
        owner: text("owner")?,
        approver: text("approver")?,
        ticket: text("ticket")?,
        expires: shape::date(node.get("expires")?.node.text()?)?,
        line: node.span.line,
    })
}

// ---- Settings ----

/// One `--set`.
enum Setting {
    FailOn(FailOn),
    Check(String, PartialCheck),
}

fn read_setting(setting: &str, vocabulary: &Vocabulary, problems: &mut Vec<Problem>) -> Option<Setting> {
    let Some((path, value)) = setting.split_once('=') else {
        problems.push(bad_setting(setting, "there is no `=`".to_owned(), SETTING_HELP.to_owned()));
        return None;
    };
    if value.trim().is_empty() {
        problems.push(bad_setting(setting, "there is no value after the `=`".to_owned(), SETTING_HELP.to_owned()));
        return None;
    }
    let (check, field) = match path.split('.').collect::<Vec<_>>().as_slice() {
        ["gate", "fail_on"] => ("", may("fail_on", fail_on_shape(), "")),
        ["checks", check, limit] => (*check, setting_field(setting, check, limit, vocabulary, problems)?),
        _ => {
            problems.push(bad_setting(setting, "it names no setting".to_owned(), SETTING_HELP.to_owned()));
            return None;
        }
    };
    let node = read_setting_value(setting, value, &field, problems)?;
    if field.key == "fail_on" {
        return FailOn::from_name(node.text()?).map(Setting::FailOn);
    }
    let mut partial = PartialCheck::default();
    match field.key.as_str() {
        "severity" => partial.severity = Severity::from_name(node.text()?),
        "when_not_logged" => partial.when_not_logged = Severity::from_name(node.text()?),
        name => {
            let kind = *vocabulary.get(check)?.get(name)?;
            partial.limits.insert(name.to_owned(), read_limit(kind, &node)?);
        }
    }
    Some(Setting::Check(check.to_owned(), partial))
}

const SETTING_HELP: &str =
    "write `checks.CHECK.LIMIT=VALUE`, `checks.CHECK.severity=SEVERITY` or `gate.fail_on=VERDICT`";

fn bad_setting(setting: &str, message: String, help: String) -> Problem {
    Problem::without_place(SET, format!("{}: {message}", quoted(setting)), help)
}

/// The shape of what a setting names.
fn setting_field(
    setting: &str,
    check: &str,
    limit: &str,
    vocabulary: &Vocabulary,
    problems: &mut Vec<Problem>,
) -> Option<Field> {
    let Some(limits) = vocabulary.get(check) else {
        let names = || vocabulary.keys().map(String::as_str);
        let allowed = format!("checks: {}", super::problem::listed(names()));
        let help = shape::suggestion(check, names(), &allowed);
        problems.push(bad_setting(setting, format!("unknown check {}", quoted(check)), help));
        return None;
    };
    if is_judgement(limit) {
        return Some(may(limit, severity_shape(), ""));
    }
    let Some(kind) = limits.get(limit) else {
        let names = || ["severity", "when_not_logged"].into_iter().chain(limits.keys().map(String::as_str));
        let allowed = format!("allowed: {}", super::problem::listed(names()));
        let help = shape::suggestion(limit, names(), &allowed);
        problems.push(bad_setting(setting, format!("unknown limit {} in {}", quoted(limit), quoted(check)), help));
        return None;
    };
    Some(may(limit, limit_shape(*kind), ""))
}

fn read_setting_value(setting: &str, value: &str, field: &Field, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut findings = Findings::new(SET, value);
    let node = yaml::parse(value, &mut findings);
    if let Some(node) = &node {
        shape::check(node, &field.shape, &quoted(&field.key), &mut findings);
    }
    let found = findings.finish();
    if found.is_empty() {
        return node;
    }
    let placeless = |problem: Problem| bad_setting(setting, problem.message, problem.help.unwrap_or_default());
    problems.extend(found.into_iter().map(placeless));
    None
}

// ---- Inheritance ----

/// Lays a chain of documents and the settings over each other, key by key, the last document first.
fn merge(chain: Vec<Draft>, settings: Vec<Setting>) -> Option<Policy> {
    let mut checks: BTreeMap<String, PartialCheck> = BTreeMap::new();
    let mut fail_on = FailOn::Block;
    let (mut waivers, mut coarsenings) = (Vec::new(), Vec::new());
    let mut clip = Vec::new();
    let mut fits = FitGrid { betas: Vec::new(), ridges: Vec::new(), max_kl: None };
    let mut places: BTreeMap<String, BTreeMap<String, Place>> = BTreeMap::new();
    for draft in chain.iter().rev() {
        for (id, key, position) in &draft.positions {
            let (document, shipped) = draft.document.clone();
            let place = Place { document, shipped, position: Some(*position) };
            places.entry(id.clone()).or_default().insert(key.clone(), place);
        }
        fail_on = draft.fail_on.unwrap_or(fail_on);
        waivers.extend(draft.waivers.iter().cloned());
        clip = draft.clip.clone().unwrap_or(clip);
        coarsenings = draft.coarsenings.clone().unwrap_or(coarsenings);
        fits = FitGrid {
            betas: draft.beta.clone().unwrap_or(fits.betas),
            ridges: draft.ridge.clone().unwrap_or(fits.ridges),
            max_kl: draft.max_kl.or(fits.max_kl),
        };
        for (id, check) in &draft.checks {
            overlay(checks.entry(id.clone()).or_default(), check);
        }
    }
    for setting in settings {
        match setting {
            Setting::FailOn(value) => fail_on = value,
            Setting::Check(id, check) => {
                let set = || Place { document: SET.to_owned(), shipped: false, position: None };
                let keys = keys(&check).map(|key| (key.to_owned(), set()));
                places.entry(id.clone()).or_default().extend(keys);
                overlay(checks.entry(id).or_default(), &check);
            }
        }
    }
    let first = chain.into_iter().next()?;
    let checks: Option<BTreeMap<String, CheckPolicy>> = checks
        .into_iter()
        .map(|(id, check)| {
            let PartialCheck { severity, when_not_logged, limits } = check;
            Some((id, CheckPolicy { severity: severity?, when_not_logged, limits }))
        })
        .collect();
    let mut policy = Policy {
        source: first.source,
        name: first.name,
        version: first.version,
        fingerprint: String::new(),
        fail_on,
        checks: checks?,
        clip,
        fits,
        coarsenings,
        waivers,
        places,
    };
    policy.fingerprint = fingerprint(&resolved(&policy));
    Some(policy)
}

/// The keys that a document or setting gives of a check.
fn keys(check: &PartialCheck) -> impl Iterator<Item = &str> {
    let severities = [("severity", check.severity), ("when_not_logged", check.when_not_logged)];
    let given = severities.into_iter().filter_map(|(key, value)| value.map(|_| key));
    given.chain(check.limits.keys().map(String::as_str))
}

fn overlay(below: &mut PartialCheck, above: &PartialCheck) {
    below.severity = above.severity.or(below.severity);
    below.when_not_logged = above.when_not_logged.or(below.when_not_logged);
    below.limits.extend(above.limits.iter().map(|(name, limit)| (name.clone(), limit.clone())));
}

// ---- Fingerprint ----

/// The resolved policy, in the form that the fingerprint covers.
fn resolved(policy: &Policy) -> Json {
    let check = |(id, check): (&String, &CheckPolicy)| {
        let limits: BTreeMap<&String, Json> =
            check.limits.iter().map(|(name, limit)| (name, limit_json(limit))).collect();
        let severities = json!({
            "severity": check.severity.name(),
            "when_not_logged": check.when_not_logged.map(Severity::name),
            "limits": limits,
        });
        (id.clone(), severities)
    };
    let mut whole = json!({
        "schema": DocumentKind::Policy.schema(),
        "name": policy.name,
        "version": policy.version.to_string(),
        "gate": {"fail_on": policy.fail_on.name()},
        "frontier": {
            "clip": policy.clip.iter().map(|cap| &cap.text).collect::<Vec<_>>(),
            "beta": policy.fits.betas,
            "ridge": policy.fits.ridges,
            "select": {"rule": "max_accuracy", "max_kl": policy.fits.max_kl},
        },
        "checks": policy.checks.iter().map(check).collect::<BTreeMap<_, _>>(),
        "waivers": policy.waivers.iter().map(waiver_json).collect::<Vec<_>>(),
    });
    // Only where some are declared, so that other policies keep their fingerprint.
    if let Some(members) = whole.as_object_mut().filter(|_| !policy.coarsenings.is_empty()) {
        members.insert("coarsening".to_owned(), policy.coarsenings.iter().map(coarsening_json).collect());
    }
    whole
}

fn coarsening_json(coarsening: &Coarsening) -> Json {
    match coarsening {
        Coarsening::Drop(covariate) => json!({ "drop": covariate }),
        Coarsening::Merge(levels) => json!({ "merge": levels }),
    }
}

impl Policy {
    /// The resolved content, in the form that the fingerprint covers.
    pub fn declared(&self) -> Json {
        resolved(self)
    }

    /// Every severity and limit by check and key, as JSON: numbers, words, lists of them.
    pub fn limits(&self) -> impl Iterator<Item = (&str, &str, Json)> {
        self.checks.iter().flat_map(|(id, check)| {
            let severity = ("severity", json!(check.severity.name()));
            let softer = check.when_not_logged.map(|severity| ("when_not_logged", json!(severity.name())));
            let limits = check.limits.iter().map(|(key, limit)| (key.as_str(), limit_json(limit)));
            [severity].into_iter().chain(softer).chain(limits).map(move |(key, value)| (id.as_str(), key, value))
        })
    }
}

fn limit_json(limit: &Limit) -> Json {
    match limit {
        Limit::Number(number) => json!(number),
        Limit::Numbers(numbers) => json!(numbers),
        Limit::Text(text) => json!(text),
        Limit::Texts(texts) => json!(texts),
    }
}

fn waiver_json(waiver: &Waiver) -> Json {
    json!({
        "check": waiver.check,
        "cell": waiver.cell,
        "reason": waiver.reason,
        "owner": waiver.owner,
        "approver": waiver.approver,
        "ticket": waiver.ticket,
        "expires": waiver.expires.to_string(),
    })
}
