//! Keys: ECDSA on P-256 with SHA-256, and Ed25519; PKCS#8 PEM in, SubjectPublicKeyInfo PEM out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A key file is a few lines; what is longer is something else.
const MAX_KEY_BYTES: u64 = 64 * 1024;
/// Seeds to try before the source of randomness is called broken: one fails with probability 2^-32.
const MAX_DRAWS: usize = 64;

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256; signatures in ASN.1 DER, deterministic (RFC 6979).
    P256,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

impl Algorithm {
    /// How people call it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::P256 => "ECDSA P-256",
            Algorithm::Ed25519 => "Ed25519",
        }
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there already.
    #[error("{path}: is there already, and a key is never written over; name another file, or move it away", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no key of the kind that is wanted.
    #[error("{path}: {what}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: &'static str,
    },
    /// The system gives no randomness.
    #[error("no randomness for a new key: {0}")]
    Randomness(String),
}

/// A private key.
#[derive(Debug, Clone)]
pub enum SigningKey {
    /// ECDSA P-256.
    P256(Box<p256::ecdsa::SigningKey>),
    /// Ed25519.
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl SigningKey {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// The system gives none.
    pub fn generate(algorithm: Algorithm) -> Result<SigningKey, KeyError> {
        for _ in 0..MAX_DRAWS {
            let mut seed = [0_u8; 32];
            getrandom::fill(&mut seed).map_err(|error| KeyError::Randomness(error.to_string()))?;
            match algorithm {
                Algorithm::Ed25519 => {
                    return Ok(SigningKey::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&seed))));
                }
                // Zero and what is not below the group's order is no key: drawing again keeps it uniform.
                Algorithm::P256 => {
                    if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&seed) {
                        return Ok(SigningKey::P256(Box::new(key)));
                    }
                }
            }
        }
        Err(KeyError::Randomness("it gives the same impossible key again and again".to_owned()))
    }

    /// Reads a PKCS#8 key in PEM (`-----BEGIN PRIVATE KEY-----`). `path` is what errors call it.
    ///
    /// # Errors
    /// It is no such key, is encrypted, or is of another algorithm.
    pub fn from_pem(pem: &str, path: &Path) -> Result<SigningKey, KeyError> {
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_pem(pem) {
            return Ok(SigningKey::P256(Box::new(key)));
        }
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_pem(pem) {
            return Ok(SigningKey::Ed25519(Box::new(key)));
        }
        let what = if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") {
            "the key is encrypted; decrypt it with `openssl pkcs8 -in KEY.pem`, or sign with --signer-cmd"
        } else if pem.contains("BEGIN EC PRIVATE KEY") {
            "the key is not PKCS#8; convert it with `openssl pkcs8 -topk8 -nocrypt -in KEY.pem`"
        } else if pem.contains("BEGIN PUBLIC KEY") {
            "this is a public key: it cannot sign without --signer-cmd; name the private one"
        } else {
            "this is no private key: PKCS#8 in PEM, ECDSA P-256 or Ed25519, as `counterweight keygen` writes it"
        };
        Err(KeyError::Format { path: path.to_owned(), what })
    }

    /// Reads a PKCS#8 key in PEM from a file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no such key.
    pub fn read(path: &Path) -> Result<SigningKey, KeyError> {
        SigningKey::from_pem(&read_pem(path)?, path)
    }

    /// The public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        match self {
            SigningKey::P256(key) => VerifyingKey::P256(Box::new(*key.verifying_key())),
            SigningKey::Ed25519(key) => VerifyingKey::Ed25519(Box::new(key.verifying_key())),
        }
    }

    /// Signs bytes: ASN.1 DER for P-256, 64 bytes for Ed25519. The same bytes give the same signature.
    ///
    /// # Errors
    /// None that is known; the curve's library reserves one.
    pub(super) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            SigningKey::P256(key) => {
                let signature: p256::ecdsa::DerSignature = key.try_sign(bytes).map_err(|error| error.to_string())?;
                Ok(signature.as_bytes().to_vec())
            }
            SigningKey::Ed25519(key) => {
                let signature = key.try_sign(bytes).map_err(|error| error.to_string())?;
                Ok(signature.to_bytes().to_vec())
            }
        }
    }

    /// Writes the key to `out` (mode 0600) and the public key beside it; gives the public key's path.
    ///
    /// `NAME.pem` has `NAME.pub.pem` beside it.
    ///
    /// # Errors
    /// One of the files is there already, or cannot be written. Nothing is left behind then.
    pub fn write_pair(&self, out: &Path) -> Result<PathBuf, KeyError> {
        let public = public_path(out);
        if public.symlink_metadata().is_ok() {
            return Err(KeyError::Exists { path: public });
        }
        let unwritable = |path: &Path| KeyError::Format { path: path.to_owned(), what: "the key cannot be encoded" };
        let pem = match self {
            SigningKey::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
            SigningKey::Ed25519(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        let pem = pem.map_err(|_| unwritable(out))?;
        let public_pem = self.verifying_key().to_pem().ok_or_else(|| unwritable(&public))?;
        create(out, pem.as_bytes(), true)?;
        if let Err(error) = create(&public, public_pem.as_bytes(), false) {
            // Made a moment ago by this very call; half a pair is of no use.
            let _ = fs::remove_file(out);
            return Err(error);
        }
        Ok(public)
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyingKey {
    /// ECDSA P-256.
    P256(Box<p256::ecdsa::VerifyingKey>),
    /// Ed25519.
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl VerifyingKey {
    /// Reads a SubjectPublicKeyInfo in PEM (`-----BEGIN PUBLIC KEY-----`). `path` is what errors call it.
    ///
    /// # Errors
    /// It is no such key, or of another algorithm.
    pub fn from_pem(pem: &str, path: &Path) -> Result<VerifyingKey, KeyError> {
        if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_pem(pem) {
            return Ok(VerifyingKey::P256(Box::new(key)));
        }
        match ed25519_dalek::VerifyingKey::from_public_key_pem(pem) {
            // Under a key of small order, one signature fits many messages.
            Ok(key) if !key.is_weak() => return Ok(VerifyingKey::Ed25519(Box::new(key))),
            _ => {}
        }
        let what = if pem.contains("PRIVATE KEY") {
            "this is a private key: keep it secret, and name the public one (NAME.pub.pem)"
        } else {
            "this is no public key: SubjectPublicKeyInfo in PEM, ECDSA P-256 or Ed25519, as `counterweight keygen` writes it"
        };
        Err(KeyError::Format { path: path.to_owned(), what })
    }

    /// Reads a SubjectPublicKeyInfo in PEM from a file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no such key.
    pub fn read(path: &Path) -> Result<VerifyingKey, KeyError> {
        VerifyingKey::from_pem(&read_pem(path)?, path)
    }

    /// The key in PEM; nothing if the library cannot encode it, which is not known to happen.
    pub fn to_pem(&self) -> Option<String> {
        match self {
            VerifyingKey::P256(key) => key.to_public_key_pem(LineEnding::LF).ok(),
            VerifyingKey::Ed25519(key) => key.to_public_key_pem(LineEnding::LF).ok(),
        }
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            VerifyingKey::P256(_) => Algorithm::P256,
            VerifyingKey::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// SHA-256 of the DER SubjectPublicKeyInfo.
    fn digest(&self) -> Vec<u8> {
        let der = match self {
            VerifyingKey::P256(key) => key.to_public_key_der(),
            VerifyingKey::Ed25519(key) => key.to_public_key_der(),
        };
        // An encoding that failed would give the digest of nothing, which no key has.
        let der = der.map(|document| document.as_bytes().to_vec()).unwrap_or_default();
        Sha256::digest(&der).to_vec()
    }

    /// The key's id in envelopes and Sigstore's hint: base64 of the SHA-256 of the DER public key.
    pub fn keyid(&self) -> String {
        STANDARD.encode(self.digest())
    }

    /// The fingerprint that people compare: hexadecimal SHA-256 of the DER public key, as
    /// `openssl pkey -pubin -in KEY.pub.pem -outform DER | sha256sum` gives it.
    pub fn fingerprint(&self) -> String {
        super::hex(&self.digest())
    }

    /// Whether a signature over these bytes is this key's: P-256 in strict ASN.1 DER, Ed25519 as RFC 8032, strictly.
    pub(super) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match self {
            VerifyingKey::P256(key) => {
                let Ok(parsed) = p256::ecdsa::DerSignature::from_bytes(signature) else { return false };
                // Another encoding of the same numbers is no signature of ours.
                parsed.as_bytes() == signature && key.verify(bytes, &parsed).is_ok()
            }
            VerifyingKey::Ed25519(key) => {
                let Ok(parsed) = ed25519_dalek::Signature::from_slice(signature) else { return false };
                key.verify_strict(bytes, &parsed).is_ok()
            }
        }
    }
}

fn public_path(out: &Path) -> PathBuf {
    let text = out.as_os_str().to_string_lossy();
    let stem = text.strip_suffix(".pem").unwrap_or(&text);
    PathBuf::from(format!("{stem}.pub.pem"))
}

fn create(path: &Path, content: &[u8], secret: bool) -> Result<(), KeyError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => KeyError::Io { path: path.to_owned(), source },
    };
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    if secret {
        private(&mut options);
    }
    let mut file = options.open(path).map_err(failed)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // `create_new` says that it is ours.
        let _ = fs::remove_file(path);
    }
    written.map_err(failed)
}

/// Nobody but the owner reads the file, from the moment that it is there.
#[cfg(unix)]
fn private(options: &mut fs::OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_: &mut fs::OpenOptions) {}

fn read_pem(path: &Path) -> Result<String, KeyError> {
    let bytes =
        super::read_small(path, MAX_KEY_BYTES).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    String::from_utf8(bytes)
        .map_err(|_| KeyError::Format { path: path.to_owned(), what: "this is no key in PEM: it is not text" })
}
