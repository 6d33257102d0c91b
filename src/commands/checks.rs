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

/// Shows a check's manual page.
pub(crate) fn explain(wanted: &str) -> Result<u8, Failure> {
    if let Some((.., page)) = all().find(|(id, ..)| *id == wanted) {
        print(page)?;
        return Ok(0);
    }
    let nearest = all().map(|(id, ..)| id).max_by(|a, b| similarity(a, wanted).total_cmp(&similarity(b, wanted)));
    let guess =
        nearest.filter(|id| similarity(id, wanted) > 0.6).map_or(String::new(), |id| format!("did you mean `{id}`? "));
    Err(Failure(format!(
        "error: there is no check `{}`\n  = help: {guess}`counterweight checks` lists them",
        wanted.escape_debug()
    )))
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}
