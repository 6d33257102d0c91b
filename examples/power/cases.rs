//! What is drawn for which check: the clean logs, and what is planted in which sizes.

use counterweight::declare::{self, Component, HiddenConfounder, Tilt, Toward};
use counterweight::report::Status;
use counterweight::simulate::{Defect, Scene, Truth, World, scene};
use std::error::Error;
use std::path::Path;

/// Rows of a log where nothing else is said, and of one with candidates.
const ROWS: usize = 5_000;
const JUDGED_ROWS: usize = 2_000;
const CLEAN: &str = "clean";

/// One kind of log, drawn again and again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    /// As the table calls it.
    pub(crate) name: String,
    pub(crate) scene: Scene,
    pub(crate) rows: usize,
    pub(crate) plants: Vec<Plant>,
    pub(crate) regime: String,
    pub(crate) policy: String,
    pub(crate) audit: String,
    /// Whether candidates are declared, and their log-probabilities logged.
    pub(crate) candidates: bool,
}

/// What goes wrong with a log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plant {
    Defect(Defect),
    /// The first so many rows lack the candidates' log-probabilities.
    NoLogProbabilities(usize),
}

/// What is measured of a check.
#[derive(Debug, Clone)]
pub(crate) struct Study {
    pub(crate) check: &'static str,
    /// What the logs are, in a sentence or two.
    pub(crate) about: &'static str,
    /// What the page says of clean logs.
    pub(crate) claim: Option<Claim>,
    pub(crate) clean: Case,
    pub(crate) points: Vec<Case>,
    /// Why there is nothing to measure.
    pub(crate) without: Option<&'static str>,
}

/// What a page says of clean logs.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// These outcomes
    pub(crate) of: &'static [Status],
    /// have at most this rate.
    pub(crate) most: f64,
    pub(crate) words: &'static str,
}

impl Study {
    /// A study of clean logs with candidates.
    pub(crate) fn of(check: &'static str) -> Result<Study, Box<dyn Error>> {
        let about = "Logs of a confounded world with skewed weights (`examples/power/world.yaml`), nothing planted.";
        Ok(Study { about, ..Study::new(check, &clean()?) })
    }

    fn new(check: &'static str, clean: &Case) -> Study {
        Study { check, about: WORLD, claim: None, clean: clean.clone(), points: Vec::new(), without: None }
    }

    fn without(check: &'static str, reason: &'static str, base: &Case) -> Study {
        Study { without: Some(reason), ..Study::new(check, base) }
    }
}

const FAIL: &[Status] = &[Status::Fail];
const WARN: &[Status] = &[Status::Warn];
const PASS: &[Status] = &[Status::Pass];
const ALARM: &[Status] = &[Status::Warn, Status::Fail];

const NO_CHANCE: Claim = Claim { of: ALARM, most: 0.0, words: "none is warned about or fails; no chance is involved" };
const ONE_PERCENT: Claim = Claim { of: FAIL, most: 0.01, words: "at most 1 % fail" };
const WORLD: &str = "Logs of a confounded world with skewed weights (`examples/power/world.yaml`).";

fn world() -> Result<World, Box<dyn Error>> {
    Ok(declare::parse_world("world.yaml", include_str!("world.yaml"), Path::new(""))?)
}

/// The documents of a world's logs, the candidates left out.
fn case(name: impl Into<String>, scene: Scene) -> Case {
    let truth = scene.truth();
    let audit = scene.audit_yaml("logs.parquet");
    let plain = audit.split("reference:").next().unwrap_or_default().replace("  responses: responses.parquet\n", "");
    Case {
        name: name.into(),
        rows: ROWS,
        plants: Vec::new(),
        regime: scene.regime_yaml(&truth),
        policy: scene.policy_yaml(),
        audit: plain,
        candidates: false,
        scene,
    }
}

impl Case {
    /// With the world's candidates, and a slice that the regime monitors.
    fn with_candidates(self, slice: &str) -> Case {
        let audit = self.scene.audit_yaml("logs.parquet").replace("  responses: responses.parquet\n", "");
        let regime = format!("{}critical: [{{user_type: {slice}}}]\n", self.regime);
        Case { audit, regime, candidates: true, rows: JUDGED_ROWS, ..self }
    }

