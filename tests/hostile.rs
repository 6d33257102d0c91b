//! Hostile and mistaken input as a user meets it at the command: exit 2, an error that says what to do, and nothing written
//! or written over. What the readers themselves do is in `logs` and `declare`.

use crate::support::{Sandbox, text};
use std::io::Write as _;
use std::path::Path;

const HEADER: &str = "prompt_id,response_a,response_b,label,propensity,language\n";

const REGIME: &str = "\
schema: counterweight/regime/v1
name: both-alike
version: 1.0.0
effective: 2026-10-01
owner: tests
motivation: both languages alike
cells: [language]
target: {uniform: {language: [en, de]}}
";

/// A CSV log: eight sound rows and one more line.
fn csv(last: &str) -> String {
    let rows: String = (0..8).map(|i| format!("p{i},x{i},y{i},a,0.5,{}\n", ["en", "de"][i % 2])).collect();
    format!("{HEADER}{rows}{last}")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that look like nothing, the same every time.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..n).map(|_| next()).collect()
}

/// Exit 2, something of a remedy, nothing on standard output; the error.
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = sandbox.run(arguments);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stdout}{stderr}");
    assert_eq!(stdout, "", "{arguments:?}");
    assert!(stderr.starts_with("error: ") && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    stderr
}

#[test]
fn logs_that_cannot_be_read_say_what_to_do_and_leave_nothing_behind() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let pair = r#"{"chosen":"a","rejected":"b"}"#;
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(HEADER.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let cut = {
        let whole = gzip(csv("").as_bytes());
        whole[..60].to_vec()
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty.csv", vec![], "the file is empty (0 bytes)"),
        ("empty.json", vec![], "the file is empty (0 bytes)"),
        ("noise.parquet", noise(5_000), "not a readable Parquet file"),
        ("noise.csv", noise(5_000), "save it as UTF-8"),
        ("noise.jsonl.gz", noise(5_000), "is it gzip, as its name says, and whole?"),
        ("noise.csv.zst", noise(5_000), "is it Zstandard, as its name says, and whole?"),
        ("noise-within.jsonl.gz", gzip(&noise(5_000)), "UTF-8"),
        ("cut.csv.gz", cut, "is it gzip, as its name says, and whole?"),
        ("latin1.csv", [HEADER.as_bytes(), b"p,caf\xe9,y,a,0.5,en\n"].concat(), "save it as UTF-8"),
        ("latin1.jsonl", b"{\"chosen\":\"caf\xe9\",\"rejected\":\"b\"}\n".to_vec(), "save it as UTF-8"),
        ("utf16.csv", utf16.clone(), "save it as UTF-8"),
        ("utf16.jsonl", utf16, "save it as UTF-8"),
        ("nul.jsonl", b"{\"chosen\":\"a\0\",\"rejected\":\"b\"}".to_vec(), "line 1, byte"),
        ("short.csv", csv("p9,x,y\n").into_bytes(), "row 9: incorrect number of fields: expected 6 got 3"),
        ("long.csv", csv("p9,x,y,a,0.5,en,7\n").into_bytes(), "row 9: incorrect number of fields: expected 6 got 7"),
        ("quote.csv", csv("p9,\"x,y,a,0.5,en\n").into_bytes(), "quote fields that hold commas"),
        (
            "twice.csv",
            b"prompt_id,response_a,response_b,label,label\np,x,y,a,b\n".to_vec(),
            "two columns are called `label`",
        ),
        ("twice.jsonl", br#"{"chosen":"a","chosen":"c","rejected":"b"}"#.to_vec(), "`chosen` appears twice"),
        ("near.csv", b"promt_id,response_a,response_b,lable\np,x,y,a\n".to_vec(), "lable"),
        ("deep.jsonl", format!("{{\"chosen\":{deep},\"rejected\":\"b\"}}").into_bytes(), "recursion limit"),
        ("deep.json", format!("[{{\"chosen\":{deep},\"rejected\":\"b\"}}]").into_bytes(), "recursion limit"),
        ("object.json", format!("{{\n  \"data\": [{pair}]\n}}").into_bytes(), "a list of such objects"),
        ("numbers.json", b"[1, 2, 3]".to_vec(), "line 1: an item of the list is not an object"),
        ("cut.json", format!("[{pair},\n{{\"chosen\":\"a\"").into_bytes(), "line 2: the file ends within an item"),
        ("open.json", format!("[{pair}\n").into_bytes(), "the file ends before its list does"),
        ("no-comma.json", format!("[{pair}\n{pair}]").into_bytes(), "line 2: a comma is missing"),
        ("after.json", format!("[{pair}]\n{pair}").into_bytes(), "line 2: something follows the end of the list"),
        ("item.json", format!("[{pair},\n\n{{\"chosen\" \"a\"}}]").into_bytes(), "item 2 of the list, line 3"),
        ("empty-list.json", b"[]".to_vec(), "the log holds no rows"),
        ("blank.json", b" \n ".to_vec(), "the log holds no rows"),
        ("bom-alone.jsonl", b"\xef\xbb\xbf".to_vec(), "the log holds no rows"),
        ("half-bom.jsonl", b"\xef\xbb{}".to_vec(), "does not begin with JSON"),
        ("log.txt", csv("").into_bytes(), "log files end in"),
    ];
    let sandbox = Sandbox::new();
    for (file, bytes, says) in cases {
        sandbox.write(file, bytes);
        for command in ["inspect", "init"] {
            // A log under names of its own can be looked at.
            if command == "inspect" && file == "near.csv" {
                continue;
            }
            let stderr = refused(&sandbox, &[command, "-q", file]);
            let flat = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(says), "{file}: {stderr}");
        }
        assert!(!sandbox.path("audit.yaml").exists() && !sandbox.path("schemas").exists(), "{file}");
    }
}

