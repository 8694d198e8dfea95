//! Panes gathered as figures, on the window's thread, to be drawn on another.

use super::app::App;
use crate::app::{
    document::{layout::panes, pane::Pane},
    export::{
        figure::{FigureOf, FigureParts, figure_plan, marks},
        panes::{PanePixels, PaneToWrite, pane_record},
    },
};

/// Red, green, blue.
const CHANNELS: usize = 3;

impl App {
    /// Every pane that is seen, as it is written.
    pub(in crate::app) fn panes_to_write(&self) -> Vec<PaneToWrite> {
        let shown = panes(&self.state.document.layout);
        let placed = shown
            .into_iter()
            .filter_map(|(tile, pane)| Some((pane, self.canvases.rect(tile)?)));
        placed
            .enumerate()
            .map(|(index, (pane, rect))| {
                let as_shown = self.state.preferences.figure.as_shown;
                let figure = self.figure_of(pane).filter(|_| !as_shown);
                PaneToWrite {
                    name: format!("{:02}-{}-{}.png", index + 1, pane.kind.facts().file, pane.slot.name()),
                    pixels: figure.map_or(PanePixels::Shown(rect), |parts| PanePixels::Figure(Box::new(parts))),
                    record: pane_record(&self.state, pane),
                }
            })
            .collect()
    }

    /// What a pane shows of a picture; none of a pane that shows no picture.
    fn figure_of(&self, pane: &Pane) -> Option<FigureParts> {
        let state = &self.state;
        let pane = Pane {
            slot: state.shown_slot(pane.slot),
            ..pane.clone()
        };
        let open = state.slot(pane.slot);
        let picture = open.picture.as_ref().filter(|_| pane.kind.is_of_picture())?;
        let layers = self.views.of(pane.kind).layers(pane.slot, state, &self.textures);
        let mask = state.document.mask;
        // The only colours that panes of pictures have are those of PCA.
        let pca = open.pca.as_ref().filter(|_| layers.colours.is_some());
        let colours = pca.map(|view| {
            let kept = view.first.iter().map(|first| mask.keeps(*first));
            let cells = view.rgb.chunks_exact(CHANNELS).zip(kept);
            let rgb = cells.flat_map(|(cell, kept)| cell.iter().map(move |level| if kept { *level } else { 0 }));
            (view.grid, rgb.collect())
        });
        let scores = layers.scores.map(|(scores, style)| (scores.clone(), style));
        let style = scores.as_ref().map(|(_, style)| style);
        Some(FigureParts {
            picture: layers.picture.then(|| (picture.source.clone(), picture.fingerprint)),
            size: picture.size,
            framing: open.capture.as_ref().map(|capture| capture.framing),
            colours,
            plan: figure_plan(
                state,
                &state.preferences.figure,
                &pane,
                FigureOf::pane(state, &pane),
                style,
                pane_record(state, &pane),
            ),
            scores,
            marks: marks(state, pane.slot),
        })
    }
}
