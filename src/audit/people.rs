//! The groups of the second scan into the frozen types of the record.

use crate::checks::Evidence;
use crate::declare::Role;
use crate::report::{AnnotatorRecord, ConcentrationRecord};
use crate::statistics::groups::Members;
use crate::statistics::{AnnotatorAnswers, compare};
use crate::weights::{top_share, total_weight, weight_share};

/// How many annotators the record lists.
const LISTED: usize = 20;

/// The shares of the total weight on few prompts, annotators and users.
pub(super) fn concentration(evidence: &Evidence) -> ConcentrationRecord {
    let of = |role| members(evidence, role).and_then(top_share);
    ConcentrationRecord {
        top_10_prompts: of(Role::Prompt),
        top_10_annotators: of(Role::Annotator),
        top_10_users: of(Role::User),
    }
}

/// The annotators with most of the weight.
pub(super) fn annotators(evidence: &Evidence) -> Vec<AnnotatorRecord> {
    let Some(members) = members(evidence, Role::Annotator) else { return Vec::new() };
    let compared = evidence.groups.and_then(|groups| groups.answers.as_deref()).map(compare).unwrap_or_default();
    let total = total_weight(members);
    let mut order: Vec<usize> = (0..members.values.len()).collect();
    let weight = |index: usize| members.values.get(index).map_or(0.0, |member| member.weight);
    order.sort_by(|a, b| weight(*b).total_cmp(&weight(*a)).then(a.cmp(b)));
    let listed = order.into_iter().take(LISTED);
    listed.filter_map(|index| annotator(members, &compared, index, total)).collect()
}

fn annotator(members: &Members, compared: &[AnnotatorAnswers], index: usize, total: f64) -> Option<AnnotatorRecord> {
    let member = members.values.get(index)?;
    let answers = compared.get(index).copied().unwrap_or_default();
    Some(AnnotatorRecord {
        ordinal: index as u64 + 1,
        name: members.names.get(index).cloned(),
        rows: member.rows,
        weight_share: weight_share(member, total),
        share_a: answers.a.map(|own| own.observed),
        share_a_others: answers.a.map(|own| own.others),
        share_undecided: answers.undecided.map(|own| own.observed),
        share_undecided_others: answers.undecided.map(|own| own.others),
    })
}

fn members<'a>(evidence: &Evidence<'a>, role: Role) -> Option<&'a Members> {
    evidence.groups?.roles.get(&role)?.as_ref()
}
