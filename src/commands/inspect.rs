//! `counterweight inspect` and `counterweight init`.

use super::progress::Terminal;
use super::statistics::relative_to;
use super::{Failure, print};
use chrono::Utc;
use counterweight::audit::draft::{self, Draft};
use counterweight::declare::{self, DocumentKind, Preset};
use counterweight::logs::{self, Inspection, LabelTally, Progress};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What `inspect` and `init` are told.
#[derive(Debug)]
pub(crate) struct InspectOptions {
    /// A file, a glob or a folder.
    pub(crate) logs: String,
    /// The preset, where it is not to be told by the columns.
    pub(crate) preset: Option<Preset>,
    /// Whether to say nothing of progress.
    pub(crate) quiet: bool,
}

/// Widest of a column's name, and of what it was taken for.
const NAME: usize = 26;

/// Shows what the columns of a log were taken for, and its first rows.
pub(crate) fn inspect(options: &InspectOptions) -> Result<u8, Failure> {
    let seen = look(options)?;
    let width = width();
    let mut text = header(&seen);
    text.push_str(&columns(&seen, width));
    text.push_str(&labels(&seen.labels));
    text.push_str(&gaps(&seen, width));
    text.push_str(&first_rows(&seen, width));
    match seen.preset {
        Some(_) => {
            let _ = write!(text, "\nNext: counterweight init {}{}\n", quoted(&options.logs), preset_option(options));
        }
        None => text.push_str(&format!("\n{}", wrapped("Next: ", &what_fits(), width))),
    }
    print(&text)?;
    Ok(0)
}

/// Drafts the three documents into a folder, and overwrites nothing.
pub(crate) fn init(options: &InspectOptions, out: &Path) -> Result<u8, Failure> {
    let seen = look(options)?;
    if seen.preset.is_none() {
        return Err(unknown(&seen));
    }
    make_folder(out)?;
    let logs = relative_to(out, Path::new(&options.logs));
    let draft = draft::draft(&seen, &logs, Utc::now().date_naive());
    write_all(out, &draft)?;
    let mut text = header(&seen);
    let _ = write!(
        text,
        "\nDrafted, with the cells [{}]:\n  {}   the population that you declare: a draft, replace its target\n  \
         {}   what blocks: `standard`, to be changed\n  {}    which log, and what its columns are\n",
        draft.cells.join(", "),
        out.join("regime.yaml").display(),
        out.join("policy.yaml").display(),
        out.join("audit.yaml").display(),
    );
    text.push_str(&gaps(&seen, width()));
    let _ = write!(text, "\nNext: counterweight audit {}\n", quoted(&out.join("audit.yaml").display().to_string()));
    print(&text)?;
    Ok(0)
}

/// Makes the folder of the drafts, if it is not there.
fn make_folder(out: &Path) -> Result<(), Failure> {
    fs::create_dir_all(out).map_err(|error| {
        let why = match (out.is_dir(), out.is_symlink(), out.exists()) {
            (false, true, false) => "is a symbolic link that leads to nothing".to_owned(),
            (false, _, true) => "is a file, not a folder".to_owned(),
            _ => format!("cannot be made: {error}"),
        };
        Failure(format!("error: {} {why}\n  = help: name another folder with --out", out.display()))
    })
}

fn look(options: &InspectOptions) -> Result<Inspection, Failure> {
    let progress: &dyn Progress = if options.quiet { &() } else { &Terminal::default() };
    Ok(logs::inspect(Path::new("."), &options.logs, options.preset, progress)?)
}

/// The preset, where the user named it, as an option for the next command.
fn preset_option(options: &InspectOptions) -> String {
    options.preset.map_or(String::new(), |preset| format!(" --preset {}", preset.name()))
}

/// No preset fits: what to do.
fn what_fits() -> String {
    let presets = Preset::ALL.map(Preset::name).join(", ");
    format!(
        "if this is a log of comparisons under names of its own, draft with `--preset canonical` and name its columns in \
         audit.yaml; else pass the preset that it is: {presets}"
    )
}

/// No preset fits: what was found, and what to do.
fn unknown(seen: &Inspection) -> Failure {
    let columns: Vec<String> = seen.columns.iter().map(|column| visible(&column.name)).take(40).collect();
    let list = wrapped("  = help: ", &format!("the columns are: {}", columns.join(", ")), 80);
    let next = wrapped("  = help: ", &what_fits(), 80);
    Failure(format!("error: no preset fits the columns of {}\n{list}{next}", visible(&seen.path)))
}

