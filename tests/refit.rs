//! Re-fits: the losses against published values, the frontier against itself, and a real log with known truth.

use crate::references::assert_close;
use crate::support::{Sandbox, shared, text};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use counterweight::numeric::Random;
use counterweight::numeric::sigmoid;
use counterweight::refit::{
    Artefact, Cap, Checkpoint, DoublyRobust, Frontier, Grid, Menu, Model, Objective, Pairs, Problem, Select, Settings,
    doubly_robust_loss, explore, loss, loss_gradient, margin, mean_loss, problem_digest, tilt, welfare_of_draws,
};
use counterweight::report::{Report, Status};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::cell::Cell;
use std::f64::consts::LN_2;

// ---- Losses ----

fn margins(beta: f64, policy: [&[f64]; 2], reference: [&[f64]; 2]) -> Vec<f64> {
    let row = |i: usize| margin(beta, [policy[0][i], policy[1][i]], [reference[0][i], reference[1][i]]);
    (0..policy[0].len()).map(row).collect()
}

fn losses(objective: Objective, margins: &[f64]) -> Vec<f64> {
    margins.iter().map(|z| loss(*z, objective.label(1.0))).collect()
}

#[track_caller]
fn all_close(actual: &[f64], expected: &[f64], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (actual, expected) in actual.iter().zip(expected) {
        assert!((actual - expected).abs() < 6e-9, "{what}: {actual} is not {expected}");
    }
}

/// torchtune, tests/torchtune/rlhf/loss/test_dpo_loss.py: the margins and the losses -log sigmoid([0, 1, 2]); the smoothed,
/// robust and weighted values follow from them by hand.
#[test]
fn losses_agree_with_torchtune() {
    let z = margins(0.1, [&[-0.5, -10.0, -1.0], &[-0.1, -30.0, -21.0]], [&[-0.5, -10.1, -0.1], &[-0.1, -20.1, -0.1]]);
    all_close(&z, &[0.0, 1.0, 2.0], "margins");
    all_close(&losses(Objective::Naive, &z), &[LN_2, 0.313_261_69, 0.126_928_01], "DPO");
    all_close(&losses(Objective::Conservative(0.1), &z), &[LN_2, 0.413_261_69, 0.326_928_01], "conservative");
    all_close(&losses(Objective::Robust(0.1), &z), &[LN_2, 0.188_261_69, -0.123_071_99], "robust");
    let rows: Vec<(f64, f64, f64)> = z.iter().zip([1.0, 2.0, 3.0]).map(|(z, w)| (*z, 1.0, w)).collect();
    let weighted = mean_loss(Objective::Weighted, &rows).unwrap();
    assert!((weighted.self_normalised - 0.283_409_1).abs() < 1e-7 && (weighted.per_row - 0.566_818_2).abs() < 1e-7);
    let naive = mean_loss(Objective::Naive, &rows).unwrap();
    assert!((naive.self_normalised - 0.377_778_96).abs() < 1e-8);
}

/// LLaMA-Factory, tests_v1/trainers/test_dpo_loss_precision.py (checked there against TRL): its inputs, and the means that
/// they give.
#[test]
fn losses_agree_with_llama_factory() {
    let policy: [&[f64]; 2] = [&[-3.0, -2.5, -4.0, -1.5], &[-5.0, -3.5, -6.0, -2.5]];
    let reference: [&[f64]; 2] = [&[-2.8, -2.3, -3.8, -1.4], &[-3.2, -2.7, -4.2, -1.8]];
    let mean = |objective, beta: f64| {
        let losses = losses(objective, &margins(beta, policy, reference));
        losses.iter().sum::<f64>() / 4.0
    };
    for (beta, expected) in [(0.01, 0.687_665_43), (0.1, 0.639_970_44), (0.5, 0.462_727_96), (1.0, 0.310_694_35)] {
        all_close(&[mean(Objective::Naive, beta)], &[expected], "DPO");
    }
    for (smoothing, expected) in [(0.1, 0.650_970_44), (0.2, 0.661_970_44), (0.3, 0.672_970_44)] {
        all_close(&[mean(Objective::Conservative(smoothing), 0.1)], &[expected], "conservative");
    }
    all_close(&[mean(Objective::Robust(0.1), 0.1)], &[0.626_220_44], "robust");
    // With half of the labels smoothed away, chosen and rejected can be swapped.
    let half = |z: f64| loss(z, Objective::Conservative(0.5).label(1.0));
    assert_close(half(1.3), half(-1.3), 1e-15, "symmetry");
    let z = margins(0.1, policy, reference);
    let rows: Vec<(f64, f64, f64)> = z.iter().zip([1.0, 2.0, 3.0, 4.0]).map(|(z, w)| (*z, 1.0, w)).collect();
    let weighted = mean_loss(Objective::Weighted, &rows).unwrap();
    assert!((weighted.self_normalised - 0.644_695_78).abs() < 1e-8 && (weighted.per_row - 1.611_739_44).abs() < 1e-8);
    // A policy that is its reference.
    assert_close(loss(margin(0.1, [-3.0, -5.0], [-3.0, -5.0]), 1.0), LN_2, 1e-15, "ln 2");
}

