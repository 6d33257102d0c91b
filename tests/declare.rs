//! Declarations: what is accepted, what is refused and where, what it resolves to.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use counterweight::declare::{
    DocumentKind, FailOn, Limit, Observed, Pairs, Problem, Problems, Role, Severity, Target, canonical_json,
    json_schema, load, parse_audit, parse_policy, parse_regime, parse_world, shipped_policies,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const REGIME: &str = "\
schema: counterweight/regime/v1
name: balanced
version: 1.2.0
effective: 2026-10-01
owner: Model Risk
motivation: each user type counts equally
supersedes: 1.1.0
cells: [domain, user_type]
target:
  product:
    domain: {koala: 0.25, oasst: 0.75}
    user_type: {concise: 0.5, thorough: 0.5}
pairs: logged
observed: empirical
mechanisms:
  - {id: m@1, description: uniform pairs, symmetric: true, max_pair_ratio: 2.5, generators: [x, y]}
critical: [{user_type: concise}]
";

const POLICY: &str = "\
schema: counterweight/policy/v1
name: team
version: 1.0.0
extends: standard
gate: {fail_on: diagnostic}
checks:
  cell-support: {severity: diagnostic, min_rows: 50}
  required-fields: {recommended: [id]}
frontier: {clip: [none, p99.9, 20], beta: [0.05, 1], select: {rule: max_accuracy, max_kl: 2.0}}
coarsening: [{drop: user_type}, {merge: {domain: {chat: [koala, oasst]}}}]
waivers:
  - {check: cell-support, cell: {domain: koala}, reason: r, owner: o, approver: p, ticket: T-1, expires: 2026-12-31}
";

const AUDIT: &str = "\
schema: counterweight/audit/v1
regime: regime.yaml
policy: standard
logs:
  path: logs.parquet
  preset: canonical
  columns: {id: event_id, prompt: prompt_id, propensity: p, generator_a: g, generator_b: h}
  labels: {a: [1], b: [0], tie: [no]}
  cluster: [prompt, annotator]
  responses: responses.parquet
  selection: all of it
reference: {logp_a: ra, logp_b: rb}
candidates:
  - {name: longer, role: incumbent, beta: 0.1, logp_a: la, logp_b: lb, artifact: models/longer}
  - {name: refit, role: challenger, fit: {model: tilt, features: {a: fa, b: fb}, objective: naive, folds: 4, seed: 7}}
report: {identify: [annotator]}
";

const WORLD: &str = "\
schema: counterweight/world/v1
name: small
rows: 1000
seed: 7
time: {start: 2026-07-01, days: 92}
responses:
  generated:
    seed: 1
    domains: [koala, oasst]
    prompts_per_domain: 3
    noise: {base: 2, attribute: 3}
    generators: {x: {base: 1}, y: {}, z: {attribute: -1}}
user_types:
  concise: {share: 0.25, asks: {koala: 1}, alpha: -1}
  thorough: {share: 0.75, asks: {koala: 0.5, oasst: 0.5}}
confounding: 0.5
mechanisms:
  - id: m@1
    share: 0.5
    mixture: [{name: all, draw: uniform}]
  - id: m@2
    share: 0.5
    mixture:
      - {name: explore, share: {concise: 0.5, thorough: 0.25}, draw: uniform}
      - {name: best, share: {concise: 0.5, thorough: 0.75}, draw: scored, base: 1, temperature: 0.5}
    filter: {max_gap: 3}
labels: {abstain: 0.01, tie: 0.02, drift: [{from: 0.5, alpha: 0.3}]}
target: {product: {domain: {koala: 0.5, oasst: 0.5}, user_type: {concise: 0.5, thorough: 0.5}}}
candidates:
  - {name: longer, role: incumbent, attribute: 1}
  - {name: judge, role: challenger, base: 1, reward_beta: 0.1}
defects:
  - hidden_confounder: {gamma: 2, toward: judge}
  - scaled_propensity: {domain: koala, user_type: concise, factor: 1.3}
";

/// Every problem of a document of a kind.
fn problems(kind: DocumentKind, text: &str) -> Vec<Problem> {
    let here = Path::new(".");
    let found = match kind {
        DocumentKind::Regime => parse_regime("d.yaml", text).err(),
        DocumentKind::Policy => parse_policy("d.yaml", text, here).err(),
        DocumentKind::Audit => parse_audit("d.yaml", text, here).err(),
        DocumentKind::World => parse_world("d.yaml", text, here).err(),
    };
    found.map_or_else(Vec::new, |problems| problems.0)
}

fn valid(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Regime => REGIME,
        DocumentKind::Policy => POLICY,
        DocumentKind::Audit => AUDIT,
        DocumentKind::World => WORLD,
    }
}

/// One mistake: in a valid document `from` is replaced by `to`; the problem wanted, where, and whether a JSON Schema
/// can see it.
struct Mistake {
    kind: DocumentKind,
    from: &'static str,
    to: &'static str,
    message: &'static str,
    at: (usize, usize),
    schema_sees: bool,
}

const fn mistake(
    kind: DocumentKind,
    from: &'static str,
    to: &'static str,
    message: &'static str,
    at: (usize, usize),
    schema_sees: bool,
) -> Mistake {
    Mistake { kind, from, to, message, at, schema_sees }
}

use DocumentKind::{Audit as A, Policy as P, Regime as R, World as W};

