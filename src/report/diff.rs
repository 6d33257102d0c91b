//! Two records, side by side: the frozen type of `counterweight diff --format json`, and its text and Markdown.

use super::escape::{clean, markdown as escaped};
use super::format;
use super::record::{ChangeRecord, Report, Verdict};
use super::summary::Page;
use super::view::{short, words};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

/// The `schema` value of a difference.
pub const DIFF_SCHEMA: &str = "counterweight/diff/v1";
/// How many changes about one thing the text and the Markdown show.
const SHOWN: usize = 20;
/// How many characters of a value they show.
const VALUE: usize = 60;

/// What differs between two records, and what the rules of change management say about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// [`DIFF_SCHEMA`].
    pub schema: String,
    /// The older record.
    pub old: DiffSide,
    /// The newer record.
    pub new: DiffSide,
    /// `block` if a rule that fails is crossed and change management blocks; `diagnostic` if another one is crossed.
    pub verdict: Verdict,
    /// 1 on `block`, else 0.
    pub exit_code: i32,
    /// Every rule.
    pub rulings: Vec<RulingRecord>,
    /// Every difference.
    pub changes: Vec<ChangeRecord>,
}

/// What identifies one of the records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiffSide {
    /// Its date.
    pub as_of: String,
    /// What it concluded.
    pub verdict: Verdict,
    /// Its regime's name and version.
    pub regime: String,
    /// The fingerprint of the regime's content.
    pub regime_fingerprint: String,
    /// Its policy's name and version.
    pub policy: String,
    /// The fingerprint of the resolved policy.
    pub policy_fingerprint: String,
    /// The version of the program that made it.
    pub tool: String,
}

/// A rule of change management, applied.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RulingRecord {
    /// The limit's name in the policy.
    pub key: String,
    /// What is counted or measured.
    pub name: String,
    /// The number of changes, or the largest.
    pub value: f64,
    /// The most that the policy lets pass.
    pub limit: f64,
    /// `warn` or `fail` where the limit is crossed.
    pub crossed: Option<String>,
}

impl DiffSide {
    /// What identifies a record.
    pub fn of(report: &Report) -> DiffSide {
        let Report { regime, policy, .. } = report;
        DiffSide {
            as_of: report.as_of.clone(),
            verdict: report.verdict,
            regime: format!("{} {}", regime.name, regime.version),
            regime_fingerprint: regime.fingerprint.clone(),
            policy: format!("{} {}", policy.name, policy.version),
            policy_fingerprint: policy.fingerprint.clone(),
            tool: report.tool.version.clone(),
        }
    }

    fn words(&self) -> String {
        format!(
            "regime {} ({}), policy {} ({}), as of {}: {}",
            self.regime,
            short(&self.regime_fingerprint),
            self.policy,
            short(&self.policy_fingerprint),
            self.as_of,
            words(self.verdict).word
        )
    }
}

impl Diff {
    fn sentence(&self) -> &'static str {
        match self.verdict {
            Verdict::Block => "a change that the rules of change management do not let pass",
            Verdict::Diagnostic => "changes that want a reader",
            Verdict::Pass if self.changes.is_empty() => "nothing changed",
            Verdict::Pass => "every change is within the rules of change management",
        }
    }

    /// `fail` or `warn` where a change falls under a rule whose limit is crossed.
    fn mark(&self, change: &ChangeRecord) -> Option<&str> {
        let rule = change.rule.as_ref()?;
        self.rulings.iter().find(|ruling| ruling.key == *rule)?.crossed.as_deref()
    }

    /// The changes by what they are about: those under a crossed rule first, at most [`SHOWN`], and how many more there are.
    fn groups(&self) -> Vec<(&str, Vec<&ChangeRecord>, usize)> {
        let mut groups: Vec<(&str, Vec<&ChangeRecord>, usize)> = Vec::new();
        for change in &self.changes {
            match groups.last_mut() {
                Some((about, changes, _)) if *about == change.about => changes.push(change),
                _ => groups.push((&change.about, vec![change], 0)),
            }
        }
        for (_, changes, more) in &mut groups {
            changes.sort_by_key(|change| self.mark(change).is_none());
            *more = changes.len().saturating_sub(SHOWN);
            changes.truncate(SHOWN);
        }
        groups
    }
}

/// The difference as JSON: two spaces, a final newline.
#[expect(clippy::expect_used, reason = "structs and vectors of finite numbers and text: serde_json cannot fail on it")]
pub fn diff_json(diff: &Diff) -> String {
    let mut text = serde_json::to_string_pretty(diff).expect("a difference serialises");
    text.push('\n');
    text
}

