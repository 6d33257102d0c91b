//! Simulated worlds: truth against brute force written a second way, logs against truth, the folder, determinism.

use crate::support::{Sandbox, shared, text};
use arrow::array::{ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use counterweight::declare::{Defect, Levels, World, parse_world};
use counterweight::logs::{ColumnData, LogFormat, LogWriter, PackedText, write_ndjson};
use counterweight::simulate::{BLOCK_ROWS, Row, Scene, Truth, columns, scene, write};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::path::Path;

/// Everything that a world can have, small.
const WORLD: &str = "\
schema: counterweight/world/v1
name: small
rows: 40000
seed: 7
responses:
  generated:
    seed: 3
    domains: [chat, code]
    prompts_per_domain: 3
    noise: {base: 3, attribute: 2}
    generators: {x: {base: 1}, y: {}, z: {attribute: 1}}
user_types:
  concise: {share: 0.3, asks: {chat: 0.8, code: 0.2}, alpha: -1}
  thorough: {share: 0.7, asks: {chat: 0.25, code: 0.75}, alpha: 1.5}
mechanisms:
  - id: m@1
    share: 0.4
    mixture:
      - {name: explore, share: {concise: 0.5, thorough: 0.25}, draw: uniform}
      - {name: best, share: {concise: 0.5, thorough: 0.75}, draw: scored, base: 1, attribute: {concise: -1, thorough: 1}, temperature: 0.7}
  - id: m@2
    share: 0.6
    mixture:
      - {name: all, share: 0.6, draw: uniform, replacement: true}
      - {name: long, share: 0.4, draw: scored, attribute: 1}
    filter: {max_gap: 1.2}
labels: {abstain: 0.02, tie: 0.05, position: 0.2, drift: [{from: 0.7, alpha: 0.5}]}
annotators: {count: 3, position: 0.3, attribute: 0.4}
component_logged: true
target: {product: {domain: {chat: 0.4, code: 0.6}, user_type: {concise: 0.5, thorough: 0.5}}}
reference: {base: 0.3, attribute: 0.2}
candidates:
  - {name: longer, role: incumbent, attribute: 1}
  - {name: judge, role: challenger, base: 1, reward_beta: 0.1}
beta: 0.5
";

fn world(more: &str) -> World {
    parse_world("world.yaml", &format!("{WORLD}{more}"), Path::new("")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn ready(more: &str) -> Scene {
    scene(&world(more)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn close(what: &str, a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{what}: {a} against {b} ± {tolerance}");
}

/// What an auditor should find, by brute force over rows: for every user type, prompt, time, pair, annotator and presence
/// of the confounder one weighted row, written with the standard library's `exp` and with none of the generator's parts.
#[derive(Default)]
struct BruteForce {
    target: BTreeMap<&'static str, f64>,
    observed: BTreeMap<&'static str, f64>,
    weighted: BTreeMap<&'static str, f64>,
    welfare: BTreeMap<&'static str, f64>,
    mean: f64,
    mean_square: f64,
    missing: f64,
    unsupported: f64,
}

/// Of a cell: labelled mass, weighted mass, weighted agreement.
type Cell = (f64, f64, BTreeMap<&'static str, f64>);

struct Case {
    gamma: f64,
    hidden_share: f64,
    /// Whether the confounder favours what `judge` prefers; otherwise the higher attribute.
    toward_judge: bool,
    gap: f64,
    keep: f64,
    /// p(domain | user type).
    asks: [[f64; 2]; 2],
    /// Whether g_T = g_O.
    pairs_logged: bool,
}

const CLEAN: Case = Case {
    gamma: 1.0,
    hidden_share: 0.0,
    toward_judge: false,
    gap: 0.0,
    keep: 1.0,
    asks: [[0.8, 0.2], [0.25, 0.75]],
    pairs_logged: false,
};

#[expect(clippy::too_many_lines, reason = "one flat enumeration, so that it shares no structure with the generator")]
fn brute_force(scene: &Scene, case: &Case) -> BruteForce {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let p_c = [0.3, 0.7];
    let p_x_c = case.asks;
    let p_t_x = [0.4, 0.6];
    let alpha = [-1.0, 1.5];
    let mut found = BruteForce::default();
    let mut total_seen = 0.0;
    let mut seen: BTreeMap<&str, f64> = BTreeMap::new();
    let mut by_cell: BTreeMap<(usize, usize), Cell> = BTreeMap::new();
    for c in 0..2 {
        for prompt in &scene.prompts {
            let x = prompt.domain;
            let (p_o, p_t) = (p_c[c] * p_x_c[c][x], 0.5 * p_t_x[x]);
            let r = &prompt.responses;
            let k = r.len();
            // Times: m@1 until 0.4, m@2 without drift until 0.7, with drift until 1.
            for (share, mechanism, drift) in [(0.4, 0, 0.0), (0.3, 1, 0.0), (0.3, 1, 0.5)] {
                let mut g = vec![vec![0.0; k]; k];
                for a in 0..k {
                    for b in 0..k {
                        if mechanism == 0 {
                            let uniform = [0.5, 0.25][c];
                            let odds = |i: usize| ((r[i].base + [-1.0, 1.0][c] * r[i].attribute) / 0.7).exp();
                            let all: f64 = (0..k).map(odds).sum();
                            if a != b {
                                g[a][b] = uniform / (k * (k - 1)) as f64
                                    + (1.0 - uniform) * odds(a) / all * odds(b) / (all - odds(a));
                            }
                        } else {
                            let odds = |i: usize| r[i].attribute.exp();
                            let all: f64 = (0..k).map(odds).sum();
                            g[a][b] = 0.6 / (k * k) as f64;
                            if a != b {
                                g[a][b] += 0.4 * odds(a) / all * odds(b) / (all - odds(a));
                            }
                            if (r[a].base - r[b].base).abs() > 1.2 {
                                g[a][b] = 0.0;
                            }
                        }
                    }
                }
                let sum: f64 = g.iter().flatten().sum();
                for a in 0..k {
                    for b in 0..k {
                        let g_o = g[a][b] / sum;
                        let g_t = match (case.pairs_logged, a == b) {
                            (true, _) => g_o,
                            (false, true) => 0.0,
                            (false, false) => 1.0 / (k * (k - 1)) as f64,
                        };
                        let in_log = if (r[a].base - r[b].base).abs() < case.gap { case.keep } else { 1.0 };
                        // Each prompt is a third of its domain.
                        let row = share / 3.0;
                        if p_o <= 0.0 {
                            found.unsupported += row * p_t * g_t;
                        } else if g_o > 0.0 {
                            let w = p_t / p_o * g_t / g_o;
                            found.mean += row * p_o * g_o * w;
                            found.mean_square += row * p_o * g_o * w * w;
                        } else {
                            found.missing += row * p_t * g_t;
                        }
                        total_seen += row * p_o * g_o * in_log;
                        let own = by_cell.entry((c, x)).or_default();
                        own.0 += row * g_o * in_log;
                        own.1 += if g_o > 0.0 { row * g_t * in_log } else { 0.0 };
                        for annotator in 0..3 {
                            let (side, like) = ([-0.3, 0.0, 0.3][annotator], [0.0, 0.4, -0.4][annotator]);
                            let z = r[a].base - r[b].base
                                + (alpha[c] + drift + like) * (r[a].attribute - r[b].attribute)
                                + 0.2
                                + side;
                            for (there, p_there) in [(false, 1.0 - case.hidden_share), (true, case.hidden_share)] {
                                let liked = |i: usize| if case.toward_judge { r[i].base } else { r[i].attribute };
                                let toward = (liked(a) - liked(b)).partial_cmp(&0.0).unwrap() as i32;
                                let z_log = z + if there { case.gamma.ln() * f64::from(toward) } else { 0.0 };
                                let margins =
                                    [("longer", r[a].attribute - r[b].attribute), ("judge", r[a].base - r[b].base)];
                                for (name, margin) in margins {
                                    let agree = |z: f64| {
                                        let p = if margin > 1e-9 {
                                            sigmoid(z)
                                        } else if margin < -1e-9 {
                                            sigmoid(-z)
                                        } else {
                                            0.5
                                        };
                                        0.95 * p + 0.05 * 0.5
                                    };
                                    let p = share / 3.0 / 3.0 * p_there;
                                    *found.target.entry(name).or_default() += p * p_t * g_t * agree(z);
                                    *seen.entry(name).or_default() += p * p_o * g_o * in_log * agree(z_log);
                                    if g_o > 0.0 {
                                        *own.2.entry(name).or_default() += p * g_t * in_log * agree(z_log);
                                    }
                                }
                            }
                        }
                    }
                }
            }
            // Welfare, with pi and pi_ref as plain softmaxes; the drift is 0.5 for 30 % of the time.
            for (name, base, attribute) in [("ref", 0.0, 0.0), ("longer", 0.0, 1.0), ("judge", 1.0, 0.0)] {
                let softmax = |base: f64, attribute: f64| -> Vec<f64> {
                    let odds: Vec<f64> = r.iter().map(|r| (base * r.base + attribute * r.attribute).exp()).collect();
                    odds.iter().map(|o| o / odds.iter().sum::<f64>()).collect()
                };
                let (pi, reference) = (softmax(0.3 + base, 0.2 + attribute), softmax(0.3, 0.2));
                let value: f64 = r
                    .iter()
                    .zip(pi.iter().zip(&reference))
                    .map(|(r, (p, q))| p * (r.base + (alpha[c] + 0.15) * r.attribute - 0.5 * (p / q).ln()))
                    .sum();
                *found.welfare.entry(name).or_default() += p_t / 3.0 * value;
            }
        }
    }
    for (name, value) in seen {
        found.observed.insert(name, value / total_seen);
    }
    for name in ["longer", "judge"] {
        let (mut mass, mut agreement) = (0.0, 0.0);
        for ((c, x), (counted, weighted, agree)) in &by_cell {
            if p_c[*c] * p_x_c[*c][*x] <= 0.0 {
                continue;
            }
            let p_t = 0.5 * p_t_x[*x];
            mass += p_t * weighted / counted;
            agreement += p_t * agree[name] / counted;
        }
        found.weighted.insert(name, agreement / mass);
    }
    found
}

/// The log-probabilities are rounded to 2^-30, which moves the welfare by some 1e-8; the rest is rounding of sums.
fn agree(truth: &Truth, expected: &BruteForce) {
    for name in ["longer", "judge"] {
        let own = truth.policy(name).unwrap();
        close("target", own.target_accuracy, expected.target[name], 1e-12);
        close("observed", own.observational_accuracy, expected.observed[name], 1e-12);
        close("weighted", own.weighted_accuracy, expected.weighted[name], 1e-12);
    }
    for name in ["ref", "longer", "judge"] {
        close("welfare", truth.policy(name).unwrap().welfare, expected.welfare[name], 1e-8);
    }
    close("mean", truth.weights.mean, expected.mean, 1e-12);
    close("mean square", truth.weights.mean_square, expected.mean_square, 1e-11);
    close("missing", truth.missing_pair_mass, expected.missing, 1e-12);
    close("unsupported", truth.unsupported_target_mass, expected.unsupported, 1e-12);
}

#[test]
fn truth_is_what_brute_force_finds() {
    let scene = ready("");
    agree(&scene.truth(), &brute_force(&scene, &CLEAN));
    // Without a hidden confounder, only what the second mechanism never shows keeps weighting from the target.
    let truth = scene.truth();
    assert!(truth.missing_pair_mass > 0.01 && truth.unsupported_target_mass.abs() < 1e-15);
}

#[test]
fn truth_with_a_confounder_and_selection_is_what_brute_force_finds() {
    let scene = ready(
        "defects:\n  - hidden_confounder: {gamma: 3, share: 0.6, toward: attribute}\n  - selected_labels: {gap: 0.6, keep: 0.3}\n",
    );
    let case = Case { gamma: 3.0, hidden_share: 0.6, gap: 0.6, keep: 0.3, ..CLEAN };
    agree(&scene.truth(), &brute_force(&scene, &case));
}

/// Concise users who never ask about code: 0.5 * 0.6 of the target is then in no log.
const UNSUPPORTED: (&str, &str) = ("asks: {chat: 0.8, code: 0.2}", "asks: {chat: 1}");
const HIDDEN_FOR_JUDGE: &str = "defects: [{hidden_confounder: {gamma: 2.5, share: 0.8, toward: judge}}]\n";

fn replaced(replace: (&str, &str), more: &str) -> Scene {
    let text = format!("{WORLD}{more}").replace(replace.0, replace.1);
    let world = parse_world("world.yaml", &text, Path::new("")).unwrap_or_else(|problems| panic!("{problems}"));
    scene(&world).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn truth_of_an_unsupported_cell_is_what_brute_force_finds() {
    let scene = replaced(UNSUPPORTED, "");
    let truth = scene.truth();
    agree(&truth, &brute_force(&scene, &Case { asks: [[1.0, 0.0], [0.25, 0.75]], ..CLEAN }));
    // By hand, as well.
    close("unsupported", truth.unsupported_target_mass, 0.3, 1e-12);
    let json = scene.truth_json(&truth, 1_000, 7);
    close("in the file", json["unsupported_target_mass"].as_f64().unwrap(), 0.3, 1e-12);
    assert!(
        !scene
            .rows(5_000, 3)
            .iter()
            .any(|row| { row.domain.as_deref() == Some("code") && row.user_type.as_deref() == Some("concise") })
    );
    // What the target says of the cell is in the target accuracy, and in no weighted estimate.
    let judge = truth.policy("judge").unwrap();
    assert_eq!(judge.target_by_cell.len(), 4);
    assert!((judge.target_accuracy - judge.weighted_accuracy).abs() > 0.01, "{judge:?}");
}

#[test]
fn truth_of_logged_pairs_is_what_brute_force_finds() {
    for (more, case) in [
        ("pairs: logged\n", CLEAN),
        ("pairs: logged\ndefects: [{selected_labels: {gap: 0.6, keep: 0.3}}]\n", Case { gap: 0.6, keep: 0.3, ..CLEAN }),
    ] {
        let scene = ready(more);
        let truth = scene.truth();
        agree(&truth, &brute_force(&scene, &Case { pairs_logged: true, ..case }));
        assert!(truth.missing_pair_mass.abs() < 1e-15);
        assert!(truth.max_pair_ratio.values().all(|ratio| (ratio - 1.0).abs() < 1e-15));
        assert!(scene.regime_yaml(&truth).contains("\npairs: logged\n"));
    }
}

#[test]
fn truth_with_a_confounder_on_a_candidate_is_what_brute_force_finds() {
    let scene = ready(HIDDEN_FOR_JUDGE);
    let case = Case { gamma: 2.5, hidden_share: 0.8, toward_judge: true, ..CLEAN };
    agree(&scene.truth(), &brute_force(&scene, &case));
    // The candidate that it favours looks better in the log than it is.
    let (own, clean) = (scene.truth(), ready("").truth());
    let judge = |truth: &Truth| truth.policy("judge").unwrap().clone();
    close("target", judge(&own).target_accuracy, judge(&clean).target_accuracy, 1e-15);
    assert!(judge(&own).weighted_accuracy > judge(&clean).weighted_accuracy + 0.05);
}

/// A log's inclusion probabilities repair what selection does.
#[test]
fn logged_selection_leaves_the_weighted_limit() {
    let [clean, logged, hidden] = [
        "",
        "defects: [{selected_labels: {gap: 0.6, keep: 0.3, logged: true}}]\n",
        "defects: [{selected_labels: {gap: 0.6, keep: 0.3}}]\n",
    ]
    .map(|more| ready(more).truth().policy("judge").unwrap().weighted_accuracy);
    close("logged", logged, clean, 1e-12);
    assert!((hidden - clean).abs() > 0.01, "{hidden} against {clean}");
}

/// I(C; X) by hand for two types that ask alike, and for two that never ask the same.
#[test]
fn the_dial_of_confounding_moves_the_information() {
    let information = |dial: f64| ready(&format!("confounding: {dial}\n")).truth().mutual_information;
    close("independent", information(0.0), 0.0, 1e-15);
    let all: Vec<f64> = [0.0, 0.25, 0.5, 0.75, 1.0].map(information).to_vec();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
    let (p, q) = (0.3 * 0.8 + 0.7 * 0.25, 0.3 * 0.2 + 0.7 * 0.75);
    let by_hand: f64 = [(0.3, 0.8, p), (0.3, 0.2, q), (0.7, 0.25, p), (0.7, 0.75, q)]
        .iter()
        .map(|(c, x_c, x): &(f64, f64, f64)| c * x_c * (x_c / x).ln())
        .sum();
    close("as written", information(1.0), by_hand, 1e-15);
}

/// The oracle is the best policy there is: no tilt of the reference does better under the target.
#[test]
fn no_policy_beats_the_oracle() {
    let truth = ready("").truth();
    let best = truth.policy("oracle").unwrap().welfare;
    assert!(truth.policies.iter().all(|policy| policy.welfare <= best), "{truth:?}");
    for (base, attribute) in [(0.5, 0.5), (2.0, 0.0), (2.0, 1.0), (1.0, 1.5), (2.2, 0.9)] {
        let more = WORLD.replace("name: judge, role: challenger, base: 1", "name: judge, role: challenger, base: BASE");
        let more = more.replace("base: BASE", &format!("base: {base}, attribute: {attribute}"));
        let other = parse_world("w", &more, Path::new("")).unwrap();
        assert!(scene(&other).unwrap().truth().policy("judge").unwrap().welfare <= best + 1e-8, "{base} {attribute}");
    }
}

fn labelled(row: &Row) -> Option<f64> {
    match row.label.as_deref() {
        Some("a") => Some(1.0),
        Some("b") => Some(0.0),
        Some("tie") => Some(0.5),
        _ => None,
    }
}

/// Whether a candidate agrees with the label; the margin from the row's own log-probabilities.
fn agreement(row: &Row, candidate: usize) -> Option<f64> {
    let label = labelled(row)?;
    let [reference, own] = [0, candidate].map(|index| row.log_probabilities[index]);
    let margin = (own[0] - reference[0]) - (own[1] - reference[1]);
    Some(if margin > 0.0 {
        label
    } else if margin < 0.0 {
        1.0 - label
    } else {
        0.5
    })
}

/// The share of agreement in 40,000 rows, and the weighted share with p_O known, against the truth: within 6 standard
/// deviations of the sample mean, from the sample's own variance. 20 comparisons, each beyond 6 deviations with probability
/// 2e-9, and some slack for estimated variances (n_eff is above 4,000): a false failure has probability below 1e-6.
#[test]
fn logs_agree_with_the_truth() {
    let nothing = ("", "");
    for (replace, more) in [
        (nothing, ""),
        (nothing, "defects: [{hidden_confounder: {gamma: 2, toward: attribute}}]\n"),
        (nothing, HIDDEN_FOR_JUDGE),
        (nothing, "pairs: logged\n"),
        (UNSUPPORTED, ""),
    ] {
        let scene = replaced(replace, more);
        let truth = scene.truth();
        let log = scene.rows(40_000, 11);
        for (index, name) in [(1, "longer"), (2, "judge")] {
            let own = truth.policy(name).unwrap();
            let all: Vec<(f64, f64)> = log
                .iter()
                .filter_map(|row| {
                    let cell: Levels = vec![row.domain.clone()?, row.user_type.clone()?];
                    let cell = truth.cells[&cell];
                    let weight = cell.p_target / cell.p_observed * row.target_propensity? / row.propensity?;
                    Some((weight, agreement(row, index)?))
                })
                .collect();
            let n = all.len() as f64;
            let mean = all.iter().map(|(_, y)| y).sum::<f64>() / n;
            let variance = all.iter().map(|(_, y)| (y - mean).powi(2)).sum::<f64>() / n;
            close(name, mean, own.observational_accuracy, 6.0 * (variance / n).sqrt());
            let total: f64 = all.iter().map(|(w, _)| w).sum();
            let weighted = all.iter().map(|(w, y)| w * y).sum::<f64>() / total;
            let error = all.iter().map(|(w, y)| (w * (y - weighted)).powi(2)).sum::<f64>().sqrt() / total;
            close(name, weighted, own.weighted_accuracy, 6.0 * error);
        }
    }
}

/// What a mechanism's component says: the share of rows that the uniform component drew, within 6 standard deviations
/// (false failure below 1e-8).
#[test]
fn components_are_logged_as_often_as_they_draw() {
    let log = ready("").rows(40_000, 3);
    let of = |rows: &[&Row]| rows.iter().filter(|row| row.component.as_deref() == Some("explore")).count() as f64;
    for (user_type, share) in [("concise", 0.5), ("thorough", 0.25)] {
        let own = |row: &&Row| row.user_type.as_deref() == Some(user_type) && row.mechanism.as_deref() == Some("m@1");
        let rows: Vec<&Row> = log.iter().filter(own).collect();
        let n = rows.len() as f64;
        close(user_type, of(&rows) / n, share, 6.0 * (share * (1.0 - share) / n).sqrt());
    }
    let second: Vec<&str> = log
        .iter()
        .filter(|row| row.mechanism.as_deref() == Some("m@2"))
        .filter_map(|row| row.component.as_deref())
        .collect();
    assert!(second.contains(&"all") && second.contains(&"long") && !second.contains(&"explore"));
    assert_eq!(second.len(), 24_000, "the second version has 60 % of the rows");
}

#[test]
fn log_probabilities_are_normalised_and_alike_where_responses_are() {
    let sandbox = Sandbox::new();
    sandbox.write("world.yaml", WORLD);
    let output = sandbox.run(&["simulate", "world.yaml", "--out", "made", "--rows", "100", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
    let world = ready("");
    for prompt in world.rows(300, 1) {
        for [a, b] in &prompt.log_probabilities {
            assert!(*a < 0.0 && *b < 0.0);
        }
    }
    // Responses of equal score have margins of exactly zero.
    let log = world.rows(5_000, 1);
    let ties = log.iter().filter(|row| agreement(row, 2) == Some(0.5) && labelled(row) != Some(0.5)).count();
    assert!(ties > 100, "{ties}");
}

/// A log without planted rows is written straight from what was drawn, any other by way of rows: the bytes are the same.
#[test]
fn a_log_is_the_same_with_and_without_rows() {
    let more = "defects: [{selected_labels: {gap: 0.6, keep: 0.3, logged: true}}, {no_column: annotator_id}]\n";
    let scene = ready(more);
    let n = BLOCK_ROWS + 100;
    let sandbox = Sandbox::new();
    for format in [LogFormat::Parquet, LogFormat::Ndjson, LogFormat::Csv] {
        let folder = sandbox.path(format.extension());
        let written = write(&scene, &folder, (n, 5, format), &()).unwrap();
        let rows = scene.rows(usize::try_from(n).unwrap(), 5);
        let mut writer = LogWriter::create(&sandbox.path("by-rows"), format).unwrap();
        writer.write(&scene.columns(rows)).unwrap();
        assert_eq!((writer.finish().unwrap(), written.rows), (n, n));
        let log = std::fs::read(folder.join(written.log)).unwrap();
        assert!(log == sandbox.read("by-rows"), "{format:?}");
    }
}

#[test]
fn packed_text_is_the_text_that_was_packed() {
    let mut packed = PackedText::default();
    packed.push("one");
    packed.push_option(None);
    packed.push("");
    packed.push_display(format_args!("{:03}", 4));
    let values: Vec<Option<&str>> = (0..5).map(|row| packed.get(row)).collect();
    assert_eq!(values, [Some("one"), None, Some(""), Some("004"), None]);
    assert_eq!((packed.len(), packed.is_empty(), PackedText::default().is_empty()), (4, false, true));
}

#[test]
fn a_log_does_not_depend_on_threads_or_on_how_it_is_cut() {
    let scene = ready("defects: [{noised_proxy: 0.1}, {duplicated_rows: 0.01}]\n");
    let n = 2 * BLOCK_ROWS + 100;
    let whole = scene.rows(usize::try_from(n).unwrap(), 5);
    let blocks: Vec<Row> = (0..3).rev().map(|block| scene.block(n, 5, block)).rev().flatten().collect();
    assert!(whole == blocks);
    let sandbox = Sandbox::new();
    sandbox.write("world.yaml", WORLD);
    for (threads, out) in [("1", "one"), ("3", "three")] {
        let mut command = crate::support::command();
        command.current_dir(sandbox.path("")).env("RAYON_NUM_THREADS", threads);
        command.args(["simulate", "world.yaml", "--out", out, "--quiet"]);
        assert!(command.output().unwrap().status.success());
    }
    for name in ["logs.parquet", "responses.parquet", "truth.json", "regime.yaml", "audit.yaml", "policy.yaml"] {
        assert!(sandbox.read(&format!("one/{name}")) == sandbox.read(&format!("three/{name}")), "{name}");
    }
}

#[test]
fn a_simulated_folder_can_be_audited_in_every_format() {
    let sandbox = Sandbox::new();
    sandbox.write("world.yaml", WORLD.replace("filter: {max_gap: 1.2}", "filter: {}"));
    let mut verdicts = Vec::new();
    for format in ["parquet", "ndjson", "csv"] {
        let output = sandbox.run(&["simulate", "world.yaml", "--out", format, "--format", format, "--rows", "20000"]);
        let (out, error) = text(&output);
        assert_eq!(output.status.code(), Some(0), "{error}");
        assert!(out.contains("20000 rows") && out.contains("judge: accuracy"), "{out}");
        let report = sandbox.audit(&format!("{format}/audit.yaml")).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(report.rows.audited, 20_000);
        verdicts.push(serde_json::to_string(&report.weights).unwrap());
    }
    assert!(verdicts.windows(2).all(|pair| pair[0] == pair[1]), "{verdicts:?}");
}

#[test]
fn nothing_is_ever_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.write("world.yaml", WORLD);
    std::fs::create_dir(sandbox.path("taken")).unwrap();
    sandbox.write("taken/mine.txt", "mine");
    let output = sandbox.run(&["simulate", "world.yaml", "--out", "taken", "--rows", "10"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).1.contains("is not empty; name a new folder, or empty it"), "{}", text(&output).1);
    assert_eq!(std::fs::read_dir(sandbox.path("taken")).unwrap().count(), 1);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    let output = sandbox.run(&["simulate", "world.yaml", "--out", "empty", "--rows", "10", "--quiet"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn worlds_that_cannot_be_drawn_from_say_why() {
    let sandbox = Sandbox::new();
    let refused = |world: &str| {
        sandbox.write("world.yaml", world);
        let output = sandbox.run(&["simulate", "world.yaml", "--out", "refused"]);
        assert_eq!(output.status.code(), Some(2), "{world}");
        assert!(!sandbox.path("refused").exists());
        text(&output).1
    };
    let error = refused(&WORLD.replace("{max_gap: 1.2}", "{min_base: 50}"));
    assert!(error.contains("mechanism `m@2` has no pair to show for prompt `chat-01`"), "{error}");
    let error = refused(&WORLD.replace("prompts_per_domain: 3", "prompts_per_domain: 750000"));
    assert!(error.contains("13500000 pairs of responses, times 4 "), "{error}");
    let error = refused(&WORLD.replace("prompts_per_domain: 3", "prompts_per_domain: 18446744073709551615"));
    assert!(error.contains("pairs of responses"), "{error}");
    let start = WORLD.find("  generated:").unwrap();
    let end = WORLD.find("user_types:").unwrap();
    let file = format!("{}  file: real.csv\n{}", &WORLD[..start], &WORLD[end..]);
    let error = refused(&file);
    assert!(error.contains("real.csv"), "{error}");
    sandbox.write("real.csv", "prompt_id,domain,response_id,base\n");
    let error = refused(&file);
    assert!(error.contains("attribute"), "{error}");
    sandbox.write("real.csv", "prompt_id,domain,response_id,base,attribute\np,chat,r,1,2\np,chat,s,,1\n");
    let error = refused(&file);
    assert!(error.contains("row 2"), "{error}");
    sandbox.write("real.csv", "prompt_id,domain,response_id,base,attribute\np,chat,r,1,2\np,chat,s,0,1\n");
    let error = refused(&file);
    assert!(error.contains("no prompt is of the domain `code`"), "{error}");
}

#[test]
fn real_responses_give_a_world() {
    let sandbox = Sandbox::new();
    let start = WORLD.find("  generated:").unwrap();
    let end = WORLD.find("user_types:").unwrap();
    sandbox.write(
        "world.yaml",
        format!("{}  file: real.ndjson\n{}", &WORLD[..start], &WORLD[end..]).replace("{max_gap: 1.2}", "{}"),
    );
    let mut lines = String::new();
    for (prompt, domain) in [("p1", "chat"), ("p2", "code"), ("p3", "code")] {
        for (response, base, attribute) in [("r", 0.5, -1.0), ("s", 0.0, 0.0), ("t", -0.25, 1.0)] {
            lines.push_str(&format!(
                "{{\"prompt_id\":\"{prompt}\",\"domain\":\"{domain}\",\"response_id\":\"{prompt}{response}\",\"base\":{base},\"attribute\":{attribute}}}\n"
            ));
        }
    }
    sandbox.write("real.ndjson", lines);
    let output = sandbox.run(&["simulate", "world.yaml", "--out", "made", "--rows", "3000", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
    let truth: serde_json::Value = serde_json::from_slice(&sandbox.read("made/truth.json")).unwrap();
    assert_eq!(
        (&truth["n_prompts"], &truth["responses_per_prompt"], &truth["n_rows"]),
        (&3.into(), &3.into(), &3000.into())
    );
    assert_eq!(sandbox.audit("made/audit.yaml").unwrap().rows.audited, 3000);
}

/// truth.json has the keys of the shared data's, where they mean the same.
#[test]
fn truth_has_the_keys_of_the_shared_data() {
    let Some(arena) = shared("data/arena") else { return };
    let wanted: serde_json::Value = serde_json::from_slice(&std::fs::read(arena.join("truth.json")).unwrap()).unwrap();
    let scene = ready("");
    let truth = scene.truth_json(&scene.truth(), 10, 1);
    for (key, value) in wanted.as_object().unwrap() {
        // Cell counts are of a log that was drawn, not of the world.
        if key != "weights_empirical_pO" {
            let same_kind =
                truth.get(key).is_some_and(|own| std::mem::discriminant(own) == std::mem::discriminant(value));
            assert!(same_kind, "{key}");
        }
    }
}

/// The columns of a Parquet file: text and numbers as written, the last value of lists.
fn read_columns(path: &Path, names: &[&str]) -> BTreeMap<String, (Vec<String>, Vec<f64>)> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut all: BTreeMap<String, (Vec<String>, Vec<f64>)> = BTreeMap::new();
    for batch in reader {
        let batch = batch.unwrap();
        for name in names {
            let column = batch.column_by_name(name).unwrap();
            let own = all.entry((*name).to_owned()).or_default();
            if let Some(lists) = column.as_list_opt::<i32>() {
                let last = |list: ArrayRef| list.as_primitive::<Float64Type>().values().last().copied();
                own.1.extend(lists.iter().flatten().filter_map(last));
            } else if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
                own.1.extend(numbers.values());
            } else {
                let text = cast(column, &DataType::Utf8).unwrap();
                own.0.extend(text.as_string::<i32>().iter().map(|value| value.unwrap().to_owned()));
            }
        }
    }
    all
}

/// A folder with a world of the shared data's prompts, responses and scores, and of its design: the judge's and the length's
/// scores are what its policies' log-probabilities say; both types ask in the five domains with odds of e^0.7 between one
/// and the next, in opposite orders; and longer answers are drawn in proportion to exp(0.7 z).
fn arena_world(arena: &Path) -> Sandbox {
    let prompts = read_columns(&arena.join("prompts.parquet"), &["prompt_id", "domain"]);
    let domain: BTreeMap<&String, &String> = prompts["prompt_id"].0.iter().zip(&prompts["domain"].0).collect();
    let names = ["response_id", "prompt_id", "generator", "features", "ref_logp", "judge_logp"];
    let all = read_columns(&arena.join("responses.parquet"), &names);
    let text = |name: &str| ColumnData::Text(all[name].0.iter().cloned().map(Some).collect());
    let of_prompt = all["prompt_id"].0.iter().map(|id| Some(domain[id].clone())).collect();
    // Up to the prompt's constant; the scores are centred within their prompt.
    let judged: Vec<f64> = all["judge_logp"].1.iter().zip(&all["ref_logp"].1).map(|(judge, own)| judge - own).collect();
    let mut sums: BTreeMap<&String, (f64, f64)> = BTreeMap::new();
    for (prompt, value) in all["prompt_id"].0.iter().zip(&judged) {
        let own = sums.entry(prompt).or_default();
        *own = (own.0 + value, own.1 + 1.0);
    }
    let mean = |prompt: &String| sums[prompt].0 / sums[prompt].1;
    let base = all["prompt_id"].0.iter().zip(&judged).map(|(prompt, value)| Some(value - mean(prompt))).collect();
    let sandbox = Sandbox::new();
    let columns = [
        ("prompt_id", text("prompt_id")),
        ("domain", ColumnData::Text(of_prompt)),
        ("response_id", text("response_id")),
        ("generator", text("generator")),
        ("base", ColumnData::Number(base)),
        ("attribute", ColumnData::Number(all["features"].1.iter().copied().map(Some).collect())),
    ];
    write_ndjson(&sandbox.path("responses.ndjson"), &columns).unwrap();
    let domains = ["helpful_base", "koala", "oasst", "selfinstruct", "vicuna"];
    let odds = [0.0_f64, 1.0, 2.0, 3.0, 4.0].map(|step| (-0.7 * step).exp());
    let asks = |order: [usize; 5]| {
        let shares = domains
            .iter()
            .zip(order)
            .map(|(domain, at)| format!("{domain}: {:?}", odds[at] / odds.iter().sum::<f64>()));
        shares.collect::<Vec<_>>().join(", ")
    };
    let world = format!(
        "schema: counterweight/world/v1\nname: arena\nrows: 60000\nseed: 1\nresponses: {{file: responses.ndjson}}\n\
         user_types:\n  concise: {{share: 0.1, asks: {{{}}}, alpha: -1.2}}\n  thorough: {{share: 0.9, asks: {{{}}}, alpha: 1.2}}\n\
         mechanisms:\n  - id: pair-sampler@1.4.0\n    mixture:\n      \
         - {{name: uniform, share: {{concise: 0.5, thorough: 0.35}}, draw: uniform}}\n      \
         - {{name: longer, share: {{concise: 0.5, thorough: 0.65}}, draw: scored, attribute: 0.7}}\n\
         labels: {{abstain: 0.01, tie: 0.02}}\n\
         target: {{product: {{domain: {{{}}}, user_type: {{concise: 0.5, thorough: 0.5}}}}}}\n\
         reference: {{attribute: 0.3}}\ncandidates:\n  - {{name: longer, role: incumbent, attribute: 0.8}}\n  \
         - {{name: judge, role: challenger, base: 1}}\n  - {{name: shorter, role: challenger, attribute: -0.8}}\n  \
         - {{name: uniform, role: challenger, attribute: -0.3}}\nbeta: 0.5\n",
        asks([0, 1, 2, 3, 4]),
        asks([4, 3, 2, 1, 0]),
        domains.map(|domain| format!("{domain}: 0.2")).join(", "),
    );
    sandbox.write("world.yaml", world);
    sandbox
}

/// The shared data's truth was enumerated by other software from the same design: every number that is of the world, and not
/// of the one log that was drawn from it, is the same. Log-probabilities are rounded to 2^-30 here, which moves the welfare by
/// some 1e-9; the rest is rounding of sums.
#[test]
fn truth_is_that_of_the_shared_data() {
    let Some(arena) = shared("data/arena") else { return };
    let wanted: serde_json::Value = serde_json::from_slice(&std::fs::read(arena.join("truth.json")).unwrap()).unwrap();
    let sandbox = arena_world(&arena);
    let world = counterweight::declare::load_world(&sandbox.path("world.yaml")).unwrap_or_else(|p| panic!("{p}"));
    let scene = scene(&world).unwrap_or_else(|problems| panic!("{problems}"));
    let truth = scene.truth();
    let own = scene.truth_json(&truth, 60_000, 1);
    for key in ["n_prompts", "responses_per_prompt", "domains", "types", "beta", "n_rows", "generators"] {
        assert_eq!(own[key], wanted[key], "{key}");
    }
    let mut compared = 0;
    for (key, tolerance) in [
        ("target_preference_accuracy", 1e-12),
        ("observational_preference_accuracy", 1e-12),
        ("welfare_J_beta_0.5", 1e-8),
    ] {
        for (policy, value) in wanted[key].as_object().unwrap() {
            close(&format!("{key} {policy}"), own[key][policy].as_f64().unwrap(), value.as_f64().unwrap(), tolerance);
            compared += 1;
        }
    }
    for (policy, cells) in wanted["target_preference_accuracy_by_cell"].as_object().unwrap() {
        for (cell, value) in cells.as_object().unwrap() {
            let here = own["target_preference_accuracy_by_cell"][policy][cell].as_f64().unwrap();
            close(&format!("{policy} {cell}"), here, value.as_f64().unwrap(), 1e-12);
            compared += 1;
        }
    }
    assert_eq!(compared, 4 + 4 + 5 + 40);
    // By design at most 1/0.35; no pair of these prompts reaches it.
    let bound = wanted["max_pair_ratio_by_design"].as_f64().unwrap();
    assert!(
        own["max_pair_ratio_by_design"].as_f64().unwrap() <= bound
            && bound - 0.1 < truth.max_pair_ratio["pair-sampler@1.4.0"]
    );
    // Weights there are those of its 60,000 rows. Their mean is within 6 standard deviations of the world's, their maximum below it
    // (false failure below 1e-8).
    let of_rows = |key: &str| wanted["weights_true_pO"][key].as_f64().unwrap();
    let spread = ((truth.weights.mean_square - 1.0) / 60_000.0).sqrt();
    close("mean weight", of_rows("mean"), truth.weights.mean, 6.0 * spread);
    assert!(of_rows("max") <= truth.weights.max * (1.0 + 1e-12), "{} {}", of_rows("max"), truth.weights.max);
    every_logged_propensity_is_the_worlds(&arena, &scene);
}

fn every_logged_propensity_is_the_worlds(arena: &Path, scene: &Scene) {
    let names = ["prompt_id", "user_type", "response_a", "response_b", "propensity"];
    let log = read_columns(&arena.join("logs.parquet"), &names);
    let place: BTreeMap<&String, usize> = scene.prompts.iter().enumerate().map(|(at, own)| (&own.id, at)).collect();
    for (row, logged) in log["propensity"].1.iter().enumerate() {
        let at = place[&log["prompt_id"].0[row]];
        let user_type = scene.world.user_type(&log["user_type"].0[row]).unwrap();
        let index = |side: &str| scene.prompts[at].responses.iter().position(|own| own.id == log[side].0[row]).unwrap();
        let pair = (index("response_a"), index("response_b"));
        let shown = scene.shown(0, user_type, at).unwrap();
        let own = shown.propensity[shown.pairs.iter().position(|own| *own == pair).unwrap()];
        assert!((own / logged - 1.0).abs() < 1e-12, "row {row}: {own} against {logged}");
    }
    assert_eq!(log["propensity"].1.len(), 60_000);
}

/// Defects of the document, each on 4,000 rows: what it changes, and how often.
#[test]
fn defects_of_a_document_hit_their_share() {
    let rows = |defect: &str| ready(&format!("defects: [{defect}]\n")).rows(4_000, 9);
    let clean = rows("");
    let changed = |defect: &str, differs: fn(&Row, &Row) -> bool| {
        rows(defect).iter().zip(&clean).filter(|(row, was)| differs(row, was)).count()
    };
    let propensity: fn(&Row, &Row) -> bool = |row, was| row.propensity != was.propensity;
    assert_eq!(changed("{missing_propensity: 0.25}", propensity), 1_000);
    assert_eq!(changed("{defaulted_propensity: 0.1}", propensity), 400);
    assert_eq!(changed("{noised_proxy: 0.2}", |row, was| row.user_type != was.user_type), 800);
    assert_eq!(
        changed("{coarsened_proxy: {concise: all, thorough: all}}", |row, was| row.user_type != was.user_type),
        4_000
    );
    assert_eq!(changed("{dropped_proxy: true}", |row, _| row.user_type.is_none()), 4_000);
    assert_eq!(
        changed("{relabelled: {label: abstain, share: 0.5}}", |row, _| row.label.as_deref() == Some("abstain")),
        {
            let already = clean.iter().filter(|row| row.label.as_deref() == Some("abstain")).count();
            changed("{relabelled: {label: abstain, share: 0.5}}", |row, was| row.label != was.label) + already
        }
    );
    assert_eq!(changed("{missing: {column: mechanism, share: 0.3}}", |row, _| row.mechanism.is_none()), 1_200);
    assert_eq!(
        changed("{changed_mechanism: {from: 0.5, id: other}}", |row, _| row.mechanism.as_deref() == Some("other")),
        0
    );
    assert!(rows("{rounded_propensity: 2}").iter().all(|row| {
        let hundredths = row.propensity.unwrap() * 100.0;
        (hundredths - hundredths.round()).abs() < 1e-9
    }));
    assert!(rows("{floored_propensity: 0.2}").iter().all(|row| row.propensity.unwrap() >= 0.2));
    assert_eq!(rows("{duplicated_rows: 0.05}").len(), 4_200);
    assert_eq!(rows("{conflicting_rows: 0.05}").len(), 4_200);
    let tripled = rows("{replicated_clusters: {times: 3}}");
    assert_eq!(tripled.len(), 12_000);
    let ids: std::collections::BTreeSet<_> = tripled.iter().map(|row| &row.event_id).collect();
    assert_eq!(ids.len(), 12_000);
    let gone = rows("{unsupported_cell: {domain: code, user_type: concise}}");
    assert!(
        !gone.iter().any(|row| row.domain.as_deref() == Some("code") && row.user_type.as_deref() == Some("concise"))
    );
    assert!(gone.len() < 4_000);
    let scaled = changed("{scaled_propensity: {domain: code, user_type: concise, factor: 0.5}}", propensity);
    assert_eq!(scaled + gone.len(), 4_000);
    // The pair the other way round: between two that are shown, the two propensities change places.
    let reversed = rows("{reversed_propensity: true}");
    assert!(reversed.iter().zip(&clean).any(|(row, was)| row.propensity < was.propensity));
    assert!(reversed.iter().zip(&clean).any(|(row, was)| row.propensity > was.propensity));
    // Before the filter every pair that passes it was rarer.
    let early = rows("{propensity_before_filter: true}");
    assert!(early.iter().zip(&clean).all(|(row, was)| row.propensity <= was.propensity));
    assert!(changed("{propensity_before_filter: true}", propensity) > 1_000);
}

#[test]
fn documents_follow_a_coarser_or_dropped_proxy() {
    let regime = |defect: &str| {
        let scene = ready(&format!("defects: [{defect}]\n"));
        let text = scene.regime_yaml(&scene.truth());
        counterweight::declare::parse_regime("regime.yaml", &text)
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    };
    assert_eq!(regime("").cells, ["domain", "user_type"]);
    assert_eq!(regime("{dropped_proxy: true}").cells, ["domain"]);
    let coarse = regime("{coarsened_proxy: {concise: all, thorough: all}}").target_masses(&BTreeMap::new());
    assert_eq!(coarse.len(), 2);
    close("mass", coarse[&vec!["chat".to_owned(), "all".to_owned()]], 0.4, 1e-12);
    let names: Vec<String> =
        ready("defects: [{dropped_proxy: true}]\n").columns(Vec::new()).into_iter().map(|(name, _)| name).collect();
    assert!(!names.contains(&"user_type".to_owned()) && names.contains(&"judge_logp_a".to_owned()), "{names:?}");
}

#[test]
fn the_telemetry_world_is_shipped_whole() {
    let world = World::telemetry();
    assert_eq!((world.name.as_str(), world.rows, world.mechanisms.len()), ("telemetry", 2_000, 1));
    assert!(!matches!(world.defects.first(), Some(Defect::ClaimedUniform)));
    assert_eq!(columns(&scene(&world).unwrap().rows(10, 1)).len(), 14);
}
