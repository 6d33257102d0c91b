//! What was asked of the attestation: the declarations, the verdict, the age.

use super::super::statement::{Declared, PreferenceAudit, result};
use super::{Request, State, Verification};
use crate::report::{ProtocolRecord, Verdict};
use chrono::{DateTime, NaiveDate, Utc};

/// A signature may be this far ahead of the verifier's clock.
const CLOCK_SKEW_SECONDS: i64 = 300;
const SECONDS_A_DAY: i64 = 86_400;

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

/// Whose protocol the report says that it was held against.
pub(super) fn protocol(protocol: &ProtocolRecord, request: &Request<'_>, found: &mut Verification) {
    let departures = match protocol.departures.len() {
        0 => "no departure".to_owned(),
        1 => "1 departure".to_owned(),
        count => format!("{count} departures"),
    };
    let said = format!("signed {} by the key SHA256 {}, {departures}", protocol.signed, protocol.key);
    let said = said.escape_debug();
    if request.keys.iter().any(|key| key.fingerprint() == protocol.key) {
        found.add(State::Holds, "protocol", format!("{said}; that key was given"));
    } else {
        found.add(State::Unchecked, "protocol", format!("{said}; that key was not given"));
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
    let Ok(created) = created else {
        found.add(State::Fails, "age", "the time of signing is no time");
        return;
    };
    let when = format!("signed {}, as of {}", audit.time_created, audit.as_of.escape_debug());
    let seconds = (request.now - created).num_seconds();
    let Some(days) = request.max_age else {
        found.add(State::Unchecked, "age", format!("{when}; no --max-age was given"));
        return;
    };
    let limit = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(SECONDS_A_DAY);
    found.judge(
        "age",
        if seconds < -CLOCK_SKEW_SECONDS {
            Err(format!("{when}: that is in the future"))
        } else if seconds > limit {
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
