//! Coverage of the doubly robust estimate from a sample of the target, with the propensities or the outcome model wrong.

use crate::{CANDIDATES, WORLDS, accuracies, prefers_a, rate, table, verdict, world};
use counterweight::declare::{Levels, Regime, World};
use counterweight::estimate::{
    Comparisons, FeaturePair, PolicyColumns, TargetPairs, TargetSample, add_doubly_robust, evaluate,
};
use counterweight::numeric::Random;
use counterweight::simulate::{Prompt, Row, Scene, scene};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;

/// What is wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// Features say nothing about responses.
    Model,
    /// Pairs shown to casual users are recorded four times too likely.
    Propensities,
}

/// Prints how often the intervals cover.
pub(crate) fn print(logs: u64, regime: &Regime, target: &BTreeMap<Levels, f64>) -> Result<(), Box<dyn Error>> {
    println!(
        "\nFrom a sample of the target, {logs} logs a row; last: the self-normalised estimate of the same logs:\n"
    );
    println!(
        "| wrong | errors | rows | pairs | n_eff | challenger | incumbent | 0.95 | mean error of the estimate, challenger | self-normalised |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---|---:|---:|");
    let once = accuracies(&certain(World::telemetry()), target);
    for (wrong, name) in [(Wrong::Nothing, "nothing"), (Wrong::Model, "model"), (Wrong::Propensities, "propensities")] {
        for (rows, pairs) in [(300, 150), (1_000, 500), (4_000, 2_000)] {
            let own = Case { wrong, rows, pairs, by_prompt: false };
            own.print(logs, (name, "by row"), (regime, target), |_| certain(World::telemetry()), once)?;
        }
    }
    let worlds = (0..WORLDS).map(|seed| accuracies(&certain(world(1_000_000 + seed)), target));
    let all = worlds.fold([0.0; 2], |sums, own| [sums[0] + own[0], sums[1] + own[1]]).map(|sum| sum / WORLDS as f64);
    for (rows, pairs) in [(300, 150), (1_000, 500), (4_000, 2_000)] {
        let own = Case { wrong: Wrong::Nothing, rows, pairs, by_prompt: true };
        own.print(logs, ("nothing", "by prompt"), (regime, target), |seed| certain(world(seed)), all)?;
    }
    Ok(())
}

/// The world without ties, which no logistic model has.
fn certain(mut world: World) -> World {
    (world.labels.tie, world.labels.abstain) = (0.0, 0.0);
    world
}

struct Case {
    wrong: Wrong,
    rows: usize,
    pairs: usize,
    by_prompt: bool,
}

impl Case {
    fn print(
        &self,
        logs: u64,
        (name, errors): (&str, &str),
        (regime, target): (&Regime, &BTreeMap<Levels, f64>),
        world: impl Fn(u64) -> World,
        truth: [f64; 2],
    ) -> Result<(), Box<dyn Error>> {
        let audit_text = "schema: counterweight/audit/v1\nregime: r.yaml\nlogs: {path: l.csv}\n";
        let audit = counterweight::declare::parse_audit("audit.yaml", audit_text, std::path::Path::new("."));
        let audit = audit.map_err(|problems| problems.to_string())?;
        let (mut covered, mut plain, mut n_eff, mut error) = ([0; 2], 0, 0.0, 0.0);
        for seed in 0..logs {
            let scene = scene(&world(seed)).map_err(|problems| problems.to_string())?;
            let mut random = Random::new(310_000 + seed);
            let log = scene.rows(self.rows, 270_000 + seed);
            let table = self.table(&scene, &log, regime, &mut random);
            let sample = self.sample(&scene, &table, target, &mut random);
            let mut found = evaluate(&table, regime, &[], None);
            let given = TargetPairs { sample: Some(&sample), ..TargetPairs::default() };
            add_doubly_robust(&mut found, &table, regime, &audit, &given);
            n_eff += found.n_eff / logs as f64;
            for (which, truth) in truth.into_iter().enumerate() {
                let Some(own) = found.candidates.get(which) else { continue };
                let holds = |low: f64, high: f64| u64::from(low <= truth && truth <= high);
                if let Ok(robust) = &own.doubly_robust {
                    covered[which] += robust.interval.map_or(0, |interval| holds(interval.low, interval.high));
                    error += if which == 0 { (robust.estimate - truth) / logs as f64 } else { 0.0 };
                }
                if which == 0 {
                    let interval = own.target.accuracy.as_ref().and_then(|own| own.interval);
                    plain += interval.map_or(0, |interval| holds(interval.low, interval.high));
                }
            }
        }
        let [challenger, incumbent] = covered.map(|held| rate(held, logs));
        let (within, plain) = (verdict(&covered, logs), rate(plain, logs));
        let (rows, pairs) = (self.rows, self.pairs);
        println!(
            "| {name} | {errors} | {rows} | {pairs} | {n_eff:.0} | {challenger} | {incumbent} | {within} | {error:+.4} | {plain} |"
        );
        Ok(())
    }