/// TRL 0.19's inputs for finite losses.
#[test]
fn extreme_margins_stay_finite() {
    let z = margins(1.0, [&[410.0, 0.1], &[810.5, 0.2]], [&[-610.0, -0.1], &[110.6, 0.5]]);
    for objective in [Objective::Naive, Objective::Conservative(0.1), Objective::Robust(0.1)] {
        assert!(losses(objective, &z).iter().all(|loss| loss.is_finite()));
    }
    for z in [1e4, -1e4, 1e300, -1e300] {
        assert!(loss(z, 1.0).is_finite() && loss(z, 0.0).is_finite() && loss(z, 0.5).is_finite());
        assert!((0.0..=1.0).contains(&(loss_gradient(z, 1.0) + 1.0)));
    }
}

#[test]
fn the_gradient_is_one_half_at_zero_and_agrees_with_differences() {
    assert_eq!(loss_gradient(0.0, 1.0).to_bits(), (-0.5f64).to_bits());
    assert_eq!(loss_gradient(0.0, 0.0).to_bits(), 0.5f64.to_bits());
    for y in [0.0, 0.3, 0.5, 1.0, 1.125, -0.125] {
        for z in [-4.0, -0.3, 0.0, 0.2, 3.0] {
            let difference = (loss(z + 1e-6, y) - loss(z - 1e-6, y)) / 2e-6;
            assert!((difference - loss_gradient(z, y)).abs() < 1e-8, "{y} {z}");
        }
    }
}

#[test]
fn the_doubly_robust_loss_is_the_weighted_one_where_the_target_is_the_weighted_log() {
    // Identity: with the weighted mean over the same rows in place of the target, for any outcome model.
    let rows = [(0.3, 1.0, 0.9, 2.0), (-1.2, 0.0, 0.2, 0.5), (0.8, 0.0, 0.7, 0.5), (2.0, 0.5, 0.1, 1.0)];
    let weighted: f64 = rows.iter().map(|(z, y, _, w)| w * loss(*z, *y)).sum::<f64>() / 4.0;
    let outcome: f64 = rows.iter().map(|(z, _, q, w)| w * loss(*z, *q)).sum::<f64>() / 4.0;
    let target: Vec<(f64, f64)> = rows.iter().map(|(z, _, q, _)| (*z, *q)).collect();
    let own = doubly_robust_loss(&DoublyRobust { target: &target, labelled: &rows }).unwrap().0;
    let unweighted: f64 = target.iter().map(|(z, q)| loss(*z, *q)).sum::<f64>() / 4.0;
    assert_close(own - unweighted + outcome, weighted, 1e-12, "identity");
    // Its gradient against differences.
    let at = |shift: f64| {
        let rows: Vec<_> = rows.iter().map(|(z, y, q, w)| (z + shift, *y, *q, *w)).collect();
        let target: Vec<_> = target.iter().map(|(z, q)| (z + shift, *q)).collect();
        doubly_robust_loss(&DoublyRobust { target: &target, labelled: &rows }).unwrap()
    };
    let (_, of_target, of_labelled) = at(0.0);
    let slope: f64 = of_target.iter().chain(&of_labelled).sum();
    assert_close((at(1e-6).0 - at(-1e-6).0) / 2e-6, slope, 1e-7, "gradient");
    assert_eq!(doubly_robust_loss(&DoublyRobust { target: &[], labelled: &rows }), None);
}

