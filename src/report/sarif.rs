//! SARIF 2.1.0: a rule a check, a result a check that is not well, at the line of the YAML that set its limit.

use super::escape::{clean, markdown};
use super::gate::{self, Level};
use super::record::{CheckRecord, Input, MeasureRecord, PolicyLimit, Report, Status, WaiverRecord};
use super::view::{exit_sentence, words};
use super::{format, json};
use crate::checks::CHECKS;
use crate::verdict::WAIVERS_CHECK;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The record as a SARIF log. `folder` is the audit document's, as seen from where the command runs.
///
/// A limit of a policy file is a physical location, its line and column; one of a shipped policy or of `--set` is a
/// logical location, beside the audit document, which is where the user chose it. Waived results are there, suppressed.
///
/// Source: OASIS, Static Analysis Results Interchange Format 2.1.0 plus Errata 01.
pub fn sarif(report: &Report, folder: &str) -> String {
    let rules: Vec<Value> = report.checks.iter().map(rule).collect();
    let results: Vec<Value> =
        gate::findings(report).map(|(check, level)| result(check, level, report, folder)).collect();
    let verdict = words(report.verdict);
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": report.tool.name,
                "version": report.tool.version,
                "semanticVersion": report.tool.version,
                "rules": rules,
            }},
            "automationDetails": {"id": format!("counterweight/{}/", plain(&report.regime.name))},
            "invocations": [{
                // The audit ran to its end; what it found is in the results.
                "executionSuccessful": true,
                "exitCode": report.exit_code,
                "exitCodeDescription": plain(&exit_sentence(report)),
            }],
            "artifacts": report.inputs.iter().map(|input| artifact(input, folder)).collect::<Vec<_>>(),
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": {
                "verdict": report.verdict,
                "verdictSentence": verdict.sentence,
                "failOn": report.fail_on,
                "asOf": report.as_of,
                "regime": plain(&format!("{} {}", report.regime.name, report.regime.version)),
                "regimeFingerprint": report.regime.fingerprint,
                "policy": plain(&format!("{} {}", report.policy.name, report.policy.version)),
                "policyFingerprint": report.policy.fingerprint,
                "settings": report.settings,
            },
        }],
    });
    json::pretty(&log)
}

fn rule(check: &CheckRecord) -> Value {
    let (waivers, _, _, waivers_page) = WAIVERS_CHECK;
    let own = CHECKS.iter().map(|check| (check.id, check.page)).chain([(waivers, waivers_page)]);
    let page = own.into_iter().find(|(id, _)| *id == check.id).map_or("", |(_, page)| page);
    let level = match check.severity.as_str() {
        "block" => "error",
        "diagnostic" => "warning",
        _ => "note",
    };
    let mut rule = json!({
        "id": check.id,
        "name": check.id,
        "shortDescription": {"text": plain(&check.title)},
        "fullDescription": {"text": plain(&section(page).unwrap_or_else(|| check.title.clone()))},
        "defaultConfiguration": {"level": level},
        "properties": {"severity": check.severity, "source": plain(&check.source), "tags": ["preference-data", "audit"]},
    });
    if let (Value::Object(rule), false) = (&mut rule, page.is_empty()) {
        // The page is ours; as text it is its own Markdown, which reads well as it is.
        rule.insert("help".to_owned(), json!({"text": page, "markdown": page}));
    }
    rule
}

/// The first section of a check's page, on one line.
fn section(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("## What it measures")?;
    let text = rest.split("\n## ").next()?;
    Some(clean(text)).filter(|text| !text.is_empty())
}

