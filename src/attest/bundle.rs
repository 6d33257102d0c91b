//! The envelope in a Sigstore bundle v0.3 with a public key: what cosign and sigstore's libraries take.
//!
//! Specification: <https://github.com/sigstore/protobuf-specs>, `sigstore_bundle.proto`.

use super::dsse::{Envelope, EnvelopeError};
use serde::{Deserialize, Serialize};

/// The bundle's media type.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A bundle around one envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`MEDIA_TYPE`].
    #[serde(rename = "mediaType")]
    pub media_type: String,
    /// Which key.
    #[serde(rename = "verificationMaterial")]
    pub verification_material: VerificationMaterial,
    /// The envelope.
    #[serde(rename = "dsseEnvelope")]
    pub dsse_envelope: Envelope,
}

/// What a verifier is told about the key: a hint by which to find it among those that it trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationMaterial {
    /// The key.
    #[serde(rename = "publicKey")]
    pub public_key: PublicKeyHint,
}

/// The hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeyHint {
    /// Base64 of the SHA-256 of the DER public key: the envelope's keyid.
    pub hint: String,
}

impl Bundle {
    /// The bundle of an envelope.
    pub fn new(envelope: &Envelope) -> Bundle {
        Bundle {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: VerificationMaterial {
                public_key: PublicKeyHint { hint: envelope.keyid().to_owned() },
            },
            dsse_envelope: envelope.clone(),
        }
    }

    /// The bundle as one line of JSON.
    pub fn to_line(&self) -> String {
        super::to_line(self)
    }

    /// Reads a bundle from exactly the bytes that [`Bundle::to_line`] gives.
    ///
    /// # Errors
    /// It is anything else, or its envelope is damaged.
    pub fn from_line(bytes: &[u8]) -> Result<Bundle, EnvelopeError> {
        let damaged = |what: String| EnvelopeError::Damaged(what);
        let text = str::from_utf8(bytes).map_err(|_| damaged("it is not text".to_owned()))?;
        let bundle: Bundle =
            serde_json::from_str(text).map_err(|error| damaged(format!("it is no Sigstore bundle: {error}")))?;
        if bundle.to_line() != text || bundle != Bundle::new(&bundle.dsse_envelope) {
            return Err(damaged("the bundle is not byte for byte as it was written".to_owned()));
        }
        bundle.dsse_envelope.check()?;
        Ok(bundle)
    }
}
