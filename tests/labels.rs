//! What the labels say: informative proxies, drift, annotators, one score a response, what was never shown.

use crate::assumptions::{audited, check, simulated};
use crate::references::assert_close;
use crate::support::Sandbox;
use counterweight::declare::parse_world;
use counterweight::estimate::{Answer, Clusters, Comparisons, Generators};
use counterweight::labels::{MIN_EDGE_PROMPTS, cycles};
use counterweight::report::{Report, Status};
use counterweight::simulate::{self, Row, World};
use std::path::Path;

/// People disagree, nothing drifts, annotators are alike: choices follow one score a response and kind of people.
const WORLD: &str = "\
schema: counterweight/world/v1
name: labels
rows: 8000
seed: 7
time: {start: 2026-07-01, days: 120}
responses:
  generated:
    seed: 11
    domains: [helpful, koala]
    prompts_per_domain: 60
    step: 0.25
    noise: {base: 3, attribute: 3}
    generators:
      alder: {base: 2, attribute: -1}
      beech: {base: 1, attribute: 1}
      elm: {base: 0, attribute: 2}
      larch: {base: -1}
user_types:
  concise: {share: 0.4, asks: {helpful: 0.6, koala: 0.4}, alpha: -1.2}
  thorough: {share: 0.6, asks: {helpful: 0.4, koala: 0.6}, alpha: 1.2}
mechanisms:
  - id: m@1
    mixture: [{name: uniform, share: 0.5, draw: uniform}, {name: longer, share: 0.5, draw: scored, attribute: 1}]
labels: {abstain: 0.01, tie: 0.02}
annotators: {count: 20}
target: {product: {domain: {helpful: 0.5, koala: 0.5}, user_type: {concise: 0.5, thorough: 0.5}}}
pairs: uniform
reference: {attribute: 0.2}
candidates:
  - {name: longer, role: incumbent, attribute: 1, reward_beta: 0.1}
  - {name: judge, role: challenger, base: 1, reward_beta: 0.1}
beta: 0.5
";

fn report(world: &str, settings: &[&str]) -> Report {
    let (sandbox, _) = simulated(world, 8000, 3);
    audited(&sandbox, settings)
}

/// The report of a log in which a defect is planted.
fn planted(defects: &str) -> Report {
    report(&format!("{WORLD}defects:\n{defects}"), &[])
}

/// The report of the clean world's log with something done to its rows, which are in the order of time.
fn changed(change: impl FnOnce(&mut Vec<Row>)) -> Report {
    let (sandbox, _) = simulated(WORLD, 8000, 3);
    let scene = simulate::scene(&parse_world("world.yaml", WORLD, Path::new("")).unwrap()).unwrap();
    let mut rows = scene.rows(8000, 3);
    change(&mut rows);
    let columns = scene.columns(rows);
    let columns: Vec<(&str, _)> = columns.iter().map(|(name, data)| (name.as_str(), data.clone())).collect();
    sandbox.write_log("w/logs.parquet", &columns);
    audited(&sandbox, &[])
}

fn flip(row: &mut Row) {
    row.label = match row.label.as_deref() {
        Some("a") => Some("b".to_owned()),
        Some("b") => Some("a".to_owned()),
        other => other.map(str::to_owned),
    };
}

fn is_in(row: &Row, domain: &str, user_type: &str) -> bool {
    row.domain.as_deref() == Some(domain) && row.user_type.as_deref() == Some(user_type)
}

/// Every other annotator.
fn is_odd(row: &Row) -> bool {
    row.annotator_id.as_deref().is_some_and(|own| own.ends_with(['1', '3', '5', '7', '9']))
}

fn status_of(report: &Report, id: &str) -> (Status, String) {
    let finding = check(report, id);
    (finding.status, finding.message.clone())
}

#[test]
fn what_is_small_or_cancels_in_the_whole_log_is_found_in_its_cells_and_annotators() {
    let half = 4000;
    let report = changed(|rows| {
        let late = rows.iter_mut().skip(half);
        late.filter(|row| is_in(row, "koala", "concise")).for_each(flip);
    });
    let (status, message) = status_of(&report, "label-drift");
    assert!(status == Status::Warn && message.contains("koala, concise ("), "{message}");
    // One half of the annotators changes its mind one way, the other half the other way round.
    let report = changed(|rows| {
        let turned = rows.iter_mut().enumerate().filter(|(at, row)| (*at < half) == is_odd(row));
        turned.for_each(|(_, row)| flip(row));
    });
    let (status, message) = status_of(&report, "label-drift");
    assert!(status == Status::Warn && message.contains("from early to late change annotator"), "{message}");
    // One half wants the opposite of the other half throughout: the model favours no side.
    let report = changed(|rows| rows.iter_mut().filter(|row| is_odd(row)).for_each(flip));
    let (status, message) = status_of(&report, "label-drift");
    assert!(
        status == Status::Warn && message.contains("answer unlike the label model and everybody else"),
        "{message}"
    );
}

