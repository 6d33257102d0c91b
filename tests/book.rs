//! The book under `docs/`: its pages are listed, its links lead somewhere, its commands print what it says, its reference says
//! what the schemas say, its numbers come out. `BOOK_UPDATE=1 cargo test book` writes outputs and reference anew; look at the
//! difference.

use crate::support::{Sandbox, command, text};
use counterweight::checks::CHECKS;
use counterweight::declare::{DocumentKind, json_schema};
use counterweight::report;
use counterweight::sensitivity::{Disagreement, SignScore};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// What stands for any number of lines in a transcript.
const ELLIPSIS: &str = "…";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Markdown files below a folder.
fn pages_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Writes a page anew where that was asked for, else compares it.
fn compare_or_update(path: &Path, wanted: &str) {
    if std::env::var_os("BOOK_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
        return;
    }
    let found = read(path);
    if found != wanted {
        let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
        panic!(
            "{} is out of date; BOOK_UPDATE=1 cargo test book writes it anew. First difference: {differs:?}",
            path.display()
        );
    }
}

// Pages and links

/// A page's text without what stands in code blocks and code spans.
fn without_code(page: &str) -> String {
    let mut fenced = false;
    let mut text = String::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let outside = line.split('`').step_by(2);
            text.push_str(&outside.collect::<Vec<_>>().join("`"));
            text.push('\n');
        }
    }
    text
}

/// The targets of `[text](target)`.
fn links(page: &str) -> Vec<String> {
    let text = without_code(page);
    let mut found = Vec::new();
    for (at, _) in text.match_indices("](") {
        let rest = &text[at + 2..];
        found.push(rest[..rest.find(')').unwrap_or(rest.len())].to_owned());
    }
    found
}

/// A heading's anchor, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    kept.replace(' ', "-")
}

fn anchors(page: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let headings = page.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        !fenced && line.starts_with('#')
    });
    headings.map(|line| anchor(line.trim_start_matches('#').trim().trim_matches('`'))).collect()
}

/// A path without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                tidy.pop();
            }
            Component::CurDir => {}
            other => tidy.push(other),
        }
    }
    tidy
}

