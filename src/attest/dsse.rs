//! DSSE 1.0.2 envelopes: signed bytes with their type, around any content.
//!
//! Specification: <https://github.com/secure-systems-lab/dsse>, `protocol.md` and `envelope.md`.

use super::keys::VerifyingKey;
use super::signer::{SignError, Signer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A payload and the signatures over it. The JSON of it is one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The payload in padded base64.
    pub payload: String,
    /// What the payload is.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The signatures; this program writes and takes exactly one.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Base64 of the SHA-256 of the signer's DER public key. A hint: it is not signed.
    pub keyid: String,
    /// The signature over the PAE, in padded base64.
    pub sig: String,
}

/// Why an envelope's payload cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is not as this program writes it, byte for byte.
    #[error("damaged: {0}")]
    Damaged(String),
    /// No given key has its keyid.
    #[error("signed by none of the given keys (its keyid is {0})")]
    OtherKey(String),
    /// The signature is not that key's over this payload.
    #[error("the signature does not fit the payload and the key {0}")]
    BadSignature(String),
}

/// The bytes that are signed: `DSSEv1 <length of type> <type> <length of body> <body>`, lengths in bytes.
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Signs bytes of some type.
///
/// # Errors
/// The signer does not sign.
pub fn sign(signer: &Signer, payload_type: &str, body: &[u8]) -> Result<Envelope, SignError> {
    let signature = signer.sign(&pae(payload_type, body))?;
    Ok(Envelope {
        payload: STANDARD.encode(body),
        payload_type: payload_type.to_owned(),
        signatures: vec![Signature { keyid: signer.verifying_key().keyid(), sig: STANDARD.encode(signature) }],
    })
}

/// Base64 that encodes back to the very same text.
fn decode(text: &str, what: &str) -> Result<Vec<u8>, EnvelopeError> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text);
    bytes.ok_or_else(|| EnvelopeError::Damaged(format!("{what} is not canonical base64")))
}

impl Envelope {
    /// The envelope as one line of JSON, with the line break at its end.
    pub fn to_line(&self) -> String {
        super::to_line(self)
    }

    /// Reads an envelope from exactly the bytes that [`Envelope::to_line`] gives.
    ///
    /// # Errors
    /// Unknown, missing or repeated keys, other white space or another order, base64 that is not canonical, another number of signatures
    /// than one.
    pub fn from_line(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        let damaged = |what: String| EnvelopeError::Damaged(what);
        let text = str::from_utf8(bytes).map_err(|_| damaged("it is not text".to_owned()))?;
        let envelope: Envelope =
            serde_json::from_str(text).map_err(|error| damaged(format!("it is no DSSE envelope: {error}")))?;
        if envelope.to_line() != text {
            return Err(damaged("its JSON is not byte for byte as it was written".to_owned()));
        }
        envelope.check()?;
        Ok(envelope)
    }

    /// Whether the parts are well formed, without any key.
    ///
    /// # Errors
    /// As [`Envelope::from_line`].
    pub(super) fn check(&self) -> Result<(), EnvelopeError> {
        let [signature] = self.signatures.as_slice() else {
            return Err(EnvelopeError::Damaged(format!("it has {} signatures instead of one", self.signatures.len())));
        };
        decode(&self.payload, "the payload")?;
        decode(&signature.sig, "the signature")?;
        if decode(&signature.keyid, "the keyid")?.len() != 32 {
            return Err(EnvelopeError::Damaged("the keyid is no SHA-256".to_owned()));
        }
        Ok(())
    }

    /// The payload without any look at its signature: for what is not to be relied on.
    pub(super) fn body(&self) -> Result<Vec<u8>, EnvelopeError> {
        decode(&self.payload, "the payload")
    }

    /// What was signed, verified or not: for `openssl`, which then settles it.
    ///
    /// # Errors
    /// The payload is not canonical base64.
    pub fn pae(&self) -> Result<Vec<u8>, EnvelopeError> {
        Ok(pae(&self.payload_type, &self.body()?))
    }

    /// The keyid of the signature.
    pub fn keyid(&self) -> &str {
        self.signatures.first().map_or("", |signature| signature.keyid.as_str())
    }

    /// The payload, once the signature over it has been found to be one of the keys'; and that key.
    ///
    /// # Errors
    /// None of the keys has the keyid, or the one that has did not sign this.
    pub fn verify<'k>(&self, keys: &'k [VerifyingKey]) -> Result<(Vec<u8>, &'k VerifyingKey), EnvelopeError> {
        self.check()?;
        let [signature] = self.signatures.as_slice() else { return Err(EnvelopeError::OtherKey(String::new())) };
        let Some(key) = keys.iter().find(|key| key.keyid() == signature.keyid) else {
            return Err(EnvelopeError::OtherKey(signature.keyid.clone()));
        };
        let body = self.body()?;
        if key.verifies(&pae(&self.payload_type, &body), &decode(&signature.sig, "the signature")?) {
            return Ok((body, key));
        }
        Err(EnvelopeError::BadSignature(key.fingerprint()))
    }
}