// ---- Welfare ----

#[test]
fn the_welfare_of_draws_holds_its_identity() {
    let rewards = [0.3, -0.2, 1.1, 0.0];
    for (beta, expected) in [
        (0.5, [0.826_053_592_6, 0.511_277_688_1, 0.570_414_748_5, 1.817_282]),
        (1.0, [0.574_426_456_6, 0.140_575_469_4, 0.433_850_987_2, 3.043_983]),
        (2.0, [0.432_123_678_5, 0.033_755_974_6, 0.364_611_729_4, 3.732_414]),
        (0.25, [1.049_661_269_3, 1.128_033_620_9, 0.767_652_864_1, 1.118_480]),
    ] {
        let (reward, kl, welfare, effective) = welfare_of_draws(&rewards, beta).unwrap();
        for (actual, expected) in [reward, kl, welfare, effective].into_iter().zip(expected) {
            assert!((actual - expected).abs() < 1e-6, "beta {beta}: {actual} is not {expected}");
        }
        let identity = beta * (rewards.iter().map(|r| (r / beta).exp()).sum::<f64>() / 4.0).ln();
        assert_close(welfare, identity, 1e-12, "identity");
        assert!(kl <= 4f64.ln());
    }
    // Rewards that underflow leave one response, and none leaves nothing.
    assert_eq!(tilt(&[-0.1, -3.0], &[0.0, 1e6], 0.01).unwrap().probabilities, [0.0, 1.0]);
    assert_eq!(tilt(&[], &[], 1.0), None);
    assert_eq!(tilt(&[f64::NEG_INFINITY], &[0.0], 1.0), None);
}

// ---- The frontier on drawn data ----

/// 120 prompts with 4 responses of 3 features each, 30 comparisons a prompt. Nine tenths of the log come from users who like
/// feature 0; under the target, half do, and the others dislike it; everyone likes feature 1.
fn drawn(seed: u64) -> (Pairs, Menu) {
    let mut random = Random::new(seed);
    let features: Vec<f64> = (0..120 * 4 * 3).map(|_| 2.0 * random.unit() - 1.0).collect();
    let mut pairs = Pairs {
        differences: Vec::new(),
        width: 3,
        labels: Vec::new(),
        weights: Vec::new(),
        clusters: Vec::new(),
        cluster_count: 120,
        sides: None,
    };
    let mut prompt_of_row = Vec::new();
    for prompt in 0..120_usize {
        for _ in 0..30 {
            let (a, b) = (random.below(4), random.below(4));
            let phi = |response: usize, j: usize| features[(prompt * 4 + response) * 3 + j];
            let many = random.unit() < 0.9;
            let taste = if many { 2.0 } else { -3.0 };
            let z = taste * (phi(a, 0) - phi(b, 0)) + 1.5 * (phi(a, 1) - phi(b, 1));
            pairs.differences.extend((0..3).map(|j| phi(a, j) - phi(b, j)));
            pairs.labels.push(f64::from(u8::from(random.unit() < sigmoid(z))));
            pairs.weights.push(if many { 0.5 / 0.9 } else { 5.0 });
            pairs.clusters.push(u32::try_from(prompt).unwrap());
            prompt_of_row.push(u32::try_from(prompt).unwrap());
        }
    }
    let menu = Menu {
        features,
        ln_reference: vec![0.25f64.ln(); 480],
        prompts: (0..120).map(|prompt| prompt * 4..prompt * 4 + 4).collect(),
        prompt_of_row,
    };
    (pairs, menu)
}

fn grid() -> Grid {
    let cap = |text: &str, limit: f64| Cap { text: text.to_owned(), limit };
    Grid {
        settings: Settings {
            caps: vec![cap("none", f64::INFINITY), cap("2", 2.0), cap("4", 4.0), cap("0.6", 0.6)],
            ridges: vec![1.0, 30.0],
            folds: 5,
            seed: 7,
            model: Model::Tilt,
        },
        betas: vec![0.5, 1.0, 4.0],
        objective: Objective::Weighted,
        lambdas: Vec::new(),
        select: Select { max_kl: Some(0.4) },
    }
}

