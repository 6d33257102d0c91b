//! Reading a world from a tree that has been checked against its shape: what needs two values to be judged.

use super::shape::MAX_ROWS;
use super::{
    Annotators, Component, Defect, Filter, Flaws, Generated, Generator, HiddenConfounder, Labels, LoggedPropensity,
    MechanismVersion, Responses, Selection, Tilt, Toward, UserType, WORLD_COVARIATES, World, WorldCandidate,
    WorldPairs,
};
use crate::declare::problem::{Findings, Span, listed, quoted};
use crate::declare::regime::{Target, check_sum, read_target, texts};
use crate::declare::shape::{self, suggestion};
use crate::declare::yaml::{Entry, Node};
use crate::declare::{Source, prose};
use chrono::NaiveDate;
use std::collections::BTreeMap;
use std::path::Path;

/// Unless the document says otherwise.
const DEFAULT_BETA: f64 = 0.5;
const DEFAULT_DAYS: u64 = 90;
const DEFAULT_STEP: f64 = 0.25;

/// `None` where a value is missing or malformed, which the check against the shape has reported.
pub(in crate::declare) fn read(
    source: &Source,
    folder: &Path,
    root: &Node,
    findings: &mut Findings<'_>,
) -> Option<World> {
    let cells = WORLD_COVARIATES.map(str::to_owned);
    let responses = root.get("responses").and_then(|entry| read_responses(&entry.node, findings));
    let user_types = read_user_types(root, responses.as_ref(), findings);
    let types: Vec<&str> = user_types.iter().map(|user_type| user_type.name.as_str()).collect();
    let mechanisms = read_mechanisms(root, &types, findings);
    let target = read_target(root, &cells, findings);
    let (start, days) = read_time(root)?;
    let candidates = read_candidates(root, findings);
    let labels = root.get("labels").map_or(Labels::default(), |entry| read_labels(&entry.node, findings));
    let rows = integer(root, "rows")?;
    if let Some(entry) = root.get("rows").filter(|_| rows > MAX_ROWS) {
        findings.add(entry.node.span, &format!("`rows` must be at most {MAX_ROWS}"), Some("have fewer".to_owned()));
    }
    let mut world = World {
        source: source.clone(),
        folder: folder.to_owned(),
        name: root.get("name")?.node.text()?.to_owned(),
        rows,
        seed: integer(root, "seed")?,
        start,
        days,
        confounding: number(root, "confounding").unwrap_or(1.0),
        labels,
        annotators: read_annotators(root),
        component_logged: flag(root, "component_logged"),
        target: BTreeMap::new(),
        pairs: match root.get("pairs").and_then(|entry| entry.node.text()) {
            Some("logged") => WorldPairs::Logged,
            _ => WorldPairs::Uniform,
        },
        reference: root.get("reference").map_or(Tilt::default(), |entry| read_tilt(&entry.node)),
        beta: number(root, "beta").unwrap_or(DEFAULT_BETA),
        flaws: Flaws::default(),
        defects: Vec::new(),
        responses: responses?,
        user_types,
        mechanisms,
        candidates,
    };
    read_defects(root, &mut world, findings);
    if let Target::Masses(masses) = target?.target {
        world.target = masses;
    }
    check_target(root, &world, findings);
    Some(world)
}

fn number(node: &Node, key: &str) -> Option<f64> {
    node.get(key)?.node.number()
}

fn integer(node: &Node, key: &str) -> Option<u64> {
    node.get(key)?.node.integer()
}

fn flag(node: &Node, key: &str) -> bool {
    node.get(key).and_then(|entry| entry.node.flag()).unwrap_or(false)
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key)?.node.text().map(str::to_owned)
}

fn read_time(root: &Node) -> Option<(NaiveDate, u32)> {
    let Some(entry) = root.get("time") else {
        return Some((NaiveDate::from_ymd_opt(2026, 1, 1)?, u32::try_from(DEFAULT_DAYS).ok()?));
    };
    let start = entry.node.get("start")?.node.text().and_then(shape::date)?;
    Some((start, u32::try_from(integer(&entry.node, "days")?).unwrap_or(u32::MAX)))
}

