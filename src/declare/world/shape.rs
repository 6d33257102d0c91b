//! The shape of world documents.

use crate::declare::regime;
use crate::declare::shape::{
    DocumentKind, Field, Range, Shape, either, fields, list, map, may, must, one_of, positive, schema_field, word,
};

/// The largest factor, score or addition to log-odds that a document may give; `exp` of it is far from overflowing.
const MAX_NATS: f64 = 100.0;
/// The most rows of a log.
pub(super) const MAX_ROWS: u64 = 1 << 36;

pub(in crate::declare) fn shape() -> Shape {
    fields(vec![
        schema_field(DocumentKind::World),
        must("name", Shape::Text, "The world's name.", "name: telemetry"),
        must("rows", Shape::Integer(1), "How many comparisons the log has.", "rows: 20000"),
        must("seed", Shape::Integer(0), "The seed of the draws.", "seed: 7"),
        may("time", time_shape(), "When; 90 days from 2026-01-01 unless said."),
        must(
            "responses",
            responses_shape(),
            "The prompts, their responses and the responses' two scores, s_base and s_attr.",
            "responses: {file: responses.csv}",
        ),
        must(
            "user_types",
            map(user_type_shape()),
            "Who asks, what they ask and what they like, by the level of `user_type`.",
            "user_types: {casual: {share: 1, asks: {coding: 1}}}",
        ),
        may(
            "confounding",
            share(),
            "The dial d: p_O(x | c) is 1 - d parts what all ask together and d parts what the type's `asks` say; 1 unless said.",
        ),
        must(
            "mechanisms",
            list(mechanism_shape(), 1),
            "The versions of the pair mechanism g_O, in the order of time.",
            "mechanisms: [{id: sampler@1, mixture: [{name: all, draw: uniform}]}]",
        ),
        may("labels", labels_shape(), "How comparisons are answered; without it by Bradley-Terry alone."),
        may("annotators", annotators_shape(), "Who answers; one annotator without a bias unless said."),
        may("component_logged", Shape::Flag, "Whether the log names the component of the mixture; false unless said."),
        must(
            "target",
            regime::world_target_shape(),
            "The target p_T over domain and user_type, in exactly one form.",
            "target: {uniform: {domain: [coding], user_type: [casual]}}",
        ),
        may("pairs", word("form", &["uniform", "logged"]), "The target pair mechanism g_T; `uniform` unless said."),
        may("reference", tilt_shape(), "log pi_ref of a response, up to the prompt's constant; uniform unless said."),
        may("candidates", list(candidate_shape(), 0), "The candidate policies."),
        may("beta", positive(), "The weight of the divergence in the welfare J; 0.5 unless said."),
        may("defects", list(defect_shape(), 0), "What goes wrong, in this order."),
    ])
}

/// A number within the bounds of scores.
fn nats() -> Shape {
    Shape::Number(Range { min: -MAX_NATS, above: false, max: Some(MAX_NATS) })
}

/// A number from 0 to `max`.
fn up_to(max: f64) -> Shape {
    Shape::Number(Range { min: 0.0, above: false, max: Some(max) })
}

fn share() -> Shape {
    up_to(1.0)
}

fn by_type(shape: fn() -> Shape) -> Shape {
    either(shape(), map(shape()))
}

fn time_shape() -> Shape {
    fields(vec![
        must("start", Shape::Date, "The first day.", "start: 2026-01-01"),
        must("days", Shape::Integer(1), "How many days.", "days: 90"),
    ])
}

