//! What signs: a key in memory, or a command that reaches one elsewhere.

use super::keys::{SigningKey, VerifyingKey};
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// Longer than any signature.
const MAX_SIGNATURE_BYTES: usize = 4096;

/// Whatever can sign.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A private key.
    Key(SigningKey),
    /// A command of the shell that reads what is to be signed on standard input and writes the signature (ASN.1 DER for
    /// ECDSA, 64 bytes for Ed25519) on standard output: for a key in hardware or in a cloud.
    Command {
        /// The command, as `sh -c` takes it.
        command: String,
        /// The public key of the key that it signs with.
        key: VerifyingKey,
    },
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key's own library refused.
    #[error("the key cannot sign: {0}")]
    Key(String),
    /// The command could not be run.
    #[error("the signer command `{command}` cannot be run: {source}")]
    Run {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The command failed.
    #[error("the signer command `{command}` failed: {status}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// What the command wrote is no signature by the key.
    #[error(
        "what the signer command `{command}` wrote ({bytes} bytes) is no {algorithm} signature by the public key given \
         with it: the signature alone is wanted, as bytes (ASN.1 DER for ECDSA), over standard input"
    )]
    Mismatch {
        /// The command.
        command: String,
        /// How much it wrote.
        bytes: usize,
        /// The key's algorithm.
        algorithm: &'static str,
    },
}

impl Signer {
    /// The public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        match self {
            Signer::Key(key) => key.verifying_key(),
            Signer::Command { key, .. } => key.clone(),
        }
    }

    /// Signs bytes as they are. What a command gives is held against its public key first.
    ///
    /// # Errors
    /// The command cannot be run, fails, or gives something else than a signature by its key.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Signer::Key(key) => key.sign(bytes).map_err(SignError::Key),
            Signer::Command { command, key } => {
                let signature = run(command, bytes)?;
                if key.verifies(bytes, &signature) {
                    return Ok(signature);
                }
                let algorithm = key.algorithm().name();
                Err(SignError::Mismatch { command: command.clone(), bytes: signature.len(), algorithm })
            }
        }
    }
}

fn run(command: &str, bytes: &[u8]) -> Result<Vec<u8>, SignError> {
    let unable = |source: io::Error| SignError::Run { command: command.to_owned(), source };
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(unable)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // Apart, because a command may write before it has read everything. One that does not read at all is judged by
        // what it writes.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(bytes)));
        child.wait_with_output()
    })
    .map_err(unable)?;
    if !output.status.success() {
        return Err(SignError::Failed { command: command.to_owned(), status: output.status });
    }
    let mut signature = output.stdout;
    signature.truncate(MAX_SIGNATURE_BYTES);
    Ok(signature)
}
