//! The direction of the arrows, the quarantine of dependencies, and that every check has its page and its limits.

use std::path::{Path, PathBuf};

/// A module imports only from modules that come later.
const ORDER: [&str; 20] = [
    "main",
    "cli",
    "commands",
    "attest",
    "audit",
    "report",
    "verdict",
    "checks",
    "change",
    "refit",
    "sensitivity",
    "labels",
    "estimate",
    "weights",
    "statistics",
    "simulate",
    "logs",
    "declare",
    "numeric",
    "",
];

/// Each dependency in its room.
const QUARANTINE: [(&str, &[&str]); 18] = [
    ("candle_core", &["refit"]),
    ("safetensors", &["refit"]),
    ("libm", &["simulate"]),
    ("clap", &["cli", "commands"]),
    ("clap_complete", &["cli", "commands"]),
    ("indicatif", &["commands"]),
    ("terminal_size", &["commands"]),
    ("serde_yaml", &["declare"]),
    ("polars", &["logs"]),
    ("parquet", &["logs"]),
    ("arrow", &["logs"]),
    ("minijinja", &["report"]),
    ("pulldown_cmark", &["report"]),
    ("p256", &["attest"]),
    ("ed25519_dalek", &["attest"]),
    ("base64", &["attest"]),
    ("getrandom", &["attest"]),
    ("nalgebra", &["numeric"]),
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Every source file with the module it belongs to and its text.
fn modules() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
            let module = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (module, path, text)
        })
        .filter(|(module, ..)| module != "lib")
        .collect()
}

fn rank(module: &str) -> usize {
    ORDER.iter().position(|name| *name == module).unwrap_or_else(|| panic!("{module} has no place in the order"))
}

/// The crate's own modules that a source file names: `crate::x`, `crate::{x, y}`, `counterweight::x`.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for prefix in ["crate::", "counterweight::"] {
        for (at, _) in text.match_indices(prefix) {
            let rest = &text[at + prefix.len()..];
            let names = match rest.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap_or("").split(',').collect(),
                None => vec![rest],
            };
            for name in names {
                let name: String = name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if ORDER.contains(&name.as_str()) && !name.is_empty() {
                    found.push(name);
                }
            }
        }
    }
    found
}

#[test]
fn modules_import_only_from_later_ones() {
    let mut arrows = 0;
    for (module, path, text) in modules() {
        for import in imports(&text).into_iter().filter(|import| *import != module) {
            arrows += 1;
            assert!(rank(&import) > rank(&module), "{} imports {import}, which comes before it", path.display());
        }
    }
    assert!(arrows > 30, "the test sees the imports: {arrows}");
}

#[test]
fn dependencies_stay_in_their_rooms() {
    for (dependency, rooms) in QUARANTINE {
        let used: Vec<String> = modules()
            .into_iter()
            .filter(|(_, _, text)| {
                [format!("{dependency}::"), format!("use {dependency};")].iter().any(|needle| {
                    text.match_indices(needle.as_str()).any(|(at, _)| {
                        let before = text[..at].chars().next_back();
                        // `logs::parquet::…` is our own module of that name.
                        before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
                    })
                })
            })
            .map(|(module, ..)| module)
            .collect();
        assert!(used.iter().all(|module| rooms.contains(&module.as_str())), "{dependency} is used in {used:?}");
    }
}

/// Every check of the checklist, the waivers' own included: id and page.
fn pages() -> Vec<(&'static str, &'static str)> {
    let (waivers, _, _, page) = counterweight::verdict::WAIVERS_CHECK;
    counterweight::checks::CHECKS.iter().map(|check| (check.id, check.page)).chain([(waivers, page)]).collect()
}

#[test]
fn every_check_has_a_page_with_exactly_the_sections() {
    for (id, page) in pages() {
        let mut fenced = false;
        let headings: Vec<&str> = page
            .lines()
            .filter(|line| {
                fenced ^= line.starts_with("```");
                !fenced && line.starts_with('#')
            })
            .collect();
        let sections =
            ["## What it measures", "## Why it matters", "## How it is computed", "## Remedy", "## References"];
        assert!(headings[0].starts_with("# "), "{id}");
        assert_eq!(headings[1..], sections, "{id}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks");
    let mut files: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let mut expected: Vec<String> = pages().iter().map(|(id, _)| format!("{id}.md")).collect();
    expected.sort();
    assert_eq!(files, expected, "docs/checks holds a page for each check and no other");
}

/// Every check has its entry in `standard`, and every limit there is named, with its default, on the check's page.
#[test]
fn every_check_has_its_limits_and_its_page_names_them() {
    let (_, policy) = counterweight::declare::shipped_policies()[0];
    let mut entries: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for line in policy.lines().skip_while(|line| *line != "checks:").skip(1) {
        if let Some(id) = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')) {
            entries.push((id, Vec::new()));
        } else if let Some(limit) = line.strip_prefix("    ").filter(|line| !line.starts_with('#')) {
            entries.last_mut().unwrap().1.push(limit.split_once(": ").unwrap());
        }
    }
    assert_eq!(
        entries.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        pages().iter().map(|(id, _)| *id).collect::<Vec<_>>()
    );
    for ((id, limits), (_, page)) in entries.into_iter().zip(pages()) {
        assert!(limits.iter().any(|(name, _)| *name == "severity"), "{id} has no severity");
        for (name, value) in limits {
            assert!(
                page.contains(&format!("`{name}: {value}`")),
                "docs/checks/{id}.md does not name `{name}: {value}`"
            );
        }
    }
}
