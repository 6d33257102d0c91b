//! Drawing log rows from a world, and the columns they are written as.

use super::defect::plant_block;
use super::random::Random;
use super::scene::{Answering, Epoch, Scene, component_pairs, inclusion, logistic, running, scene};
use crate::declare::{Defect, LoggedPropensity, World};
use crate::logs::ColumnData;
use chrono::{NaiveTime, TimeDelta};

/// Rows that are drawn from one stream of random numbers.
pub const BLOCK_ROWS: u64 = 16_384;

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
    /// The response shown first.
    pub response_a: Option<String>,
    /// The response shown second.
    pub response_b: Option<String>,
    /// The model that wrote response a.
    pub generator_a: Option<String>,
    /// The model that wrote response b.
    pub generator_b: Option<String>,
    /// g_O of the ordered pair given prompt and user type.
    pub propensity: Option<f64>,
    /// g_T of the ordered pair.
    pub target_propensity: Option<f64>,
    /// Probability with which the comparison was selected for labelling, where the world says so.
    pub inclusion: Option<f64>,
    /// The pair-assignment mechanism.
    pub mechanism: Option<String>,
    /// The component of the mechanism's mixture that drew the pair, where the world logs it.
    pub component: Option<String>,
    /// Who labelled.
    pub annotator_id: Option<String>,
    /// When, as ISO 8601 text in UTC.
    pub timestamp: Option<String>,
    /// `a`, `b`, `tie` or `abstain`.
    pub label: Option<String>,
    /// log pi of both responses under the reference and each candidate, in nats; none in a world without candidates.
    pub log_probabilities: Vec<[f64; 2]>,
}

/// Draws `n` rows in the order of their timestamps, what the world's document plants included. The same world, `n` and
/// seed give the same rows on every machine.
///
/// A world that cannot be made ready (see [`scene`]) has no rows.
pub fn rows(world: &World, n: usize, seed: u64) -> Vec<Row> {
    scene(world).map_or(Vec::new(), |scene| scene.rows(n, seed))
}

/// The rows of `examples/telemetry/logs.parquet`.
pub fn example() -> Vec<Row> {
    let world = World::telemetry();
    rows(&world, world.rows as usize, world.seed)
}

/// The rows as columns under their canonical names, without the candidates' log-probabilities (see [`Scene::columns`]).
/// A column without a single value is left out: nobody logs it.
pub fn columns(rows: &[Row]) -> Vec<(&'static str, ColumnData)> {
    let mut columns = all_columns(rows.to_vec());
    columns.retain(|(_, column)| rows.is_empty() || has_value(column));
    columns
}

/// Every column, those without a value too.
fn all_columns(rows: Vec<Row>) -> Vec<(&'static str, ColumnData)> {
    let mut rows = rows;
    let mut text = |name, field: fn(&mut Row) -> &mut Option<String>| {
        (name, ColumnData::Text(rows.iter_mut().map(|row| field(row).take()).collect()))
    };
    let mut columns = vec![
        text("event_id", |row| &mut row.event_id),
        text("prompt_id", |row| &mut row.prompt_id),
        text("domain", |row| &mut row.domain),
        text("user_type", |row| &mut row.user_type),
        text("response_a", |row| &mut row.response_a),
        text("response_b", |row| &mut row.response_b),
        text("generator_a", |row| &mut row.generator_a),
        text("generator_b", |row| &mut row.generator_b),
        text("mechanism", |row| &mut row.mechanism),
        text("component", |row| &mut row.component),
        text("annotator_id", |row| &mut row.annotator_id),
        text("timestamp", |row| &mut row.timestamp),
        text("label", |row| &mut row.label),
    ];
    let number = |name, field: fn(&Row) -> Option<f64>| (name, ColumnData::Number(rows.iter().map(field).collect()));
    let numbers = [
        number("propensity", |row| row.propensity),
        number("target_propensity", |row| row.target_propensity),
        number("inclusion", |row| row.inclusion),
    ];
    columns.splice(8..8, numbers);
    columns
}

fn has_value(column: &ColumnData) -> bool {
    match column {
        ColumnData::Text(values) => values.iter().any(Option::is_some),
        ColumnData::Number(values) => values.iter().any(Option::is_some),
        ColumnData::Integer(values) => values.iter().any(Option::is_some),
        ColumnData::Numbers(values) => !values.is_empty(),
    }
}

impl Scene {
    /// Draws `n` rows: see [`rows`].
    pub fn rows(&self, n: usize, seed: u64) -> Vec<Row> {
        let n = n as u64;
        (0..n.div_ceil(BLOCK_ROWS)).flat_map(|block| self.block(n, seed, block)).collect()
    }

