//! `counterweight verify`.

use super::{Failure, Format, print};
use chrono::Utc;
use counterweight::attest::verify::{Line, Request, State, Verification};
use counterweight::attest::{VerifyingKey, verify};
use counterweight::declare::{self, Policy, Regime};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Where a line's details begin.
const INDENT: usize = 6;

/// How the bytes begin that are signed.
const PAE: [u8; 7] = *b"DSSEv1 ";

/// What `verify` is told.
#[derive(Debug)]
pub(crate) struct VerifyOptions {
    /// The report folder, or one attestation.
    pub(crate) target: PathBuf,
    /// The trusted public keys.
    pub(crate) keys: Vec<PathBuf>,
    /// The regime it is to be about.
    pub(crate) regime: Option<PathBuf>,
    /// The policy it is to have been judged by.
    pub(crate) policy: Option<PathBuf>,
    /// Where the logs are.
    pub(crate) inputs: Option<PathBuf>,
    /// Whether to audit again.
    pub(crate) recompute: bool,
    /// `pass`, `inputs`, `protocol`, `role=NAME`.
    pub(crate) require: Vec<Requirement>,
    /// In days.
    pub(crate) max_age: Option<u64>,
    /// Where the signed bytes go.
    pub(crate) emit_pae: Option<PathBuf>,
    /// What goes to standard output.
    pub(crate) format: Format,
}

/// Something without which nothing holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// The verdict is pass.
    Pass,
    /// Every input was found.
    Inputs,
    /// It was held against a protocol that a given key signed, and followed it.
    Protocol,
    /// Somebody else endorsed it in this role.
    Role(String),
}

/// Verifies, says what holds and what does not; 1 if anything does not.
pub(crate) fn verify(options: &VerifyOptions) -> Result<u8, Failure> {
    let failed = |error| Failure(format!("error: {error}"));
    let keys: Vec<VerifyingKey> =
        options.keys.iter().map(|path| VerifyingKey::read(path)).collect::<Result<_, _>>().map_err(failed)?;
    let regime = options.regime.as_deref().map(regime).transpose()?;
    let policy = options.policy.as_deref().map(policy).transpose()?;
    if !options.target.exists() {
        return Err(Failure(format!("error: {}: there is no such folder or file", options.target.display())));
    }
    if let Some(folder) = options.inputs.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(Failure(format!("error: {}: there is no such folder", folder.display())));
    }
    let roles: Vec<String> = options
        .require
        .iter()
        .filter_map(|wanted| if let Requirement::Role(role) = wanted { Some(role.clone()) } else { None })
        .collect();
    let found = verify::verify(&Request {
        target: &options.target,
        keys: &keys,
        regime: regime.as_ref(),
        policy: policy.as_ref(),
        inputs: options.inputs.as_deref(),
        recompute: options.recompute,
        require_pass: options.require.contains(&Requirement::Pass),
        require_inputs: options.require.contains(&Requirement::Inputs),
        require_protocol: options.require.contains(&Requirement::Protocol),
        require_roles: &roles,
        max_age: options.max_age,
        now: Utc::now(),
    });
    emit(options, &found)?;
    match options.format {
        Format::Text => {
            let all = keys.iter().zip(&options.keys).map(|(key, path)| given(key, path)).collect::<String>();
            print(&format!("{all}{}", text(&found, "This does not hold")))?;
        }
        Format::Json => print(&format!("{:#}\n", json(&found)))?,
    }
    Ok(u8::from(!found.holds()))
}

fn given(key: &VerifyingKey, path: &Path) -> String {
    let what = format!("key {} ({})", path.display().to_string().escape_debug(), key.algorithm().name());
    lines(&what, &format!("SHA256 {}", key.fingerprint()))
}

/// Writes what was signed, so that other tools can settle whether it was.
fn emit(options: &VerifyOptions, found: &Verification) -> Result<(), Failure> {
    let (Some(path), Some(pae)) = (&options.emit_pae, &found.pae) else { return Ok(()) };
    if path.is_file() && !is_emitted(path) {
        return Err(Failure(format!(
            "error: {}: something other than signed bytes is already there\n  = help: name another file with --emit-pae",
            path.display()
        )));
    }
    std::fs::write(path, pae).map_err(|error| Failure(format!("error: {}: {error}", path.display())))
}

/// Whether a file is what an earlier verification wrote.
fn is_emitted(path: &Path) -> bool {
    let mut bytes = [0; PAE.len()];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).is_ok() && bytes == PAE
}

fn regime(path: &Path) -> Result<Regime, Failure> {
    let name = path.display().to_string();
    Ok(declare::parse_regime(&name, &read(path)?)?)
}

/// A policy file, or a shipped policy by its name.
pub(super) fn policy(path: &Path) -> Result<Policy, Failure> {
    let name = path.display().to_string();
    // As in an audit document: the name is the shipped one's, whatever lies in the folder.
    let shipped = declare::shipped_policies().into_iter().find(|(shipped, _)| *shipped == name);
    if let Some((shipped, text)) = shipped {
        return Ok(declare::parse_policy(shipped, text, Path::new("."))?);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(declare::parse_policy(&name, &read(path)?, folder)?)
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure(format!("error: cannot read {}: {error}", path.display())))
}

/// Everything that was looked at, and the answer.
pub(super) fn text(found: &Verification, otherwise: &str) -> String {
    let mut text: String = found.lines.iter().map(line).collect();
    if let Some(audit) = &found.audit {
        let verdict = format!("{:?}", audit.verdict).to_lowercase();
        let (regime, policy) = (&audit.regime, &audit.policy);
        let said = format!(
            "verdict {verdict}, exit code {}; regime {} {}; policy {} {}",
            audit.exit_code, regime.name, regime.version, policy.name, policy.version
        );
        text.push_str(&lines("the report says", &said.escape_debug().to_string()));
    }
    let failed = found.lines.iter().filter(|line| line.state == State::Fails).count();
    let unchecked = found.lines.iter().filter(|line| line.state == State::Unchecked).count();
    let answer = if found.holds() {
        format!("Everything that was checked holds; {unchecked} not checked.")
    } else {
        format!("{otherwise}: {failed} failed, {unchecked} not checked.")
    };
    format!("{text}\n{answer}\n")
}

fn line(line: &Line) -> String {
    let mark = match line.state {
        State::Holds => "✓ holds ",
        State::Fails => "✗ FAILS ",
        State::Unchecked => "? open  ",
    };
    lines(&format!("{mark} {}", line.what), &line.detail)
}

/// A heading and its details, on one line or under it.
fn lines(heading: &str, detail: &str) -> String {
    if heading.chars().count() + 2 + detail.chars().count() <= WIDTH {
        return format!("{heading}: {detail}\n");
    }
    let mut text = format!("{heading}:\n");
    let mut column = 0;
    for word in detail.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            text.push('\n');
            column = 0;
        }
        if column == 0 {
            text.push_str(&" ".repeat(INDENT));
            column = INDENT;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text + "\n"
}

fn json(found: &Verification) -> serde_json::Value {
    serde_json::json!({
        "holds": found.holds(),
        "exit_code": u8::from(!found.holds()),
        "key": found.key.as_ref().map(VerifyingKey::fingerprint),
        "signed": found.audit,
        "lines": found.lines,
    })
}
