//! What a valid regime document lacks, as far as it can be told without a log; and the declarations that go before it.

use super::problem::Findings;
use super::regime::{Regime, Target};
use super::yaml::{self, Node};
use super::{Limit, Pairs, Problem, Slice, parse_policy, parse_regime, read_file, shipped_policies};
use chrono::NaiveDate;
use std::collections::BTreeMap;
use std::path::Path;

/// More files than a folder of declarations has.
const MAX_FILES: usize = 1000;

/// A regime document, looked at without any log.
#[derive(Debug, Clone, Default)]
pub struct Lint {
    /// The regime, unless the document is invalid.
    pub regime: Option<Regime>,
    /// Why it is invalid.
    pub problems: Vec<Problem>,
    /// What makes every audit against it fail.
    pub failures: Vec<Problem>,
    /// What an audit warns of, or a reader will miss.
    pub warnings: Vec<Problem>,
}

/// Looks at a regime document's text; `name` is what problems call it. `as_of` is the date that ages refer to, `others` are
/// further regimes, among which its predecessor is looked for.
pub fn lint_regime(name: &str, text: &str, as_of: NaiveDate, others: &[Regime]) -> Lint {
    let regime = match parse_regime(name, text) {
        Ok(regime) => regime,
        Err(problems) => return Lint { problems: problems.0, ..Lint::default() },
    };
    let mut unread = Findings::new(name, text);
    let Some(root) = yaml::parse(text, &mut unread) else { return Lint::default() };
    let (mut failures, mut warnings) = (Findings::new(name, text), Findings::new(name, text));
    in_force(&regime, &root, as_of, &mut failures, &mut warnings);
    masses(&regime, &root, &mut failures, &mut warnings);
    mechanisms(&regime, &root, &mut warnings);
    history(&regime, &root, others, &mut failures, &mut warnings);
    Lint { regime: Some(regime), problems: Vec::new(), failures: failures.finish(), warnings: warnings.finish() }
}

fn add(findings: &mut Findings<'_>, root: &Node, key: &str, message: &str, help: &str) {
    let span = root.get(key).map_or(super::problem::Span::START, |entry| entry.node.span);
    findings.add(span, message, Some(help.to_owned()));
}

/// What `regime-declaration` says of the document's date and state.
fn in_force(regime: &Regime, root: &Node, as_of: NaiveDate, failures: &mut Findings<'_>, warnings: &mut Findings<'_>) {
    if regime.draft {
        let help = "replace the drafted target by the population that you mean, fill in owner and motivation, and delete `draft: true`";
        add(failures, root, "draft", "a program drafted this, and nobody has declared the population yet", help);
    }
    let age = (as_of - regime.effective).num_days();
    if age < 0 {
        let message = format!("the regime takes effect {} days after {as_of}", -age);
        add(failures, root, "effective", &message, "audit as of a later date, or correct `effective`");
    }
    if let Some(limit) = max_age_days().filter(|limit| days(age) > *limit) {
        let message = format!("the regime has been in effect for {age} days, and `standard` warns after {limit}");
        add(warnings, root, "effective", &message, "review it, and move its version and `effective`");
    }
}

/// The limit of the shipped `standard` policy: no threshold stands in code.
fn max_age_days() -> Option<f64> {
    let [(name, text), _] = shipped_policies();
    let policy = parse_policy(name, text, Path::new(".")).ok()?;
    match policy.checks.get("regime-declaration")?.limits.get("max_age_days")? {
        Limit::Number(days) => Some(*days),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "days of a calendar")]
fn days(count: i64) -> f64 {
    count as f64
}

/// What can be said of the masses without a log.
fn masses(regime: &Regime, root: &Node, failures: &mut Findings<'_>, warnings: &mut Findings<'_>) {
    let Target::Masses(masses) = &regime.target else { return };
    let positive = || masses.iter().filter(|(_, mass)| **mass > 0.0);
    match positive().count() {
        0 => add(failures, root, "target", "no cell has target mass", "give some cell a mass above 0"),
        1 => add(
            warnings,
            root,
            "target",
            "one cell has all the mass: no group is told from another",
            "name covariates under `cells` that tell users or prompts apart, and declare how much each group counts",
        ),
        _ => {}
    }
    let items = root.get("critical").map_or(&[][..], |entry| entry.node.items());
    for (slice, node) in regime.critical.iter().zip(items) {
        if !positive().any(|(levels, _)| lies_in(slice, &regime.cells, levels)) {
            let help = "give it mass, or monitor another slice: nothing that is watched here can be found".to_owned();
            warnings.add(node.span, "this critical slice has no target mass", Some(help));
        }
    }
    if let super::Observed::Table(observed) = &regime.observed {
        let missing: Vec<String> = positive()
            .filter(|(levels, _)| observed.get(*levels).is_none_or(|mass| *mass <= 0.0))
            .map(|(levels, _)| levels.join(", "))
            .collect();
        if !missing.is_empty() {
            let names = super::problem::listed(missing.iter().map(String::as_str));
            let message = format!("cells with target mass have none in `observed`: {names}");
            add(
                warnings,
                root,
                "observed",
                &message,
                "by design no row is logged there, so that nothing is learnt about them",
            );
        }
    }
}