    /// The rows of one block of a log of `n` rows, with what the world plants.
    pub fn block(&self, n: u64, seed: u64, block: u64) -> Vec<Row> {
        let random = &mut Random::of_block(seed, block);
        let first = block * BLOCK_ROWS;
        let mut rows: Vec<Row> =
            (first..n.min(first + BLOCK_ROWS)).map_while(|index| self.draw(random, index, n)).collect();
        for (index, defect) in (1_u64..).zip(&self.world.defects) {
            let stream = seed.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            plant_block(&mut rows, defect, &mut Random::of_block(stream, block), first);
        }
        rows
    }

    /// The rows as the columns of this world's logs: those of [`columns`] that its mechanism and its defects leave, then
    /// log pi of both responses under the reference and each candidate.
    pub fn columns(&self, rows: Vec<Row>) -> Vec<(String, ColumnData)> {
        let policies = self.logged_policies();
        let mut further = Vec::new();
        for (index, name) in policies.iter().enumerate() {
            for (side, letter) in ["a", "b"].into_iter().enumerate() {
                let of_row = |row: &Row| row.log_probabilities.get(index).and_then(|own| own.get(side)).copied();
                further.push((format!("{name}_logp_{letter}"), ColumnData::Number(rows.iter().map(of_row).collect())));
            }
        }
        let own = all_columns(rows).into_iter().filter(|(name, _)| self.has_column(name));
        own.map(|(name, column)| (name.to_owned(), column)).chain(further).collect()
    }

    /// Whether this world's logs have a column.
    pub(super) fn has_column(&self, name: &str) -> bool {
        let world = &self.world;
        let gone = |defect: &Defect| match defect {
            Defect::NoColumn(column) => column == name,
            Defect::MissingPropensity(share) => name == "propensity" && *share >= 1.0,
            Defect::Missing { column, share } => column == name && *share >= 1.0,
            _ => false,
        };
        let logged = match name {
            "inclusion" => world.flaws.selection.is_some_and(|selection| selection.logged),
            "component" => world.component_logged,
            "generator_a" | "generator_b" => {
                self.prompts.iter().flat_map(|prompt| &prompt.responses).any(|response| response.generator.is_some())
            }
            _ => true,
        };
        logged && !world.defects.iter().any(gone)
    }

    /// The names of the policies whose log-probabilities a log has: the reference and the candidates, if there are any.
    pub(super) fn logged_policies(&self) -> Vec<&str> {
        self.policies.iter().take(self.policies_logged()).map(|policy| policy.name.as_str()).collect()
    }

    fn policies_logged(&self) -> usize {
        match self.world.candidates.len() {
            0 => 0,
            candidates => candidates + 1,
        }
    }

    fn epoch(&self, index: u64, n: u64) -> Option<&Epoch> {
        let at = (index as f64 + 0.5) / n as f64;
        self.epochs.iter().find(|epoch| at < epoch.end).or(self.epochs.last())
    }

    /// Draws one row; `None` where the world has nothing to draw.
    fn draw(&self, random: &mut Random, index: u64, n: u64) -> Option<Row> {
        let world = &self.world;
        let epoch = self.epoch(index, n)?;
        let (user_type, at, shown, pair) = loop {
            let cell = random.pick(&self.cumulative_cells)?;
            let (user_type, domain) = (cell / self.domains.len(), cell % self.domains.len());
            let of_domain = self.by_domain.get(domain)?;
            let at = *of_domain.get(random.below(of_domain.len()))?;
            let shown = self.shown(epoch.mechanism, user_type, at)?;
            let pair = random.pick(&shown.cumulative)?;
            let (a, b) = *shown.pairs.get(pair)?;
            let responses = &self.prompts.get(at)?.responses;
            let labelled = inclusion(world.flaws.selection.as_ref(), responses.get(a)?, responses.get(b)?);
            if labelled >= 1.0 || random.unit() < labelled {
                break (user_type, at, shown, pair);
            }
        };
        let prompt = self.prompts.get(at)?;
        let (a, b) = *shown.pairs.get(pair)?;
        let (response_a, response_b) = (prompt.responses.get(a)?, prompt.responses.get(b)?);
        let propensity = *shown.propensity.get(pair)?;
        let selection = world.flaws.selection.as_ref();
        let annotator = random.below(world.annotators.count as usize) as u64;
        let timestamp = timestamp(world, random, index, n);
        let label = self.label(random, (user_type, at, (a, b)), epoch, annotator)?;
        let mechanism = world.mechanisms.get(epoch.mechanism)?;
        Some(Row {
            event_id: Some(format!("e{:06}", index + 1)),
            prompt_id: Some(prompt.id.clone()),
            domain: self.domains.get(prompt.domain).cloned(),
            user_type: Some(world.user_types.get(user_type)?.name.clone()),
            response_a: Some(response_a.id.clone()),
            response_b: Some(response_b.id.clone()),
            generator_a: response_a.generator.clone(),
            generator_b: response_b.generator.clone(),
            propensity: self.logged_propensity(shown, pair),
            target_propensity: Some(self.target_propensity(prompt, (a, b), propensity)),
            inclusion: selection.filter(|own| own.logged).map(|own| inclusion(Some(own), response_a, response_b)),
            mechanism: Some(mechanism.id.clone()),
            component: if world.component_logged { self.component(random, epoch, user_type, at, (a, b)) } else { None },
            annotator_id: Some(format!("annotator-{:02}", annotator + 1)),
            timestamp,
            label: Some(label.to_owned()),
            log_probabilities: self.log_probabilities(at, (a, b)),
        })
    }

