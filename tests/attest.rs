//! Signed reports: what verifies, what does not, and that other tools agree.

use crate::cli::telemetry;
use crate::support::{AS_OF, Sandbox, TELEMETRY_AUDIT, TELEMETRY_REGIME, command, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Duration, Utc};
use counterweight::attest::bundle::Bundle;
use counterweight::attest::dsse::{Envelope, pae, sign};
use counterweight::attest::verify::{Request, State, Verification, verify};
use counterweight::attest::{Algorithm, Signer, SigningKey, VerifyingKey, artifact_digest};
use counterweight::logs::ColumnData;
use counterweight::simulate::columns;
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::Command;

const REPORT: &str = "counterweight-report";
const FILES: [&str; 7] = [
    "SHA256SUMS",
    "attestation.dsse.json",
    "attestation.intoto.jsonl",
    "attestation.sigstore.json",
    "report.html",
    "report.json",
    "report.md",
];

fn run(sandbox: &Sandbox, arguments: &[&str]) -> (i32, String) {
    let output = sandbox.run(arguments);
    let (stdout, stderr) = text(&output);
    (output.status.code().unwrap(), stdout + &stderr)
}

fn keygen(sandbox: &Sandbox, name: &str, algorithm: &str) {
    let (code, said) = run(sandbox, &["keygen", "--out", &format!("{name}.pem"), "--algorithm", algorithm]);
    assert_eq!(code, 0, "{said}");
}

/// The example, audited and signed with `team.pem`.
fn signed(algorithm: &str) -> Sandbox {
    let sandbox = telemetry();
    keygen(&sandbox, "team", algorithm);
    audit(&sandbox, &[]);
    sandbox
}

fn audit(sandbox: &Sandbox, more: &[&str]) -> i32 {
    let base = ["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--sign", "team.pem"];
    let (code, said) = run(sandbox, &[&base, more].concat());
    assert!(code < 2, "{said}");
    code
}

fn holds(sandbox: &Sandbox, more: &[&str]) -> (i32, String) {
    run(sandbox, &[&["verify", REPORT, "--key", "team.pub.pem"], more].concat())
}

fn key(sandbox: &Sandbox, name: &str) -> VerifyingKey {
    VerifyingKey::read(&sandbox.path(name)).unwrap()
}

fn request<'a>(target: &'a Path, keys: &'a [VerifyingKey]) -> Request<'a> {
    Request {
        target,
        keys,
        regime: None,
        policy: None,
        inputs: None,
        recompute: false,
        require_pass: false,
        require_inputs: false,
        require_protocol: false,
        require_roles: &[],
        max_age: None,
        now: Utc::now(),
    }
}

fn failures(found: &Verification) -> Vec<&str> {
    found.lines.iter().filter(|line| line.state == State::Fails).map(|line| line.what.as_str()).collect()
}

fn payload(envelope: &Value) -> Value {
    serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
}