const MISTAKES: &[Mistake] = &[
    // YAML itself.
    mistake(R, "owner: Model Risk", "owner: [Model", "this is not valid YAML", (6, 11), false),
    mistake(R, "owner: Model Risk", "owner: &a Model Risk", "anchors and aliases are not allowed", (5, 11), false),
    mistake(R, "owner: Model Risk", "owner: *a", "anchors and aliases are not allowed", (5, 8), false),
    mistake(R, "owner: Model Risk", "<<: {owner: x}\nowner: y", "merge keys are not allowed", (5, 1), false),
    mistake(R, "owner: Model Risk", "owner: !!str x", "tags are not allowed", (5, 8), false),
    mistake(R, "owner: Model Risk", "owner: x\n? [a, b]\n: c", "a key must be text", (6, 3), false),
    mistake(
        R,
        "critical: [{user_type: concise}]\n",
        "---\nname: other\n",
        "a second document begins here",
        (17, 1),
        false,
    ),
    mistake(
        R,
        "schema: counterweight",
        "%YAML 1.2\n---\nschema: counterweight",
        "directives are not allowed",
        (1, 1),
        false,
    ),
    mistake(R, "owner: Model Risk", "owner: Model\u{0}Risk", "control characters are not allowed", (5, 13), false),
    // Keys and kinds.
    mistake(R, "owner:", "ownr:", "unknown key `ownr`", (5, 1), true),
    mistake(R, "owner: Model Risk\n", "", "the document lacks `owner`", (1, 1), true),
    mistake(R, "owner: Model Risk", "owner: a\nowner: b", "duplicate key `owner`", (6, 1), false),
    mistake(R, "owner: Model Risk", "owner:", "`owner` has no value", (5, 1), true),
    mistake(R, "owner: Model Risk", "owner: ''", "`owner` has no value", (5, 8), true),
    mistake(R, "owner: Model Risk", "owner: null", "`owner` has no value", (5, 8), true),
    mistake(R, "owner: Model Risk", "owner: [x]", "`owner` must be text, not a list", (5, 8), true),
    mistake(
        R,
        "motivation: each user type counts equally",
        "motivation: ' '",
        "`motivation` has no value",
        (6, 13),
        true,
    ),
    mistake(
        R,
        "counterweight/regime/v1",
        "counterweight/regime/v9",
        "unknown schema `counterweight/regime/v9`",
        (1, 9),
        true,
    ),
    mistake(R, "counterweight/regime/v1", "counterweight/policy/v1", "this is a document of kind policy", (1, 9), true),
    mistake(R, "version: 1.2.0", "version: 1.2", "`version` must be a semantic version", (3, 10), true),
    mistake(R, "effective: 2026-10-01", "effective: 1 October 2026", "`effective` must be a date", (4, 12), true),
    mistake(R, "effective: 2026-10-01", "effective: 2026-02-30", "`effective` must be a date", (4, 12), false),
    mistake(R, "effective: 2026-10-01", "effective: +12026-10-01", "`effective` must be a date", (4, 12), true),
    mistake(R, "supersedes: 1.1.0", "supersedes: 1.2.0", "not lower than `version`", (7, 13), false),
    // Cells and targets.
    mistake(R, "cells: [domain, user_type]", "cells: domain", "`cells` must be a list, not `domain`", (8, 8), true),
    mistake(R, "cells: [domain, user_type]", "cells: []", "`cells` is empty", (8, 1), true),
    mistake(R, "[domain, user_type]", "[domain, user_type, domain]", "duplicate covariate `domain`", (8, 28), false),
    mistake(R, "[domain, user_type]", "[domain, user_type, mass]", "`mass` cannot be a covariate", (8, 28), false),
    mistake(R, "[domain, user_type]", "[domain, user_type, age]", "`product` lacks `age` of `cells`", (10, 3), false),
    mistake(R, "[domain, user_type]", "[domain]", "`user_type` is not a covariate of `cells`", (12, 5), false),
    mistake(R, "koala: 0.25", "koala: 0.2", "masses of `domain` sum to 0.95, not 1", (11, 5), false),
    mistake(R, "koala: 0.25", "koala: -0.25", "`koala` must be at least 0, not `-0.25`", (11, 21), true),
    mistake(R, "koala: 0.25", "koala: .nan", "`koala` must be finite, not `.nan`", (11, 21), false),
    mistake(R, "koala: 0.25", "koala: .inf", "`koala` must be finite", (11, 21), false),
    mistake(R, "koala: 0.25", "koala: 1e999", "`koala` must be finite", (11, 21), false),
    mistake(R, "koala: 0.25", "koala: lots", "`koala` must be a number, at least 0, not `lots`", (11, 21), true),
    mistake(
        R,
        "koala: 0.25",
        "koala: '0.25'",
        "`koala` must be a number, at least 0, not the text `0.25`",
        (11, 21),
        true,
    ),
    mistake(R, "koala: 0.25", "koala: 00.25", "`koala` must be a number", (11, 21), false),
    mistake(R, "koala: 0.25", "koala: 0x1", "`koala` must be a number", (11, 21), false),
    mistake(R, "koala: 0.25", "koala: 0.25, koala: 0.25", "duplicate key `koala`", (11, 27), false),
    mistake(R, "{koala: 0.25, oasst: 0.75}", "{}", "`domain` is empty", (11, 5), true),
    mistake(R, "  product:", "  uniform: {domain: [x], user_type: [concise]}\n  product:", "has both", (11, 3), true),
    mistake(R, "  product:", "  produkt:", "unknown key `produkt` in `target`", (10, 3), true),
    // Other parts of a regime.
    mistake(R, "pairs: logged", "pairs: looged", "unknown form `looged`", (13, 8), true),
    mistake(R, "pairs: logged", "pairs: [logged]", "`pairs` must be `logged` or a mapping with one of", (13, 8), true),
    mistake(R, "pairs: logged", "pairs: {uniform: prompts}", "unknown source `prompts`", (13, 18), true),
    mistake(R, "pairs: logged", "pairs: {}", "`pairs` is empty", (13, 1), true),
    mistake(R, "observed: empirical", "observed: {tabel: []}", "unknown key `tabel`", (14, 12), true),
    mistake(
        R,
        "observed: empirical",
        "observed: {table: [{domain: koala, user_type: concise, mass: 0.5}]}",
        "masses of `table` sum to 0.5, not 1",
        (14, 12),
        false,
    ),
    mistake(R, "symmetric: true", "symmetric: yes", "`symmetric` must be `true` or `false`, not `yes`", (16, 54), true),
    mistake(R, "max_pair_ratio: 2.5", "max_pair_ratio: 0.5", "`max_pair_ratio` must be at least 1", (16, 76), true),
    mistake(R, "generators: [x, y]", "generators: [x, x]", "duplicate generator `x`", (16, 97), false),
    mistake(R, "generators: [x, y]", "generators: []", "`generators` is empty", (16, 81), true),
    mistake(R, "[x, y]}", "[x]}\n  - {id: m@1, description: again}", "duplicate mechanism `m@1`", (17, 10), false),
    mistake(R, "id: m@1, ", "", "an item of `mechanisms` lacks `id`", (16, 5), true),
    mistake(
        R,
        "critical: [{user_type: concise}]",
        "critical: [{usertype: concise}]",
        "`usertype` is not a covariate",
        (17, 13),
        false,
    ),
    mistake(
        R,
        "critical: [{user_type: concise}]",
        "critical: [{user_type: brief}]",
        "`brief` is not a level of `user_type`",
        (17, 24),
        false,
    ),
    // Policies.
    mistake(P, "  cell-support: {", "  cell-suport: {", "unknown check `cell-suport`", (7, 3), true),
    mistake(P, "min_rows: 50", "min_row: 50", "unknown limit `min_row` in `cell-support`", (7, 40), true),
    mistake(P, "min_rows: 50", "min_rows: many", "`min_rows` must be a number", (7, 50), true),
    mistake(P, "min_rows: 50", "min_rows: -1", "`min_rows` must be at least 0", (7, 50), true),
    mistake(P, "min_rows: 50", "min_share: 1.5", "`min_share` must be at most 1, not `1.5`", (7, 51), true),
    mistake(P, "severity: diagnostic", "severity: fatal", "unknown severity `fatal`", (7, 28), true),
    mistake(P, "recommended: [id]", "recommended: id", "`recommended` must be a list", (8, 34), true),
    mistake(P, "recommended: [id]", "recommended: [ids]", "unknown role `ids`", (8, 35), true),
    mistake(P, "fail_on: diagnostic", "fail_on: never", "unknown verdict `never`", (5, 17), true),
    mistake(
        P,
        "extends: standard",
        "extends: nowhere.yaml",
        "cannot read `nowhere.yaml`: no such file",
        (4, 10),
        false,
    ),
    mistake(P, "p99.9, 20", "p999, 20", "an item of `clip` must be", (9, 25), true),
    mistake(P, "beta: [0.05, 1]", "beta: [0]", "an item of `beta` must be above 0", (9, 44), true),
    mistake(P, "{drop: user_type}", "{drip: user_type}", "unknown key `drip`", (10, 15), true),
    mistake(P, "ticket: T-1, ", "", "an item of `waivers` lacks `ticket`", (12, 5), true),
    mistake(P, "owner: o", "owner: ''", "`owner` has no value", (12, 68), true),
    mistake(P, "expires: 2026-12-31", "expires: soon", "`expires` must be a date", (12, 106), true),
    mistake(P, "{check: cell-support, cell", "{check: cell, cell", "unknown check `cell`", (12, 13), true),
    // Audits.
    mistake(A, "regime: regime.yaml\n", "", "the document lacks `regime`", (1, 1), true),
    mistake(A, "  path: logs.parquet\n", "", "`logs` lacks `path`", (4, 1), true),
    mistake(A, "preset: canonical", "preset: trl", "`labels` says nothing under the preset trl", (8, 3), false),
    mistake(A, "{id: event_id,", "{chosen: c,", "`chosen` says nothing under the preset canonical", (7, 13), false),
    mistake(A, "preset: canonical", "preset: canon", "unknown preset `canon`", (6, 11), true),
    mistake(A, "prompt: prompt_id", "promt: prompt_id", "unknown key `promt` in `columns`", (7, 27), true),
    mistake(
        A,
        "propensity: p",
        "propensity: p, log_propensity: q",
        "has both `propensity` and `log_propensity`",
        (7, 61),
        false,
    ),
    mistake(A, "propensity: p", "propensity: p, log_propensity_parts: [q]", "has both `propensity`", (7, 61), false),
    mistake(
        A,
        "propensity: p",
        "log_target_propensity: p, target_propensity: q",
        "has both `log_target_propensity` and `target_propensity`",
        (7, 72),
        false,
    ),
    mistake(
        A,
        "generator_b: h",
        "generator_b: g",
        "`generator_a` and `generator_b` are the same column, `g`",
        (7, 90),
        false,
    ),
    mistake(A, "propensity: p", "propensity: p, target_propensity: p", "are the same column, `p`", (7, 80), false),
    mistake(A, "propensity: p", "response_b: r, response_a: r", "are the same column, `r`", (7, 73), false),
    mistake(A, "b: [0]", "b: [1]", "the label `1` stands for `a` already", (8, 24), false),
    mistake(A, "b: [0], ", "", "`labels` lacks `b`", (8, 3), true),
    mistake(A, "[prompt, annotator]", "[prompt, annotator, user]", "`cluster` has 3 items", (9, 3), true),
    mistake(A, "role: incumbent", "role: champion", "unknown role `champion`", (14, 26), true),
    mistake(A, "beta: 0.1", "beta: 0", "`beta` must be above 0", (14, 43), true),
    mistake(A, "name: refit", "name: longer", "duplicate candidate `longer`", (15, 12), false),
    mistake(A, "logp_a: la, logp_b: lb, ", "", "neither log-probabilities nor `fit`", (14, 5), false),
    mistake(A, "logp_b: lb, ", "", "has `logp_a` and lacks `logp_b`", (14, 48), false),
    mistake(
        A,
        "role: challenger, fit",
        "role: challenger, logp_a: x, fit",
        "both log-probabilities and `fit`",
        (15, 48),
        false,
    ),
    mistake(A, "reference: {logp_a: ra, logp_b: rb}", "", "there is no `reference`", (14, 5), false),
    mistake(A, "{logp_a: ra, logp_b: rb}", "{form: sum}", "the reference has no log-probabilities", (12, 12), false),
    mistake(A, "logp_a: la", "logp_a: mean_logp_a", "sounds like a mean per token", (14, 48), false),
    mistake(A, "logp_b: rb}", "logp_b: rb, form: mean}", "means per token cannot be turned into sums", (12, 37), false),
    mistake(A, "logp_b: rb}", "logp_b: rb, form: average}", "unknown form `average`", (12, 43), true),
    mistake(A, "model: tilt", "model: llm", "unknown model `llm`", (15, 50), true),
    mistake(A, "folds: 4", "folds: 1", "`folds` must be a whole number, at least 2", (15, 107), true),
    mistake(A, "identify: [annotator]", "identify: [anotator]", "unknown role `anotator`", (16, 21), true),
    mistake(
        A,
        "reference: {logp_a: ra, logp_b: rb}",
        "reference: {logp_a: ra}",
        "the reference has `logp_a` and lacks `logp_b`",
        (12, 13),
        false,
    ),
    // Worlds.
    mistake(W, "rows: 1000", "rows: 0", "`rows` must be a whole number, at least 1, not `0`", (3, 7), true),
    mistake(W, "rows: 1000", "rows: 999999999999", "`rows` must be at most 68719476736", (3, 7), false),
    mistake(
        W,
        "generators: {x: {base: 1}, y: {}, z: {attribute: -1}}",
        "generators: {x: {}}",
        "there is only one generator",
        (12, 5),
        false,
    ),
    mistake(W, "asks: {koala: 1}", "asks: {koalas: 1}", "`koalas` is not a domain of this world", (14, 33), false),
    mistake(
        W,
        "asks: {koala: 1}",
        "asks: {koala: 0.9}",
        "masses of `asks` of `concise` sum to 0.9, not 1",
        (14, 26),
        false,
    ),
    mistake(W, "share: 0.25, asks", "share: 0.5, asks", "masses of `user_types` sum to 1.25, not 1", (13, 1), false),
    mistake(W, "confounding: 0.5", "confounding: 1.5", "`confounding` must be at most 1", (16, 14), true),
    mistake(W, "id: m@2", "id: m@1", "duplicate mechanism", (21, 9), false),
    mistake(
        W,
        "{name: all, draw: uniform}",
        "{name: all, draw: uniform, base: 1}",
        "`base` means nothing for a uniform draw",
        (20, 42),
        false,
    ),
    mistake(
        W,
        "{concise: 0.5, thorough: 0.25}",
        "{concise: 0.5, thoro: 0.25}",
        "`thoro` is not a user type of this world",
        (24, 47),
        false,
    ),
    mistake(
        W,
        "{concise: 0.5, thorough: 0.25}",
        "{concise: 0.5}",
        "`share` says nothing for `thorough`",
        (24, 25),
        false,
    ),
    mistake(
        W,
        "{concise: 0.5, thorough: 0.25}",
        "0.5",
        "masses of `mixture` for `thorough` sum to 1.25, not 1",
        (23, 5),
        false,
    ),
    mistake(W, "draw: scored", "draw: softmax", "unknown draw `softmax`", (25, 67), true),
    mistake(
        W,
        "[{from: 0.5, alpha: 0.3}]",
        "[{from: 0.5, alpha: 1}, {from: 0.2, alpha: 2}]",
        "`drift` is not in the order of time",
        (27, 67),
        false,
    ),
    mistake(
        W,
        "domain: {koala: 0.5, oasst: 0.5}",
        "domain: {koala: 0.5, vicuna: 0.5}",
        "`vicuna` is not a domain of this world",
        (28, 1),
        false,
    ),
    mistake(W, "target: {product", "target: {multipliers", "unknown key `multipliers` in `target`", (28, 10), true),
    mistake(W, "name: judge", "name: longer", "duplicate candidate", (31, 12), false),
    mistake(W, "name: judge", "name: oracle", "duplicate candidate", (31, 12), false),
    mistake(W, "toward: judge", "toward: jury", "`jury` is not a candidate of this world", (33, 43), false),
    mistake(W, "gamma: 2", "gamma: 0.5", "`gamma` must be at least 1, not `0.5`", (33, 32), true),
    mistake(
        W,
        "  - scaled_propensity: {domain: koala, user_type: concise, factor: 1.3}",
        "  - hidden_confounder: {gamma: 2, toward: a}",
        "`hidden_confounder` is there twice",
        (34, 5),
        false,
    ),
];

