//! The one-screen summary for a terminal.

use super::escape::clean;
use super::format;
use super::record::{CheckRecord, MeasureRecord, Report, Status, Verdict};
use super::view::{is_finding, short, sorted_checks, words};
use std::fmt::Write;

/// Narrower than this, lines are no longer broken to fit.
const NARROWEST: usize = 40;

/// Lines that fit one screen, the report's place below them included.
const SCREEN: usize = 38;
/// Columns that a check's first measure has at least.
const MEASURE: usize = 14;
/// Where what is said of a check begins.
const INDENT: usize = 10;

/// How many lines are given to each check; the rest is in the report.
#[derive(Clone, Copy)]
struct Detail {
    /// Of the finding of a check that asks for something.
    finding: usize,
    /// Of what to do about it.
    remedy: usize,
    /// Of the finding of any other.
    other: usize,
}

/// From roomy to tight: the first that fits the screen is taken. What asks for something keeps its remedy at each.
const DETAILS: [Detail; 5] = [
    Detail { finding: 2, remedy: 2, other: 2 },
    Detail { finding: 2, remedy: 1, other: 1 },
    Detail { finding: 1, remedy: 1, other: 1 },
    Detail { finding: 1, remedy: 1, other: 0 },
    Detail { finding: 0, remedy: 1, other: 0 },
];

/// The verdict, what was audited, and what was found, the worst first, with what to do; how many checks passed. On `width`
/// columns and one screen, unless more was found than a screen can name; colours only if `colour`.
///
/// Widths are counted in characters.
pub fn summary_text(report: &Report, colour: bool, width: usize) -> String {
    let page = Page::new(colour, width);
    let mut text = String::new();
    for detail in DETAILS {
        let lines = summary_lines(report, detail, &page);
        text = lines.join("\n") + "\n";
        if lines.len() <= SCREEN {
            break;
        }
    }
    text
}

fn summary_lines(report: &Report, detail: Detail, page: &Page) -> Vec<String> {
    let mut lines = heading(report, page);
    lines.push(String::new());
    let found: Vec<&CheckRecord> = sorted_checks(report).into_iter().filter(|check| is_finding(check.status)).collect();
    for check in &found {
        lines.extend(check_lines(check, asks(report, check), detail, page));
    }
    if !found.is_empty() {
        lines.extend(explain_lines(report, &found, page));
        lines.push(String::new());
    }
    lines.extend(counts_lines(report, page));
    let then = if report.exit_code == 0 { "may go on" } else { "should stop" };
    let exit = format!("Exit code {} (fail_on: {}): a pipeline {then}.", report.exit_code, report.fail_on);
    lines.extend(page.wrap(&exit, 0));
    lines
}

/// Whether a check asks for something: it fails, cannot be computed, or by itself makes the verdict what it is.
fn asks(report: &Report, check: &CheckRecord) -> bool {
    matches!(check.status, Status::Fail | Status::Undetermined)
        || (report.verdict != Verdict::Pass && check.verdict == report.verdict)
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
        let withheld = match made.withheld {
            0 => String::new(),
            rows => format!("; {} rows of small cells are withheld", format::integer(rows)),
        };
        facts.push(("made from", format!("the statistics of {scans}, not the rows{withheld}")));
    }
    facts.push(("rows", rows_sentence(report)));
    facts.push(("worth", weights_sentence(report)));
    facts
        .push(("missing", format!("{} of the target was never logged", format::share(report.unsupported_target_mass))));
    if !report.candidates.is_empty() {
        facts.push(("compared", super::candidates::finding(report)));
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

/// What was found, and, where the check `asks` for something, what to do.
fn check_lines(check: &CheckRecord, asks: bool, detail: Detail, page: &Page) -> Vec<String> {
    let (symbol, word, colour) = status_words(check.status);
    let label = format!("{symbol} {word:<6}");
    let id = format::shorten(&clean(&check.id), page.width.saturating_sub(INDENT + MEASURE));
    let room = page.width.saturating_sub(INDENT + id.chars().count() + 2);
    let finding = format::sentence(&check.message);
    let (headline, own) = match check.measures.first() {
        Some(measure) => (headline(measure, room), if asks { detail.finding } else { detail.other }),
        // Nothing was measured: the finding takes the measure's place, and no line of its own where it fits there.
        None if finding.chars().count() <= room || !asks || detail.finding == 0 => {
            (format::shorten(&clean(&finding), room), 0)
        }
        None => (String::new(), detail.finding),
    };
    let mut lines = vec![format!("{}  {id}  {headline}", page.paint(&label, colour)).trim_end().to_owned()];
    lines.extend(page.cut(page.wrap(&finding, INDENT), own));
    let remedy = check.remedy.as_ref().filter(|_| asks);
    lines.extend(
        remedy
            .into_iter()
            .flat_map(|remedy| page.cut(page.wrap(&format!("→ {}", format::sentence(remedy)), INDENT), detail.remedy)),
    );
    lines
}

/// Where all of it is said, for every check that asks for something.
fn explain_lines(report: &Report, found: &[&CheckRecord], page: &Page) -> Vec<String> {
    let ids: Vec<String> = found.iter().filter(|check| asks(report, check)).map(|check| clean(&check.id)).collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let lines = page.hang(&format!("{:<INDENT$}", "in full"), &format!("counterweight explain {}", ids.join(" ")));
    lines.into_iter().map(|line| page.paint(&line, "2")).collect()
}

/// How many checks passed, and how many have nothing to ask.
fn counts_lines(report: &Report, page: &Page) -> Vec<String> {
    let count = |wanted| report.checks.iter().filter(|check| check.status == wanted).count();
    let parts: Vec<(String, &str)> = [Status::Pass, Status::NotApplicable]
        .into_iter()
        .filter(|status| count(*status) > 0)
        .map(|status| {
            let (symbol, word, colour) = status_words(status);
            (format!("{symbol} {word} {}", format::integer(count(status) as u64)), colour)
        })
        .collect();
    if parts.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = parts.iter().map(|(text, _)| text.as_str()).collect();
    let mut lines = page.wrap(&format!("{}; the report lists every check.", names.join(", ")), 0);
    if let Some(first) = lines.first_mut() {
        for (text, colour) in &parts {
            *first = first.replacen(text, &page.paint(text, colour), 1);
        }
    }
    lines
}

/// The first measure against its limit; where they do not fit into `room`, the measure's name is cut first.
fn headline(measure: &MeasureRecord, room: usize) -> String {
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

    /// The first `most` lines, with a sign where more was said.
    fn cut(&self, mut lines: Vec<String>, most: usize) -> Vec<String> {
        if lines.len() > most {
            lines.truncate(most);
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