    /// With the file of all responses beside the log, and every policy's log-probabilities in it.
    fn with_responses(self) -> Case {
        let mut audit = self.scene.audit_yaml("logs.parquet");
        for policy in ["ref", "longer", "judge"] {
            let sides = format!("logp_a: \"{policy}_logp_a\", logp_b: \"{policy}_logp_b\"");
            audit = audit.replace(&sides, &format!("logp: {policy}_logp"));
        }
        Case { audit, ..self }
    }

    /// With a tilt that is fitted on the log, beside the incumbent.
    fn with_fit(self) -> Case {
        let mut audit = self.scene.audit_yaml("logs.parquet");
        audit =
            audit.replace("reference: {logp_a: \"ref_logp_a\", logp_b: \"ref_logp_b\"}", "reference: {logp: ref_logp}");
        audit.push_str(
            "  - {name: refit, role: challenger, fit: {model: tilt, objective: weighted, folds: 5, seed: 7}}\n",
        );
        Case { audit, candidates: true, rows: JUDGED_ROWS, ..self }
    }

    /// With a defect planted.
    fn with(&self, name: impl Into<String>, defect: Defect) -> Case {
        Case { name: name.into(), plants: vec![Plant::Defect(defect)], ..self.clone() }
    }

    fn rows(&self, rows: usize) -> Case {
        Case { rows, ..self.clone() }
    }
}

/// Clean logs with candidates, of which the challenger is the better under the target and in the slice.
fn clean() -> Result<Case, Box<dyn Error>> {
    Ok(case(CLEAN, scene(&world()?)?).with_candidates("concise"))
}

fn cell(domain: &str, user_type: &str) -> Vec<String> {
    vec![domain.to_owned(), user_type.to_owned()]
}

/// The world with what thorough users make of s_attr set so that something true of it has a value; it falls as that grows.
fn tuned(world: &World, of: &dyn Fn(&Truth) -> f64, value: f64) -> Result<Scene, Box<dyn Error>> {
    let (mut low, mut high) = (-2.0_f64, 20.0_f64);
    let with = |alpha: f64| -> Result<Scene, Box<dyn Error>> {
        let mut world = world.clone();
        world.user_types.iter_mut().filter(|own| own.name == "thorough").for_each(|own| own.alpha = alpha);
        Ok(scene(&world)?)
    };
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if of(&with(middle)?.truth()) > value { low = middle } else { high = middle }
    }
    with(f64::midpoint(low, high))
}

/// By how much the challenger is better under the target.
fn lead(truth: &Truth) -> f64 {
    let accuracy = |name: &str| truth.policy(name).map_or(f64::NAN, |own| own.target_accuracy);
    accuracy("judge") - accuracy("longer")
}

/// By how much it is better among thorough users.
fn lead_in_slice(truth: &Truth) -> f64 {
    let accuracy = |name: &str| {
        let policy = truth.policy(name)?;
        let own = policy.target_by_cell.iter().filter(|(cell, _)| cell.get(1).is_some_and(|level| level == "thorough"));
        let mut sums = (0.0, 0.0);
        for (cell, value) in own {
            let mass = truth.cells.get(cell)?.p_target;
            sums = (sums.0 + mass * value, sums.1 + mass);
        }
        Some(sums.0 / sums.1)
    };
    accuracy("judge").zip(accuracy("longer")).map_or(f64::NAN, |(judge, longer)| judge - longer)
}

/// `+0.05`.
fn signed(value: f64) -> String {
    format!("{value:+}")
}

/// Everything that is measured.
pub(crate) fn studies() -> Result<Vec<Study>, Box<dyn Error>> {
    let base = case(CLEAN, scene(&world()?)?);
    let mut all = of_declarations(&base);
    all.extend(of_columns(&base));
    all.extend(of_propensities(&base)?);
    all.extend(of_people(&base)?);
    all.extend(of_overlap(&base));
    all.extend(of_candidates()?);
    all.extend(of_labels()?);
    all.extend(of_fits()?);
    Ok(all)
}

