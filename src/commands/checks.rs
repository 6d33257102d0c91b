//! `counterweight checks` and `counterweight explain`.

use super::{Failure, Format, print};
use counterweight::checks::CHECKS;
use counterweight::verdict::WAIVERS_CHECK;

/// Every check: id, title, source, page.
fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)> {
    CHECKS.iter().map(|check| (check.id, check.title, check.source, check.page)).chain([WAIVERS_CHECK])
}

/// Lists the checks.
pub(crate) fn list(format: Format) -> Result<u8, Failure> {
    match format {
        Format::Text => {
            let width = all().map(|(id, ..)| id.len()).max().unwrap_or(0);
            let lines: String = all().map(|(id, title, ..)| format!("{id:width$}  {title}\n")).collect();
            print(&format!("{lines}\n`counterweight explain CHECK` shows a check's manual page.\n"))?;
        }
        Format::Json => {
            let list: Vec<_> = all()
                .map(|(id, title, source, _)| serde_json::json!({"id": id, "title": title, "source": source}))
                .collect();
            print(&format!("{:#}\n", serde_json::Value::Array(list)))?;
        }
    }
    Ok(0)
}

/// Shows the manual pages of checks, in the order in which they are asked for.
pub(crate) fn explain(wanted: &[String]) -> Result<u8, Failure> {
    let mut pages = Vec::new();
    let mut problems = Vec::new();
    for wanted in wanted {
        match all().find(|(id, ..)| id == wanted) {
            Some((.., page)) => pages.push(page),
            None => problems.push(unknown(wanted)),
        }
    }
    if !problems.is_empty() {
        return Err(Failure(problems.join("\n\n")));
    }
    print(&pages.join("\n"))?;
    Ok(0)
}

fn unknown(wanted: &str) -> String {
    let nearest = all().map(|(id, ..)| id).max_by(|a, b| similarity(a, wanted).total_cmp(&similarity(b, wanted)));
    let guess =
        nearest.filter(|id| similarity(id, wanted) > 0.6).map_or(String::new(), |id| format!("did you mean `{id}`? "));
    format!("error: there is no check `{}`\n  = help: {guess}`counterweight checks` lists them", wanted.escape_debug())
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}
