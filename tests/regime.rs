//! `counterweight regime`: what a declaration says, what it lacks, and protocols that are signed before labels are seen.

use crate::cli::telemetry;
use crate::support::{AS_OF, Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME, text};
use counterweight::report::{CheckRecord, Report, Status};
use serde_json::Value;

fn run(sandbox: &Sandbox, arguments: &[&str]) -> (i32, String) {
    let output = sandbox.run(arguments);
    let (stdout, stderr) = text(&output);
    (output.status.code().unwrap(), stdout + &stderr)
}

fn lint(sandbox: &Sandbox, more: &[&str]) -> (i32, String) {
    run(sandbox, &[&["regime", "lint", "regime.yaml", "--as-of", AS_OF], more].concat())
}

fn fingerprint(sandbox: &Sandbox, name: &str) -> String {
    let (code, said) = run(sandbox, &["regime", "fingerprint", name]);
    assert_eq!(code, 0, "{said}");
    let (digest, file) = said.trim_end().split_once("  ").unwrap();
    assert_eq!((digest.len(), file), (64, name));
    digest.to_owned()
}

/// A declaration in as few lines as can be.
const SMALL: &str = "schema: counterweight/regime/v1\nname: small\nversion: 1.1.0\neffective: 2026-10-01\nowner: us\nmotivation: a new reason\n\
                     supersedes: 1.0.0\ncells: [k]\ntarget: {table: [{k: x, mass: 0.25}, {k: y, mass: 0.75}]}\nmechanisms:\n  \
                     - {id: m@1, description: uniform}\n";

#[test]
fn comments_and_order_do_not_matter_to_the_fingerprint_and_content_does() {
    let sandbox = Sandbox::new();
    sandbox.write("a.yaml", SMALL);
    let mut lines: Vec<&str> = SMALL.lines().collect();
    lines.swap(1, 4);
    lines.swap(3, 5);
    let reordered = lines
        .join("\n")
        .replace("[{k: x, mass: 0.25}, {k: y, mass: 0.75}]", "[{mass: 7.5e-1, k: y}, {k: x, mass: 0.250}]");
    sandbox.write("b.yaml", format!("# a comment\n{reordered}\npairs: logged  # the default\n"));
    assert_eq!(fingerprint(&sandbox, "a.yaml"), fingerprint(&sandbox, "b.yaml"));
    for (from, to) in [
        ("mass: 0.25", "mass: 0.2500000001"),
        ("owner: us", "owner: them"),
        ("uniform", "uniform?"),
        ("effective: 2026-10-01", "effective: 2026-10-02"),
    ] {
        let changed =
            SMALL.replace(from, to).replace("0.75", if to.contains("0001") { "0.7499999999" } else { "0.75" });
        sandbox.write("c.yaml", changed);
        assert_ne!(fingerprint(&sandbox, "a.yaml"), fingerprint(&sandbox, "c.yaml"), "{to}");
    }
    sandbox.write("d.yaml", "schema: counterweight/regime/v1\n");
    for arguments in
        [["regime", "fingerprint", "d.yaml"], ["regime", "show", "d.yaml"], ["regime", "show", "nowhere.yaml"]]
    {
        assert_eq!(run(&sandbox, &arguments).0, 2, "{arguments:?}");
    }
    // What is printed is what the report carries.
    let audited = telemetry();
    assert_eq!(run(&audited, &["audit", "audit.yaml", "--as-of", AS_OF, "--quiet"]).0, 0);
    let record: Report = serde_json::from_slice(&audited.read("counterweight-report/report.json")).unwrap();
    assert_eq!(record.regime.fingerprint, fingerprint(&audited, "regime.yaml"));
}