#[test]
fn every_mistake_is_found_where_it_is() {
    let mut wrong = String::new();
    for row in MISTAKES {
        let base = valid(row.kind);
        assert!(base.contains(row.from), "the valid document lacks {:?}", row.from);
        let found = problems(row.kind, &base.replacen(row.from, row.to, 1));
        let fits = |problem: &Problem| problem.message.contains(row.message) && problem.position == Some(row.at);
        if !found.iter().any(fits) {
            writeln!(wrong, "{:?}: wanted {:?} at {:?}, found:\n{}\n", row.to, row.message, row.at, Problems(found))
                .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_problem_says_what_to_do_and_is_a_fragment() {
    for row in MISTAKES {
        for problem in problems(row.kind, &valid(row.kind).replacen(row.from, row.to, 1)) {
            assert!(problem.help.as_ref().is_some_and(|help| !help.is_empty()), "{problem}");
            assert!(!problem.message.ends_with('.'), "{problem}");
            assert!(
                !problem.message.starts_with(char::is_uppercase) || problem.message.starts_with("YAML"),
                "{problem}"
            );
        }
    }
}

#[test]
fn the_valid_documents_are_valid() {
    for kind in DocumentKind::ALL {
        assert_eq!(problems(kind, valid(kind)), [], "{}", Problems(problems(kind, valid(kind))));
    }
}

// ---- JSON Schema ----

/// Whether a value fits a schema, over the keywords that the schemas use; unknown keywords fail the test.
fn fits(schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "title" | "description" | "format" => true,
        "type" => match rule {
            Value::Array(kinds) => kinds.iter().any(|kind| is_type(kind, value)),
            kind => is_type(kind, value),
        },
        "enum" => rule.as_array().unwrap().contains(value),
        "anyOf" => rule.as_array().unwrap().iter().any(|schema| fits(schema, value)),
        "pattern" => value.as_str().is_none_or(|text| matches_pattern(rule.as_str().unwrap(), text)),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() >= count(rule)),
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(rule, item))),
        "minItems" => value.as_array().is_none_or(|items| items.len() >= count(rule)),
        "maxItems" => value.as_array().is_none_or(|items| items.len() <= count(rule)),
        "minProperties" => value.as_object().is_none_or(|object| object.len() >= count(rule)),
        "maxProperties" => value.as_object().is_none_or(|object| object.len() <= count(rule)),
        "required" => value
            .as_object()
            .is_none_or(|object| rule.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(key, item)| rule.get(key).is_none_or(|schema| fits(schema, item)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = schema.get("properties");
            let mut rest = object.iter().filter(|(key, _)| known.is_none_or(|known| known.get(key.as_str()).is_none()));
            rest.all(|(_, item)| rule.is_object() && fits(rule, item))
        }),
        unknown => panic!("the test's checker does not know {unknown}"),
    })
}

