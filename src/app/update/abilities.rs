//! What can be done now, and what is on.

use egui::ThemePreference;

use super::action::Action;
use crate::{
    app::{
        document::{
            display::RangeMode,
            pairs::{can_pair_in_order, point_pairs},
            pane::PaneKind,
        },
        state::{compare_questions::side_of_now, overlays::TemporaryView, root::State},
    },
    engine::BasisChoice,
    render::Interpolation,
};

/// Sent about actions.
pub trait Abilities {
    /// Whether an action can be done now; menus show those that cannot in grey.
    fn can(&self, action: Action) -> bool;

    /// Whether what an action switches is on; nothing for one that switches nothing.
    fn is_on(&self, action: Action) -> Option<bool>;
}

impl Abilities for State {
    fn can(&self, action: Action) -> bool {
        let document = &self.document;
        match action {
            Action::ClosePicture => self.open_slots().next().is_some(),
            Action::SwapPictures => self.open_slots().count() > 1,
            Action::DeletePin | Action::PinLeft | Action::PinRight => document.active_pin().is_some(),
            Action::Unpin => document.active_pin().is_some() || self.pairing.takes_clicks(),
            Action::PairMode => self.open_slots().count() > 1 || self.pairing.on,
            Action::CompletePair => self.pairing.first.is_some() && self.second_slot().is_some(),
            Action::PairInOrder => can_pair_in_order(document),
            Action::SplitPair => document.active_pin().is_some_and(|pin| pin.mate.is_some()),
            Action::NextPin | Action::ClearPins | Action::CopyMatches | Action::SaveMatches => {
                !document.pins.is_empty()
            }
            Action::AddPin => self.slot(self.focused_slot()).picture.is_some(),
            Action::SavePairs => !point_pairs(document).is_empty(),
            Action::SavePane(PaneKind::Rank) => self.rank.view.as_ref().is_some_and(|view| !view.rows.is_empty()),
            Action::NextHead | Action::PreviousHead => self.head_count().is_some(),
            Action::Survey => self.survey_query().is_some(),
            Action::Recommend => self.recommend_query().is_some(),
            Action::SavePane(PaneKind::Recommend) => self
                .recommend
                .as_ref()
                .is_some_and(|recommend| recommend.found.is_some()),
            Action::LaterTimestep
            | Action::EarlierTimestep
            | Action::LaterTimestepByOne
            | Action::EarlierTimestepByOne => self.has_denoiser(),
            Action::CancelStudies => !self.studies.is_empty(),
            Action::SaveSurvey => self.survey.is_some(),
            Action::TourNext => self
                .overlays
                .tour
                .as_ref()
                .is_some_and(|tour| tour.step + 1 < tour.steps.len()),
            Action::TourBack => self.overlays.tour.as_ref().is_some_and(|tour| tour.step > 0),
            Action::Run => self.needs_run() && self.run.running.is_none(),
            Action::Cancel => self.run.running.is_some() || self.model.loading.is_some(),
            Action::SavePca | Action::SaveMap | Action::SaveBasis | Action::ExportPage => {
                !self.shown_passes().is_empty()
            }
            Action::SavePane(PaneKind::Strip) | Action::LaterFrame | Action::EarlierFrame => {
                self.comparing.strip.is_some()
            }
            Action::SavePane(PaneKind::Cka) => self.comparing.matrix.is_some(),
            Action::SavePane(PaneKind::Shift) => self.comparing.shift.is_some(),
            Action::SaveHeat => self.heat_on(self.focused_slot()).is_some(),
            Action::HoldLayer => self.layer_before.is_some() || self.hold == Some(TemporaryView::Layer),
            Action::HoldSide => self.compares() || self.hold == Some(TemporaryView::Side),
            Action::SetCompareSide => side_of_now(self).is_some(),
            Action::SavePane(PaneKind::Compare) => self.compare.view.is_some(),
            Action::Recover => !self.recoveries.is_empty(),
            Action::HoldSlot => self.open_slots().count() > 1 || self.hold == Some(TemporaryView::Slot),
            Action::AddPicture => document.free_slot().is_some(),
            Action::ClosePane | Action::Maximise | Action::CopyImage => !document.layout.is_empty(),
            _ => true,
        }
    }

    fn is_on(&self, action: Action) -> Option<bool> {
        let (document, display) = (&self.document, &self.document.display);
        Some(match action {
            Action::Brush => self.brush,
            Action::PairMode => self.pairing.on,
            Action::FurtherMatches => display.further,
            Action::HoldLayer => self.hold == Some(TemporaryView::Layer),
            Action::HoldSlot => self.hold == Some(TemporaryView::Slot),
            Action::HoldSide => self.hold == Some(TemporaryView::Side),
            Action::Link => document.linked,
            Action::Maximise => document.maximised.is_some(),
            Action::Presentation => self.presentation,
            Action::Grid => display.grid,
            Action::Numbers => display.numbers,
            Action::Loupe => display.loupe,
            Action::Overlay => display.overlay,
            Action::OnSource => display.on_source,
            Action::Settings => self.preferences.settings_shown,
            Action::Inspector => self.preferences.inspector_shown,
            Action::Whiten => document.pca.options.whiten,
            Action::L2 => document.pca.options.l2_normalise_positions,
            Action::DropMassive => document.pca.drop_massive,
            Action::Normalise => display.range == RangeMode::PerMap,
            Action::LockRange => display.range == RangeMode::Common,
            Action::Smooth => display.interpolation == Interpolation::Bilinear,
            Action::JointBasis => document.pca.basis == BasisChoice::Together,
            Action::Foreground => document.mask.on,
            Action::SystemTheme => self.preferences.theme == ThemePreference::System,
            Action::Tour => self.overlays.tour.is_some(),
            Action::Keys => self.overlays.keys,
            Action::Log => self.overlays.log,
            Action::Models => self.overlays.models,
            Action::Recover => self.overlays.recoveries,
            Action::ExportPanes => self.overlays.export,
            Action::FrameTimes => self.overlays.frame_times,
            _ => return None,
        })
    }
}
