//! What is about the log as a whole: JSON in the footer.
//!
//! Owns: its keys, and the translation to and from [`Collected`]. The rows of the table are added apart.
//! Must never: accept a key that it does not know.

use super::super::{
    Collected, Conditions, GeneratorCounts, InclusionCounts, LoggedPropensities, MechanismCounts, PropensityCounts,
    SourceFile, SourceRole, Statistics,
};
use crate::declare::{LabelWords, Role};
use crate::logs::{Duplicates, Exclusion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is about the log as a whole.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    covariates: Vec<String>,
    pairs: String,
    columns: BTreeMap<String, String>,
    labels: Option<Alphabet>,
    scans: u64,
    sources: Vec<HeaderSource>,
    rows_read: u64,
    excluded: BTreeMap<String, u64>,
    propensities: Option<HeaderPropensities>,
    logged: Option<HeaderLogged>,
    inclusions: Option<HeaderInclusions>,
    missing: BTreeMap<String, u64>,
    alike: Option<u64>,
    mechanism_missing: Option<u64>,
    generators: Option<HeaderGenerators>,
    duplicates: Option<HeaderDuplicates>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alphabet {
    a: Vec<String>,
    b: Vec<String>,
    tie: Vec<String>,
    abstain: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderSource {
    role: String,
    name: String,
    sha256: String,
    bytes: u64,
    rows: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderPropensities {
    valid: u64,
    invalid: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLogged {
    too_many: bool,
    without_time: u64,
    unreadable_time: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderInclusions {
    valid: u64,
    invalid: u64,
    min: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderGenerators {
    rows: u64,
    same: u64,
    missing: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderDuplicates {
    identical: u64,
    conflicting: u64,
    missing_ids: u64,
}

/// What statistics say in the footer.
pub(super) fn header(collected: &Collected) -> Header {
    let Collected { conditions, scans, sources, duplicates, statistics } = collected;
    let reasons = |counts: &BTreeMap<Exclusion, u64>| {
        counts.iter().map(|(reason, count)| (reason.name().to_owned(), *count)).collect()
    };
    let source = |file: &SourceFile| HeaderSource {
        role: file.role.name().to_owned(),
        name: file.name.clone(),
        sha256: file.sha256.clone(),
        bytes: file.bytes,
        rows: file.rows,
    };
    Header {
        covariates: conditions.covariates.clone(),
        pairs: conditions.pairs.clone(),
        columns: conditions.columns.iter().map(|(role, column)| (role.name().to_owned(), column.clone())).collect(),
        labels: conditions.labels.clone().map(|LabelWords { a, b, tie, abstain }| Alphabet { a, b, tie, abstain }),
        scans: *scans,
        sources: sources.iter().map(source).collect(),
        rows_read: statistics.rows_read,
        excluded: reasons(&statistics.excluded),
        propensities: statistics
            .propensities
            .as_ref()
            .map(|counts| HeaderPropensities { valid: counts.valid, invalid: reasons(&counts.invalid) }),
        logged: statistics.logged.as_ref().map(|logged| HeaderLogged {
            too_many: logged.too_many,
            without_time: logged.without_time,
            unreadable_time: logged.unreadable_time,
        }),
        inclusions: statistics.inclusions.map(|counts| HeaderInclusions {
            valid: counts.valid,
            invalid: counts.invalid,
            min: (counts.valid > 0).then_some(counts.min),
        }),
        missing: statistics.missing.iter().map(|(role, count)| (role.name().to_owned(), *count)).collect(),
        alike: statistics.alike,
        mechanism_missing: statistics.mechanisms.as_ref().map(|counts| counts.missing),
        generators: statistics.generators.as_ref().map(|counts| HeaderGenerators {
            rows: counts.rows,
            same: counts.same,
            missing: counts.missing,
        }),
        duplicates: duplicates.as_ref().map(|found| HeaderDuplicates {
            identical: found.identical,
            conflicting: found.conflicting,
            missing_ids: found.missing_ids,
        }),
    }
}

/// What a footer says; cells, mechanisms and generators are still to come.
pub(super) fn from_header(header: Header) -> Result<Collected, String> {
    let role = |name: &str| Role::from_name(name).ok_or_else(|| format!("`{}` is no role", name.escape_debug()));
    let reason = |name: &str| {
        Exclusion::from_name(name).ok_or_else(|| format!("`{}` is no reason for exclusion", name.escape_debug()))
    };
    let reasons = |counts: BTreeMap<String, u64>| -> Result<BTreeMap<Exclusion, u64>, String> {
        counts.into_iter().map(|(name, count)| Ok((reason(&name)?, count))).collect()
    };
    let columns = header.columns.into_iter().map(|(name, column)| Ok((role(&name)?, column)));
    let missing = header.missing.into_iter().map(|(name, count)| Ok((role(&name)?, count)));
    let propensities = header
        .propensities
        .map(|counts| Ok::<_, String>(PropensityCounts { valid: counts.valid, invalid: reasons(counts.invalid)? }));
    Ok(Collected {
        conditions: Conditions {
            covariates: header.covariates,
            pairs: header.pairs,
            columns: columns.collect::<Result<_, String>>()?,
            labels: header.labels.map(|Alphabet { a, b, tie, abstain }| LabelWords { a, b, tie, abstain }),
        },
        scans: header.scans,
        sources: header.sources.into_iter().map(from_source).collect::<Result<_, String>>()?,
        duplicates: header.duplicates.map(|found| Duplicates {
            rows: Vec::new(),
            identical: found.identical,
            conflicting: found.conflicting,
            missing_ids: found.missing_ids,
        }),
        statistics: Statistics {
            rows_read: header.rows_read,
            excluded: reasons(header.excluded)?,
            cells: BTreeMap::new(),
            propensities: propensities.transpose()?,
            logged: header.logged.map(|logged| LoggedPropensities {
                too_many: logged.too_many,
                without_time: logged.without_time,
                unreadable_time: logged.unreadable_time,
                mechanisms: BTreeMap::new(),
            }),
            inclusions: header.inclusions.map(|counts| InclusionCounts {
                valid: counts.valid,
                invalid: counts.invalid,
                min: counts.min.unwrap_or(f64::INFINITY),
            }),
            unlabelled: BTreeMap::new(),
            mechanisms: header
                .mechanism_missing
                .map(|missing| MechanismCounts { missing, ..MechanismCounts::default() }),
            generators: header.generators.map(|HeaderGenerators { rows, same, missing }| GeneratorCounts {
                rows,
                same,
                missing,
                ..GeneratorCounts::default()
            }),
            overflow: None,
            missing: missing.collect::<Result<_, String>>()?,
            alike: header.alike,
        },
    })
}

fn from_source(source: HeaderSource) -> Result<SourceFile, String> {
    let role = SourceRole::ALL.into_iter().find(|role| role.name() == source.role);
    let hexadecimal =
        |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match role {
        Some(role) if hexadecimal(&source.sha256) => {
            Ok(SourceFile { role, name: source.name, sha256: source.sha256, bytes: source.bytes, rows: source.rows })
        }
        _ => Err("a source in the footer's JSON has no role or digest".to_owned()),
    }
}
