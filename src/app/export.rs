//! What is written: views as they are shown, matches as tables, panes as pictures, and what made them.

use std::path::{Path, PathBuf};

use egui::{ColorImage, Context, Rect};
use serde_json::{Value, json};

use super::{
    App, PathPurpose, State,
    arrange::panes,
    canvas::heat_style,
    canvases::Canvases,
    document::PaneKind,
    later::{Later, background},
    messages::Level,
    panes::how_made,
    state::representative,
    studies::{
        ranking::{point_pairs, ranking_csv, ranking_json},
        sides::{compared_json, compared_picture, nothing_compared},
    },
    textures::Textures,
    wanted::{wanted_pca, wanted_query},
};
use crate::{
    engine::{Query, QueryAt, Slot, ViewRequest, check_extension},
    error::{Error, Result},
    extract::request::{ExtractRequest, StoreFormat},
    files::{PANES_FILE, names},
    image::png_text::with_text,
    io::output::{METADATA_KEY, UnfinishedFolder, replace_file, write_error, write_folder, write_png},
};

/// What is saved is what is shown: the same passes, the same basis, the same colours.
pub fn save_request(
    state: &State,
    textures: &Textures,
    purpose: PathPurpose,
    slot: Option<Slot>,
    path: PathBuf,
) -> Option<ViewRequest> {
    let id = state.layer()?;
    let shown = state.shown_passes();
    let pass_of = |slot: Slot| shown.iter().find(|(other, _)| *other == slot).map(|(_, pass)| *pass);
    match purpose {
        PathPurpose::SaveMap(_) => {
            let pass = pass_of(slot?)?;
            Some(ViewRequest::SaveMap { id, pass, path })
        }
        PathPurpose::SavePca(_) => {
            let pass = pass_of(slot?)?;
            let query = wanted_pca(state)?;
            Some(ViewRequest::SavePca { query, pass, path })
        }
        PathPurpose::SaveBasis => Some(ViewRequest::SaveBasis {
            query: wanted_pca(state)?,
            path,
        }),
        PathPurpose::SaveHeat(_) => {
            let slot = slot?;
            let query = Query {
                targets: vec![(slot, pass_of(slot)?)],
                ..wanted_query(state)?
            };
            let style = heat_style(state, textures, textures.slot(slot).heat.as_ref()?);
            Some(ViewRequest::SaveHeat { query, style, path })
        }
        _ => None,
    }
}

/// The activation looked at, of all open pictures.
pub fn extract_request(state: &State) -> Option<ExtractRequest> {
    let model = state.model.info.as_ref()?.name.clone();
    let settings = &state.document.settings;
    let pictures: Vec<PathBuf> = state
        .open_slots()
        .filter_map(|slot| state.slot(slot).picture.as_ref())
        .map(|picture| picture.source.path())
        .collect();
    (!pictures.is_empty()).then_some(())?;
    Some(ExtractRequest {
        model,
        pictures,
        prompt: settings.prompt.clone(),
        t: settings.t,
        preset: None,
        inversion: settings.inversion,
        compat: None,
        size: Some(settings.size),
        seed: settings.seed,
        noise_file: None,
        vae: settings.vae,
        ensemble: settings.ensemble,
        adapters: settings.adapters.clone(),
        attention: Vec::new(),
        activations: state.layer()?.to_string(),
        dtype: state.memory.precision,
        device: state.memory.device,
        pool: None,
        store: StoreFormat::F32,
        intermediates: false,
        allow_non_finite: false,
    })
}

/// A row per match: pin, its picture and pixel, rank, target, pixel, score, way back.
struct MatchRow {
    pin: u32,
    source: Slot,
    at: [f64; 2],
    target: Option<Slot>,
    rank: usize,
    found: [f64; 2],
    score: f32,
    mutual: bool,
    cycle_cells: f32,
}

fn match_rows(state: &State) -> Vec<MatchRow> {
    let mut rows = Vec::new();
    for pin in &state.document.pins {
        let at = representative(&pin.at).unwrap_or_default();
        let found = state
            .matches
            .iter()
            .flat_map(|matches| &matches.pins)
            .filter(|found| found.pin == pin.number);
        let before = rows.len();
        for target in found.flat_map(|found| &found.targets) {
            for (rank, best) in target.best.iter().enumerate() {
                rows.push(MatchRow {
                    pin: pin.number,
                    source: pin.slot,
                    at,
                    target: Some(target.slot),
                    rank: rank + 1,
                    found: best.found.at,
                    score: best.found.score,
                    mutual: best.mutual,
                    cycle_cells: best.cycle_cells,
                });
            }
        }
        if rows.len() == before {
            // A pin without matches is still a point that was marked.
            rows.push(MatchRow {
                pin: pin.number,
                source: pin.slot,
                at,
                target: None,
                rank: 0,
                found: [f64::NAN; 2],
                score: f32::NAN,
                mutual: false,
                cycle_cells: f32::NAN,
            });
        }
    }
    rows
}