fn explored(pairs: &Pairs, menu: Option<&Menu>, grid: &Grid) -> Frontier {
    explore(&Problem { pairs, menu, incumbent: None, robust: None }, grid, None, &|| ()).unwrap()
}

#[test]
fn weighting_undoes_who_asked_and_caps_trade_it_away() {
    let (pairs, menu) = drawn(1);
    let frontier = explored(&pairs, Some(&menu), &grid());
    assert_eq!(frontier.points.len(), 3 + 4 * 3);
    let accuracy = |objective: Objective, clip: &str| {
        let own = |point: &&counterweight::refit::Point| point.objective == objective && point.clip == clip;
        let points: Vec<_> = frontier.points.iter().filter(own).collect();
        // Accuracy and log-loss do not depend on the temperature; divergence and reward do.
        assert_eq!(points.len(), 3);
        assert!(points.windows(2).all(|two| two[0].preference_accuracy == two[1].preference_accuracy));
        assert!(points.windows(2).all(|two| two[0].log_loss == two[1].log_loss));
        assert!(points.windows(2).all(|two| two[0].kl > two[1].kl && two[0].reward != two[1].reward));
        points[0].preference_accuracy.estimate
    };
    let (naive, weighted) = (accuracy(Objective::Naive, "none"), accuracy(Objective::Weighted, "none"));
    assert!(weighted > naive + 0.03, "{weighted} {naive}");
    // At the smallest weight, clipping leaves the unweighted fit.
    assert!((accuracy(Objective::Weighted, "0.6") - naive).abs() < 0.03);
    let selected = &frontier.selected;
    let over = &selected.over_naive;
    assert!(over.estimate > 3.0 * over.standard_error.unwrap(), "{over:?}");
    assert!(selected.disagreement > 0.1 && !selected.separated);
    assert!(selected.in_sample_loss < selected.log_loss.estimate);
    // One point is taken, within the declared divergence, at the smallest such temperature.
    let taken: Vec<_> = frontier.points.iter().filter(|point| point.selected).collect();
    assert_eq!(taken.len(), 1);
    assert!(taken[0].kl.unwrap() <= 0.4 && taken[0].clip == selected.clip && taken[0].objective == Objective::Weighted);
    let smaller = frontier.points.iter().filter(|p| p.clip == selected.clip && p.beta < selected.beta);
    assert!(smaller.filter(|p| p.objective == Objective::Weighted).all(|point| point.kl.unwrap() > 0.4));
    // Reward at matched divergence: the weighted tilt gains more than the naive one.
    let reward = |objective| frontier.matched.iter().find(|m| m.objective == objective && m.kl > 0.39).unwrap().reward;
    assert!(reward(Objective::Weighted) > reward(Objective::Naive));
    assert!(frontier.unidentified.is_none());
}

#[test]
fn divergence_is_not_made_up() {
    let (pairs, mut menu) = drawn(1);
    let without = explored(&pairs, None, &grid());
    assert!(without.unidentified.is_some() && without.matched.is_empty());
    assert!(without.points.iter().all(|point| point.kl.is_none() && point.reward.is_none() && point.welfare.is_none()));
    // Without a divergence to hold against the limit, the most cautious temperature is taken.
    assert_close(without.selected.beta, 4.0, 1e-15, "beta");
    menu.ln_reference[0] -= 1.0;
    let part = explored(&pairs, Some(&menu), &grid());
    assert!(part.unidentified.is_some() && part.points.iter().all(|point| point.kl.is_none()));
}

#[test]
fn threads_change_nothing_on_the_frontier() {
    let (pairs, menu) = drawn(2);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        format!("{:?}", pool.install(|| explored(&pairs, Some(&menu), &grid())))
    };
    assert_eq!(with(1), with(2));
}

