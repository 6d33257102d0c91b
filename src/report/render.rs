//! The record as Markdown and as one self-contained HTML page.

use super::escape;
use super::format;
use super::record::{CellKey, Report, Status};
use super::view::{View, short, view, words};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, context};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use std::fmt::Write;

/// What is no section: the body, the decision box, and what sections share.
const TEMPLATES: [(&str, &str); 4] = [
    ("report.md", include_str!("../../templates/report.md")),
    ("short.md", include_str!("../../templates/short.md")),
    ("decision.md", include_str!("../../templates/decision.md")),
    ("cell.md", include_str!("../../templates/cell.md")),
];

/// A section of the report: templates give its number with `section(id)` and its heading with `heading(id)`.
struct Section {
    id: &'static str,
    title: &'static str,
    template: &'static str,
}

/// The sections in reading order; the order gives the numbers. First what a reader decides by, then the evidence.
const SECTIONS: [Section; 22] = [
    Section { id: "summary", title: "Summary in plain words", template: include_str!("../../templates/summary.md") },
    Section { id: "findings", title: "Findings and remedies", template: include_str!("../../templates/findings.md") },
    Section {
        id: "scope",
        title: "Scope, and what this audit cannot show",
        template: include_str!("../../templates/scope.md"),
    },
    Section { id: "regime", title: "The declared regime", template: include_str!("../../templates/regime.md") },
    Section { id: "rows", title: "Provenance and row accounting", template: include_str!("../../templates/rows.md") },
    Section {
        id: "assumptions",
        title: "Assumptions register",
        template: include_str!("../../templates/assumptions.md"),
    },
    Section { id: "checklist", title: "Checklist", template: include_str!("../../templates/checklist.md") },
    Section { id: "support", title: "Support", template: include_str!("../../templates/support.md") },
    Section { id: "weights", title: "Weights", template: include_str!("../../templates/weights.md") },
    Section { id: "evaluation", title: "Target evaluation", template: include_str!("../../templates/evaluation.md") },
    Section { id: "subgroups", title: "Results by subgroup", template: include_str!("../../templates/subgroups.md") },
    Section {
        id: "sensitivity",
        title: "How much hidden confounding would overturn it",
        template: include_str!("../../templates/sensitivity.md"),
    },
    Section {
        id: "evidence",
        title: "Evidence about the assumptions",
        template: include_str!("../../templates/evidence.md"),
    },
    Section { id: "refits", title: "Re-fits", template: include_str!("../../templates/refits.md") },
    Section {
        id: "changes",
        title: "Changes since the baseline",
        template: include_str!("../../templates/changes.md"),
    },
    Section { id: "protocol", title: "Protocol", template: include_str!("../../templates/protocol.md") },
    Section { id: "waivers", title: "Waivers", template: include_str!("../../templates/waivers.md") },
    Section {
        id: "monitoring",
        title: "When this audit is due again",
        template: include_str!("../../templates/monitoring.md"),
    },
    Section {
        id: "clauses",
        title: "Where such evidence is asked for",
        template: include_str!("../../templates/clauses.md"),
    },
    Section { id: "signoff", title: "Sign-off", template: include_str!("../../templates/signoff.md") },
    Section { id: "reproduction", title: "Reproduction", template: include_str!("../../templates/reproduction.md") },
    Section { id: "measures", title: "Appendix: every measure", template: include_str!("../../templates/measures.md") },
];
const SHELL: &str = include_str!("../../templates/shell.html");
const STYLE: &str = include_str!("../../templates/style.css");

/// A template could not be rendered: a fault of this version of the program, not of the record.
#[derive(Debug, thiserror::Error)]
#[error("the report cannot be rendered; please report this as a bug: {0}")]
pub struct RenderError(#[from] Error);

/// Which Markdown a report has beside its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Every section: [`markdown`].
    Full,
    /// The decision and what bears on it, for a comment: [`short_markdown`].
    Short,
}

/// Characters that the short form never reaches: what a comment on a pull request takes, with room for words around it.
pub const SHORT_LIMIT: usize = 60_000;

/// The record as Markdown (CommonMark with tables).
///
/// # Errors
/// A template does not fit the record, which is a bug.
pub fn markdown(report: &Report) -> Result<String, RenderError> {
    Ok(body(&view(report, false), false)?)
}