fn read_responses(node: &Node, findings: &mut Findings<'_>) -> Option<Responses> {
    if let Some(file) = node.get("file") {
        return Some(Responses::File(file.node.text()?.to_owned()));
    }
    let entry = node.get("generated")?;
    let own = &entry.node;
    let generators = own.get("generators")?;
    if generators.node.entries().len() < 2 {
        let help = "a comparison needs two responses; name another generator".to_owned();
        findings.add(generators.span, "there is only one generator", Some(help));
    }
    let generator = |entry: &Entry| Generator {
        name: entry.key.clone(),
        base: number(&entry.node, "base").unwrap_or(0.0),
        attribute: number(&entry.node, "attribute").unwrap_or(0.0),
    };
    let noise = |key: &str| own.get("noise").and_then(|entry| integer(&entry.node, key)).unwrap_or(0);
    Some(Responses::Generated(Generated {
        seed: integer(own, "seed")?,
        domains: texts(&own.get("domains")?.node, "domain", findings)?,
        prompts_per_domain: integer(own, "prompts_per_domain")?,
        generators: generators.node.entries().iter().map(generator).collect(),
        step: number(own, "step").unwrap_or(DEFAULT_STEP),
        base_noise: noise("base"),
        attribute_noise: noise("attribute"),
    }))
}

fn read_user_types(root: &Node, responses: Option<&Responses>, findings: &mut Findings<'_>) -> Vec<UserType> {
    let Some(types) = root.get("user_types") else { return Vec::new() };
    let domains = match responses {
        Some(Responses::Generated(generated)) => Some(&generated.domains),
        _ => None,
    };
    let mut all = Vec::new();
    for entry in types.node.entries() {
        let Some(asks) = entry.node.get("asks") else { continue };
        for named in asks.node.entries() {
            if let Some(domains) = domains.filter(|domains| !domains.contains(&named.key)) {
                add_unknown("domain", &named.key, named.span, domains.iter().map(String::as_str), findings);
            }
        }
        let asks_of = |named: &Entry| -> Option<(String, f64)> { Some((named.key.clone(), named.node.number()?)) };
        let shares: BTreeMap<String, f64> = asks.node.entries().iter().filter_map(asks_of).collect();
        check_sum(shares.values().copied(), asks.span, &format!("`asks` of {}", quoted(&entry.key)), findings);
        all.push(UserType {
            name: entry.key.clone(),
            share: number(&entry.node, "share").unwrap_or(0.0),
            asks: shares,
            alpha: number(&entry.node, "alpha").unwrap_or(0.0),
        });
    }
    check_sum(all.iter().map(|user_type| user_type.share), types.span, "`user_types`", findings);
    all
}

fn add_unknown<'n>(
    noun: &str,
    given: &str,
    at: Span,
    known: impl Iterator<Item = &'n str> + Clone,
    findings: &mut Findings<'_>,
) {
    let allowed = format!("known: {}", listed(known.clone()));
    let message = format!("{} is not a {noun} of this world", quoted(given));
    findings.add(at, &message, Some(suggestion(given, known, &allowed)));
}

/// A number for every user type: one for all, or one for each.
fn by_type(node: &Node, key: &str, types: &[&str], default: f64, findings: &mut Findings<'_>) -> Vec<f64> {
    let Some(entry) = node.get(key) else { return vec![default; types.len()] };
    if let Some(one) = entry.node.number() {
        return vec![one; types.len()];
    }
    for named in entry.node.entries().iter().filter(|named| !types.contains(&named.key.as_str())) {
        add_unknown("user type", &named.key, named.span, types.iter().copied(), findings);
    }
    let given = |name: &&str| number(&entry.node, name);
    let missing: Vec<&str> = types.iter().filter(|name| entry.node.get(name).is_none()).copied().collect();
    if !missing.is_empty() {
        let message = format!("{} says nothing for {}", quoted(key), listed(missing));
        findings.add(entry.span, &message, Some("give one number for all user types, or one for each".to_owned()));
    }
    types.iter().map(|name| given(name).unwrap_or(default)).collect()
}

