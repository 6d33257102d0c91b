//! What pipelines read: SARIF, JUnit XML and GitHub annotations, and the exit code beside them.

use crate::support::{AS_OF, Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterweight::report::{Report, Status, github, junit, sarif};
use counterweight::simulate::{columns, example};
use serde_json::Value;

const POLICY: &str = "schema: counterweight/policy/v1\nname: team\nversion: 1.0.0\nextends: standard\n";

fn telemetry(policy: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("repo/audits")).unwrap();
    std::fs::create_dir_all(sandbox.path("repo/policies")).unwrap();
    sandbox.write_log("repo/audits/logs.parquet", &columns(&example()));
    sandbox.write("repo/audits/regime.yaml", TELEMETRY_REGIME);
    sandbox
        .write("repo/audits/audit.yaml", TELEMETRY_AUDIT.replace("policy: standard", "policy: ../policies/team.yaml"));
    sandbox.write("repo/policies/team.yaml", format!("{POLICY}{policy}"));
    sandbox
}

fn run(sandbox: &Sandbox, more: &[&str]) -> (Option<i32>, String) {
    let output = sandbox.run(&[&["audit", "repo/audits/audit.yaml", "--as-of", AS_OF, "--quiet"], more].concat());
    let (stdout, stderr) = text(&output);
    assert!(output.status.code() < Some(2), "{stderr}");
    (output.status.code(), stdout)
}

const FAILS: &str = "checks:\n  effective-sample-size:\n    min_n_eff: 1500\n";
const WARNS: &str = "checks:\n  effective-sample-size: {warn_ratio: 0.9}\n";

/// What the two signed statements say: verdict, exit code, test result.
fn statements(sandbox: &Sandbox) -> (String, i32, String) {
    let both = sandbox.read("repo/audits/counterweight-report/attestation.intoto.jsonl");
    let statement = |line: &str| -> Value {
        let envelope: Value = serde_json::from_str(line).unwrap();
        serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
    };
    let all: Vec<Value> = str::from_utf8(&both).unwrap().lines().map(statement).collect();
    let (own, standard) = (&all[0]["predicate"], &all[1]["predicate"]);
    let failed = standard["failedTests"].as_array().unwrap().len();
    let code = i32::try_from(own["exit_code"].as_i64().unwrap()).unwrap();
    assert_eq!(failed > 0, code == 1);
    (own["verdict"].as_str().unwrap().to_owned(), code, standard["result"].as_str().unwrap().to_owned())
}

/// The exit code of CONTRACT: by the verdict and the gate, whatever is printed.
#[test]
fn every_format_has_the_exit_code_of_the_verdict_and_the_gate() {
    let policies = [("pass", ""), ("diagnostic", WARNS), ("block", FAILS)];
    for (verdict, policy) in policies {
        let sandbox = telemetry(policy);
        assert!(sandbox.run(&["keygen", "--out", "team.pem"]).status.success());
        for gate in [None, Some("block"), Some("diagnostic")] {
            let expected = match (verdict, gate) {
                ("block", _) | ("diagnostic", Some("diagnostic")) => 1,
                _ => 0,
            };
            for format in ["text", "json", "sarif", "junit", "github"] {
                let mut arguments = vec!["--format", format, "--sign", "team.pem"];
                arguments.extend(gate.iter().flat_map(|gate| ["--fail-on", gate]));
                let (code, stdout) = run(&sandbox, &arguments);
                assert_eq!(code, Some(expected), "{verdict} {gate:?} {format}");
                // Each format's own sign of a failure says the same as the exit code.
                let fails = match format {
                    "json" => stdout.contains("\"exit_code\": 1"),
                    "sarif" => stdout.contains("\"level\": \"error\",\n          \"locations\""),
                    "junit" => stdout.contains("<failure ") || stdout.contains("<error "),
                    "github" => stdout.contains("::error "),
                    _ => expected == 1,
                };
                assert_eq!(fails, expected == 1, "{verdict} {gate:?} {format}:\n{stdout}");
                let wanted = match (expected, verdict) {
                    (1, _) => "FAILED",
                    (_, "diagnostic") => "WARNED",
                    _ => "PASSED",
                };
                let statements = statements(&sandbox);
                assert_eq!(statements, (verdict.to_owned(), expected, wanted.to_owned()), "{gate:?} {format}");
            }
        }
    }
}