fn of_declarations(base: &Case) -> Vec<Study> {
    vec![
        Study::without(
            "regime-declaration",
            "It reads the declaration alone: no log, and so no rate. Each of its rules is tested by an example.",
            base,
        ),
        Study::without(
            "change-management",
            "It compares two declarations and two reports by rules, without a test: there is no rate. Each rule is tested by an \
             example.",
            base,
        ),
        Study::without(
            "protocol-deviation",
            "It compares documents with what was signed, value by value: there is no rate. Each rule is tested by an example.",
            base,
        ),
        Study::without("waivers", "It reads dates and names of a policy: no log, and so no rate.", base),
    ]
}

fn of_columns(base: &Case) -> Vec<Study> {
    let study = |check, points: Vec<Case>| Study { claim: Some(NO_CHANCE), points, ..Study::new(check, base) };
    let no_column = |name: &str| base.with(format!("nobody logs `{name}`"), Defect::NoColumn(name.to_owned()));
    vec![
        study(
            "required-fields",
            vec![
                base.with("response a missing on 1 row", Defect::MissingResponse(1)),
                base.with("response a missing on 50 rows", Defect::MissingResponse(50)),
                no_column("annotator_id"),
            ],
        ),
        study(
            "propensity-completeness",
            vec![
                base.with("propensity missing on 1 row", Defect::MissingPropensity(0.0002)),
                base.with("propensity missing on 1 %", Defect::MissingPropensity(0.01)),
                base.with("propensity zero on 1 row", Defect::ZeroPropensity(0.0002)),
                base.with("propensity above 1 on 1 row", Defect::PropensityAboveOne(0.0002)),
            ],
        ),
        study(
            "covariate-completeness",
            vec![
                base.with("user type missing on 1 row", Defect::MissingCovariate(1)),
                base.with("user type missing on 50 rows", Defect::MissingCovariate(50)),
            ],
        ),
        study(
            "mechanism-provenance",
            vec![
                base.with("another mechanism on the last row", other_mechanism(4_999)),
                base.with("another mechanism on the last 10 %", other_mechanism(4_500)),
                base.with("mechanism missing on 1 row", Defect::MissingMechanism(1)),
            ],
        ),
        study(
            "label-integrity",
            vec![
                base.with("label missing on 1 row", Defect::MissingLabel(1)),
                base.with("unknown label on 1 row", Defect::UnknownLabel(1)),
                base.with("1 row is there twice", Defect::IdenticalDuplicates(1)),
                base.with("1 row is there twice, with the other label", Defect::ConflictingDuplicates(1)),
                base.with("5 % more abstentions", Defect::Abstentions(0.05)),
                base.with("9 % more abstentions", Defect::Abstentions(0.09)),
                base.with("15 % more abstentions", Defect::Abstentions(0.15)),
            ],
        ),
    ]
}

fn other_mechanism(from_row: usize) -> Defect {
    Defect::Mechanism { from_row, id: "pair-sampler@1.5.0".to_owned() }
}

fn of_propensities(base: &Case) -> Result<Vec<Study>, Box<dyn Error>> {
    let scaled = |factor: f64| Defect::ScaledPropensity { cell: cell("koala", "concise"), factor };
    let mut calibration = Vec::new();
    for rows in [2_000, ROWS, 20_000] {
        for factor in [0.7, 0.9, 0.95, 1.05, 1.1, 1.3] {
            calibration.push(base.rows(rows).with(format!("g_O of one cell times {factor}"), scaled(factor)));
        }
    }
    for floor in [0.02, 0.03, 0.05] {
        calibration.push(base.with(format!("g_O floored at {floor}"), Defect::FlooredPropensity(floor)));
    }
    let claimed = |rows| base.rows(rows).with("g_O claimed to be uniform", Defect::ClaimedUniform);
    let low = |factor: f64| {
        base.with(
            format!("g_O of every 50th row of the last month over {factor}"),
            Defect::LowFloor { from_row: 3_400, factor },
        )
    };
    Ok(vec![
        Study {
            about: "Logs of a confounded world with skewed weights (`examples/power/world.yaml`); the cell (koala, concise) has \
                    6 % of the rows.",
            claim: Some(ONE_PERCENT),
            points: calibration,
            ..Study::new("propensity-calibration", base)
        },
        Study {
            about: WORLD,
            claim: Some(ONE_PERCENT),
            points: [250, 500, 1_000, ROWS].map(claimed).to_vec(),
            ..Study::new("generator-balance", base)
        },
        Study {
            about: "Logs of a confounded world with skewed weights (`examples/power/world.yaml`) over three months. The page claims \
                    no rate: the smallest propensity of a month is a matter of chance.",
            points: [1.5, 2.0, 4.0, 10.0].map(low).to_vec(),
            ..Study::new("logging-overlap", base)
        },
    ])
}

