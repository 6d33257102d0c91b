//! `counterweight sign`, and what `audit --sign` signs with.

use super::{Failure, print};
use chrono::Utc;
use counterweight::attest::verify::{self, Request, Verification};
use counterweight::attest::{self, Signer, SigningKey, VerifyingKey};
use counterweight::report::{self, DSSE};
use std::path::{Path, PathBuf};

/// What `sign` is told.
#[derive(Debug)]
pub(crate) struct SignOptions {
    /// The report folder.
    pub(crate) folder: PathBuf,
    /// The signer's key, or the public one of the command's key.
    pub(crate) key: PathBuf,
    /// The command that signs, if a key file does not.
    pub(crate) signer_cmd: Option<String>,
    /// In which role.
    pub(crate) role: String,
    /// The key of the report's signature, if that is to be verified first.
    pub(crate) report_key: Option<PathBuf>,
}

/// A signer from the command line: a private key, or a command with its public key.
pub(super) fn signer(key: &Path, command: Option<&str>) -> Result<Signer, Failure> {
    let failed = |error| Failure(format!("error: {error}"));
    match command {
        None => SigningKey::read(key).map(Signer::Key).map_err(failed),
        Some(command) => {
            let key = VerifyingKey::read(key).map_err(failed)?;
            Ok(Signer::Command { command: command.to_owned(), key })
        }
    }
}

/// Endorses a report, if its files are as they were signed.
pub(crate) fn sign(options: &SignOptions) -> Result<u8, Failure> {
    let signer = signer(&options.key, options.signer_cmd.as_deref())?;
    if !options.folder.is_dir() {
        return Err(Failure(format!("error: {}: there is no such folder", options.folder.display())));
    }
    let found = look(options)?;
    let Some(audit) = found.audit.as_ref().filter(|_| found.undamaged()) else {
        print(&super::verify::text(&found, "Not endorsed"))?;
        return Ok(1);
    };
    let path = options.folder.join(DSSE);
    let bytes = std::fs::read(&path).map_err(|error| Failure(format!("error: {}: {error}", path.display())))?;
    let file = attest::endorse(&bytes, audit, &options.role, &signer, Utc::now())
        .map_err(|error| Failure(format!("error: {error}")))?;
    report::add_file(&file, &options.folder).map_err(|error| Failure(format!("error: {error}")))?;
    let unverified =
        if found.holds() { "" } else { "Its own signature was not verified: no --report-key was given.\n" };
    print(&format!(
        "Endorsed as {}: {}\nby the key SHA256 {}\n{unverified}",
        options.role,
        options.folder.join(&file.name).display(),
        signer.verifying_key().fingerprint()
    ))?;
    Ok(0)
}

/// With the report's key its signature is verified; without, only that everything agrees with what was signed.
fn look(options: &SignOptions) -> Result<Verification, Failure> {
    let Some(key) = &options.report_key else { return Ok(verify::look(&options.folder)) };
    let keys = [VerifyingKey::read(key).map_err(|error| Failure(format!("error: {error}")))?];
    Ok(verify::verify(&Request {
        target: &options.folder,
        keys: &keys,
        regime: None,
        policy: None,
        inputs: None,
        recompute: false,
        require_pass: false,
        require_inputs: false,
        require_protocol: false,
        require_roles: &[],
        max_age: None,
        now: Utc::now(),
    }))
}
