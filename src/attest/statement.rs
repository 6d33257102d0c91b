//! in-toto statements: what a signature says. One about the audit, one in the standard form that generic policy engines
//! read, one for a further person's endorsement.
//!
//! Specifications: in-toto Attestation Framework, Statement v1 and test-result v0.1
//! (<https://github.com/in-toto/attestation/tree/main/spec>).

use super::tree::ArtifactKind;
use crate::report::{self, CellKey, Report, Status, Verdict, WaiverRecord};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `_type` of a Statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The predicate about an audit.
pub const PREFERENCE_AUDIT: &str = "https://counterweight.dev/attestation/preference-audit/v1";
/// The predicate of an endorsement.
pub const ENDORSEMENT: &str = "https://counterweight.dev/attestation/endorsement/v1";
/// The standard predicate.
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// An in-toto Statement v1 with one kind of predicate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement<P> {
    /// [`STATEMENT`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it is about.
    pub subject: Vec<Resource>,
    /// What the predicate is.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is said of the subjects.
    pub predicate: P,
}

/// Something named, by digest (a ResourceDescriptor).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its name as written.
    pub name: String,
    /// Its digests.
    pub digest: Sha256Digest,
}

/// A digest set of SHA-256 alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sha256Digest {
    /// Lower-case hexadecimal.
    pub sha256: String,
}

impl Resource {
    /// A resource by its name and its SHA-256 in lower-case hexadecimal.
    pub fn new(name: &str, sha256: &str) -> Resource {
        Resource { name: name.to_owned(), digest: Sha256Digest { sha256: sha256.to_owned() } }
    }
}

/// What an audit concluded, of what, under which declarations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreferenceAudit {
    /// The worst of all checks.
    pub verdict: Verdict,
    /// 0 or 1, by the verdict and the gate.
    pub exit_code: i32,
    /// The date that waivers and ages refer to.
    pub as_of: String,
    /// When this was signed, RFC 3339 in UTC: the only clock in a report folder.
    pub time_created: String,
    /// The declared target regime.
    pub regime: Declared,
    /// The audit policy, resolved, with the settings applied.
    pub policy: Declared,
    /// The audit document.
    pub audit: Resource,
    /// Overrides of the policy that were in force.
    pub settings: Vec<String>,
    /// The checklist: each check with the headline number and its limit.
    pub checks: Vec<CheckLine>,
    /// The waivers that were applied.
    pub waivers: Vec<AppliedWaiver>,
    /// What the candidates would deploy.
    pub artifacts: Vec<ArtifactLine>,
    /// The program.
    pub tool: report::Tool,
    /// The seed of each candidate that is fitted; empty when nothing is drawn.
    pub seed: BTreeMap<String, u64>,
    /// Operating system and processor of the machine that made the report.
    pub platform: String,
}

/// A declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Of the document's bytes.
    pub digest: Sha256Digest,
    /// SHA-256 of the canonical JSON of its content: comments and order do not matter, content does.
    pub fingerprint: String,
}

/// A check's result in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckLine {
    /// Its id.
    pub id: String,
    /// Its status after waivers.
    pub status: Status,
    /// What this check alone makes of the verdict.
    pub verdict: Verdict,
    /// The headline measure; null when there is none.
    pub value: Option<f64>,
    /// The limit that it is held against; null when there is none.
    pub limit: Option<f64>,
}

/// A waiver that covers a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedWaiver {
    /// The check.
    pub check: String,
    /// The slice it is restricted to.
    pub cell: Option<CellKey>,
    /// Where it is recorded.
    pub ticket: String,
    /// Last day, `YYYY-MM-DD`.
    pub expires: String,
}

/// A candidate's artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactLine {
    /// The candidate.
    pub candidate: String,
    /// The artifact's name as written: the subject's.
    pub name: String,
    /// Whether it is a file or a folder: their digests are made differently.
    pub kind: ArtifactKind,
}