#[test]
fn what_cannot_be_audited_prints_nothing_in_any_format() {
    let sandbox = telemetry("");
    sandbox.write("repo/audits/regime.yaml", "cells: [domain");
    for format in ["text", "json", "sarif", "junit", "github"] {
        let output = sandbox.run(&["audit", "repo/audits/audit.yaml", "--format", format]);
        let (stdout, stderr) = text(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{format}: {stderr}");
    }
}

#[test]
fn sarif_points_at_the_line_that_sets_the_limit() {
    let sandbox = telemetry(FAILS);
    let (_, stdout) = run(&sandbox, &["--format", "sarif"]);
    let log: Value = serde_json::from_str(&stdout).unwrap();
    let run_ = &log["runs"][0];
    assert_eq!((&log["version"], &run_["invocations"][0]["exitCode"]), (&Value::from("2.1.0"), &Value::from(1)));
    let rules = run_["tool"]["driver"]["rules"].as_array().unwrap();
    for (index, rule) in rules.iter().enumerate() {
        assert!(rule["help"]["markdown"].as_str().unwrap().starts_with("# "), "{index}");
        assert!(rule["fullDescription"]["text"].as_str().unwrap().len() > 40, "{index}");
    }
    let results = run_["results"].as_array().unwrap();
    let of = |id: &str| results.iter().find(|result| result["ruleId"] == id).unwrap();
    let result = of("effective-sample-size");
    assert_eq!(rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()]["id"], "effective-sample-size");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "repo/policies/team.yaml");
    // Four lines of the policy, then `checks:`, the check, the limit.
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&Value::from(7), &Value::from(5)));
    assert_eq!(result["partialFingerprints"]["counterweightCheck/v1"].as_str().unwrap().len(), 64);
    // A limit of the shipped policy has no line in a file of the user's.
    let shipped = &of("position-bias")["locations"][0];
    assert_eq!(shipped["physicalLocation"]["artifactLocation"]["uri"], "repo/audits/audit.yaml");
    assert_eq!(shipped["logicalLocations"][0]["fullyQualifiedName"], "standard/checks/position-bias/severity");
    let log_file = run_["artifacts"].as_array().unwrap().iter().find(|a| a["description"]["text"] == "log").unwrap();
    assert_eq!(log_file["location"]["uri"], "repo/audits/logs.parquet");
    // The next run of the same audit is the same alert.
    let again: Value = serde_json::from_str(&run(&sandbox, &["--format", "sarif"]).1).unwrap();
    assert_eq!(again, log);
}

#[test]
fn a_waived_result_is_marked_and_never_dropped() {
    let waiver = "waivers:\n  - {check: effective-sample-size, reason: \"until March\", owner: o, approver: Anna, ticket: T-1, expires: 2026-12-01}\n";
    let sandbox = telemetry(&format!("{FAILS}{waiver}"));
    let (code, stdout) = run(&sandbox, &["--format", "sarif"]);
    let log: Value = serde_json::from_str(&stdout).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let result = results.iter().find(|result| result["ruleId"] == "effective-sample-size").unwrap();
    assert_eq!((code, &result["level"]), (Some(0), &Value::from("note")));
    assert_eq!(result["suppressions"][0]["status"], "accepted");
    assert!(
        result["suppressions"][0]["justification"]
            .as_str()
            .unwrap()
            .contains("approved by Anna, T-1, until 2026-12-01")
    );
    let (_, stdout) = run(&sandbox, &["--format", "junit"]);
    assert!(stdout.contains("name=\"effective-sample-size\"><skipped message=\"Waived: "), "{stdout}");
    let (_, stdout) = run(&sandbox, &["--format", "github"]);
    assert!(stdout.contains("title=counterweight effective-sample-size (waived)::Waived: "), "{stdout}");
}

/// Depth, name and attributes of an element.
type Element = (usize, String, Vec<(String, String)>);