#[test]
fn annotators_who_answer_once_each_are_said_not_to_be_compared() {
    let report = changed(|rows| {
        rows.iter_mut().enumerate().for_each(|(at, row)| row.annotator_id = Some(format!("annotator-{at}")));
    });
    let (status, message) = status_of(&report, "label-drift");
    assert_eq!(status, Status::Pass, "{message}");
    assert!(message.contains("; none of ") && message.ends_with("has labels enough to be compared with the others"));
}

#[test]
fn a_change_that_comes_and_goes_is_found_along_the_way() {
    let report = changed(|rows| rows.iter_mut().skip(3200).take(1600).for_each(flip));
    let (status, message) = status_of(&report, "label-drift");
    assert!(status == Status::Warn && message.contains("the running test shows it first in 2026-09"), "{message}");
    let finding = check(&report, "label-drift");
    let crossed: Vec<&str> =
        finding.measures.iter().filter(|own| own.crossed.is_some()).map(|own| own.name.as_str()).collect();
    assert!(crossed.contains(&"largest mean change of four stretches from all before and of them"), "{crossed:?}");
}

#[test]
fn no_change_is_not_said_of_rows_that_could_not_show_one() {
    let report = changed(|rows| rows.truncate(2100));
    let (status, message) = status_of(&report, "label-drift");
    assert!(
        status == Status::Undetermined && message.starts_with("too few rows for a change to be seen ("),
        "{message}"
    );
    // Those that changed do not say when they were labelled.
    let report = changed(|rows| {
        for row in rows.iter_mut().skip(4000).filter(|row| is_odd(row)) {
            flip(row);
            row.timestamp = None;
        }
    });
    let finding = check(&report, "label-drift");
    assert!(finding.status != Status::Pass, "{}", finding.message);
    let report = changed(|rows| rows.iter_mut().step_by(3).for_each(|row| row.timestamp = None));
    let (status, message) = status_of(&report, "label-drift");
    assert!(status == Status::Undetermined && message.contains("do not say when they were labelled"), "{message}");
    // Nobody ever decides.
    let report = changed(|rows| rows.iter_mut().for_each(|row| row.label = Some("tie".to_owned())));
    for id in ["label-drift", "bradley-terry-fit", "proxy-informativeness"] {
        let (status, message) = status_of(&report, id);
        assert_eq!(status, Status::Undetermined, "{id}: {message}");
    }
}

#[test]
fn an_informative_covariate_does_not_stand_in_for_one_that_is_noise() {
    // Kinds of people are noise, domains are not, and a few rows have another domain than their prompt's others.
    let report = changed(|rows| {
        for (at, row) in rows.iter_mut().enumerate() {
            row.user_type = Some(if at * 7 % 5 < 2 { "concise" } else { "thorough" }.to_owned());
            if row.domain.as_deref() == Some("koala") {
                flip(row);
            }
            if at < 20 {
                row.domain = Some("koala".to_owned());
            }
        }
    });
    let own = report.label_model.as_ref().unwrap().informativeness.as_ref().unwrap();
    assert_eq!(own.joint.covariates, ["domain", "user_type"]);
    assert!(own.joint.p_value.unwrap() < 1e-6);
    let (status, message) = status_of(&report, "proxy-informativeness");
    assert!(status == Status::Warn && message.contains("and yet user_type does not"), "{message}");
}

#[test]
fn a_cell_that_the_score_does_not_describe_is_not_hidden_by_the_others() {
    let report = changed(|rows| rows.iter_mut().filter(|row| is_in(row, "koala", "concise")).for_each(flip));
    let fit = &report.label_model.as_ref().unwrap().preference_fit;
    let (status, message) = status_of(&report, "bradley-terry-fit");
    assert!(status == Status::Warn && message.contains("most in"), "{message} {fit:?}");
    // Far from what is implied, and not beyond chance: neither a misfit nor a fit.
    let report = changed(|rows| rows.truncate(60));
    let (status, message) = status_of(&report, "bradley-terry-fit");
    assert!(status == Status::Undetermined && message.starts_with("too few labels to tell"), "{message}");
    assert!(report.label_model.as_ref().unwrap().covariates.len() < 4, "60 rows hold no model of many coefficients");
}

