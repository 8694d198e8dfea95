//! Requests to the workers to write what is shown.

use std::path::PathBuf;

use super::{
    figure::{FigureOf, figure_plan},
    panes::pane_record,
    styles::heat_style,
};
use crate::{
    app::{
        document::pane::{Pane, PaneKind},
        gpu::textures::Textures,
        state::{
            path_box::PathPurpose,
            queries::{heat_query, pca_query},
            root::State,
        },
    },
    engine::{HeatQuery, ImageSlot, PassId, SaveBasis, SaveHeat, SaveMap, SavePage, SavePca, ViewRequest},
    extract::{request::ExtractRequest, select::Select},
    files::names,
};

/// What is saved is what is shown: the same passes, the same basis, the same colours.
pub fn save_request(
    state: &State,
    textures: &Textures,
    purpose: PathPurpose,
    slot: Option<ImageSlot>,
    path: PathBuf,
) -> Option<ViewRequest> {
    let id = state.layer()?;
    let shown = state.shown_passes();
    let pass_of = |slot: ImageSlot| shown.iter().find(|(other, _)| *other == slot).map(|(_, pass)| *pass);
    match purpose {
        PathPurpose::SaveMap(_) => {
            let pass = pass_of(slot?)?;
            Some(SaveMap { id, pass, path }.into())
        }
        PathPurpose::SavePca(_) => {
            let pass = pass_of(slot?)?;
            let query = pca_query(state)?;
            let pane = Pane::new(PaneKind::Pca, slot?);
            let now = FigureOf::now(state, pane.slot);
            let shown = pane_record(state, &pane);
            let figure = figure_plan(state, &state.preferences.figure, &pane, now, None, shown);
            Some(
                SavePca {
                    query,
                    pass,
                    figure: Box::new(figure),
                    path,
                }
                .into(),
            )
        }
        PathPurpose::SaveBasis => {
            let query = pca_query(state)?;
            Some(SaveBasis { query, path }.into())
        }
        PathPurpose::SaveHeat(_) => {
            let slot = slot?;
            let query = HeatQuery {
                targets: vec![(slot, pass_of(slot)?)],
                ..heat_query(state)?
            };
            let style = heat_style(state, textures, textures.slot(slot).heat.as_ref()?);
            let pane = Pane::new(PaneKind::Picture, slot);
            let shown = pane_record(state, &pane);
            let figure = figure_plan(
                state,
                &state.preferences.figure,
                &pane,
                FigureOf::now(state, slot),
                Some(&style),
                shown,
            );
            Some(
                SaveHeat {
                    query,
                    style,
                    figure: Box::new(figure),
                    path,
                }
                .into(),
            )
        }
        PathPurpose::SavePage => {
            let model = state.model.info.as_ref()?.name.clone();
            let mut pictures: Vec<(String, PassId)> = Vec::new();
            for (slot, pass) in shown {
                let name = state.slot(slot).picture.as_ref()?.source.name();
                pictures.push((format!("{}: {name}", slot.name()), pass));
            }
            let title = format!("{} · {id}", names::shown(&model));
            (!pictures.is_empty()).then_some(())?;
            Some(
                SavePage {
                    ids: vec![id],
                    pictures,
                    model,
                    title,
                    drop_massive: state.document.pca.drop_massive,
                    path,
                }
                .into(),
            )
        }
        _ => None,
    }
}

/// An extraction of the selected activation, of all open pictures.
pub fn extract_request(state: &State) -> Option<ExtractRequest> {
    let model = state.model.info.as_ref()?.name.clone();
    let pictures: Vec<PathBuf> = state
        .open_slots()
        .filter_map(|slot| state.slot(slot).picture.as_ref())
        .map(|picture| picture.source.path())
        .collect();
    (!pictures.is_empty()).then_some(())?;
    Some(ExtractRequest {
        model,
        pictures,
        settings: state.settings_read(),
        select: Select::Ids(vec![state.layer()?.to_string()]),
        dtype: state.preferences.precision,
        device: state.preferences.device,
        ..ExtractRequest::default()
    })
}