fn envelopes(sandbox: &Sandbox) -> Vec<Value> {
    let text = String::from_utf8(sandbox.read(&format!("{REPORT}/attestation.intoto.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_signed_report_verifies_with_everything_that_can_be_asked() {
    for algorithm in ["p256", "ed25519"] {
        let sandbox = signed(algorithm);
        let (code, said) = holds(
            &sandbox,
            &[
                "--regime",
                "regime.yaml",
                "--policy",
                "standard",
                "--inputs",
                ".",
                "--recompute",
                "--max-age",
                "1",
                "--require",
                "pass",
                "--require",
                "inputs",
            ],
        );
        assert_eq!(code, 0, "{said}");
        assert!(!said.contains("? open"), "{said}");
        assert!(said.contains("the same record, byte for byte") && said.contains("fingerprint"), "{said}");
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
        // Each of the three forms alone, too.
        for name in ["attestation.dsse.json", "attestation.intoto.jsonl", "attestation.sigstore.json"] {
            let (code, said) = run(&sandbox, &["verify", &format!("{REPORT}/{name}"), "--key", "team.pub.pem"]);
            assert_eq!(code, 0, "{name}: {said}");
        }
        // What was not asked for is said to be open.
        let (code, said) = holds(&sandbox, &[]);
        assert_eq!(code, 0, "{said}");
        for what in ["logs.parquet", "regime", "policy", "age"] {
            assert!(said.contains(&format!("? open   {what}:")), "{what}: {said}");
        }
        let (code, said) = holds(&sandbox, &["--require", "inputs"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("✗ FAILS  logs.parquet"), "{said}");
        let (_, json) = holds(&sandbox, &["--format", "json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["holds"], true);
        assert_eq!(json["signed"]["verdict"], "pass");
    }
}

#[test]
fn the_statements_have_the_published_structure_and_agree() {
    let sandbox = signed("p256");
    let all = envelopes(&sandbox);
    assert_eq!(all.len(), 2);
    let digest = |name: &str| sha256(&sandbox.read(name));
    for envelope in &all {
        assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
        assert_eq!(envelope["signatures"].as_array().unwrap().len(), 1);
        assert_eq!(envelope["signatures"][0]["keyid"], key(&sandbox, "team.pub.pem").keyid());
        let statement = payload(envelope);
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert!(statement["predicateType"].as_str().unwrap().starts_with("https://"));
        assert!(statement["predicate"].is_object());
        let subjects: Vec<(&str, &str)> = statement["subject"]
            .as_array()
            .unwrap()
            .iter()
            .map(|subject| (subject["name"].as_str().unwrap(), subject["digest"]["sha256"].as_str().unwrap()))
            .collect();
        let report = |name: &str| digest(&format!("{REPORT}/{name}"));
        assert_eq!(
            subjects,
            [
                ("report.html", report("report.html").as_str()),
                ("report.json", report("report.json").as_str()),
                ("report.md", report("report.md").as_str()),
                ("logs.parquet", digest("logs.parquet").as_str()),
            ]
        );
    }
    let (own, standard) = (payload(&all[0]), payload(&all[1]));
    assert_eq!(own["predicateType"], "https://counterweight.dev/attestation/preference-audit/v1");
    assert_eq!(standard["predicateType"], "https://in-toto.io/attestation/test-result/v0.1");
    let record: Value = serde_json::from_slice(&sandbox.read(&format!("{REPORT}/report.json"))).unwrap();
    let predicate = &own["predicate"];
    for (here, there) in [
        (&predicate["verdict"], &record["verdict"]),
        (&predicate["exit_code"], &record["exit_code"]),
        (&predicate["as_of"], &record["as_of"]),
        (&predicate["tool"], &record["tool"]),
        (&predicate["regime"]["fingerprint"], &record["regime"]["fingerprint"]),
        (&predicate["policy"]["digest"]["sha256"], &record["policy"]["sha256"]),
        (&predicate["audit"]["digest"]["sha256"], &record["audit"]["sha256"]),
    ] {
        assert_eq!(here, there);
        assert!(!here.is_null());
    }
    assert_eq!(predicate["checks"].as_array().unwrap().len(), record["checks"].as_array().unwrap().len());
    let result = &standard["predicate"];
    let tests = |list: &str| result[list].as_array().unwrap().len();
    assert_eq!(
        tests("passedTests") + tests("warnedTests") + tests("failedTests"),
        record["checks"].as_array().unwrap().len()
    );
    assert!(result["configuration"].as_array().unwrap().iter().all(|item| item["digest"]["sha256"].is_string()));
    let bundle: Value = serde_json::from_slice(&sandbox.read(&format!("{REPORT}/attestation.sigstore.json"))).unwrap();
    assert_eq!(bundle["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
    assert_eq!(bundle["verificationMaterial"]["publicKey"]["hint"], all[0]["signatures"][0]["keyid"]);
    assert_eq!(bundle["dsseEnvelope"], all[0]);
    let lone: Value = serde_json::from_slice(&sandbox.read(&format!("{REPORT}/attestation.dsse.json"))).unwrap();
    assert_eq!(lone, all[0]);
}

/// Verdict x gate, as the contract's exit-code table has it, and both statements.
#[test]
fn verdict_gate_and_statements_agree() {
    let sandbox = signed("p256");
    let warning = "checks.effective-sample-size.warn_ratio=0.9";
    let block = "checks.effective-sample-size.min_n_eff=1500";
    let cases: [(&[&str], &str, i32, &str); 6] = [
        (&[], "pass", 0, "PASSED"),
        (&["--fail-on", "diagnostic"], "pass", 0, "PASSED"),
        (&["--set", warning], "diagnostic", 0, "WARNED"),
        (&["--set", warning, "--fail-on", "diagnostic"], "diagnostic", 1, "FAILED"),
        (&["--set", block], "block", 1, "FAILED"),
        (&["--set", block, "--fail-on", "diagnostic"], "block", 1, "FAILED"),
    ];
    for (arguments, verdict, exit_code, result) in cases {
        for format in ["text", "json"] {
            assert_eq!(audit(&sandbox, &[arguments, &["--format", format]].concat()), exit_code, "{arguments:?}");
        }
        let all = envelopes(&sandbox);
        let (own, standard) = (payload(&all[0]), payload(&all[1]));
        assert_eq!(own["predicate"]["verdict"], verdict);
        assert_eq!(own["predicate"]["exit_code"], exit_code);
        assert_eq!(standard["predicate"]["result"], result);
        assert_eq!(
            standard["predicate"]["failedTests"].as_array().unwrap().is_empty(),
            exit_code == 0,
            "{arguments:?}"
        );
        assert_eq!(holds(&sandbox, &[]).0, 0, "a signed block is as true as a signed pass");
        assert_eq!(holds(&sandbox, &["--require", "pass"]).0, i32::from(verdict != "pass"));
        let lenient = holds(&sandbox, &["--policy", "standard"]);
        assert_eq!(lenient.0, i32::from(!arguments.is_empty()), "{}", lenient.1);
    }
}

#[test]
fn a_lenient_policy_and_another_regime_do_not_slip_through() {
    let sandbox = signed("p256");
    sandbox.write("mine.yaml", "schema: counterweight/policy/v1\nname: standard\nversion: 1.0.0\nextends: standard\n");
    assert_eq!(holds(&sandbox, &["--policy", "mine.yaml"]).0, 0, "the same content under the same name");
    sandbox.write(
        "lenient.yaml",
        "schema: counterweight/policy/v1\nname: standard\nversion: 1.0.0\nextends: standard\nchecks:\n  \
         cell-support: {severity: note}\n",
    );
    sandbox.write("audit.yaml", TELEMETRY_AUDIT.replace("policy: standard", "policy: lenient.yaml"));
    audit(&sandbox, &[]);
    let (code, said) = holds(&sandbox, &["--policy", "standard"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another policy was audited"), "{said}");
    sandbox.write("audit.yaml", TELEMETRY_AUDIT);
    audit(&sandbox, &["--set", "checks.cell-support.severity=note"]);
    let (code, said) = holds(&sandbox, &["--policy", "standard"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("--set checks.cell-support.severity=note"), "{said}");
    audit(&sandbox, &[]);
    sandbox.write("commented.yaml", format!("# a comment\n{TELEMETRY_REGIME}"));
    assert_eq!(holds(&sandbox, &["--regime", "commented.yaml"]).0, 0);
    sandbox.write("other.yaml", TELEMETRY_REGIME.replace("1.0.0", "1.0.1"));
    let (code, said) = holds(&sandbox, &["--regime", "other.yaml"]);
    assert_eq!(code, 1, "{said}");
    sandbox.write("broken.yaml", "schema: counterweight/regime/v1\n");
    assert_eq!(holds(&sandbox, &["--regime", "broken.yaml"]).0, 2);
}

#[test]
fn a_report_remade_with_other_threads_elsewhere_on_another_day_is_the_same() {
    let (here, there) = (signed("p256"), telemetry());
    let output = command()
        .env("RAYON_NUM_THREADS", "1")
        .args(["audit", &there.path("audit.yaml").display().to_string(), "--as-of", AS_OF, "--quiet"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
    for name in ["report.json", "report.md", "report.html", "SHA256SUMS"] {
        let name = format!("{REPORT}/{name}");
        assert_eq!(here.read(&name), there.read(&name), "{name}: signing changes nothing of the report");
    }
    let output = command()
        .env("RAYON_NUM_THREADS", "3")
        .args(["verify", &here.path(REPORT).display().to_string(), "--recompute", "--key"])
        .arg(here.path("team.pub.pem"))
        .arg("--inputs")
        .arg(there.path("."))
        .output()
        .unwrap();
    let (said, _) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("the same record, byte for byte"), "{said}");
    // Against a baseline, which the new report then replaces: it is found by its digest.
    std::fs::copy(here.path("counterweight-report/report.json"), here.path("accepted.json")).unwrap();
    assert_eq!(audit(&here, &["--baseline", REPORT]), 0);
    let (code, said) = holds(&here, &["--recompute", "--inputs", ".", "--require", "inputs"]);
    assert_eq!(code, 0, "{said}");
    std::fs::remove_file(here.path("accepted.json")).unwrap();
    let (code, said) = holds(&here, &["--inputs", "."]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("something else is in its place"), "{said}");
    assert_eq!(holds(&here, &["--recompute"]).0, 1, "what was asked for and cannot be done does not hold");
    assert_eq!(audit(&here, &[]), 0);
    // On another day: the recorded date counts, not today's.
    let keys = [key(&here, "team.pub.pem")];
    let target = here.path(REPORT);
    let later = Utc::now() + Duration::days(400);
    let found = verify(&Request { recompute: true, now: later, ..request(&target, &keys) });
    assert!(found.holds(), "{:?}", found.lines);
    // Another log under the same name is another record.
    let columns = columns(&counterweight::simulate::example()[..1900]);
    there.write_log("logs.parquet", &columns);
    let folder = there.path(".");
    let found = verify(&Request { recompute: true, inputs: Some(&folder), ..request(&target, &keys) });
    assert_eq!(failures(&found), ["logs.parquet", "recompute"]);
}

#[test]
fn age_is_counted_from_the_signature() {
    let sandbox = signed("p256");
    let keys = [key(&sandbox, "team.pub.pem")];
    let target = sandbox.path(REPORT);
    let at = |shift: Duration, days: u64| {
        let now: DateTime<Utc> = Utc::now() + shift;
        verify(&Request { now, max_age: Some(days), ..request(&target, &keys) }).holds()
    };
    assert!(at(Duration::zero(), 0) && at(Duration::days(29), 30));
    assert!(!at(Duration::days(31), 30));
    assert!(!at(Duration::days(-1), 30), "signed in the future");
}

#[test]
fn what_is_not_signed_or_not_by_a_given_key_is_1_and_what_is_no_key_is_2() {
    let sandbox = signed("p256");
    keygen(&sandbox, "other", "ed25519");
    let verify = |folder: &str, key: &str| run(&sandbox, &["verify", folder, "--key", key]);
    let (code, said) = verify(REPORT, "other.pub.pem");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("none of the given keys") && !said.contains("verdict"), "nothing of the payload: {said}");
    for (key, why) in [
        ("team.pem", "private key"),
        ("audit.yaml", "no public key"),
        ("nothing.pem", "nothing.pem"),
        ("logs.parquet", "PEM"),
    ] {
        let (code, said) = verify(REPORT, key);
        assert_eq!(code, 2, "{key}: {said}");
        assert!(said.contains(why), "{key}: {said}");
    }
    assert_eq!(verify("nowhere", "team.pub.pem").0, 2);
    assert_eq!(run(&sandbox, &["verify", REPORT]).0, 2, "a key is needed");
    run(&sandbox, &["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--out", "plain"]);
    let (code, said) = verify("plain", "team.pub.pem");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("not signed"), "{said}");
}

#[test]
fn an_older_signature_never_stays_beside_a_new_report() {
    let sandbox = signed("p256");
    keygen(&sandbox, "risk", "ed25519");
    let (code, said) = run(&sandbox, &["sign", REPORT, "--key", "risk.pem", "--role", "approver"]);
    assert_eq!(code, 0, "{said}");
    let before: Vec<Vec<u8>> = FILES.iter().map(|name| sandbox.read(&format!("{REPORT}/{name}"))).collect();
    let names = || {
        let mut names: Vec<String> = std::fs::read_dir(sandbox.path(REPORT))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let signed_names = names();
    assert_eq!(signed_names.len(), FILES.len() + 1);
    // What fails leaves everything as it was, the endorsement included.
    sandbox.write(
        "missing.yaml",
        format!(
            "{}\nreference: {{logp_a: r, logp_b: s}}\ncandidates:\n  - {{name: x, role: challenger, logp_a: p, logp_b: q, artifact: nowhere}}\n",
            TELEMETRY_AUDIT
        ),
    );
    for arguments in [
        vec!["audit", "missing.yaml", "--sign", "team.pem"],
        vec!["audit", "audit.yaml", "--sign", "team.pub.pem"],
        vec!["audit", "audit.yaml", "--sign", "team.pub.pem", "--signer-cmd", "false"],
        vec!["audit", "audit.yaml", "--sign", "team.pub.pem", "--signer-cmd", "cat"],
        vec!["render", "counterweight-report/report.json", "--out", REPORT],
    ] {
        let (code, said) = run(&sandbox, &arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        let after: Vec<Vec<u8>> = FILES.iter().map(|name| sandbox.read(&format!("{REPORT}/{name}"))).collect();
        assert!(after == before && names() == signed_names, "{arguments:?}");
    }
    // A file that cannot be replaced: the others are put back.
    std::fs::remove_file(sandbox.path("counterweight-report/report.md")).unwrap();
    std::fs::create_dir(sandbox.path("counterweight-report/report.md")).unwrap();
    assert_eq!(run(&sandbox, &["audit", "audit.yaml", "--sign", "team.pem"]).0, 2);
    assert_eq!(sandbox.read("counterweight-report/report.json"), before[5]);
    std::fs::remove_dir(sandbox.path("counterweight-report/report.md")).unwrap();
    // Unsigned over signed: no signature is left.
    assert_eq!(run(&sandbox, &["audit", "audit.yaml", "--as-of", AS_OF, "--quiet"]).0, 0);
    assert_eq!(names(), ["SHA256SUMS", "report.html", "report.json", "report.md"]);
}

#[test]
fn endorsements_change_nothing_and_fill_roles() {
    let sandbox = signed("p256");
    keygen(&sandbox, "risk", "ed25519");
    keygen(&sandbox, "lab", "p256");
    let before: Vec<Vec<u8>> = FILES.iter().map(|name| sandbox.read(&format!("{REPORT}/{name}"))).collect();
    for (key, role) in [("risk.pem", "approver"), ("lab.pem", "independent-validator"), ("team.pem", "author")] {
        let (code, said) =
            run(&sandbox, &["sign", REPORT, "--key", key, "--role", role, "--report-key", "team.pub.pem"]);
        assert_eq!(code, 0, "{said}");
    }
    let after: Vec<Vec<u8>> = FILES.iter().map(|name| sandbox.read(&format!("{REPORT}/{name}"))).collect();
    assert_eq!(before, after);
    let all = ["--key", "risk.pub.pem", "--key", "lab.pub.pem"];
    let role = |keys: &[&str], role: &str| {
        let wanted = format!("role={role}");
        holds(&sandbox, &[keys, &["--require", &wanted]].concat())
    };
    for (name, code) in [("approver", 0), ("independent-validator", 0), ("author", 1), ("owner", 1)] {
        let (found, said) = role(&all, name);
        assert_eq!(found, code, "{name}: {said}");
    }
    let (code, said) = role(&["--key", "lab.pub.pem"], "approver");
    assert_eq!(code, 1, "the approver's key was not given: {said}");
    assert!(said.contains("signed by none of the given keys"), "{said}");
    assert_eq!(run(&sandbox, &["sign", REPORT, "--key", "risk.pem", "--role", "../x"]).0, 2);
    // An endorsement belongs to one attestation.
    let name = std::fs::read_dir(sandbox.path(REPORT))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with("endorsement.approver."))
        .unwrap();
    let endorsement = sandbox.read(&format!("{REPORT}/{name}"));
    audit(&sandbox, &["--set", "checks.cell-support.min_rows=1"]);
    sandbox.write(&format!("{REPORT}/{name}"), endorsement);
    let (code, said) = role(&all, "approver");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("endorses another attestation"), "{said}");
    // Nobody endorses what is damaged.
    std::fs::remove_file(sandbox.path(&format!("{REPORT}/{name}"))).unwrap();
    sandbox.write(&format!("{REPORT}/report.md"), "# all is well\n");
    let (code, said) = run(&sandbox, &["sign", REPORT, "--key", "risk.pem", "--role", "approver"]);
    assert_eq!(code, 1, "{said}");
}

/// The telemetry log with log-probabilities of a reference and of whatever candidates, and an audit document that lists these.
fn write_candidates(sandbox: &Sandbox, candidates: &str) {
    let rows = counterweight::simulate::example();
    let number = |value: f64| ColumnData::Number(vec![Some(value); rows.len()]);
    let mut columns = columns(&rows);
    columns.extend([("ra", number(-2.0)), ("rb", number(-2.0)), ("ca", number(-1.0)), ("cb", number(-3.0))]);
    sandbox.write_log("logs.parquet", &columns);
    let reference = "reference: {logp_a: ra, logp_b: rb}\ncandidates:";
    sandbox.write("audit.yaml", format!("{TELEMETRY_AUDIT}\n{reference}\n{candidates}"));
}

#[test]
fn artifacts_are_subjects_and_are_looked_up_by_name_and_digest() {
    let sandbox = telemetry();
    keygen(&sandbox, "team", "p256");
    std::fs::create_dir_all(sandbox.path("models/longer/shards")).unwrap();
    sandbox.write("models/longer/config.json", "{}");
    sandbox.write("models/longer/shards/0.bin", "weights");
    sandbox.write("models/judge.bin", "a model");
    write_candidates(
        &sandbox,
        "  - {name: longer, role: incumbent, logp_a: ca, logp_b: cb, artifact: models/longer}\n  \
           - {name: judge, role: challenger, logp_a: ca, logp_b: cb, artifact: models/judge.bin}\n",
    );
    let output = sandbox.run(&["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--sign", "team.pem"]);
    let (_, said) = text(&output);
    if output.status.code() == Some(2) {
        panic!("{said}");
    }
    let listing = format!("{}  config.json\n{}  shards/0.bin\n", sha256(b"{}"), sha256(b"weights"));
    let statement = payload(&envelopes(&sandbox)[0]);
    assert_eq!(statement["predicate"]["seed"], serde_json::json!({}));
    let digest = |name: &str| {
        let subjects = statement["subject"].as_array().unwrap();
        let subject = subjects.iter().find(|subject| subject["name"] == name).unwrap();
        subject["digest"]["sha256"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest("models/longer"), sha256(listing.as_bytes()));
    assert_eq!(digest("models/judge.bin"), sha256(b"a model"));
    let everything = ["--inputs", ".", "--require", "inputs"];
    assert_eq!(holds(&sandbox, &everything).0, 0, "{}", holds(&sandbox, &everything).1);
    // A file with the listing in it is not the folder.
    std::fs::rename(sandbox.path("models/longer"), sandbox.path("models/elsewhere")).unwrap();
    sandbox.write("models/longer", &listing);
    let (code, said) = holds(&sandbox, &everything);
    assert_eq!(code, 1, "{said}");
    std::fs::remove_file(sandbox.path("models/longer")).unwrap();
    std::fs::rename(sandbox.path("models/elsewhere"), sandbox.path("models/longer")).unwrap();
    // Found by its digest under another name; changed, it fails.
    std::fs::rename(sandbox.path("models/judge.bin"), sandbox.path("deployed.bin")).unwrap();
    let (code, said) = holds(&sandbox, &everything);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("found as deployed.bin"), "{said}");
    sandbox.write("models/longer/shards/0.bin", "weightz");
    let (code, said) = holds(&sandbox, &everything);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("✗ FAILS  models/longer"), "{said}");
    assert!(artifact_digest(&sandbox.path("nowhere")).is_err());
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    assert!(artifact_digest(&sandbox.path("empty")).is_err());
}

/// A file under the artifact's own name counts, not a copy of the audited one somewhere else.
#[test]
fn a_deployed_artifact_is_not_replaced_by_a_copy_elsewhere() {
    let sandbox = telemetry();
    keygen(&sandbox, "team", "p256");
    std::fs::create_dir_all(sandbox.path("deploy/hidden")).unwrap();
    sandbox.write("deploy/judge.bin", "a model");
    write_candidates(
        &sandbox,
        "  - {name: judge, role: challenger, logp_a: ca, logp_b: cb, artifact: deploy/judge.bin}\n",
    );
    audit(&sandbox, &[]);
    assert_eq!(holds(&sandbox, &["--inputs", "."]).0, 0);
    sandbox.write("deploy/judge.bin", "another model");
    sandbox.write("deploy/hidden/old.bin", "a model");
    let (code, said) = holds(&sandbox, &["--inputs", ".", "--require", "inputs"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("✗ FAILS  deploy/judge.bin"), "{said}");
}

/// What is not a file, is too large, or has the name of something signed, never verifies and never hangs.
#[cfg(unix)]
#[test]
fn a_hostile_folder_neither_hangs_nor_holds() {
    let sandbox = signed("p256");
    let place = |name: &str| sandbox.path(&format!("{REPORT}/{name}"));
    let refused = |name: &str| {
        let (code, said) = holds(&sandbox, &["--inputs", "."]);
        assert_eq!(code, 1, "{name}: {said}");
        let named = said.contains(&format!("✗ FAILS  {name}"));
        assert!(named, "{name}: {said}");
    };
    // Pipes, devices and folders in the place of every file, one after the other.
    for name in FILES {
        let whole = sandbox.read(&format!("{REPORT}/{name}"));
        for made in ["pipe", "device", "folder", "loop", "huge"] {
            std::fs::remove_file(place(name)).unwrap();
            match made {
                "pipe" => assert!(Command::new("mkfifo").arg(place(name)).status().unwrap().success()),
                "device" => std::os::unix::fs::symlink("/dev/zero", place(name)).unwrap(),
                "folder" => std::fs::create_dir(place(name)).unwrap(),
                "loop" => std::os::unix::fs::symlink(place(name), place(name)).unwrap(),
                // Sparse: nothing is written to the disk.
                _ => std::fs::File::create(place(name)).unwrap().set_len(1 << 33).unwrap(),
            }
            refused(name);
            if made == "folder" {
                std::fs::remove_dir(place(name)).unwrap();
            } else {
                std::fs::remove_file(place(name)).unwrap();
            }
            sandbox.write(&format!("{REPORT}/{name}"), &whole);
        }
    }
    // A link to the very same bytes is the same bytes.
    std::fs::rename(place("report.md"), sandbox.path("moved.md")).unwrap();
    std::os::unix::fs::symlink(sandbox.path("moved.md"), place("report.md")).unwrap();
    assert_eq!(holds(&sandbox, &[]).0, 0);
    // A file that begins like an endorsement and is none is listed as nobody's, not passed over.
    sandbox.write(&format!("{REPORT}/endorsement.approver.txt"), "approved");
    let (_, said) = holds(&sandbox, &[]);
    assert!(said.contains("endorsement.approver.txt"), "{said}");
    sandbox.write(&format!("{REPORT}/weights.parquet"), "weights that nobody signed");
    refused("weights.parquet");
}

/// Everything that can be put together from what a trusted key did sign, and is not the report.
#[test]
fn what_was_signed_for_something_else_is_no_attestation() {
    let sandbox = signed("p256");
    keygen(&sandbox, "risk", "ed25519");
    assert_eq!(run(&sandbox, &["sign", REPORT, "--key", "risk.pem", "--role", "approver"]).0, 0);
    let endorsement = std::fs::read_dir(sandbox.path(REPORT))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with("endorsement."))
        .unwrap();
    let read = |name: &str| String::from_utf8(sandbox.read(&format!("{REPORT}/{name}"))).unwrap();
    let (dsse, both) = (read("attestation.dsse.json"), read("attestation.intoto.jsonl"));
    let standard = format!("{}\n", both.lines().nth(1).unwrap());
    let (endorsed, bundle) = (read(&endorsement), read("attestation.sigstore.json"));
    let spaced = dsse.replacen(':', ": ", 1);
    let twice = dsse.replacen("{\"payload\":", "{\"payload\":\"e30=\",\"payload\":", 1);
    let signatures: Value = serde_json::from_str(&dsse).unwrap();
    let one = signatures["signatures"][0].to_string();
    let two = dsse.replacen(&format!("[{one}]"), &format!("[{one},{one}]"), 1);
    let extra = dsse.replacen("{\"payload\":", "{\"note\":1,\"payload\":", 1);
    assert!(twice != dsse && two != dsse && extra != dsse);
    let keys = ["--key", "risk.pub.pem"];
    let cases: [(&str, &str); 10] = [
        ("the test result", &standard),
        ("an endorsement", &endorsed),
        ("both lines", &both),
        ("the bundle", &bundle),
        ("other white space", &spaced),
        ("a key twice", &twice),
        ("two signatures", &two),
        ("an unknown key", &extra),
        ("a deep document", &"[".repeat(1 << 20)),
        ("nothing", ""),
    ];
    for (what, text) in cases {
        sandbox.write(&format!("{REPORT}/attestation.dsse.json"), text);
        let (code, said) = holds(&sandbox, &keys);
        assert_eq!(code, 1, "{what}: {said}");
    }
    sandbox.write(&format!("{REPORT}/attestation.dsse.json"), &dsse);
    assert_eq!(holds(&sandbox, &keys).0, 0);
    // The report of a pass under the attestation of a block: the signature holds, the files do not.
    let passed = ["report.json", "report.md", "report.html", "SHA256SUMS"].map(|name| (name, read(name)));
    assert_eq!(audit(&sandbox, &["--set", "checks.effective-sample-size.min_n_eff=1500"]), 1);
    for (name, text) in passed {
        sandbox.write(&format!("{REPORT}/{name}"), text);
    }
    let (code, said) = holds(&sandbox, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("✗ FAILS  report.json") && said.contains("verdict block"), "{said}");
    // And the attestation of the pass under the second line of the block.
    sandbox.write(&format!("{REPORT}/attestation.dsse.json"), &dsse);
    let (code, said) = holds(&sandbox, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("✗ FAILS  attestation.intoto.jsonl"), "{said}");
}

/// A waiver that is broader than it had to be covers findings as well as any: it is signed with its expiry, which counts.
#[test]
fn a_broad_waiver_is_signed_and_no_pass_outlives_it() {
    let sandbox = telemetry();
    keygen(&sandbox, "team", "p256");
    sandbox.write(
        "policy.yaml",
        "schema: counterweight/policy/v1\nname: team\nversion: 1.0.0\nchecks:\n  cell-support: {min_rows: 500}\n  \
         waivers: {severity: note}\nwaivers:\n  - {check: cell-support, reason: r, owner: o, approver: a, ticket: t, \
         expires: 2027-01-31}\n",
    );
    sandbox.write("audit.yaml", TELEMETRY_AUDIT.replace("policy: standard", "policy: policy.yaml"));
    assert_eq!(audit(&sandbox, &[]), 0);
    let signed = payload(&envelopes(&sandbox)[0]);
    assert_eq!(signed["predicate"]["verdict"], "pass");
    assert_eq!(signed["predicate"]["waivers"][0]["check"], "cell-support");
    assert_eq!(signed["predicate"]["waivers"][0]["expires"], "2027-01-31");
    let (keys, target) = ([key(&sandbox, "team.pub.pem")], sandbox.path(REPORT));
    let on = |day: &str| {
        let now = format!("{day}T12:00:00Z").parse().unwrap();
        verify(&Request { now, require_pass: true, ..request(&target, &keys) })
    };
    assert_eq!(failures(&on("2027-01-31")), Vec::<&str>::new());
    assert_eq!(failures(&on("2027-02-01")), ["waiver cell-support"]);
}

/// The report folder signed anew by the team's own key, after `edit` has changed the record or its pages, and the payload.
fn forged(edit: impl Fn(&Sandbox), payload: impl Fn(String) -> String) -> Verification {
    let sandbox = signed("p256");
    let place = |name: &str| format!("{REPORT}/{name}");
    let before: Vec<String> =
        ["report.html", "report.json", "report.md"].map(|name| sha256(&sandbox.read(&place(name)))).into();
    edit(&sandbox);
    let mut sums = String::from_utf8(sandbox.read(&place("SHA256SUMS"))).unwrap();
    let after = ["report.html", "report.json", "report.md"].map(|name| sha256(&sandbox.read(&place(name))));
    let digests = |text: String| before.iter().zip(&after).fold(text, |text, (old, new)| text.replace(old, new));
    sums = digests(sums);
    sandbox.write(&place("SHA256SUMS"), &sums);
    let signer = Signer::Key(SigningKey::read(&sandbox.path("team.pem")).unwrap());
    let lines: Vec<Envelope> = envelopes(&sandbox)
        .iter()
        .map(|envelope| {
            let body = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
            let body = payload(digests(String::from_utf8(body).unwrap()));
            sign(&signer, "application/vnd.in-toto+json", body.as_bytes()).unwrap()
        })
        .collect();
    sandbox.write(&place("attestation.dsse.json"), lines[0].to_line());
    sandbox.write(&place("attestation.intoto.jsonl"), lines[0].to_line() + &lines[1].to_line());
    sandbox.write(&place("attestation.sigstore.json"), Bundle::new(&lines[0]).to_line());
    let (keys, target, inputs) = ([key(&sandbox, "team.pub.pem")], sandbox.path(REPORT), sandbox.path("."));
    verify(&Request { recompute: true, inputs: Some(&inputs), ..request(&target, &keys) })
}

/// Whoever has the key can sign anything; what contradicts itself does not hold all the same.
#[test]
fn a_record_that_contradicts_itself_or_its_pages_does_not_hold() {
    let replace = |name: &'static str, old: &'static str, new: &'static str| {
        move |sandbox: &Sandbox| {
            let name = format!("{REPORT}/{name}");
            let text = String::from_utf8(sandbox.read(&name)).unwrap();
            assert!(text.contains(old), "{name}: {old}");
            sandbox.write(&name, text.replacen(old, new, 1));
        }
    };
    let as_it_is = forged(|_| (), |payload| payload);
    assert_eq!(failures(&as_it_is), Vec::<&str>::new());
    // A verdict that is not the worst of the checks, an exit code that is not the gate's.
    let found = forged(replace("report.json", "\"verdict\": \"pass\"", "\"verdict\": \"diagnostic\""), |payload| {
        payload.replacen("{\"verdict\":\"pass\"", "{\"verdict\":\"diagnostic\"", 1).replacen(
            "\"result\":\"PASSED\"",
            "\"result\":\"WARNED\"",
            1,
        )
    });
    assert_eq!(failures(&found), ["statement", "recompute"]);
    let said = &found.lines.iter().find(|line| line.what == "statement").unwrap().detail;
    assert!(said.contains("contradicts itself"), "{said}");
    // A check that is waived, and by nothing.
    let waived = replace("report.json", "\"status\": \"pass\"", "\"status\": \"waived\"");
    let found = forged(waived, |payload| payload.replacen("\"status\":\"pass\"", "\"status\":\"waived\"", 1));
    assert_eq!(failures(&found), ["statement", "recompute"]);
    // Pages that say something else than the record.
    for name in ["report.html", "report.md"] {
        let found = forged(replace(name, "balanced-users", "unbalanced-users"), |payload| payload);
        assert_eq!(failures(&found), ["recompute"], "{name}");
        let said = &found.lines.iter().find(|line| line.what == "recompute").unwrap().detail;
        assert!(said.starts_with(name), "{said}");
    }
}

/// An audit as of a day that has not come judges waivers and ages by it.
#[test]
fn a_pass_as_of_a_day_that_has_not_come_is_none() {
    let sandbox = telemetry();
    keygen(&sandbox, "team", "p256");
    let day = |shift: i64| (Utc::now().date_naive() + Duration::days(shift)).to_string();
    for (shift, odd) in [(0, false), (1, false), (3, true), (300, true)] {
        let base = ["audit", "audit.yaml", "-q", "--sign", "team.pem", "--as-of", &day(shift)];
        assert_eq!(run(&sandbox, &base).0, 0);
        let (code, said) = holds(&sandbox, &[]);
        assert_eq!((code, said.contains("a day that had not come")), (0, odd), "{said}");
        for asked in [["--require", "pass"], ["--max-age", "1"]] {
            let (code, said) = holds(&sandbox, &asked);
            assert_eq!((code, said.contains("✗ FAILS  date")), (i32::from(odd), odd), "{said}");
        }
    }
}

#[test]
fn signed_bytes_are_written_over_nothing_else() {
    let sandbox = signed("p256");
    let before = sandbox.read("audit.yaml");
    let (code, said) = holds(&sandbox, &["--emit-pae", "audit.yaml"]);
    assert_eq!(code, 2, "{said}");
    assert_eq!(sandbox.read("audit.yaml"), before);
    for _ in 0..2 {
        assert_eq!(holds(&sandbox, &["--emit-pae", "pae.bin"]).0, 0);
    }
    assert!(sandbox.read("pae.bin").starts_with(b"DSSEv1 "));
    // The shipped policy's name is its name, whatever lies in the folder.
    sandbox.write("standard", "schema: counterweight/policy/v1\nname: standard\nversion: 1.0.0\nextends: strict\n");
    assert_eq!(holds(&sandbox, &["--policy", "standard"]).0, 0);
    assert_eq!(holds(&sandbox, &["--policy", "./standard"]).0, 1);
}

/// A subject's name never leads out of the folder that was given.
#[test]
fn names_with_dots_are_never_followed() {
    let sandbox = Sandbox::new();
    for folder in ["audit", "data"] {
        std::fs::create_dir(sandbox.path(folder)).unwrap();
    }
    sandbox.write_log("data/logs.parquet", &columns(&counterweight::simulate::example()));
    sandbox.write("audit/regime.yaml", TELEMETRY_REGIME);
    sandbox.write("audit/audit.yaml", TELEMETRY_AUDIT.replace("path: logs.parquet", "path: ../data/logs.parquet"));
    keygen(&sandbox, "team", "p256");
    let out = ["--out", "report", "--sign", "team.pem", "--as-of", AS_OF, "--quiet"];
    assert_eq!(run(&sandbox, &[&["audit", "audit/audit.yaml"], &out[..]].concat()).0, 0);
    let verify = |inputs: &str| run(&sandbox, &["verify", "report", "--key", "team.pub.pem", "--inputs", inputs]);
    let (code, said) = verify("audit");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("not in the --inputs folder"), "{said}");
    let (code, said) = verify("data");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("found as logs.parquet"), "{said}");
    // The same name with something else in it is not the log, wherever it lies.
    sandbox.write("audit/logs.parquet", "something else");
    let (code, said) = verify("audit");
    assert_eq!(code, 1, "{said}");
}

#[test]
fn keys_are_private_never_overwritten_and_signatures_repeat() {
    let sandbox = Sandbox::new();
    for algorithm in ["p256", "ed25519"] {
        keygen(&sandbox, algorithm, algorithm);
        let pem = sandbox.read(&format!("{algorithm}.pem"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(sandbox.path(&format!("{algorithm}.pem"))).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let out = format!("{algorithm}.pem");
        assert_eq!(run(&sandbox, &["keygen", "--out", &out]).0, 2);
        std::fs::remove_file(sandbox.path(&out)).unwrap();
        assert_eq!(run(&sandbox, &["keygen", "--out", &out]).0, 2, "the public key is there still");
        assert!(!sandbox.path(&out).exists());
        let key = SigningKey::from_pem(str::from_utf8(&pem).unwrap(), Path::new("k")).unwrap();
        assert_eq!(key.verifying_key(), VerifyingKey::read(&sandbox.path(&format!("{algorithm}.pub.pem"))).unwrap());
        let signer = Signer::Key(key);
        assert_eq!(signer.sign(b"the same bytes").unwrap(), signer.sign(b"the same bytes").unwrap());
        assert_ne!(signer.sign(b"the same bytes").unwrap(), signer.sign(b"other bytes").unwrap());
    }
}

/// The DSSE specification's own example of PAE.
#[test]
fn pae_is_the_specifications() {
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    assert_eq!(pae("ü", b""), "DSSEv1 2 ü 0 ".as_bytes());
}

/// RFC 6979, appendix A.2.5: P-256 with SHA-256 over "sample" and "test", in DER.
#[test]
fn p256_signatures_are_those_of_rfc_6979() {
    let scalar = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    let der: Vec<u8> =
        [hex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420"), hex(scalar)].concat();
    let made = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", wrap(&STANDARD.encode(der)));
    let signer = Signer::Key(SigningKey::from_pem(&made, Path::new("rfc")).unwrap());
    let expected = [
        (
            "sample",
            "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            "test",
            "3045022100f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d383670220019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
        ),
    ];
    for (message, signature) in expected {
        assert_eq!(signer.sign(message.as_bytes()).unwrap(), hex(signature), "{message}");
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn wrap(text: &str) -> String {
    text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
}

/// Every byte of an envelope, each bit pattern that one changed bit gives: no changed envelope verifies.
#[test]
fn no_changed_byte_of_an_envelope_verifies() {
    for algorithm in [Algorithm::P256, Algorithm::Ed25519] {
        let key = SigningKey::generate(algorithm).unwrap();
        let keys = [key.verifying_key()];
        let line =
            sign(&Signer::Key(key), "application/vnd.in-toto+json", b"{\"a\": \"statement\"}").unwrap().to_line();
        let bytes = line.into_bytes();
        assert!(Envelope::from_line(&bytes).unwrap().verify(&keys).is_ok());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let verified = Envelope::from_line(&changed).is_ok_and(|envelope| {
                    envelope.verify(&keys).is_ok_and(|(payload, _)| {
                        payload == b"{\"a\": \"statement\"}" && envelope.payload_type == "application/vnd.in-toto+json"
                    })
                });
                assert!(!verified, "byte {at}, bit {bit}");
            }
        }
        for at in 0..bytes.len() {
            assert!(Envelope::from_line(&bytes[..at]).is_err(), "cut off at {at}");
        }
    }
}

/// Changes one byte of a file of a signed folder, verifies, and puts it back: the lines that fail.
fn with_a_changed_byte(sandbox: &Sandbox, keys: &[VerifyingKey], name: &str, at: usize, bit: u8) -> Vec<String> {
    let whole = sandbox.read(name);
    let mut changed = whole.clone();
    let at = at % changed.len();
    changed[at] ^= 1 << bit;
    sandbox.write(name, &changed);
    let (target, inputs) = (sandbox.path(REPORT), sandbox.path("."));
    let found = verify(&Request { inputs: Some(&inputs), ..request(&target, keys) });
    sandbox.write(name, &whole);
    assert!(!found.holds());
    failures(&found).into_iter().map(str::to_owned).collect()
}

#[test]
fn any_changed_byte_is_found_and_named() {
    let sandbox = signed("p256");
    keygen(&sandbox, "risk", "ed25519");
    assert_eq!(run(&sandbox, &["sign", REPORT, "--key", "risk.pem", "--role", "approver"]).0, 0);
    let keys = [key(&sandbox, "team.pub.pem"), key(&sandbox, "risk.pub.pem")];
    let endorsement = std::fs::read_dir(sandbox.path(REPORT))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with("endorsement."))
        .unwrap();
    let mut files: Vec<String> = FILES.iter().map(|name| format!("{REPORT}/{name}")).collect();
    files.extend([format!("{REPORT}/{endorsement}"), "logs.parquet".to_owned()]);
    let strategy = (0..files.len(), any::<prop::sample::Index>(), 0..8_u8);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&strategy, |(file, at, bit)| {
            let name = &files[file];
            let at = at.index(sandbox.read(name).len());
            let failed = with_a_changed_byte(&sandbox, &keys, name, at, bit);
            let base = name.rsplit('/').next().unwrap();
            let named =
                failed.iter().any(|what| what == base || (base == "attestation.dsse.json" && what == "signature"));
            prop_assert!(named, "{name} byte {at} bit {bit}: {failed:?}");
            Ok(())
        })
        .unwrap();
    let everything = sandbox.path(REPORT);
    assert!(verify(&request(&everything, &keys)).holds(), "put back, it verifies");
}

/// Whether openssl answers; says so where it does not.
fn openssl() -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: there is no openssl");
    }
    there
}

#[test]
fn openssl_verifies_both_kinds_of_signature_from_the_emitted_bytes() {
    if !openssl() {
        return;
    }
    for algorithm in ["p256", "ed25519"] {
        let sandbox = signed(algorithm);
        assert_eq!(holds(&sandbox, &["--emit-pae", "pae.bin"]).0, 0);
        let envelope = &envelopes(&sandbox)[0];
        sandbox.write("sig.bin", STANDARD.decode(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap());
        let openssl = |pae: &str| {
            let mut command = Command::new("openssl");
            command.current_dir(sandbox.path("."));
            match algorithm {
                "p256" => command.args(["dgst", "-sha256", "-verify", "team.pub.pem", "-signature", "sig.bin", pae]),
                _ => command.args([
                    "pkeyutl",
                    "-verify",
                    "-pubin",
                    "-inkey",
                    "team.pub.pem",
                    "-rawin",
                    "-in",
                    pae,
                    "-sigfile",
                    "sig.bin",
                ]),
            };
            command.output().unwrap().status.success()
        };
        assert!(openssl("pae.bin"), "{algorithm}");
        let mut changed = sandbox.read("pae.bin");
        *changed.last_mut().unwrap() ^= 1;
        sandbox.write("changed.bin", changed);
        assert!(!openssl("changed.bin"), "{algorithm}");
        // The fingerprint and the keyid are those that openssl gives.
        let der = Command::new("openssl")
            .current_dir(sandbox.path("."))
            .args(["pkey", "-pubin", "-in", "team.pub.pem", "-outform", "DER"])
            .output()
            .unwrap()
            .stdout;
        let own = key(&sandbox, "team.pub.pem");
        assert_eq!(own.fingerprint(), sha256(&der));
        assert_eq!(own.keyid(), STANDARD.encode(Sha256::digest(&der)));
    }
}

#[test]
fn a_signer_command_signs_in_place_of_a_key_file() {
    if !openssl() {
        return;
    }
    let sandbox = telemetry();
    for arguments in [
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "hardware.pem"][..],
        &["pkey", "-in", "hardware.pem", "-pubout", "-out", "hardware.pub.pem"],
    ] {
        let output = Command::new("openssl").current_dir(sandbox.path(".")).args(arguments).output().unwrap();
        assert!(output.status.success());
    }
    let signer = "openssl dgst -sha256 -sign hardware.pem";
    let (code, said) = run(
        &sandbox,
        &["audit", "audit.yaml", "--as-of", AS_OF, "--quiet", "--sign", "hardware.pub.pem", "--signer-cmd", signer],
    );
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(&sandbox, &["verify", REPORT, "--key", "hardware.pub.pem", "--inputs", "."]);
    assert_eq!(code, 0, "{said}");
    // openssl's own PKCS#8 is read as well.
    assert_eq!(run(&sandbox, &["sign", REPORT, "--key", "hardware.pem", "--role", "author"]).0, 0);
}

/// Python's securesystemslib and npm's @sigstore/verify, installed from their registries: on request only.
#[test]
fn other_libraries_verify_the_envelope_and_the_bundle() {
    if std::env::var_os("COUNTERWEIGHT_INTEROP").is_none() {
        eprintln!("skipped: COUNTERWEIGHT_INTEROP is not set; the script installs packages from PyPI and npm");
        return;
    }
    for algorithm in ["p256", "ed25519"] {
        let sandbox = signed(algorithm);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/verify.sh");
        let output = Command::new("sh")
            .arg(script)
            .args([sandbox.path(REPORT), sandbox.path("team.pub.pem"), sandbox.path("interop")])
            .output()
            .unwrap();
        let (stdout, stderr) = text(&output);
        eprintln!("{algorithm}: {stdout}");
        assert!(output.status.success(), "{stdout}{stderr}");
    }
}
