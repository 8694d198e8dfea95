//! Messages that have no place of their own: toasts that go by themselves, and a log that keeps everything.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use crate::{error::Error, words};

/// Lines that are kept.
const LOG_LINES: usize = 500;
/// How long a toast stays.
const SHOWN: Duration = Duration::from_secs(6);

/// How long a short note stays.
const SHORT: Duration = Duration::from_secs(2);

/// Toasts that stand at a time: more would cover what is worked on, and the log has them all.
const MOST_TOASTS: usize = 5;

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something was done.
    Info,
    /// Something is not as was asked for, or was refused.
    Warning,
    /// Something was not done.
    Error,
}

impl Level {
    /// How much it matters that something was not done: what was refused, as it makes no sense at that moment, is no error.
    pub const fn of(error: &Error) -> Self {
        match error {
            Error::Usage(_) => Self::Warning,
            _ => Self::Error,
        }
    }

    /// A word for it: colour alone tells nobody anything.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "Done",
            Self::Warning => "Note",
            Self::Error => "Error",
        }
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// When.
    pub at: SystemTime,
    /// How much it matters.
    pub level: Level,
    /// What happened.
    pub text: String,
}

/// A message that goes by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Toast {
    /// Its number.
    pub number: u64,
    /// How much it matters.
    pub level: Level,
    /// What happened.
    pub text: String,
    /// Seconds of the interface's clock at which it goes; none before it was first shown.
    pub goes_at_secs: Option<f64>,
}

/// What a key did, said for a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ShortNote {
    /// What it did.
    pub text: String,
    /// Seconds of the interface's clock at which it goes; none before it was first shown.
    pub goes_at_secs: Option<f64>,
}

/// Toasts and log.
#[derive(Debug, Default)]
pub struct Messages {
    /// Oldest first.
    pub log: VecDeque<LogLine>,
    /// Oldest first.
    pub toasts: Vec<Toast>,
    /// What the last key did; the next one takes its place.
    pub short: Option<ShortNote>,
    told: u64,
}

impl Messages {
    /// Notes something in the log alone: it is shown where it belongs.
    pub fn note(&mut self, level: Level, text: impl Into<String>) {
        let text = words::message(&text.into()).into_owned();
        tracing::info!(?level, text, "told");
        if self.log.len() >= LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(LogLine {
            at: SystemTime::now(),
            level,
            text,
        });
    }

    /// Reports something that has no place of its own.
    pub fn report(&mut self, level: Level, text: impl Into<String>) {
        let text = words::message(&text.into()).into_owned();
        self.note(level, text.clone());
        self.toast(level, text);
    }

    /// Shows a toast of what the log already has.
    pub fn toast(&mut self, level: Level, text: String) {
        let text = words::message(&text).into_owned();
        self.told += 1;
        // The same again replaces what still stands.
        self.toasts.retain(|toast| toast.text != text);
        let most_before = MOST_TOASTS - 1;
        self.toasts.drain(..self.toasts.len().saturating_sub(most_before));
        self.toasts.push(Toast {
            number: self.told,
            level,
            text,
            goes_at_secs: None,
        });
    }

    /// Says for a moment what a key did; the log does not have it.
    pub fn tell_shortly(&mut self, text: impl Into<String>) {
        self.short = Some(ShortNote {
            text: words::message(&text.into()).into_owned(),
            goes_at_secs: None,
        });
    }

    /// Lets toasts and the short note go whose time has come; gives the seconds until the next one goes. Errors stay until they are taken
    /// away.
    pub fn age(&mut self, now_secs: f64) -> Option<f64> {
        for toast in &mut self.toasts {
            toast.goes_at_secs.get_or_insert(now_secs + SHOWN.as_secs_f64());
        }
        let goes = |toast: &Toast| toast.goes_at_secs.filter(|_| toast.level != Level::Error);
        self.toasts.retain(|toast| goes(toast).is_none_or(|at| at > now_secs));
        if let Some(short) = &mut self.short {
            short.goes_at_secs.get_or_insert(now_secs + SHORT.as_secs_f64());
        }
        self.short = self.short.take().filter(|short| short.goes_at_secs > Some(now_secs));
        let short = self.short.iter().filter_map(|short| short.goes_at_secs);
        let next = self.toasts.iter().filter_map(goes).chain(short);
        next.reduce(f64::min).map(|at| (at - now_secs).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toasts_go_and_errors_stay() {
        let mut messages = Messages::default();
        messages.report(Level::Info, "saved");
        messages.report(Level::Error, "not saved");
        messages.report(Level::Info, "saved");
        assert_eq!(messages.toasts.len(), 2, "the same again is no other");
        let wait = messages.age(10.0);
        assert_eq!(wait, Some(SHOWN.as_secs_f64()));
        assert_eq!(messages.age(10.0 + SHOWN.as_secs_f64()), None);
        let left: Vec<_> = messages.toasts.iter().map(|toast| toast.text.as_str()).collect();
        assert_eq!(left, ["not saved"]);
        assert_eq!(messages.log.len(), 3);
    }

    #[test]
    fn a_short_note_replaces_the_one_before_and_goes() {
        let mut messages = Messages::default();
        messages.tell_shortly("Cell grid: on");
        assert_eq!(messages.age(1.0), Some(SHORT.as_secs_f64()));
        messages.tell_shortly("Cell grid: off");
        assert_eq!(
            messages.age(2.0),
            Some(SHORT.as_secs_f64()),
            "it stands as long as the first"
        );
        assert_eq!(
            messages.short.as_ref().map(|short| short.text.as_str()),
            Some("Cell grid: off")
        );
        assert_eq!(messages.age(2.0 + SHORT.as_secs_f64()), None);
        assert!(messages.short.is_none() && messages.toasts.is_empty() && messages.log.is_empty());
    }

    #[test]
    fn only_the_last_toasts_stand() {
        let mut messages = Messages::default();
        for number in 0..3 * MOST_TOASTS {
            messages.report(Level::Error, number.to_string());
        }
        assert_eq!(messages.toasts.len(), MOST_TOASTS);
        assert_eq!(messages.toasts[MOST_TOASTS - 1].text, (3 * MOST_TOASTS - 1).to_string());
        assert_eq!(messages.log.len(), 3 * MOST_TOASTS);
    }

    #[test]
    fn nothing_in_a_message_acts() {
        let mut messages = Messages::default();
        messages.report(Level::Warning, "no\u{1b}[31m.png");
        messages.toast(Level::Info, "\u{202e}gnp.x".to_owned());
        assert_eq!(messages.log[0].text, "no\\u{1b}[31m.png");
        assert_eq!(messages.toasts[0].text, "no\\u{1b}[31m.png");
        assert_eq!(messages.toasts[1].text, "\\u{202e}gnp.x");
    }

    #[test]
    fn the_log_is_bounded() {
        let mut messages = Messages::default();
        for line in 0..2 * LOG_LINES {
            messages.note(Level::Info, line.to_string());
        }
        assert_eq!(messages.log.len(), LOG_LINES);
        assert_eq!(messages.log[0].text, LOG_LINES.to_string());
    }
}