fn read_mechanisms(root: &Node, types: &[&str], findings: &mut Findings<'_>) -> Vec<MechanismVersion> {
    let Some(entry) = root.get("mechanisms") else { return Vec::new() };
    let all: Vec<MechanismVersion> =
        entry.node.items().iter().filter_map(|node| read_mechanism(node, types, findings)).collect();
    check_sum(all.iter().map(|mechanism| mechanism.share), entry.span, "`mechanisms`", findings);
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for id in entry.node.items().iter().filter_map(|node| node.get("id")) {
        if let Some(line) = id.node.text().and_then(|text| ids.insert(text, id.node.span.line)) {
            let help = format!("it stands on line {line} already; give every version an id of its own");
            findings.add(id.node.span, "duplicate mechanism", Some(help));
        }
    }
    all
}

fn read_mechanism(node: &Node, types: &[&str], findings: &mut Findings<'_>) -> Option<MechanismVersion> {
    let mixture = node.get("mixture")?;
    let components: Vec<Component> =
        mixture.node.items().iter().filter_map(|item| read_component(item, types, findings)).collect();
    for (index, name) in types.iter().enumerate() {
        let shares = components.iter().filter_map(|component| component.share.get(index).copied());
        check_sum(shares, mixture.span, &format!("`mixture` for {}", quoted(name)), findings);
    }
    let filter = node.get("filter").map(|entry| &entry.node);
    Some(MechanismVersion {
        id: text(node, "id")?,
        description: node.get("description").and_then(|entry| prose(&entry.node)),
        share: number(node, "share").unwrap_or(1.0),
        mixture: components,
        filter: Filter {
            min_base: filter.and_then(|filter| number(filter, "min_base")),
            max_gap: filter.and_then(|filter| number(filter, "max_gap")),
        },
    })
}

fn read_component(node: &Node, types: &[&str], findings: &mut Findings<'_>) -> Option<Component> {
    let draw = text(node, "draw")?;
    if draw == "uniform" {
        for key in ["base", "attribute", "temperature"] {
            if let Some(entry) = node.get(key) {
                let help = "delete it, or write `draw: scored`".to_owned();
                findings.add(entry.span, &format!("{} means nothing for a uniform draw", quoted(key)), Some(help));
            }
        }
    }
    let base = by_type(node, "base", types, 0.0, findings);
    let attribute = by_type(node, "attribute", types, 0.0, findings);
    Some(Component {
        name: text(node, "name")?,
        share: by_type(node, "share", types, 1.0, findings),
        score: base.into_iter().zip(attribute).map(|(base, attribute)| Tilt { base, attribute }).collect(),
        temperature: number(node, "temperature").unwrap_or(1.0),
        replacement: flag(node, "replacement"),
    })
}

fn read_labels(node: &Node, findings: &mut Findings<'_>) -> Labels {
    let steps = node.get("drift").map_or(&[][..], |entry| entry.node.items());
    let drift: Vec<(f64, f64)> =
        steps.iter().filter_map(|step| Some((number(step, "from")?, number(step, "alpha")?))).collect();
    if let Some((index, _)) = drift.windows(2).enumerate().find(|(_, pair)| !matches!(pair, [a, b] if a.0 < b.0)) {
        let at = steps.get(index + 1).map_or(node.span, |step| step.span);
        findings.add(at, "`drift` is not in the order of time", Some("sort it by `from`, each once".to_owned()));
    }
    Labels {
        abstain: number(node, "abstain").unwrap_or(0.0),
        tie: number(node, "tie").unwrap_or(0.0),
        position: number(node, "position").unwrap_or(0.0),
        drift,
    }
}