fn of_people(base: &Case) -> Result<Vec<Study>, Box<dyn Error>> {
    let always = |rows| base.rows(rows).with("one of 24 annotators always answers a", always_a());
    let busy = |share: f64| {
        let defect = Defect::BusyAnnotator { annotator: "annotator-07".to_owned(), share };
        base.with(format!("one annotator labelled {share} more of the rows"), defect)
    };
    let mut uniform = world()?;
    let mechanism = uniform.mechanisms.first_mut().ok_or("the world has no mechanism")?;
    let all = Component {
        name: "all".to_owned(),
        share: vec![1.0; 2],
        score: vec![Tilt::default(); 2],
        temperature: 1.0,
        replacement: false,
    };
    mechanism.mixture = vec![all];
    let even = case("clean, every pair as often in either order", scene(&uniform)?);
    let side = |share: f64| even.with(format!("a preferred for its side on {share} of the rows"), Defect::SideA(share));
    let lost = base.with("clean, 5 % of the labels lost at random", Defect::MissingLabel(250));
    let lost_in = |every: usize| {
        let mut plants = lost.plants.clone();
        plants.push(Plant::Defect(Defect::UnlabelledCell { cell: cell("oasst", "concise"), every }));
        Case { name: format!("one label in {every} of one cell lost as well"), plants, ..lost.clone() }
    };
    let masses = {
        let truth = base.scene.truth();
        let table: Vec<String> = truth
            .cells
            .iter()
            .map(|(cell, own)| {
                format!("    - {{domain: {}, user_type: {}, mass: {}}}", cell[0], cell[1], own.p_observed)
            })
            .collect();
        let observed = format!("observed:\n  table:\n{}\n", table.join("\n"));
        Case {
            name: "clean, p_O declared as it is".to_owned(),
            regime: base.regime.replace("observed: empirical\n", &observed),
            ..base.clone()
        }
    };
    let thin = |keep: usize| {
        let defect = Defect::ThinCell { cell: cell("oasst", "concise"), keep };
        masses.with(format!("{keep} rows left of a cell of about 200"), defect)
    };
    Ok(vec![
        Study {
            about: "Logs of a confounded world (`examples/power/world.yaml`) whose 24 annotators differ a little, as people do.",
            claim: Some(ONE_PERCENT),
            points: [1_000, 2_000, ROWS].map(always).into_iter().chain([0.15, 0.25, 0.5].map(busy)).collect(),
            ..Study::new("annotator-integrity", base)
        },
        Study {
            about: "Logs of a confounded world (`examples/power/world.yaml`) whose pairs are drawn uniformly.",
            claim: Some(Claim { of: WARN, most: 0.01, words: "at most 1 % are warned about" }),
            points: [0.05, 0.1, 0.2, 0.3].map(side).to_vec(),
            ..Study::new("position-bias", &even)
        },
        Study {
            about: "Logs of a confounded world (`examples/power/world.yaml`) that lack labels; the cell (oasst, concise) has 4 % \
                    of the rows.",
            claim: Some(Claim { of: ALARM, most: 0.01, words: "at most 1 % are warned about" }),
            points: [50, 20, 10, 5].map(lost_in).to_vec(),
            ..Study::new("labelling-selection", &lost)
        },
        Study {
            about: "Logs of a confounded world (`examples/power/world.yaml`) whose regime declares p_O; the cell (oasst, concise) \
                    has 4 % of the rows.",
            claim: Some(ONE_PERCENT),
            points: [180, 160, 140, 100].map(thin).to_vec(),
            ..Study::new("observed-masses", &masses)
        },
    ])
}

fn always_a() -> Defect {
    Defect::AlwaysA("annotator-07".to_owned())
}

