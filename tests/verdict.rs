//! Status x severity -> verdict -> exit code, and what waivers cover: the contract's table in one place.

use chrono::NaiveDate;
use counterweight::checks::{CHECKS, Check, Crossed, Finding, Measure, Status};
use counterweight::declare::{CheckPolicy, FailOn, Limit, Policy, Severity, Slice, Source, Waiver};
use counterweight::verdict::{Verdict, WaiverState, exit_code, judge_findings, verdict_of};
use std::collections::BTreeMap;

#[test]
fn every_status_at_every_severity() {
    use Severity::{Block, Diagnostic, Note};
    use Status::{Fail, NotApplicable, Pass, Undetermined, Waived, Warn};
    let table = [
        (Pass, Block, Verdict::Pass, 0, 0),
        (Pass, Diagnostic, Verdict::Pass, 0, 0),
        (Pass, Note, Verdict::Pass, 0, 0),
        (Waived, Block, Verdict::Pass, 0, 0),
        (Waived, Diagnostic, Verdict::Pass, 0, 0),
        (Waived, Note, Verdict::Pass, 0, 0),
        (NotApplicable, Block, Verdict::Pass, 0, 0),
        (NotApplicable, Diagnostic, Verdict::Pass, 0, 0),
        (NotApplicable, Note, Verdict::Pass, 0, 0),
        (Warn, Block, Verdict::Diagnostic, 0, 1),
        (Warn, Diagnostic, Verdict::Diagnostic, 0, 1),
        (Warn, Note, Verdict::Pass, 0, 0),
        (Fail, Block, Verdict::Block, 1, 1),
        (Fail, Diagnostic, Verdict::Diagnostic, 0, 1),
        (Fail, Note, Verdict::Pass, 0, 0),
        (Undetermined, Block, Verdict::Block, 1, 1),
        (Undetermined, Diagnostic, Verdict::Diagnostic, 0, 1),
        (Undetermined, Note, Verdict::Pass, 0, 0),
    ];
    for (status, severity, verdict, at_block, at_diagnostic) in table {
        assert_eq!(verdict_of(status, severity), verdict, "{status:?} at {severity:?}");
        assert_eq!(exit_code(verdict, FailOn::Block), at_block, "{status:?} at {severity:?}, gate block");
        assert_eq!(
            exit_code(verdict, FailOn::Diagnostic),
            at_diagnostic,
            "{status:?} at {severity:?}, gate diagnostic"
        );
        // The same through the judgement of a checklist that holds this check alone.
        let policy = policy(severity, None, vec![]);
        let judgement = judge_findings(vec![(check(), finding(status, vec![]))], &policy, today());
        assert_eq!((judgement.verdict, judgement.exit_code), (verdict, at_block), "{status:?} at {severity:?}");
    }
}

#[test]
fn evidence_that_the_log_does_not_carry_uses_the_softer_severity() {
    let soft = policy(Severity::Block, Some(Severity::Diagnostic), vec![]);
    for (status, not_logged, expected) in [
        (Status::Undetermined, true, Verdict::Diagnostic),
        (Status::Undetermined, false, Verdict::Block),
        (Status::Fail, true, Verdict::Block),
    ] {
        let finding = Finding { not_logged, ..finding(status, vec![]) };
        let judgement = judge_findings(vec![(check(), finding)], &soft, today());
        assert_eq!(judgement.verdict, expected, "{status:?}, not logged: {not_logged}");
    }
}

#[test]
fn a_policy_without_the_check_blocks_what_does_not_pass() {
    let mut policy = policy(Severity::Note, None, vec![]);
    policy.checks.remove(check().id);
    let judgement = judge_findings(vec![(check(), finding(Status::Undetermined, vec![]))], &policy, today());
    assert_eq!(judgement.verdict, Verdict::Block);
}

#[test]
fn an_empty_checklist_is_no_pass_by_default_of_its_waivers() {
    let mut policy = policy(Severity::Block, None, vec![]);
    policy.checks.remove("waivers");
    let judgement = judge_findings(vec![], &policy, today());
    assert_eq!(judgement.checks.len(), 1, "the waivers' own check is always there");
}

