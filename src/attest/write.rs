//! Making attestations: of a report, and a further person's endorsement of one.

use super::bundle::Bundle;
use super::dsse::{self, Envelope, IN_TOTO};
use super::signer::{SignError, Signer};
use super::statement::{
    ArtifactLine, Context, ENDORSEMENT, Endorsement, PreferenceAudit, Resource, Statement, preference_audit,
    test_result,
};
use super::{hex, tree};
use crate::declare::Audit;
use crate::report::{CHECKSUMS, DSSE, INTOTO, Report, ReportFile, SIGSTORE, is_own};
use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// Documents that the predicate names by digest; every other input is a subject.
const DOCUMENTS: [&str; 3] = ["audit", "regime", "policy"];

/// Why a report was not attested.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// A candidate's artifact cannot be digested.
    #[error("{path}: the artifact of candidate `{candidate}` cannot be digested: {source}", path = path.display())]
    Artifact {
        /// The candidate.
        candidate: String,
        /// Where its artifact should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Two different things would have one name, or a file that is read has the name of one that a report writes.
    #[error("two different things could be attested as `{0}`; name one of them otherwise in the audit document")]
    Name(String),
    /// The signer does not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A role that cannot be part of a file's name.
    #[error("`{0}` is no role: lower-case letters, digits and hyphens, at most 40, such as `independent-validator`")]
    Role(String),
}

/// A candidate's artifact, digested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    line: ArtifactLine,
    sha256: String,
}

/// Digests what the candidates would deploy: every `artifact` that the audit document names.
///
/// # Errors
/// One of them cannot be read.
pub fn artifacts(audit: &Audit) -> Result<Vec<Artifact>, AttestError> {
    let named = audit.candidates.iter().filter_map(|candidate| Some((candidate, candidate.artifact.as_ref()?)));
    named
        .map(|(candidate, name)| {
            let path = audit.folder.join(name);
            let (kind, sha256) = tree::digest(&path).map_err(|source| AttestError::Artifact {
                candidate: candidate.name.clone(),
                path,
                source,
            })?;
            let line = ArtifactLine { candidate: candidate.name.clone(), name: name.clone(), kind };
            Ok(Artifact { line, sha256 })
        })
        .collect()
}

/// Signs a report: gives the three attestation files to write beside it.
///
/// `files` are those of the report folder, `kept` what the audit wrote elsewhere (a statistics file), `now` is the time
/// of signing.
///
/// # Errors
/// Names that clash; the signer does not sign.
pub fn attest(
    (report, files): (&Report, &[ReportFile]),
    audit: &Audit,
    (artifacts, kept): (&[Artifact], &[Resource]),
    signer: &Signer,
    now: DateTime<Utc>,
) -> Result<Vec<ReportFile>, AttestError> {
    let own = files.iter().filter(|file| file.name != CHECKSUMS);
    let own = own.map(|file| Resource::new(&file.name, &hex(&Sha256::digest(&file.bytes))));
    let inputs = report.inputs.iter().filter(|input| !DOCUMENTS.contains(&input.role.as_str()));
    let inputs = inputs.map(|input| Resource::new(&input.name, &input.sha256));
    let artifacts: Vec<(ArtifactLine, Resource)> = artifacts
        .iter()
        .map(|artifact| (artifact.line.clone(), Resource::new(&artifact.line.name, &artifact.sha256)))
        .collect();
    let deployed = artifacts.iter().map(|(_, resource)| resource.clone());
    let elsewhere: Vec<Resource> = inputs.chain(kept.iter().cloned()).chain(deployed).collect();
    // What has the name of a report's own file would be looked for in the report's folder.
    if let Some(taken) = elsewhere.iter().find(|resource| is_own(&resource.name)) {
        return Err(AttestError::Name(taken.name.clone()));
    }
    let subject = unique(own.chain(elsewhere))?;
    let context = Context {
        artifacts,
        seed: seeds(audit),
        time_created: time(now),
        platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
    };
    sign_statement(&preference_audit(report, subject, context), signer)
}

/// The three files of a statement about an audit.
fn sign_statement(statement: &Statement<PreferenceAudit>, signer: &Signer) -> Result<Vec<ReportFile>, AttestError> {
    let envelope = dsse::sign(signer, IN_TOTO, &statement.to_payload())?;
    let standard = dsse::sign(signer, IN_TOTO, &test_result(statement).to_payload())?;
    let file = |name: &str, text: String| ReportFile { name: name.to_owned(), bytes: text.into_bytes() };
    Ok(vec![
        file(INTOTO, envelope.to_line() + &standard.to_line()),
        file(SIGSTORE, Bundle::new(&envelope).to_line()),
        file(DSSE, envelope.to_line()),
    ])
}

/// The same thing under the same name once; another thing under the same name not at all.
fn unique(resources: impl Iterator<Item = Resource>) -> Result<Vec<Resource>, AttestError> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut kept = Vec::new();
    for resource in resources {
        match known.get(&resource.name) {
            None => {
                known.insert(resource.name.clone(), resource.digest.sha256.clone());
                kept.push(resource);
            }
            Some(sha256) if *sha256 == resource.digest.sha256 => {}
            Some(_) => return Err(AttestError::Name(resource.name)),
        }
    }
    Ok(kept)
}

fn seeds(audit: &Audit) -> BTreeMap<String, u64> {
    let fitted = audit.candidates.iter().filter_map(|candidate| Some((candidate, candidate.fit.as_ref()?)));
    fitted.map(|(candidate, fit)| (candidate.name.clone(), fit.seed)).collect()
}

fn time(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An endorsement of an attestation whose signature has been verified: the file to write beside it.
///
/// `attestation` are the bytes of `attestation.dsse.json`; nothing in them changes.
///
/// # Errors
/// The role cannot be part of a file's name; the signer does not sign.
pub fn endorse(
    attestation: &[u8],
    audit: &PreferenceAudit,
    role: &str,
    signer: &Signer,
    now: DateTime<Utc>,
) -> Result<ReportFile, AttestError> {
    if !is_role(role) {
        return Err(AttestError::Role(role.escape_debug().to_string()));
    }
    let subject = vec![Resource::new(DSSE, &hex(&Sha256::digest(attestation)))];
    let predicate = Endorsement {
        role: role.to_owned(),
        time_created: time(now),
        verdict: audit.verdict,
        exit_code: audit.exit_code,
    };
    let envelope: Envelope =
        dsse::sign(signer, IN_TOTO, &Statement::new(subject, ENDORSEMENT, predicate).to_payload())?;
    let name = endorsement_name(role, &signer.verifying_key().fingerprint());
    Ok(ReportFile { name, bytes: envelope.to_line().into_bytes() })
}

/// The file of an endorsement: one for each role and key.
pub(super) fn endorsement_name(role: &str, fingerprint: &str) -> String {
    let key: String = fingerprint.chars().take(16).collect();
    format!("{}{role}.{key}.dsse.json", crate::report::ENDORSEMENT_PREFIX)
}

/// Whether a text can stand in a file's name and in a policy.
pub(super) fn is_role(role: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !role.is_empty() && role.len() <= 40 && role.chars().all(plain)
}
