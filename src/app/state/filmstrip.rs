//! Frames of the film strip: their names, and the current one.

use super::{comparing::Strip, root::State};
use crate::engine::SeriesMember;

/// What a frame is called.
pub fn frame_name(strip: &Strip, index: usize) -> String {
    let Some((member, _)) = strip.members.get(index) else {
        return String::new();
    };
    let (t, seed) = (member.settings.t, member.settings.seed);
    match strip.members.iter().all(|(other, _)| other.settings.t == t) && strip.members.len() > 1 {
        true => format!("seed {seed}"),
        false => format!("t {t}"),
    }
}

/// The frame of what is set.
pub fn current_frame(state: &State, strip: &Strip) -> Option<usize> {
    let settings = &state.document.settings;
    let is_current = |member: &SeriesMember| member.settings.t == settings.t && member.settings.seed == settings.seed;
    strip.members.iter().position(|(member, _)| is_current(member))
}
