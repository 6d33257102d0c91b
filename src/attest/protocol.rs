//! Protocols: what was declared, and how candidates would be evaluated, signed before labels were seen.

use super::dsse::{self, Envelope, EnvelopeError, IN_TOTO};
use super::keys::VerifyingKey;
use super::signer::{SignError, Signer};
use super::statement::{Declared, Resource, Sha256Digest, Statement};
use crate::change::Frozen;
use crate::declare::Declaration;
use crate::report::{self, ReportFile};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;

/// The predicate of a protocol.
pub const PROTOCOL: &str = "https://counterweight.dev/attestation/protocol/v1";
/// The file's name, unless another is given.
const FILE: &str = "protocol.dsse.json";
/// Larger files are no protocol.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What was fixed, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// When it was signed, RFC 3339 in UTC, by the signer's clock.
    pub time_created: String,
    /// The declared target regime.
    pub regime: Declared,
    /// The audit policy, resolved.
    pub policy: Declared,
    /// The whole content, with defaults: what an audit is held against.
    pub content: Content,
    /// The program.
    pub tool: report::Tool,
}

/// The content of three documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The regime.
    pub regime: Value,
    /// The policy.
    pub policy: Value,
    /// How the audit document evaluates: columns, labels, dependence, reference, candidates. Not where files lie.
    pub evaluation: Value,
}

/// Why a file is no protocol to hold an audit against.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Its envelope is damaged, or none of the given keys signed it.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// What was signed is something else.
    #[error("{0}")]
    Statement(String),
}

/// Signs a declaration and how it evaluates: the file to keep.
///
/// # Errors
/// The signer does not sign.
pub fn freeze(declaration: &Declaration, signer: &Signer, now: DateTime<Utc>) -> Result<ReportFile, SignError> {
    let Declaration { audit, regime, policy, .. } = declaration;
    let audit_name = Path::new(&audit.source.name).file_name();
    let audit_name = audit_name.map_or_else(|| audit.source.name.clone(), |name| name.to_string_lossy().into_owned());
    let subject = vec![
        Resource::new(&audit.regime, &regime.source.sha256),
        Resource::new(&audit.policy, &policy.source.sha256),
        Resource::new(&audit_name, &audit.source.sha256),
    ];
    let declared = |name: &str, version: &semver::Version, sha256: &str, fingerprint: &str| Declared {
        name: name.to_owned(),
        version: version.to_string(),
        digest: Sha256Digest { sha256: sha256.to_owned() },
        fingerprint: fingerprint.to_owned(),
    };
    let protocol = Protocol {
        time_created: now.to_rfc3339_opts(SecondsFormat::Secs, true),
        regime: declared(&regime.name, &regime.version, &regime.source.sha256, &regime.fingerprint),
        policy: declared(&policy.name, &policy.version, &policy.source.sha256, &policy.fingerprint),
        content: content(declaration),
        tool: report::Tool { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
    };
    let payload = Statement::new(subject, PROTOCOL, protocol).to_payload();
    let envelope = dsse::sign(signer, IN_TOTO, &payload)?;
    Ok(ReportFile { name: FILE.to_owned(), bytes: envelope.to_line().into_bytes() })
}

fn content(declaration: &Declaration) -> Content {
    Content {
        regime: declaration.regime.declared.clone(),
        policy: declaration.policy.declared(),
        evaluation: declaration.audit.evaluation(),
    }
}

/// Reads a protocol that one of the given keys signed; `name` is what the record calls it. Nothing of it is believed before
/// its signature holds, and no key that lies beside it is ever looked at.
///
/// # Errors
/// It cannot be read, is damaged, is signed by none of the keys, or is no protocol.
pub fn read_protocol(path: &Path, name: &str, keys: &[VerifyingKey]) -> Result<Frozen, ProtocolError> {
    let bytes = super::read_small(path, MAX_BYTES)?;
    let (payload, key, payload_type) = {
        let envelope = Envelope::from_line(&bytes)?;
        let (payload, key) = envelope.verify(keys)?;
        (payload, key.fingerprint(), envelope.payload_type.clone())
    };
    if payload_type != IN_TOTO {
        return Err(ProtocolError::Statement("its payload is no in-toto statement".to_owned()));
    }
    let statement: Statement<Protocol> =
        Statement::from_payload(&payload, PROTOCOL).map_err(ProtocolError::Statement)?;
    let Protocol { time_created, content, .. } = statement.predicate;
    let frozen = DateTime::parse_from_rfc3339(&time_created)
        .map_err(|_| ProtocolError::Statement("the time of signing is no time".to_owned()))?;
    Ok(Frozen {
        name: name.to_owned(),
        sha256: super::hex(&Sha256::digest(&bytes)),
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        key,
        time: time_created,
        date: frozen.with_timezone(&Utc).date_naive(),
        regime: content.regime,
        policy: content.policy,
        evaluation: content.evaluation,
    })
}
