//! The library's front door: a declaration and its logs in, the record of the audit out.
//!
//! Owns: the order of the steps and the translation of their results into the record.
//! Must never: compute, judge or render; each step does its own.

mod people;
mod record;

use crate::checks::Evidence;
use crate::declare::{Declaration, Problems};
use crate::logs::{self, Progress};
use crate::report::Report;
use crate::statistics::groups;
use crate::{statistics, verdict, weights};
use chrono::NaiveDate;

/// Audits the logs that a declaration names.
///
/// `as_of` is the date that waivers and ages refer to: an input, so that the same inputs give the same record.
///
/// # Errors
/// Everything that keeps the audit from running: unreadable or malformed logs, columns that are not there, no rows.
/// A log that runs but does not support the target is no error: its record says block.
pub fn audit(declaration: &Declaration, as_of: NaiveDate, progress: &dyn Progress) -> Result<Report, Problems> {
    let Declaration { audit, regime, policy, .. } = declaration;
    let log = logs::open(audit, regime)?;
    let duplicates = logs::duplicates(&log, progress)?;
    let skip = duplicates.as_ref().map_or(&[][..], |duplicates| &duplicates.rows);
    let statistics = statistics::collect(&log, skip, progress)?;
    let weights = weights::weigh(&statistics, regime);
    // The second scan is only for these roles: without any of them there is nothing to sum by.
    let context = weights::row_factors(&statistics, regime, &weights);
    let groups = groups::ROLES
        .iter()
        .any(|role| log.mapped.contains_key(role))
        .then(|| groups::collect(&log, skip, &context, &audit.identify, progress))
        .transpose()?;
    let evidence = Evidence {
        regime,
        audit,
        mapped: &log.mapped,
        statistics: &statistics,
        duplicates: duplicates.as_ref(),
        weights: &weights,
        groups: groups.as_ref(),
        as_of,
    };
    let judgement = verdict::judge(&evidence, policy);
    let clipping = weights::clip_all(&statistics, &weights, &policy.clip);
    record::record(declaration, &log, &evidence, &judgement, &clipping)
}
