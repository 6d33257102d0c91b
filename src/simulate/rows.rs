//! Drawing log rows from a world, and the columns they are written as.

use super::random::Random;
use super::world::{Prompt, UserType, World};
use crate::logs::ColumnData;
use chrono::{NaiveTime, TimeDelta};

/// One logged comparison. `None` is a missing value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// `e000001`, …
    pub event_id: Option<String>,
    /// Which prompt was asked.
    pub prompt_id: Option<String>,
    /// Covariate: what the prompt is about.
    pub domain: Option<String>,
    /// Covariate: who asked.
    pub user_type: Option<String>,
    /// The response shown first: the prompt's identifier, `/` and the generator.
    pub response_a: Option<String>,
    /// The response shown second.
    pub response_b: Option<String>,
    /// The model that wrote response a.
    pub generator_a: Option<String>,
    /// The model that wrote response b.
    pub generator_b: Option<String>,
    /// g_O of the ordered pair given prompt and user type.
    pub propensity: Option<f64>,
    /// g_T of the ordered pair: uniform.
    pub target_propensity: Option<f64>,
    /// Probability with which the comparison was selected for labelling; the simulated logs have none.
    pub inclusion: Option<f64>,
    /// The pair-assignment mechanism.
    pub mechanism: Option<String>,
    /// Who labelled.
    pub annotator_id: Option<String>,
    /// When, as ISO 8601 text in UTC.
    pub timestamp: Option<String>,
    /// `a`, `b`, `tie` or `abstain`.
    pub label: Option<String>,
}

/// Draws `n` rows in the order of their timestamps. The same world, `n` and seed give the same rows on every machine.
///
/// A world without users, prompts or at least two generators has no comparisons: no rows.
pub fn rows(world: &World, n: usize, seed: u64) -> Vec<Row> {
    let prompts = world.prompts();
    let cells: Vec<f64> = world.cell_probabilities().into_iter().flatten().collect();
    let mut random = Random::new(seed);
    (0..n).map_while(|index| draw(world, &prompts, &cells, &mut random, index, n)).collect()
}

/// The rows of `examples/telemetry/logs.parquet`.
pub fn example() -> Vec<Row> {
    rows(&World::telemetry(), 2_000, 20_261_001)
}

/// The rows as columns under their canonical names. A column without a single value is left out: nobody logs it.
pub fn columns(rows: &[Row]) -> Vec<(&'static str, ColumnData)> {
    let text =
        |field: fn(&Row) -> &Option<String>| ColumnData::Text(rows.iter().map(|row| field(row).clone()).collect());
    let number = |field: fn(&Row) -> Option<f64>| ColumnData::Number(rows.iter().map(field).collect());
    let mut columns = vec![
        ("event_id", text(|row| &row.event_id)),
        ("prompt_id", text(|row| &row.prompt_id)),
        ("domain", text(|row| &row.domain)),
        ("user_type", text(|row| &row.user_type)),
        ("response_a", text(|row| &row.response_a)),
        ("response_b", text(|row| &row.response_b)),
        ("generator_a", text(|row| &row.generator_a)),
        ("generator_b", text(|row| &row.generator_b)),
        ("propensity", number(|row| row.propensity)),
        ("target_propensity", number(|row| row.target_propensity)),
        ("inclusion", number(|row| row.inclusion)),
        ("mechanism", text(|row| &row.mechanism)),
        ("annotator_id", text(|row| &row.annotator_id)),
        ("timestamp", text(|row| &row.timestamp)),
        ("label", text(|row| &row.label)),
    ];
    columns.retain(|(_, column)| rows.is_empty() || has_value(column));
    columns
}

fn has_value(column: &ColumnData) -> bool {
    match column {
        ColumnData::Text(values) => values.iter().any(Option::is_some),
        ColumnData::Number(values) => values.iter().any(Option::is_some),
        ColumnData::Integer(values) => values.iter().any(Option::is_some),
    }
}

/// Draws one row; `None` where the world has nothing to draw.
fn draw(world: &World, prompts: &[Prompt], cells: &[f64], random: &mut Random, index: usize, n: usize) -> Option<Row> {
    let cell = random.pick(cells)?;
    let domain = cell % world.domains.len();
    let user_type = world.user_types.get(cell / world.domains.len())?;
    let prompt = prompts.get(domain * world.prompts_per_domain + random.below(world.prompts_per_domain))?;
    let pairs = world.pair_propensities(prompt, user_type);
    let probabilities: Vec<f64> = pairs.iter().map(|(_, _, propensity)| *propensity).collect();
    let (a, b, propensity) = *pairs.get(random.pick(&probabilities)?)?;
    let response = |k: usize| Some(format!("{}/{}", prompt.id, world.generators.get(k)?));
    Some(Row {
        event_id: Some(format!("e{:06}", index + 1)),
        prompt_id: Some(prompt.id.clone()),
        domain: world.domains.get(domain).cloned(),
        user_type: Some(user_type.name.clone()),
        response_a: response(a),
        response_b: response(b),
        generator_a: world.generators.get(a).cloned(),
        generator_b: world.generators.get(b).cloned(),
        propensity: Some(propensity),
        target_propensity: Some(world.target_propensity()),
        inclusion: None,
        mechanism: Some(world.mechanism.clone()),
        annotator_id: Some(format!("annotator-{:02}", random.below(world.annotators) + 1)),
        timestamp: timestamp(world, random, index, n),
        label: Some(label(world, prompt, user_type, (a, b), random)?.to_owned()),
    })
}

fn label(
    world: &World,
    prompt: &Prompt,
    user_type: &UserType,
    (a, b): (usize, usize),
    random: &mut Random,
) -> Option<&'static str> {
    let (abstains, ties, answer) = (random.unit(), random.unit(), random.unit());
    let preference = World::preference(prompt, user_type, a, b)?;
    Some(match () {
        () if abstains < world.abstain_share => "abstain",
        () if ties < world.tie_share => "tie",
        () if answer < preference => "a",
        () => "b",
    })
}

/// A moment in the row's own n-th part of the log's days, so that timestamps ascend.
fn timestamp(world: &World, random: &mut Random, index: usize, n: usize) -> Option<String> {
    let span = u64::from(world.days) * 86_400;
    let within = (index as u128 * u128::from(span) + random.below(usize::try_from(span).ok()?) as u128) / n as u128;
    let offset = TimeDelta::try_seconds(i64::try_from(within).ok()?)?;
    let moment = world.start.and_time(NaiveTime::MIN).checked_add_signed(offset)?;
    Some(moment.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
