//! The record as the state that comparisons of audits work on.

use super::format;
use super::record::{
    ChangeRecord, CheckRecord, ComparisonRecord, MechanismRecord, Report, ScoresRecord, Status, Verdict, WaiverRecord,
};
use crate::change::{Candidate, Change, Check, Comparison, Direction, Mechanism, RULES, Results, Standing, State};
use serde_json::json;
use std::collections::BTreeMap;

/// What of a record is compared with another.
pub fn state(report: &Report) -> State {
    let Report { regime, policy, rows, .. } = report;
    let key = |check: &str, key: &str| (check.to_owned(), key.to_owned());
    State {
        regime: regime.name.clone(),
        regime_version: regime.version.clone(),
        regime_fingerprint: regime.fingerprint.clone(),
        supersedes: regime.supersedes.clone(),
        motivation: regime.motivation.clone(),
        declared: [
            ("owner", json!(regime.owner)),
            ("effective", json!(regime.effective)),
            ("covariates", json!(regime.covariates)),
            ("form of the target", json!(regime.target_form)),
            ("pairs", json!(regime.pairs)),
            ("observed", json!(regime.observed)),
            ("critical slices", json!(regime.critical.iter().map(format::cell).collect::<Vec<_>>())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        covariates: regime.covariates.clone(),
        masses: regime.resolved.iter().map(|row| (row.cell.clone(), row.mass)).collect(),
        mechanisms: regime.mechanisms.iter().map(|declared| (declared.id.clone(), mechanism(declared))).collect(),
        policy: policy.name.clone(),
        policy_version: policy.version.clone(),
        policy_fingerprint: policy.fingerprint.clone(),
        fail_on: report.fail_on.clone(),
        limits: (!policy.limits.is_empty())
            .then(|| policy.limits.iter().map(|limit| (key(&limit.check, &limit.key), limit.value.clone())).collect()),
        directions: report.checks.iter().flat_map(directions).collect(),
        waivers: report.waivers.iter().map(waiver).collect(),
        observed_mechanisms: rows.mechanisms.clone(),
        read: rows.read,
        audited: rows.audited,
        excluded: rows.excluded.clone(),
        cells: report.cells.iter().filter(|cell| cell.n > 0).map(|cell| (cell.cell.clone(), cell.n)).collect(),
        weights: weights(report),
        inputs: report
            .inputs
            .iter()
            .filter(|input| !["baseline", "protocol"].contains(&input.role.as_str()))
            .map(|input| (format!("{} {}", input.role, input.name), input.sha256.clone()))
            .collect(),
        evaluation: report.audit.evaluation.clone(),
        candidates: report.candidates_declared.iter().map(|name| (name.clone(), candidate(name, report))).collect(),
        comparisons: report.comparisons.iter().map(comparison).collect(),
        results: Some(Results {
            verdict: verdict(report.verdict).to_owned(),
            checks: report.checks.iter().map(|record| (record.id.clone(), check(record))).collect(),
        }),
    }
}

fn mechanism(record: &MechanismRecord) -> Mechanism {
    let declared = [
        ("description", json!(record.description)),
        ("max_pair_ratio", json!(record.max_pair_ratio)),
        ("symmetric", json!(record.symmetric)),
        ("adaptive", json!(record.adaptive)),
        ("generators", json!(record.generators)),
    ];
    Mechanism { declared: declared.map(|(name, value)| (name.to_owned(), value)).into() }
}

/// Which side of its limits a check's measures say is inside.
fn directions(check: &CheckRecord) -> impl Iterator<Item = ((String, String), Direction)> {
    check.measures.iter().filter_map(|measure| {
        let limit = measure.limit.as_ref()?;
        let direction = match limit.kind.as_str() {
            "at_least" => Direction::AtLeast,
            _ => Direction::AtMost,
        };
        Some(((check.id.clone(), limit.key.clone()?), direction))
    })
}

fn waiver(record: &WaiverRecord) -> (String, String) {
    let cell = record.cell.as_ref().map_or(String::new(), |cell| format!(" in {}", format::cell(cell)));
    (format!("{}{cell}, {}", record.check, record.ticket), record.expires.clone())
}

fn weights(report: &Report) -> BTreeMap<String, f64> {
    let Some(weights) = &report.weights else { return BTreeMap::new() };
    let labelled = weights.labelled.n_eff.map(|n_eff| ("n_eff of the labelled rows", n_eff));
    [
        ("n_eff", weights.n_eff),
        ("n_eff / n", weights.n_eff_ratio),
        ("mean weight", weights.mean),
        ("largest weight", weights.max),
        ("unsupported target mass", report.unsupported_target_mass),
    ]
    .into_iter()
    .chain(labelled)
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// A candidate's estimates, under the target and as logged; none where it was not evaluated.
fn candidate(name: &str, report: &Report) -> Candidate {
    let Some(record) = report.candidates.iter().find(|candidate| candidate.name == name) else {
        return Candidate::default();
    };
    let of = |scores: &ScoresRecord, whose: &str| {
        let named = [
            ("preference accuracy", &scores.preference_accuracy),
            ("log-loss", &scores.log_loss),
            ("Brier score", &scores.brier),
        ];
        named.map(|(name, estimate)| Some((format!("{whose} {name}"), estimate.as_ref()?.estimate)))
    };
    let estimates = of(&record.target, "target").into_iter().chain(of(&record.observed, "logged"));
    Candidate { estimates: estimates.flatten().collect() }
}

fn comparison(record: &ComparisonRecord) -> (String, Comparison) {
    let difference = record.difference.as_ref();
    let numbers = [
        ("target difference", difference.map(|own| own.estimate)),
        ("logged difference", record.observed_difference.as_ref().map(|own| own.estimate)),
        ("Gamma that overturns it", record.gamma.as_ref().and_then(|own| own.tipping)),
        ("Lambda that overturns it", record.lambda.as_ref().and_then(|own| own.tipping)),
    ];
    let numbers = numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let standing = Standing::of(difference.and_then(|own| own.ci));
    (format!("{} against {}", record.challenger, record.incumbent), Comparison { numbers, standing })
}

fn check(record: &CheckRecord) -> Check {
    Check {
        status: status(record.status).to_owned(),
        severity: record.severity.clone(),
        verdict: verdict(record.verdict).to_owned(),
        headline: record.measures.first().map(|measure| (measure.name.clone(), measure.value)),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Diagnostic => "diagnostic",
        Verdict::Block => "block",
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Waived => "waived",
        Status::NotApplicable => "not_applicable",
        Status::Warn => "warn",
        Status::Fail => "fail",
        Status::Undetermined => "undetermined",
    }
}

/// A change, for the record.
pub fn change_record(change: &Change) -> ChangeRecord {
    ChangeRecord {
        about: change.about.name().to_owned(),
        item: change.item.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
        rule: RULES.iter().find(|rule| rule.kind == change.kind).map(|rule| rule.key.to_owned()),
    }
}
