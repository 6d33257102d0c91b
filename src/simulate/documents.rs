//! The documents that go with a simulated log: the regime, the policy and the audit of it.

use super::scene::{REFERENCE, Scene, Shown};
use super::truth::Truth;
use crate::declare::{Defect, Levels, WORLD_COVARIATES, WorldPairs};
use std::collections::BTreeMap;

/// How far two probabilities that are equal by design may differ by rounding, relative.
const ROUNDING: f64 = 1e-12;

/// Text as YAML: JSON's quoting is YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A number as YAML.
fn number(value: f64) -> String {
    serde_json::Value::from(value).to_string()
}

impl Scene {
    /// The covariates that the log has, and the target over them: a proxy that is coarser or dropped makes the target so.
    fn declared_target(&self) -> (Vec<&'static str>, BTreeMap<Levels, f64>) {
        let mut merged: BTreeMap<&String, &String> = BTreeMap::new();
        for defect in &self.world.defects {
            if let Defect::CoarsenedProxy(written) = defect {
                merged.extend(written);
            }
        }
        let mut kept = Vec::new();
        let mut places = Vec::new();
        for (place, covariate) in WORLD_COVARIATES.into_iter().enumerate().filter(|(_, name)| self.has_column(name)) {
            kept.push(covariate);
            places.push(place);
        }
        let mut target: BTreeMap<Levels, f64> = BTreeMap::new();
        for (levels, mass) in &self.world.target {
            let level = |place: &usize| {
                let level = levels.get(*place)?;
                Some(if *place == 1 { (*merged.get(level).unwrap_or(&level)).clone() } else { level.clone() })
            };
            *target.entry(places.iter().filter_map(level).collect()).or_default() += mass;
        }
        (kept, target)
    }

    /// The regime document: the world's target, and its mechanisms with the bounds that hold by design.
    pub fn regime_yaml(&self, truth: &Truth) -> String {
        let world = &self.world;
        let (covariates, target) = self.declared_target();
        let mut text = format!(
            "schema: counterweight/regime/v1\nname: {}\nversion: 1.0.0\neffective: {}\nowner: counterweight simulate\n\
             motivation: the target of a simulated world\ncells: [{}]\ntarget:\n  table:\n",
            quoted(&world.name),
            world.start,
            covariates.join(", "),
        );
        for (levels, mass) in target.iter().filter(|(_, mass)| **mass > 0.0) {
            let named: Vec<String> =
                covariates.iter().zip(levels).map(|(name, level)| format!("{name}: {}", quoted(level))).collect();
            text.push_str(&format!("    - {{{}, mass: {}}}\n", named.join(", "), number(*mass)));
        }
        let pairs = match world.pairs {
            WorldPairs::Uniform => "{column: target_propensity}",
            WorldPairs::Logged => "logged",
        };
        text.push_str(&format!("pairs: {pairs}\nobserved: empirical\nmechanisms:\n"));
        for (index, mechanism) in world.mechanisms.iter().enumerate() {
            let description = mechanism.description.as_deref().unwrap_or("a mechanism of a simulated world");
            text.push_str(&format!("  - id: {}\n", quoted(&mechanism.id)));
            text.push_str(&format!("    description: {}\n", quoted(description)));
            text.push_str(&format!("    symmetric: {}\n", self.is_symmetric(index)));
            if let Some(bound) = truth.max_pair_ratio.get(&mechanism.id).filter(|bound| bound.is_finite()) {
                // Rounded up, so that no right propensity exceeds it.
                let bound = (bound * 1000.0 * (1.0 - ROUNDING)).ceil() / 1000.0;
                text.push_str(&format!("    max_pair_ratio: {}\n", number(bound.max(1.0))));
            }
            let generators = self.generators();
            if !generators.is_empty() {
                let names: Vec<String> = generators.into_iter().map(quoted).collect();
                text.push_str(&format!("    generators: [{}]\n", names.join(", ")));
            }
            text.push_str("    adaptive: false\n");
        }
        text
    }

    /// The generators of all responses, sorted.
    fn generators(&self) -> Vec<&str> {
        let responses = self.prompts.iter().flat_map(|prompt| &prompt.responses);
        let mut all: Vec<&str> = responses.filter_map(|response| response.generator.as_deref()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether a mechanism shows every pair as often as the same pair the other way round.
    fn is_symmetric(&self, mechanism: usize) -> bool {
        let even = |shown: &Shown| {
            let by_pair: BTreeMap<&(usize, usize), &f64> = shown.pairs.iter().zip(&shown.propensity).collect();
            by_pair.iter().all(|((a, b), g)| {
                by_pair.get(&(*b, *a)).is_some_and(|other| (**g - **other).abs() <= ROUNDING * g.max(**other))
            })
        };
        self.shown.get(mechanism).is_some_and(|by_type| by_type.iter().flatten().all(even))
    }

    /// The policy document: the shipped `standard`, for overriding.
    pub fn policy_yaml(&self) -> String {
        format!(
            "schema: counterweight/policy/v1\nname: {}\nversion: 1.0.0\nextends: standard\n",
            quoted(&format!("standard for {}", self.world.name))
        )
    }

    /// The audit document of the log in the file of that name.
    pub fn audit_yaml(&self, logs: &str) -> String {
        let mut text = format!(
            "schema: counterweight/audit/v1\nregime: regime.yaml\npolicy: policy.yaml\nlogs:\n  path: {logs}\n  \
             labels: {{a: [a], b: [b], tie: [tie], abstain: [abstain]}}\n  cluster: prompt\n  \
             responses: responses.parquet\n",
        );
        if self.world.flaws.selection.is_none_or(|selection| !selection.logged) {
            // What whoever keeps such a log believes; where selection is planted, it is wrong.
            text.push_str("  selection: every comparison that was shown was labelled\n");
        } else {
            text.push_str("  selection: close comparisons were labelled more rarely, as inclusion says\n");
        }
        if self.world.candidates.is_empty() {
            return text;
        }
        let logp = |name: &str| {
            let column = |side: &str| quoted(&format!("{name}_logp_{side}"));
            format!("logp_a: {}, logp_b: {}", column("a"), column("b"))
        };
        text.push_str(&format!("reference: {{{}}}\ncandidates:\n", logp(REFERENCE)));
        for candidate in &self.world.candidates {
            let role = if candidate.incumbent { "incumbent" } else { "challenger" };
            let beta = candidate.beta.map_or(String::new(), |beta| format!("beta: {}, ", number(beta)));
            let name = quoted(&candidate.name);
            text.push_str(&format!("  - {{name: {name}, role: {role}, {beta}{}}}\n", logp(&candidate.name)));
        }
        text
    }
}
