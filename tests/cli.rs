//! The command as its users see it: exit codes, files, what is printed.

use crate::support::{AS_OF, Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME, command, text};
use counterweight::simulate::{columns, example};
use sha2::{Digest, Sha256};

pub(crate) fn telemetry() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write_log("logs.parquet", &columns(&example()));
    sandbox.write("regime.yaml", TELEMETRY_REGIME);
    sandbox.write("audit.yaml", TELEMETRY_AUDIT);
    sandbox
}

#[test]
fn the_example_ends_in_a_verdict_and_a_report() {
    let sandbox = telemetry();
    let output = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    insta::assert_snapshot!(stdout);
    assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
    let sums = String::from_utf8(sandbox.read("counterweight-report/SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 3);
    for line in sums.lines() {
        let (digest, name) = line.split_once("  ").unwrap();
        let bytes = sandbox.read(&format!("counterweight-report/{name}"));
        let actual: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(actual, digest, "{name}");
    }
}

#[test]
fn same_inputs_same_bytes_whatever_the_threads_and_the_folder() {
    let (here, there) = (telemetry(), telemetry());
    let run = |sandbox: &Sandbox, threads: &str, audit: &str| {
        let mut command = command();
        command.env("RAYON_NUM_THREADS", threads).env("POLARS_MAX_THREADS", threads);
        let output = command.args(["audit", audit, "--as-of", AS_OF, "--quiet"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
        ["report.json", "report.md", "report.html", "SHA256SUMS"]
            .map(|name| sandbox.read(&format!("counterweight-report/{name}")))
    };
    let path = |sandbox: &Sandbox| sandbox.path("audit.yaml").display().to_string();
    assert_eq!(run(&here, "1", &path(&here)), run(&there, "2", &path(&there)));
}

#[test]
fn render_makes_the_same_pages_without_the_logs() {
    let sandbox = telemetry();
    sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet"]);
    std::fs::remove_file(sandbox.path("logs.parquet")).unwrap();
    let output = sandbox.run(&["render", "counterweight-report/report.json", "--out", "again"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
    for name in ["report.json", "report.md", "report.html", "SHA256SUMS"] {
        assert_eq!(
            sandbox.read(&format!("again/{name}")),
            sandbox.read(&format!("counterweight-report/{name}")),
            "{name}"
        );
    }
}

#[test]
fn a_summary_is_short_from_audit_and_from_render() {
    let sandbox = telemetry();
    sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--summary"]);
    let short = sandbox.read("counterweight-report/report.md");
    sandbox.run(&["render", "counterweight-report/report.json", "--out", "again", "--summary"]);
    sandbox.run(&["render", "counterweight-report/report.json", "--out", "whole"]);
    assert_eq!(sandbox.read("again/report.md"), short);
    assert!(sandbox.read("whole/report.md").len() > 4 * short.len());
    assert_eq!(sandbox.read("whole/report.html"), sandbox.read("counterweight-report/report.html"));
}

#[test]
fn a_misspelt_level_is_pointed_out() {
    let sandbox = telemetry();
    sandbox.write("regime.yaml", TELEMETRY_REGIME.replace("casual: 0.5", "Casuall: 0.5"));
    let output = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    let said: String = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("id you mean user_type `casual`, which the log has, by `Casuall`"), "{stdout}");
}

#[test]
fn formats_and_quiet() {
    let sandbox = telemetry();
    let json = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--format", "json", "--quiet"]);
    assert_eq!(json.stdout, sandbox.read("counterweight-report/report.json"));
    assert!(json.stderr.is_empty());
    let quiet = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet"]);
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
    let plain = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF]);
    assert!(!plain.stdout.contains(&0x1b), "no colours where standard output is no terminal");
    assert!(!plain.stderr.is_empty(), "progress goes to standard error");
}

#[test]
fn settings_and_the_gate_decide_the_exit_code_and_are_shown() {
    let sandbox = telemetry();
    let too_much = "checks.effective-sample-size.min_n_eff=1500";
    let warning = "checks.effective-sample-size.warn_ratio=0.9";
    for (arguments, code) in [
        (vec!["--set", too_much], 1),
        (vec!["--set", warning], 0),
        (vec!["--set", warning, "--fail-on", "diagnostic"], 1),
        (vec!["--set", too_much, "--set", "checks.effective-sample-size.severity=note"], 0),
        (vec!["--set", "checks.no-such-check.limit=1"], 2),
        (vec!["--set", "nonsense"], 2),
    ] {
        let output = sandbox.run(&[&["audit", "audit.yaml", "--as-of", AS_OF], &arguments[..]].concat());
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stdout}{stderr}");
        if code < 2 {
            let report = String::from_utf8(sandbox.read("counterweight-report/report.md")).unwrap();
            let (box_, _) = report.split_once("\n## 1").unwrap();
            assert!(box_.replace('\\', "").contains(arguments[1]), "the decision box shows {}:\n{box_}", arguments[1]);
        }
    }
}

#[test]
fn what_cannot_be_audited_is_exit_2_and_leaves_an_older_report_alone() {
    let sandbox = telemetry();
    sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet"]);
    let older = sandbox.read("counterweight-report/report.json");
    let parquet = sandbox.read("logs.parquet");
    type Breakage<'a> = (&'a str, Box<dyn Fn() + 'a>, &'a str);
    let breakages: Vec<Breakage> = vec![
        ("a truncated log", Box::new(|| sandbox.write("logs.parquet", &parquet[..parquet.len() / 2])), "logs.parquet"),
        (
            "random bytes",
            Box::new(|| sandbox.write("logs.parquet", (0..5000_u32).map(|i| (i * i % 251) as u8).collect::<Vec<_>>())),
            "logs.parquet",
        ),
        ("an empty file", Box::new(|| sandbox.write("logs.parquet", "")), "logs.parquet"),
        ("no log", Box::new(|| std::fs::remove_file(sandbox.path("logs.parquet")).unwrap()), "logs.parquet"),
        ("a regime that is no YAML", Box::new(|| sandbox.write("regime.yaml", "cells: [domain")), "regime.yaml"),
        (
            "masses that do not add up",
            Box::new(|| sandbox.write("regime.yaml", TELEMETRY_REGIME.replace("advice: 0.3", "advice: 0.2"))),
            "0.9",
        ),
        (
            "an unknown key",
            Box::new(|| sandbox.write("audit.yaml", TELEMETRY_AUDIT.replace("policy:", "polizy:"))),
            "policy",
        ),
        (
            "a column that is not there",
            Box::new(|| sandbox.write("audit.yaml", TELEMETRY_AUDIT.replace("prompt: prompt_id", "prompt: promt_id"))),
            "prompt_id",
        ),
        (
            "no policy of that name",
            Box::new(|| sandbox.write("audit.yaml", TELEMETRY_AUDIT.replace("policy: standard", "policy: lenient"))),
            "lenient",
        ),
    ];
    for (name, breakage, named) in &breakages {
        breakage();
        let output = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF]);
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {stdout}{stderr}");
        assert!(stdout.is_empty(), "{name}: {stdout}");
        assert!(
            stderr.contains("error:") && stderr.contains(named) && !stderr.contains("panicked"),
            "{name}: {stderr}"
        );
        assert_eq!(sandbox.read("counterweight-report/report.json"), older, "{name}");
        sandbox.write("logs.parquet", &parquet);
        sandbox.write("regime.yaml", TELEMETRY_REGIME);
        sandbox.write("audit.yaml", TELEMETRY_AUDIT);
    }
}