fn count(rule: &Value) -> usize {
    usize::try_from(rule.as_u64().unwrap()).unwrap()
}

fn is_type(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        other => panic!("unknown type {other}"),
    }
}

/// The four patterns that the schemas use, by what marks each.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match pattern {
        r"\S" => text.chars().any(|c| !c.is_whitespace()),
        r"^\d{4}-\d{2}-\d{2}$" => text.split('-').map(str::len).eq([4, 2, 2]) && text.split('-').all(digits),
        r"^(none|p\d{1,2}(\.\d+)?)$" => {
            let (whole, fraction) =
                text.get(1..).unwrap_or("").split_once('.').unwrap_or((text.get(1..).unwrap_or(""), "0"));
            text == "none" || text.starts_with('p') && digits(whole) && whole.len() <= 2 && digits(fraction)
        }
        semver if semver.starts_with(r"^(0|[1-9]\d*)\.") => semver::Version::parse(text).is_ok(),
        other => panic!("unknown pattern {other}"),
    }
}

/// A document as another program's YAML reader sees it.
fn as_json(text: &str) -> Option<Value> {
    let options = serde_yaml::options! { strict_booleans: true };
    serde_yaml::from_str_with_options(text, options).ok()
}

#[test]
fn the_schemas_agree_with_the_parser() {
    for kind in DocumentKind::ALL {
        assert!(fits(&json_schema(kind), &as_json(valid(kind)).unwrap()), "the valid {} fits no schema", kind.name());
    }
    for (_, text) in shipped_policies() {
        assert!(fits(&json_schema(P), &as_json(text).unwrap()));
    }
    let mut seen = 0;
    for row in MISTAKES.iter().filter(|row| row.schema_sees) {
        let text = valid(row.kind).replacen(row.from, row.to, 1);
        let value = as_json(&text).unwrap_or_else(|| panic!("not YAML for others: {}", row.to));
        assert!(!fits(&json_schema(row.kind), &value), "the schema accepts {:?}", row.to);
        seen += 1;
    }
    assert!(seen >= 50, "only {seen} mistakes are checked against the schemas");
}

#[test]
fn the_schemas_are_closed_and_described() {
    fn walk(schema: &Value) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            assert!(schema.get("additionalProperties").is_some());
            for property in properties.values() {
                assert!(property["description"].as_str().is_some_and(|text| !text.is_empty()));
                walk(property);
            }
        }
        schema.get("items").into_iter().for_each(walk);
    }
    for kind in DocumentKind::ALL {
        let schema = json_schema(kind);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["additionalProperties"], false);
        walk(&schema);
    }
}

// ---- Rendering ----

#[test]
fn several_problems_come_together_and_render() {
    let text = "\
schema: counterweight/regime/v1
name: x
version: 1.0
efective: 2026-10-01
owner: Model Risk
motivation: m
cells: [domain]
target:
  product:
\tdomain: {koala: 0.2, oasst: 0.75}
";
    // A tab indents nothing in YAML; with spaces the rest shows.
    let rendered = parse_regime("regime.yaml", &text.replace('\t', "    ")).unwrap_err().to_string();
    let wanted = "\
error: the document lacks `effective`
 --> regime.yaml:1:1
  |
1 | schema: counterweight/regime/v1
  | ^
  = help: add, for example, `effective: 2026-10-01`

error: `version` must be a semantic version such as 1.0.0, not `1.0`
 --> regime.yaml:3:10
  |
3 | version: 1.0
  |          ^^^
  = help: write a semantic version such as 1.0.0

error: unknown key `efective`
 --> regime.yaml:4:1
  |
4 | efective: 2026-10-01
  | ^^^^^^^^
  = help: did you mean `effective`? allowed: `schema`, `name`, `version`,
          `effective`, `owner`, `motivation`, `supersedes`, `cells`, `target`,
          `pairs`, `observed`, `mechanisms`, `critical`, `draft`

error: masses of `domain` sum to 0.95, not 1
  --> regime.yaml:10:5
   |
10 |     domain: {koala: 0.2, oasst: 0.75}
   |     ^^^^^^
   = help: change the masses so that they add up to 1 (within 1e-9)";
    assert_eq!(rendered, wanted);
    assert_eq!(parse_regime("regime.yaml", text).unwrap_err().0[0].position, Some((10, 2)));
}

#[test]
fn long_lines_controls_and_many_problems_render() {
    let problem = |line: &str, column: usize, width: usize| Problem {
        file: "a\u{1b}.yaml".to_owned(),
        position: Some((7, column)),
        width,
        line: Some(line.to_owned()),
        message: "bad".to_owned(),
        help: None,
    };
    let long = format!("{}HERE{}", "x".repeat(300), "y".repeat(300));
    let shown = problem(&long, 301, 4).to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[1], " --> a␛.yaml:7:301");
    let at = lines[4].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[3].chars().skip(at).take(4).collect::<String>(), "HERE");
    assert_eq!(lines[4].chars().filter(|c| *c == '^').count(), 4);
    assert!(lines[3].chars().count() <= 4 + 102);

    let tabbed = problem("\tkey: v", 2, 3).to_string();
    assert!(tabbed.ends_with("7 |     key: v\n  |     ^^^"), "{tabbed}");
    let bidi = problem("a\u{202e}b\u{7f}", 4, 1).to_string();
    assert!(bidi.contains("7 | a\u{fffd}b\u{2421}\n  |    ^"), "{bidi}");
    // Positions beyond the line, and none at all.
    assert!(problem("ab", 900, 9).to_string().ends_with("  |   ^"));
    assert!(problem("", 0, 0).to_string().ends_with('^'));

    let many = Problems(vec![problem("a", 1, 1); 63]).to_string();
    assert_eq!(many.matches("error: bad").count(), 50);
    assert!(many.ends_with("\n\nand 13 more"));
}

