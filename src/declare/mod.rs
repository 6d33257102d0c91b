//! The YAML documents: what the organisation declares (regime), what blocks (policy), what is audited (audit), and the
//! simulated platforms that the audits are tried on (world).
//!
//! Owns: parsing to a tree with positions, validating it into typed documents while collecting every problem,
//! the JSON Schemas of the documents. The YAML crate is used nowhere else.
//! Must never: read logs, judge anything, or stop at the first problem of a document.

mod audit;
mod canonical;
mod policy;
mod preset;
mod problem;
mod regime;
mod shape;
mod world;
mod yaml;

pub use audit::{Audit, Candidate, Features, Fit, LabelWords, LogProbabilities, LogSpec, Role};
pub use canonical::canonical_json;
pub use policy::{
    Cap, CapAt, CheckPolicy, Coarsening, FailOn, FitGrid, Limit, Place, Policy, Severity, Waiver, shipped_policies,
};
pub use preset::{MADE, MADE_LABEL, MADE_PROMPT, MADE_RESPONSE_A, MADE_RESPONSE_B, Preset, WHOLE_LOG};
pub use problem::{Problem, Problems};
pub use regime::{Mechanism, Observed, Pairs, Regime, TO_BE_WRITTEN, Target, TargetForm};
pub use shape::{DocumentKind, json_schema};
pub use world::{
    Annotators, Component, Defect, Filter, Flaws, Generated, Generator, HiddenConfounder, Labels, LoggedPropensity,
    MechanismVersion, Responses, Selection, Tilt, Toward, UserType, WORLD_COVARIATES, World, WorldCandidate,
    WorldPairs,
};

use problem::Findings;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use yaml::Node;

/// One level per covariate, in the order of [`Regime::cells`]: the key of a cell.
pub type Levels = Vec<String>;

/// A partial assignment of covariates to levels, such as a critical slice or the cell of a waiver.
pub type Slice = BTreeMap<String, String>;

/// Where a document came from and what its bytes were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// The path as written by whoever named the document, or the name of a shipped policy.
    pub name: String,
    /// The document, byte for byte.
    pub text: String,
    /// Lower-case hexadecimal SHA-256 of `text`.
    pub sha256: String,
}

/// One audit's declarations, validated.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The audit document: which declaration, which logs, which candidates.
    pub audit: Audit,
    /// The declared target regime.
    pub regime: Regime,
    /// The policy with `extends` and `standard` resolved and `--set` applied.
    pub policy: Policy,
    /// The `key=value` overrides that were applied, as given.
    pub settings: Vec<String>,
}