#[test]
fn paths_that_lead_to_no_log_are_told_apart() {
    let sandbox = Sandbox::new();
    for folder in ["folder", "folder.csv"] {
        std::fs::create_dir(sandbox.path(folder)).unwrap();
    }
    sandbox.write("logs.csv", csv(""));
    #[cfg(unix)]
    for (target, link) in [("nowhere.csv", "dangling.csv"), ("loop.csv", "loop.csv")] {
        std::os::unix::fs::symlink(target, sandbox.path(link)).unwrap();
        assert!(refused(&sandbox, &["init", "-q", link]).contains("this symbolic link leads to nothing"));
    }
    for (path, says) in [
        ("folder", "the folder holds no log file"),
        ("folder.csv", "the folder holds no log file"),
        ("log.csv", "did you mean `logs.csv`?"),
        ("logs.csv/x", "there is no file, folder or match of a glob"),
        ("*.parquet", "no file matches"),
        ("[", "stands for a bracket in a name"),
        ("", "the log's path is empty"),
        ("/dev/null", "log files end in"),
    ] {
        let stderr = refused(&sandbox, &["init", "-q", path]);
        assert!(stderr.contains(says), "{path}: {stderr}");
    }
}

#[test]
fn a_link_to_a_log_a_byte_order_mark_and_carriage_returns_are_read() {
    let sandbox = Sandbox::new();
    sandbox.write("real.csv", format!("\u{feff}{}", csv("").replace('\n', "\r\n")));
    sandbox.write("list.json", "\u{feff} \r\n[{\"chosen\":\"a }\\\"] b\",\"rejected\":\"a ] c\"} ,\r\n {\"chosen\":\"d\",\"rejected\":\"e\"}\r\n]\r\n");
    #[cfg(unix)]
    std::os::unix::fs::symlink("real.csv", sandbox.path("link.csv")).unwrap();
    #[cfg(not(unix))]
    sandbox.write("link.csv", csv(""));
    for (log, rows) in [("link.csv", "8 rows"), ("list.json", "2 rows")] {
        let output = sandbox.run(&["init", "-q", log, "--out", &format!("of-{log}")]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output).1);
        assert!(text(&output).0.contains(rows), "{}", text(&output).0);
        let audited = sandbox.run(&["audit", "-q", &format!("of-{log}/audit.yaml")]);
        assert_eq!(audited.status.code(), Some(1), "{}", text(&audited).1);
    }
}

/// A line of 10 MB is a row like any other.
#[test]
fn a_row_of_ten_megabytes_is_read_in_every_text_format() {
    let sandbox = Sandbox::new();
    let long = "x".repeat(10_000_000);
    sandbox.write("long.csv", csv(&format!("p9,{long},y,a,0.5,en\n")));
    sandbox.write(
        "long.jsonl",
        format!("{{\"chosen\":\"{long}\",\"rejected\":\"b\"}}\n{{\"chosen\":\"1\",\"rejected\":\"2\"}}"),
    );
    sandbox.write(
        "long.json",
        format!("[{{\"chosen\":\"{long}\",\"rejected\":\"b\"}},\n{{\"chosen\":\"1\",\"rejected\":\"2\"}}]"),
    );
    for (log, rows) in [("long.csv", "9 rows"), ("long.jsonl", "2 rows"), ("long.json", "2 rows")] {
        let output = sandbox.run(&["inspect", "-q", log]);
        assert_eq!(output.status.code(), Some(0), "{log}: {}", text(&output).1);
        let stdout = text(&output).0;
        assert!(stdout.contains(rows), "{stdout}");
        assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{log}");
    }
}