#[test]
fn a_run_that_was_cut_off_goes_on_and_ends_in_the_same_bytes() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("fits");
    let (pairs, menu) = drawn(3);
    let grid = grid();
    let problem = Problem { pairs: &pairs, menu: Some(&menu), incumbent: None, robust: None };
    let digest = problem_digest(&problem, &grid);
    let run = |counted: &Cell<usize>| {
        let mut checkpoint = Checkpoint::open(&path, &digest).unwrap();
        format!("{:?}", explore(&problem, &grid, Some(&mut checkpoint), &|| counted.set(counted.get() + 1)).unwrap())
    };
    let (all, again) = (Cell::new(0), Cell::new(0));
    let whole = run(&all);
    assert_eq!(run(&again), whole);
    assert_eq!(again.get(), 0, "a finished fit is never computed again");
    // Cut off in the middle of a line.
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), all.get() + 1);
    let middle = text.len() / 2;
    std::fs::write(&path, &text[..middle]).unwrap();
    let kept = text[..middle].matches('\n').count() - 1;
    let rest = Cell::new(0);
    assert_eq!(run(&rest), whole);
    assert_eq!(rest.get(), all.get() - kept);
    // A digit changed in the middle: what lies before is kept, what lies behind is fitted again.
    let mut bytes = text.clone().into_bytes();
    bytes[middle] = if bytes[middle] == b'0' { b'1' } else { b'0' };
    std::fs::write(&path, &bytes).unwrap();
    let rest = Cell::new(0);
    assert_eq!(run(&rest), whole);
    assert_eq!(rest.get(), all.get() - kept);
    // Another problem's fits are not taken; another file is left alone.
    std::fs::write(&path, &text).unwrap();
    assert!(Checkpoint::open(&path, "other").unwrap().is_empty());
    std::fs::write(&path, "my thesis").unwrap();
    assert!(Checkpoint::open(&path, &digest).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"my thesis");
}

/// The unweighted re-fit is a row of every candidate's table: one policy has one reward at one ridge, whichever candidate it stands
/// beside, and it is measured under the target.
#[test]
fn the_same_policy_has_the_same_reward_in_every_table() {
    let (pairs, menu) = drawn(3);
    let of = |objective: Objective| {
        let settings = Settings { ridges: vec![1.0], ..grid().settings };
        let frontier = explored(&pairs, Some(&menu), &Grid { settings, objective, ..grid() });
        let naive = frontier.points.into_iter().filter(|point| point.objective == Objective::Naive);
        naive.map(|point| (point.kl, point.reward, point.reward_error)).collect::<Vec<_>>()
    };
    let expected = of(Objective::Weighted);
    assert!(expected.len() == 3 && expected.iter().all(|(_, reward, _)| reward.is_some()));
    for objective in
        [Objective::Naive, Objective::Conservative(0.2), Objective::Robust(0.1), Objective::WorstCase(1.05)]
    {
        assert_eq!(of(objective), expected, "{}", objective.name());
    }
}

#[test]
fn what_cannot_be_explored_is_said() {
    let (pairs, _) = drawn(4);
    let refused = |grid: &Grid| {
        explore(&Problem { pairs: &pairs, menu: None, incumbent: None, robust: None }, grid, None, &|| ())
            .unwrap_err()
            .to_string()
    };
    let with_folds = |folds| Grid { settings: Settings { folds, ..grid().settings }, ..grid() };
    assert!(refused(&with_folds(17)).contains("17 folds"));
    assert!(refused(&with_folds(1)).contains("folds"));
    assert!(refused(&Grid { betas: Vec::new(), ..grid() }).contains("no temperature"));
}

// ---- A real log ----