/// Reads an audit document and the regime and policy that it names (paths are relative to the audit document).
///
/// `settings` are `key=value` overrides of policy limits, such as `checks.cell-support.min_rows=50` or
/// `gate.fail_on=diagnostic`.
///
/// # Errors
/// Every problem of all three documents and of the settings at once.
pub fn load(path: &Path, settings: &[String]) -> Result<Declaration, Problems> {
    let name = path.display().to_string();
    let text = match read_file(&name, path) {
        Ok(Ok(text)) => text,
        Ok(Err(problems)) => return Err(Problems(problems)),
        Err(message) => {
            let help = "name an audit document, such as `audit.yaml`".to_owned();
            return Err(Problems(vec![Problem::without_place(&name, message, help)]));
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut findings = Findings::new(&name, &text);
    let root = read_tree(&text, DocumentKind::Audit, &mut findings);
    let Some(root) = root else { return Err(Problems(findings.finish())) };
    let audit = audit::read(&source(&name, &text), folder, &root, &mut findings);
    let (regime, policy) = audit::references(&root);
    let regime = regime.and_then(|node| load_regime(node, folder, &mut findings));
    let policy = load_policy(policy, folder, settings, &mut findings);
    let mut problems = findings.finish();
    let regime = regime.and_then(|read| keep(read, &mut problems));
    let policy = policy.and_then(|read| keep(read, &mut problems));
    match (audit, regime, policy) {
        (Some(audit), Some(regime), Some(policy)) if problems.is_empty() => {
            Ok(Declaration { audit, regime, policy, settings: settings.to_vec() })
        }
        _ => Err(Problems(if problems.is_empty() { vec![unreadable(&name)] } else { problems })),
    }
}

/// Reads a regime document's text; `name` is what problems call it.
///
/// # Errors
/// Every problem of the document at once.
pub fn parse_regime(name: &str, text: &str) -> Result<Regime, Problems> {
    parse(name, text, DocumentKind::Regime, regime::read)
}

/// Reads a policy document's text; `name` is what problems call it. A file that it `extends` is looked for relative
/// to `folder`.
///
/// # Errors
/// Every problem of the document at once, or of the first one in its chain of `extends` that has any.
pub fn parse_policy(name: &str, text: &str, folder: &Path) -> Result<Policy, Problems> {
    policy::resolve(name, text, folder, None, &[]).map_err(Problems)
}

/// Reads an audit document's text; `name` is what problems call it, and `folder` is what its paths are relative to.
/// The regime and policy that it names are not opened.
///
/// # Errors
/// Every problem of the document at once.
pub fn parse_audit(name: &str, text: &str, folder: &Path) -> Result<Audit, Problems> {
    parse(name, text, DocumentKind::Audit, |source, root, findings| audit::read(source, folder, root, findings))
}

/// Reads a world document (see [`World`]).
///
/// # Errors
/// Every problem of the document at once.
pub fn load_world(path: &Path) -> Result<World, Problems> {
    let name = path.display().to_string();
    match read_file(&name, path) {
        Ok(Ok(text)) => parse_world(&name, &text, path.parent().unwrap_or(Path::new(""))),
        Ok(Err(problems)) => Err(Problems(problems)),
        Err(message) => {
            let help = "name a world document, such as `examples/telemetry/world.yaml`".to_owned();
            Err(Problems(vec![Problem::without_place(&name, message, help)]))
        }
    }
}

/// Reads a world document's text; `name` is what problems call it, and `folder` is what its paths are relative to.
///
/// # Errors
/// Every problem of the document at once.
pub fn parse_world(name: &str, text: &str, folder: &Path) -> Result<World, Problems> {
    parse(name, text, DocumentKind::World, |source, root, findings| world::read(source, folder, root, findings))
}

fn parse<T>(
    name: &str,
    text: &str,
    kind: DocumentKind,
    read: impl FnOnce(&Source, &Node, &mut Findings<'_>) -> Option<T>,
) -> Result<T, Problems> {
    let mut findings = Findings::new(name, text);
    let root = read_tree(text, kind, &mut findings);
    let document = root.and_then(|root| read(&source(name, text), &root, &mut findings));
    let problems = findings.finish();
    match document {
        Some(document) if problems.is_empty() => Ok(document),
        _ if problems.is_empty() => Err(Problems(vec![unreadable(name)])),
        _ => Err(Problems(problems)),
    }
}

/// Parses a document and checks it against its shape.
fn read_tree(text: &str, kind: DocumentKind, findings: &mut Findings<'_>) -> Option<Node> {
    let root = yaml::parse(text, findings)?;
    shape::check_document(&root, kind, findings);
    Some(root)
}

fn load_regime(node: &Node, folder: &Path, findings: &mut Findings<'_>) -> Option<Result<Regime, Vec<Problem>>> {
    let name = node.text()?;
    let path = folder.join(name);
    match read_file(name, &path) {
        Ok(Ok(text)) => Some(parse_regime(name, &text).map_err(|problems| problems.0)),
        Ok(Err(problems)) => Some(Err(problems)),
        Err(message) => {
            let help = format!("looked for `{}`: paths are relative to the audit document", path.display());
            findings.add(node.span, &message, Some(help));
            None
        }
    }
}

fn load_policy(
    node: Option<&Node>,
    folder: &Path,
    settings: &[String],
    findings: &mut Findings<'_>,
) -> Option<Result<Policy, Vec<Problem>>> {
    let name = node.and_then(Node::text).unwrap_or("standard");
    match policy::load(name, folder, settings) {
        Ok(read) => Some(read),
        Err(message) => {
            let span = node.map_or(problem::Span::START, |node| node.span);
            findings.add(span, &message, Some(policy::missing_help(&folder.join(name))));
            None
        }
    }
}

/// The document, or nothing and its problems with the others.
fn keep<T>(read: Result<T, Vec<Problem>>, problems: &mut Vec<Problem>) -> Option<T> {
    read.map_err(|mut found| problems.append(&mut found)).ok()
}

/// The problem of a document that cannot be read for a reason that was not recorded.
fn unreadable(name: &str) -> Problem {
    let help = "please report this with the document".to_owned();
    Problem::without_place(name, "the document could not be read".to_owned(), help)
}

/// A document as read, with its digest.
fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned(), sha256: canonical::sha256_hex(text.as_bytes()) }
}

/// Text for people to read, without the line break at its end that block scalars have.
fn prose(node: &Node) -> Option<String> {
    node.text().map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Reads a file, but not a large one. The outer error says why the file cannot be opened; the inner one is a problem
/// of its content.
fn read_file(name: &str, path: &Path) -> Result<Result<String, Vec<Problem>>, String> {
    let unreadable = |error: std::io::Error| {
        let reason = match error.kind() {
            ErrorKind::NotFound => "no such file".to_owned(),
            ErrorKind::PermissionDenied => "permission denied".to_owned(),
            ErrorKind::IsADirectory => "it is a folder".to_owned(),
            _ => error.to_string(),
        };
        format!("cannot read {}: {reason}", problem::quoted(name))
    };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let too_large = || {
        let message = format!("the document is larger than {} MiB", yaml::MAX_BYTES / 1024 / 1024);
        Problem::without_place(
            name,
            message,
            "a declaration is text that people review; name the right file".to_owned(),
        )
    };
    if size > yaml::MAX_BYTES {
        return Ok(Err(vec![too_large()]));
    }
    let mut bytes = Vec::new();
    // What is not a regular file has no size to go by.
    let read = file.take(yaml::MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > yaml::MAX_BYTES {
        return Ok(Err(vec![too_large()]));
    }
    Ok(yaml::decode(name, bytes))
}
