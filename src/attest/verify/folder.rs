//! The report's own files: the other two forms of the attestation, the record and its views, SHA256SUMS.

use super::super::bundle::Bundle;
use super::super::dsse::{Envelope, EnvelopeError};
use super::super::statement::{ArtifactLine, Context, Resource, covers, preference_audit, test_result};
use super::super::{digest_of, hex, read_small};
use super::{ATTESTATIONS, MAX_BYTES, Place, Signed, State, Verification, read_record};
use crate::report::{CHECKSUMS, CheckRecord, INTOTO, Report, SIGSTORE, Status, VIEWS, Verdict, attestations, is_own};
use sha2::{Digest, Sha256};
use std::io::ErrorKind;
use std::path::Path;

/// The one that is read.
const RECORD: &str = "report.json";
/// How many names of other files a line shows.
const SHOWN: usize = 8;

/// The subjects that lie in the report folder: the first ones, as long as their names are a report's (no other subject may have
/// such a name: see `attest::attest`).
pub(super) fn own(subjects: &[Resource]) -> &[Resource] {
    let count = subjects.iter().take_while(|subject| is_own(&subject.name)).count();
    subjects.get(..count).unwrap_or_default()
}

/// Checks the folder's files; gives the record, if it is as signed.
pub(super) fn check(place: &Place, signed: &Signed<'_>, found: &mut Verification) -> Option<Report> {
    forms(place, signed, found);
    let own = own(&signed.statement.subject);
    for name in VIEWS.iter().filter(|name| own.iter().all(|subject| subject.name != **name)) {
        found.add(State::Fails, name, "it is not among what was signed");
    }
    let files: Vec<Option<Vec<u8>>> = own.iter().map(|subject| file(place, subject, found)).collect();
    checksums(place, own, found);
    let record = files.into_iter().flatten().next().and_then(|bytes| match read_record(&bytes) {
        Ok(record) => Some(record),
        Err(why) => {
            found.add(State::Fails, RECORD, format!("its bytes are as signed, but it {why}"));
            None
        }
    });
    if let Some(record) = &record {
        agreement(record, signed, found);
    }
    if place.whole {
        others(&place.folder, own, found);
    }
    record
}

/// The statement must be what this record gives.
fn agreement(record: &Report, signed: &Signed<'_>, found: &mut Verification) {
    let audit = &signed.statement.predicate;
    let line = |line: &ArtifactLine| (line.clone(), Resource::new(&line.name, ""));
    let context = Context {
        artifacts: audit.artifacts.iter().map(line).collect(),
        seed: audit.seed.clone(),
        time_created: audit.time_created.clone(),
        platform: audit.platform.clone(),
    };
    let same = preference_audit(record, signed.statement.subject.clone(), context) == signed.statement;
    let missing = super::inputs::inputs(record).find(|input| {
        let named = signed.statement.subject.iter().find(|subject| subject.name == input.name);
        named.is_none_or(|subject| subject.digest.sha256 != input.sha256)
    });
    found.judge(
        "statement",
        match missing {
            _ if !same => Err("it does not say what report.json says".to_owned()),
            _ if !adds_up(record) => {
                Err("report.json contradicts itself: its verdict is not what its checks give".to_owned())
            }
            Some(input) => Err(format!("the report's input `{}` is not among its subjects", input.name.escape_debug())),
            None => Ok("says what report.json says".to_owned()),
        },
    );
}

/// Whether the verdict is the worst of the checks', each check's that of its status and severity, the exit code the gate's, and
/// whatever is waived is so by a waiver that the record shows.
fn adds_up(record: &Report) -> bool {
    let of_check = |check: &CheckRecord| match (check.status, check.severity.as_str()) {
        (Status::Pass | Status::Waived | Status::NotApplicable, _) | (_, "note") => Verdict::Pass,
        (Status::Warn, _) | (_, "diagnostic") => Verdict::Diagnostic,
        (Status::Fail | Status::Undetermined, _) => Verdict::Block,
    };
    let waives = |check: &CheckRecord| {
        let mut waivers = record.waivers.iter().filter(|waiver| waiver.check == check.id);
        check.status != Status::Waived || waivers.any(covers)
    };
    let closed = record.verdict >= if record.fail_on == "diagnostic" { Verdict::Diagnostic } else { Verdict::Block };
    record.checks.iter().all(|check| check.verdict == of_check(check) && waives(check))
        && record.checks.iter().map(|check| check.verdict).max() == Some(record.verdict)
        && record.exit_code == i32::from(closed)
}