fn of_overlap(base: &Case) -> Vec<Study> {
    let thin = |keep: usize| {
        let defect = Defect::ThinCell { cell: cell("oasst", "concise"), keep };
        let name =
            if keep == 1 { "1 row left of one cell".to_owned() } else { format!("{keep} rows left of one cell") };
        base.with(name, defect)
    };
    let outside = Defect::CellOutsideTarget { cell: cell("gaming", "expert"), rows: 1 };
    let dominant = |share: f64| base.with(format!("one row holds {share} of the weight"), Defect::DominantRow(share));
    let few = |share: f64| {
        let defect = Defect::FewPrompts { per_domain: 3, share };
        base.with(format!("{share} of the rows ask one of nine prompts"), defect)
    };
    let short = |rows: usize| Case { name: "shorter".to_owned(), ..base.rows(rows) };
    let study = |check, points: Vec<Case>| Study {
        about: "Logs of a confounded world with skewed weights (`examples/power/world.yaml`). The limits are no tests: the page \
                claims no rate, and other worlds have others.",
        points,
        ..Study::new(check, base)
    };
    vec![
        study(
            "cell-support",
            vec![thin(110), thin(99), thin(50), base.with("1 row of a cell outside the target", outside)],
        ),
        Study { claim: Some(NO_CHANCE), about: WORLD, ..study("unsupported-target-mass", vec![thin(1), thin(0)]) },
        study("weight-tails", [0.02, 0.06, 0.1, 0.3].map(dominant).to_vec()),
        study("weight-concentration", [0.3, 0.6, 0.95].map(few).to_vec()),
        study("effective-sample-size", [500, 1_000, 2_000, 3_000].map(short).to_vec()),
    ]
}

fn of_candidates() -> Result<Vec<Study>, Box<dyn Error>> {
    let world = world()?;
    let at = |value: f64| -> Result<Case, Box<dyn Error>> {
        let name = format!("lead {} under the target", signed(value));
        Ok(case(name, tuned(&world, &lead, value)?).with_candidates("concise"))
    };
    let all = |values: &[f64]| values.iter().map(|value| at(*value)).collect::<Result<Vec<Case>, _>>();
    let equal = Case { name: "no lead under the target".to_owned(), ..at(0.0)? };
    let in_slice = |value: f64| -> Result<Case, Box<dyn Error>> {
        let name = format!("lead {} in the slice", signed(value));
        Ok(case(name, tuned(&world, &lead_in_slice, value)?).with_candidates("thorough"))
    };
    let hidden = |gamma: f64| -> Result<Case, Box<dyn Error>> {
        let mut tilted = equal.scene.world.clone();
        tilted.flaws.hidden =
            Some(HiddenConfounder { gamma, share: 1.0, toward: Toward::Candidate("judge".to_owned()) });
        let name = format!("no lead, but hidden odds of {gamma} for the challenger");
        Ok(case(name, scene(&tilted)?).with_candidates("concise"))
    };
    let clean = clean()?;
    let missing = |rows: usize| Case {
        name: if rows == 1 {
            "log-probabilities missing on 1 row".to_owned()
        } else {
            format!("log-probabilities missing on {rows} rows")
        },
        plants: vec![Plant::NoLogProbabilities(rows)],
        ..clean.clone()
    };
    let agreeing = {
        let mut agreeing = world.clone();
        agreeing.confounding = 0.0;
        agreeing.user_types.iter_mut().for_each(|own| own.share = 0.5);
        case("clean, users as in the target", scene(&agreeing)?).with_candidates("concise")
    };
    let about = "Logs of a confounded world (`examples/power/world.yaml`), thorough users' taste set so that the challenger's lead \
                 under the target is what the table says. The log itself favours the incumbent, but for the largest leads.";
    let hiding = [equal.clone()].into_iter().chain(all(&[0.05, 0.1, 0.15])?);
    let lambda: Vec<Case> = hiding.clone().skip(1).collect();
    let gamma = [1.5, 3.0, 5.0].into_iter().map(hidden).collect::<Result<Vec<_>, _>>()?;
    let gamma: Vec<Case> = hiding.skip(1).chain(gamma).collect();
    Ok(vec![
        Study {
            about: WORLD,
            claim: Some(NO_CHANCE),
            points: vec![missing(1), missing(50)],
            ..Study::new("candidate-completeness", &clean)
        },
        Study {
            about,
            claim: Some(Claim { of: FAIL, most: 0.025, words: "at most 2.5 % fail" }),
            points: all(&[-0.02, -0.05, -0.1, 0.05, 0.1])?,
            ..Study::new("target-regression", &equal)
        },
        Study {
            about: "Logs of a confounded world (`examples/power/world.yaml`), thorough users' taste set so that the challenger's \
                    lead among them is what the table says; they are the slice.",
            claim: Some(Claim { of: FAIL, most: 0.05, words: "at most 5 % fail" }),
            points: [-0.02, -0.05, -0.1, 0.05, 0.1].into_iter().map(in_slice).collect::<Result<_, _>>()?,
            ..Study::new("slice-regression", &Case { name: "no lead in the slice".to_owned(), ..in_slice(0.0)? })
        },
        Study {
            about,
            claim: Some(Claim { of: FAIL, most: 0.025, words: "at most 2.5 % fail" }),
            points: all(&[0.02, 0.05, 0.1])?,
            ..Study::new("observational-reversal", &equal)
        },
        Study {
            about: "Logs of a world (`examples/power/world.yaml`); clean are those whose users are the target's, so that only pairs \
                    are weighed. The page claims no rate. In the others the log favours the incumbent, so that clipping turns the \
                    lead around.",
            points: all(&[0.02, 0.05, 0.1])?,
            ..Study::new("rank-stability", &agreeing)
        },
        Study {
            about: "Logs of a confounded world (`examples/power/world.yaml`), thorough users' taste set so that the challenger's lead \
                    under the target is what the table says. Here a pass is the error: it says that a lead stands. What a hidden \
                    confounder larger than `min_gamma` makes, the check passes: it cannot know it.",
            claim: Some(Claim { of: PASS, most: 0.05, words: "at most 5 % pass" }),
            points: gamma,
            ..Study::new("hidden-confounding", &equal)
        },
        Study {
            about: "Logs of a confounded world (`examples/power/world.yaml`), thorough users' taste set so that the challenger's lead \
                    under the target is what the table says. Here a pass is the error: it says that a lead stands.",
            claim: Some(Claim { of: PASS, most: 0.025, words: "at most 2.5 % pass" }),
            points: lambda,
            ..Study::new("weight-sensitivity", &equal)
        },
    ])
}

