//! Evidence about the assumptions: coarser proxies, how closely a log ties its covariates, and what the labels say of them.

use crate::references::{assert_close, number, numbers, reference};
use crate::support::{AS_OF, Sandbox};
use counterweight::audit::{Input, audit, comparisons};
use counterweight::declare::{self, parse_world};
use counterweight::estimate::Comparisons;
use counterweight::logs::{Label, LogFormat};
use counterweight::numeric::kendall_tau;
use counterweight::report::{CheckRecord, Report, Status};
use counterweight::simulate::{self, Truth};
use counterweight::statistics::Statistics;
use counterweight::weights;
use std::collections::BTreeMap;
use std::path::Path;

/// The example world in which the naive ranking is the wrong way round.
const CONFOUNDED: &str = include_str!("../examples/confounded/world.yaml");

/// A world's folder with `rows` rows: the truth lies with it.
pub(crate) fn simulated(world: &str, rows: u64, seed: u64) -> (Sandbox, Truth) {
    let world = parse_world("world.yaml", world, Path::new("")).unwrap_or_else(|problems| panic!("{problems}"));
    let scene = simulate::scene(&world).unwrap_or_else(|problems| panic!("{problems}"));
    let sandbox = Sandbox::new();
    let written = simulate::write(&scene, &sandbox.path("w"), (rows, seed, LogFormat::Parquet), &()).unwrap();
    (sandbox, written.truth)
}

/// The audit of a simulated folder, few bootstrap samples.
pub(crate) fn audited(sandbox: &Sandbox, settings: &[&str]) -> Report {
    let mut all = vec!["checks.weight-sensitivity.replicates=100".to_owned()];
    all.extend(settings.iter().map(|setting| (*setting).to_owned()));
    let declaration =
        declare::load(&sandbox.path("w/audit.yaml"), &all).unwrap_or_else(|problems| panic!("{problems}"));
    audit(&declaration, Input::Rows, AS_OF.parse().unwrap(), &()).unwrap_or_else(|problems| panic!("{problems}")).report
}

pub(crate) fn check<'a>(report: &'a Report, id: &str) -> &'a CheckRecord {
    report.checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no check {id}"))
}

fn table(sandbox: &Sandbox) -> Comparisons {
    let declaration = declare::load(&sandbox.path("w/audit.yaml"), &[]).unwrap();
    comparisons(&declaration, &()).unwrap().unwrap()
}

#[test]
fn kendalls_tau_agrees_with_scipy() {
    let reference = reference("association");
    for case in reference["kendall"].as_array().unwrap() {
        let both: Vec<(f64, f64)> = numbers(&case["x"]).into_iter().zip(numbers(&case["y"])).collect();
        assert_close(kendall_tau(&both).unwrap(), number(&case["tau"]), 1e-10, "tau-b");
    }
    assert_eq!(kendall_tau(&[(1.0, 1.0), (1.0, 2.0)]), None, "all tied on one side");
    assert_eq!(
        kendall_tau(&[(0.1 + 0.2, 0.0), (0.3, 1.0), (1.0, 2.0)]),
        Some(2.0 / 6.0_f64.sqrt()),
        "rounding is a tie"
    );
}