#[test]
fn the_weighted_refit_beats_the_naive_one_on_a_real_log() {
    let Some(arena) = shared("data/arena") else { return };
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", std::fs::read(arena.join("regime.yaml")).unwrap());
    let audit = String::from_utf8(std::fs::read(arena.join("audit.yaml")).unwrap()).unwrap();
    let audit = audit.replace("logs.parquet", arena.join("logs.parquet").to_str().unwrap());
    let audit = audit.replace("responses.parquet", arena.join("responses.parquet").to_str().unwrap());
    let audit = audit.replace("reference: {logp_a: ref_logp_a, logp_b: ref_logp_b}", "reference: {logp: ref_logp}");
    sandbox.write(
        "policy.yaml",
        "schema: counterweight/policy/v1\nname: p\nversion: 1.0.0\nfrontier: {clip: [none, 20, 5], beta: [0.1, 0.5], ridge: [1, 100]}\n",
    );
    let audit = audit.replace("policy: standard", "policy: policy.yaml");
    let fit = "  - {name: refit, role: challenger, fit: {model: tilt, objective: weighted, folds: 5, seed: 7}}\n";
    sandbox.write("audit.yaml", format!("{audit}{fit}"));
    let report: Report = sandbox.audit("audit.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    let refit = report.refits[0].frontier.as_ref().unwrap();
    let over = &refit.over_naive;
    assert!(over.estimate > 3.0 * over.se.unwrap(), "{over:?}");
    // The responses file lists all that the reference can say: divergence is exact, and reward grows with it.
    assert_eq!(report.frontier.len(), 2 + 3 * 2);
    assert!(
        report.frontier.iter().all(|point| point.kl.unwrap() > 0.0 && point.reward.unwrap() > 0.0 && point.converged)
    );
    // It joins the other candidates, out of fold: its accuracy is the one that was measured on rows it had not seen.
    let own = report.candidates.iter().find(|candidate| candidate.name == "refit").unwrap();
    let accuracy = own.target.preference_accuracy.as_ref().unwrap().estimate;
    assert!((accuracy - refit.preference_accuracy.estimate).abs() < 1e-9, "{accuracy}");
    let markdown = counterweight::report::markdown(&report).unwrap();
    assert!(markdown.contains("### refit: ") && markdown.matches("**taken**").count() == 2);
    let html = counterweight::report::html(&report).unwrap();
    assert!(html.contains("id=\"accuracy-") && html.contains("id=\"reward-"));
    let check = |id: &str| report.checks.iter().find(|check| check.id == id).unwrap();
    assert_eq!(check("refit-shift").status, Status::Warn);
    assert_eq!(check("frontier-stability").status, Status::Pass);
    assert_eq!(check("overfit-margin").status, Status::Pass);
    let reward = |objective: &str| refit.matched.iter().find(|m| m.objective == objective && m.clip == "none").unwrap();
    assert!(reward("weighted").reward > reward("naive").reward);
}

// ---- The command ----

const REGIME: &str = "schema: counterweight/regime/v1\nname: r\nversion: 1.0.0\neffective: 2026-10-01\nowner: o\nmotivation: m\ncells: [user]\n\
    target:\n  uniform: {user: [few, many]}\n";
const AUDIT: &str = "schema: counterweight/audit/v1\nregime: regime.yaml\nlogs: {path: log.ndjson, selection: all}\ncandidates:\n\
    \x20 - {name: refit, role: challenger, fit: {model: tilt, features: {a: features_a, b: features_b}, folds: 4, seed: 3}}\n";

/// 1,200 comparisons of 60 prompts with two features a response: the many like the first, the few dislike it.
fn log() -> String {
    let mut random = Random::new(5);
    let mut lines = String::new();
    for row in 0..1200 {
        let many = random.unit() < 0.8;
        let (a, b) = ([random.unit(), random.unit()], [random.unit(), random.unit()]);
        let z = if many { 3.0 } else { -4.0 } * (a[0] - b[0]) + 2.0 * (a[1] - b[1]);
        let label = if random.unit() < sigmoid(z) { "a" } else { "b" };
        let user = if many { "many" } else { "few" };
        lines.push_str(&format!(
            "{{\"event_id\":\"e{row}\",\"prompt_id\":\"p{}\",\"response_a\":\"x\",\"response_b\":\"y\",\"user\":\"{user}\",\
             \"label\":\"{label}\",\"features_a\":{a:?},\"features_b\":{b:?}}}\n",
            row % 60
        ));
    }
    lines
}

fn documents() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", REGIME);
    sandbox.write("audit.yaml", AUDIT);
    sandbox.write("log.ndjson", log());
    sandbox
}

/// A Parquet file's rows, in one batch.
fn table(path: &std::path::Path) -> RecordBatch {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 20).build().unwrap();
    reader.map(Result::unwrap).next().unwrap()
}

fn floats(table: &RecordBatch, name: &str) -> Vec<f64> {
    table.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec()
}

fn texts(table: &RecordBatch, name: &str) -> Vec<String> {
    let column = table.column_by_name(name).unwrap();
    column.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
}

fn ran(sandbox: &Sandbox, arguments: &[&str]) {
    let output = sandbox.run(arguments);
    assert!(output.status.code().is_some_and(|code| code < 2), "{:?}", text(&output));
}