    fn label(
        &self,
        random: &mut Random,
        (user_type, prompt, (a, b)): (usize, usize, (usize, usize)),
        epoch: &Epoch,
        annotator: u64,
    ) -> Option<&'static str> {
        let labels = &self.world.labels;
        let (abstains, ties, answer) = (random.unit(), random.unit(), random.unit());
        let responses = &self.prompts.get(prompt)?.responses;
        let own = self.annotator(annotator);
        let answering = Answering { attribute: own.attribute + epoch.drift, ..own };
        let mut log_odds = self.log_odds(user_type, responses.get(a)?, responses.get(b)?, answering);
        if let Some(hidden) = &self.world.flaws.hidden
            && (hidden.share >= 1.0 || random.unit() < hidden.share)
        {
            log_odds += self.hidden_log_odds(prompt, (a, b));
        }
        Some(match () {
            () if abstains < labels.abstain => "abstain",
            () if ties < labels.tie => "tie",
            () if answer < logistic(log_odds) => "a",
            () => "b",
        })
    }

    /// What the log says g_O was.
    fn logged_propensity(&self, shown: &super::scene::Shown, pair: usize) -> Option<f64> {
        match self.world.flaws.propensity {
            LoggedPropensity::Pair => shown.propensity.get(pair).copied(),
            LoggedPropensity::BeforeFilter => shown.before_filter.get(pair).copied(),
            LoggedPropensity::Reversed => {
                let (a, b) = *shown.pairs.get(pair)?;
                let other = shown.pairs.iter().position(|own| *own == (b, a))?;
                shown.propensity.get(other).copied()
            }
        }
    }

    /// The component that drew a pair, given the pair: in proportion to what each adds to its g_O.
    fn component(
        &self,
        random: &mut Random,
        epoch: &Epoch,
        user_type: usize,
        at: usize,
        (a, b): (usize, usize),
    ) -> Option<String> {
        let prompt = self.prompts.get(at)?;
        let mixture = &self.world.mechanisms.get(epoch.mechanism)?.mixture;
        let part = |component: &crate::declare::Component| {
            let score = component.score.get(user_type)?;
            let drawn = component_pairs(prompt, score, component.temperature, component.replacement);
            Some(component.share.get(user_type)? * drawn.get(a * prompt.responses.len() + b)?)
        };
        let parts = running(mixture.iter().map(|component| part(component).unwrap_or(0.0)));
        Some(mixture.get(random.pick(&parts)?)?.name.clone())
    }

    fn log_probabilities(&self, prompt: usize, (a, b): (usize, usize)) -> Vec<[f64; 2]> {
        let of = |index: usize, response: usize| {
            let policy = self.policies.get(index)?;
            policy.logp.get(prompt)?.get(response).copied()
        };
        (0..self.policies_logged()).filter_map(|index| Some([of(index, a)?, of(index, b)?])).collect()
    }
}

/// A moment in the row's own n-th part of the log's days, so that timestamps ascend.
fn timestamp(world: &World, random: &mut Random, index: u64, n: u64) -> Option<String> {
    let span = u64::from(world.days) * 86_400;
    let within =
        (u128::from(index) * u128::from(span) + random.below(usize::try_from(span).ok()?) as u128) / u128::from(n);
    let offset = TimeDelta::try_seconds(i64::try_from(within).ok()?)?;
    let moment = world.start.and_time(NaiveTime::MIN).checked_add_signed(offset)?;
    Some(moment.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