/// Propensities that are none exclude their row under a named reason; text where a number belongs is exit 2.
#[test]
fn impossible_propensities_are_counted_and_words_are_refused() {
    let sandbox = Sandbox::new();
    let rows = ["NaN", "inf", "-inf", "1e999", "0", "-0.1", "1.5", "", "1e-320"];
    sandbox.write("log.csv", csv(&rows.map(|g| format!("p9,x,y,a,{g},en\n")).concat()));
    assert_eq!(sandbox.run(&["init", "-q", "log.csv"]).status.code(), Some(0));
    let report = sandbox.audit("audit.yaml").unwrap();
    let check = report.checks.iter().find(|check| check.id == "propensity-completeness").unwrap();
    assert_eq!(check.status, counterweight::report::Status::Fail);
    // `NaN` and nothing are missing; 1e-320 is a probability, the smallest of them.
    let valid = check.measures[0].value.unwrap();
    assert!((valid - 9.0 / 17.0).abs() < 1e-12, "{valid}");
    sandbox.write("log.csv", csv("p9,x,y,a,half,en\n"));
    let stderr = refused(&sandbox, &["audit", "-q", "audit.yaml"]);
    assert!(stderr.contains("row 9, column `propensity`: `half` is not a number"), "{stderr}");
}

#[test]
fn documents_that_cannot_be_read_say_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", REGIME);
    sandbox.write("logs.csv", csv(""));
    let audit = "schema: counterweight/audit/v1\nregime: regime.yaml\nlogs: {path: logs.csv}\n";
    for (name, document, says) in [
        ("empty", String::new(), "the document is empty"),
        ("bomb", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n".to_owned(), "anchors and aliases are not allowed"),
        ("tab", audit.replace("\nregime", "\n\tregime"), "indent with spaces"),
        ("twice", audit.replace("logs:", "regime: other.yaml\nlogs:"), "duplicate key `regime`"),
        ("typo", audit.replace("regime:", "regim:"), "did you mean `regime`?"),
        ("no path", audit.replace("logs.csv", "''"), "`path` has no value"),
        ("folder", audit.replace("regime.yaml", "."), "it is a folder"),
        ("deep", "[".repeat(5_000), "nested deeper than 64 levels"),
        ("policy", format!("{audit}policy: strictt\n"), "the shipped policies are"),
    ] {
        sandbox.write("audit.yaml", document);
        let stderr = refused(&sandbox, &["audit", "-q", "audit.yaml", "--out", "report"]);
        let flat = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(says), "{name}: {stderr}");
        assert!(!sandbox.path("report").exists(), "{name}");
    }
    // The log itself, where its document belongs, is what a first command often is.
    for command in [vec!["audit", "logs.csv"], vec!["statistics", "logs.csv", "--out", "s.parquet"]] {
        assert!(refused(&sandbox, &command).contains("`counterweight init logs.csv` drafts one"));
    }
    for command in [vec!["render", "logs.csv", "--out", "r"], vec!["diff", "logs.csv", "logs.csv"]] {
        refused(&sandbox, &command);
    }
    sandbox.write("not-text.json", noise(1_000));
    assert!(refused(&sandbox, &["render", "not-text.json", "--out", "r"]).contains("a record is the report.json"));
}

/// Every file below a folder and its content, links as such.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_symlink() {
            found.push((name, std::fs::read_link(&path).unwrap().display().to_string().into_bytes()));
        } else if path.is_dir() {
            found.push((name, Vec::new()));
            found.extend(tree(&path));
        } else {
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Where the answer cannot be put is known before the log is read, and nothing that was there is touched.
#[test]
fn places_that_cannot_be_written_are_refused_and_nothing_is_touched() {
    let sandbox = Sandbox::new();
    sandbox.write("regime.yaml", REGIME);
    sandbox.write("policy.yaml", "mine");
    sandbox.write("logs.csv", csv(""));
    sandbox.write("audit.yaml", "schema: counterweight/audit/v1\nregime: regime.yaml\nlogs: {path: logs.csv}\n");
    sandbox.write("file", "mine");
    std::fs::create_dir_all(sandbox.path("taken/report.json")).unwrap();
    std::fs::create_dir(sandbox.path("drafts")).unwrap();
    let mut places = vec!["file", "file/below", "logs.csv"];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/nonexistent/folder", sandbox.path("dangling")).unwrap();
        std::os::unix::fs::symlink("/nonexistent", sandbox.path("drafts/audit.yaml")).unwrap();
        places.push("dangling");
        let stderr = refused(&sandbox, &["init", "-q", "logs.csv", "--out", "drafts"]);
        assert!(stderr.contains("drafts/audit.yaml is already there: nothing is overwritten"), "{stderr}");
    }
    let before = tree(&sandbox.path("."));
    for place in places {
        for command in
            [vec!["audit", "-q", "audit.yaml", "--out", place], vec!["init", "-q", "logs.csv", "--out", place]]
        {
            let stderr = refused(&sandbox, &command);
            assert!(
                stderr.contains("name another folder with --out") || stderr.contains("cannot be"),
                "{command:?}: {stderr}"
            );
        }
    }
    refused(&sandbox, &["init", "-q", "logs.csv"]);
    let stderr = refused(&sandbox, &["statistics", "audit.yaml", "--out", "logs.csv"]);
    assert!(!stderr.contains("scanning"), "it is refused before the log is read: {stderr}");
    refused(&sandbox, &["audit", "-q", "audit.yaml", "--statistics", "logs.csv", "--out", "new"]);
    refused(&sandbox, &["keygen", "--out", "file"]);
    assert_eq!(tree(&sandbox.path(".")), before);
}

