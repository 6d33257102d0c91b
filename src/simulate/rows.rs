//! Drawing log rows from a world, and the columns they are written as.

use super::defect::plant_block;
use super::scene::{Answering, Epoch, Prompt, Response, Scene, Shown, inclusion, logistic, scene};
use crate::declare::{Defect, LoggedPropensity, World};
use crate::logs::{ColumnData, PackedText};
use crate::numeric::Random;
use chrono::{NaiveDateTime, NaiveTime, TimeDelta};
use std::fmt::{self, Display};

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

/// One comparison as drawn, with its texts still in the world's tables.
#[derive(Debug, Clone, Copy)]
struct Drawn<'a> {
    /// The row of the log, from 0.
    index: u64,
    /// The prompt's index.
    at: usize,
    prompt: &'a Prompt,
    domain: &'a str,
    user_type: &'a str,
    /// The indices of the responses a and b.
    pair: (usize, usize),
    a: &'a Response,
    b: &'a Response,
    propensity: Option<f64>,
    target_propensity: f64,
    inclusion: Option<f64>,
    mechanism: &'a str,
    component: Option<&'a str>,
    annotator: u64,
    /// When; shown as ISO 8601 by `{:?}`.
    moment: Option<NaiveDateTime>,
    label: &'static str,
}

