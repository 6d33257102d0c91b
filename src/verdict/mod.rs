//! The only place where policy turns into pass, diagnostic or block: severities, waivers, the gate.
//!
//! Owns: the table status x severity -> verdict, what a waiver covers, the exit code.
//! Must never: compute a statistic or compare one with a limit; checks did that.

mod waivers;

pub use waivers::{JudgedWaiver, WaiverState};

use crate::checks::{CHECKS, Check, Evidence, Finding, Status, WAIVERS_PAGE, run};
use crate::declare::{CheckPolicy, FailOn, Policy, Severity};
use chrono::NaiveDate;

/// What an audit, or one check of it, concludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing stands in the way.
    Pass,
    /// Good for diagnosis, not for a claim.
    Diagnostic,
    /// The logs do not support the claim.
    Block,
}

/// What one check's status at a severity makes of the verdict.
pub fn verdict_of(status: Status, severity: Severity) -> Verdict {
    match (status, severity) {
        (Status::Pass | Status::Waived | Status::NotApplicable, _) | (_, Severity::Note) => Verdict::Pass,
        (Status::Warn, _) | (_, Severity::Diagnostic) => Verdict::Diagnostic,
        (Status::Fail | Status::Undetermined, Severity::Block) => Verdict::Block,
    }
}

/// The exit code of a verdict at a gate: 1 from the gate's verdict on, else 0.
pub fn exit_code(verdict: Verdict, fail_on: FailOn) -> i32 {
    let fails = match fail_on {
        FailOn::Diagnostic => verdict >= Verdict::Diagnostic,
        FailOn::Block => verdict >= Verdict::Block,
    };
    i32::from(fails)
}

/// One check, judged.
#[derive(Debug, Clone)]
pub struct JudgedCheck {
    /// Its id.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Where its method comes from.
    pub source: &'static str,
    /// What it found; the status is that after waivers.
    pub finding: Finding,
    /// The status before waivers, where a waiver changed it.
    pub before_waiver: Option<Status>,
    /// The severity in force.
    pub severity: Severity,
    /// What it makes of the verdict.
    pub verdict: Verdict,
}

/// A whole checklist, judged.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The checks in the order of the checklist; the waivers' own check is last.
    pub checks: Vec<JudgedCheck>,
    /// Every waiver of the policy and what it did.
    pub waivers: Vec<JudgedWaiver>,
    /// The worst of all checks.
    pub verdict: Verdict,
    /// 0 or 1.
    pub exit_code: i32,
}

/// The waivers' own check: it is made here, after the others, because policy is applied here alone.
pub static WAIVERS_CHECK: (&str, &str, &str, &str) = (
    "waivers",
    "Waivers in order",
    "the policy's own rules: mandatory reason, owner, approver, ticket and expiry",
    WAIVERS_PAGE,
);

/// The waivers of a policy, with no check run: for comparing declarations before there are findings.
pub fn unjudged(policy: &Policy, as_of: NaiveDate) -> Judgement {
    let (_, waivers) = waivers::apply(Vec::new(), policy, as_of);
    Judgement { checks: Vec::new(), waivers, verdict: Verdict::Block, exit_code: 1 }
}

/// Runs the checklist and judges it.
pub fn judge(evidence: &Evidence, policy: &Policy) -> Judgement {
    let findings = CHECKS.iter().map(|check| (*check, run_with(check, evidence, policy))).collect();
    judge_findings(findings, policy, evidence.as_of)
}

fn run_with(check: &Check, evidence: &Evidence, policy: &Policy) -> Finding {
    run(check, evidence, policy_of(check.id, policy))
}

/// A check that the policy does not list is held to nothing it could pass: no limits, blocking.
fn policy_of<'a>(id: &str, policy: &'a Policy) -> &'a CheckPolicy {
    static UNLISTED: CheckPolicy =
        CheckPolicy { severity: Severity::Block, when_not_logged: None, limits: std::collections::BTreeMap::new() };
    policy.checks.get(id).unwrap_or(&UNLISTED)
}

/// Judges findings under a policy: waivers first, then severities, then the worst of all.
pub fn judge_findings(findings: Vec<(&'static Check, Finding)>, policy: &Policy, as_of: NaiveDate) -> Judgement {
    let (findings, waivers) = waivers::apply(findings, policy, as_of);
    let mut checks: Vec<JudgedCheck> = findings
        .into_iter()
        .map(|after| {
            let Check { id, title, source, .. } = after.check;
            judged(id, title, source, after.finding, after.before, policy)
        })
        .collect();
    let (id, title, source, _) = WAIVERS_CHECK;
    checks.push(judged(id, title, source, waivers::finding(&waivers), None, policy));
    let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Block);
    Judgement { exit_code: exit_code(verdict, policy.fail_on), checks, waivers, verdict }
}

fn judged(
    id: &'static str,
    title: &'static str,
    source: &'static str,
    finding: Finding,
    before_waiver: Option<Status>,
    policy: &Policy,
) -> JudgedCheck {
    let check = policy_of(id, policy);
    let severity = match check.when_not_logged {
        Some(softer) if finding.not_logged && finding.status == Status::Undetermined => softer,
        _ => check.severity,
    };
    JudgedCheck { id, title, source, verdict: verdict_of(finding.status, severity), finding, before_waiver, severity }
}