#[test]
fn problems_of_all_documents_come_at_once() {
    let sandbox = telemetry();
    sandbox.write("regime.yaml", TELEMETRY_REGIME.replace("advice: 0.3", "advice: 0.2").replace("1.0.0", "one"));
    sandbox.write("audit.yaml", TELEMETRY_AUDIT.replace("selection:", "selektion:"));
    let (_, stderr) = text(&sandbox.run(&["audit", "audit.yaml"]));
    insta::assert_snapshot!(stderr);
}

#[test]
fn every_command_answers_help_with_examples() {
    let (list, _) = text(&command().arg("--help").output().unwrap());
    let named = list.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> =
        named.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 14 && commands.contains(&"audit"), "{list}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let (stdout, _) = text(&self::command().args([command, "--help"]).output().unwrap());
        assert!(
            stdout.matches(&format!("counterweight {command}")).count() >= 3,
            "usage and two examples of {command}:\n{stdout}"
        );
    }
}

#[test]
fn checks_explain_and_schema_answer() {
    let (list, _) = text(&command().arg("checks").output().unwrap());
    for check in counterweight::checks::CHECKS {
        assert!(list.contains(check.id));
        let (page, _) = text(&command().args(["explain", check.id]).output().unwrap());
        assert_eq!(page, check.page);
    }
    let wrong = command().args(["explain", "cell-suport"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong).1.contains("did you mean `cell-support`?"));
    for kind in ["regime", "policy", "audit", "report"] {
        let output = command().args(["schema", kind]).output().unwrap();
        let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{kind}");
        assert!(schema["properties"]["schema"].is_object(), "{kind}");
    }
}