impl Drawn<'_> {
    fn event_id(&self) -> impl Display + use<> {
        let number = self.index + 1;
        fmt::from_fn(move |to| write!(to, "e{number:06}"))
    }

    fn annotator_id(&self) -> impl Display + use<> {
        let number = self.annotator + 1;
        fmt::from_fn(move |to| write!(to, "annotator-{number:02}"))
    }
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
        ColumnData::Packed(values) => (0..values.len()).any(|row| values.get(row).is_some()),
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
        let mut rows: Vec<Row> = self.drawn(n, seed, block).iter().map(|drawn| self.row(drawn)).collect();
        for (index, defect) in (1_u64..).zip(&self.world.defects) {
            let stream = seed.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            plant_block(&mut rows, defect, &mut Random::of_block(stream, block), block * BLOCK_ROWS);
        }
        rows
    }

    /// The columns of one block: those of its rows, without making rows where nothing has to be planted into them.
    pub(super) fn block_columns(&self, n: u64, seed: u64, block: u64) -> Vec<(String, ColumnData)> {
        // A column that nobody logs is left out of the columns, and changes nothing else.
        if self.world.defects.iter().all(|defect| matches!(defect, Defect::NoColumn(_))) {
            self.drawn_columns(&self.drawn(n, seed, block))
        } else {
            self.columns(self.block(n, seed, block))
        }
    }

    fn drawn(&self, n: u64, seed: u64, block: u64) -> Vec<Drawn<'_>> {
        let random = &mut Random::of_block(seed, block);
        let first = block * BLOCK_ROWS;
        (first..n.min(first + BLOCK_ROWS)).map_while(|index| self.draw(random, index, n)).collect()
    }

    /// The rows as the columns of this world's logs: those of [`columns`] that its mechanism and its defects leave, then
    /// log pi of both responses under the reference and each candidate.
    pub fn columns(&self, rows: Vec<Row>) -> Vec<(String, ColumnData)> {
        let of_row = |row: &Row, policy: usize, side: usize| row.log_probabilities.get(policy)?.get(side).copied();
        let further = self.policy_columns(&rows, of_row);
        self.in_log(all_columns(rows)).chain(further).collect()
    }

    /// The same columns, from what was drawn.
    fn drawn_columns(&self, all: &[Drawn<'_>]) -> Vec<(String, ColumnData)> {
        let text = |name, push: fn(&Drawn<'_>, &mut PackedText)| {
            let mut packed = PackedText::default();
            all.iter().for_each(|drawn| push(drawn, &mut packed));
            (name, ColumnData::Packed(packed))
        };
        let number = |name, of: fn(&Drawn<'_>) -> Option<f64>| (name, ColumnData::Number(all.iter().map(of).collect()));
        let columns = vec![
            text("event_id", |own, to| to.push_display(own.event_id())),
            text("prompt_id", |own, to| to.push(&own.prompt.id)),
            text("domain", |own, to| to.push(own.domain)),
            text("user_type", |own, to| to.push(own.user_type)),
            text("response_a", |own, to| to.push(&own.a.id)),
            text("response_b", |own, to| to.push(&own.b.id)),
            text("generator_a", |own, to| to.push_option(own.a.generator.as_deref())),
            text("generator_b", |own, to| to.push_option(own.b.generator.as_deref())),
            number("propensity", |own| own.propensity),
            number("target_propensity", |own| Some(own.target_propensity)),
            number("inclusion", |own| own.inclusion),
            text("mechanism", |own, to| to.push(own.mechanism)),
            text("component", |own, to| to.push_option(own.component)),
            text("annotator_id", |own, to| to.push_display(own.annotator_id())),
            text("timestamp", |own, to| match own.moment {
                Some(moment) => to.push_display(format_args!("{moment:?}Z")),
                None => to.push_option(None),
            }),
            text("label", |own, to| to.push(own.label)),
        ];
        let further = self.policy_columns(all, |own, policy, side| {
            let (a, b) = own.pair;
            self.log_probability(policy, own.at, if side == 0 { a } else { b })
        });
        self.in_log(columns).chain(further).collect()
    }

    /// Of all columns, those that this world's logs have.
    fn in_log(&self, columns: Vec<(&'static str, ColumnData)>) -> impl Iterator<Item = (String, ColumnData)> {
        let own = columns.into_iter().filter(|(name, _)| self.has_column(name));
        own.map(|(name, column)| (name.to_owned(), column))
    }

    /// log pi of response a and of response b, under every policy that the log has.
    fn policy_columns<T>(
        &self,
        rows: &[T],
        logp: impl Fn(&T, usize, usize) -> Option<f64>,
    ) -> Vec<(String, ColumnData)> {
        let mut columns = Vec::new();
        for (policy, name) in self.logged_policies().iter().enumerate() {
            for (side, letter) in ["a", "b"].into_iter().enumerate() {
                let values = rows.iter().map(|row| logp(row, policy, side)).collect();
                columns.push((format!("{name}_logp_{letter}"), ColumnData::Number(values)));
            }
        }
        columns
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

    /// Draws one comparison; `None` where the world has nothing to draw.
    fn draw(&self, random: &mut Random, index: u64, n: u64) -> Option<Drawn<'_>> {
        let world = &self.world;
        let selection = world.flaws.selection.as_ref();
        let epoch = self.epoch(index, n)?;
        let (user_type, at, shown, place) = loop {
            let cell = random.pick(&self.cumulative_cells)?;
            let (user_type, domain) = (cell / self.domains.len(), cell % self.domains.len());
            let of_domain = self.by_domain.get(domain)?;
            let at = *of_domain.get(random.below(of_domain.len()))?;
            let shown = self.shown(epoch.mechanism, user_type, at)?;
            let place = random.pick(&shown.cumulative)?;
            let (a, b) = *shown.pairs.get(place)?;
            let responses = &self.prompts.get(at)?.responses;
            let labelled = inclusion(selection, responses.get(a)?, responses.get(b)?);
            if labelled >= 1.0 || random.unit() < labelled {
                break (user_type, at, shown, place);
            }
        };
        let prompt = self.prompts.get(at)?;
        let pair = *shown.pairs.get(place)?;
        let (a, b) = (prompt.responses.get(pair.0)?, prompt.responses.get(pair.1)?);
        let mechanism = world.mechanisms.get(epoch.mechanism)?;
        let annotator = random.below(world.annotators.count as usize) as u64;
        let moment = moment(world, random, index, n);
        let label = self.label(random, (user_type, at, pair), epoch, annotator)?;
        let component = match shown.parts_of(place) {
            Some(parts) => Some(mechanism.mixture.get(random.pick(parts)?)?.name.as_str()),
            None => None,
        };
        Some(Drawn {
            index,
            at,
            prompt,
            domain: self.domains.get(prompt.domain)?,
            user_type: &world.user_types.get(user_type)?.name,
            pair,
            a,
            b,
            propensity: self.logged_propensity(shown, place),
            target_propensity: self.target_propensity(prompt, pair, *shown.propensity.get(place)?),
            inclusion: selection.filter(|own| own.logged).map(|own| inclusion(Some(own), a, b)),
            mechanism: &mechanism.id,
            component,
            annotator,
            moment,
            label,
        })
    }

    fn row(&self, drawn: &Drawn<'_>) -> Row {
        let (a, b) = drawn.pair;
        let logp = |policy: usize, response: usize| self.log_probability(policy, drawn.at, response);
        Row {
            event_id: Some(drawn.event_id().to_string()),
            prompt_id: Some(drawn.prompt.id.clone()),
            domain: Some(drawn.domain.to_owned()),
            user_type: Some(drawn.user_type.to_owned()),
            response_a: Some(drawn.a.id.clone()),
            response_b: Some(drawn.b.id.clone()),
            generator_a: drawn.a.generator.clone(),
            generator_b: drawn.b.generator.clone(),
            propensity: drawn.propensity,
            target_propensity: Some(drawn.target_propensity),
            inclusion: drawn.inclusion,
            mechanism: Some(drawn.mechanism.to_owned()),
            component: drawn.component.map(str::to_owned),
            annotator_id: Some(drawn.annotator_id().to_string()),
            timestamp: drawn.moment.map(|moment| format!("{moment:?}Z")),
            label: Some(drawn.label.to_owned()),
            log_probabilities: (0..self.policies_logged())
                .filter_map(|policy| Some([logp(policy, a)?, logp(policy, b)?]))
                .collect(),
        }
    }

    fn log_probability(&self, policy: usize, prompt: usize, response: usize) -> Option<f64> {
        self.policies.get(policy)?.logp.get(prompt)?.get(response).copied()
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
    fn logged_propensity(&self, shown: &Shown, pair: usize) -> Option<f64> {
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
}

/// A moment in the row's own n-th part of the log's days, so that timestamps ascend.
fn moment(world: &World, random: &mut Random, index: u64, n: u64) -> Option<NaiveDateTime> {
    let span = u64::from(world.days) * 86_400;
    let within =
        (u128::from(index) * u128::from(span) + random.below(usize::try_from(span).ok()?) as u128) / u128::from(n);
    let offset = TimeDelta::try_seconds(i64::try_from(within).ok()?)?;
    world.start.and_time(NaiveTime::MIN).checked_add_signed(offset)
}
