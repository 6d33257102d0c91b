//! When an audit is due again: the triggers, with the limits of the policy that was in force.

use super::format;
use super::record::Report;
use super::view::short;
use chrono::{Days, NaiveDate};
use serde::Serialize;

/// One reason to audit again.
#[derive(Debug, Serialize)]
pub(super) struct Trigger {
    what: &'static str,
    limit: String,
    now: String,
}

/// The triggers, those with a day first.
pub(super) fn triggers(report: &Report) -> Vec<Trigger> {
    let days = [declaration(report), waivers(report)];
    let changes = [regime(report), policy(report), mechanisms(report), selection(report)];
    let data = [mix(report), fewer(report), worth(report), candidates(report)];
    days.into_iter().flatten().chain(changes).chain(data.into_iter().flatten()).collect()
}

/// A limit of the policy; `None` where the record is older than that list.
fn limit(report: &Report, check: &str, key: &str) -> Option<f64> {
    report.policy.limits.iter().find(|own| own.check == check && own.key == key).and_then(|own| own.value.as_f64())
}

fn declaration(report: &Report) -> Option<Trigger> {
    let days = limit(report, "regime-declaration", "max_age_days")?;
    let effective: NaiveDate = report.regime.effective.parse().ok()?;
    // A part of a day more is a day more.
    let days: u64 = format!("{:.0}", days.ceil()).parse().ok()?;
    let due = effective.checked_add_days(Days::new(days))?;
    Some(Trigger {
        what: "the declaration is due for review",
        limit: format!("after {due}: {} days in force", format::integer(days)),
        now: format!("in force since {effective}"),
    })
}

fn waivers(report: &Report) -> Option<Trigger> {
    let applied: Vec<&str> = report
        .waivers
        .iter()
        .filter(|waiver| waiver.state == "applied")
        .map(|waiver| waiver.expires.as_str())
        .collect();
    let first = applied.iter().min()?;
    Some(Trigger {
        what: "a waiver expires",
        limit: format!("after {first}"),
        now: format!("{} applied", format::integer(applied.len() as u64)),
    })
}

fn regime(report: &Report) -> Trigger {
    let own = &report.regime;
    Trigger {
        what: "the declared population, its cells or its pairs change",
        limit: "any change, under a new version".to_owned(),
        now: format!("{} {}, fingerprint {}", own.name, own.version, short(&own.fingerprint)),
    }
}

fn policy(report: &Report) -> Trigger {
    let own = &report.policy;
    Trigger {
        what: "a severity, a limit or a waiver of the policy changes",
        limit: "any change".to_owned(),
        now: format!("{} {}, fingerprint {}", own.name, own.version, short(&own.fingerprint)),
    }
}

fn mechanisms(report: &Report) -> Trigger {
    let share = limit(report, "mechanism-provenance", "max_undeclared_share");
    Trigger {
        what: "pairs are drawn in another way, or by a mechanism that is not declared",
        limit: share.map_or("any change".to_owned(), |share| {
            format!("any change; more than {} of the rows undeclared", format::share(share))
        }),
        now: match report.regime.mechanisms.as_slice() {
            [] => "none declared".to_owned(),
            all => all.iter().map(|own| own.id.as_str()).collect::<Vec<_>>().join(", "),
        },
    }
}

fn selection(report: &Report) -> Trigger {
    Trigger {
        what: "comparisons come to be labelled in another way: routing, filters, instructions, annotators",
        limit: "any change".to_owned(),
        now: report.audit.selection.clone().unwrap_or_else(|| "not declared".to_owned()),
    }
}

fn mix(report: &Report) -> Option<Trigger> {
    let share = limit(report, "change-management", "warn_moved_share")?;
    Some(Trigger {
        what: "the mix of cells in the log moves",
        limit: format!("more than {} of the rows in other cells", format::share(share)),
        now: format!("{} cells", format::integer(report.cells.len() as u64)),
    })
}

fn fewer(report: &Report) -> Option<Trigger> {
    let share = limit(report, "change-management", "warn_lost_share")?;
    Some(Trigger {
        what: "the log loses rows",
        limit: format!("more than {} fewer", format::share(share)),
        now: format!("{} read", format::integer(report.rows.read)),
    })
}

fn worth(report: &Report) -> Option<Trigger> {
    let least = limit(report, "effective-sample-size", "min_n_eff")?;
    Some(Trigger {
        what: "new rows change what the log is worth",
        limit: format!("fewer than {} independent comparisons", format::number(least)),
        now: match &report.weights {
            Some(weights) => format!("worth {}", format::number(weights.n_eff.round())),
            None => "not known".to_owned(),
        },
    })
}

fn candidates(report: &Report) -> Option<Trigger> {
    let names = &report.candidates_declared;
    (!names.is_empty()).then(|| Trigger {
        what: "a candidate, its reference or its temperature changes, or another is proposed",
        limit: "any change".to_owned(),
        now: names.join(", "),
    })
}
