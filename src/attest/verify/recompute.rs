//! Auditing again, with the recorded date and settings, and comparing the records.

use super::super::digest_of;
use super::super::keys::VerifyingKey;
use super::super::protocol::read_protocol;
use super::super::statement::{PreferenceAudit, Resource};
use super::Request;
use super::inputs::{Folder, plain};
use crate::audit::{self, Against, Baseline, Input, StatisticsFile};
use crate::change::Frozen;
use crate::declare;
use crate::report::{self, Report};
use chrono::NaiveDate;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How far numbers of the same version may be apart across machines, relative.
const TOLERANCE: f64 = 1e-12;

/// Audits again from the audit document below `--inputs`, or below the folder that holds the report's.
pub(super) fn check(
    folder: &Path,
    signed: &PreferenceAudit,
    record: Option<&Report>,
    request: &Request<'_>,
) -> Result<String, String> {
    let record = record.ok_or("there is no record as signed to compare with")?;
    let beside = folder.join("..");
    let place = request.inputs.unwrap_or(&beside);
    let name = signed.audit.name.escape_debug().to_string();
    let mut below = Folder::open(place);
    let document = below.find(&signed.audit).ok_or_else(|| {
        format!("the audit document `{name}`, as it was, is not in {}; name its folder with --inputs", place.display())
    })?;
    let again = again(&document, record, &mut below, request.keys)?;
    let same = compare(record, &again)?;
    // Another version may word the same record otherwise.
    if record.tool.version != again.tool.version {
        return Ok(same + "; its pages were not rendered again, another version made them");
    }
    pages(folder, record)?;
    Ok(same)
}

/// What people read must be what the record renders to. A page that does not lie there was said to be missing before.
fn pages(folder: &Path, record: &Report) -> Result<(), String> {
    let failed = |error: report::RenderError| format!("its pages cannot be rendered again: {error}");
    let html = vec![report::html(record).map_err(failed)?];
    let markdown = vec![report::markdown(record).map_err(failed)?, report::short_markdown(record).map_err(failed)?];
    for (name, forms) in [("report.html", html), ("report.md", markdown)] {
        let there = super::super::read_small(&folder.join(name), super::MAX_BYTES);
        if there.is_ok_and(|bytes| forms.iter().all(|form| form.as_bytes() != bytes)) {
            return Err(format!("{name} is not what report.json renders to"));
        }
    }
    Ok(())
}

fn again(document: &Path, record: &Report, below: &mut Folder, keys: &[VerifyingKey]) -> Result<Report, String> {
    let failed = |error: declare::Problems| format!("it cannot be audited again: {error}");
    let declaration = declare::load(document, &record.settings).map_err(failed)?;
    let as_of: NaiveDate = record.as_of.parse().map_err(|_| "the record's date is no date".to_owned())?;
    let folder = &declaration.audit.folder;
    let statistics = record.inputs.iter().filter(|input| input.role == "statistics");
    let files: Vec<StatisticsFile> = statistics
        .map(|input| Ok(StatisticsFile { name: input.name.clone(), path: locate(input, folder, below)? }))
        .collect::<Result<_, String>>()?;
    let input = if files.is_empty() { Input::Rows } else { Input::Statistics(&files) };
    let baseline = baseline(record, folder, below)?;
    let protocol = protocol(record, folder, below, keys)?;
    // Checkpoints are a matter of speed alone: what they hold is what a fit gives.
    let against = Against { baseline: baseline.as_ref(), protocol: protocol.as_ref(), checkpoints: None };
    Ok(audit::audit_against(&declaration, input, against, as_of, &()).map_err(failed)?.report)
}

/// A file that the record names, as it was: beside the audit document if its name is a plain one, else wherever it is below
/// the folder that was given. What a name alone leads to is not opened.
fn locate(input: &report::Input, folder: &Path, below: &mut Folder) -> Result<PathBuf, String> {
    let beside = plain(&input.name).map(|name| folder.join(name));
    let same = |path: &PathBuf| digest_of(path).is_ok_and(|digest| digest == input.sha256);
    let found = beside.filter(same).or_else(|| below.find(&Resource::new(&input.name, &input.sha256)));
    found.ok_or_else(|| {
        format!("`{}`, as it was, is not there; name its folder with --inputs", input.name.escape_debug())
    })
}

/// The record that the audit was held against, if it was: as it was then, wherever it lies now.
fn baseline(record: &Report, folder: &Path, below: &mut Folder) -> Result<Option<Baseline>, String> {
    let Some(input) = record.inputs.iter().find(|input| input.role == "baseline") else { return Ok(None) };
    let path = locate(input, folder, below)?;
    let name = input.name.escape_debug();
    let bytes = super::super::read_small(&path, super::MAX_BYTES).map_err(|error| format!("{name}: {error}"))?;
    let report = super::read_record(&bytes).map_err(|why| format!("the baseline `{name}` {why}"))?;
    Ok(Some(Baseline { name: input.name.clone(), sha256: input.sha256.clone(), bytes: input.bytes, report }))
}

/// The protocol that the audit was held against, if it was: signed by a key that was given for this verification.
fn protocol(
    record: &Report,
    folder: &Path,
    below: &mut Folder,
    keys: &[VerifyingKey],
) -> Result<Option<Frozen>, String> {
    let Some(input) = record.inputs.iter().find(|input| input.role == "protocol") else { return Ok(None) };
    let path = locate(input, folder, below)?;
    let frozen = read_protocol(&path, &input.name, keys);
    frozen.map(Some).map_err(|error| format!("the protocol `{}`: {error}", input.name.escape_debug()))
}

fn compare(record: &Report, again: &Report) -> Result<String, String> {
    let (before, after) = (report::to_json(record), report::to_json(again));
    if before == after {
        return Ok("audited again: the same record, byte for byte".to_owned());
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
    match difference(&parse(&before)?, &parse(&after)?, "") {
        None => Ok(format!("audited again: the same record, numbers to a relative {TOLERANCE:e}")),
        Some(_) if record.tool.version != again.tool.version => Err(format!(
            "audited again by version {}, the record differs from that of version {}",
            again.tool.version,
            record.tool.version.escape_debug()
        )),
        Some(place) => Err(format!("audited again, the record differs at {place}")),
    }
}

/// The first place where two records say different things.
fn difference(a: &Value, b: &Value, place: &str) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => a.iter().find_map(|(key, value)| {
            let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            b.get(key).map_or(Some(place.clone()), |other| difference(value, other, &place))
        }),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(index, (a, b))| difference(a, b, &format!("{place}[{index}]")))
        }
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) if (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()) => None,
            _ => Some(place.escape_debug().to_string()),
        },
        (a, b) if a == b => None,
        _ => Some(place.escape_debug().to_string()),
    }
}
