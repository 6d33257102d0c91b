//! Annotations for GitHub Actions: one workflow command a result.

use super::escape::clean;
use super::gate::{self, Level};
use super::record::{Report, Status, Verdict};
use super::view::{exit_sentence, words};

/// One line a result that is not well, and a last one with the verdict. `folder` is the audit document's, as seen from
/// where the command runs.
///
/// Source: GitHub, "Workflow commands for GitHub Actions"; the escapes are those of its toolkit (`@actions/core`).
pub fn github(report: &Report, folder: &str) -> String {
    let mut text: String = gate::findings(report)
        .map(|(check, level)| {
            let place = gate::place(check, report).filter(|limit| gate::is_in_file(limit));
            let document = place.map_or_else(|| gate::audit_document(report), |limit| limit.document.as_str());
            let mut properties = vec![("file", gate::path(folder, document))];
            if let Some((line, column)) = place.and_then(|limit| Some((limit.line?, limit.column?))) {
                properties.extend([("line", line.to_string()), ("col", column.to_string())]);
            }
            let status = if check.status == Status::Waived { " (waived)" } else { "" };
            properties.push(("title", format!("counterweight {}{status}", check.id)));
            command(level, &properties, &gate::sentence(check))
        })
        .collect();
    let level = match (report.exit_code, report.verdict) {
        (0, Verdict::Pass) => Level::Note,
        (0, _) => Level::Warning,
        _ => Level::Error,
    };
    let verdict = words(report.verdict);
    let regime = format!("{} {}", report.regime.name, report.regime.version);
    let sentence =
        format!("{regime}: {}. Exit code {}: {}.", verdict.sentence, report.exit_code, exit_sentence(report));
    text.push_str(&command(level, &[("title", format!("counterweight {}", verdict.word))], &sentence));
    text
}

fn command(level: Level, properties: &[(&str, String)], message: &str) -> String {
    let name = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "notice",
    };
    let properties: Vec<String> = properties.iter().map(|(key, value)| format!("{key}={}", property(value))).collect();
    format!("::{name} {}::{}\n", properties.join(","), data(message))
}

/// What follows `::`: no line break and no control character is left, and what looks like an escape means itself.
fn data(text: &str) -> String {
    clean(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What stands between the commas.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