const RUN: [&str; 5] = ["audit", "audit.yaml", "--as-of", "2026-11-01", "--quiet"];

#[test]
fn a_fitted_policy_is_written_scored_and_its_weights_are_there() {
    let sandbox = documents();
    ran(&sandbox, &[&RUN[..], &["--out", "report", "--weights"]].concat());
    let record: Report = serde_json::from_slice(&sandbox.read("report/report.json")).unwrap();
    let refit = record.refits[0].frontier.as_ref().unwrap();
    assert!(refit.over_naive.estimate > 0.0 && refit.disagreement_with_naive > 0.05);
    // Pairs alone: divergence and reward are not identified, and the report says so.
    assert!(refit.unidentified.as_ref().unwrap().contains("log 2"));
    assert!(String::from_utf8(sandbox.read("report/report.md")).unwrap().contains("log 2"));

    let bytes = sandbox.read("report/refit-1.safetensors");
    let policy = Artefact::from_bytes(&bytes).unwrap();
    assert_eq!(policy.to_bytes().unwrap(), bytes);
    let provenance = &policy.provenance;
    assert_eq!((provenance.regime.len(), provenance.policy.len(), provenance.logs.len()), (64, 64, 1));
    assert!((policy.parameters[0] - refit.coefficients[0]).abs() < 1e-8);

    ran(&sandbox, &["score", "report/refit-1.safetensors", "log.ndjson", "--out", "scores.parquet"]);
    let scores = table(&sandbox.path("scores.parquet"));
    let (ids, margins, preferred) = (texts(&scores, "row_id"), floats(&scores, "margin"), floats(&scores, "p_a"));
    assert_eq!((ids.len(), ids[7].as_str()), (1200, "e7"));
    for (row, line) in log().lines().enumerate() {
        let row_of: serde_json::Value = serde_json::from_str(line).unwrap();
        let feature = |side: &str, j: usize| row_of[side][j].as_f64().unwrap();
        let r: f64 = (0..2).map(|j| policy.parameters[j] * (feature("features_a", j) - feature("features_b", j))).sum();
        assert!((margins[row] * provenance.beta - r).abs() < 1e-12 && (preferred[row] - sigmoid(r)).abs() < 1e-12);
    }

    let weights = table(&sandbox.path("report/weights.parquet"));
    let (own, normalised) = (floats(&weights, "weight"), floats(&weights, "weight_normalised"));
    assert_eq!(texts(&weights, "row_id"), ids);
    let n_eff = own.iter().sum::<f64>().powi(2) / own.iter().map(|w| w * w).sum::<f64>();
    assert_close(n_eff, record.weights.unwrap().labelled.n_eff.unwrap(), 1e-9, "n_eff");
    assert!((normalised.iter().sum::<f64>() / 1200.0 - 1.0).abs() < 1e-12);
    assert_eq!(floats(&weights, "weight_clipped").len(), 1200);

    // Damaged, foreign or of other features: said, with exit code 2.
    sandbox.write("broken.safetensors", &bytes[..bytes.len() - 3]);
    sandbox.write("three.ndjson", "{\"event_id\":\"e\",\"features_a\":[1,2,3],\"features_b\":[1,2,3]}\n");
    for (policy, log, out) in [
        ("broken.safetensors", "log.ndjson", "o"),
        ("log.ndjson", "log.ndjson", "o"),
        ("report/refit-1.safetensors", "three.ndjson", "o"),
        ("report/refit-1.safetensors", "log.ndjson", "log.ndjson"),
    ] {
        let output = sandbox.run(&["score", policy, log, "--out", out]);
        assert_eq!(output.status.code(), Some(2), "{policy} {log}: {:?}", text(&output));
    }
    assert_eq!(sandbox.read("log.ndjson"), log().into_bytes());
}

