//! Waivers: what each one covers, and what is wrong with it.

use crate::checks::{Check, Crossed, Finding, Measure, Status, status_of};
use crate::declare::{CheckPolicy, Limit, Policy, Slice, Waiver};
use chrono::{Days, NaiveDate};
use std::collections::BTreeMap;

/// A waiver and what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedWaiver {
    /// The waiver.
    pub waiver: Waiver,
    /// What it did.
    pub state: WaiverState,
}

/// What a waiver did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaiverState {
    /// It covers findings.
    Applied,
    /// It covers findings, but more than it had to: it names no cell where the findings do.
    OverBroad,
    /// It covers nothing that was found.
    Unused,
    /// Its last day is past: not applied.
    Expired,
    /// Its last day is further ahead than the policy allows: not applied.
    TooLong,
}

/// A check's finding after waivers.
pub(super) struct AfterWaivers {
    pub(super) check: &'static Check,
    pub(super) finding: Finding,
    /// The status before, where a waiver changed it.
    pub(super) before: Option<Status>,
}

/// Applies the waivers to the findings: each finding with its status after waivers, and its status before where that
/// differs. A waived finding keeps its measures, message and remedy.
pub(super) fn apply(
    findings: Vec<(&'static Check, Finding)>,
    policy: &Policy,
    as_of: NaiveDate,
) -> (Vec<AfterWaivers>, Vec<JudgedWaiver>) {
    let latest = latest_expiry(policy, as_of);
    let mut waivers: Vec<JudgedWaiver> = policy
        .waivers
        .iter()
        .map(|waiver| {
            let state = if waiver.expires < as_of {
                WaiverState::Expired
            } else if latest.is_none_or(|latest| waiver.expires > latest) {
                WaiverState::TooLong
            } else {
                WaiverState::Unused
            };
            JudgedWaiver { waiver: waiver.clone(), state }
        })
        .collect();
    let judged = findings
        .into_iter()
        .map(|(check, finding)| {
            let (finding, before) = waive(check.id, finding, &mut waivers);
            AfterWaivers { check, finding, before }
        })
        .collect();
    (judged, waivers)
}

/// The last day that a waiver may name; `None` when the policy gives no limit, so that no waiver applies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of days, at least 0")]
fn latest_expiry(policy: &Policy, as_of: NaiveDate) -> Option<NaiveDate> {
    let limits: Option<&BTreeMap<String, Limit>> =
        policy.checks.get("waivers").map(|CheckPolicy { limits, .. }| limits);
    match limits?.get("max_days") {
        Some(Limit::Number(days)) => as_of.checked_add_days(Days::new(*days as u64)),
        _ => None,
    }
}

fn waive(check: &str, finding: Finding, waivers: &mut [JudgedWaiver]) -> (Finding, Option<Status>) {
    if !matches!(finding.status, Status::Warn | Status::Fail | Status::Undetermined) {
        return (finding, None);
    }
    let mut covered = vec![false; finding.measures.len()];
    let mut whole = false;
    for judged in
        waivers.iter_mut().filter(|judged| judged.waiver.check == check && judged.state == WaiverState::Unused)
    {
        judged.state = match &judged.waiver.cell {
            None => {
                whole = true;
                if names_cells(&finding) { WaiverState::OverBroad } else { WaiverState::Applied }
            }
            Some(slice) => cover(slice, &finding.measures, &mut covered),
        };
    }
    let left = finding.measures.iter().zip(&covered).filter(|(_, covered)| !**covered).map(|(measure, _)| measure);
    let status = match finding.status {
        _ if whole => Status::Pass,
        // A status that the measures do not show cannot be waived measure by measure; nor can what was not computed.
        stated if stated != status_of(&finding.measures) => stated,
        _ => status_of(left),
    };
    let before = finding.status;
    match status {
        Status::Pass => (Finding { status: Status::Waived, ..finding }, Some(before)),
        status if status != before => (Finding { status, ..finding }, Some(before)),
        _ => (finding, None),
    }
}

fn names_cells(finding: &Finding) -> bool {
    finding.measures.iter().any(|measure| measure.crossed != Crossed::Nothing && measure.cell.is_some())
}

/// Marks the crossed measures whose cell lies within the slice.
fn cover(slice: &Slice, measures: &[Measure], covered: &mut [bool]) -> WaiverState {
    let mut state = WaiverState::Unused;
    for (measure, covered) in measures.iter().zip(covered) {
        let within =
            measure.cell.as_ref().is_some_and(|cell| slice.iter().all(|(name, level)| cell.get(name) == Some(level)));
        if within && measure.crossed != Crossed::Nothing {
            *covered = true;
            state = WaiverState::Applied;
        }
    }
    state
}

/// The waivers' own finding: expired and overlong ones fail, unused and over-broad ones warn.
pub(super) fn finding(waivers: &[JudgedWaiver]) -> Finding {
    let measure = |state: WaiverState, name: &str, crossed: Crossed| {
        let count = waivers.iter().filter(|judged| judged.state == state).count();
        Measure::fault(name, u64::try_from(count).unwrap_or(u64::MAX), crossed)
    };
    let mut measures = vec![
        measure(WaiverState::Expired, "waivers past their last day", Crossed::Limit),
        measure(WaiverState::TooLong, "waivers for longer than allowed", Crossed::Limit),
        measure(WaiverState::Unused, "waivers that cover nothing", Crossed::Warning),
        measure(WaiverState::OverBroad, "waivers broader than what they cover", Crossed::Warning),
    ];
    measures.sort_by_key(|measure| std::cmp::Reverse(measure.crossed));
    let wrong: Vec<String> = measures
        .iter()
        .filter(|measure| measure.crossed != Crossed::Nothing)
        .map(|measure| format!("{} {}", measure.value.unwrap_or(0.0), measure.name))
        .collect();
    let applied =
        waivers.iter().filter(|judged| matches!(judged.state, WaiverState::Applied | WaiverState::OverBroad)).count();
    let message = match (waivers.is_empty(), wrong.is_empty()) {
        (true, _) => "the policy holds no waivers".to_owned(),
        (false, true) => format!("{applied} in force, all of them narrow and current"),
        (false, false) => wrong.join("; "),
    };
    Finding::from_measures(
        measures,
        message,
        "remove waivers that are expired or unused; renew with a new approval; restrict each to the cells it is about (cell)",
    )
}
