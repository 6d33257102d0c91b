//! Logs as other people's tools write them: from nothing to a report in two commands, and what cannot be said is said.

use crate::support::{AS_OF, Sandbox, shared, text};
use counterweight::report::{Report, Status};
use std::collections::BTreeMap;
use std::path::Path;

/// A file of `tests/presets` and what is known of it.
struct Case {
    file: &'static str,
    preset: &'static str,
    cells: &'static str,
    /// a, b, tie; for sources of chosen and rejected responses their order is the hash's, pinned here.
    labels: [u64; 3],
}

const CASES: [Case; 10] = [
    Case { file: "trl.jsonl", preset: "trl", cells: "language", labels: [3, 5, 0] },
    Case { file: "trl_implicit.jsonl", preset: "trl", cells: "whole_log", labels: [2, 6, 0] },
    Case { file: "trl_messages.jsonl", preset: "trl", cells: "topic", labels: [6, 2, 0] },
    Case { file: "arena.jsonl", preset: "arena", cells: "language", labels: [3, 3, 2] },
    Case { file: "arena_55k.csv", preset: "arena", cells: "whole_log", labels: [3, 3, 2] },
    Case { file: "openrlhf.jsonl", preset: "openrlhf", cells: "source", labels: [3, 5, 0] },
    Case { file: "llamafactory/dpo.jsonl", preset: "llamafactory", cells: "lang", labels: [5, 3, 0] },
    Case { file: "llamafactory_alpaca.jsonl", preset: "llamafactory", cells: "lang", labels: [5, 3, 0] },
    Case { file: "helpsteer3.jsonl", preset: "helpsteer3", cells: "domain", labels: [3, 3, 2] },
    Case { file: "ultrafeedback.jsonl", preset: "ultrafeedback", cells: "whole_log", labels: [2, 4, 2] },
];

fn presets() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/presets")
}

/// `init`, then `audit`: the folder, what `init` printed, and the record.
fn two_commands(log: &Path) -> (Sandbox, String, Report) {
    let sandbox = Sandbox::new();
    let log = log.display().to_string();
    let drafted = sandbox.run(&["init", "--quiet", &log]);
    let (stdout, stderr) = text(&drafted);
    assert_eq!(drafted.status.code(), Some(0), "{log}: {stderr}");
    assert!(stdout.contains("Next: counterweight audit ./audit.yaml"), "{stdout}");
    assert!(stdout.lines().skip(1).all(|line| line.chars().count() <= 80), "{stdout}");
    let audited = sandbox.run(&["audit", "--quiet", "--as-of", AS_OF, "--format", "json", "audit.yaml"]);
    let (json, stderr) = text(&audited);
    assert_eq!(audited.status.code(), Some(1), "{log}: {stderr}");
    (sandbox, stdout, serde_json::from_str(&json).unwrap())
}

fn status(report: &Report, id: &str) -> Status {
    report.checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no check {id}")).status
}

#[test]
fn two_commands_from_nothing_to_a_report_for_every_preset() {
    for Case { file, preset, cells, labels } in CASES {
        let (sandbox, stdout, report) = two_commands(&presets().join(file));
        assert!(stdout.contains(&format!("reads like the preset {preset}")), "{file}: {stdout}");
        assert!(stdout.contains("no propensities"), "{file}: {stdout}");
        assert_eq!(report.audit.preset.as_deref(), Some(preset), "{file}");
        assert_eq!(report.regime.covariates, [cells], "{file}");
        assert_eq!((report.rows.read, report.rows.audited), (8, 8), "{file}");
        assert_eq!(["a", "b", "tie"].map(|label| report.rows.labels[label]), labels, "{file}");
        // A draft is nobody's declaration, and without propensities nothing is identified.
        assert_eq!(status(&report, "regime-declaration"), Status::Fail, "{file}");
        assert_eq!(status(&report, "propensity-completeness"), Status::Fail, "{file}");
        assert_ne!(status(&report, "required-fields"), Status::Fail, "{file}");
        let sides = ["arena", "helpsteer3"].contains(&preset);
        for id in ["position-bias", "label-integrity", "annotator-integrity"] {
            assert!(sides || status(&report, id) == Status::Undetermined, "{file}: {id}");
        }
        // No text of a prompt or a response enters a document or the record.
        let documents = ["regime.yaml", "policy.yaml", "audit.yaml", "counterweight-report/report.json"];
        for name in documents {
            let document = String::from_utf8(sandbox.read(name)).unwrap();
            assert!(!document.contains("river") && !document.contains("Loire"), "{file}: {name}");
        }
    }
}

#[test]
fn a_drafted_target_passes_once_a_person_has_taken_it_over() {
    let (sandbox, _, report) = two_commands(&presets().join("arena.jsonl"));
    let message =
        |report: &Report| report.checks.iter().find(|c| c.id == "regime-declaration").unwrap().message.clone();
    assert!(message(&report).contains("a draft that a program wrote"), "{}", message(&report));
    let regime = String::from_utf8(sandbox.read("regime.yaml")).unwrap();
    let effective = "effective: 2026-10-01";
    let lines: Vec<&str> = regime.lines().filter(|line| *line != "draft: true").collect();
    let lines: Vec<&str> =
        lines.into_iter().map(|line| if line.starts_with("effective:") { effective } else { line }).collect();
    let mechanism = "mechanisms:\n  - {id: s@1, description: two models drawn uniformly}";
    sandbox.write("regime.yaml", format!("{}\n{mechanism}\n", lines.join("\n")));
    let report = sandbox.audit("audit.yaml").unwrap();
    assert_eq!(status(&report, "regime-declaration"), Status::Pass, "{}", message(&report));
}