/// Weights and fitted policies are in SHA256SUMS and under the signature; a run that makes none leaves none of an earlier one.
#[test]
fn what_is_made_further_is_signed_and_never_stale() {
    let sandbox = documents();
    ran(&sandbox, &["keygen", "--out", "team.pem"]);
    let signed = [&RUN[..], &["--out", "report", "--sign", "team.pem"]].concat();
    ran(&sandbox, &[&signed[..], &["--weights"]].concat());
    let verify = || {
        let output = sandbox.run(&["verify", "report", "--key", "team.pub.pem"]);
        (output.status.code(), text(&output).0)
    };
    let (code, said) = verify();
    assert_eq!(code, Some(0), "{said}");
    for name in ["refit-1.safetensors", "weights.parquet"] {
        assert!(said.contains(&format!("✓ holds  {name}")), "{said}");
        let sums = String::from_utf8(sandbox.read("report/SHA256SUMS")).unwrap();
        assert!(sums.lines().any(|line| line.ends_with(&format!("  {name}"))), "{sums}");
        let path = format!("report/{name}");
        let whole = sandbox.read(&path);
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        sandbox.write(&path, changed);
        let (code, said) = verify();
        assert!(code == Some(1) && said.contains(&format!("✗ FAILS  {name}")), "{said}");
        std::fs::remove_file(sandbox.path(&path)).unwrap();
        let (code, said) = verify();
        assert!(code == Some(1) && said.contains(&format!("✗ FAILS  {name}")), "{said}");
        sandbox.write(&path, whole);
    }
    // One that was not signed would be taken for one that was.
    sandbox.write("report/refit-2.safetensors", "another policy");
    let (code, said) = verify();
    assert!(code == Some(1) && said.contains("✗ FAILS  refit-2.safetensors"), "{said}");
    sandbox.write("report/refit-x.safetensors", "nobody's");
    ran(&sandbox, &signed);
    let there = |name: &str| sandbox.path(&format!("report/{name}")).exists();
    assert!(there("refit-1.safetensors") && !there("refit-2.safetensors") && !there("weights.parquet"));
    assert!(there("refit-x.safetensors"), "it is none of a report's");
    assert_eq!(verify().0, Some(0), "{}", verify().1);
    // Rendering knows neither weights nor policies.
    ran(&sandbox, &[&RUN[..], &["--out", "plain"]].concat());
    let output = sandbox.run(&["render", "report/report.json", "--out", "plain"]);
    assert_eq!(output.status.code(), Some(2), "{:?}", text(&output));
}

#[test]
fn an_audit_that_was_cut_off_ends_in_the_same_bytes() {
    let sandbox = documents();
    ran(&sandbox, &[&RUN[..], &["--out", "whole"]].concat());
    ran(&sandbox, &[&RUN[..], &["--out", "kept", "--resume", "fits"]].concat());
    let fits = sandbox.read("fits/0.checkpoint");
    sandbox.write("fits/0.checkpoint", &fits[..fits.len() / 3]);
    ran(&sandbox, &[&RUN[..], &["--out", "resumed", "--resume", "fits"]].concat());
    assert_eq!(sandbox.read("fits/0.checkpoint").len(), fits.len());
    for file in ["report.json", "report.md", "report.html", "refit-1.safetensors"] {
        let whole = sandbox.read(&format!("whole/{file}"));
        assert!(
            whole == sandbox.read(&format!("kept/{file}")) && whole == sandbox.read(&format!("resumed/{file}")),
            "{file}"
        );
    }
    let one = crate::support::command()
        .current_dir(sandbox.path(""))
        .env("RAYON_NUM_THREADS", "1")
        .args([&RUN[..], &["--out", "one"]].concat())
        .output()
        .unwrap();
    assert!(one.status.code().is_some_and(|code| code < 2));
    assert_eq!(sandbox.read("whole/report.json"), sandbox.read("one/report.json"));
}

#[test]
fn a_candidate_that_cannot_be_fitted_blocks() {
    let sandbox = documents();
    // Twice as many folds as prompts: nothing is fitted, and nothing passes for it.
    sandbox.write("audit.yaml", AUDIT.replace("folds: 4", "folds: 120"));
    let report = sandbox.audit("audit.yaml").unwrap();
    assert!(report.refits[0].problem.as_ref().unwrap().contains("120 folds"));
    let status = |id: &str| report.checks.iter().find(|check| check.id == id).unwrap().status;
    assert_eq!(status("overfit-margin"), Status::Undetermined);
    assert_eq!(status("candidate-completeness"), Status::Fail);
    assert_eq!(report.exit_code, 1);
}