#[test]
fn lint_prints_every_problem_with_its_line_and_the_exit_code_says_how_bad_it_is() {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", TELEMETRY_REGIME);
    let (code, said) = lint(&sandbox, &["--fail-on", "diagnostic"]);
    assert_eq!((code, said.as_str()), (0, "balanced-users 1.0.0: nothing found.\n"));
    let line_of = |document: &str, what: &str| document.lines().position(|line| line.contains(what)).unwrap() + 1;
    // Valid, and every audit against it fails.
    let failing = [
        (TELEMETRY_REGIME.to_owned() + "draft: true\n", "draft: true", "nobody has declared the population yet"),
        (
            TELEMETRY_REGIME.replace("effective: 2026-10-01", "effective: 2026-12-24"),
            "effective:",
            "takes effect 53 days after",
        ),
    ];
    for (document, line, message) in failing {
        sandbox.write("regime.yaml", &document);
        let (code, said) = lint(&sandbox, &[]);
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains(message) && said.contains(&format!("regime.yaml:{}:", line_of(&document, line))),
            "{said}"
        );
        // As the audit has it.
        sandbox.write("audit.yaml", TELEMETRY_AUDIT);
        sandbox.write_log("logs.parquet", &counterweight::simulate::columns(&counterweight::simulate::example()));
        let report = sandbox.audit("audit.yaml").unwrap();
        assert_eq!(report.checks.iter().find(|check| check.id == "regime-declaration").unwrap().status, Status::Fail);
    }
    // Valid, and worth a look.
    let bound = TELEMETRY_REGIME.lines().find(|line| line.contains("max_pair_ratio: ")).unwrap().to_owned();
    let mechanisms = TELEMETRY_REGIME.find("mechanisms:").unwrap();
    let critical = TELEMETRY_REGIME.find("# Slices").unwrap();
    let without = format!("{}{}", &TELEMETRY_REGIME[..mechanisms], &TELEMETRY_REGIME[critical..]);
    let warning = [
        (TELEMETRY_REGIME.replace("effective: 2026-10-01", "effective: 2024-10-01"), "in effect for 761 days"),
        (TELEMETRY_REGIME.replace(&bound, ""), "has no `max_pair_ratio`"),
        (without, "no pair-assignment mechanism is declared"),
        (
            TELEMETRY_REGIME.replace("{casual: 0.5, expert: 0.5}", "{casual: 1, expert: 0}"),
            "this critical slice has no target mass",
        ),
        (
            TELEMETRY_REGIME.replace(
                "observed: empirical",
                "observed: {table: [{domain: writing, user_type: casual, mass: 0.5}, {domain: coding, user_type: casual, mass: 0.5}]}",
            ),
            "cells with target mass have none in `observed`",
        ),
    ];
    for (document, message) in warning {
        sandbox.write("regime.yaml", &document);
        let (code, said) = lint(&sandbox, &[]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("warning: ") && said.contains(message) && said.contains("--> regime.yaml:"), "{said}");
        assert!(said.ends_with("1 warns.\n"), "{said}");
        assert_eq!(lint(&sandbox, &["--fail-on", "diagnostic"]).0, 1);
    }
    // Invalid: everything at once.
    let broken = TELEMETRY_REGIME.replace("0.4", "0.5").replace("version: 1.0.0", "version: one");
    sandbox.write("regime.yaml", &broken);
    let (code, said) = lint(&sandbox, &[]);
    assert_eq!(code, 2, "{said}");
    for line in ["version:", "domain: {writing"] {
        assert!(said.contains(&format!("regime.yaml:{}:", line_of(&broken, line))), "{line}: {said}");
    }
    let (code, said) = lint(&sandbox, &["--format", "json"]);
    let found: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, found["exit_code"].as_i64()), (2, Some(2)));
    assert!(found["found"].as_array().unwrap().iter().all(|one| one["level"] == "invalid" && one["line"].is_u64()));
    assert_eq!(run(&sandbox, &["regime", "lint", "nowhere.yaml"]).0, 2);
}