// ---- Targets ----

/// A regime with this target, over these cells.
fn regime_with(cells: &str, target: &str) -> String {
    REGIME
        .replace("critical: [{user_type: concise}]\n", "")
        .replace("[domain, user_type]", cells)
        .split_once("target:")
        .map(|(head, tail)| format!("{head}target: {target}\npairs:{}", tail.split_once("pairs:").unwrap().1))
        .unwrap()
}

fn masses(cells: &str, target: &str) -> (&'static str, BTreeMap<String, f64>) {
    let text = regime_with(cells, target);
    let regime = parse_regime("r.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    let none = BTreeMap::new();
    let flat = regime.target_masses(&none).into_iter().map(|(levels, mass)| (levels.join("/"), mass)).collect();
    (regime.target_form(), flat)
}

/// Masses agree to a few units in the last place of 1: each is a product of at most three declared numbers.
fn assert_masses(found: &BTreeMap<String, f64>, wanted: &[(&str, f64)]) {
    assert_eq!(
        found.keys().map(String::as_str).collect::<Vec<_>>(),
        wanted.iter().map(|(cell, _)| *cell).collect::<Vec<_>>()
    );
    for (cell, mass) in wanted {
        assert!((found[*cell] - mass).abs() <= 4.0 * f64::EPSILON, "{cell}: {} is not {mass}", found[*cell]);
    }
}

#[test]
fn every_target_form_resolves() {
    let (form, product) = masses("[u, d]", "{product: {d: {x: 0.25, y: 0.75, z: 0}, u: {a: 0.4, b: 0.6}}}");
    assert_eq!(form, "product");
    assert_masses(&product, &[("a/x", 0.1), ("a/y", 0.3), ("b/x", 0.15), ("b/y", 0.45)]);

    let (form, conditional) = masses(
        "[d, u]",
        "{conditional: {given: {u: {a: 0.4, b: 0.6, c: 0}}, then: {d: {a: {x: 1, y: 0}, b: {x: 0.5, y: 0.5}}}}}",
    );
    assert_eq!(form, "conditional");
    assert_masses(&conditional, &[("x/a", 0.4), ("x/b", 0.3), ("y/b", 0.3)]);

    // Two covariates given one are independent given it.
    let (_, three) = masses(
        "[u, d, e]",
        "{conditional: {given: {u: {a: 0.5, b: 0.5}}, then: {d: {a: {x: 1}, b: {y: 1}}, e: {a: {p: 0.5, q: 0.5}, b: {p: 1}}}}}",
    );
    assert_masses(&three, &[("a/x/p", 0.25), ("a/x/q", 0.25), ("b/y/p", 0.5)]);

    let (form, table) =
        masses("[d, u]", "{table: [{d: x, u: a, mass: 0.25}, {u: b, mass: 0.75, d: x}, {u: c, d: x, mass: 0}]}");
    assert_eq!(form, "table");
    assert_masses(&table, &[("x/a", 0.25), ("x/b", 0.75)]);

    let (form, uniform) = masses("[d, u]", "{uniform: {u: [no, 010, '1'], d: [x]}}");
    assert_eq!(form, "uniform");
    assert_masses(&uniform, &[("x/010", 1.0 / 3.0), ("x/1", 1.0 / 3.0), ("x/no", 1.0 / 3.0)]);
}

#[test]
fn multipliers_reweight_the_logging_distribution() {
    let text = regime_with("[d, u]", "{multipliers: [{u: a, times: 0.5}, {d: x, times: 4}, {d: y, u: b, times: 0}]}");
    let regime = parse_regime("r.yaml", &text).unwrap();
    assert_eq!(regime.target_form(), "multipliers");
    let cell = |d: &str, u: &str| vec![d.to_owned(), u.to_owned()];
    let observed = BTreeMap::from([
        (cell("x", "a"), 10.0),
        (cell("x", "b"), 20.0),
        (cell("y", "a"), 40.0),
        (cell("y", "b"), 30.0),
    ]);
    // 10 * 0.5 * 4 = 20, 20 * 4 = 80, 40 * 0.5 = 20, 30 * 0 = 0; of 120.
    let found = regime.target_masses(&observed);
    assert_eq!(found.len(), 3);
    for (levels, wanted) in [(cell("x", "a"), 1.0 / 6.0), (cell("x", "b"), 2.0 / 3.0), (cell("y", "a"), 1.0 / 6.0)] {
        assert!((found[&levels] - wanted).abs() <= 4.0 * f64::EPSILON);
    }
    assert!(regime.target_masses(&BTreeMap::new()).is_empty());
    assert!(regime.target_masses(&BTreeMap::from([(cell("y", "b"), 3.0)])).is_empty());
}

#[test]
fn targets_that_do_not_fit_are_refused() {
    let cases = [
        ("{conditional: {given: {u: {a: 0.5, b: 0.5}}, then: {d: {a: {x: 1}}}}}", "`d` has no distribution given `b`"),
        ("{conditional: {given: {u: {a: 1}}, then: {d: {a: {x: 1}, z: {x: 1}}}}}", "`z` is not a level of `u`"),
        ("{conditional: {given: {u: {a: 1}}, then: {d: {a: {x: 0.5}}}}}", "masses of `d` given `a` sum to 0.5, not 1"),
        ("{conditional: {given: {u: {a: 1}, d: {x: 1}}, then: {d: {a: {x: 1}}}}}", "exactly one covariate"),
        ("{conditional: {given: {u: {a: 1}}, then: {u: {a: {a: 1}}}}}", "`conditional` lacks `d`"),
        ("{conditional: {given: {u: {a: 1}}}}", "`conditional` lacks `then`"),
        ("{table: [{d: x, u: a, mass: 0.5}, {d: x, u: a, mass: 0.5}]}", "duplicate cell `x`, `a`"),
        ("{table: [{d: x, mass: 1}]}", "a row lacks `u` of `cells`"),
        ("{table: [{d: x, u: a, w: b, mass: 1}]}", "`w` is not a covariate"),
        ("{table: [{d: x, u: a}]}", "lacks `mass`"),
        ("{table: [{mass: 1}]}", "names no covariate"),
        ("{multipliers: [{u: a, times: -1}]}", "`times` must be at least 0"),
        ("{multipliers: [{w: a, times: 1}]}", "`w` is not a covariate"),
        ("{uniform: {u: [a, a], d: [x]}}", "duplicate level `a`"),
        ("{uniform: {u: [], d: [x]}}", "`u` is empty"),
        ("{product: {d: {x: 1}, u: {a: 1e308, b: 1e308}}}", "masses of `u` sum to inf"),
        ("[]", "`target` must be a mapping"),
    ];
    for (target, wanted) in cases {
        let found = problems(R, &regime_with("[d, u]", target));
        assert!(found.iter().any(|problem| problem.message.contains(wanted)), "{target}:\n{}", Problems(found));
    }
}

#[test]
fn a_target_with_too_many_cells_is_refused() {
    let levels = (0..400).map(|level| format!("l{level}")).collect::<Vec<_>>().join(", ");
    let text = regime_with("[d, u]", &format!("{{uniform: {{d: [{levels}], u: [{levels}]}}}}"));
    let found = problems(R, &text);
    assert!(found[0].message.contains("more than 100000 cells"), "{}", Problems(found));
}

#[test]
fn the_rest_of_a_regime_is_read() {
    let text = REGIME
        .replace("pairs: logged", "pairs: {column: target_propensity}")
        .replace("observed: empirical", "observed: {table: [{domain: koala, user_type: concise, mass: 1}]}")
        .replace("motivation: each user type counts equally", "motivation: >\n  each user type\n  counts equally");
    let regime = parse_regime("r.yaml", &text).unwrap();
    assert_eq!(regime.motivation, "each user type counts equally");
    assert_eq!(regime.pairs, Pairs::Column("target_propensity".to_owned()));
    let only = vec!["koala".to_owned(), "concise".to_owned()];
    assert_eq!(regime.observed, Observed::Table(BTreeMap::from([(only, 1.0)])));
    assert_eq!(regime.mechanisms[0].max_pair_ratio, Some(2.5));
    assert!(regime.mechanisms[0].symmetric && !regime.mechanisms[0].adaptive);
    assert_eq!(regime.critical, [BTreeMap::from([("user_type".to_owned(), "concise".to_owned())])]);
    assert_eq!(regime.source.text, text);
    let uniform = parse_regime("r.yaml", &REGIME.replace("pairs: logged", "pairs: {uniform: responses}")).unwrap();
    assert_eq!(uniform.pairs, Pairs::UniformResponses);
    let Target::Masses(masses) = uniform.target else { panic!("a product is fixed") };
    assert_eq!(masses.len(), 4);
}

// ---- Fingerprints ----

#[test]
fn fingerprints_follow_content_alone() {
    let fingerprint = |text: &str| parse_regime("r.yaml", text).unwrap_or_else(|p| panic!("{p}")).fingerprint;
    let base = fingerprint(REGIME);
    let same = [
        format!("# a comment\n{REGIME}"),
        REGIME.replace("name: balanced", "name: \"balanced\""),
        REGIME.replace("{koala: 0.25, oasst: 0.75}", "{'oasst': 7.5e-1, koala: .25}"),
        REGIME.replace("pairs: logged\nobserved: empirical\n", ""),
        REGIME
            .replace("symmetric: true, max_pair_ratio: 2.5", "adaptive: false, max_pair_ratio: 2.50, symmetric: true"),
        REGIME.replace("generators: [x, y]", "generators: [y, x]"),
        REGIME.replace('\n', "\r\n"),
        format!("\u{feff}{REGIME}"),
        format!("---\n{REGIME}...\n"),
    ];
    for text in same {
        assert_eq!(fingerprint(&text), base, "{text}");
    }
    let different = [
        REGIME.replace("name: balanced", "name: Balanced"),
        REGIME.replace("version: 1.2.0", "version: 1.3.0"),
        REGIME.replace("supersedes: 1.1.0\n", ""),
        REGIME.replace("{koala: 0.25, oasst: 0.75}", "{koala: 0.75, oasst: 0.25}"),
        REGIME.replace("[domain, user_type]", "[user_type, domain]"),
        REGIME.replace("symmetric: true, ", ""),
        REGIME.replace("pairs: logged", "pairs: {uniform: responses}"),
        REGIME.replace("critical: [{user_type: concise}]", "critical: []"),
    ];
    let mut all: Vec<String> = different.iter().map(|text| fingerprint(text)).collect();
    all.push(base);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), different.len() + 1);
}

