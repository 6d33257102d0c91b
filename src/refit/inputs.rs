//! From the table of comparisons and the responses file to what a tilt is fitted on.

use super::models::Pairs;
use super::welfare::Menu;
use crate::estimate::{Clusters, Comparisons};
use crate::logs::{Codes, Responses};
use std::collections::BTreeMap;
use std::ops::Range;

/// Why there is nothing to fit on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoFeatures {
    /// No features are named.
    #[error("no features: neither columns of the log nor a column `features` of the responses file give them")]
    Nowhere,
    /// Some rows have none.
    #[error(
        "{0} of the comparisons have a response without features, or with one that is not finite; leaving them out would select rows"
    )]
    Missing(u64),
    /// There are no rows.
    #[error("no comparison carries weight under the target")]
    NoRows,
}

/// The comparisons to fit on: features from the log's columns where there are any, else from the responses file.
/// `sides` keeps those of each response beside their differences.
///
/// # Errors
/// See [`NoFeatures`].
pub fn pairs(comparisons: &Comparisons, responses: Option<&Responses>, sides: bool) -> Result<Pairs, NoFeatures> {
    let found = by_response(comparisons, responses);
    let (width, a, b) = match (&comparisons.features, &found) {
        (Some(features), _) => (features.width, &features.a, &features.b),
        (None, Some((width, (a, b)))) => (*width, a, b),
        (None, None) => return Err(NoFeatures::Nowhere),
    };
    if width == 0 {
        return Err(NoFeatures::Nowhere);
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let unusable = differences.chunks(width).filter(|row| !row.iter().all(|x| x.is_finite())).count() as u64;
    if unusable > 0 {
        return Err(NoFeatures::Missing(unusable));
    }
    if !comparisons.weight.iter().any(|weight| *weight > 0.0) {
        return Err(NoFeatures::NoRows);
    }
    let rows = comparisons.weight.len();
    let (clusters, cluster_count) = match folds_by(comparisons) {
        Some(clusters) => (clusters.codes.clone(), clusters.count),
        None => ((0..rows).map(|row| u32::try_from(row).unwrap_or(Codes::MISSING)).collect(), rows),
    };
    let labels = comparisons.answers.iter().map(|answer| answer.value()).collect();
    let (weights, sides) = (comparisons.weight.clone(), sides.then(|| (a.clone(), b.clone())));
    Ok(Pairs { differences, width, labels, weights, clusters, cluster_count, sides })
}

/// What folds are cut by: the prompt where it is mapped (a re-fit must not have seen the prompt that it is measured on), else
/// the first declared grouping.
fn folds_by(comparisons: &Comparisons) -> Option<&Clusters> {
    comparisons.prompt.as_ref().or(comparisons.clusters.first())
}

/// Features of both responses, row by row; NaN where a response has none.
type Sides = (Vec<f64>, Vec<f64>);

fn by_response(comparisons: &Comparisons, responses: Option<&Responses>) -> Option<(usize, Sides)> {
    let responses = responses?;
    responses.features.as_ref()?;
    let side = |rows: &[u32]| -> Vec<f64> {
        let missing = vec![f64::NAN; responses.width];
        rows.iter().flat_map(|own| responses.features_of(*own as usize).unwrap_or(&missing)).copied().collect()
    };
    Some((responses.width, (side(comparisons.response_a.as_ref()?), side(comparisons.response_b.as_ref()?))))
}

/// The responses of each prompt with the reference's log-probabilities in `column`. `None` without features or such a column
/// in the responses file, or where a number is missing.
pub fn menu(comparisons: &Comparisons, responses: Option<&Responses>, column: Option<&str>) -> Option<Menu> {
    // What the log's own columns hold need not be what the responses file holds.
    let responses = responses.filter(|_| comparisons.features.is_none())?;
    let reference = responses.log_probabilities.get(column?)?;
    let mut by_prompt: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (response, prompt) in responses.prompts.codes.iter().enumerate() {
        by_prompt.entry(*prompt).or_default().push(response);
    }
    let mut menu =
        Menu { features: Vec::new(), ln_reference: Vec::new(), prompts: Vec::new(), prompt_of_row: Vec::new() };
    let mut place: BTreeMap<u32, u32> = BTreeMap::new();
    for (prompt, own) in by_prompt {
        let from = menu.ln_reference.len();
        for response in own {
            menu.features.extend_from_slice(responses.features_of(response)?);
            menu.ln_reference.push(*reference.get(response)?);
        }
        place.insert(prompt, u32::try_from(menu.prompts.len()).ok()?);
        menu.prompts.push(Range { start: from, end: menu.ln_reference.len() });
    }
    let prompt_of = |response: &u32| {
        let prompt = responses.prompts.codes.get(usize::try_from(*response).ok()?)?;
        place.get(prompt).copied()
    };
    let rows = comparisons.response_a.as_ref()?.iter();
    menu.prompt_of_row = rows.map(|response| prompt_of(response).unwrap_or(Codes::MISSING)).collect();
    let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
    (finite(&menu.features) && finite(&menu.ln_reference)).then_some(menu)
}