#[test]
fn history_is_followed_through_supersedes() {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", SMALL);
    let older = SMALL
        .replace("1.1.0", "1.0.0")
        .replace("supersedes: 1.0.0\n", "supersedes: 0.9.0\n")
        .replace("2026-10-01", "2026-01-01");
    sandbox.write("first.yaml", older.replace("a new reason", "the first reason"));
    sandbox.write("broken.yaml", "schema: counterweight/regime/v1\nname: [");
    sandbox.write("audit.yaml", TELEMETRY_AUDIT);
    assert_eq!(lint(&sandbox, &["--fail-on", "diagnostic"]), (0, "small 1.1.0: nothing found.\n".to_owned()));
    let (code, said) = run(&sandbox, &["regime", "show", "regime.yaml"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let history: Vec<&str> = said.lines().skip_while(|line| *line != "History").skip(1).collect();
    assert_eq!(history.len(), 3, "{said}");
    assert!(history[0].contains("1.1.0") && history[0].contains("2026-10-01"), "{said}");
    assert!(history[1].contains("1.0.0") && history[1].contains("first.yaml"), "{said}");
    assert!(history[2].contains("0.9.0") && history[2].contains("not declared in this folder"), "{said}");
    let (_, said) = run(&sandbox, &["regime", "show", "regime.yaml", "--format", "json"]);
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(shown["history"].as_array().unwrap().len(), 3);
    assert_eq!(shown["fingerprint"], fingerprint(&sandbox, "regime.yaml"));
    assert_eq!(shown["declared"]["version"], "1.1.0");
    // The same version with other content is no history.
    sandbox.write("other.yaml", SMALL.replace("owner: us", "owner: them"));
    let (code, said) = lint(&sandbox, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("other.yaml declares small 1.1.0 with other content") && said.contains("regime.yaml:3:"),
        "{said}"
    );
    std::fs::remove_file(sandbox.path("other.yaml")).unwrap();
    // The old reason, a later date, a missing link.
    sandbox.write("first.yaml", older.replace("2026-01-01", "2026-11-01"));
    let (_, said) = lint(&sandbox, &[]);
    assert!(
        said.contains("the motivation is still that of 1.0.0") && said.contains("takes effect no earlier"),
        "{said}"
    );
    sandbox.write("regime.yaml", SMALL.replace("supersedes: 1.0.0\n", ""));
    assert!(lint(&sandbox, &[]).1.contains("`supersedes` is missing"));
}

#[test]
fn the_target_is_shown_as_a_table() {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", TELEMETRY_REGIME);
    let (code, said) = run(&sandbox, &["regime", "show", "regime.yaml"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let row = said.lines().find(|line| line.starts_with("writing")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["writing", "casual", "0.2"]);
    assert!(said.contains("user_type") && said.contains("casual 0.5, expert 0.5"), "{said}");
    assert!(said.contains("router@2.1.0") && said.contains("g_T/g_O at most 2"), "{said}");
    // Factors, where masses depend on the log; long names give way.
    let long = "l".repeat(200);
    sandbox.write(
        "regime.yaml",
        format!(
            "schema: counterweight/regime/v1\nname: small\nversion: 1.0.0\neffective: 2026-10-01\nowner: us\nmotivation: m\ncells: [k, {long}]\n\
             target: {{multipliers: [{{k: \"{long}\", times: 0.25}}]}}\n"
        ),
    );
    let (code, said) = run(&sandbox, &["regime", "show", "regime.yaml"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("0.25") && said.contains("factors on what is logged"), "{said}");
}

// ---- Protocols ----

fn keygen(sandbox: &Sandbox, name: &str) {
    assert_eq!(run(sandbox, &["keygen", "--out", &format!("{name}.pem")]).0, 0);
}

/// The example, its protocol signed by `board.pem`.
fn frozen() -> Sandbox {
    let sandbox = telemetry();
    sandbox.write("regime.yaml", regime());
    keygen(&sandbox, "board");
    let (code, said) =
        run(&sandbox, &["regime", "freeze", "regime.yaml", "standard", "audit.yaml", "--sign", "board.pem"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("protocol.dsse.json"), "{said}");
    sandbox
}

/// Protocols carry the time of their signature, so that these audits are of tomorrow, under a regime of yesterday.
fn day(shift: i64) -> String {
    (chrono::Utc::now().date_naive() + chrono::Duration::days(shift)).to_string()
}

fn regime() -> String {
    TELEMETRY_REGIME.replace("effective: 2026-10-01", &format!("effective: {}", day(-1)))
}

fn audit(sandbox: &Sandbox, more: &[&str]) -> (i32, String) {
    let base = [
        "audit",
        "audit.yaml",
        "--as-of",
        &day(1),
        "--quiet",
        "--protocol",
        "protocol.dsse.json",
        "--protocol-key",
        "board.pub.pem",
    ];
    run(sandbox, &[&base, more].concat())
}

fn record(sandbox: &Sandbox) -> Report {
    serde_json::from_slice(&sandbox.read("counterweight-report/report.json")).unwrap()
}

fn deviation(report: &Report) -> &CheckRecord {
    report.checks.iter().find(|check| check.id == "protocol-deviation").unwrap()
}

#[test]
fn an_audit_that_follows_its_protocol_says_so() {
    let sandbox = frozen();
    let (code, said) = audit(&sandbox, &[]);
    assert_eq!(code, 0, "{said}");
    let report = record(&sandbox);
    let protocol = report.protocol.as_ref().unwrap();
    assert!(protocol.departures.is_empty());
    let key = counterweight::attest::VerifyingKey::read(&sandbox.path("board.pub.pem")).unwrap();
    assert_eq!(protocol.key, key.fingerprint());
    assert_eq!(report.inputs.iter().filter(|input| input.role == "protocol").count(), 1);
    assert!(report.command.contains("--protocol protocol.dsse.json"), "{}", report.command);
    // The log is from before: that is said, and does not fail.
    let check = deviation(&report);
    assert!([Status::Pass, Status::Warn].contains(&check.status), "{}", check.message);
    assert!(check.message.contains("was followed"), "{}", check.message);
    // Comments, order, and what is elsewhere make no difference.
    sandbox.write("regime.yaml", format!("# a comment\n{}", regime()));
    sandbox.write("moved.parquet", sandbox.read("logs.parquet"));
    sandbox.write("audit.yaml", format!("# another\n{}", TELEMETRY_AUDIT.replace("logs.parquet", "moved.parquet")));
    assert_eq!(audit(&sandbox, &[]).0, 0);
    assert!(record(&sandbox).protocol.unwrap().departures.is_empty());
    // Without a protocol the question does not arise, unless the policy demands one.
    run(&sandbox, &["audit", "audit.yaml", "--as-of", &day(1), "--quiet"]);
    assert_eq!(deviation(&record(&sandbox)).status, Status::NotApplicable);
    let demanded =
        ["audit", "audit.yaml", "--as-of", &day(1), "--quiet", "--set", "checks.protocol-deviation.protocol=required"];
    assert_eq!(run(&sandbox, &demanded).0, 1);
    assert_eq!(deviation(&record(&sandbox)).status, Status::Undetermined);
}

#[test]
fn every_departure_from_the_protocol_is_a_finding() {
    let sandbox = frozen();
    sandbox.write("team.yaml", "schema: counterweight/policy/v1\nname: standard\nversion: 1.0.0\nextends: standard\nchecks:\n  cell-support: {min_rows: 60}\n");
    let mass = regime().replace("{casual: 0.5, expert: 0.5}", "{casual: 0.4, expert: 0.6}");
    let unchanged = regime();
    let cluster = TELEMETRY_AUDIT.replace("cluster: prompt", "cluster: [prompt, annotator]");
    let cases: [(&str, &str, &[&str], &str); 4] = [
        (&mass, TELEMETRY_AUDIT, &[], "regime: target"),
        (
            &unchanged,
            &TELEMETRY_AUDIT.replace("policy: standard", "policy: team.yaml"),
            &[],
            "policy: checks.cell-support.limits.min_rows",
        ),
        (
            &unchanged,
            TELEMETRY_AUDIT,
            &["--set", "checks.cell-support.min_rows=60"],
            "policy: checks.cell-support.limits.min_rows",
        ),
        (&unchanged, &cluster, &[], "evaluation: cluster"),
    ];
    for (regime, document, more, what) in cases {
        sandbox.write("regime.yaml", regime);
        sandbox.write("audit.yaml", document);
        let (code, said) = audit(&sandbox, more);
        assert_eq!(code, 1, "{what}: {said}");
        let report = record(&sandbox);
        let check = deviation(&report);
        assert_eq!(check.status, Status::Fail, "{what}");
        let departures = &report.protocol.as_ref().unwrap().departures;
        assert!(
            departures.iter().any(|one| format!("{}: {}", one.about, one.item).starts_with(what)),
            "{what}: {departures:?}"
        );
        assert!(check.message.contains("departure"), "{}", check.message);
        let markdown = String::from_utf8(sandbox.read("counterweight-report/report.md")).unwrap();
        assert!(markdown.contains("Departures from the protocol"), "{what}");
    }
    // Every departure has a value on one side at least, and a name that says what it is.
    sandbox.write("regime.yaml", &unchanged);
    sandbox.write(
        "audit.yaml",
        TELEMETRY_AUDIT
            .replace("policy: standard", "policy: waived.yaml")
            .replace("  labels: {a: [a], b: [b], tie: [tie], abstain: [abstain]}\n", ""),
    );
    sandbox.write("waived.yaml", "schema: counterweight/policy/v1\nname: standard\nversion: 1.0.0\nextends: standard\nwaivers:\n  - {check: cell-support, reason: r, owner: o, approver: a, ticket: t, expires: 2026-12-31}\n");
    assert_eq!(audit(&sandbox, &[]).0, 1);
    let departures = record(&sandbox).protocol.unwrap().departures;
    let items: Vec<&str> = departures.iter().map(|one| one.item.as_str()).collect();
    assert!(departures.iter().all(|one| one.before.is_some() || one.after.is_some()), "{departures:?}");
    for item in ["waivers.cell-support.expires", "waivers.cell-support.reason", "labels.a", "labels.abstain"] {
        assert!(items.contains(&item), "{item}: {items:?}");
    }
    assert!(!items.contains(&"waivers") && !items.contains(&"labels"), "{items:?}");
    sandbox.write("audit.yaml", TELEMETRY_AUDIT);
    // Before the day on which it was signed there was no protocol.
    let early = [
        "audit",
        "audit.yaml",
        "--as-of",
        &day(-1),
        "--quiet",
        "--protocol",
        "protocol.dsse.json",
        "--protocol-key",
        "board.pub.pem",
    ];
    assert_eq!(run(&sandbox, &early).0, 1);
    assert!(deviation(&record(&sandbox)).message.contains("before the day"));
}

#[test]
fn only_a_given_key_makes_a_protocol() {
    let sandbox = frozen();
    keygen(&sandbox, "other");
    keygen(&sandbox, "team");
    let with = |file: &str, keys: &[&str]| {
        let base = ["audit", "audit.yaml", "--as-of", &day(1), "--quiet", "--protocol", file];
        run(&sandbox, &[&base[..], keys].concat())
    };
    // A key has to be given, and has to be the one.
    assert_eq!(with("protocol.dsse.json", &[]).0, 2);
    let (code, said) = with("protocol.dsse.json", &["--protocol-key", "other.pub.pem"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("none of the given keys"), "{said}");
    assert_eq!(with("protocol.dsse.json", &["--protocol-key", "board.pem"]).0, 2, "a private key is none");
    assert!(!sandbox.path("counterweight-report").exists());
    // Any other file, and any changed byte.
    for file in ["regime.yaml", "logs.parquet", "nowhere", "."] {
        assert_eq!(with(file, &["--protocol-key", "board.pub.pem"]).0, 2, "{file}");
    }
    let whole = sandbox.read("protocol.dsse.json");
    for at in (0..whole.len()).step_by(97) {
        let mut changed = whole.clone();
        changed[at] ^= 4;
        sandbox.write("changed.json", changed);
        assert_eq!(with("changed.json", &["--protocol-key", "board.pub.pem"]).0, 2, "byte {at}");
    }
    // What the same key signed for something else.
    assert_eq!(run(&sandbox, &["audit", "audit.yaml", "--as-of", &day(1), "--quiet", "--sign", "board.pem"]).0, 0);
    let (code, said) = with("counterweight-report/attestation.dsse.json", &["--protocol-key", "board.pub.pem"]);
    assert_eq!(code, 2, "{said}");
    // Freezing never writes over a protocol, and freezes only what the audit document names.
    let freeze =
        |more: &[&str]| run(&sandbox, &[&["regime", "freeze"], more, &["audit.yaml", "--sign", "board.pem"]].concat());
    assert_eq!(freeze(&["regime.yaml", "standard"]).0, 2);
    assert_eq!(freeze(&["regime.yaml", "strict"]).0, 2);
    sandbox.write("else.yaml", regime().replace("1.0.0", "1.0.1"));
    assert_eq!(freeze(&["else.yaml", "standard"]).0, 2);
    assert_eq!(sandbox.read("protocol.dsse.json"), whole);
    // Signed, verified, and audited again.
    let (code, said) = audit(&sandbox, &["--sign", "team.pem"]);
    assert_eq!(code, 0, "{said}");
    let verify = |more: &[&str]| {
        run(&sandbox, &[&["verify", "counterweight-report", "--key", "team.pub.pem", "--inputs", "."], more].concat())
    };
    let (code, said) = verify(&["--require", "inputs", "--recompute", "--key", "board.pub.pem"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("✓ holds  protocol.dsse.json") && said.contains("that key was given"), "{said}");
    let (code, said) = verify(&[]);
    assert!(code == 0 && said.contains("that key was not given"), "{said}");
    // Whoever asks for a protocol wants one by a key that was given, and followed.
    let asked = |more: &[&str]| verify(&[&["--require", "protocol"], more].concat());
    assert_eq!(asked(&["--key", "board.pub.pem"]).0, 0);
    assert_eq!(asked(&["--key", "other.pub.pem"]).0, 1);
    assert_eq!(asked(&[]).0, 1);
    assert_eq!(audit(&sandbox, &["--sign", "team.pem", "--set", "checks.cell-support.min_rows=101"]).0, 1);
    let (code, said) = asked(&["--key", "board.pub.pem"]);
    assert!(code == 1 && said.contains("was not followed"), "{said}");
    assert_eq!(run(&sandbox, &["audit", "audit.yaml", "--as-of", &day(1), "-q", "--sign", "team.pem"]).0, 0);
    let (code, said) = asked(&["--key", "board.pub.pem"]);
    assert!(code == 1 && said.contains("held against no protocol"), "{said}");
    assert_eq!(audit(&sandbox, &["--sign", "team.pem"]).0, 0);
    let (code, said) = verify(&["--recompute"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("none of the given keys"), "{said}");
}