#[test]
fn a_clean_world_passes_what_its_labels_say() {
    let report = report(WORLD, &[]);
    for id in ["proxy-informativeness", "label-drift", "bradley-terry-fit"] {
        assert_eq!(check(&report, id).status, Status::Pass, "{id}: {}", check(&report, id).message);
    }
    let model = report.label_model.as_ref().unwrap();
    assert_eq!(&model.covariates[..2], ["margin of longer", "margin of judge"]);
    assert_eq!((model.prompts, model.every), (120, 1));
    let own = model.informativeness.as_ref().unwrap();
    assert_eq!(own.joint.covariates, ["user_type"], "the domain is the prompt's");
    assert!(own.within_prompts && own.joint.gain.unwrap() > 0.01 && own.pair_share > 0.0);
    let domain = own.each.iter().find(|own| own.covariates == ["domain"]).unwrap();
    assert!(domain.p_value.unwrap() > 0.01, "people do not choose by domain: {domain:?}");
    let drift = model.drift.as_ref().unwrap();
    assert_eq!((drift.late_from.as_str(), drift.months.len()), ("2026-09", 4));
    assert!(drift.monitor.iter().all(|at| at.log10_e < 2.0) && drift.monitor.len() == 24);
    let fit = &model.preference_fit;
    assert!(fit.error < 0.02, "the world's labels are Bradley-Terry: {}", fit.error);
    // Four generators in four cells, each three of which are a triple.
    assert_eq!(fit.triples, 16);
    assert_eq!(fit.cells.len(), 4);
}

#[test]
fn a_proxy_that_is_noise_is_said_to_tell_nothing() {
    let report = planted("  - noised_proxy: 0.5\n");
    let finding = check(&report, "proxy-informativeness");
    assert_eq!(finding.status, Status::Warn, "{}", finding.message);
    assert!(finding.message.contains("cannot correct shifts that come from who is asked"), "{}", finding.message);
}

#[test]
fn people_who_change_their_mind_are_found_early_and_annotators_who_do_not_look() {
    let drifted = WORLD.replace("tie: 0.02}", "tie: 0.02, drift: [{from: 0.5, alpha: -1.5}]}");
    let report = report(&drifted, &[]);
    let finding = check(&report, "label-drift");
    assert_eq!(finding.status, Status::Warn, "{}", finding.message);
    let drift = report.label_model.as_ref().unwrap().drift.clone().unwrap();
    assert!(drift.mean_change > 0.1 && drift.gain.p_value.unwrap() < 1e-6, "{drift:?}");
    let crossed = drift.monitor.iter().find(|at| at.log10_e > 200_f64.log10()).unwrap();
    assert_eq!(crossed.month, "2026-09", "half of July to October is behind by the end of August");
    assert!(finding.message.contains("first in 2026-09"), "{}", finding.message);

    let report = planted("  - always_a: annotator-07\n");
    let finding = check(&report, "label-drift");
    assert_eq!(finding.status, Status::Warn, "{}", finding.message);
    assert!(finding.message.contains("by first label"), "{}", finding.message);
    let shifted: Vec<f64> = report.label_model.as_ref().unwrap().annotators.iter().map(|own| own.shift).collect();
    assert_eq!(shifted.iter().filter(|shift| **shift < -0.1).count(), 1, "{shifted:?}");
}

#[test]
fn without_timestamps_drift_is_undetermined() {
    let report = planted("  - no_column: timestamp\n");
    let finding = check(&report, "label-drift");
    assert_eq!((finding.status, finding.severity.as_str()), (Status::Undetermined, "note"));
    assert!(report.label_model.as_ref().unwrap().drift.is_none());
}

