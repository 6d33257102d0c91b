//! The file that a fitted tilt is kept in: safetensors, which other tools read.

use super::Objective;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

const SCHEMA: &str = "counterweight/tilt/v1";
const KEY: &str = "counterweight";
const COEFFICIENTS: &str = "coefficients";

/// A fitted tilt, and what it was fitted on. log pi(y | x) = log pi_ref(y | x) + r(x, y) / beta - log Z(x), with
/// r = sum_j coefficients_j phi_j(x, y) in the features as logged (the standardisation is divided in).
#[derive(Debug, Clone, PartialEq)]
pub struct Artefact {
    /// The coefficients of the features as logged.
    pub coefficients: Vec<f64>,
    /// Everything else.
    pub provenance: Provenance,
}

/// Where a fitted tilt comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// `counterweight/tilt/v1`.
    pub schema: String,
    /// The candidate's name.
    pub candidate: String,
    /// The objective.
    pub objective: String,
    /// The cap on the weights, as written in the policy.
    pub clip: String,
    /// The ridge on standardised features.
    pub ridge: f64,
    /// The temperature.
    pub beta: f64,
    /// What each feature was divided by before the ridge weighed it.
    pub scale: Vec<f64>,
    /// SHA-256 of the regime document.
    pub regime: String,
    /// SHA-256 of the policy document.
    pub policy: String,
    /// SHA-256 of each log file, by its path as written.
    pub logs: BTreeMap<String, String>,
}

/// Why a file holds no tilt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not safetensors.
    #[error("it is no safetensors file: {0}")]
    Format(String),
    /// Safetensors of another kind.
    #[error("its metadata is no counterweight tilt: {0}")]
    Metadata(String),
    /// The tensor is missing, of another type, not finite or of another length.
    #[error("its tensor `coefficients` is not a list of finite f64, one a feature")]
    Coefficients,
}

impl Artefact {
    /// The file's bytes: the same for the same tilt.
    ///
    /// # Errors
    /// The format refuses it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Unreadable> {
        let bytes: Vec<u8> = self.coefficients.iter().flat_map(|value| value.to_le_bytes()).collect();
        let failed = |error: &dyn std::fmt::Display| Unreadable::Format(error.to_string());
        let view = TensorView::new(Dtype::F64, vec![self.coefficients.len()], &bytes).map_err(|e| failed(&e))?;
        let provenance = serde_json::to_string(&self.provenance).map_err(|e| failed(&e))?;
        // One entry: the format keeps metadata in no order.
        let metadata = HashMap::from([(KEY.to_owned(), provenance)]);
        serialize([(COEFFICIENTS, view)], Some(metadata)).map_err(|e| failed(&e))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Artefact, Unreadable> {
        let failed = |error: &dyn std::fmt::Display| Unreadable::Format(error.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| failed(&e))?;
        let entry = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let entry = entry.ok_or_else(|| Unreadable::Metadata(format!("there is no entry `{KEY}`")))?;
        let provenance: Provenance =
            serde_json::from_str(entry).map_err(|error| Unreadable::Metadata(error.to_string()))?;
        if provenance.schema != SCHEMA {
            return Err(Unreadable::Metadata(format!("schema {}, and {SCHEMA} is read", provenance.schema)));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| failed(&e))?;
        let tensor = tensors.tensor(COEFFICIENTS).map_err(|_| Unreadable::Coefficients)?;
        let values = tensor.data().as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word));
        let coefficients: Vec<f64> = values.collect();
        let sound = tensor.dtype() == Dtype::F64
            && coefficients.len() == provenance.scale.len()
            && !coefficients.is_empty()
            && coefficients.iter().all(|value| value.is_finite())
            && provenance.beta > 0.0;
        if sound { Ok(Artefact { coefficients, provenance }) } else { Err(Unreadable::Coefficients) }
    }
}

impl Provenance {
    /// The provenance of a tilt, under the current schema.
    pub fn new(candidate: &str, objective: Objective, scale: Vec<f64>) -> Provenance {
        Provenance {
            schema: SCHEMA.to_owned(),
            candidate: candidate.to_owned(),
            objective: objective.name().to_owned(),
            clip: "none".to_owned(),
            ridge: 0.0,
            beta: 1.0,
            scale,
            regime: String::new(),
            policy: String::new(),
            logs: BTreeMap::new(),
        }
    }
}
