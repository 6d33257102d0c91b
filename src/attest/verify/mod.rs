//! The way back: does this report folder say what a key that is trusted signed, about these files?
//!
//! The order is fixed: the signature over the envelope first, with a key that was given and never one that lies there;
//! then its payload, of which nothing was believed before; then every file by its digest; then what was asked for.
//! A name out of a statement is only ever looked for below the folder that was given (see `inputs`).

mod endorsements;
mod folder;
mod inputs;
mod recompute;
mod requirements;

use super::bundle::Bundle;
use super::dsse::Envelope;
use super::keys::VerifyingKey;
use super::statement::{PREFERENCE_AUDIT, PreferenceAudit, Statement};
use crate::declare::{Policy, Regime};
use crate::report::{self, DSSE, INTOTO, Report, SIGSTORE};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Larger files are no attestation, and no report.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What is to be verified, with what, and what is asked of it.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// A report folder, or one attestation file.
    pub target: &'a Path,
    /// The public keys that are trusted.
    pub keys: &'a [VerifyingKey],
    /// The regime that it is to be about.
    pub regime: Option<&'a Regime>,
    /// The policy that it is to have been judged by.
    pub policy: Option<&'a Policy>,
    /// The folder in which logs and artifacts are looked for.
    pub inputs: Option<&'a Path>,
    /// Whether to audit again.
    pub recompute: bool,
    /// Whether only a verdict of pass holds.
    pub require_pass: bool,
    /// Whether every input has to be found.
    pub require_inputs: bool,
    /// Whether it has to have been held against a protocol that a given key signed, and have followed it.
    pub require_protocol: bool,
    /// Roles in which somebody else has to have endorsed it.
    pub require_roles: &'a [String],
    /// How many days old it may be.
    pub max_age: Option<u64>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// How one thing came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was checked and holds.
    Holds,
    /// It was checked and does not hold, or it was asked for and could not be checked.
    Fails,
    /// It could not be checked, and nobody asked for it.
    Unchecked,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// How it came out.
    pub state: State,
    /// What.
    pub what: String,
    /// In words.
    pub detail: String,
}

/// What verification found.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Everything that was looked at, in order.
    pub lines: Vec<Line>,
    /// What was signed, once the signature held.
    pub audit: Option<PreferenceAudit>,
    /// The key that signed it.
    pub key: Option<VerifyingKey>,
    /// The bytes that the signature is over, as the envelope has them, whether it holds or not.
    pub pae: Option<Vec<u8>>,
    /// The signature over them, likewise.
    pub signature: Option<String>,
}

impl Verification {
    /// Whether a given key signed this, and nothing failed.
    pub fn holds(&self) -> bool {
        self.key.is_some() && self.undamaged()
    }

    /// Whether nothing failed, whoever signed it.
    pub fn undamaged(&self) -> bool {
        self.audit.is_some() && self.lines.iter().all(|line| line.state != State::Fails)
    }

    fn add(&mut self, state: State, what: &str, detail: impl Into<String>) {
        self.lines.push(Line { state, what: what.escape_debug().to_string(), detail: detail.into() });
    }

    /// It holds, or fails with the reason.
    fn judge(&mut self, what: &str, result: Result<String, String>) {
        match result {
            Ok(detail) => self.add(State::Holds, what, detail),
            Err(detail) => self.add(State::Fails, what, detail),
        }
    }
}

/// What a signature was found to be over.
struct Signed<'k> {
    envelope: Envelope,
    statement: Statement<PreferenceAudit>,
    /// Nothing where a folder is looked at without a key.
    key: Option<&'k VerifyingKey>,
}

/// Where an attestation was found.
struct Place {
    /// The folder of the report.
    folder: PathBuf,
    /// The attestation's own file.
    file: PathBuf,
    /// Whether the folder as a whole is to be verified, or the one file with what lies beside it.
    whole: bool,
}

