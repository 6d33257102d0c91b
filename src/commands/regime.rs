//! `counterweight regime`: lint, show, fingerprint, freeze.

use super::sign::signer;
use super::{Failure, Format, print};
use chrono::{NaiveDate, Utc};
use counterweight::attest;
use counterweight::declare::{self, FailOn, Observed, Pairs, Problem, Regime, Step, Target};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Where what a heading says begins.
const INDENT: usize = 14;
/// Widest of a covariate's column in a table, and narrowest of one that has to give way.
const LEVEL: usize = 30;
const NARROWEST: usize = 8;

/// What `regime lint` is told.
#[derive(Debug)]
pub(crate) struct LintOptions {
    /// The regime document.
    pub(crate) regime: PathBuf,
    /// The date that ages refer to; today in UTC when absent.
    pub(crate) as_of: Option<NaiveDate>,
    /// From what on the exit code is 1.
    pub(crate) fail_on: FailOn,
    /// How to print it.
    pub(crate) format: Format,
}

/// What `regime freeze` is told.
#[derive(Debug)]
pub(crate) struct FreezeOptions {
    /// The regime document.
    pub(crate) regime: PathBuf,
    /// The policy: a file, or a shipped name.
    pub(crate) policy: PathBuf,
    /// The audit document.
    pub(crate) audit: PathBuf,
    /// The signer's key.
    pub(crate) sign: PathBuf,
    /// The command that signs; `sign` is its public key then.
    pub(crate) signer_cmd: Option<String>,
    /// The file to write; `protocol.dsse.json` beside the audit document when absent.
    pub(crate) out: Option<PathBuf>,
}

/// Every problem and warning of a regime document. 2: it is invalid; 1: every audit against it fails (or, with
/// `--fail-on diagnostic`, warns); 0: neither.
pub(crate) fn lint(options: &LintOptions) -> Result<u8, Failure> {
    let name = options.regime.display().to_string();
    let as_of = options.as_of.unwrap_or_else(|| Utc::now().date_naive());
    let others = declare::regimes_beside(&options.regime);
    let lint = declare::lint_regime(&name, &super::verify::read(&options.regime)?, as_of, &others);
    let code = if !lint.problems.is_empty() || lint.regime.is_none() {
        2
    } else if !lint.failures.is_empty() || (options.fail_on == FailOn::Diagnostic && !lint.warnings.is_empty()) {
        1
    } else {
        0
    };
    let groups = [("invalid", &lint.problems), ("fails", &lint.failures), ("warns", &lint.warnings)];
    match options.format {
        Format::Json => {
            let found: Vec<Value> = groups
                .iter()
                .flat_map(|(level, problems)| problems.iter().map(|problem| problem_json(level, problem)))
                .collect();
            print(&format!("{:#}\n", json!({"file": name, "exit_code": code, "found": found})))?;
        }
        Format::Text => {
            let mut text = String::new();
            for problem in lint.problems.iter().chain(&lint.failures) {
                let _ = write!(text, "{problem}\n\n");
            }
            for problem in &lint.warnings {
                let _ = write!(text, "{}\n\n", problem.as_warning());
            }
            let counts = groups.iter().filter(|(_, problems)| !problems.is_empty());
            let counts: Vec<String> = counts.map(|(level, problems)| format!("{} {level}", problems.len())).collect();
            let counts = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
            let what = lint.regime.as_ref().map_or_else(|| name.escape_debug().to_string(), title);
            let _ = writeln!(text, "{what}: {counts}.");
            print(&text)?;
        }
    }
    Ok(code)
}

fn problem_json(level: &str, problem: &Problem) -> Value {
    json!({
        "level": level,
        "line": problem.position.map(|(line, _)| line),
        "column": problem.position.map(|(_, column)| column),
        "message": problem.message,
        "help": problem.help,
    })
}

/// The declaration's fingerprint: of its content, in canonical form.
pub(crate) fn fingerprint(path: &Path) -> Result<u8, Failure> {
    let regime = read(path)?;
    print(&format!("{}  {}\n", regime.fingerprint, path.display().to_string().escape_debug()))?;
    Ok(0)
}

/// The declared target as a table, and the declarations that it supersedes.
pub(crate) fn show(path: &Path, format: Format) -> Result<u8, Failure> {
    let regime = read(path)?;
    let others = declare::regimes_beside(path);
    match format {
        Format::Json => print(&format!("{:#}\n", as_json(&regime, &others)))?,
        Format::Text => print(&as_text(&regime, &others))?,
    }
    Ok(0)
}

