//! The one-screen summary for a terminal.

use super::escape::clean;
use super::format;
use super::record::{CheckRecord, Report, Status, Verdict};
use super::view::{exit_sentence, is_finding, short, words};
use std::fmt::Write;

/// Narrower than this, lines are no longer broken to fit.
const NARROWEST: usize = 40;

/// The verdict, what was audited, and one line a check, on `width` columns; colours only if `colour`.
///
/// Widths are counted in characters.
pub fn summary_text(report: &Report, colour: bool, width: usize) -> String {
    let page = Page::new(colour, width);
    let mut lines = heading(report, &page);
    lines.push(String::new());
    let id_width = report.checks.iter().map(|check| clean(&check.id).chars().count()).max().unwrap_or(0).min(24);
    for check in &report.checks {
        lines.extend(check_lines(check, id_width, &page));
    }
    lines.push(String::new());
    lines.extend(page.wrap(&format!("Exit code {}: {}.", report.exit_code, exit_sentence(report)), 0));
    lines.join("\n") + "\n"
}

fn heading(report: &Report, page: &Page) -> Vec<String> {
    let verdict = words(report.verdict);
    let mut lines = page.wrap(&format!("{}: {}", verdict.word, verdict.sentence), 0);
    if let Some(first) = lines.first_mut() {
        let painted = page.paint(verdict.word, verdict_colour(report.verdict));
        *first = first.replacen(verdict.word, &painted, 1);
    }
    let regime = &report.regime;
    lines.extend(page.wrap(
        &format!(
            "regime {} {} ({}), policy {} {}, as of {}",
            regime.name,
            regime.version,
            short(&regime.fingerprint),
            report.policy.name,
            report.policy.version,
            report.as_of
        ),
        0,
    ));
    if !report.settings.is_empty() {
        lines.extend(page.wrap(&format!("overridden with --set: {}", report.settings.join(", ")), 0));
    }
    if let Some(made) = &report.from_statistics {
        let scans =
            if made.scans == 1 { "1 scan".to_owned() } else { format!("{} scans", format::integer(made.scans)) };
        let withheld = match made.withheld {
            0 => String::new(),
            rows => format!("; {} rows of small cells are withheld", format::integer(rows)),
        };
        lines.extend(page.wrap(&format!("made from the statistics of {scans}, not from the rows{withheld}"), 0));
    }
    lines.extend(page.wrap(&rows_sentence(report), 0));
    lines.extend(page.wrap(&weights_sentence(report), 0));
    lines
}

fn rows_sentence(report: &Report) -> String {
    let rows = &report.rows;
    let reasons: Vec<String> = rows
        .excluded
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{} {reason}", format::integer(*count)))
        .collect();
    let mut sentence = format!("{} of {} rows audited", format::integer(rows.audited), format::integer(rows.read));
    if !reasons.is_empty() {
        let _ = write!(sentence, "; excluded: {}", reasons.join(", "));
    }
    sentence
}

fn weights_sentence(report: &Report) -> String {
    match &report.weights {
        Some(weights) => format!(
            "worth {} independent comparisons of {} ({})",
            format::number(weights.n_eff.round()),
            format::integer(weights.n),
            format::share(weights.n_eff_ratio)
        ),
        None => "what they are worth for the target cannot be computed".to_owned(),
    }
}

fn check_lines(check: &CheckRecord, id_width: usize, page: &Page) -> Vec<String> {
    let (symbol, word, colour) = status_words(check.status);
    let label = format!("{symbol} {word:<6}");
    let id = format!("{:<id_width$}", format::shorten(&clean(&check.id), id_width));
    // Symbol, word and id, with the spaces between them.
    let room = page.width.saturating_sub(label.chars().count() + id.chars().count() + 3);
    let line = format!("{}  {id} {}", page.paint(&label, colour), headline(check, room));
    let mut lines = vec![line.trim_end().to_owned()];
    if is_finding(check.status) {
        lines.extend(page.wrap(&format::sentence(&check.message), 10));
        if let Some(remedy) = &check.remedy {
            lines.extend(page.wrap(&format::sentence(remedy), 10));
        }
        lines.extend(page.wrap(&format!("counterweight explain {}", clean(&check.id)), 10));
    }
    lines
}

/// The first measure against its limit; where they do not fit into `room`, the measure's name is cut first.
fn headline(check: &CheckRecord, room: usize) -> String {
    let Some(measure) = check.measures.first() else { return String::new() };
    let limit = format::measure_limit(measure).map(|limit| format!(" ({limit})")).unwrap_or_default();
    let value = clean(&format!("{}{limit}", format::measure_value(measure)));
    let name = format::shorten(&clean(&measure.name), room.saturating_sub(value.chars().count() + 1));
    format::shorten(&format!("{name} {value}"), room)
}

fn status_words(status: Status) -> (&'static str, &'static str, &'static str) {
    match status {
        Status::Pass => ("✓", "PASS", "32"),
        Status::Waived => ("◇", "WAIVED", "36"),
        Status::NotApplicable => ("–", "N/A", "2"),
        Status::Warn => ("▲", "WARN", "33"),
        Status::Fail => ("✗", "FAIL", "31"),
        Status::Undetermined => ("?", "UNDET", "35"),
    }
}

fn verdict_colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "1;32",
        Verdict::Diagnostic => "1;33",
        Verdict::Block => "1;31",
    }
}

/// A terminal's page.
pub(super) struct Page {
    colour: bool,
    /// Columns.
    pub(super) width: usize,
}

impl Page {
    /// A page of so many columns.
    pub(super) fn new(colour: bool, width: usize) -> Page {
        Page { colour, width: width.max(NARROWEST) }
    }

    /// Text in a colour, where there are colours.
    pub(super) fn paint(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Lines of at most the page's width, every one indented; words longer than a line are broken.
    pub(super) fn wrap(&self, text: &str, indent: usize) -> Vec<String> {
        let room = self.width.saturating_sub(indent).max(1);
        let margin = " ".repeat(indent);
        let mut lines = Vec::new();
        let mut line = String::new();
        for word in clean(text).split(' ').flat_map(|word| pieces(word, room)) {
            let needed = line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && needed > room {
                lines.push(format!("{margin}{line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        lines.push(format!("{margin}{line}"));
        lines
    }
}

fn pieces(word: &str, length: usize) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    characters.chunks(length).map(|piece| piece.iter().collect()).collect()
}
