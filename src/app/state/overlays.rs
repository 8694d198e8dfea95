//! Windows over the panes that are open, and the view that a held key shows for as long.

use super::tour::TourState;

/// What a held key shows instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemporaryView {
    /// The layer looked at before.
    Layer,
    /// The next picture in each pane.
    Slot,
    /// All of B in a comparison.
    Side,
}

/// Which windows over the window are open.
#[derive(Debug, Default)]
pub struct Overlays {
    /// What is typed into the command palette; closed without.
    pub palette: Option<String>,
    /// The sheet of all keys.
    pub keys: bool,
    /// The log.
    pub log: bool,
    /// Models that are here or could be downloaded.
    pub models: bool,
    /// How panes are written.
    pub export: bool,
    /// Work of windows that did not come to their end.
    pub recoveries: bool,
    /// Frame times.
    pub frame_times: bool,
    /// About this program.
    pub about: bool,
    /// The guided tour.
    pub tour: Option<TourState>,
}

impl Overlays {
    /// Whether a window is open that Esc closes.
    pub fn windows_are_open(&self) -> bool {
        let Self {
            keys,
            log,
            models,
            export,
            recoveries,
            frame_times,
            about,
            ..
        } = *self;
        keys || log || models || export || recoveries || frame_times || about || self.tour.is_some()
    }
}