/// Signs the declaration and the evaluation protocol, before labels are seen.
pub(crate) fn freeze(options: &FreezeOptions) -> Result<u8, Failure> {
    let signer = signer(&options.sign, options.signer_cmd.as_deref())?;
    let declaration = declare::load(&options.audit, &[])?;
    let regime = read(&options.regime)?;
    let policy = super::verify::policy(&options.policy)?;
    let other = |what: &str, given: &Path, named: &str| {
        Failure(format!(
            "error: {} is another {what} than the one that {} names ({named})\n  = help: freeze what will be audited",
            given.display(),
            options.audit.display()
        ))
    };
    if regime.fingerprint != declaration.regime.fingerprint {
        return Err(other("regime", &options.regime, &declaration.audit.regime));
    }
    if policy.fingerprint != declaration.policy.fingerprint {
        return Err(other("policy", &options.policy, &declaration.audit.policy));
    }
    let file = attest::freeze(&declaration, &signer, Utc::now()).map_err(|error| Failure(format!("error: {error}")))?;
    let beside = options.audit.parent().unwrap_or(Path::new("")).join(&file.name);
    let out = options.out.clone().unwrap_or(beside);
    if out.symlink_metadata().is_ok() {
        return Err(Failure(format!(
            "error: {}: is there already, and a protocol is never written over\n  = help: name another file with --out",
            out.display()
        )));
    }
    let failed = |error: std::io::Error| Failure(format!("error: {}: {error}", out.display()));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&out)
        .and_then(|mut made| std::io::Write::write_all(&mut made, &file.bytes))
        .map_err(failed)?;
    print(&format!(
        "Frozen: {}\n{}, policy {} {}, and how {} evaluates\nby the key SHA256 {}\n",
        out.display(),
        title(&regime),
        policy.name.escape_debug(),
        policy.version,
        options.audit.display(),
        signer.verifying_key().fingerprint()
    ))?;
    Ok(0)
}

fn read(path: &Path) -> Result<Regime, Failure> {
    let name = path.display().to_string();
    Ok(declare::parse_regime(&name, &super::verify::read(path)?)?)
}

fn title(regime: &Regime) -> String {
    format!("{} {}", regime.name.escape_debug(), regime.version)
}

// ---- Text ----

fn as_text(regime: &Regime, others: &[Regime]) -> String {
    let mut text = format!("{}\n\n", title(regime));
    let mut line = |heading: &str, said: &str| text.push_str(&hanging(heading, said));
    line("effective", &regime.effective.to_string());
    line("owner", &regime.owner);
    line("motivation", &regime.motivation);
    line("target", &form(regime));
    line("pairs", &pairs(regime));
    line(
        "observed",
        match regime.observed {
            Observed::Empirical => "p_O counted from the audited rows",
            Observed::Table(_) => "p_O declared cell by cell",
        },
    );
    if regime.mechanisms.is_empty() {
        line("mechanisms", "none declared");
    }
    for mechanism in &regime.mechanisms {
        let mut said = format!("{}: {}", mechanism.id, mechanism.description.trim_end().trim_end_matches('.'));
        let ratio = mechanism.max_pair_ratio.map(|ratio| format!("g_T/g_O at most {}", number(ratio)));
        let generators = mechanism.generators.as_ref().map(|names| format!("generators {}", names.join(", ")));
        let symmetric = mechanism.symmetric.then(|| "symmetric".to_owned());
        let adaptive = mechanism.adaptive.then(|| "adaptive".to_owned());
        for more in [symmetric, adaptive, ratio, generators].into_iter().flatten() {
            let _ = write!(said, "; {more}");
        }
        line("mechanism", &said);
    }
    for slice in &regime.critical {
        line("critical", &slice_text(slice));
    }
    if regime.draft {
        line("draft", "yes: nobody has taken this declaration over yet");
    }
    line("fingerprint", &regime.fingerprint);
    line("SHA256", &regime.source.sha256);
    text.push('\n');
    text.push_str(&target(regime));
    for (covariate, levels) in ordered_shares(regime) {
        let said: Vec<String> = levels.iter().map(|(level, share)| format!("{level} {}", number(*share))).collect();
        text.push_str(&hanging(covariate, &said.join(", ")));
    }
    text.push_str("\nHistory\n");
    for step in regime.history(others) {
        match step {
            Step::Found(found) => {
                let file = file_name(&found.source.name);
                let digest: String = found.fingerprint.chars().take(12).collect();
                let said = format!("from {}, {digest}, {file}", found.effective);
                text.push_str(&hanging(&format!("  {}", found.version), &said));
            }
            Step::Missing(version) => {
                let heading = format!("  {version}");
                text.push_str(&hanging(&heading, "superseded; not declared in this folder"));
            }
        }
    }
    if regime.supersedes.is_none() {
        text.push_str("  It supersedes nothing.\n");
    }
    text
}