#[test]
fn the_fingerprint_is_the_digest_of_the_canonical_declaration() {
    let text = regime_with("[d]", "{uniform: {d: [y, x]}}").replace("mechanisms:\n  - {id: m@1, description: uniform pairs, symmetric: true, max_pair_ratio: 2.5, generators: [x, y]}\n", "");
    // Written out by hand from RFC 8785; the digest is `sha256sum` of these bytes.
    let declared = json!({"cells": ["d"], "critical": [], "effective": "2026-10-01", "mechanisms": [],
        "motivation": "each user type counts equally", "name": "balanced", "observed": "empirical",
        "owner": "Model Risk", "pairs": "logged", "schema": "counterweight/regime/v1", "supersedes": "1.1.0",
        "target": {"uniform": {"d": ["x", "y"]}}, "version": "1.2.0"});
    let bytes = canonical_json(&declared);
    assert!(bytes.starts_with(r#"{"cells":["d"],"critical":[],"effective":"2026-10-01","mechanisms":[],"#));
    assert_eq!(parse_regime("r.yaml", &text).unwrap().fingerprint, sha256(bytes.as_bytes()));
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// RFC 8785, appendix B (finite values), and the examples of sections 3.2.2 and 3.2.3.
#[test]
fn canonical_json_is_rfc_8785() {
    let numbers: [(u64, &str); 24] = [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ];
    for (bits, wanted) in numbers {
        assert_eq!(canonical_json(&json!(f64::from_bits(bits))), wanted, "{bits:x}");
    }
    for (value, wanted) in [(1e-7, "1e-7"), (0.1, "0.1"), (1.0, "1"), (100.0, "100"), (-12.5, "-12.5")] {
        assert_eq!(canonical_json(&json!(value)), wanted);
    }
    assert_eq!(
        canonical_json(
            &json!({"numbers": [333_333_333.333_333_3, 1e30, 4.50, 2e-3, 0.000_000_000_000_000_000_000_000_001],
            "string": "\u{20ac}$\u{f}\nA'B\"\\\\\"/", "literals": [null, true, false]})
        ),
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
         \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
    // Keys by UTF-16 code units: a surrogate pair sorts before U+FB33, which it follows as a code point.
    let keys = json!({"\u{20ac}": 0, "\r": 0, "\u{fb33}": 0, "1": 0, "\u{1f600}": 0, "\u{80}": 0, "\u{f6}": 0});
    assert_eq!(
        canonical_json(&keys),
        "{\"\\r\":0,\"1\":0,\"\u{80}\":0,\"\u{f6}\":0,\"\u{20ac}\":0,\"\u{1f600}\":0,\"\u{fb33}\":0}"
    );
}

// ---- Policies ----

fn shipped(name: &str) -> (String, PathBuf) {
    let (_, text) = shipped_policies().into_iter().find(|(shipped, _)| *shipped == name).unwrap();
    (text.to_owned(), PathBuf::from("."))
}

#[test]
fn the_shipped_policies_resolve() {
    let (text, folder) = shipped("standard");
    let standard = parse_policy("standard", &text, &folder).unwrap_or_else(|p| panic!("{p}"));
    let (text, folder) = shipped("strict");
    let strict = parse_policy("strict", &text, &folder).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(standard.fail_on, FailOn::Block);
    assert_eq!(strict.fail_on, FailOn::Diagnostic);
    assert_eq!(standard.checks.keys().collect::<Vec<_>>(), strict.checks.keys().collect::<Vec<_>>());
    let written = as_json(&shipped("standard").0).unwrap();
    assert_eq!(standard.checks.len(), written["checks"].as_object().unwrap().len());
    let support = &strict.checks["cell-support"];
    assert_eq!(support.limits["min_rows"], Limit::Number(400.0));
    // Not given by strict: inherited.
    assert_eq!(support.limits["min_share"], standard.checks["cell-support"].limits["min_share"]);
    assert_eq!(strict.checks["required-fields"].limits["recommended"], Limit::Texts(Vec::new()));
    for id in ["mechanism-provenance", "generator-balance"] {
        assert_eq!(strict.checks[id].when_not_logged, Some(Severity::Block), "{id}");
    }
    assert_eq!(standard.checks["mechanism-provenance"].when_not_logged, Some(Severity::Diagnostic));
    assert_ne!(standard.fingerprint, strict.fingerprint);
}

#[test]
fn a_policy_inherits_key_by_key() {
    let policy = parse_policy("team.yaml", POLICY, Path::new(".")).unwrap();
    let support = &policy.checks["cell-support"];
    assert_eq!(support.severity, Severity::Diagnostic);
    assert_eq!(support.limits["min_rows"], Limit::Number(50.0));
    assert_eq!(support.limits["min_share"], Limit::Number(0.001));
    let required = &policy.checks["required-fields"];
    assert_eq!(required.severity, Severity::Block);
    assert_eq!(required.limits["recommended"], Limit::Texts(vec!["id".to_owned()]));
    assert_eq!(policy.waivers[0].line, 12);
    assert_eq!(policy.waivers[0].cell, Some(BTreeMap::from([("domain".to_owned(), "koala".to_owned())])));
    let bare = "schema: counterweight/policy/v1\nname: bare\nversion: 0.1.0\n";
    let bare = parse_policy("bare.yaml", bare, Path::new(".")).unwrap();
    assert_eq!(bare.fail_on, FailOn::Block);
    assert_eq!(bare.checks, parse_policy("standard", &shipped("standard").0, Path::new(".")).unwrap().checks);
}

#[test]
fn files_extend_files_and_never_in_circles() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rest: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("schema: counterweight/policy/v1\nname: {name}\nversion: 1.0.0\n{rest}")).unwrap();
    };
    let policy = |name: &str| {
        std::fs::write(folder.path().join("audit.yaml"), AUDIT.replace("policy: standard", &format!("policy: {name}")))
            .unwrap();
        std::fs::write(folder.path().join("regime.yaml"), REGIME).unwrap();
        load(&folder.path().join("audit.yaml"), &[]).map(|declaration| declaration.policy)
    };
    write("a.yaml", "extends: sub/b.yaml\nchecks: {cell-support: {min_rows: 7}}\n");
    write("sub/b.yaml", "extends: c.yaml\nchecks: {cell-support: {min_rows: 8, min_share: 0.5}}\n");
    write("sub/c.yaml", "extends: strict\nchecks: {weight-tails: {severity: note}}\n");
    let resolved = policy("a.yaml").unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(resolved.name, "a.yaml");
    assert_eq!(resolved.checks["cell-support"].limits["min_rows"], Limit::Number(7.0));
    assert_eq!(resolved.checks["cell-support"].limits["min_share"], Limit::Number(0.5));
    assert_eq!(resolved.checks["weight-tails"].severity, Severity::Note);
    assert_eq!(resolved.checks["effective-sample-size"].limits["min_n_eff"], Limit::Number(4000.0));
    assert_eq!(resolved.fail_on, FailOn::Diagnostic);

    write("sub/c.yaml", "extends: ../a.yaml\n");
    let circle = policy("a.yaml").unwrap_err();
    assert!(circle.0[0].message.contains("in a circle"), "{circle}");
    assert_eq!((circle.0[0].file.as_str(), circle.0[0].position), ("c.yaml", Some((4, 10))));

    for link in 0..10 {
        write(&format!("l{link}.yaml"), &format!("extends: l{}.yaml\n", link + 1));
    }
    write("l8.yaml", "");
    assert!(policy("l0.yaml").is_ok());
    write("l8.yaml", "extends: l9.yaml\n");
    write("l9.yaml", "");
    let long = policy("l0.yaml").unwrap_err();
    assert!(long.0[0].message.contains("more than 8 times"), "{long}");
}

#[test]
fn settings_apply_or_are_problems() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("audit.yaml"), AUDIT).unwrap();
    std::fs::write(folder.path().join("regime.yaml"), REGIME).unwrap();
    let with = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        load(&folder.path().join("audit.yaml"), &settings)
    };
    let plain = with(&[]).unwrap_or_else(|p| panic!("{p}"));
    let set = [
        "checks.cell-support.min_rows=50",
        "checks.weight-tails.severity=note",
        "gate.fail_on=diagnostic",
        "checks.required-fields.recommended=[id, user]",
    ];
    let changed = with(&set).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(changed.policy.checks["cell-support"].limits["min_rows"], Limit::Number(50.0));
    assert_eq!(changed.policy.checks["weight-tails"].severity, Severity::Note);
    assert_eq!(changed.policy.fail_on, FailOn::Diagnostic);
    let two = Limit::Texts(vec!["id".to_owned(), "user".to_owned()]);
    assert_eq!(changed.policy.checks["required-fields"].limits["recommended"], two);
    assert_eq!(changed.settings, set);
    assert_ne!(changed.policy.fingerprint, plain.policy.fingerprint);

    for (setting, wanted) in [
        ("checks.cell-support.min_row=50", "unknown limit `min_row` in `cell-support`"),
        ("checks.cell-suport.min_rows=50", "unknown check `cell-suport`"),
        ("checks.cell-support.min_rows=lots", "`min_rows` must be a number"),
        ("checks.cell-support.min_share=2", "`min_share` must be at most 1"),
        ("checks.cell-support.severity=bad", "unknown severity `bad`"),
        ("gate.fail_on=never", "unknown verdict `never`"),
        ("gate=block", "it names no setting"),
        ("checks.cell-support.min_rows=", "there is no value after the `=`"),
        ("checks.cell-support.min_rows= ", "there is no value after the `=`"),
        ("min_rows", "there is no `=`"),
    ] {
        let problems = with(&[setting]).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert_eq!(problems.0[0].file, "--set");
        assert!(problems.0[0].message.contains(wanted), "{problems}");
        assert!(problems.0[0].message.contains(setting), "{problems}");
    }
}

