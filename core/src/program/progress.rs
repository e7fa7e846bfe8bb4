//! Progress of long work on stderr: a bar on a terminal, else a plain line every ten seconds.

use crate::program::exit;
use crate::text::format;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(10);

/// This is where a library tells of its work: what it is, how much of it is done, and of how much. The library
/// draws nothing itself.
pub type Watch<'a> = &'a mut dyn FnMut(&'static str, u64, u64);

/// This is a [`Watch`] for those who do not want to know.
pub fn unwatched(_: &'static str, _: u64, _: u64) {}

/// Makes a [`Watch`] that draws: a bar for each piece of work in turn.
pub fn bars(unit: &'static str) -> impl FnMut(&'static str, u64, u64) {
    let mut bar: Option<Progress> = None;
    move |what, done, of| {
        if bar.as_ref().is_none_or(|bar| bar.label != what || bar.total != of) {
            bar = Some(Progress::new(what, of));
        }
        bar.iter_mut().for_each(|bar| bar.tick(done, unit));
        bar.take_if(|_| done >= of);
    }
}

/// This is one piece of work of a known number of steps.
pub struct Progress {
    label: String,
    total: u64,
    bar: Option<ProgressBar>,
    start: Instant,
    first: Option<u64>,
    last_line: Instant,
}

impl Progress {
    /// Starts at zero.
    pub fn new(label: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
            let style = ProgressStyle::with_template("{prefix} {bar:24} {percent:>3}%  {msg}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_prefix(label.to_owned());
            bar
        });
        let now = Instant::now();
        Self { label: label.into(), total, bar, start: now, first: None, last_line: now }
    }

    /// Shows that `done` steps of the total are done; work that was resumed starts above zero.
    pub fn tick(&mut self, done: u64, message: &str) {
        let first = *self.first.get_or_insert(done);
        let rate = done.saturating_sub(first) as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
        let left = self.total.saturating_sub(done) as f64;
        let eta = if rate > 0.0 { format!("  ETA {}", format::seconds(left / rate)) } else { String::new() };
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(format!("{}{eta}", format::escape(message)));
        } else if self.last_line.elapsed() > LINE_EVERY {
            self.last_line = Instant::now();
            let percent = 100 * done / self.total.max(1);
            self.line(&format!("{percent:>3}%  {message}{eta}"));
        }
    }

    /// Ends with a last line.
    pub fn finish(&mut self, message: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.line(message);
    }

    /// A closed stderr is no reason to stop working.
    fn line(&self, text: &str) {
        exit::note(&format!("{}: {text}", self.label));
    }
}