/// The difference on `width` columns; colours only if `colour`.
pub fn diff_text(diff: &Diff, colour: bool, width: usize) -> String {
    let page = Page::new(colour, width);
    let mut lines = page.wrap(&format!("{}: {}", words(diff.verdict).word, diff.sentence()), 0);
    for (name, side) in [("old", &diff.old), ("new", &diff.new)] {
        lines.extend(page.wrap(&format!("{name}: {}", side.words()), 0));
    }
    lines.push(String::new());
    for ruling in &diff.rulings {
        let (symbol, code) = symbol(ruling.crossed.as_deref());
        let line =
            format!("{}: {} (at most {})", ruling.name, number(ruling, ruling.value), number(ruling, ruling.limit));
        lines.push(format!("{} {}", page.paint(symbol, code), format::shorten(&line, page.width.saturating_sub(2))));
    }
    for (about, changes, more) in diff.groups() {
        lines.push(String::new());
        lines.push(about.to_owned());
        for change in changes {
            let symbol = diff.mark(change).map_or(" ", |mark| symbol(Some(mark)).0);
            let mut wrapped = page.wrap(&line(change), 4);
            if let Some(first) = wrapped.first_mut() {
                *first = format!("  {symbol} {}", first.trim_start());
            }
            lines.extend(wrapped);
        }
        if more > 0 {
            lines.push(format!("    and {more} more, in --format json"));
        }
    }
    lines.push(String::new());
    lines.extend(page.wrap(&format!("Exit code {}.", diff.exit_code), 0));
    lines.join("\n") + "\n"
}

/// The difference as Markdown, for a pull request or a ticket.
pub fn diff_markdown(diff: &Diff) -> String {
    let mut text = format!("## {}: {}\n\n", words(diff.verdict).word, diff.sentence());
    for (name, side) in [("old", &diff.old), ("new", &diff.new)] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "- **{name}:** {}", escaped(&side.words()));
    }
    text.push_str("\n| | rule | value | at most |\n|---|---|--:|--:|\n");
    for ruling in &diff.rulings {
        let symbol = symbol(ruling.crossed.as_deref()).0;
        let (value, limit) = (number(ruling, ruling.value), number(ruling, ruling.limit));
        let _ = writeln!(text, "| {symbol} | {} | {value} | {limit} |", escaped(&ruling.name));
    }
    for (about, changes, more) in diff.groups() {
        let _ = write!(text, "\n### {about}\n\n| | what | before | after |\n|---|---|---|---|\n");
        for change in changes {
            let symbol = diff.mark(change).map_or("", |mark| symbol(Some(mark)).0);
            let [before, after] =
                [&change.before, &change.after].map(|value| escaped(&value_of(change, value.as_ref())));
            let _ = writeln!(text, "| {symbol} | {} | {before} | {after} |", escaped(&change.item));
        }
        if more > 0 {
            let _ = write!(text, "\nand {more} more, in `--format json`\n");
        }
    }
    let _ = write!(text, "\nExit code {}.\n", diff.exit_code);
    text
}

fn symbol(crossed: Option<&str>) -> (&'static str, &'static str) {
    match crossed {
        Some("fail") => ("✗", "31"),
        Some(_) => ("▲", "33"),
        None => ("✓", "32"),
    }
}

fn number(ruling: &RulingRecord, value: f64) -> String {
    if ruling.key.ends_with("_share") { format::share(value) } else { format::number(value) }
}

fn line(change: &ChangeRecord) -> String {
    match (&change.before, &change.after) {
        (None, None) => change.item.clone(),
        (before, after) => {
            let [before, after] = [before, after].map(|value| value_of(change, value.as_ref()));
            format!("{}: {before} → {after}", change.item)
        }
    }
}

/// A value in few characters: shares as such, digests by their first digits.
pub(super) fn value_of(change: &ChangeRecord, value: Option<&Value>) -> String {
    let is_share = change.about == "cells" || change.item.contains("mass");
    let text = match value {
        None => "none".to_owned(),
        Some(Value::Number(number)) => match (number.as_u64(), number.as_f64()) {
            (Some(count), _) if !is_share => format::integer(count),
            (_, Some(number)) if is_share => format::share(number),
            (_, Some(number)) => format::number(number),
            _ => number.to_string(),
        },
        Some(Value::String(text)) if is_digest(text) => short(text).to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) => "none".to_owned(),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| value_of(change, Some(item))).collect();
            if items.is_empty() { "none".to_owned() } else { items.join(", ") }
        }
        Some(other) => other.to_string(),
    };
    format::shorten(&clean(&text), VALUE)
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