fn lies_in(slice: &Slice, covariates: &[String], levels: &[String]) -> bool {
    covariates.iter().zip(levels).all(|(name, level)| slice.get(name).is_none_or(|wanted| wanted == level))
}

fn mechanisms(regime: &Regime, root: &Node, warnings: &mut Findings<'_>) {
    if regime.mechanisms.is_empty() {
        let help =
            "declare under `mechanisms` how pairs are drawn and logged, each version under an id that the log carries";
        add(warnings, root, "mechanisms", "no pair-assignment mechanism is declared", help);
    }
    if regime.pairs == Pairs::Logged {
        return;
    }
    let items = root.get("mechanisms").map_or(&[][..], |entry| entry.node.items());
    for (mechanism, node) in regime.mechanisms.iter().zip(items).filter(|(own, _)| own.max_pair_ratio.is_none()) {
        let message = format!("{} has no `max_pair_ratio`", super::problem::quoted(&mechanism.id));
        let help = "without the bound on g_T/g_O that holds by design, propensities that are too large cannot be found";
        warnings.add(node.span, &message, Some(help.to_owned()));
    }
}

/// What the declarations beside it say.
fn history(regime: &Regime, root: &Node, others: &[Regime], failures: &mut Findings<'_>, warnings: &mut Findings<'_>) {
    let named = || others.iter().filter(|other| other.name == regime.name);
    for other in named().filter(|other| other.version == regime.version && other.fingerprint != regime.fingerprint) {
        let message = format!("{} declares {} {} with other content", other.source.name, other.name, other.version);
        add(failures, root, "version", &message, "a changed declaration needs a new version: move one of the two");
    }
    let Some(supersedes) = &regime.supersedes else {
        if let Some(other) = named().filter(|other| other.version < regime.version).max_by_key(|other| &other.version) {
            let message =
                format!("`supersedes` is missing, and {} declares version {}", other.source.name, other.version);
            let help = format!("say `supersedes: {}`, so that the history can be followed", other.version);
            add(warnings, root, "version", &message, &help);
        }
        return;
    };
    let Some(before) = named().find(|other| other.version == *supersedes) else { return };
    if before.effective >= regime.effective {
        let message = format!("{} takes effect no earlier, on {}", before.source.name, before.effective);
        add(warnings, root, "effective", &message, "a version takes effect after the one that it supersedes");
    }
    if before.motivation == regime.motivation {
        let message = format!("the motivation is still that of {} in {}", before.version, before.source.name);
        add(warnings, root, "motivation", &message, "say why the declaration changed");
    }
}

/// A step of a regime's history.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A declaration.
    Found(&'a Regime),
    /// A version that is superseded and that no document beside declares.
    Missing(&'a semver::Version),
}

impl Regime {
    /// The regime and what it supersedes, the latest first, as far as the declarations `others` go back.
    pub fn history<'a>(&'a self, others: &'a [Regime]) -> Vec<Step<'a>> {
        let mut steps = vec![Step::Found(self)];
        let mut last = self;
        // Versions go down at every step, so that this ends.
        while let Some(version) = last.supersedes.as_ref().filter(|version| **version < last.version) {
            let before = others.iter().find(|other| other.name == self.name && other.version == *version);
            match before {
                Some(before) => {
                    steps.push(Step::Found(before));
                    last = before;
                }
                None => {
                    steps.push(Step::Missing(version));
                    break;
                }
            }
        }
        steps
    }

    /// The masses of the levels of each covariate, summed over the cells; none of a target that depends on the log.
    pub fn shares(&self) -> BTreeMap<&str, BTreeMap<&str, f64>> {
        let mut shares: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
        let Target::Masses(masses) = &self.target else { return shares };
        for (levels, mass) in masses {
            for (covariate, level) in self.cells.iter().zip(levels) {
                *shares.entry(covariate).or_default().entry(level).or_default() += mass;
            }
        }
        shares
    }
}

/// The valid regime documents among the YAML files beside `path`, in the order of their names; `path` itself left out.
pub fn regimes_beside(path: &Path) -> Vec<Regime> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = path.file_name();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| Some(entry.file_name().as_os_str()) != own)
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.retain(|name| name.ends_with(".yaml") || name.ends_with(".yml"));
    names.sort();
    let read = |name: String| {
        let path = folder.join(&name);
        // A pipe would wait for whoever writes to it.
        let text = path.metadata().is_ok_and(|found| found.is_file()).then(|| read_file(&name, &path).ok()?.ok())??;
        parse_regime(&name, &text).ok()
    };
    names.into_iter().take(MAX_FILES).filter_map(read).collect()
}