/// Checks of what labels depend on.
fn of_labels() -> Result<Vec<Study>, Box<dyn Error>> {
    let world = world()?;
    let made = |name: &str, edit: &dyn Fn(&mut World)| -> Result<Case, Box<dyn Error>> {
        let mut own = world.clone();
        edit(&mut own);
        Ok(case(name, scene(&own)?).with_candidates("concise"))
    };
    let clean = clean()?;
    let drifting = |change: f64| {
        made(&format!("alpha {} from the middle on", signed(change)), &|own| own.labels.drift = vec![(0.5, change)])
    };
    let alike = made("users of both types alike", &|own| own.user_types.iter_mut().for_each(|user| user.alpha = 1.0))?;
    let apart = |alpha: f64| {
        made(&format!("alpha of minus and plus {alpha}"), &|own| {
            own.user_types.iter_mut().zip([-alpha, alpha]).for_each(|(user, alpha)| user.alpha = alpha);
        })
    };
    let bent = |gamma: f64| {
        made(&format!("odds of {gamma} for the higher s_attr, however much it is higher"), &|own| {
            own.flaws.hidden = Some(HiddenConfounder { gamma, share: 1.0, toward: Toward::Attribute });
        })
    };
    let dial = |dial: f64| made(&format!("confounding of strength {dial}"), &|own| own.confounding = dial);
    // Each type asks for a domain of its own in this share of its prompts.
    let keen = |share: f64| {
        made(&format!("each type asks for its own domain in {:.0} % of its prompts", 100.0 * share), &|own| {
            let rest = [0.6 * (1.0 - share), 0.4 * (1.0 - share)];
            for (user, domains) in
                own.user_types.iter_mut().zip([["helpful", "koala", "oasst"], ["oasst", "koala", "helpful"]])
            {
                let asks = domains.map(str::to_owned).into_iter().zip([share, rest[0], rest[1]]);
                user.asks = asks.collect();
            }
        })
    };
    let listed = Case { name: "clean".to_owned(), ..clean.clone().with_responses() };
    let leading = |value: f64| -> Result<Case, Box<dyn Error>> {
        let name = format!("lead {} under the target", signed(value));
        Ok(case(name, tuned(&world, &lead, value)?).with_candidates("concise"))
    };
    Ok(vec![
        Study {
            about: "Logs of a confounded world (`examples/power/world.yaml`), thorough users' taste set so that the challenger's lead \
                    under the target is what the table says; the log favours the incumbent. The page claims no rate.",
            points: [0.02, 0.05].into_iter().map(leading).collect::<Result<_, _>>()?,
            ..Study::new("proxy-coarsening", &clean)
        },
        Study {
            about: "Logs of a world (`examples/power/world.yaml`) whose users' tastes are set. Here a pass is the error: it says that \
                    the user type matters to the labels.",
            claim: Some(Claim { of: PASS, most: 0.05, words: "at most 5 % pass" }),
            points: [0.1, 0.3, 0.6].into_iter().map(apart).collect::<Result<_, _>>()?,
            ..Study::new("proxy-informativeness", &alike)
        },
        Study {
            claim: Some(Claim { of: WARN, most: 0.01, words: "at most 1 % are warned about" }),
            points: [2.0, 4.0, 8.0].into_iter().map(bent).collect::<Result<_, _>>()?,
            ..Study::new("bradley-terry-fit", &clean)
        },
        Study {
            claim: Some(Claim { of: WARN, most: 0.01, words: "at most 1 % are warned about" }),
            points: [-0.5, -1.0, -2.0].into_iter().map(drifting).collect::<Result<_, _>>()?,
            ..Study::new("label-drift", &clean)
        },
        Study {
            about: "Logs of the world of `examples/power/world.yaml`, from independence to as written, and beyond: users who ask \
                    for one domain more and more. The limit is no test: the page claims no rate.",
            points: [dial(1.0), keen(0.55), keen(0.6), keen(0.8)].into_iter().collect::<Result<_, _>>()?,
            ..Study::new("confounding-strength", &Case { name: "clean, users ask alike".to_owned(), ..dial(0.0)? })
        },
        Study {
            about: "Logs of the world of `examples/power/world.yaml` with its 600 responses listed. The limits are no tests: the page \
                    claims no rate.",
            points: [100, 300, 1_000].map(|rows| Case { name: "shorter".to_owned(), ..listed.rows(rows) }).to_vec(),
            ..Study::new("candidate-support", &listed)
        },
    ])
}