#[test]
fn mutual_information_agrees_with_scipys_likelihood_ratio_test() {
    let reference = reference("association");
    for case in reference["independence"].as_array().unwrap() {
        let counts: Vec<Vec<f64>> = case["table"].as_array().unwrap().iter().map(numbers).collect();
        let mut statistics = Statistics::default();
        for (row, own) in counts.iter().enumerate() {
            for (column, count) in own.iter().enumerate() {
                let cell = statistics.cells.entry(vec![row.to_string(), column.to_string()]).or_default();
                (0..*count as u64).for_each(|_| cell.add(Label::A, 1.0));
            }
        }
        let covariates = ["r".to_owned(), "c".to_owned()];
        let all = weights::information(&statistics, &covariates, &BTreeMap::new());
        let n: f64 = counts.iter().flatten().sum();
        for own in &all {
            assert!(own.corrected <= own.plug_in && own.corrected <= own.most + 1e-12, "a correction adds nothing");
            assert_close(2.0 * n * own.plug_in, number(&case["g"]), 1e-9, "G");
            assert_close(own.p_value.unwrap(), number(&case["p"]), 1e-6, "p");
            let df = number(&case["df"]);
            assert_close(own.corrected, (own.plug_in - df / (2.0 * n)).max(0.0), 1e-12, "less its bias");
        }
        assert_eq!(all.len(), 2);
    }
    // Ten rows on a diagonal: fewer cells than the sides have levels, where the correction would add instead of taking away.
    let mut statistics = Statistics::default();
    for (level, count) in [("x", 5), ("y", 3), ("z", 2)] {
        let cell = statistics.cells.entry(vec![level.to_owned(), level.to_owned()]).or_default();
        (0..count).for_each(|_| cell.add(Label::A, 1.0));
    }
    for own in weights::information(&statistics, &["r".to_owned(), "c".to_owned()], &BTreeMap::new()) {
        assert_close(own.corrected, own.most, 1e-12, "one side says all about the other, and no more");
    }
}

#[test]
fn dropping_the_type_turns_the_confounded_worlds_ranking_and_the_estimates_are_those_by_hand() {
    // Types that disagree more than in the example: what nine in ten want then decides.
    let world = CONFOUNDED.replace("alpha: -1.2", "alpha: -2.4").replace("alpha: 1.2", "alpha: 2.4");
    let (sandbox, truth) = simulated(&world, 6000, 3);
    let report = audited(&sandbox, &[]);
    let finding = check(&report, "proxy-coarsening");
    assert_eq!(finding.status, Status::Warn, "{}", finding.message);
    assert!(finding.message.contains("without user_type"), "{}", finding.message);
    let names: Vec<&str> = report.coarsening.iter().map(|own| own.cells.as_str()).collect();
    assert_eq!(names, ["without domain", "without user_type"]);
    let coarse = &report.coarsening[1];
    assert_eq!(coarse.ranking, ["longer", "judge"]);
    assert_eq!(coarse.kendall_tau, Some(-1.0));
    assert_eq!(coarse.cell_count, 3);

    // By hand: weights by domain alone.
    let own = table(&sandbox);
    let domain = |cell: usize| own.cells[cell][0].clone();
    let (mut target, mut logged) = (BTreeMap::<String, f64>::new(), BTreeMap::<String, f64>::new());
    own.p_target.iter().enumerate().for_each(|(cell, mass)| *target.entry(domain(cell)).or_default() += mass);
    own.cell.iter().for_each(|cell| *logged.entry(domain(*cell as usize)).or_default() += 1.0);
    let n = own.rows.len() as f64;
    let weight = |row: usize| {
        let key = domain(own.cell[row] as usize);
        target[&key] / (logged[&key] / n) * own.pair_ratio[row]
    };
    let agrees = |policy: usize, row: usize| {
        let (a, b) = (own.policies[policy].shift_a[row], own.policies[policy].shift_b[row]);
        let value = own.answers[row].value();
        if a > b {
            value
        } else if a < b {
            1.0 - value
        } else {
            0.5
        }
    };
    let weights: Vec<f64> = (0..own.rows.len()).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    for (index, candidate) in coarse.candidates.iter().enumerate() {
        let by_hand = weights.iter().enumerate().map(|(row, w)| w * agrees(index, row)).sum::<f64>() / sum;
        let estimate = candidate.preference_accuracy.as_ref().unwrap();
        assert_close(estimate.estimate, by_hand, 1e-12, &candidate.name);
    }
    assert_close(coarse.n_eff, sum * sum / weights.iter().map(|w| w * w).sum::<f64>(), 1e-12, "n_eff");

    // The odds of being logged: p_T/p_O of the types within each domain.
    let ratio = |cell: usize| own.factors[cell];
    let mut between: f64 = 0.0;
    for a in 0..own.cells.len() {
        for b in 0..own.cells.len() {
            if domain(a) == domain(b) {
                between = between.max(ratio(a) / ratio(b));
            }
        }
    }
    assert_close(coarse.odds_between.unwrap(), between, 1e-12, "odds between types");
    let comparison = &coarse.comparisons[0];
    let (lambda, delta) = (between, comparison.answers_odds_ratio.unwrap());
    // Types want the opposite of length: among disagreements their odds differ by a lot.
    assert!(delta > 3.0, "{delta}");
    assert_close(comparison.gamma.unwrap(), (lambda * delta + 1.0) / (lambda + delta), 1e-12, "Gamma");

    // I(C; X) of the world, by enumeration.
    let information = report.information.iter().find(|own| own.covariate == "user_type").unwrap();
    let error = information.se.unwrap();
    assert!(
        (information.information - truth.mutual_information).abs() < 4.0 * error,
        "{} against {} ± {error}",
        information.information,
        truth.mutual_information
    );
    assert!(information.p_value.unwrap() < 1e-6 && information.target.abs() < 1e-12);
}