// ---- Audits and load ----

#[test]
fn an_audit_is_read_as_written() {
    let audit = parse_audit("a.yaml", AUDIT, Path::new("f")).unwrap();
    let labels = audit.logs.labels.unwrap();
    assert_eq!((labels.a, labels.b, labels.tie), (vec!["1".to_owned()], vec!["0".to_owned()], vec!["no".to_owned()]));
    assert_eq!(audit.logs.columns[&Role::GeneratorA], "g");
    assert_eq!(audit.logs.columns[&Role::GeneratorB], "h");
    assert_eq!(audit.logs.cluster, ["prompt", "annotator"]);
    assert_eq!(audit.identify, [Role::Annotator]);
    assert_eq!(audit.folder, Path::new("f"));
    assert!(audit.candidates[0].incumbent && audit.candidates[0].log_probabilities.is_some());
    let fit = audit.candidates[1].fit.as_ref().unwrap();
    assert_eq!((fit.folds, fit.seed, fit.objective.as_str()), (4, 7, "naive"));
    let plain = "schema: counterweight/audit/v1\nregime: r\nlogs: {path: l, cluster: prompt}\n";
    let plain = parse_audit("a.yaml", plain, Path::new(".")).unwrap();
    assert_eq!(plain.policy, "standard");
    assert_eq!(plain.logs.cluster, ["prompt"]);
    assert!(plain.logs.labels.is_none());
}

#[test]
fn load_collects_the_problems_of_all_documents() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.yaml");
    std::fs::write(
        &path,
        AUDIT.replace("preset: canonical", "preset: tlr").replace("policy: standard", "policy: p.yaml"),
    )
    .unwrap();
    std::fs::write(folder.path().join("regime.yaml"), REGIME.replace("koala: 0.25", "koala: 0.2")).unwrap();
    std::fs::write(folder.path().join("p.yaml"), POLICY.replace("min_rows", "min_row")).unwrap();
    let found = load(&path, &["gate.fail_on=x".to_owned()]).unwrap_err();
    let files: Vec<&str> = found.0.iter().map(|problem| problem.file.as_str()).collect();
    assert_eq!(files, [path.to_str().unwrap(), "regime.yaml", "p.yaml", "--set"], "{found}");

    std::fs::remove_file(folder.path().join("regime.yaml")).unwrap();
    std::fs::remove_file(folder.path().join("p.yaml")).unwrap();
    let missing = load(&path, &[]).unwrap_err();
    assert_eq!(missing.0.len(), 3, "{missing}");
    assert!(missing.0[0].message.contains("cannot read `regime.yaml`: no such file"), "{missing}");
    assert_eq!(missing.0[0].position, Some((2, 9)));
    assert!(missing.0[1].help.as_ref().unwrap().contains("`standard` and `strict`"), "{missing}");
    let nowhere = load(&folder.path().join("none.yaml"), &[]).unwrap_err();
    assert!(nowhere.0[0].message.contains("none.yaml`: no such file"), "{nowhere}");
    assert!(load(folder.path(), &[]).unwrap_err().to_string().contains("it is a folder"));
}

