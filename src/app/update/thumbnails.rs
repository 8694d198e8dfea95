//! Colours thumbnails of a survey, a few per frame.

use std::sync::Arc;

use super::app::App;
use crate::{
    activation::Id,
    analysis::colour::RgbPicture,
    app::{
        document::{layout, pane::PaneKind, sheet::SheetColours},
        gpu::thumbnails::{MarkedKey, RecommendKey, SheetKey},
        state::survey::SurveyState,
    },
    survey::{Measurement, agreeing, noise_picture, thumbnail_picture},
};

impl App {
    /// Colours what a sheet or a plot shows, as far as a frame allows.
    pub(in crate::app) fn colour_thumbnails(&mut self, context: &egui::Context) {
        let document = &self.state.document;
        let shows = |kind| {
            layout::panes(&document.layout)
                .iter()
                .any(|(_, pane)| pane.kind == kind)
        };
        let Some(survey) = &self.state.survey else { return };
        if !(shows(PaneKind::Sheet) || shows(PaneKind::Plot)) {
            return;
        }
        let settings = &document.sheet;
        let agree = settings.colours == SheetColours::Agreeing;
        let reference = document.layer.filter(|_| agree).and_then(|id| survey.place_of(id));
        let reference = reference.and_then(|place| survey.findings.get(place)).cloned();
        let map = document.display.map;
        let key = SheetKey {
            job: survey.job,
            colours: settings.colours,
            reference: reference.as_ref().map(|finding| finding.id),
            map,
        };
        let there = survey.findings.len();
        self.textures.sheet.update(context, &key, there, |index| {
            let finding = &survey.findings[index];
            match settings.colours {
                SheetColours::Noise => noise_picture(&finding.thumbnail, map),
                SheetColours::Agreeing => in_colours_of(finding, reference.as_ref()),
                SheetColours::Own => thumbnail_picture(&finding.thumbnail),
            }
        });
        let marked = marked_findings(survey, &settings.marked);
        let key = MarkedKey {
            job: survey.job,
            marked: settings.marked.clone(),
            there: marked.iter().flatten().count(),
        };
        let first = marked.iter().flatten().next();
        self.textures
            .marked
            .update(context, &key, marked.len(), |index| match &marked[index] {
                Some(finding) => in_colours_of(finding, first),
                None => RgbPicture {
                    height: 1,
                    width: 1,
                    rgb: vec![0; 3],
                },
            });
    }
}

impl App {
    /// Puts the small pictures of a recommendation on the card.
    pub(in crate::app) fn colour_recommended(&mut self, context: &egui::Context) {
        let panes = layout::panes(&self.state.document.layout);
        let shown = panes.iter().any(|(_, pane)| pane.kind == PaneKind::Recommend);
        let Some(recommend) = self.state.recommend.as_ref().filter(|_| shown) else {
            return;
        };
        let Some(found) = &recommend.found else { return };
        let pictures: Vec<&RgbPicture> = found.best.iter().flat_map(|best| &best.pictures).collect();
        let key = RecommendKey { job: recommend.job };
        let there = pictures.len();
        self.textures
            .recommended
            .update(context, &key, there, |index| pictures[index].clone());
    }
}

/// The marked activations, where they were found.
fn marked_findings(survey: &SurveyState, marked: &[Id]) -> Vec<Option<Arc<Measurement>>> {
    let of = |id: &Id| survey.findings.get(survey.place_of(*id)?).cloned();
    marked.iter().map(of).collect()
}

fn in_colours_of(finding: &Measurement, reference: Option<&Arc<Measurement>>) -> RgbPicture {
    // Scores that cannot be rotated keep their own colours.
    let agreed = reference.and_then(|reference| agreeing(finding, reference).ok());
    agreed.unwrap_or_else(|| thumbnail_picture(&finding.thumbnail))
}