fn read_annotators(root: &Node) -> Annotators {
    let Some(entry) = root.get("annotators") else { return Annotators { count: 1, ..Annotators::default() } };
    Annotators {
        count: integer(&entry.node, "count").unwrap_or(1),
        position: number(&entry.node, "position").unwrap_or(0.0),
        attribute: number(&entry.node, "attribute").unwrap_or(0.0),
    }
}

fn read_tilt(node: &Node) -> Tilt {
    Tilt { base: number(node, "base").unwrap_or(0.0), attribute: number(node, "attribute").unwrap_or(0.0) }
}

fn read_candidates(root: &Node, findings: &mut Findings<'_>) -> Vec<WorldCandidate> {
    let items = root.get("candidates").map_or(&[][..], |entry| entry.node.items());
    let mut names: BTreeMap<&str, usize> = BTreeMap::from([("ref", 0), ("oracle", 0)]);
    for name in items.iter().filter_map(|item| item.get("name")) {
        if let Some(line) = name.node.text().and_then(|text| names.insert(text, name.node.span.line)) {
            let help = match line {
                0 => "that name is taken for the reference and for the oracle policy; choose another".to_owned(),
                line => format!("it stands on line {line} already; give every candidate a name of its own"),
            };
            findings.add(name.node.span, "duplicate candidate", Some(help));
        }
    }
    let candidate = |node: &Node| {
        Some(WorldCandidate {
            name: text(node, "name")?,
            incumbent: text(node, "role")? == "incumbent",
            beta: number(node, "reward_beta"),
            tilt: read_tilt(node),
        })
    };
    items.iter().filter_map(candidate).collect()
}

/// Every level of the target has to exist, so that its quantities are known; it need not be in the log.
fn check_target(root: &Node, world: &World, findings: &mut Findings<'_>) {
    let Some(entry) = root.get("target") else { return };
    let types: Vec<&str> = world.user_types.iter().map(|user_type| user_type.name.as_str()).collect();
    let domains = match &world.responses {
        Responses::Generated(generated) => Some(&generated.domains),
        Responses::File(_) => None,
    };
    let mut unknown: Vec<(&str, &str)> = Vec::new();
    for levels in world.target.iter().filter(|(_, mass)| **mass > 0.0).map(|(levels, _)| levels) {
        if let Some(level) = levels.get(1).filter(|level| !types.contains(&level.as_str())) {
            unknown.push(("user type", level));
        }
        if let (Some(domains), Some(level)) = (domains, levels.first())
            && !domains.contains(level)
        {
            unknown.push(("domain", level));
        }
    }
    unknown.sort_unstable();
    unknown.dedup();
    for (noun, level) in unknown {
        match (noun, domains) {
            ("domain", Some(domains)) => {
                add_unknown(noun, level, entry.span, domains.iter().map(String::as_str), findings);
            }
            _ => add_unknown(noun, level, entry.span, types.iter().copied(), findings),
        }
    }
}

fn read_defects(root: &Node, world: &mut World, findings: &mut Findings<'_>) {
    let items = root.get("defects").map_or(&[][..], |entry| entry.node.items());
    for entry in items.iter().flat_map(|item| item.entries().first()) {
        let given =
            [("hidden_confounder", world.flaws.hidden.is_some()), ("selected_labels", world.flaws.selection.is_some())];
        if given.contains(&(entry.key.as_str(), true)) {
            let help = "a log has one of these at most; delete the other".to_owned();
            findings.add(entry.span, &format!("{} is there twice", quoted(&entry.key)), Some(help));
        }
        // Malformed values have been reported.
        let _ = read_defect(entry, world, findings);
    }
}