/// All pins and matches as a table with a line of titles; coordinates are pixels of the pictures as they are on disk.
pub fn matches_csv(state: &State, separator: char) -> String {
    let titles = [
        "layer",
        "pin",
        "source",
        "x",
        "y",
        "target",
        "rank",
        "match_x",
        "match_y",
        "score",
        "mutual",
        "cycle_cells",
    ];
    let mut table = titles.join(&separator.to_string()) + "\n";
    let layer = state.layer().map_or(String::new(), |id| id.to_string());
    let number = |number: f64| {
        if number.is_finite() {
            format!("{number:.2}")
        } else {
            String::new()
        }
    };
    for row in match_rows(state) {
        let score = if row.score.is_finite() {
            format!("{:.5}", row.score)
        } else {
            String::new()
        };
        let cells = [
            layer.clone(),
            row.pin.to_string(),
            row.source.name().to_owned(),
            number(row.at[0]),
            number(row.at[1]),
            row.target.map_or(String::new(), |slot| slot.name().to_owned()),
            row.target.map_or(String::new(), |_| row.rank.to_string()),
            number(row.found[0]),
            number(row.found[1]),
            score,
            row.target.map_or(String::new(), |_| row.mutual.to_string()),
            number(f64::from(row.cycle_cells)),
        ];
        table += &cells.join(&separator.to_string());
        table.push('\n');
    }
    table
}

/// All pins and matches with what made them.
fn matches_json(state: &State) -> Value {
    let rows: Vec<Value> = match_rows(state)
        .into_iter()
        .map(|row| {
            json!({
                "pin": row.pin,
                "source": row.source,
                "at": row.at,
                "target": row.target,
                "rank": row.target.map(|_| row.rank),
                "match": row.target.map(|_| row.found),
                "score": row.target.map(|_| row.score),
                "mutual": row.target.map(|_| row.mutual),
                "cycle_cells": row.target.map(|_| row.cycle_cells),
            })
        })
        .collect();
    json!({ "matches": rows, "pins": state.document.pins, "made_by": record(state) })
}

/// What made everything that is shown.
pub fn record(state: &State) -> Value {
    let pictures: Vec<Value> = state
        .open_slots()
        .filter_map(|slot| {
            let open = state.slot(slot);
            let picture = open.picture.as_ref()?;
            Some(json!({
                "slot": slot,
                "source": picture.source,
                "width": picture.size.width,
                "height": picture.size.height,
                "fingerprint": format!("{:016x}", picture.fingerprint),
                "ran": open.capture.as_ref().map(|capture| &capture.ran),
                "settings": open.capture.as_ref().map(|capture| &capture.settings),
            }))
        })
        .collect();
    let document = &state.document;
    json!({
        "program": format!("featscope {}", env!("CARGO_PKG_VERSION")),
        "model": document.model.as_deref().map(names::text_json),
        "layer": state.layer(),
        "pictures": pictures,
        "pca": document.pca,
        "mask": document.mask,
        "display": document.display,
        "channel": document.channel,
        "attention": state.head_text(),
        "query": state.query_at().map(|(slot, at)| json!({ "slot": slot, "at": at })),
    })
}

/// A pane that is written: its name, its place in points, and what made it.
struct PaneToWrite {
    name: String,
    rect: Rect,
    record: Value,
}

fn panes_to_write(state: &State, canvases: &Canvases) -> Vec<PaneToWrite> {
    let shown = panes(&state.document.layout);
    let placed = shown
        .into_iter()
        .filter_map(|(tile, pane)| Some((pane, canvases.rect(tile)?)));
    placed
        .enumerate()
        .map(|(index, (pane, rect))| {
            let kind = match pane.kind {
                PaneKind::Picture => "picture",
                PaneKind::Pca => "pca",
                PaneKind::Heat => "heat",
                PaneKind::Channel => "channel",
                PaneKind::Sheet => "sheet",
                PaneKind::Plot => "plot",
                PaneKind::Strip => "strip",
                PaneKind::Cka => "cka",
                PaneKind::Shift => "shift",
                PaneKind::Rank => "ranking",
                PaneKind::Compare => "comparison",
            };
            let several = state.open_slots().count() > 1;
            let pca = state
                .slot(pane.slot)
                .pca
                .as_ref()
                .filter(|_| pane.kind == PaneKind::Pca);
            PaneToWrite {
                name: format!("{:02}-{kind}-{}.png", index + 1, pane.slot.name()),
                rect,
                record: json!({
                    "pane": pane.title(),
                    "view": if state.document.linked { state.document.view } else { pane.view },
                    "colours": pca.map(|view| how_made(view, several)),
                    "explained_variance_ratio": pca.map(|view| &view.explained),
                }),
            }
        })
        .collect()
}