/// The decision, the findings, the candidates and what changed, as Markdown of fewer than [`SHORT_LIMIT`] characters; what
/// had to be left out is said.
///
/// # Errors
/// A template does not fit the record, which is a bug.
pub fn short_markdown(report: &Report) -> Result<String, RenderError> {
    let text = environment(false)?.get_template("short.md")?.render(Value::from(Serde(&view(report, false))))?;
    Ok(fit(&text))
}

/// The lines that fit, long ones cut. A line of the short form is a paragraph, an item or a row, and stands by itself.
fn fit(text: &str) -> String {
    const LINE: usize = 2_000;
    const ROOM: usize = 200;
    let lines: Vec<&str> = text.lines().collect();
    let mut fitted = String::new();
    let mut used = 0;
    for (index, line) in lines.iter().enumerate() {
        let cut = format::shorten(line, LINE);
        // What would be an escape must not reach into the next line.
        let cut = if cut.len() < line.len() { cut.trim_end_matches(['\\', '…']).to_owned() + "…" } else { cut };
        used += cut.chars().count() + 1;
        if used + ROOM > SHORT_LIMIT {
            // Writing to a String cannot fail.
            let _ = write!(
                fitted,
                "\n**Cut here:** {} more lines do not fit. The whole report is report.html.\n",
                format::integer((lines.len() - index) as u64)
            );
            break;
        }
        fitted.push_str(&cut);
        fitted.push('\n');
    }
    fitted
}

/// The record as one HTML page that needs nothing else: no script, no request, figures inline.
///
/// # Errors
/// A template does not fit the record, which is a bug.
pub fn html(report: &Report) -> Result<String, RenderError> {
    let body = dress(&to_html(&body(&view(report, true), true)?));
    let mut shell = Environment::new();
    shell.set_auto_escape_callback(|_| AutoEscape::Html);
    shell.set_undefined_behavior(UndefinedBehavior::Strict);
    let page = shell.template_from_named_str("shell.html", SHELL)?;
    let values = context! {
        title => escape::clean(&format!("{} {}", report.regime.name, report.regime.version)),
        verdict => words(report.verdict).word,
        as_of => escape::clean(&report.as_of),
        fingerprint => escape::clean(short(&report.regime.fingerprint)),
        running => Value::from_safe_string(running(report)),
        tool => escape::clean(&format!("{} {}", report.tool.name, report.tool.version)),
        style => Value::from_safe_string(STYLE.to_owned()),
        body => Value::from_safe_string(body),
    };
    Ok(page.render(values)?)
}

fn body(view: &View<'_>, html: bool) -> Result<String, Error> {
    environment(html)?.get_template("report.md")?.render(Value::from(Serde(view)))
}

/// Templates in which every value is Markdown-escaped unless a filter below made it safe.
fn environment(html: bool) -> Result<Environment<'static>, Error> {
    let mut templates = Environment::new();
    templates
        .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?);
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    // A custom kind, so that no built-in escaping is taken for enough.
    templates.set_auto_escape_callback(|_| AutoEscape::Custom("markdown".into()));
    templates.set_formatter(write_escaped);
    templates.add_filter("integer", |value: &Value| integer(value).map(safe));
    templates.add_filter("share", |value: &Value| float(value, format::share).map(safe));
    templates.add_filter("number", |value: &Value| float(value, format::number).map(safe));
    templates.add_filter("p_value", |value: &Value| float(value, format::p_value).map(safe));
    templates.add_filter("sentence", |value: &str| format::sentence(value));
    templates.add_filter("points", |value: &Value| float(value, format::points).map(safe));
    templates.add_filter("plus_minus", |value: &Value, error: &Value| plus_minus(value, error).map(safe));
    templates.add_filter("xml", |value: &str| safe(escape::xml(value)));
    templates.add_filter("figure", |figure: &str, section: usize, number: usize| {
        safe(number_figure(figure, section, number))
    });
    templates.add_filter("code", |value: &str| safe(escape::code(value)));
    templates.add_filter("code_block", |value: &str, language: &str| safe(escape::code_block(value, language)));
    templates.add_filter("cell", |value: Serde<CellKey>| format::cell(&value));
    templates.add_filter("status", move |value: Serde<Status>| safe(status(*value, html)));
    for (name, source) in TEMPLATES {
        templates.add_template(name, source)?;
    }
    for section in &SECTIONS {
        templates.add_template(section.id, section.template)?;
    }
    templates.add_function("section", |id: &str| numbered(id).map(|(number, _)| number));
    templates.add_function("heading", |id: &str| numbered(id).map(|(_, heading)| safe(format!("## {heading}"))));
    templates.add_global("sections", contents());
    templates.add_global("signature", safe(signature().to_owned()));
    Ok(templates)
}

