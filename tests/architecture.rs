//! The direction of the arrows, the quarantine of dependencies, and that every check has its page and its limits.

use std::path::{Path, PathBuf};

/// A module imports only from modules that come later.
const ORDER: [&str; 18] = [
    "main",
    "cli",
    "commands",
    "attest",
    "audit",
    "report",
    "verdict",
    "checks",
    "refit",
    "sensitivity",
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
const QUARANTINE: [(&str, &[&str]); 9] = [
    ("clap", &["cli", "commands"]),
    ("clap_complete", &["cli", "commands"]),
    ("indicatif", &["commands"]),
    ("serde_yaml", &["declare"]),
    ("polars", &["logs"]),
    ("parquet", &["logs"]),
    ("arrow", &["logs"]),
    ("minijinja", &["report"]),
    ("pulldown_cmark", &["report"]),
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

#[test]
fn every_check_has_its_page_its_limits_and_its_place() {
    let standard = counterweight::declare::shipped_policies()[0].1;
    let checks = counterweight::checks::CHECKS.iter().map(|check| (check.id, check.page));
    let (waivers, _, _, page) = counterweight::verdict::WAIVERS_CHECK;
    let mut ids = Vec::new();
    for (id, page) in checks.chain([(waivers, page)]) {
        assert!(standard.contains(&format!("\n  {id}:")), "{id} is not in policies/standard.yaml");
        for section in
            ["# ", "## What it measures", "## Why it matters", "## How it is computed", "## Remedy", "## References"]
        {
            assert!(page.lines().any(|line| line.starts_with(section)), "docs/checks/{id}.md lacks `{section}`");
        }
        ids.push(format!("{id}.md"));
    }
    ids.sort();
    let mut pages: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    pages.sort();
    assert_eq!(pages, ids, "docs/checks holds a page for each check and no other");
}
