//! What was asked of the attestation: the declarations, the verdict, the age.

use super::super::statement::{Declared, PreferenceAudit, result};
use super::{Request, Signed, State, Verification};
use crate::report::{Report, Status, Verdict};
use chrono::{DateTime, Days, NaiveDate, Utc};

/// A signature may be this far ahead of the verifier's clock.
const CLOCK_SKEW_SECONDS: i64 = 300;
const SECONDS_A_DAY: i64 = 86_400;
/// The check that says whether a protocol was followed.
const PROTOCOL: &str = "protocol-deviation";

/// The regime and the policy, by the fingerprint of their content.
pub(super) fn declarations(audit: &PreferenceAudit, request: &Request<'_>, found: &mut Verification) {
    match request.regime {
        None => found.add(State::Unchecked, "regime", format!("{}; no --regime was given", words(&audit.regime))),
        Some(regime) => {
            found.judge("regime", same(&audit.regime, &regime.fingerprint, &regime.source.sha256, "regime"));
        }
    }
    let settings = if audit.settings.is_empty() {
        String::new()
    } else {
        format!("; it was audited with --set {}", audit.settings.join(" --set ").escape_debug())
    };
    match request.policy {
        None => {
            let words = words(&audit.policy);
            found.add(State::Unchecked, "policy", format!("{words}; no --policy was given{settings}"));
        }
        Some(policy) => {
            let result = same(&audit.policy, &policy.fingerprint, &policy.source.sha256, "policy");
            found.judge("policy", result.map_err(|why| why + &settings));
        }
    }
}

fn words(declared: &Declared) -> String {
    format!("{} {}", declared.name.escape_debug(), declared.version.escape_debug())
}

fn same(signed: &Declared, fingerprint: &str, sha256: &str, what: &str) -> Result<String, String> {
    if signed.fingerprint != fingerprint {
        return Err(format!(
            "another {what} was audited: {}, fingerprint {}; the given one has {fingerprint}",
            words(signed),
            signed.fingerprint
        ));
    }
    let written = if signed.digest.sha256 == sha256 { "" } else { " (the file is written differently)" };
    Ok(format!("{}, fingerprint {fingerprint}{written}", words(signed)))
}

/// Whose protocol the report says that it was held against, and whether it followed it where that is asked for.
pub(super) fn protocol(record: Option<&Report>, signed: &Signed<'_>, request: &Request<'_>, found: &mut Verification) {
    let unmet = if request.require_protocol { State::Fails } else { State::Unchecked };
    let Some(protocol) = record.and_then(|record| record.protocol.as_ref()) else {
        if request.require_protocol {
            let none = "the report was held against no protocol";
            let why = if record.is_some() { none } else { "there is no record as signed that would name one" };
            found.add(State::Fails, "protocol", why);
        }
        return;
    };
    let departures = match protocol.departures.len() {
        0 => "no departure".to_owned(),
        1 => "1 departure".to_owned(),
        count => format!("{count} departures"),
    };
    let said = format!("signed {} by the key SHA256 {}, {departures}", protocol.signed, protocol.key);
    let said = said.escape_debug();
    let own = signed.key.is_some_and(|key| key.fingerprint() == protocol.key);
    let whose = if own { ", the report's own" } else { "" };
    let followed = signed.statement.predicate.checks.iter().find(|check| check.id == PROTOCOL);
    let followed = followed.is_some_and(|check| matches!(check.status, Status::Pass | Status::Warn));
    if !request.keys.iter().any(|key| key.fingerprint() == protocol.key) {
        found.add(unmet, "protocol", format!("{said}; that key was not given"));
    } else if followed {
        found.add(State::Holds, "protocol", format!("{said}; that key was given{whose}"));
    } else {
        found.add(unmet, "protocol", format!("{said}; that key was given{whose}, and the protocol was not followed"));
    }
}

/// The verdict, the waivers that it rests on, and the age.
pub(super) fn verdict(audit: &PreferenceAudit, request: &Request<'_>, found: &mut Verification) {
    let standard = result(audit.verdict, audit.exit_code);
    if request.require_pass {
        let passed = audit.verdict == Verdict::Pass && audit.exit_code == 0;
        let name = name(audit.verdict);
        found.judge(
            "pass",
            if passed {
                Ok("the verdict is pass".to_owned())
            } else {
                Err(format!("the verdict is {name} ({standard})"))
            },
        );
    }
    let today = request.now.date_naive();
    for waiver in &audit.waivers {
        let what = format!("waiver {}", waiver.check);
        match waiver.expires.parse::<NaiveDate>() {
            Ok(expires) if expires >= today => {
                found.add(State::Holds, &what, format!("in force until {expires}"));
            }
            Ok(expires) if request.require_pass => {
                found.add(State::Fails, &what, format!("the pass rests on a waiver that expired on {expires}"));
            }
            Ok(expires) => found.add(State::Unchecked, &what, format!("it has expired since, on {expires}")),
            Err(_) => found.add(State::Fails, &what, "its expiry is no date"),
        }
    }
    age(audit, request, found);
}

fn age(audit: &PreferenceAudit, request: &Request<'_>, found: &mut Verification) {
    let created = DateTime::parse_from_rfc3339(&audit.time_created).map(|time| time.with_timezone(&Utc));
    let (Ok(created), Ok(as_of)) = (created, audit.as_of.parse::<NaiveDate>()) else {
        found.add(State::Fails, "age", "the time of signing is no time, or the audit's date no date");
        return;
    };
    // What is of a day that has not come is nothing to rely on: nobody who asks for a pass, or for its age, takes it.
    let asked = request.require_pass || request.max_age.is_some();
    let odd = if asked { State::Fails } else { State::Unchecked };
    // It is another day somewhere else.
    if created.date_naive().checked_add_days(Days::new(1)).is_some_and(|latest| as_of > latest) {
        let why =
            "the audit's date lies after its signature: waivers and ages were judged as of a day that had not come";
        found.add(odd, "date", why);
    }
    let when = format!("signed {}, as of {as_of}", audit.time_created);
    let seconds = (request.now - created).num_seconds();
    if seconds < -CLOCK_SKEW_SECONDS {
        found.add(odd, "age", format!("{when}: that is in the future"));
        return;
    }
    let Some(days) = request.max_age else {
        found.add(State::Unchecked, "age", format!("{when}; no --max-age was given"));
        return;
    };
    let limit = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(SECONDS_A_DAY);
    found.judge(
        "age",
        if seconds > limit {
            Err(format!("{when}: more than {days} days ago"))
        } else {
            Ok(format!("{when}: at most {days} days ago"))
        },
    );
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Diagnostic => "diagnostic",
        Verdict::Block => "block",
    }
}