fn responses_shape() -> Shape {
    let generator = fields(vec![
        may("base", nats(), "Its part of s_base, in steps; 0 unless said."),
        may("attribute", nats(), "Its part of s_attr, in steps; 0 unless said."),
    ]);
    let noise = fields(vec![
        may("base", Shape::Integer(0), "Noise of s_base, in steps."),
        may("attribute", Shape::Integer(0), "Noise of s_attr, in steps."),
    ]);
    let generated = fields(vec![
        must("seed", Shape::Integer(0), "The seed of the scores.", "seed: 1"),
        must("domains", list(Shape::Text, 1), "The levels of `domain`.", "domains: [writing, coding]"),
        must("prompts_per_domain", Shape::Integer(1), "How many prompts each has.", "prompts_per_domain: 20"),
        must(
            "generators",
            map(generator),
            "The models, of which each wrote one response to each prompt, and what is theirs of the scores.",
            "generators: {small: {base: -1}, large: {base: 1}}",
        ),
        may("step", positive(), "One step of the scores, in nats; 0.25 unless said."),
        may("noise", noise, "Each response adds to both scores a step drawn evenly from minus to plus this."),
    ]);
    one_of(vec![
        may("generated", generated, "Made-up prompts."),
        may(
            "file",
            Shape::Text,
            "A Parquet, CSV or NDJSON file, relative to this document, with a row a response: prompt_id, domain, \
             response_id, base, attribute, and generator where it is known.",
        ),
    ])
}

fn user_type_shape() -> Shape {
    fields(vec![
        must("share", share(), "Share of the traffic.", "share: 0.5"),
        must("asks", map(share()), "Shares of the domains that they ask in.", "asks: {coding: 1}"),
        may("alpha", nats(), "How much s_attr counts: r* = s_base + alpha * s_attr; 0 unless said."),
    ])
}

fn mechanism_shape() -> Shape {
    let filter = fields(vec![
        may("min_base", nats(), "Both responses have at least this s_base."),
        may("max_gap", up_to(MAX_NATS), "The responses' s_base differ by at most this."),
    ]);
    fields(vec![
        must("id", Shape::Text, "The identifier that log rows carry.", "id: sampler@1.0.0"),
        may("description", Shape::Text, "What it does."),
        may("share", share(), "Its share of the log's rows; 1 unless said."),
        must("mixture", list(component_shape(), 1), "Its components.", "mixture: [{name: all, draw: uniform}]"),
        may("filter", filter, "Which pairs may be shown; the others' probability is shared out in proportion."),
    ])
}

fn component_shape() -> Shape {
    fields(vec![
        must("name", Shape::Text, "Its name.", "name: explore"),
        may("share", by_type(share), "Its share of the pairs, for all or by user type; 1 unless said."),
        must("draw", word("draw", &["uniform", "scored"]), "How responses are drawn.", "draw: uniform"),
        may("base", by_type(nats), "The factor of s_base in the score, for all or by user type; 0 unless said."),
        may("attribute", by_type(nats), "The factor of s_attr, likewise."),
        may("temperature", positive(), "Responses are drawn in proportion to exp(score / temperature); 1 unless said."),
        may("replacement", Shape::Flag, "Whether a response may be shown against itself; false unless said."),
    ])
}

fn labels_shape() -> Shape {
    let drift = fields(vec![
        must("from", share(), "From which share of the log's rows on.", "from: 0.5"),
        must("alpha", nats(), "What is added to every alpha.", "alpha: 0.3"),
    ]);
    fields(vec![
        may("abstain", share(), "Share of abstentions."),
        may("tie", share(), "Share of ties among the answers."),
        may("position", nats(), "What being shown first adds to the log-odds."),
        may("drift", list(drift, 0), "How what users like changes over time."),
    ])
}

fn annotators_shape() -> Shape {
    fields(vec![
        must("count", Shape::Integer(1), "How many there are.", "count: 12"),
        may("position", up_to(MAX_NATS), "Their own additions to the log-odds of a go from minus to plus this."),
        may("attribute", up_to(MAX_NATS), "Their own additions to alpha go from minus to plus this."),
    ])
}

fn tilt_fields() -> Vec<Field> {
    vec![
        may("base", nats(), "The factor of s_base; 0 unless said."),
        may("attribute", nats(), "The factor of s_attr; 0 unless said."),
    ]
}

fn tilt_shape() -> Shape {
    fields(tilt_fields())
}

fn candidate_shape() -> Shape {
    let mut known = vec![
        must("name", Shape::Text, "The candidate's name, from which its columns get theirs.", "name: judge"),
        must("role", word("role", &["incumbent", "challenger"]), "What it is compared as.", "role: challenger"),
        may("reward_beta", positive(), "The temperature of its implicit reward, for the audit document."),
    ];
    known.extend(tilt_fields());
    fields(known)
}

