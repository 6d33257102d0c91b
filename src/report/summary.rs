//! The one-screen summary for a terminal.

use super::escape::clean;
use super::format;
use super::record::{CheckRecord, Report, Status, Verdict};
use super::view::{exit_sentence, is_finding, short, sorted_checks, words};
use std::fmt::Write;

/// Narrower than this, lines are no longer broken to fit.
const NARROWEST: usize = 40;

/// Lines of a check's finding, and of its remedy; the rest is in the report.
const LINES: usize = 3;
/// Columns that a check's first measure has at least.
const MEASURE: usize = 14;
/// Where what is said of a check begins.
const INDENT: usize = 10;

/// The verdict, what was audited, and every check: those that ask for something with what they ask for, the worst first,
/// the others by name. On `width` columns; colours only if `colour`.
///
/// Widths are counted in characters.
pub fn summary_text(report: &Report, colour: bool, width: usize) -> String {
    let page = Page::new(colour, width);
    let mut lines = heading(report, &page);
    let checks = sorted_checks(report);
    for check in checks.iter().filter(|check| is_finding(check.status)) {
        lines.push(String::new());
        lines.extend(check_lines(check, &page));
    }
    lines.push(String::new());
    for status in [Status::Pass, Status::NotApplicable] {
        let names: Vec<&str> =
            checks.iter().filter(|check| check.status == status).map(|check| check.id.as_str()).collect();
        lines.extend(names_lines(status, &names, &page));
    }
    lines.push(String::new());
    lines.extend(page.wrap(&format!("Exit code {}: {}.", report.exit_code, exit_sentence(report)), 0));
    lines.join("\n") + "\n"
}

fn heading(report: &Report, page: &Page) -> Vec<String> {
    let verdict = words(report.verdict);
    let mut lines = page.wrap(&format!("{} {}: {}", verdict.symbol, verdict.word, verdict.sentence), 0);
    if let Some(first) = lines.first_mut() {
        let mark = format!("{} {}", verdict.symbol, verdict.word);
        *first = first.replacen(&mark, &page.paint(&mark, verdict_colour(report.verdict)), 1);
    }
    lines.push(String::new());
    for (name, text) in facts(report) {
        lines.extend(page.hang(&format!("{name:<INDENT$}"), &text));
    }
    lines
}

/// What was audited, a name of at most nine letters and a sentence each.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let (regime, policy) = (&report.regime, &report.policy);
    let mut facts = vec![
        ("regime", format!("{} {} ({})", regime.name, regime.version, short(&regime.fingerprint))),
        ("policy", format!("{} {}, as of {}", policy.name, policy.version, report.as_of)),
    ];
    if !report.settings.is_empty() {
        facts.push(("overrides", format!("--set {}", report.settings.join(", "))));
    }
    if let Some(made) = &report.from_statistics {
        let scans =
            if made.scans == 1 { "1 scan".to_owned() } else { format!("{} scans", format::integer(made.scans)) };
        facts.push(("made from", format!("the statistics of {scans}, not the rows")));
    }
    facts.push(("rows", rows_sentence(report)));
    facts.push(("worth", weights_sentence(report)));
    facts
        .push(("missing", format!("{} of the target was never logged", format::share(report.unsupported_target_mass))));
    if !report.candidates.is_empty() {
        facts.push(("candidates", super::candidates::finding(report)));
    }
    facts
}

fn rows_sentence(report: &Report) -> String {
    let rows = &report.rows;
    let reasons: Vec<String> = rows
        .excluded
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{} {reason}", format::integer(*count)))
        .collect();
    let mut sentence = format!("{} of {} audited", format::integer(rows.audited), format::integer(rows.read));
    if !reasons.is_empty() {
        let _ = write!(sentence, "; excluded: {}", reasons.join(", "));
    }
    sentence
}

fn weights_sentence(report: &Report) -> String {
    match &report.weights {
        Some(weights) => format!(
            "{} independent comparisons of {} ({})",
            format::number(weights.n_eff.round()),
            format::integer(weights.n),
            format::share(weights.n_eff_ratio)
        ),
        None => "cannot be computed for the target".to_owned(),
    }
}

fn check_lines(check: &CheckRecord, page: &Page) -> Vec<String> {
    let (symbol, word, colour) = status_words(check.status);
    let label = format!("{symbol} {word:<6}");
    let id = format::shorten(&clean(&check.id), page.width.saturating_sub(INDENT + MEASURE));
    let room = page.width.saturating_sub(INDENT + id.chars().count() + 2);
    let mut lines =
        vec![format!("{}  {id}  {}", page.paint(&label, colour), headline(check, room)).trim_end().to_owned()];
    let few = |text: &str| page.cut(page.wrap(text, INDENT));
    lines.extend(few(&format::sentence(&check.message)));
    if let Some(remedy) = &check.remedy {
        lines.extend(few(&format!("→ {}", format::sentence(remedy))));
    }
    let hint = page.wrap(&format!("counterweight explain {}", clean(&check.id)), INDENT);
    lines.extend(hint.into_iter().map(|line| page.paint(&line, "2")));
    lines
}

/// The checks of a status by name.
fn names_lines(status: Status, names: &[&str], page: &Page) -> Vec<String> {
    if names.is_empty() {
        return Vec::new();
    }
    let (symbol, word, colour) = status_words(status);
    let label = format!("{symbol} {word}");
    let count = format!("{label} {}", names.len());
    let mut lines = page.hang(&format!("{count:<INDENT$}"), &names.join(", "));
    if let Some(first) = lines.first_mut() {
        *first = first.replacen(&label, &page.paint(&label, colour), 1);
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

/// Colours that the colour-blind tell apart: blue for what is well, yellow for care, red in bold for what is not; the
/// symbol and the word say the same without any.
fn status_words(status: Status) -> (&'static str, &'static str, &'static str) {
    match status {
        Status::Pass => ("✓", "PASS", "36"),
        Status::Waived => ("◇", "WAIVED", "34"),
        Status::NotApplicable => ("–", "N/A", "2"),
        Status::Warn => ("▲", "WARN", "33"),
        Status::Fail => ("✗", "FAIL", "1;31"),
        Status::Undetermined => ("?", "UNDET", "35"),
    }
}

fn verdict_colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "1;36",
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

    /// Text beside a name, its further lines below its own first.
    fn hang(&self, name: &str, text: &str) -> Vec<String> {
        let indent = name.chars().count();
        let mut lines = self.wrap(text, indent);
        if let Some(first) = lines.first_mut() {
            *first = format!("{name}{}", first.trim_start());
        }
        lines
    }

    /// The first few lines, with a sign where more was said.
    fn cut(&self, mut lines: Vec<String>) -> Vec<String> {
        if lines.len() > LINES {
            lines.truncate(LINES);
            if let Some(last) = lines.last_mut() {
                *last = format::shorten(&format!("{last} …"), self.width);
            }
        }
        lines
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