fn form(regime: &Regime) -> String {
    let cells = match &regime.target {
        Target::Masses(masses) => format!("{} cells with mass", masses.values().filter(|mass| **mass > 0.0).count()),
        Target::Multipliers(factors) => format!("{} factors on what is logged", factors.len()),
    };
    format!("{} over {}: {cells}", regime.target_form(), regime.cells.join(", "))
}

fn pairs(regime: &Regime) -> String {
    match &regime.pairs {
        Pairs::Logged => "as logged: g_T = g_O".to_owned(),
        Pairs::Column(column) => format!("g_T is read from {column}"),
        Pairs::UniformResponses => "g_T is uniform over the ordered pairs of the prompt's responses".to_owned(),
    }
}

/// The masses as a table; the factors where these depend on a log.
fn target(regime: &Regime) -> String {
    let covariates: Vec<String> = regime.cells.iter().map(|name| name.escape_debug().to_string()).collect();
    match &regime.target {
        Target::Masses(masses) => {
            let rows = masses.iter().map(|(levels, mass)| {
                let levels = levels.iter().map(|level| level.escape_debug().to_string());
                levels.chain([number(*mass)]).collect()
            });
            table(covariates.into_iter().chain(["p_T".to_owned()]).collect(), rows.collect())
        }
        Target::Multipliers(factors) => {
            let rows = factors.iter().map(|(slice, times)| vec![slice_text(slice), number(*times)]);
            table(vec!["slice".to_owned(), "times".to_owned()], rows.collect())
        }
    }
}

/// Columns of text and a last one of numbers, on as many columns as a terminal has.
fn table(header: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let count = header.len();
    let all: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let widest = |at: usize| all.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let mut widths: Vec<usize> = (0..count).map(|at| widest(at).unwrap_or(0).min(LEVEL)).collect();
    while widths.iter().sum::<usize>() + 2 * (count - 1) > WIDTH {
        let Some(longest) = widths[..count - 1].iter_mut().max().filter(|width| **width > NARROWEST) else { break };
        *longest -= 1;
    }
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
            let cell = cut(cell, *width);
            if at + 1 == count { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  "));
    }
    text.push('\n');
    text
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// In the order of the covariates, and of the levels' names.
fn ordered_shares(regime: &Regime) -> Vec<(&str, Vec<(&str, f64)>)> {
    let shares = regime.shares();
    let of = |covariate: &'_ String| {
        shares.get(covariate.as_str()).map(|levels| levels.iter().map(|(l, s)| (*l, *s)).collect())
    };
    regime.cells.iter().filter_map(|covariate| Some((covariate.as_str(), of(covariate)?))).collect()
}

fn slice_text(slice: &declare::Slice) -> String {
    let parts: Vec<String> = slice.iter().map(|(covariate, level)| format!("{covariate} = {level}")).collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ").escape_debug().to_string() }
}

/// A heading and what it says, under it and beside it.
fn hanging(heading: &str, said: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let heading: String = heading.chars().map(shown).collect();
    let mut text = format!("{heading:<INDENT$}");
    let mut column = text.chars().count();
    if column > INDENT {
        text = format!("{heading}\n{:INDENT$}", "");
        column = INDENT;
    }
    let mut first = true;
    for word in said.split_whitespace() {
        let word: String = word.chars().map(shown).collect();
        let width = word.chars().count();
        if !first && column + 1 + width > WIDTH {
            let _ = write!(text, "\n{:INDENT$}", "");
            column = INDENT;
        } else if !first {
            text.push(' ');
            column += 1;
        }
        text.push_str(&word);
        column += width;
        first = false;
    }
    text.trim_end().to_owned() + "\n"
}

/// Six significant digits, without those that are 0.
fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    rounded.to_string()
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

// ---- JSON ----

fn as_json(regime: &Regime, others: &[Regime]) -> Value {
    let history: Vec<Value> = regime
        .history(others)
        .into_iter()
        .map(|step| match step {
            Step::Found(found) => json!({
                "version": found.version.to_string(),
                "effective": found.effective.to_string(),
                "fingerprint": found.fingerprint,
                "sha256": found.source.sha256,
                "file": file_name(&found.source.name),
                "motivation": found.motivation,
            }),
            Step::Missing(version) => json!({"version": version.to_string(), "file": null}),
        })
        .collect();
    json!({
        "fingerprint": regime.fingerprint,
        "sha256": regime.source.sha256,
        "form": regime.target_form(),
        "declared": regime.declared,
        "history": history,
    })
}