/// Nothing is written if anything is already there.
fn write_all(out: &Path, draft: &Draft) -> Result<(), Failure> {
    let schema = |kind: DocumentKind| {
        (
            PathBuf::from("schemas").join(format!("{}.schema.json", kind.name())),
            format!("{:#}\n", declare::json_schema(kind)),
        )
    };
    let documents = [("regime.yaml", &draft.regime), ("policy.yaml", &draft.policy), ("audit.yaml", &draft.audit)];
    let present: Vec<String> = documents
        .iter()
        .map(|(name, _)| out.join(name))
        .filter(|path| path.exists() || path.is_symlink())
        .map(|path| path.display().to_string())
        .collect();
    if !present.is_empty() {
        return Err(Failure(format!(
            "error: {} already there: nothing is overwritten\n  = help: name another folder with --out, or move {} away",
            match present.as_slice() {
                [one] => format!("{one} is"),
                several => format!("{} are", several.join(", ")),
            },
            if present.len() == 1 { "it" } else { "them" }
        )));
    }
    let failed =
        |path: &Path, error: &std::io::Error| Failure(format!("error: cannot write {}: {error}", path.display()));
    let folder = out.join("schemas");
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    for (name, text) in [DocumentKind::Regime, DocumentKind::Policy, DocumentKind::Audit].map(schema) {
        // The schemas belong to the program: the same text for everyone who runs this version.
        let path = out.join(name);
        if !path.exists() {
            fs::write(&path, text).map_err(|error| failed(&path, &error))?;
        }
    }
    for (name, text) in documents {
        let path = out.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

fn header(seen: &Inspection) -> String {
    let preset = match seen.preset {
        Some(preset) => format!("reads like the preset {}", preset.name()),
        None => "fits no preset".to_owned(),
    };
    let rows = if seen.more { format!("first {} rows looked at", seen.rows) } else { format!("{} rows", seen.rows) };
    let files = match seen.files.as_slice() {
        [one] => one.name.clone(),
        several => format!("{} ({} files)", seen.path, several.len()),
    };
    format!("{}: {rows}, {} columns, {preset}\n", visible(&files), seen.columns.len())
}

fn columns(seen: &Inspection, width: usize) -> String {
    let name_width = seen.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(6).clamp(6, NAME);
    let mut text =
        format!("\n{:name_width$}  {:<14}  {:>8}  {:>6}  taken for\n", "column", "type", "missing", "values");
    for column in &seen.columns {
        let values = column.levels.as_ref().map_or_else(|| "many".to_owned(), |levels| levels.len().to_string());
        let start = format!(
            "{:name_width$}  {:<14}  {:>8}  {values:>6}  ",
            cut(&column.name, name_width),
            cut(&column.kind, 14),
            column.missing,
        );
        let lines = wrapped(&start, &column.taken_for.join(", "), width);
        lines.lines().for_each(|line| text.extend([line.trim_end(), "\n"]));
    }
    text
}

fn labels(labels: &LabelTally) -> String {
    let counts = [
        ("a", labels.a),
        ("b", labels.b),
        ("tie", labels.tie),
        ("abstain", labels.abstain),
        ("probability", labels.soft),
    ];
    let rest = [("missing", labels.missing), ("unknown", labels.unknown)];
    let shown = counts.iter().filter(|(_, n)| *n > 0).chain(rest.iter().filter(|(_, n)| *n > 0));
    let shown: Vec<String> = shown.map(|(name, n)| format!("{name} {n}")).collect();
    let mut text = format!("\nLabels: {}\n", if shown.is_empty() { "none".to_owned() } else { shown.join(", ") });
    if !labels.unknown_words.is_empty() {
        let words: Vec<String> = labels.unknown_words.iter().map(|word| format!("`{}`", visible(word))).collect();
        let _ = writeln!(text, "Not in the alphabet: {}; declare them under logs.labels", words.join(", "));
    }
    text
}

fn gaps(seen: &Inspection, width: usize) -> String {
    let gaps = draft::gaps(seen);
    if gaps.is_empty() {
        return "\nEverything that the standard checks ask for is mapped.\n".to_owned();
    }
    let mut text = String::from("\nWhat this log does not say, and what to log next\n");
    for gap in gaps {
        text.push_str(&wrapped("  - ", &gap.missing, width));
        text.push_str(&wrapped("    next: ", &gap.remedy, width));
    }
    text
}

fn first_rows(seen: &Inspection, width: usize) -> String {
    let rows = seen.columns.iter().map(|column| column.first.len()).max().unwrap_or(0);
    let name_width = seen.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(6).clamp(6, NAME);
    let mut text = String::new();
    for row in 0..rows {
        let _ = writeln!(text, "\nRow {}", row + 1);
        for column in &seen.columns {
            let value = column.first.get(row).cloned().flatten();
            let value = value.map_or_else(|| "(missing)".to_owned(), |value| visible(&value));
            let line = format!("  {:name_width$}  {value}", cut(&column.name, name_width));
            let _ = writeln!(text, "{}", cut(&line, width));
        }
    }
    text
}

/// A text after a prefix, wrapped, continuation lines indented by the prefix's width.
fn wrapped(prefix: &str, text: &str, width: usize) -> String {
    let indent = prefix.chars().count();
    let mut out = prefix.to_owned();
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
    out
}

/// At most that many characters.
fn cut(text: &str, width: usize) -> String {
    let text = visible(text);
    if text.chars().count() <= width {
        return text;
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}

/// Line breaks as signs, other control characters replaced: a log does not command the terminal.
fn visible(text: &str) -> String {
    let sign = |c: char| match c {
        '\n' | '\r' => '⏎',
        c if c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
        {
            '\u{fffd}'
        }
        c => c,
    };
    text.chars().take(4096).map(sign).collect()
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | '+');
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// The terminal's width; 80 where there is none.
fn width() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)).clamp(60, 200)
}