fn cell_fields() -> Vec<Field> {
    vec![
        must("domain", Shape::Text, "The domain.", "domain: coding"),
        must("user_type", Shape::Text, "The user type.", "user_type: expert"),
    ]
}

fn with_cell(more: Field) -> Shape {
    let mut known = cell_fields();
    known.push(more);
    fields(known)
}

fn with_share(more: Field) -> Shape {
    fields(vec![more, must("share", share(), "Share of the rows.", "share: 0.1")])
}

/// Every defect that a document can plant.
fn defect_shape() -> Shape {
    let hidden = fields(vec![
        must(
            "gamma",
            Shape::Number(Range { min: 1.0, above: false, max: Some(1e6) }),
            "The factor on the odds.",
            "gamma: 2",
        ),
        must("toward", Shape::Text, "`a`, `attribute` or a candidate: which label it favours.", "toward: attribute"),
        may("share", share(), "Share of the rows that it is there in; 1 unless said."),
    ]);
    let selected = fields(vec![
        must("gap", up_to(MAX_NATS), "Responses that differ in s_base by less are labelled more rarely.", "gap: 0.5"),
        must(
            "keep",
            Shape::Number(Range { min: 1e-3, above: false, max: Some(1.0) }),
            "The probability with which such a comparison is labelled, and so in the log.",
            "keep: 0.3",
        ),
        may("logged", Shape::Flag, "Whether the log says so, as `inclusion`; false unless said."),
    ]);
    one_of(vec![
        may("missing_propensity", share(), "g_O is missing on this share of the rows."),
        may(
            "scaled_propensity",
            with_cell(must("factor", positive(), "The factor.", "factor: 1.3")),
            "g_O is multiplied in one cell.",
        ),
        may("floored_propensity", share(), "g_O is at least this."),
        may("rounded_propensity", Shape::Integer(1), "g_O is rounded to so many decimals."),
        may("defaulted_propensity", share(), "g_O is 1 on this share of the rows."),
        may("reversed_propensity", Shape::Flag, "g_O is that of the pair the other way round."),
        may("propensity_before_filter", Shape::Flag, "g_O is that before the filter."),
        may("claimed_uniform", Shape::Flag, "g_O claims to be g_T."),
        may("selected_labels", selected, "Which comparisons are labelled depends on the pair."),
        may("unsupported_cell", fields(cell_fields()), "No row of this cell is in the log."),
        may("hidden_confounder", hidden, "Something that nobody logs tilts the labels."),
        may("coarsened_proxy", map(Shape::Text), "The logged user type is coarser: level, and what is written."),
        may("noised_proxy", share(), "The logged user type is another one on this share of the rows."),
        may("dropped_proxy", Shape::Flag, "The user type is not logged."),
        may("duplicated_rows", share(), "This share of the rows is there twice."),
        may("conflicting_rows", share(), "This share of the rows is there twice, with the other label."),
        may(
            "replicated_clusters",
            fields(vec![
                must("times", Shape::Integer(2), "How often each row is there.", "times: 5"),
                may("share", share(), "Share of the prompts; 1 unless said."),
            ]),
            "Every row of these prompts is there several times, under ids of their own.",
        ),
        may(
            "missing",
            with_share(must("column", Shape::Text, "The column.", "column: mechanism")),
            "A column is missing on a share of the rows.",
        ),
        may(
            "relabelled",
            with_share(must("label", Shape::Text, "The label.", "label: abstain")),
            "The label is this word on a share of the rows.",
        ),
        may("always_a", Shape::Text, "This annotator always answers a."),
        may(
            "busy_annotator",
            with_share(must("annotator", Shape::Text, "The annotator.", "annotator: annotator-07")),
            "This annotator labelled a share of the rows.",
        ),
        may(
            "changed_mechanism",
            fields(vec![
                must("from", share(), "From which share of the log's rows on.", "from: 0.8"),
                must("id", Shape::Text, "The identifier.", "id: router@2.2.0"),
            ]),
            "Rows carry another mechanism from some time on.",
        ),
        may("no_column", Shape::Text, "Nobody logs this column."),
    ])
}