fn of_fits() -> Result<Vec<Study>, Box<dyn Error>> {
    let world = world()?;
    let at = |dial: f64, name: &str, rows: usize| -> Result<Case, Box<dyn Error>> {
        let mut own = world.clone();
        own.confounding = dial;
        // At 0 users are the target's, and only pairs are weighed.
        let share = 0.5 - 0.3 * dial;
        own.user_types.iter_mut().zip([share, 1.0 - share]).for_each(|(user, share)| user.share = share);
        Ok(case(name, scene(&own)?).with_fit().rows(rows))
    };
    let about = "Logs of the world of `examples/power/world.yaml`, a tilt over both scores fitted to each; strength 0 has the \
                 target's users, strength 1 is the world as written. The page claims no rate.";
    let clean = at(0.0, "clean, users as in the target", 2_000)?;
    let points = vec![
        at(0.25, "confounding of strength 0.25", 2_000)?,
        at(0.5, "confounding of strength 0.5", 2_000)?,
        at(1.0, "confounding of strength 1", 2_000)?,
    ];
    // Where the incumbent is about as good as what is fitted, caps decide.
    let close = |lead_of: f64, rows: usize| -> Result<Case, Box<dyn Error>> {
        let name = format!("an incumbent ahead of the scores' own policy by {lead_of}");
        Ok(case(name, tuned(&world, &lead, -lead_of)?).with_fit().rows(rows))
    };
    let near = [0.05, 0.1, 0.15].into_iter().map(|lead_of| close(lead_of, 2_000)).collect::<Result<Vec<_>, _>>()?;
    let short = [50, 100, 300].map(|rows| at(0.0, "clean, shorter", rows));
    let study = |check, points| Study { about, points, ..Study::new(check, &clean) };
    Ok(vec![
        study("refit-shift", points.clone()),
        study("frontier-stability", points.into_iter().chain(near).collect()),
        study("overfit-margin", short.into_iter().collect::<Result<_, _>>()?),
    ])
}