/// Verifies a report folder or an attestation.
pub fn verify(request: &Request<'_>) -> Verification {
    let mut found = Verification::default();
    let place = place(request.target);
    let Some(signed) = signature(&place, Some(request.keys), &mut found) else { return found };
    found.key = signed.key.cloned();
    found.audit = Some(signed.statement.predicate.clone());
    let record = folder::check(&place, &signed, &mut found);
    requirements::protocol(record.as_ref(), &signed, request, &mut found);
    endorsements::check(&place, &signed, request, &mut found);
    inputs::check(&signed, record.as_ref(), request, &mut found);
    requirements::declarations(&signed.statement.predicate, request, &mut found);
    requirements::verdict(&signed.statement.predicate, request, &mut found);
    if request.recompute {
        let result = recompute::check(&place.folder, &signed.statement.predicate, record.as_ref(), request);
        found.judge("recompute", result);
    }
    found
}

/// Looks whether a report folder agrees with what was signed, whoever signed it: what an endorser does who has no key of
/// the report's. It is no verification, and [`Verification::holds`] is never true of it.
pub fn look(folder: &Path) -> Verification {
    let mut found = Verification::default();
    let place = place(folder);
    let Some(signed) = signature(&place, None, &mut found) else { return found };
    found.audit = Some(signed.statement.predicate.clone());
    folder::check(&place, &signed, &mut found);
    found
}

fn place(target: &Path) -> Place {
    if target.is_dir() {
        return Place { folder: target.to_owned(), file: target.join(DSSE), whole: true };
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Place { folder: folder.to_owned(), file: target.to_owned(), whole: false }
}

/// The first thing: the signature, by a key that was given. Nothing is read from the payload before.
fn signature<'k>(place: &Place, keys: Option<&'k [VerifyingKey]>, found: &mut Verification) -> Option<Signed<'k>> {
    let name = file_name(&place.file);
    let bytes = match super::read_small(&place.file, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            let why = match error.kind() {
                std::io::ErrorKind::NotFound => "there is no attestation here: the report is not signed".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            found.add(State::Fails, &name, why);
            return None;
        }
    };
    // In a folder each form has its own name; a file by itself may be any of them.
    let read =
        if place.whole { Envelope::from_line(&bytes).map_err(|error| error.to_string()) } else { envelope(&bytes) };
    let envelope = match read {
        Ok(envelope) => envelope,
        Err(why) => {
            found.add(State::Fails, &name, why);
            return None;
        }
    };
    found.pae = envelope.pae().ok();
    found.signature = envelope.signatures.first().map(|signature| signature.sig.clone());
    let result = match keys {
        Some(keys) => envelope.verify(keys).map(|(payload, key)| (payload, Some(key))),
        None => envelope.body().map(|payload| (payload, None)),
    };
    let (payload, key) = match result {
        Ok(read) => read,
        Err(error) => {
            found.add(State::Fails, "signature", format!("{name}: {error}"));
            return None;
        }
    };
    match key {
        Some(key) => {
            let detail = format!("by the {} key SHA256 {}", key.algorithm().name(), key.fingerprint());
            found.add(State::Holds, "signature", detail);
        }
        None => found.add(State::Unchecked, "signature", "no key of the report's was given"),
    }
    if envelope.payload_type != super::dsse::IN_TOTO {
        let why = format!("its payload is a `{}`, not an in-toto statement", envelope.payload_type.escape_debug());
        found.add(State::Fails, "statement", why);
        return None;
    }
    match Statement::from_payload(&payload, PREFERENCE_AUDIT) {
        Ok(statement) => Some(Signed { envelope, statement, key }),
        Err(why) => {
            found.add(State::Fails, "statement", why);
            None
        }
    }
}

/// The attestation's envelope out of any of the three files.
fn envelope(bytes: &[u8]) -> Result<Envelope, String> {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    if lines == 2 {
        let first = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        return Envelope::from_line(first).map_err(|error| error.to_string());
    }
    match (Envelope::from_line(bytes), Bundle::from_line(bytes)) {
        (Ok(envelope), _) => Ok(envelope),
        (_, Ok(bundle)) => Ok(bundle.dsse_envelope),
        (Err(error), _) => Err(error.to_string()),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The attestation files, without the report's and the endorsements.
const ATTESTATIONS: [&str; 3] = [DSSE, INTOTO, SIGSTORE];

/// The record, if its bytes are what was signed.
fn read_record(bytes: &[u8]) -> Result<Report, String> {
    let text = str::from_utf8(bytes).map_err(|_| "is not text".to_owned())?;
    report::from_json(text, "report.json").map_err(|error| error.to_string())
}