#[test]
fn every_link_leads_somewhere() {
    let root = root();
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name)).to_vec();
    pages.extend(["docs", "examples", "templates"].iter().flat_map(|folder| pages_below(&root.join(folder))));
    let mut dead = Vec::new();
    let mut followed = 0;
    for page in &pages {
        for link in links(&read(page)) {
            // Templates make links of values; other schemes are not ours to follow.
            if link.contains("://") || link.starts_with("mailto:") || link.contains("{{") {
                continue;
            }
            followed += 1;
            let (file, place) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { tidy(&page.parent().unwrap().join(file)) };
            let there = target.starts_with(&root) && target.exists();
            let placed = place.is_empty() || there && target.is_file() && anchors(&read(&target)).contains(place);
            if !there || !placed {
                dead.push(format!("{}: {link}", page.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    assert!(followed > 100, "the test sees the links: {followed}");
}

#[test]
fn the_summary_lists_every_page_once_and_the_index_every_check() {
    let docs = root().join("docs");
    compare_or_update(&docs.join("checks.md"), &index_of_checks());
    let listed = links(&read(&docs.join("SUMMARY.md")));
    let once: BTreeSet<PathBuf> = listed.iter().map(|link| docs.join(link)).collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice");
    let there: BTreeSet<PathBuf> =
        pages_below(&docs).into_iter().filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(once, there, "docs/SUMMARY.md lists every page");
}

fn index_of_checks() -> String {
    let mut text = String::from(
        "# Checks\n\nEvery check of the checklist, in the order of the report. `counterweight explain ID` shows the same pages, and\n\
         `counterweight checks` this list. Severities are those of the shipped policy [`standard`](../policies/standard.yaml).\n\n\
         | check | question | severity |\n|---|---|---|\n",
    );
    let (_, policy) = counterweight::declare::shipped_policies()[0];
    let severity = |id: &str| {
        let entry = policy.split(&format!("\n  {id}:\n")).nth(1).unwrap();
        entry.split("severity: ").nth(1).unwrap().lines().next().unwrap().to_owned()
    };
    let (waivers, title, ..) = counterweight::verdict::WAIVERS_CHECK;
    let all = CHECKS.iter().map(|check| (check.id, check.title)).chain([(waivers, title)]);
    for (id, title) in all {
        let _ = writeln!(text, "| [{id}](checks/{id}.md) | {title} | {} |", severity(id));
    }
    text
}

// Transcripts

/// A line `$ command` of a `console` block and what it prints.
struct Step {
    command: String,
    output: Vec<String>,
}

/// A page as runs of text and of console blocks.
enum Part {
    Text(String),
    Console(Vec<Step>),
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = vec![Part::Text(String::new())];
    for line in page.lines() {
        match (parts.last_mut().unwrap(), line) {
            (Part::Text(text), "```console") => {
                text.push_str("```console\n");
                parts.push(Part::Console(Vec::new()));
            }
            (Part::Console(_), "```") => parts.push(Part::Text("```\n".to_owned())),
            (Part::Text(text), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (Part::Console(steps), line) => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step { command: command.to_owned(), output: Vec::new() }),
                // A command goes on after a backslash.
                (None, Some(step)) if step.output.is_empty() && step.command.ends_with('\\') => {
                    step.command.push('\n');
                    step.command.push_str(line);
                }
                (None, Some(step)) => step.output.push(line.to_owned()),
                (None, None) => panic!("a console block begins with `$ `, not with {line}"),
            },
        }
    }
    parts
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        // What an audit left in the working folder is in no clone.
        if path.is_dir() && name != "counterweight-report" {
            copy_folder(&path, &to.join(name));
        } else if path.is_file() {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// What a command prints, standard error among it, in a folder as a clone has it.
fn run(folder: &Path, line: &str) -> Vec<String> {
    let program = PathBuf::from(command().get_program());
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{{ {line}\n}} 2>&1")).current_dir(folder).env_remove("NO_COLOR");
    let output = shell.env("PATH", format!("{}:{path}", program.parent().unwrap().display())).output().unwrap();
    text(&output).0.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Whether lines are as written, `…` standing for any number of them.
fn matches(written: &[String], lines: &[String]) -> bool {
    match written.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == ELLIPSIS => (0..=lines.len()).any(|skip| matches(rest, &lines[skip..])),
        Some((first, rest)) => lines.split_first().is_some_and(|(line, lines)| line == first && matches(rest, lines)),
    }
}

/// Runs a page's commands, one after the other, in a clone of what they need.
fn check_transcript(page: &Path) {
    let clone = Sandbox::new();
    copy_folder(&root().join("examples"), &clone.path("examples"));
    copy_folder(&root().join("tests/presets"), &clone.path("tests/presets"));
    let update = std::env::var_os("BOOK_UPDATE").is_some();
    let mut anew = String::new();
    let mut commands = 0;
    for part in parts(&read(page)) {
        let steps = match part {
            Part::Text(text) => {
                anew.push_str(&text);
                continue;
            }
            Part::Console(steps) => steps,
        };
        for Step { command, output } in steps {
            commands += 1;
            let printed = run(&clone.path("."), &command);
            let keeps = output.iter().any(|line| line == ELLIPSIS);
            let holds = matches(&output, &printed);
            assert!(
                holds || update && !keeps,
                "{}: `{command}` prints\n{}\nand the page says\n{}",
                page.display(),
                printed.join("\n"),
                output.join("\n")
            );
            let _ = writeln!(anew, "$ {command}");
            for line in if keeps { &output } else { &printed } {
                let _ = writeln!(anew, "{line}");
            }
        }
    }
    assert!(commands > 0);
    if update {
        std::fs::write(page, anew).unwrap();
    }
}

#[test]
fn the_first_hour_prints_what_the_quick_start_says() {
    check_transcript(&root().join("docs/quick-start.md"));
}

#[test]
fn the_recipes_print_what_they_say() {
    check_transcript(&root().join("docs/recipes.md"));
}

/// What a clone is told to do before there is a command; the gate does it.
#[test]
fn the_readme_and_the_quick_start_install_alike_and_every_command_of_the_readme_exists() {
    let readme = read(&root().join("README.md"));
    let quick = read(&root().join("docs/quick-start.md"));
    for page in [&readme, &quick] {
        assert!(page.contains("cargo install --locked --path ."));
    }
    let help = text(&command().arg("--help").output().unwrap()).0;
    let mut seen = 0;
    for line in readme.lines().filter_map(|line| line.strip_prefix("counterweight ")) {
        let name = line.split_whitespace().next().unwrap();
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{name} "))), "README: {name}");
        seen += 1;
    }
    assert!(seen > 5);
}

// The documents reference

/// A schema's type in words.
fn kind(schema: &Value) -> String {
    if let Some(all) = schema["enum"].as_array() {
        let words: Vec<String> =
            all.iter().map(|word| format!("`{}`", word.as_str().map_or(word.to_string(), str::to_owned))).collect();
        return words.join(", ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{}`", value.as_str().map_or(value.to_string(), str::to_owned));
    }
    if let Some(forms) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let words: Vec<String> = forms.iter().map(kind).filter(|kind| kind != "null").collect();
        return words.join("; or ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
        _ => vec![],
    };
    match types.as_slice() {
        ["array"] => format!("list of {}", kind(&schema["items"])),
        ["object"] if schema["properties"].is_object() => {
            let keys: Vec<String> =
                schema["properties"].as_object().unwrap().keys().map(|key| format!("`{key}`")).collect();
            format!("mapping with {}", keys.join(", "))
        }
        ["object"] if schema["additionalProperties"].is_object() => {
            format!("mapping of names to {}", kind(&schema["additionalProperties"]))
        }
        ["object"] => "mapping".to_owned(),
        ["string", "number", "boolean"] | ["string"] if schema["format"] == "date" => "date, `YYYY-MM-DD`".to_owned(),
        ["string", "number", "boolean"] | ["string"] => "text".to_owned(),
        [] => "anything".to_owned(),
        several => {
            let mut text = several.join(" or ");
            for (key, sign) in
                [("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<")]
            {
                if let Some(limit) = schema[key].as_f64() {
                    let _ = write!(text, ", {sign} {limit}");
                }
            }
            text
        }
    }
}

fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// The rows of a table of keys, nested ones below their parent.
fn rows(schema: &Value, prefix: &str, table: &mut String) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, property) in properties {
        let needed = if required.contains(&key.as_str()) { "yes" } else { "" };
        let description = property["description"].as_str().unwrap_or("");
        let _ = writeln!(table, "| `{prefix}{key}` | {needed} | {} | {} |", cell(&kind(property)), cell(description));
        for (inner, mark) in nested(property) {
            rows(inner, &format!("{prefix}{key}{mark}."), table);
        }
    }
}

/// The mappings within a property, and what marks them in a path.
fn nested(property: &Value) -> Vec<(&Value, &'static str)> {
    if property["properties"].is_object() {
        return vec![(property, "")];
    }
    if property["items"]["properties"].is_object() {
        return vec![(&property["items"], "[]")];
    }
    let forms = property["anyOf"].as_array().into_iter().flatten();
    forms.flat_map(nested).collect()
}

const TABLE: &str = "| key | must be given | what | meaning |\n|---|---|---|---|\n";

fn reference(title: &str, command: &str, lead: &str, schema: &Value) -> String {
    let mut page = format!(
        "# {title}\n\n{lead}\n\nMade of the schema, `counterweight schema {command}`. `a.b` is the key `b` under `a`, `a[].b` the key `b` of each \
         item of `a`.\nA key that is not here is an error.\n\n"
    );
    if command == "policy" {
        // One row a check: what its limits mean is on its page.
        let mut schema = schema.clone();
        let checks = schema["properties"]["checks"]["properties"].take();
        schema["properties"]["checks"].as_object_mut().unwrap().remove("properties");
        page.push_str(TABLE);
        rows(&schema, "", &mut page);
        page.push_str("\n## checks\n\n| key | limits |\n|---|---|\n");
        for (id, check) in checks.as_object().unwrap() {
            let limits: Vec<String> =
                check["properties"].as_object().unwrap().keys().map(|key| format!("`{key}`")).collect();
            let _ = writeln!(page, "| [`checks.{id}`](../checks/{id}.md) | {} |", limits.join(", "));
        }
        return page;
    }
    page.push_str(TABLE);
    rows(schema, "", &mut page);
    page
}

#[test]
fn the_documents_reference_says_what_the_schemas_say() {
    let folder = root().join("docs/documents");
    let document = |kind: DocumentKind, title: &str, lead: &str| {
        let page = reference(title, kind.name(), lead, &json_schema(kind));
        compare_or_update(&folder.join(format!("{}.md", kind.name())), &page);
    };
    document(
        DocumentKind::Regime,
        "The regime document",
        "The population that the organisation declares: who counts how much. [A commented example](../../examples/telemetry/regime.yaml).",
    );
    document(
        DocumentKind::Policy,
        "The policy document",
        "What blocks. `standard` and `strict` are built in: [standard](../../policies/standard.yaml), [strict](../../policies/strict.yaml). A policy \
         of one's own says `extends: standard` and what is different.",
    );
    document(
        DocumentKind::Audit,
        "The audit document",
        "One audit: which declaration, which logs, which candidates. [A commented example](../../examples/telemetry/audit.yaml).",
    );
    document(
        DocumentKind::World,
        "The world document",
        "A simulated platform whose truth is known, for `counterweight simulate`. [A commented example](../../examples/telemetry/world.yaml).",
    );
}

// The worked example

/// The log of `docs/concepts.md`: 900 thorough and 100 concise users; the candidate always prefers a.
fn worked_log() -> String {
    let mut log = String::from(
        "event_id,prompt_id,response_a,response_b,label,user_type,propensity,target_propensity,likelier,plain\n",
    );
    for row in 0..1_000 {
        let (user, wins) = if row < 900 { ("thorough", row < 540) } else { ("concise", row < 930) };
        let label = if wins { "a" } else { "b" };
        let _ = writeln!(log, "e{row},p{row},x,y,{label},{user},0.25,0.25,-1,-2");
    }
    log
}

#[test]
fn the_worked_example_of_the_concepts_comes_out() {
    let page = read(&root().join("docs/concepts.md"));
    let yaml: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", yaml[0]);
    sandbox.write("audit.yaml", yaml[1]);
    sandbox.write("log.csv", worked_log());
    let record = sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    let json: Value = serde_json::from_str(&report::to_json(&record)).unwrap();
    let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"));
    let says = |what: &str| assert!(page.contains(what), "docs/concepts.md does not say {what}");
    let near =
        |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{found} {wanted}");

    // 0.9 x 0.6 + 0.1 x 0.3, and 0.5 x 0.6 + 0.5 x 0.3.
    near(number("/candidates/0/observed/preference_accuracy/estimate"), 0.57);
    near(number("/candidates/0/target/preference_accuracy/estimate"), 0.45);
    ["57 %", "45 %"].iter().for_each(|what| says(what));
    // 0.5 / 0.9 and 0.5 / 0.1; n_eff is 1000^2 / (900 x (5/9)^2 + 100 x 5^2).
    let cells: BTreeMap<String, f64> = json["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| (cell["cell"]["user_type"].as_str().unwrap().to_owned(), cell["ratio"].as_f64().unwrap()))
        .collect();
    near(cells["thorough"], 5.0 / 9.0);
    near(cells["concise"], 5.0);
    ["0.556", "5.0"].iter().for_each(|what| says(what));
    near(number("/weights/n_eff"), 360.0);
    says("n_eff = 360");
    // The pair: 4 responses make 12 ordered pairs; shown with probability 1/3 where the target shows 1/12.
    near((1.0 / 12.0) / (1.0 / 3.0), 0.25);
    says("0.25");
    // Rosenbaum's sign-score bound, 110 of 122 disagreements: the tests of `sensitivity` hold it against other software.
    let rows: Vec<Disagreement> =
        (0..122).map(|row| Disagreement { score: 1.0, won: row < 110, cluster: row }).collect();
    let score = SignScore::new(&rows).unwrap();
    for (gamma, p) in [(4.0, "0.0020"), (5.0, "0.023"), (6.0, "0.097")] {
        let bound = score.at(gamma).p_value.p_value;
        let digits = p.len() - 2;
        assert_eq!(format!("{bound:.digits$}"), p, "Gamma {gamma}");
        says(p);
    }
    let tipping = score.tipping(0.05).unwrap();
    assert_eq!(format!("{tipping:.2}"), "5.47");
    says("5.47");
}