/// What a signature means and what it does not: the words of docs/attestation.md, so that there is one source of them.
pub fn signature() -> &'static str {
    const PAGE: &str = include_str!("../../docs/attestation.md");
    const HEADING: &str = "## What a signature means, and what it does not";
    let after = PAGE.split_once(HEADING).map_or("", |(_, after)| after);
    after.split_once("\n## ").map_or("", |(section, _)| section).trim()
}

/// A section's number and its numbered title.
fn numbered(id: &str) -> Result<(usize, String), Error> {
    let found = (1_usize..).zip(&SECTIONS).find(|(_, section)| section.id == id);
    let missing = || Error::new(ErrorKind::InvalidOperation, format!("there is no section `{id}`"));
    found.map(|(number, section)| (number, format!("{number}. {}", section.title))).ok_or_else(missing)
}

/// The sections as the contents list names them.
fn contents() -> Value {
    let item = |(number, section): (usize, &Section)| {
        let title = format!("{number}. {}", section.title);
        context! { template => section.id, anchor => safe(anchor_of(&title)), title => safe(title) }
    };
    (1_usize..).zip(&SECTIONS).map(item).collect()
}

fn write_escaped(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = value.to_string();
    let written = if value.is_safe() { out.write_str(&text) } else { out.write_str(&escape::markdown(&text)) };
    written.map_err(Error::from)
}

fn safe(text: String) -> Value {
    Value::from_safe_string(text)
}

fn integer(value: &Value) -> Result<String, Error> {
    if value.is_none() {
        return Ok(format::NOT_KNOWN.to_owned());
    }
    u64::try_from(value.clone()).map(format::integer)
}

fn float(value: &Value, write: impl Fn(f64) -> String) -> Result<String, Error> {
    if value.is_none() {
        return Ok(format::NOT_KNOWN.to_owned());
    }
    f64::try_from(value.clone()).map(write)
}

fn plus_minus(value: &Value, error: &Value) -> Result<String, Error> {
    let error = if error.is_none() { None } else { Some(f64::try_from(error.clone())?) };
    float(value, |value| format::plus_minus(value, error))
}

/// A status as symbol and word, so that colour is never the only sign.
fn status(status: Status, html: bool) -> String {
    let (symbol, word, class) = match status {
        Status::Pass => ("✓", "pass", "pass"),
        Status::Waived => ("◇", "waived", "waived"),
        Status::NotApplicable => ("–", "not applicable", "na"),
        Status::Warn => ("▲", "warn", "warn"),
        Status::Fail => ("✗", "fail", "fail"),
        Status::Undetermined => ("?", "undetermined", "undetermined"),
    };
    if html { format!("<span class=\"st {class}\">{symbol} {word}</span>") } else { format!("{symbol} {word}") }
}

/// The printed page's running lines, as the contents of margin boxes: whose regime, which version, which digest.
fn running(report: &Report) -> String {
    let (regime, policy) = (&report.regime, &report.policy);
    let quoted = |text: String| format!("content: \"{}\";", escape::css(&format::shorten(&escape::clean(&text), 90)));
    format!(
        "@page {{ @top-left {{ {} }} @top-right {{ {} }} @bottom-left {{ {} }} }}",
        quoted(format!("counterweight audit: {}", words(report.verdict).word)),
        quoted(format!("{} {}, {}", regime.name, regime.version, short(&regime.fingerprint))),
        quoted(format!("policy {} {}, as of {}", policy.name, policy.version, report.as_of)),
    )
}

/// A figure's number before its title.
fn number_figure(figure: &str, section: usize, number: usize) -> String {
    let (caption, drawing) = figure.split_once("</figcaption>").unwrap_or((figure, ""));
    let caption = join_units(&join_units(caption, " %"), " pp");
    let numbered = format!("<figcaption><b>Figure {section}.{number}.</b> ");
    format!("{}</figcaption>{drawing}", caption.replacen("<figcaption>", &numbered, 1))
}

