//! What a key did, in a few words: the state after it, not the name of the key.

use super::{abilities::Abilities, action::Action};
use crate::app::{
    document::{pane::View, places::representative, root::Document},
    state::root::State,
};

const PERCENT: f32 = 100.0;

/// What an action that came by key has done, from the document before it and the state after it; none where that is
/// plain to see, such as a window that opened.
pub fn note_of(action: Action, before: &Document, state: &State) -> Option<String> {
    let document = &state.document;
    Some(match action {
        Action::Keys | Action::Log | Action::Models | Action::Recover | Action::FrameTimes | Action::Tour => {
            return None;
        }
        action if state.is_on(action).is_some() => {
            let on = state.is_on(action).unwrap_or_default();
            format!("{}: {}", action.name(), if on { "on" } else { "off" })
        }
        Action::NextColours => format!("Colour map: {}", document.display.map.name()),
        Action::MoreOpaque | Action::LessOpaque => {
            format!("Opacity of heat maps: {:.0} %", PERCENT * document.display.opacity)
        }
        Action::LaterTimestep | Action::EarlierTimestep | Action::LaterTimestepByOne | Action::EarlierTimestepByOne => {
            format!("Timestep: {}", document.settings.t.value())
        }
        Action::LaterFrame | Action::EarlierFrame => {
            let settings = &document.settings;
            format!("Timestep: {}, seed {}", settings.t.value(), settings.seed)
        }
        Action::NextLayer | Action::PreviousLayer | Action::LayersForward | Action::LayersBack => layer_text(document)?,
        Action::PinUp | Action::PinDown if document.active_pin().is_none() => layer_text(document)?,
        Action::PinLeft | Action::PinRight | Action::PinUp | Action::PinDown => {
            let pin = document.active_pin()?;
            let [x, y] = representative(&pin.at)?.map(|x| x.round() + 0.0);
            format!("Pin {} at x {x}, y {y} of {}", pin.number, pin.slot.name())
        }
        Action::AddPin => format!("Pin {} added", document.selected_pin?),
        Action::NextPin => format!("Pin {} selected", document.selected_pin?),
        Action::Unpin => "The heat map follows the pointer".to_owned(),
        Action::DeletePin => format!("Pin {} deleted", before.selected_pin?),
        Action::ClearPins => match before.pins.len() {
            1 => "1 pin deleted".to_owned(),
            count => format!("{count} pins deleted"),
        },
        Action::SwapPictures => "Source and target change places".to_owned(),
        Action::Undo => "Undone".to_owned(),
        Action::Redo => "Redone".to_owned(),
        Action::NextHead | Action::PreviousHead => format!("Attention: {}", state.head_text()?),
        Action::NextChannel | Action::PreviousChannel => format!("Channel: {}", document.channel),
        Action::ZoomIn | Action::ZoomOut | Action::OneToOne => format!("Zoom: {:.2} × fitting", view_text(state).zoom),
        Action::Fit => "The whole picture".to_owned(),
        Action::NextPane => format!("Pane: {}", state.focused_pane()?.title()),
        Action::ClosePane => "Pane closed".to_owned(),
        Action::Theme => "The other theme".to_owned(),
        Action::LargerInterface | Action::SmallerInterface | Action::StandardInterface => {
            format!("Interface size: {:.0} %", PERCENT * state.preferences.zoom)
        }
        Action::SetCompareSide => "B of the comparison: what is shown now".to_owned(),
        Action::Run => "Run asked for".to_owned(),
        Action::Cancel => "Cancelled".to_owned(),
        _ => return None,
    })
}

fn layer_text(document: &Document) -> Option<String> {
    document.layer.map(|id| format!("Layer: {id}"))
}

/// The view of the pane worked in.
fn view_text(state: &State) -> View {
    let pane = state.focused_pane();
    match (state.document.linked, pane) {
        (false, Some(pane)) => pane.view,
        _ => state.document.view,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{document::root::Pin, state::preferences::Preferences},
        engine::{ImageSlot, QueryAt},
    };

    fn pinned() -> State {
        let mut state = State::new(Preferences::default());
        for number in [2, 3] {
            state.document.pins.push(Pin {
                number,
                slot: ImageSlot::B,
                at: QueryAt::Point([20.0, 13.6]),
                mate: None,
            });
        }
        state.document.selected_pin = Some(3);
        state
    }

    #[test]
    fn a_note_says_the_state_after_the_action() {
        let mut state = pinned();
        let before = state.document.clone();
        let say = |action, state: &State| note_of(action, &before, state).unwrap_or_default();
        state.document.display.grid = true;
        assert_eq!(say(Action::Grid, &state), "Cell grid: on");
        state.document.display.grid = false;
        assert_eq!(say(Action::Grid, &state), "Cell grid: off");
        assert_eq!(say(Action::NextColours, &state), "Colour map: viridis");
        assert_eq!(say(Action::PinLeft, &state), "Pin 3 at x 20, y 14 of B");
        state.document.pins.clear();
        state.document.selected_pin = None;
        assert_eq!(say(Action::DeletePin, &state), "Pin 3 deleted");
        assert_eq!(say(Action::ClearPins, &state), "2 pins deleted");
        state.document.settings.t = 120.into();
        assert_eq!(say(Action::LaterTimestep, &state), "Timestep: 120");
        state.document.display.opacity = 0.6;
        assert_eq!(say(Action::LessOpaque, &state), "Opacity of heat maps: 60 %");
        assert_eq!(note_of(Action::Palette, &before, &state), None);
        assert_eq!(note_of(Action::Keys, &before, &state), None);
    }
}
