//! Confounders that nobody logged: whether the truth lies inside the bounds at their strength, and how often the sign-score
//! test is wrong there.

use crate::{for_each_pair, rate, robust, table, world};
use counterweight::audit::comparisons;
use counterweight::declare::{self, HiddenConfounder, Levels, Regime, Toward};
use counterweight::estimate::{Answer, Comparisons};
use counterweight::logs::LogFormat;
use counterweight::numeric::Random;
use counterweight::sensitivity::{Bounds, Box, GammaSettings, LambdaSettings, compare_all};
use counterweight::simulate::{World, scene, write};
use std::collections::BTreeMap;
use std::error::Error;

type Failure = std::boxed::Box<dyn Error>;

const REPLICATES: u32 = 500;

/// Prints the three tables.
pub(crate) fn print(logs: u64, regime: &Regime, target: &BTreeMap<Levels, f64>) -> Result<(), Failure> {
    planted(logs)?;
    at_the_edge(logs, regime, target);
    nothing_to_find(logs, regime);
    Ok(())
}

fn lambda(at: &[f64]) -> LambdaSettings {
    LambdaSettings { lambdas: at.to_vec(), alpha: 0.05, shape: Box::Ratio, replicates: REPLICATES, min_cell_rows: 30 }
}

fn gamma(at: &[f64]) -> GammaSettings {
    GammaSettings { gammas: at.to_vec(), alpha: 0.05, threshold_soft: false }
}

fn holds(bounds: Bounds, truth: f64) -> u64 {
    u64::from(bounds.lower <= truth && truth <= bounds.upper)
}

/// A confounder of the world's document: the odds of every label are multiplied by Gamma0 towards what one candidate prefers. From
/// files, as the program reads them.
fn planted(logs: u64) -> Result<(), Failure> {
    println!("\nA planted confounder, 4,000 rows, {logs} logs a row (difference: judge less longer):\n");
    println!(
        "| Gamma0 | towards | truth | what the estimate goes to | plain 95 % interval | interval at Lambda = sqrt Gamma0 \
         | interval at Lambda = Gamma0 | sharp bounds at Gamma0, no sampling error |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|");
    for gamma0 in [1.25, 1.5, 2.0, 3.0] {
        for toward in ["judge", "longer"] {
            let mut world = robust::confounded()?;
            world.flaws.hidden =
                Some(HiddenConfounder { gamma: gamma0, share: 1.0, toward: Toward::Candidate(toward.to_owned()) });
            let scene = scene(&world).map_err(|problems| problems.to_string())?;
            let (mut counts, mut truth, mut limit) = ([0; 4], 0.0, 0.0);
            for seed in 0..logs {
                let folder = tempfile::tempdir()?;
                let out = folder.path().join("log");
                let written = write(&scene, &out, (4_000, 60_000 + seed, LogFormat::Parquet), &())?;
                let of = |name: &str| written.truth.policy(name).cloned().unwrap_or_default();
                let (judge, longer) = (of("judge"), of("longer"));
                truth = judge.target_accuracy - longer.target_accuracy;
                limit = judge.weighted_accuracy - longer.weighted_accuracy;
                let declaration = declare::load(&out.join("audit.yaml"), &[])?;
                let Some(table) = comparisons(&declaration, &())? else { continue };
                let pairs = compare_all(&table, &gamma(&[1.0]), &lambda(&[1.0, gamma0.sqrt(), gamma0]));
                let Some([plain, root, whole]) = pairs.first().and_then(|own| own.lambda.as_ref()).map(curve) else {
                    continue;
                };
                let ends = [plain.0, root.0, whole.0, whole.1];
                counts.iter_mut().zip(ends).for_each(|(count, bounds)| *count += holds(bounds, truth));
            }
            let [plain, root, whole, sharp] = counts.map(|count| rate(count, logs));
            println!("| {gamma0} | {toward} | {truth:.3} | {limit:.3} | {plain} | {root} | {whole} | {sharp} |");
        }
    }
    Ok(())
}

/// The interval and the sharp bounds at three values of Lambda.
fn curve(own: &counterweight::sensitivity::LambdaCurve) -> [(Bounds, Bounds); 3] {
    let nowhere = Bounds { lower: f64::NAN, upper: f64::NAN };
    [0, 1, 2].map(|at| own.curve.get(at).map_or((nowhere, nowhere), |point| (point.interval, point.sharp)))
}