/// in-toto's test-result predicate v0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestResult {
    /// `PASSED`, `WARNED` or `FAILED`.
    pub result: String,
    /// The declarations.
    pub configuration: Vec<Resource>,
    /// Checks that stand in the way of nothing.
    #[serde(rename = "passedTests")]
    pub passed_tests: Vec<String>,
    /// Checks that limit the use.
    #[serde(rename = "warnedTests")]
    pub warned_tests: Vec<String>,
    /// Checks because of which the gate is closed.
    #[serde(rename = "failedTests")]
    pub failed_tests: Vec<String>,
}

/// What an endorsement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endorsement {
    /// In which role, such as `validator` or `approver`.
    pub role: String,
    /// When it was signed, RFC 3339 in UTC.
    pub time_created: String,
    /// The verdict that was endorsed, so that nobody signs without having seen it.
    pub verdict: Verdict,
    /// 0 or 1, likewise.
    pub exit_code: i32,
}

/// What is signed of an audit beside its report.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    /// Candidates' artifacts with their digests.
    pub(super) artifacts: Vec<(ArtifactLine, Resource)>,
    /// Seeds of the fitted candidates.
    pub(super) seed: BTreeMap<String, u64>,
    /// When, RFC 3339.
    pub(super) time_created: String,
    /// On what.
    pub(super) platform: String,
}

impl<P: Serialize + DeserializeOwned> Statement<P> {
    /// A statement.
    pub(super) fn new(subject: Vec<Resource>, predicate_type: &str, predicate: P) -> Statement<P> {
        Statement { kind: STATEMENT.to_owned(), subject, predicate_type: predicate_type.to_owned(), predicate }
    }

    /// The payload: one line of JSON without a line break.
    pub(super) fn to_payload(&self) -> Vec<u8> {
        super::to_line(self).trim_end().as_bytes().to_vec()
    }

    /// Reads a payload of exactly the bytes that [`Statement::to_payload`] gives, or says what is damaged. Its signature must
    /// have been verified.
    pub(super) fn from_payload(payload: &[u8], predicate_type: &str) -> Result<Statement<P>, String> {
        let text = str::from_utf8(payload).map_err(|_| "the payload is not text".to_owned())?;
        let tag: Tag = serde_json::from_str(text).map_err(|error| format!("the payload is no statement: {error}"))?;
        if tag.kind != STATEMENT || tag.predicate_type != predicate_type {
            return Err(format!(
                "the statement is a `{}` with the predicate `{}`, not `{predicate_type}`",
                tag.kind.escape_debug(),
                tag.predicate_type.escape_debug()
            ));
        }
        let statement: Statement<P> =
            serde_json::from_str(text).map_err(|error| format!("the statement cannot be read: {error}"))?;
        if statement.to_payload() != payload {
            return Err("the statement's JSON is not byte for byte as it was written".to_owned());
        }
        statement.check_subjects()?;
        Ok(statement)
    }

    /// Names are unique and digests are lower-case hexadecimal.
    fn check_subjects(&self) -> Result<(), String> {
        let mut names = std::collections::BTreeSet::new();
        for subject in &self.subject {
            let name = subject.name.escape_debug();
            if !names.insert(&subject.name) {
                return Err(format!("two subjects are called `{name}`"));
            }
            if !is_sha256(&subject.digest.sha256) {
                return Err(format!("the digest of `{name}` is no SHA-256 in lower-case hexadecimal"));
            }
        }
        if self.subject.is_empty() { Err("the statement has no subject".to_owned()) } else { Ok(()) }
    }
}