#[test]
fn the_arena_example_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/arena/audit.yaml");
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return;
    }
    let declaration = load(&path, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(declaration.regime.target_masses(&BTreeMap::new()).len(), 10);
    assert_eq!(declaration.regime.mechanisms[0].generators.as_ref().unwrap().len(), 20);
    assert_eq!(declaration.audit.candidates.len(), 4);
    assert_eq!(declaration.policy.name, "standard");
}

// ---- Hostile input ----

/// Whether one of up to twenty runs stays within a bound, so that a busy machine does not decide.
fn can_be_done_within(bound: Duration, run: impl Fn()) -> bool {
    (0..20).any(|_| {
        let start = Instant::now();
        run();
        start.elapsed() < bound
    })
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let deep = 100_000;
    let bomb: String = (0..40).fold("a0: &a0 x\n".to_owned(), |text, level| {
        format!("{text}a{}: &a{} [*a{level}, *a{level}, *a{level}]\n", level + 1, level + 1)
    });
    let indented = (0..2000).fold(String::new(), |text, level| format!("{text}{}k:\n", " ".repeat(level)));
    let documents: Vec<(&str, String)> = vec![
        ("alias bomb", bomb),
        ("flow lists", "[".repeat(deep)),
        ("flow maps", "{a: ".repeat(deep)),
        ("closed flow lists", format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
        ("block lists", "- ".repeat(deep)),
        ("explicit keys", "? ".repeat(deep)),
        ("indented maps", indented),
        ("anchors", "&a ".repeat(deep)),
        ("tags", "!a ".repeat(deep)),
        ("many documents", "---\n".repeat(deep)),
        ("long key", format!("{}: x", "k".repeat(2_000_000))),
        ("long line", format!("{{{}}}", "a: b, ".repeat(deep))),
        (
            "many keys",
            (0..30_000).fold(String::new(), |mut text, key| {
                writeln!(text, "key{key}: 1").unwrap();
                text
            }),
        ),
        ("comments", "# c\n".repeat(deep)),
        ("open quote", format!("a: \"{}", "x\n ".repeat(deep))),
        ("colons", ":".repeat(deep)),
        ("empty", String::new()),
        ("null", "~".to_owned()),
        ("bom alone", "\u{feff}".to_owned()),
    ];
    for (name, text) in documents {
        for kind in DocumentKind::ALL {
            let found = problems(kind, &text);
            let rendered = Problems(found.clone()).to_string();
            assert!(!found.is_empty() && found.len() <= 1001, "{name}: {} problems", found.len());
            assert!(rendered.len() < 100_000, "{name}: {} bytes", rendered.len());
            assert!(
                can_be_done_within(Duration::from_secs(1), || drop(problems(kind, &text))),
                "{name} takes too long"
            );
        }
    }
}

#[test]
fn hostile_targets_are_refused_quickly() {
    let many = |each: &dyn Fn(usize) -> String| (0..30_000).map(each).collect::<Vec<_>>().join(", ");
    let levels = many(&|level| format!("l{level}: 1"));
    let lists = many(&|level| format!("l{level}: {{x: 1}}"));
    let other = many(&|level| format!("m{level}: {{x: 1}}"));
    let targets = [
        format!("{{product: {{u: {{{levels}}}, d: {{{levels}}}}}}}"),
        format!("{{conditional: {{given: {{u: {{{levels}}}}}, then: {{d: {{{lists}}}}}}}}}"),
        format!("{{conditional: {{given: {{u: {{{levels}}}}}, then: {{d: {{{other}}}}}}}}}"),
        format!("{{product: {{{lists}}}}}"),
        format!("{{table: [{}]}}", many(&|level| format!("{{m{level}: x, mass: 1}}"))),
    ];
    for (index, target) in targets.iter().enumerate() {
        let text = regime_with("[d, u]", target);
        assert!(!problems(R, &text).is_empty(), "target {index}");
        // Linear work takes a fraction of this in an unoptimised build; quadratic work on 30,000 levels does not fit.
        assert!(
            can_be_done_within(Duration::from_secs(4), || drop(problems(R, &text))),
            "target {index} takes too long"
        );
    }
}

#[test]
fn large_and_undecodable_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.yaml");
    let large = std::fs::File::create(&path).unwrap();
    large.set_len(100 * 1024 * 1024).unwrap();
    assert!(can_be_done_within(Duration::from_secs(1), || drop(load(&path, &[]))));
    let found = load(&path, &[]).unwrap_err();
    assert!(found.0[0].message.contains("larger than 16 MiB"), "{found}");
    std::fs::write(&path, b"schema: x\nregime: \xff\n").unwrap();
    let found = load(&path, &[]).unwrap_err();
    assert_eq!(found.0[0].message, "the document is not UTF-8 text");
    assert_eq!(found.0[0].position, Some((2, 9)));
    let found = problems(A, &" ".repeat(16 * 1024 * 1024 + 1));
    assert!(found[0].message.contains("larger than 16 MiB"));
}

/// Whether a caret can be drawn for every problem: its line is the document's, and its column is on it.
fn assert_placed(text: &str, found: &[Problem]) {
    let lines: Vec<String> = text.replace("\r\n", "\n").replace('\r', "\n").split('\n').map(str::to_owned).collect();
    for problem in found {
        if let (Some((number, column)), Some(line)) = (problem.position, &problem.line) {
            assert_eq!(Some(line), lines.get(number - 1), "{problem}");
            assert!(column >= 1 && column <= line.chars().count() + 1, "{problem} at column {column}");
        }
    }
}

fn kinds() -> impl Strategy<Value = DocumentKind> {
    (0..DocumentKind::ALL.len()).prop_map(|index| DocumentKind::ALL[index])
}

/// Bits of text that mean something to YAML or to a declaration.
fn fragments() -> impl Strategy<Value = String> {
    let words = vec![
        "\n", "\r\n", "\r", "\t", "  ", ": ", "- ", "[", "]", "{", "}", ", ", "'", "\"", "# ", "|", ">", "&a ", "*a",
        "!t ", "---\n", "? ", "<<", "~", "null", "0.5", "-1", ".nan", "1e400", "mass", "target", "product", "schema",
        "é", "日本", "\u{feff}", "\u{0}",
    ];
    prop::collection::vec(prop_oneof![4 => prop::sample::select(words).prop_map(str::to_owned), 1 => ".{0,6}"], 0..40)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_a_document_or_problems(kind in kinds(), text in prop_oneof![fragments(), any::<String>()]) {
        let found = problems(kind, &text);
        prop_assert!(!found.is_empty());
        assert_placed(&text, &found);
        prop_assert!(!Problems(found).to_string().is_empty());
    }

    #[test]
    fn a_mutated_document_gives_a_document_or_problems(
        kind in kinds(), at in any::<prop::sample::Index>(), cut in 0_usize..8, insert in fragments(),
    ) {
        let text = valid(kind);
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        let mutated = format!("{}{insert}{}", &text[..start], &text[end..]);
        let found = problems(kind, &mutated);
        assert_placed(&mutated, &found);
        let _ = Problems(found).to_string();
        // What the parser accepts, the schema accepts, where other YAML readers see the same values.
        if problems(kind, &mutated).is_empty() && let Some(value) = as_json(&mutated) {
            prop_assert!(fits(&json_schema(kind), &value), "{mutated}");
        }
    }
}