#[test]
fn where_both_types_ask_and_want_alike_coarser_cells_change_nothing() {
    let world = CONFOUNDED.replace("confounding: 1 ", "confounding: 0 ").replace("alpha: -1.2", "alpha: 1.2");
    let (sandbox, truth) = simulated(&world, 6000, 3);
    assert!(truth.mutual_information < 1e-12, "{}", truth.mutual_information);
    let report = audited(&sandbox, &[]);
    assert_eq!(
        check(&report, "proxy-coarsening").status,
        Status::Pass,
        "{}",
        check(&report, "proxy-coarsening").message
    );
    assert_eq!(check(&report, "confounding-strength").status, Status::Pass);
    let information = &report.information[0];
    assert!(information.p_value.unwrap() > 1e-3 && information.information < 0.002, "{information:?}");
}

#[test]
fn declared_coarsenings_are_followed_and_those_that_do_not_fit_are_said() {
    let (sandbox, _) = simulated(CONFOUNDED, 1500, 4);
    let policy = |coarsening: &str| {
        let text = String::from_utf8(sandbox.read("w/policy.yaml")).unwrap();
        sandbox.write("w/other.yaml", format!("{text}coarsening: {coarsening}\n"));
        let audit = String::from_utf8(sandbox.read("w/audit.yaml")).unwrap();
        sandbox.write("w/audit.yaml", audit.replace("policy: policy.yaml", "policy: other.yaml"));
        audited(&sandbox, &[])
    };
    let report = policy("[{merge: {domain: {chat: [koala, oasst]}}}]");
    assert_eq!(report.coarsening.len(), 1);
    assert_eq!(report.coarsening[0].cells, "domain: koala, oasst as chat");
    assert_eq!(report.coarsening[0].cell_count, 4);
    for (wrong, said) in
        [("[{drop: country}]", "country is no covariate"), ("[{merge: {domain: {chat: [koalas]}}}]", "no level koalas")]
    {
        let report = policy(wrong);
        let finding = check(&report, "proxy-coarsening");
        assert_eq!(finding.status, Status::Undetermined);
        assert!(finding.message.contains(said), "{}", finding.message);
        assert!(report.coarsening.is_empty());
    }
}

#[test]
fn a_level_in_two_new_ones_is_a_problem_of_the_policy() {
    let sandbox = Sandbox::new();
    sandbox.write("p.yaml", "schema: counterweight/policy/v1\nname: p\nversion: 1.0.0\nextends: standard\ncoarsening: [{merge: {domain: {x: [a, b], y: [b]}}}]\n");
    sandbox.write("regime.yaml", crate::support::TELEMETRY_REGIME);
    sandbox.write(
        "audit.yaml",
        "schema: counterweight/audit/v1\nregime: regime.yaml\npolicy: p.yaml\nlogs: {path: x.csv}\n",
    );
    let problems = declare::load(&sandbox.path("audit.yaml"), &[]).unwrap_err().to_string();
    assert!(problems.contains("`b` goes into two new levels"), "{problems}");
}