fn read_defect(entry: &Entry, world: &mut World, findings: &mut Findings<'_>) -> Option<()> {
    let node = &entry.node;
    if node.flag() == Some(false) {
        return None;
    }
    let share_of = |default| number(node, "share").unwrap_or(default);
    let cell = || Some(vec![text(node, "domain")?, text(node, "user_type")?]);
    let defect = match entry.key.as_str() {
        "missing_propensity" => Defect::MissingPropensity(node.number()?),
        "scaled_propensity" => Defect::ScaledPropensity { cell: cell()?, factor: number(node, "factor")? },
        "floored_propensity" => Defect::FlooredPropensity(node.number()?),
        "rounded_propensity" => Defect::RoundedPropensity(u32::try_from(node.integer()?).unwrap_or(u32::MAX)),
        "defaulted_propensity" => Defect::DefaultedPropensity(node.number()?),
        "claimed_uniform" => Defect::ClaimedUniform,
        "unsupported_cell" => Defect::ThinCell { cell: cell()?, keep: 0 },
        "noised_proxy" => Defect::NoisedProxy(node.number()?),
        "dropped_proxy" => Defect::NoColumn("user_type".to_owned()),
        "coarsened_proxy" => Defect::CoarsenedProxy(read_coarsening(node, world, findings)),
        "duplicated_rows" => Defect::DuplicatedRows { share: node.number()?, conflicting: false },
        "conflicting_rows" => Defect::DuplicatedRows { share: node.number()?, conflicting: true },
        "replicated_clusters" => Defect::ReplicatedClusters {
            times: usize::try_from(integer(node, "times")?).unwrap_or(usize::MAX),
            share: share_of(1.0),
        },
        "missing" => Defect::Missing { column: text(node, "column")?, share: share_of(0.0) },
        "relabelled" => Defect::Relabelled { label: text(node, "label")?, share: share_of(0.0) },
        "always_a" => Defect::AlwaysA(node.text()?.to_owned()),
        "busy_annotator" => Defect::BusyAnnotator { annotator: text(node, "annotator")?, share: share_of(0.0) },
        "changed_mechanism" => {
            let from = (number(node, "from")? * world.rows as f64).round();
            Defect::Mechanism { from_row: from as usize, id: text(node, "id")? }
        }
        "no_column" => Defect::NoColumn(node.text()?.to_owned()),
        _ => return read_flaw(entry, world, findings),
    };
    world.defects.push(defect);
    Some(())
}

fn read_flaw(entry: &Entry, world: &mut World, findings: &mut Findings<'_>) -> Option<()> {
    let node = &entry.node;
    match entry.key.as_str() {
        "reversed_propensity" => world.flaws.propensity = LoggedPropensity::Reversed,
        "propensity_before_filter" => world.flaws.propensity = LoggedPropensity::BeforeFilter,
        "selected_labels" => {
            let (gap, keep) = (number(node, "gap")?, number(node, "keep")?);
            world.flaws.selection = Some(Selection { gap, keep, logged: flag(node, "logged") });
        }
        "hidden_confounder" => {
            let toward = match node.get("toward")?.node.text()? {
                "a" => Toward::A,
                "attribute" => Toward::Attribute,
                name => Toward::Candidate(name.to_owned()),
            };
            if let (Toward::Candidate(name), Some(at)) = (&toward, node.get("toward")) {
                let names = world.candidates.iter().map(|candidate| candidate.name.as_str());
                if !names.clone().any(|known| known == name) {
                    let known = ["a", "attribute"].into_iter().chain(names);
                    add_unknown("candidate", name, at.node.span, known, findings);
                }
            }
            let share = number(node, "share").unwrap_or(1.0);
            world.flaws.hidden = Some(HiddenConfounder { gamma: number(node, "gamma")?, share, toward });
        }
        _ => {}
    }
    Some(())
}

fn read_coarsening(node: &Node, world: &World, findings: &mut Findings<'_>) -> BTreeMap<String, String> {
    for named in node.entries().iter().filter(|named| world.user_type(&named.key).is_none()) {
        let types = world.user_types.iter().map(|user_type| user_type.name.as_str());
        add_unknown("user type", &named.key, named.span, types, findings);
    }
    node.entries().iter().filter_map(|named| Some((named.key.clone(), named.node.text()?.to_owned()))).collect()
}