fn result(check: &CheckRecord, level: Level, report: &Report, folder: &str) -> Value {
    let place = gate::place(check, report);
    let level = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    };
    let sentence = gate::sentence(check);
    let mut result = json!({
        "ruleId": check.id,
        "ruleIndex": report.checks.iter().position(|other| other.id == check.id),
        "kind": "fail",
        "level": level,
        "message": {"text": plain(&sentence), "markdown": markdown(&sentence)},
        "locations": [location(place, check, report, folder)],
        "partialFingerprints": {"counterweightCheck/v1": fingerprint(check, report)},
        "properties": {
            "status": check.status,
            "verdict": check.verdict,
            "severity": check.severity,
            "measures": check.measures.iter().take(MEASURES).map(measure).collect::<Vec<_>>(),
        },
    });
    let others: Vec<Value> = gate::other_places(check, report)
        .into_iter()
        .map(|place| location(Some(place), check, report, folder))
        .collect();
    let suppressions: Vec<Value> = match check.status {
        Status::Waived => gate::waivers(check, report).map(suppression).collect(),
        _ => Vec::new(),
    };
    if let Value::Object(result) = &mut result {
        if !others.is_empty() {
            result.insert("relatedLocations".to_owned(), Value::Array(others));
        }
        if check.status == Status::Waived {
            result.insert("suppressions".to_owned(), Value::Array(suppressions));
        }
    }
    result
}

/// How many measures a result carries; all of them are in report.json.
const MEASURES: usize = 20;

fn measure(measure: &MeasureRecord) -> Value {
    json!({
        "name": measure.name,
        "value": measure.value,
        "limit": measure.limit.as_ref().map(|limit| json!({"kind": limit.kind, "value": limit.value, "key": limit.key})),
        "crossed": measure.crossed,
        "about": measure.cell.as_ref().map(format::cell).or_else(|| measure.subject.clone()),
    })
}

fn location(place: Option<&PolicyLimit>, check: &CheckRecord, report: &Report, folder: &str) -> Value {
    let uri = |name: &str| json!({"uri": uri(&gate::path(folder, name))});
    match place {
        Some(limit) if gate::is_in_file(limit) => json!({
            "physicalLocation": {
                "artifactLocation": uri(&limit.document),
                "region": {"startLine": limit.line, "startColumn": limit.column},
            },
            "message": {"text": plain(&format!("checks.{}.{}", limit.check, limit.key))},
        }),
        other => {
            let document = other.map_or(report.policy.name.as_str(), |limit| limit.document.as_str());
            let key = other.map_or("severity", |limit| limit.key.as_str());
            json!({
                "physicalLocation": {"artifactLocation": uri(gate::audit_document(report))},
                "logicalLocations": [{
                    "name": key,
                    "fullyQualifiedName": plain(&format!("{document}/checks/{}/{key}", check.id)),
                    "kind": "property",
                }],
            })
        }
    }
}

fn suppression(waiver: &WaiverRecord) -> Value {
    let WaiverRecord { reason, owner, approver, ticket, expires, .. } = waiver;
    let justification = format!("{reason} (asked by {owner}, approved by {approver}, {ticket}, until {expires})");
    json!({"kind": "external", "status": "accepted", "justification": clean(&justification)})
}

fn artifact(input: &Input, folder: &str) -> Value {
    json!({
        "location": {"uri": uri(&gate::path(folder, &input.name))},
        "length": input.bytes,
        "hashes": {"sha-256": input.sha256},
        "description": {"text": plain(&input.role)},
    })
}

/// The same check of the same declared regime is the same alert from one run to the next.
fn fingerprint(check: &CheckRecord, report: &Report) -> String {
    let digest = Sha256::digest(format!("{}\0{}", report.regime.name, check.id).as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text as a SARIF message that means nothing but itself: one line, no control characters, braces doubled (section 3.11.5)
/// and brackets and backslashes escaped (section 3.11.6), so that nothing in it is a placeholder or a link.
fn plain(text: &str) -> String {
    let mut escaped = String::new();
    for character in clean(text).chars() {
        match character {
            '{' | '}' => escaped.extend([character, character]),
            '[' | ']' | '\\' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A path as a URI reference (RFC 3986): every byte but unreserved ones and slashes percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if plain { uri.push(char::from(byte)) } else { uri.push_str(&format!("%{byte:02X}")) }
    }
    uri
}