/// `attestation.intoto.jsonl` and `attestation.sigstore.json` follow from the envelope, but for one further signature.
fn forms(place: &Place, signed: &Signed<'_>, found: &mut Verification) {
    let read = |name: &str| {
        let path = if place.whole { place.folder.join(name) } else { place.file.clone() };
        read_small(&path, MAX_BYTES).map_err(|error| cannot(&error))
    };
    if place.whole {
        found.judge(super::DSSE, Ok("as it was written".to_owned()));
        let expected = Bundle::new(&signed.envelope).to_line();
        let result = read(SIGSTORE).and_then(|bytes| {
            let same = bytes == expected.as_bytes();
            same.then(|| "the same envelope".to_owned()).ok_or("damaged: it is not the same envelope".to_owned())
        });
        found.judge(SIGSTORE, result);
    }
    // The one file may be the one with two lines.
    let two = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() == 2;
    if place.whole || read(INTOTO).is_ok_and(|bytes| two(&bytes)) {
        found.judge(INTOTO, read(INTOTO).and_then(|bytes| both(&bytes, signed)));
    }
}

/// The two lines: the envelope itself, and the standard test result that follows from it, by the same key.
fn both(bytes: &[u8], signed: &Signed<'_>) -> Result<String, String> {
    let first = signed.envelope.to_line();
    let rest = bytes.strip_prefix(first.as_bytes()).ok_or("damaged: its first line is not the attestation")?;
    let standard = Envelope::from_line(rest).map_err(|error| format!("its second line is {error}"))?;
    let payload = match signed.key {
        Some(key) => standard.verify(std::slice::from_ref(key)).map(|(payload, _)| payload),
        None => standard.body(),
    };
    let payload = payload.map_err(|error| match error {
        EnvelopeError::OtherKey(_) => "its second line is signed by another key".to_owned(),
        other => format!("its second line: {other}"),
    })?;
    let expected = test_result(&signed.statement);
    if standard.payload_type != signed.envelope.payload_type || payload != expected.to_payload() {
        return Err("its second line is not the test result that follows from the attestation".to_owned());
    }
    Ok(format!("the same envelope, and the standard test result {}", expected.predicate.result))
}

/// One file of the report against its digest; the bytes of `report.json` if they are as signed.
fn file(place: &Place, subject: &Resource, found: &mut Verification) -> Option<Vec<u8>> {
    let path = place.folder.join(&subject.name);
    let read = if VIEWS.contains(&subject.name.as_str()) {
        let record = |_: &Vec<u8>| subject.name == RECORD;
        read_small(&path, MAX_BYTES).map(|bytes| (hex(&Sha256::digest(&bytes)), Some(bytes).filter(record)))
    } else {
        digest_of(&path).map(|digest| (digest, None))
    };
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound && !place.whole => {
            found.add(State::Unchecked, &subject.name, "it does not lie beside the attestation");
            None
        }
        Err(error) => {
            found.add(State::Fails, &subject.name, cannot(&error));
            None
        }
        Ok((digest, bytes)) if digest == subject.digest.sha256 => {
            found.add(State::Holds, &subject.name, format!("SHA256 {digest}"));
            bytes
        }
        Ok((digest, _)) => {
            let why = format!("its SHA256 is {digest}, and {} was signed", subject.digest.sha256);
            found.add(State::Fails, &subject.name, why);
            None
        }
    }
}

fn checksums(place: &Place, own: &[Resource], found: &mut Verification) {
    let expected: String = own.iter().map(|subject| format!("{}  {}\n", subject.digest.sha256, subject.name)).collect();
    match read_small(&place.folder.join(CHECKSUMS), MAX_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound && !place.whole => {}
        Err(error) => found.add(State::Fails, CHECKSUMS, cannot(&error)),
        Ok(bytes) if bytes == expected.as_bytes() => {
            found.add(State::Holds, CHECKSUMS, "byte for byte what the signed digests give");
        }
        Ok(_) => found.add(State::Fails, CHECKSUMS, "damaged: not byte for byte what the signed digests give"),
    }
}

/// What else lies in the folder is nobody's statement; what has the name of a report's own file would be taken for one.
fn others(folder: &Path, own: &[Resource], found: &mut Verification) {
    let endorsements = attestations(folder).unwrap_or_default();
    let known = |name: &String| {
        own.iter().any(|subject| subject.name == *name)
            || ATTESTATIONS.contains(&name.as_str())
            || name == CHECKSUMS
            || endorsements.contains(name)
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !known(name));
    names.sort();
    for name in names.extract_if(.., |name| is_own(name)) {
        found.add(State::Fails, &name, "it has the name of a report's own file, and was not signed");
    }
    if !names.is_empty() {
        let shown: Vec<String> = names.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect();
        let more = if names.len() > SHOWN { ", …" } else { "" };
        found.add(State::Unchecked, "other files", format!("not covered by the signature: {}{more}", shown.join(", ")));
    }
}

fn cannot(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "it is not there".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