/// A log or an artefact that lies where the report goes, under a name that a report takes for its own, is not replaced by it.
#[test]
fn a_report_is_never_written_over_what_it_is_made_from() {
    let sandbox = crate::cli::telemetry();
    std::fs::create_dir(sandbox.path("out")).unwrap();
    std::fs::copy(sandbox.path("logs.parquet"), sandbox.path("out/weights.parquet")).unwrap();
    std::fs::copy(sandbox.path("logs.parquet"), sandbox.path("weights.parquet")).unwrap();
    let audit = |path: &str| crate::support::TELEMETRY_AUDIT.replace("path: logs.parquet", &format!("path: {path}"));
    sandbox.write("here.yaml", audit("weights.parquet"));
    sandbox.write("there.yaml", audit("out/weights.parquet"));
    sandbox.write("all.yaml", audit("out/*.parquet"));
    sandbox.write(
        "artifact.yaml",
        audit("logs.parquet")
            + "candidates:\n  - {name: new, role: challenger, logp_a: x, logp_b: y, artifact: out/refit-1.safetensors}\n\
               reference: {logp_a: x, logp_b: y}\n",
    );
    let before = tree(&sandbox.path("."));
    for command in [
        ["here.yaml", "--out", "."],
        ["there.yaml", "--out", "out"],
        ["there.yaml", "--out", "./out/../out"],
        ["all.yaml", "--out", "out"],
        ["audit.yaml", "--out", "out"],
    ] {
        let more: &[&str] = if command[0] == "audit.yaml" { &["--statistics", "out/report.json"] } else { &[] };
        let stderr = refused(&sandbox, &[&["audit", "-q"], &command[..], more].concat());
        assert!(stderr.contains("would replace it"), "{command:?}: {stderr}");
    }
    assert_eq!(tree(&sandbox.path(".")), before);
}

/// What a run that was killed leaves in the folder goes with the next one; runs at the same time do not mix.
#[test]
fn reports_that_are_written_at_once_do_not_mix_and_leave_nothing_behind() {
    let sandbox = crate::cli::telemetry();
    let out = sandbox.path("out");
    std::fs::create_dir(&out).unwrap();
    for name in [".report.json.123.partial", ".attestation.dsse.json.9.older", ".SHA256SUMS.77.partial"] {
        sandbox.write(&format!("out/{name}"), "half");
    }
    let others = [".mine.partial", ".report.json.12x.partial", "notes.older", ".notes.12.older"];
    others.iter().for_each(|name| sandbox.write(&format!("out/{name}"), "mine"));
    let gates = ["block", "diagnostic"];
    let runs: Vec<std::process::Child> = (0..6)
        .map(|run| {
            crate::support::command()
                .current_dir(sandbox.path("."))
                .args(["audit", "audit.yaml", "-q", "--as-of", crate::support::AS_OF, "--out", "out"])
                .args(["--fail-on", gates[run % 2]])
                .spawn()
                .unwrap()
        })
        .collect();
    for mut run in runs {
        assert_eq!(run.wait().unwrap().code(), Some(0));
    }
    let mut names: Vec<String> =
        std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut expected = [&others[..], &["SHA256SUMS", "report.html", "report.json", "report.md"]].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let sums = String::from_utf8(sandbox.read("out/SHA256SUMS")).unwrap();
    for line in sums.lines() {
        let (digest, name) = line.split_once("  ").unwrap();
        assert_eq!(counterweight::logs::digest(&out.join(name)).unwrap(), digest, "{name}");
    }
}
