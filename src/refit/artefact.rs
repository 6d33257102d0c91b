//! The file that a fitted policy is kept in: safetensors, which other tools read.

use super::{Model, Network, Objective};
use crate::logs::{FeatureKind, FeatureReading};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

const SCHEMA: &str = "counterweight/refit/v1";
const KEY: &str = "counterweight";
/// As in audit documents.
const MAX_HIDDEN: usize = 1024;
/// The tensors of a linear reward, and of a network.
const TILT: [&str; 1] = ["coefficients"];
const MLP: [&str; 3] = ["hidden.bias", "hidden.weight", "output.weight"];

/// A fitted policy, and what it was fitted on. log pi(y | x) = log pi_ref(y | x) + r(x, y) / beta - log Z(x), with
/// r = sum_j coefficients_j phi_j(x, y) in the features as logged (the standardisation is divided in), or a network's value of the
/// features over their scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Artefact {
    /// The coefficients of the features as logged, or a network's parameters over standardised ones.
    pub parameters: Vec<f64>,
    /// Everything else.
    pub provenance: Provenance,
}

/// Where a fitted policy comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// `counterweight/refit/v1`.
    pub schema: String,
    /// The candidate's name.
    pub candidate: String,
    /// `tilt` or `mlp`.
    pub model: String,
    /// Hidden units of a network; 0 for a tilt.
    pub hidden: usize,
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
    /// Where the features were read; what encodes a text is named here.
    pub features: Option<FeatureReading>,
    /// SHA-256 of the regime document.
    pub regime: String,
    /// SHA-256 of the policy document.
    pub policy: String,
    /// SHA-256 of each log file, by its path as written.
    pub logs: BTreeMap<String, String>,
}

/// Why a file holds no fitted policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not safetensors.
    #[error("it is no safetensors file: {0}")]
    Format(String),
    /// Safetensors of another kind.
    #[error("its metadata is no counterweight re-fit: {0}")]
    Metadata(String),
    /// The tensor is missing, of another type, not finite or of another length.
    #[error("its tensors are not finite f64 of the shapes that its features ask for")]
    Coefficients,
}

impl Artefact {
    /// The file's bytes: the same for the same tilt.
    ///
    /// # Errors
    /// The format refuses it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Unreadable> {
        let failed = |error: &dyn std::fmt::Display| Unreadable::Format(error.to_string());
        let bytes: Vec<u8> = self.parameters.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut views = Vec::new();
        for (name, shape, from, to) in self.provenance.layout() {
            let bytes = bytes.get(8 * from..8 * to).ok_or(Unreadable::Coefficients)?;
            views.push((name, TensorView::new(Dtype::F64, shape, bytes).map_err(|e| failed(&e))?));
        }
        let provenance = serde_json::to_string(&self.provenance).map_err(|e| failed(&e))?;
        // One entry: the format keeps metadata in no order.
        let metadata = HashMap::from([(KEY.to_owned(), provenance)]);
        serialize(views, Some(metadata)).map_err(|e| failed(&e))
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
        let sound = provenance.beta > 0.0
            && !provenance.scale.is_empty()
            && provenance.scale.iter().all(|scale| *scale > 0.0 && scale.is_finite())
            && provenance.features.as_ref().is_none_or(|reading| match reading.kind {
                FeatureKind::Ngrams(size) => size == provenance.scale.len(),
                FeatureKind::Numbers | FeatureKind::Responses => true,
            })
            && matches!((provenance.model.as_str(), provenance.hidden), ("tilt", 0) | ("mlp", 1..=MAX_HIDDEN));
        if !sound {
            return Err(Unreadable::Metadata("its model, scale or temperature is none".to_owned()));
        }
        let mut found = Vec::new();
        for (name, shape, from, _) in provenance.layout() {
            let tensor = tensors.tensor(name).map_err(|_| Unreadable::Coefficients)?;
            if tensor.dtype() != Dtype::F64 || tensor.shape() != shape {
                return Err(Unreadable::Coefficients);
            }
            found.push((tensor, from));
        }
        // Only now: the tensors are there, so that what is asked for is no larger than the file.
        let mut parameters = vec![f64::NAN; provenance.model().parameters(provenance.scale.len())];
        for (tensor, from) in found {
            let values = tensor.data().as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word));
            parameters[from..].iter_mut().zip(values).for_each(|(own, value)| *own = value);
        }
        let finite = parameters.iter().all(|value| value.is_finite());
        if finite { Ok(Artefact { parameters, provenance }) } else { Err(Unreadable::Coefficients) }
    }

    /// r of a response with these features, as logged.
    pub fn reward(&self, features: &[f64]) -> f64 {
        let model = self.provenance.model();
        match model {
            Model::Tilt => model.value(&self.parameters, features),
            Model::Mlp(_) => {
                let standardised: Vec<f64> =
                    features.iter().zip(&self.provenance.scale).map(|(x, scale)| x / scale).collect();
                model.value(&self.parameters, &standardised)
            }
        }
    }
}

impl Provenance {
    /// The family of the reward. How long a network was trained is not kept.
    pub fn model(&self) -> Model {
        match self.hidden {
            0 => Model::Tilt,
            hidden => Model::Mlp(Network { hidden, steps: 0 }),
        }
    }

    /// The tensors: name, shape, and which of the parameters they hold.
    fn layout(&self) -> Vec<(&'static str, Vec<usize>, usize, usize)> {
        let (width, hidden) = (self.scale.len(), self.hidden);
        match self.model() {
            Model::Tilt => vec![(TILT[0], vec![width], 0, width)],
            Model::Mlp(_) => {
                let (weights, biases) = (hidden * width, hidden * width + hidden);
                vec![
                    (MLP[0], vec![hidden], weights, biases),
                    (MLP[1], vec![hidden, width], 0, weights),
                    (MLP[2], vec![hidden], biases, biases + hidden),
                ]
            }
        }
    }

    /// The provenance of a fitted policy, under the current schema.
    pub fn new(candidate: &str, objective: Objective, model: Model, scale: Vec<f64>) -> Provenance {
        Provenance {
            model: model.name().to_owned(),
            hidden: match model {
                Model::Tilt => 0,
                Model::Mlp(network) => network.hidden,
            },
            features: None,
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