/// Comparisons of three generators, `n` prompts a side, the first of each pair in the circle winning `wins` of them.
fn circle(n: u32, wins: [u32; 3]) -> Comparisons {
    let sides = [(0, 1), (1, 2), (2, 0)];
    let mut table = Comparisons { cells: vec![vec!["x".to_owned()]], ..Comparisons::default() };
    let mut generators =
        Generators { names: ["rock", "scissors", "paper"].map(str::to_owned).to_vec(), ..Generators::default() };
    let mut prompts = Vec::new();
    for ((a, b), wins) in sides.into_iter().zip(wins) {
        for at in 0..n {
            // Every other row shows them the other way round.
            let turned = at % 2 == 1;
            generators.a.push(if turned { b } else { a });
            generators.b.push(if turned { a } else { b });
            table.answers.push(if (at < wins) == turned { Answer::B } else { Answer::A });
            table.cell.push(0);
            prompts.push(at);
        }
    }
    table.prompt = Some(Clusters { role: "prompt".to_owned(), codes: prompts, count: n as usize });
    table.generators = Some(generators);
    table
}

#[test]
fn circles_are_found_and_chance_is_not_taken_for_one() {
    let (triples, circular, found) = cycles(&circle(30, [30, 30, 24]));
    assert_eq!((triples, circular), (1, 1));
    assert_eq!(found[0].wins.map(f64::to_bits), [1.0_f64, 1.0, 0.8].map(f64::to_bits));
    assert_eq!(found[0].generators, ["rock", "scissors", "paper"].map(str::to_owned));
    // The weakest side decides: 24 of 30, variance about one half (the larger) 30/4 * 30/29 / 900, t = 0.3 / 0.09285 on 29
    // degrees of freedom; two directions. scipy 1.17.1: stats.t.sf(3.2311, 29) = 0.0015324.
    let t = 0.3 / (30.0_f64 / 4.0 * 30.0 / 29.0 / 900.0).sqrt();
    let tail = counterweight::numeric::t_tail(t, 29.0).unwrap();
    assert_close(found[0].p_value, 2.0 * tail, 1e-12, "p-value");
    assert!((tail - 0.001_532).abs() < 2e-5, "{tail}");
    // Transitive: paper loses to rock.
    let (triples, circular, found) = cycles(&circle(30, [30, 30, 3]));
    assert_eq!((triples, circular, found.len()), (1, 0, 0));
    // By chance alone.
    let (_, circular, found) = cycles(&circle(30, [16, 16, 16]));
    assert!(circular == 1 && found[0].p_value > 0.5);
    // Too few prompts to judge.
    assert_eq!(cycles(&circle(MIN_EDGE_PROMPTS - 1, [9, 9, 9])).0, 0);
}

#[test]
fn choices_that_go_round_in_a_circle_are_reported() {
    let world = parse_world("world.yaml", WORLD, Path::new("")).unwrap();
    let scene = simulate::scene(&world).unwrap();
    let (sandbox, _) = simulated(WORLD, 8000, 3);
    let mut rows = scene.rows(8000, 3);
    let beats = [("alder", "beech"), ("beech", "elm"), ("elm", "alder")];
    for row in &mut rows {
        let pair = (row.generator_a.as_deref().unwrap_or(""), row.generator_b.as_deref().unwrap_or(""));
        if beats.contains(&pair) {
            row.label = Some("a".to_owned());
        } else if beats.contains(&(pair.1, pair.0)) {
            row.label = Some("b".to_owned());
        }
    }
    let columns = scene.columns(rows);
    let columns: Vec<(&str, _)> = columns.iter().map(|(name, data)| (name.as_str(), data.clone())).collect();
    sandbox.write_log("w/logs.parquet", &columns);
    let report = audited(&sandbox, &[]);
    let finding = check(&report, "bradley-terry-fit");
    assert_eq!(finding.status, Status::Warn, "{}", finding.message);
    assert!(finding.message.contains("intransitive beyond chance: "), "{}", finding.message);
    let cycle = &report.label_model.as_ref().unwrap().preference_fit.cycles[0];
    assert!(cycle.p_value < 1e-6 && cycle.wins.iter().all(|wins| *wins >= 1.0), "{cycle:?}");
    assert!(world.defects.is_empty(), "the world itself is clean");
    let _: World = world;
}

const REGIME: &str = "schema: counterweight/regime/v1\nname: test\nversion: 1.0.0\neffective: 2026-10-01\nowner: Test\n\
    motivation: a test\ncells: [kind]\ntarget:\n  product:\n    kind: {x: 0.75, y: 0.25}\npairs: {uniform: responses}\n";