    fn features(&self, response: &counterweight::simulate::Response, random: &mut Random) -> [f64; 2] {
        if self.wrong == Wrong::Model { [random.unit(), random.unit()] } else { [response.base, response.attribute] }
    }

    fn table(&self, scene: &Scene, log: &[Row], regime: &Regime, random: &mut Random) -> Comparisons {
        let prompts: HashMap<&str, &Prompt> = scene.prompts.iter().map(|prompt| (prompt.id.as_str(), prompt)).collect();
        let mut table = table(scene, log, regime, true);
        table.prompt = table.clusters.first().cloned();
        if !self.by_prompt {
            table.clusters.clear();
        }
        let mut features = FeaturePair { width: 2, ..FeaturePair::default() };
        for (place, row) in log.iter().enumerate() {
            let Some(prompt) = row.prompt_id.as_deref().and_then(|id| prompts.get(id)) else { continue };
            let find = |id: &Option<String>| prompt.responses.iter().find(|own| Some(&own.id) == id.as_ref());
            let (Some(a), Some(b)) = (find(&row.response_a), find(&row.response_b)) else { continue };
            features.a.extend(self.features(a, random));
            features.b.extend(self.features(b, random));
            if self.wrong == Wrong::Propensities && row.user_type.as_deref() == Some("casual") {
                table.pair_ratio.get_mut(place).into_iter().for_each(|ratio| *ratio /= 4.0);
                table.weight.get_mut(place).into_iter().for_each(|weight| *weight /= 4.0);
            }
        }
        table.features = Some(features);
        table
    }

    fn sample(
        &self,
        scene: &Scene,
        table: &Comparisons,
        target: &BTreeMap<Levels, f64>,
        random: &mut Random,
    ) -> TargetSample {
        let mut sample = TargetSample {
            features: Some(FeaturePair { width: 2, ..FeaturePair::default() }),
            ..TargetSample::default()
        };
        sample.policies =
            CANDIDATES.map(|name| PolicyColumns { name: name.to_owned(), ..PolicyColumns::default() }).into();
        for _ in 0..self.pairs {
            let mut point = random.unit();
            let cell = target.values().position(|mass| {
                point -= mass;
                point < 0.0
            });
            let cell = cell.unwrap_or(target.len() - 1);
            let domain = table.cells[cell].first().and_then(|name| scene.domains.iter().position(|own| own == name));
            let of_domain: Vec<(usize, &Prompt)> =
                scene.prompts.iter().enumerate().filter(|(_, prompt)| Some(prompt.domain) == domain).collect();
            let (place, prompt) = of_domain[random.below(of_domain.len())];
            let k = prompt.responses.len();
            let (a, other) = (random.below(k), random.below(k - 1));
            let b = if other < a { other } else { other + 1 };
            sample.cell.push(cell as u32);
            sample.prompt.push(place as u32);
            if let Some(features) = &mut sample.features {
                features.a.extend(self.features(&prompt.responses[a], random));
                features.b.extend(self.features(&prompt.responses[b], random));
            }
            for (policy, prefers) in sample.policies.iter_mut().zip(prefers_a(prompt, a, b)) {
                policy.shift_a.push(if prefers { 1.0 } else { -1.0 });
                policy.shift_b.push(0.0);
            }
        }
        sample
    }
}