#[derive(Deserialize)]
struct Tag {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

/// Whether a text is a SHA-256 in lower-case hexadecimal.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The statement about an audit. `subject` are the report's files, then what it was made from.
pub(super) fn preference_audit(
    report: &Report,
    subject: Vec<Resource>,
    context: Context,
) -> Statement<PreferenceAudit> {
    let applied = report.waivers.iter().filter(|waiver| covers(waiver));
    let predicate = PreferenceAudit {
        verdict: report.verdict,
        exit_code: report.exit_code,
        as_of: report.as_of.clone(),
        time_created: context.time_created,
        regime: Declared {
            name: report.regime.name.clone(),
            version: report.regime.version.clone(),
            digest: Sha256Digest { sha256: report.regime.sha256.clone() },
            fingerprint: report.regime.fingerprint.clone(),
        },
        policy: Declared {
            name: report.policy.name.clone(),
            version: report.policy.version.clone(),
            digest: Sha256Digest { sha256: report.policy.sha256.clone() },
            fingerprint: report.policy.fingerprint.clone(),
        },
        audit: Resource::new(document_name(report, "audit"), &report.audit.sha256),
        settings: report.settings.clone(),
        checks: report.checks.iter().map(check_line).collect(),
        waivers: applied
            .map(|waiver| AppliedWaiver {
                check: waiver.check.clone(),
                cell: waiver.cell.clone(),
                ticket: waiver.ticket.clone(),
                expires: waiver.expires.clone(),
            })
            .collect(),
        artifacts: context.artifacts.into_iter().map(|(line, _)| line).collect(),
        tool: report.tool.clone(),
        seed: context.seed,
        platform: context.platform,
    };
    Statement::new(subject, PREFERENCE_AUDIT, predicate)
}

/// Whether a waiver covers findings: one that is broader than it had to be does so just as well.
pub(super) fn covers(waiver: &WaiverRecord) -> bool {
    ["applied", "over_broad"].contains(&waiver.state.as_str())
}

/// The name under which a report lists one of its documents.
fn document_name<'a>(report: &'a Report, role: &'a str) -> &'a str {
    report.inputs.iter().find(|input| input.role == role).map_or(role, |input| input.name.as_str())
}

fn check_line(check: &report::CheckRecord) -> CheckLine {
    let headline = check.measures.first();
    CheckLine {
        id: check.id.clone(),
        status: check.status,
        verdict: check.verdict,
        value: headline.and_then(|measure| measure.value),
        limit: headline.and_then(|measure| measure.limit.as_ref()).map(|limit| limit.value),
    }
}

/// The same in the standard form: a function of the first statement alone, so that the two cannot disagree.
///
/// FAILED where the exit code is 1, WARNED where the verdict is diagnostic with 0, else PASSED.
pub(super) fn test_result(statement: &Statement<PreferenceAudit>) -> Statement<TestResult> {
    let audit = &statement.predicate;
    // Where the gate closes on a diagnostic verdict, the checks that gave it are why.
    let closing = if audit.exit_code != 0 { audit.verdict } else { Verdict::Block };
    let tests = |wanted: &str| -> Vec<String> {
        let outcome = |verdict: Verdict| match verdict {
            Verdict::Pass => "passed",
            verdict if verdict >= closing => "failed",
            Verdict::Diagnostic | Verdict::Block => "warned",
        };
        audit.checks.iter().filter(|check| outcome(check.verdict) == wanted).map(|check| check.id.clone()).collect()
    };
    let predicate = TestResult {
        result: result(audit.verdict, audit.exit_code).to_owned(),
        configuration: vec![
            Resource::new(
                &format!("regime {} {}", audit.regime.name, audit.regime.version),
                &audit.regime.digest.sha256,
            ),
            Resource::new(
                &format!("policy {} {}", audit.policy.name, audit.policy.version),
                &audit.policy.digest.sha256,
            ),
            audit.audit.clone(),
        ],
        passed_tests: tests("passed"),
        warned_tests: tests("warned"),
        failed_tests: tests("failed"),
    };
    Statement::new(statement.subject.clone(), TEST_RESULT, predicate)
}

/// The standard word for a verdict and its exit code.
pub fn result(verdict: Verdict, exit_code: i32) -> &'static str {
    match (exit_code, verdict) {
        (0, Verdict::Pass) => "PASSED",
        (0, Verdict::Diagnostic) => "WARNED",
        // A block with 0 is impossible; it must not pass anywhere.
        _ => "FAILED",
    }
}