#[test]
fn mass_that_was_never_shown_is_summed_by_hand() {
    // Prompt p: r1 to r4; x is shown r1, r2; y is shown r2, r3; nobody r4. Prompt q: r1, r2, in x alone.
    let ln = |p: f64| p.ln();
    let response = |id: &str, prompt: &str, p: f64| {
        format!("{{\"response_id\":\"{id}\",\"prompt_id\":\"{prompt}\",\"own\":{},\"base\":-1}}\n", ln(p))
    };
    let responses: String =
        [("r1", "p", 0.2), ("r2", "p", 0.1), ("r3", "p", 0.1), ("r4", "p", 0.4), ("r1", "q", 0.5), ("r2", "q", 0.25)]
            .map(|(id, prompt, p)| response(id, prompt, p))
            .concat();
    let row = |id: u32, prompt: &str, kind: &str, a: &str, b: &str, g: f64| {
        format!(
            "{{\"event_id\":{id},\"prompt_id\":\"{prompt}\",\"kind\":\"{kind}\",\"label\":\"a\",\"propensity\":{g},\"response_a\":\"{a}\",\"response_b\":\"{b}\"}}\n"
        )
    };
    // g_T is 1/12 for p and 1/2 for q; g_O is the same, so that weights are p_T/p_O alone.
    let twelfth = 1.0 / 12.0;
    let log = [
        row(1, "p", "x", "r1", "r2", twelfth),
        row(2, "q", "x", "r1", "r2", 0.5),
        row(3, "p", "y", "r2", "r3", twelfth),
        row(4, "p", "y", "r3", "r2", twelfth),
    ]
    .concat();
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", REGIME);
    sandbox.write("log.ndjson", log);
    sandbox.write("responses.ndjson", responses);
    let audit = "schema: counterweight/audit/v1\nregime: regime.yaml\nlogs:\n  path: log.ndjson\n  responses: responses.ndjson\n\
        reference: {logp: base}\ncandidates: [{name: one, role: incumbent, logp: own}]\n";
    sandbox.write("audit.yaml", audit);
    let report = sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    let own = &report.candidate_support[0];
    // p: 0.4 of 0.8 was shown to nobody; x saw 0.3 of it and y 0.2. q: all was shown.
    let cell = |kind: &str| own.cells.iter().find(|own| own.cell["kind"] == kind).unwrap();
    // x weighs 0.75, half on each prompt; y 0.25 on p.
    assert_close(cell("x").unseen, 0.5 * (0.5 / 0.8), 1e-12, "x");
    assert_close(cell("y").unseen, 0.6 / 0.8, 1e-12, "y");
    assert_close(cell("x").unseen_anywhere, 0.25, 1e-12, "x, anybody");
    assert_close(own.unseen, 0.75 * 0.25 + 0.25 * 0.5, 1e-12, "overall");
    assert_close(own.listed, 0.375 * 0.8 + 0.375 * 0.75 + 0.25 * 0.8, 1e-12, "listed");
    let finding = check(&report, "candidate-support");
    assert_eq!(finding.status, Status::Warn, "{}", finding.message);
    // All that is listed was judged, and the list holds three quarters at most: what lies beside it was judged by nobody.
    let listed = String::from_utf8(sandbox.read("responses.ndjson")).unwrap();
    let judged: String =
        listed.lines().filter(|line| !line.contains("\"r4\"")).map(|line| format!("{line}\n")).collect();
    sandbox.write("responses.ndjson", &judged);
    let report = sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    assert_close(report.candidate_support[0].unseen, 0.0, 1e-12, "of what is listed");
    let finding = check(&report, "candidate-support");
    assert_eq!(finding.status, Status::Undetermined, "{}", finding.message);
    let measure = finding.measures.iter().find(|own| own.name == "its mass on responses that were judged").unwrap();
    // With three responses listed, g_T of p is twice what it was: the rows weigh 3, 1.5, 1 and 1.
    assert_close(measure.value.unwrap(), (3.0 * 0.4 + 1.5 * 0.75 + 2.0 * 0.4) / 6.5, 1e-12, "judged");
    // Probabilities that sum to more than 1 are none.
    sandbox.write("responses.ndjson", listed.replace(&ln(0.5).to_string(), "-0.1"));
    let report = sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    let finding = check(&report, "candidate-support");
    assert_eq!(finding.status, Status::Fail, "{}", finding.message);
    assert!(finding.message.starts_with("on 1 prompts the probabilities that one gives"), "{}", finding.message);
    sandbox.write("responses.ndjson", listed);
    // A response of the log that the file does not list: nothing is known.
    sandbox.write("log.ndjson", String::from_utf8(sandbox.read("log.ndjson")).unwrap().replace("\"r3\"", "\"r9\""));
    let report = sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(check(&report, "candidate-support").status, Status::Undetermined);
}