#[test]
fn waivers_cover_their_cells_and_nothing_else() {
    let koala = || cell("koala");
    let vicuna = || cell("vicuna");
    let both = || vec![fault(koala()), fault(vicuna())];
    type Case = (&'static str, Vec<Waiver>, Vec<Measure>, Status, WaiverState, Verdict);
    let cases: [Case; 8] = [
        (
            "covers all",
            vec![waiver(Some(koala()), 30)],
            vec![fault(koala())],
            Status::Waived,
            WaiverState::Applied,
            Verdict::Pass,
        ),
        (
            "covers one of two",
            vec![waiver(Some(koala()), 30)],
            both(),
            Status::Fail,
            WaiverState::Applied,
            Verdict::Block,
        ),
        (
            "another cell",
            vec![waiver(Some(vicuna()), 30)],
            vec![fault(koala())],
            Status::Fail,
            WaiverState::Unused,
            Verdict::Block,
        ),
        (
            "whole check, cells named",
            vec![waiver(None, 30)],
            both(),
            Status::Waived,
            WaiverState::OverBroad,
            Verdict::Diagnostic,
        ),
        (
            "whole check, no cells",
            vec![waiver(None, 30)],
            vec![Measure::fault("faults", 1, Crossed::Limit)],
            Status::Waived,
            WaiverState::Applied,
            Verdict::Pass,
        ),
        (
            "expired yesterday",
            vec![waiver(Some(koala()), -1)],
            vec![fault(koala())],
            Status::Fail,
            WaiverState::Expired,
            Verdict::Block,
        ),
        (
            "expires today",
            vec![waiver(Some(koala()), 0)],
            vec![fault(koala())],
            Status::Waived,
            WaiverState::Applied,
            Verdict::Pass,
        ),
        (
            "181 days ahead",
            vec![waiver(Some(koala()), 181)],
            vec![fault(koala())],
            Status::Fail,
            WaiverState::TooLong,
            Verdict::Block,
        ),
    ];
    for (name, waivers, measures, status, state, verdict) in cases {
        let policy = policy(Severity::Block, None, waivers);
        let found = Finding::from_measures(measures.clone(), "too few rows".to_owned(), "collect more");
        let judgement = judge_findings(vec![(check(), found)], &policy, today());
        assert_eq!(judgement.checks[0].finding.status, status, "{name}");
        assert_eq!(judgement.checks[0].finding.measures, measures, "{name}: a waived finding keeps its evidence");
        assert_eq!(judgement.waivers[0].state, state, "{name}");
        assert_eq!(judgement.verdict, verdict, "{name}");
    }
}

#[test]
fn a_cell_waiver_never_covers_what_could_not_be_computed() {
    let policy = policy(Severity::Block, None, vec![waiver(Some(cell("koala")), 30)]);
    let judgement =
        judge_findings(vec![(check(), finding(Status::Undetermined, vec![fault(cell("koala"))]))], &policy, today());
    assert_eq!(judgement.checks[0].finding.status, Status::Undetermined);
}

#[test]
fn an_unused_or_expired_waiver_is_itself_a_finding() {
    for (days, status) in [(30, Status::Warn), (-1, Status::Fail), (181, Status::Fail)] {
        let policy = policy(Severity::Block, None, vec![waiver(None, days)]);
        let judgement = judge_findings(vec![(check(), finding(Status::Pass, vec![]))], &policy, today());
        assert_eq!(judgement.checks[1].finding.status, status, "{days} days");
        assert_eq!(judgement.verdict, Verdict::Diagnostic, "{days} days");
    }
}

fn check() -> &'static Check {
    CHECKS.iter().find(|check| check.id == "cell-support").unwrap()
}

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 23).unwrap()
}

fn cell(domain: &str) -> Slice {
    Slice::from([("domain".to_owned(), domain.to_owned())])
}

fn fault(cell: Slice) -> Measure {
    Measure::fault("too few rows", 1, Crossed::Limit).in_cell(cell)
}

fn finding(status: Status, measures: Vec<Measure>) -> Finding {
    Finding { status, message: "as planted".to_owned(), measures, remedy: None, not_logged: false }
}

fn waiver(cell: Option<Slice>, days_ahead: i64) -> Waiver {
    Waiver {
        check: "cell-support".to_owned(),
        cell,
        reason: "new market".to_owned(),
        owner: "data".to_owned(),
        approver: "risk".to_owned(),
        ticket: "RISK-1".to_owned(),
        expires: today() + chrono::Duration::days(days_ahead),
        line: 1,
    }
}

fn policy(severity: Severity, when_not_logged: Option<Severity>, waivers: Vec<Waiver>) -> Policy {
    let waivers_check = CheckPolicy {
        severity: Severity::Diagnostic,
        when_not_logged: None,
        limits: BTreeMap::from([("max_days".to_owned(), Limit::Number(180.0))]),
    };
    let own = CheckPolicy { severity, when_not_logged, limits: BTreeMap::new() };
    Policy {
        fits: counterweight::declare::FitGrid { betas: Vec::new(), ridges: Vec::new(), max_kl: None },
        source: Source { name: "test".to_owned(), text: String::new(), sha256: String::new() },
        name: "test".to_owned(),
        version: semver::Version::new(1, 0, 0),
        fingerprint: String::new(),
        fail_on: FailOn::Block,
        checks: BTreeMap::from([("cell-support".to_owned(), own), ("waivers".to_owned(), waivers_check)]),
        clip: Vec::new(),
        coarsenings: Vec::new(),
        waivers,
        places: BTreeMap::new(),
    }
}