fn to_html(markdown: &str) -> String {
    let mut events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    name_sections(&mut events);
    keep_units(&mut events);
    let mut page = String::with_capacity(markdown.len() * 2);
    pulldown_cmark::html::push_html(&mut page, events.into_iter());
    page
}

/// Gives sections the anchors that the contents list names, as the usual Markdown viewers form them.
fn name_sections(events: &mut [Event<'_>]) {
    let anchors: Vec<(usize, String)> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| matches!(event, Event::Start(Tag::Heading { level: HeadingLevel::H2, .. })))
        .map(|(index, _)| (index, anchor(events.get(index + 1..).unwrap_or_default())))
        .collect();
    for (index, anchor) in anchors {
        if let Some(Event::Start(Tag::Heading { id, .. })) = events.get_mut(index) {
            *id = Some(anchor.into());
        }
    }
}

/// Keeps a number and its unit on one line. What is shown as it was written (code) stays as it is.
fn keep_units(events: &mut [Event<'_>]) {
    let mut verbatim = false;
    for event in events {
        match event {
            Event::Start(Tag::CodeBlock(_)) => verbatim = true,
            Event::End(TagEnd::CodeBlock) => verbatim = false,
            Event::Text(text) if !verbatim => {
                for unit in [" %", " pp"] {
                    let kept = join_units(text, unit);
                    *text = kept.into();
                }
            }
            _ => {}
        }
    }
}

/// Puts a no-break space before a unit that follows a digit.
fn join_units(text: &str, unit: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for (index, piece) in text.split(unit).enumerate() {
        if index > 0 {
            let is_unit = joined.ends_with(|last: char| last.is_ascii_digit())
                && !piece.starts_with(|next: char| next.is_alphanumeric());
            joined.push(if is_unit { '\u{a0}' } else { ' ' });
            joined.push_str(unit.trim_start());
        }
        joined.push_str(piece);
    }
    joined
}

fn anchor(events: &[Event<'_>]) -> String {
    let heading = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    let text: String =
        heading.filter_map(|event| if let Event::Text(text) = event { Some(&**text) } else { None }).collect();
    anchor_of(&text)
}

/// The anchor of a heading, as the usual Markdown viewers form it.
fn anchor_of(text: &str) -> String {
    let kept = text.to_lowercase().replace(' ', "-");
    kept.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-').collect()
}

/// Makes tables accessible: captions, header scope, a container of their own to scroll in that says which table it holds.
///
/// Works on text because pulldown-cmark writes tables itself; data cannot be mistaken for tags, since every `<` of it
/// is `&lt;` by now.
fn dress(html: &str) -> String {
    const CAPTION: &str = "<p><strong>Table ";
    const END: &str = "</strong></p>\n<table>";
    let mut dressed = String::with_capacity(html.len() + html.len() / 4);
    for (index, piece) in html.split(CAPTION).enumerate() {
        match piece.split_once(END).filter(|_| index > 0) {
            Some((caption, rest)) => {
                let (number, title) = caption.split_once(". ").unwrap_or(("", caption));
                // Writing to a String cannot fail.
                let _ = write!(dressed, "{}<caption><b>Table {number}.</b> {title}</caption>", open_table(number));
                dressed.push_str(&rest.replace("<table>", &open_table("")));
            }
            None => {
                if index > 0 {
                    dressed.push_str(CAPTION);
                }
                dressed.push_str(&piece.replace("<table>", &open_table("")));
            }
        }
    }
    dressed
        .replace("</table>", "</table></div>")
        .replace("<th>", "<th scope=\"col\">")
        .replace("<th style=\"text-align: right\">", "<th scope=\"col\" class=\"r\">")
        .replace("<td style=\"text-align: right\">", "<td class=\"r\">")
}

/// Where a table begins: in a group that the keyboard can scroll, named by the table's number if it has one.
fn open_table(number: &str) -> String {
    let digits: String = number.chars().filter(|character| character.is_ascii_digit() || *character == '.').collect();
    let label = if digits.is_empty() { "table".to_owned() } else { format!("Table {digits}") };
    format!("<div class=\"scroll\" role=\"group\" aria-label=\"{label}\" tabindex=\"0\"><table>")
}
