//! `counterweight keygen`.

use super::{Failure, print};
use counterweight::attest::{Algorithm, SigningKey};
use std::path::Path;

/// Makes a pair of keys, over no file that is there.
pub(crate) fn keygen(out: &Path, algorithm: Algorithm) -> Result<u8, Failure> {
    let failed = |error| Failure(format!("error: {error}"));
    let key = SigningKey::generate(algorithm).map_err(failed)?;
    let public = key.write_pair(out).map_err(failed)?;
    let (name, fingerprint) = (algorithm.name(), key.verifying_key().fingerprint());
    print(&format!(
        "Private key: {} ({name}; keep it secret)\nPublic key:  {}\nSHA256 {fingerprint}\n",
        out.display(),
        public.display()
    ))?;
    Ok(0)
}
