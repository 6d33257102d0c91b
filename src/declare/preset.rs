//! Presets: under which names other people's tools keep a comparison.
//!
//! A preset is names alone. Where a source keeps a comparison in another form (a preferred and a rejected text, two
//! conversations), the column is made of others while rows are decoded; such columns have names that begin with
//! [`MADE`], and `logs` makes them.

use super::audit::{LabelWords, Role};

/// How the names of columns begin that are made of others.
pub const MADE: &str = "derived:";
/// The prompt, made of the source's columns.
pub const MADE_PROMPT: &str = "derived:prompt";
/// Response a, made of the source's columns.
pub const MADE_RESPONSE_A: &str = "derived:response_a";
/// Response b, made of the source's columns.
pub const MADE_RESPONSE_B: &str = "derived:response_b";
/// The label, made of the source's columns.
pub const MADE_LABEL: &str = "derived:label";
/// A covariate that every row shares: the one cell of a log that has no covariates.
pub const WHOLE_LOG: &str = "whole_log";

/// The names under which a source keeps its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// `event_id`, `prompt_id`, `response_a`, … : see [`Role::canonical`].
    Canonical,
    /// TRL: `prompt`, `chosen`, `rejected`, as text or messages; without `prompt`, what the two begin with alike.
    Trl,
    /// Chatbot Arena: `model_a`, `model_b`, `winner`, two conversations or responses.
    Arena,
    /// OpenRLHF: `prompt`, `chosen`, `rejected`, `margin`.
    Openrlhf,
    /// LLaMA-Factory: `instruction` and `input`, or `conversations`, with `chosen` and `rejected`; or as the
    /// `dataset_info.json` beside the log says.
    Llamafactory,
    /// HelpSteer3: `context`, `response1`, `response2`, `overall_preference` from -3 to 3, above 0 for `response2`.
    Helpsteer3,
    /// UltraFeedback, binarised: `chosen`, `rejected`, `score_chosen`, `score_rejected`; equal scores are ties.
    Ultrafeedback,
}

impl Preset {
    /// Every preset, in the order of documentation.
    pub const ALL: [Preset; 7] = [
        Preset::Canonical,
        Preset::Trl,
        Preset::Arena,
        Preset::Openrlhf,
        Preset::Llamafactory,
        Preset::Helpsteer3,
        Preset::Ultrafeedback,
    ];

    /// The preset's name in audit documents.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Canonical => "canonical",
            Preset::Trl => "trl",
            Preset::Arena => "arena",
            Preset::Openrlhf => "openrlhf",
            Preset::Llamafactory => "llamafactory",
            Preset::Helpsteer3 => "helpsteer3",
            Preset::Ultrafeedback => "ultrafeedback",
        }
    }

    /// The preset with this name.
    pub fn from_name(name: &str) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// Whether the source says which response was shown as a. Where it keeps a preferred and a rejected response alone, it
    /// does not: the order that the audit gives them is a matter of hashes, and nothing may be read into it.
    pub fn side_is_known(self) -> bool {
        !self.keeps_chosen_and_rejected()
    }

    /// Whether the source keeps a preferred and a rejected response instead of a and b and a label.
    pub fn keeps_chosen_and_rejected(self) -> bool {
        matches!(self, Preset::Trl | Preset::Openrlhf | Preset::Llamafactory | Preset::Ultrafeedback)
    }

    /// The columns that stand for a role under this preset: the first that the log has is taken.
    pub fn columns(self, role: Role) -> Vec<&'static str> {
        let own: &[&str] = match (self, role) {
            (Preset::Canonical, _) => &[],
            (Preset::Arena, Role::Id) => &["question_id", "id"],
            (Preset::Arena, Role::Prompt) => &["prompt_id", MADE_PROMPT, "prompt"],
            (Preset::Arena, Role::ResponseA) => &[MADE_RESPONSE_A, "response_a"],
            (Preset::Arena, Role::ResponseB) => &[MADE_RESPONSE_B, "response_b"],
            (Preset::Arena, Role::Label) => &["winner", MADE_LABEL],
            (Preset::Arena, Role::GeneratorA) => &["model_a"],
            (Preset::Arena, Role::GeneratorB) => &["model_b"],
            (Preset::Arena, Role::Annotator) => &["judge"],
            (Preset::Arena, Role::Session) => &["evaluation_session_id"],
            (Preset::Arena, Role::Timestamp) => &["tstamp"],
            (Preset::Helpsteer3, Role::Prompt) => &[MADE_PROMPT],
            (Preset::Helpsteer3, Role::ResponseA) => &["response1"],
            (Preset::Helpsteer3, Role::ResponseB) => &["response2"],
            (Preset::Helpsteer3, Role::Label) => &["overall_preference"],
            (_, Role::Id) => &["id"],
            (Preset::Ultrafeedback, Role::Prompt) => &["prompt_id", MADE_PROMPT],
            (_, Role::Prompt) => &[MADE_PROMPT],
            (_, Role::ResponseA) => &[MADE_RESPONSE_A],
            (_, Role::ResponseB) => &[MADE_RESPONSE_B],
            (_, Role::Label) => &[MADE_LABEL],
            _ => &[],
        };
        // What the source keeps in its own form is not also looked for under the canonical name.
        let own_form = [Role::Prompt, Role::ResponseA, Role::ResponseB, Role::Label].contains(&role) && !own.is_empty();
        own.iter().copied().chain((!own_form).then(|| role.canonical())).collect()
    }

    /// The source's label words; `None` where the canonical ones hold.
    pub fn labels(self) -> Option<LabelWords> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Preset::Arena => Some(LabelWords {
                a: words(&["model_a"]),
                b: words(&["model_b"]),
                tie: words(&["tie", "tie (bothbad)", "both_bad"]),
                abstain: Vec::new(),
            }),
            Preset::Helpsteer3 => Some(LabelWords {
                a: words(&["-3", "-2", "-1"]),
                b: words(&["1", "2", "3"]),
                tie: words(&["0"]),
                abstain: Vec::new(),
            }),
            _ => None,
        }
    }

    /// The columns that hold the preferred and the rejected response, unless the audit document names others.
    pub fn chosen_and_rejected(self) -> Option<(&'static str, &'static str)> {
        self.keeps_chosen_and_rejected().then_some(("chosen", "rejected"))
    }
}