/// Cuts every pane out of a picture of the window and writes them with what made them.
pub fn write_panes(
    state: &State,
    canvases: &Canvases,
    pixels_per_point: f32,
    out: &Path,
) -> impl FnOnce(&ColorImage) -> Result<()> + Send + 'static {
    let panes = panes_to_write(state, canvases);
    let record = record(state);
    let out = out.to_owned();
    move |image| {
        let listed: Vec<Value> = panes
            .iter()
            .map(|pane| json!({ "file": pane.name, "shown": pane.record }))
            .collect();
        if panes.is_empty() {
            return Err(Error::usage("no pane is open: there is nothing to export"));
        }
        let fill = |folder: &UnfinishedFolder| {
            folder.record(PANES_FILE, "export", json!({ "panes": listed, "made_by": record }));
            panes.iter().try_for_each(|pane| {
                let (size, rgb) = cut(image, pane.rect, pixels_per_point);
                folder.file(&pane.name, |file| write_png(file, size, &rgb))
            })
        };
        write_folder(&out, fill)
    }
}

/// The pixels of a place on the screen.
fn cut(image: &ColorImage, rect: Rect, pixels_per_point: f32) -> ([usize; 2], Vec<u8>) {
    let [width, height] = image.size;
    let edge = |points: f32, most: usize| ((points * pixels_per_point).round().max(0.0) as usize).min(most);
    let (left, right) = (edge(rect.left(), width), edge(rect.right(), width));
    let (top, bottom) = (edge(rect.top(), height), edge(rect.bottom(), height));
    let rows = image.pixels.chunks_exact(width.max(1)).take(bottom).skip(top);
    let rgb = rows
        .flat_map(|row| row.iter().take(right).skip(left))
        .flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()])
        .collect();
    ([right - left, bottom - top], rgb)
}

impl App {
    /// Asks for a picture of the window and writes its panes when it has come.
    pub(super) fn export_panes(&mut self, out: PathBuf, context: &Context) {
        let write = write_panes(&self.state, &self.canvases, context.pixels_per_point(), &out);
        let (answer, woken) = (self.answer.clone(), context.clone());
        context.request_screenshot(move |image| {
            background(&answer, &woken, Later::Written, move || write(&image).map(|()| out));
        });
    }

    /// Writes all panes of a picture of the window.
    pub fn write_panes(&self, image: &ColorImage, pixels_per_point: f32, out: &Path) -> Result<()> {
        write_panes(&self.state, &self.canvases, pixels_per_point, out)(image)
    }

    /// Writes pins and matches: as a table, or as JSON with what made them.
    pub(super) fn save_matches(&mut self, path: PathBuf) {
        let text = if is_json(&path) {
            format!("{:#}\n", matches_json(&self.state))
        } else {
            matches_csv(&self.state, ',')
        };
        self.write_text(path, text);
    }

    /// Writes the ranking as it is listed: as a table, or as JSON with every prediction and what made them.
    pub(super) fn save_ranking(&mut self, path: PathBuf) {
        let text = if is_json(&path) {
            ranking_json(&self.state).map(|json| format!("{json:#}\n"))
        } else {
            ranking_csv(&self.state)
        };
        match text {
            Some(text) => self.write_text(path, text),
            None => self.state.messages.tell(
                Level::Warning,
                "There is no ranking to save: mark the same places in two pictures, and run the model.",
            ),
        }
    }

    /// Writes the pairs of points, as they can be opened again.
    pub(super) fn save_pairs(&mut self, path: PathBuf) {
        let pairs = point_pairs(&self.state.document);
        self.write_text(path, format!("{:#}\n", json!(pairs)));
    }

    /// Writes A, B and their difference as a picture, which holds what they are and what made them, or these as JSON.
    pub(super) fn save_compare(&mut self, path: PathBuf) {
        let context = self.textures.context().clone();
        let made = match &self.state.compare.view {
            Some(view) => compared_json(&self.state, view).map(|json| (view.clone(), json)),
            None => Err(nothing_compared()),
        };
        background(&self.answer, &context, Later::Written, move || {
            let (view, json) = made?;
            check_extension(&path, &["png", "json"])?;
            let bytes = match is_json(&path) {
                true => format!("{json:#}\n").into_bytes(),
                false => {
                    let (size, rgb) = compared_picture(&view)?;
                    let mut png = Vec::new();
                    write_png(&mut png, size, &rgb)?;
                    with_text(&png, METADATA_KEY, &json.to_string())
                }
            };
            replace_file(&path, |file| file.write_all(&bytes).map_err(write_error))?;
            Ok(path)
        });
    }

    /// Writes a text file, and tells when it is there.
    pub(super) fn write_text(&self, path: PathBuf, text: String) {
        let context = self.textures.context().clone();
        background(&self.answer, &context, Later::Written, move || {
            replace_file(&path, |temporary| {
                temporary.write_all(text.as_bytes()).map_err(write_error)
            })?;
            Ok(path)
        });
    }
}

fn is_json(path: &Path) -> bool {
    let extension = path.extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// Words for a query in a list.
pub fn query_text(at: &QueryAt) -> String {
    match at {
        QueryAt::Word(token) => format!("token {token}"),
        QueryAt::Point([x, y]) => format!("({x:.0}, {y:.0})"),
        QueryAt::Region { path, radius } => {
            let [x, y] = path.first().copied().unwrap_or_default();
            format!("region at ({x:.0}, {y:.0}), radius {radius:.0}")
        }
    }
}