/// The two responses of a pair come in the same order whichever of them won: `a` says nothing about the winner.
#[test]
fn the_order_of_a_chosen_and_a_rejected_response_does_not_depend_on_which_won() {
    let log = std::fs::read_to_string(presets().join("trl.jsonl")).unwrap();
    let swapped =
        log.replace("\"chosen\"", "\"x\"").replace("\"rejected\"", "\"chosen\"").replace("\"x\"", "\"rejected\"");
    let folder = Sandbox::new();
    folder.write("swapped.jsonl", swapped);
    let (_, _, one) = two_commands(&presets().join("trl.jsonl"));
    let (_, _, other) = two_commands(&folder.path("swapped.jsonl"));
    let labels = |report: &Report| -> BTreeMap<String, u64> { report.rows.labels.clone() };
    assert_eq!((labels(&one)["a"], labels(&one)["b"]), (labels(&other)["b"], labels(&other)["a"]));
    assert!(labels(&one)["a"] > 0 && labels(&one)["b"] > 0);
}

#[test]
fn hh_rlhf_is_read_as_it_is() {
    let Some(data) = shared("data") else { return };
    let (_, stdout, report) = two_commands(&data.join("hh-harmless-base-test.jsonl.gz"));
    assert!(stdout.contains("no covariates") && stdout.contains("no sides"), "{stdout}");
    assert_eq!((report.rows.read, report.rows.audited), (2_312, 2_312));
    // A fair coin's count of 2,312 lies within six standard deviations, 144, of one half.
    assert!(report.rows.labels["a"].abs_diff(1_156) <= 144, "{:?}", report.rows.labels);
    let blocking: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.verdict == counterweight::report::Verdict::Block)
        .map(|check| check.id.as_str())
        .collect();
    assert_eq!(blocking, ["regime-declaration", "propensity-completeness"]);
}

#[test]
fn init_overwrites_nothing_and_names_what_is_in_the_way() {
    let (sandbox, ..) = two_commands(&presets().join("arena.jsonl"));
    sandbox.write("policy.yaml", "mine");
    let again = sandbox.run(&["init", "-q", &presets().join("arena.jsonl").display().to_string()]);
    let (_, stderr) = text(&again);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr.contains("policy.yaml") && stderr.contains("nothing is overwritten"), "{stderr}");
    assert_eq!(sandbox.read("policy.yaml"), b"mine");
}

#[test]
fn inspect_says_what_the_columns_were_taken_for() {
    let sandbox = Sandbox::new();
    sandbox.write("arena.jsonl", std::fs::read(presets().join("arena.jsonl")).unwrap());
    let output = sandbox.run(&["inspect", "-q", "arena.jsonl"]);
    insta::assert_snapshot!(text(&output).0);
}

#[test]
fn what_holds_no_pairs_or_fits_no_preset_is_refused_with_a_hint() {
    let sandbox = Sandbox::new();
    sandbox.write("unpaired.jsonl", std::fs::read(presets().join("unpaired.jsonl")).unwrap());
    sandbox.write("other.csv", "left,right,who\nx,y,z\n");
    sandbox.write("empty.jsonl", "\n");
    for (file, hint) in [
        ("unpaired.jsonl", "single completions"),
        ("other.csv", "no preset fits"),
        ("empty.jsonl", "no rows"),
        ("absent.jsonl", "no file, folder or match"),
    ] {
        let output = sandbox.run(&["init", "-q", file]);
        assert_eq!(output.status.code(), Some(2), "{file}");
        assert!(text(&output).1.contains(hint), "{file}: {}", text(&output).1);
        assert!(!sandbox.path("audit.yaml").exists());
    }
}

/// A log that is hostile to the terminal or to YAML stays a value.
#[test]
fn hostile_levels_are_quoted_in_documents_and_shown_without_their_escapes() {
    let sandbox = Sandbox::new();
    let levels = ["no", "\u{1b}[31mred", "a: b # c", "\"q\\"];
    let row = |i: usize| {
        serde_json::json!({"prompt": format!("p{i}"), "chosen": format!("c{i}"), "rejected": format!("r{i}"), "kind": levels[i % 4]})
            .to_string()
    };
    sandbox.write("log.jsonl", (0..16).map(row).collect::<Vec<_>>().join("\n"));
    let seen = text(&sandbox.run(&["inspect", "-q", "log.jsonl"])).0;
    assert!(!seen.contains('\u{1b}'), "{seen}");
    let (_, _, report) = two_commands(&sandbox.path("log.jsonl"));
    assert_eq!(report.cells.len(), 4);
    assert!(report.unsupported_target_mass <= 0.0);
}
