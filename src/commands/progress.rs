//! Progress on standard error: a bar on a terminal, plain lines otherwise.

use counterweight::logs::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;

/// A bar for every scan.
#[derive(Default)]
pub(super) struct Terminal {
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress for Terminal {
    fn start(&self, what: &str, rows: Option<u64>) {
        self.begin(what, rows, "rows");
    }

    fn start_fits(&self, what: &str, fits: u64) {
        self.begin(what, Some(fits), "fits");
    }
    fn advance(&self, rows: u64) {
        if let Ok(bar) = self.bar.lock() {
            bar.iter().for_each(|bar| bar.inc(rows));
        }
    }

    fn finish(&self) {
        self.replace(None);
    }
}

impl Terminal {
    fn begin(&self, what: &str, total: Option<u64>, unit: &str) {
        if !std::io::stderr().is_terminal() {
            let bound = if unit == "fits" { "at most " } else { "" };
            let total = total.map_or(String::new(), |total| format!(" ({bound}{total} {unit})"));
            let _ = writeln!(std::io::stderr(), "{what}{total}");
            return;
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let template = if total.is_some() {
            format!("{{msg:<24}} {{bar:24}} {{percent:>3}} %  {{human_pos}} {unit}  {{eta}} left")
        } else {
            format!("{{msg:<24}} {{spinner}} {{human_pos}} {unit}  {{elapsed}}")
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        self.replace(Some(bar));
    }

    fn replace(&self, bar: Option<ProgressBar>) {
        if let Ok(mut current) = self.bar.lock() {
            current.iter().for_each(ProgressBar::finish_and_clear);
            *current = bar;
        }
    }
}
