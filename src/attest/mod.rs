//! Attestation: digests, in-toto statements, DSSE envelopes, keys, verification.
//!
//! Owns: what is signed, how, and how it is checked. p256, ed25519-dalek, base64 and getrandom are used nowhere else.
//! The clock enters a statement here, and nowhere into the record; it is an argument.
//! Must never: trust a key that lies with what it verifies, read a payload before its signature holds, write a key over
//! a file, or judge the audit.
//!
//! The way of a signature: a [`Signer`] signs bytes into an [`dsse::Envelope`]; `statement` says what a report's bytes
//! are; `attest` makes the files of the report folder; `verify` goes the way back.

pub mod bundle;
pub mod dsse;
mod keys;
mod protocol;
mod signer;
pub mod statement;
mod tree;
pub mod verify;
mod write;

pub use keys::{Algorithm, KeyError, SigningKey, VerifyingKey};
pub use protocol::{PROTOCOL, Protocol, ProtocolError, freeze, read_protocol};
pub use signer::{SignError, Signer};
pub use tree::{ArtifactKind, digest as artifact_digest};
pub use write::{Artifact, AttestError, artifacts, attest, endorse};

use crate::logs;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One line of JSON with its line break: the only form in which this module writes JSON.
#[expect(
    clippy::expect_used,
    reason = "statements and envelopes are structs, vectors and maps with text keys: serde_json cannot fail on them"
)]
fn to_line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("a statement serialises");
    text.push('\n');
    text
}

/// Opens a regular file. Nothing else is opened: a pipe would wait for whoever writes to it, a device never end.
fn open(path: &Path) -> io::Result<File> {
    let refused = || io::Error::other("this is not a file");
    if !std::fs::metadata(path)?.is_file() {
        return Err(refused());
    }
    let file = File::open(path)?;
    // What was put there since is caught here.
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused()) }
}

/// The SHA-256 of a regular file, in lower-case hexadecimal.
fn digest_of(path: &Path) -> io::Result<String> {
    open(path)?;
    logs::digest(path)
}

/// Reads a regular file of at most `limit` bytes.
fn read_small(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::other(format!("the file is larger than {limit} bytes")));
    }
    Ok(bytes)
}