/// A trait u of the users that nobody logged, one in 1 + Lambda0 of the log and Lambda0 in 1 + Lambda0 of the target, so that the
/// true weight of every row is w Lambda0 or w / Lambda0: the edge of the box. With probability `strength` the label of a row on
/// which the candidates disagree is what u says, else what the world says.
fn at_the_edge(logs: u64, regime: &Regime, target: &BTreeMap<Levels, f64>) {
    println!(
        "\nTrue weights at the edge of the box, 2,000 rows, {logs} logs a row (difference: quality less attribute):\n"
    );
    println!(
        "| Lambda0 | strength | towards | truth | plain 95 % interval | interval at Lambda0 | sharp bounds at Lambda0, no sampling error |"
    );
    println!("|---:|---:|---|---:|---:|---:|---:|");
    let Ok(scene) = scene(&World::telemetry()) else { return };
    let tie = scene.world.labels.tie;
    for lambda0 in [1.1, 1.25, 1.5, 2.0] {
        for (strength, sign) in [(0.5, 1.0), (0.5, -1.0), (1.0, 1.0), (1.0, -1.0)] {
            // In the target u = 1, for the challenger where the sign is positive, with this probability.
            let (in_target, in_log) = (lambda0 / (1.0 + lambda0), 1.0 / (1.0 + lambda0));
            let mut truth = 0.0;
            for_each_pair(&scene, target, |mass, [ours, theirs], wins| {
                if ours != theirs {
                    let won = (1.0 - tie) * if ours { 2.0 * wins - 1.0 } else { 1.0 - 2.0 * wins };
                    truth += mass * ((1.0 - strength) * won + strength * sign * (2.0 * in_target - 1.0));
                }
            });
            let mut counts = [0; 3];
            for seed in 0..logs {
                let mut table = table(&scene, &scene.rows(2_000, 90_000 + seed), regime, false);
                let mut random = Random::new(130_000 + seed);
                relabel(&mut table, |answer, _| {
                    let hidden = random.unit() < strength;
                    let won = (random.unit() < in_log) == (sign > 0.0);
                    hidden.then_some(won).map_or(answer, |won| if won { Answer::A } else { Answer::B })
                });
                let pairs = compare_all(&table, &gamma(&[1.0]), &lambda(&[1.0, lambda0, lambda0]));
                let Some([plain, at, _]) = pairs.first().and_then(|own| own.lambda.as_ref()).map(curve) else {
                    continue;
                };
                let ends = [plain.0, at.0, at.1];
                counts.iter_mut().zip(ends).for_each(|(count, bounds)| *count += holds(bounds, truth));
            }
            let [plain, at, sharp] = counts.map(|count| rate(count, logs));
            let towards = if sign > 0.0 { "challenger" } else { "incumbent" };
            println!("| {lambda0} | {strength} | {towards} | {truth:.3} | {plain} | {at} | {sharp} |");
        }
    }
}

/// The challenger is no better, and a confounder of strength Gamma0 makes it look so wherever it can: how often does the test say at
/// Gamma0 that it is better? At most 5 % is promised. Rows of a prompt either each for itself, or all of them one way.
fn nothing_to_find(logs: u64, regime: &Regime) {
    println!(
        "\nNothing to find and a confounder of Gamma0, 1,000 rows of 60 prompts, {logs} logs a row; share with p <= 0.05:\n"
    );
    println!(
        "| Gamma0 | rows of a prompt | at Gamma = 1, clustered | at Gamma0, clustered | at Gamma0, by row | at Gamma0, normal |"
    );
    println!("|---:|---|---:|---:|---:|---:|");
    for gamma0 in [1.0, 1.5, 2.0, 3.0] {
        for together in [false, true] {
            let mut counts = [0; 4];
            for seed in 0..logs {
                let Ok(scene) = scene(&world(seed)) else { continue };
                let mut table = table(&scene, &scene.rows(1_000, 170_000 + seed), regime, true);
                let mut random = Random::new(210_000 + seed);
                let clusters = table.clusters.first().cloned().unwrap_or_default();
                let coins: Vec<bool> = (0..clusters.count).map(|_| random.unit() < gamma0 / (1.0 + gamma0)).collect();
                relabel(&mut table, |_, row| {
                    let code = clusters.codes.get(row).map_or(0, |code| *code as usize);
                    let own = random.unit() < gamma0 / (1.0 + gamma0);
                    let won = if together { coins.get(code).copied().unwrap_or(false) } else { own };
                    if won { Answer::A } else { Answer::B }
                });
                let pairs =
                    compare_all(&table, &gamma(&[1.0, gamma0]), &LambdaSettings { replicates: 10, ..lambda(&[1.0]) });
                let Some([one, at]) = pairs.first().and_then(|own| own.gamma.as_ref().ok()).map(|own| {
                    [0, 1].map(|at| {
                        own.curve
                            .get(at)
                            .map_or([f64::NAN; 3], |own| [own.p_value.p_value, own.by_row.p_value, own.normal])
                    })
                }) else {
                    continue;
                };
                let all = [one[0], at[0], at[1], at[2]];
                counts.iter_mut().zip(all).for_each(|(count, p)| *count += u64::from(p <= 0.05));
            }
            let [one, clustered, by_row, normal] = counts.map(|count| rate(count, logs));
            let how = if together { "all one way" } else { "each for itself" };
            println!("| {gamma0} | {how} | {one} | {clustered} | {by_row} | {normal} |");
        }
    }
}

/// Changes the answers on which the candidates disagree: A stands for "the challenger is right".
fn relabel(table: &mut Comparisons, mut answer: impl FnMut(Answer, usize) -> Answer) {
    let [challenger, incumbent] = table.policies.as_slice() else { return };
    let sides: Vec<(f64, f64)> =
        challenger.shift_a.iter().zip(&incumbent.shift_a).map(|(own, other)| (*own, *other)).collect();
    for (row, ((own, other), known)) in sides.into_iter().zip(&mut table.answers).enumerate() {
        if own * other >= 0.0 {
            continue;
        }
        let turn = |answer: Answer| match answer {
            _ if own > 0.0 => answer,
            Answer::A => Answer::B,
            Answer::B => Answer::A,
            same => same,
        };
        *known = turn(answer(turn(*known), row));
    }
}