/// The elements of well-formed XML of the plain kind that JUnit is: name, attributes, depth. Panics on anything else.
fn elements(xml: &str) -> Vec<Element> {
    let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        assert!(!text.contains('>') && !text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let name = tag.split(' ').next().unwrap().to_owned();
        let mut attributes = Vec::new();
        let mut rest = tag[name.len()..].trim_start();
        while let Some((key, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"').unwrap();
            assert!(key.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{key}");
            attributes.push((key.to_owned(), value.to_owned()));
            rest = after.trim_start();
        }
        assert!(rest.is_empty(), "{rest}");
        found.push((open.len(), name.clone(), attributes));
        if !closed {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    found
}

#[test]
fn junit_counts_what_it_lists() {
    for policy in ["", WARNS, FAILS, "checks:\n  position-bias: {severity: block, when_not_logged: block}\n"] {
        let sandbox = telemetry(policy);
        let (code, stdout) = run(&sandbox, &["--format", "junit"]);
        let all = elements(&stdout);
        let count = |name: &str| all.iter().filter(|(_, element, _)| element == name).count();
        let suite = &all.iter().find(|(_, element, _)| element == "testsuite").unwrap().2;
        let stated = |key: &str| suite.iter().find(|(name, _)| name == key).unwrap().1.parse::<usize>().unwrap();
        assert_eq!(stated("tests"), count("testcase"));
        assert_eq!(stated("failures"), count("failure"));
        assert_eq!(stated("errors"), count("error"));
        assert_eq!(stated("skipped"), count("skipped"));
        assert_eq!(count("failure") + count("error") > 0, code == Some(1), "{policy}");
        for (depth, element, _) in &all {
            let expected = match element.as_str() {
                "testsuites" => 0,
                "testsuite" => 1,
                "properties" | "testcase" => 2,
                "property" | "failure" | "error" | "skipped" | "system-out" => 3,
                other => panic!("{other} is not JUnit"),
            };
            assert_eq!(*depth, expected, "{element}");
        }
    }
}

/// Whatever a log or a document says, it stays inside its string.
#[test]
fn text_cannot_break_out_of_any_syntax() {
    let sandbox = telemetry(FAILS);
    run(&sandbox, &[]);
    let mut report: Report =
        serde_json::from_slice(&sandbox.read("repo/audits/counterweight-report/report.json")).unwrap();
    let hostile = "a\n::error file=x::y\r\n%0A::warning::z ]]></failure><failure message=\"\" \u{1b}[31m \u{0} \u{202e} [l](1) {0} \\";
    report.regime.name = hostile.to_owned();
    report.settings = vec![hostile.to_owned()];
    report.inputs[0].name = hostile.to_owned();
    for check in &mut report.checks {
        check.status = Status::Fail;
        check.message = hostile.to_owned();
        check.remedy = Some(hostile.to_owned());
        for measure in &mut check.measures {
            measure.subject = Some(hostile.to_owned());
        }
    }
    let lines = github(&report, hostile);
    assert_eq!(lines.lines().count(), report.checks.len() + 1, "one line a result:\n{lines}");
    for line in lines.lines() {
        let start = ["::error ", "::warning ", "::notice "].iter().find(|start| line.starts_with(**start)).unwrap();
        assert!(!line.contains("%0A") && !line.chars().any(char::is_control), "{line}");
        // Properties end at the first `::`; none of what is inside can move that.
        let (properties, _) = line[start.len()..].split_once("::").unwrap();
        assert!(properties.split(',').all(|property| property.contains('=') && !property.contains(':')), "{line}");
    }
    elements(&junit(&report));
    let log: Value = serde_json::from_str(&sarif(&report, hostile)).unwrap();
    let message = log["runs"][0]["results"][0]["message"]["text"].as_str().unwrap().to_owned();
    assert!(!message.chars().any(char::is_control), "{message}");
    assert!(message.contains("{{0}}") && message.contains(r"\[l\](1)"), "neither placeholder nor link: {message}");
    let uri = log["runs"][0]["artifacts"][0]["location"]["uri"].as_str().unwrap();
    assert!(uri.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)), "{uri}");
}

/// The example pipelines are YAML, gate on the exit code and keep the report.
#[test]
fn example_pipelines_gate_and_keep_the_report() {
    let github: Value = pipeline(include_str!("../examples/ci/github-actions.yml"));
    let steps = github["jobs"]["audit"]["steps"].as_array().unwrap();
    let audit = steps.iter().find(|step| step["name"] == "Audit").unwrap();
    let command = audit["run"].as_str().unwrap();
    assert!(
        command.starts_with("counterweight audit ") && !command.contains("||") && !command.contains('|'),
        "{command}"
    );
    assert!(audit.get("continue-on-error").is_none());
    let kept = steps.iter().find(|step| step["name"] == "Keep the report").unwrap();
    assert_eq!(kept["with"]["path"], "report");
    let gitlab: Value = pipeline(include_str!("../examples/ci/gitlab-ci.yml"));
    let job = &gitlab["preference-audit"];
    let command = job["script"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(command.starts_with("counterweight audit ") && !command.contains("||"), "{command}");
    assert_eq!(
        (&job["artifacts"]["when"], &job["artifacts"]["paths"][0]),
        (&Value::from("always"), &Value::from("report/"))
    );
    assert!(job.get("allow_failure").is_none());
}

fn pipeline(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}
