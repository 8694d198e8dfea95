//! Pictures, models and workspaces: opened, closed, saved, shown again.

use std::path::PathBuf;

use egui::Context;

use super::{app::App, pending::Origin};
use crate::{
    app::{
        document::{root::Document, workspace},
        export::{
            captions::not_finite_text,
            requests::{extract_request, save_request},
        },
        state::{messages::Level, path_box::PathPurpose, shown::file_name, work::Job},
    },
    device::{DeviceChoice, Precision},
    engine::{BasisChoice, ImageSlot, PictureSource, Request, ViewRequest},
    families::known::known_checkpoint,
    files::names,
    model::adapters::{ControlImage, ControlUse, EmbeddingUse, LoraUse, Scale},
};

impl App {
    pub(in crate::app) fn open_picture(&mut self, slot: ImageSlot, source: PictureSource) {
        let source = match source {
            PictureSource::File(path) => PictureSource::File(lasting(path)),
            sample @ PictureSource::Sample(_) => sample,
        };
        self.ask_for_picture(slot, source, Origin::User);
    }

    fn ask_for_picture(&mut self, slot: ImageSlot, source: PictureSource, by: Origin) {
        self.state.slot_mut(slot).error = None;
        self.pending.ask(slot, by);
        self.engine.send(Request::OpenPicture { slot, source });
    }

    /// Empties a slot that the document says is empty.
    pub(in crate::app) fn let_go_of_picture(&mut self, slot: ImageSlot) {
        self.empty_slot(slot);
        // A swap that is still to come is done before.
        let slot = self.pending.place_of(slot);
        self.pending.ask(slot, Origin::Document);
        self.engine.send(Request::ClosePicture { slot });
    }

    /// Pictures where there is room, the first in the pane worked in; a workspace in place of everything.
    pub(in crate::app) fn open_files(&mut self, paths: Vec<PathBuf>) {
        let focused = self.state.focused_slot();
        let mut taken: Vec<ImageSlot> = self.state.document.pictures.keys().copied().collect();
        let several = paths.len() > 1;
        for (index, path) in paths.into_iter().enumerate() {
            if workspace::is_workspace(&path) {
                self.open_workspace(path);
                continue;
            }
            let free = ImageSlot::all().find(|slot| !taken.contains(slot));
            let first = index == 0 && (!several || taken.is_empty());
            let Some(slot) = Some(focused).filter(|_| first).or(free) else {
                self.state.messages.report(
                    Level::Warning,
                    format!(
                        "{} is not opened: all {} places are taken.",
                        path.display(),
                        ImageSlot::MOST
                    ),
                );
                continue;
            };
            taken.push(slot);
            self.open_picture(slot, PictureSource::of(&path));
        }
    }

    pub(in crate::app) fn close_picture(&mut self, slot: ImageSlot) {
        self.state.document.pictures.remove(&slot);
        self.state.missing.retain(|(missing, _)| *missing != slot);
        self.let_go_of_picture(slot);
        self.give_room_back(slot);
    }

    pub(in crate::app) fn swap_pictures(&mut self, a: ImageSlot, b: ImageSlot) {
        self.pending.ask_swap(a, b);
        self.engine.send(Request::SwapPictures { a, b });
    }

    /// Shows a document that was shown before, or that a workspace holds: what differs from what is there is asked for.
    pub(in crate::app) fn restore(&mut self, document: Document) {
        let swapping: Vec<ImageSlot> = ImageSlot::all()
            .filter(|slot| self.pending.is_swapping(*slot))
            .collect();
        self.pending.overtake_swaps();
        for slot in ImageSlot::all() {
            let (there, wanted) = (
                self.state
                    .slot(slot)
                    .picture
                    .as_ref()
                    .map(|picture| picture.source.clone()),
                document.pictures.get(&slot).map(|picture| picture.source.clone()),
            );
            // What is still to come may be something else than what is there.
            let changes = self.pending.is_open(slot) || swapping.contains(&slot);
            match wanted {
                Some(source) if changes || there.as_ref() != Some(&source) => {
                    self.ask_for_picture(slot, source, Origin::Document)
                }
                None if changes || there.is_some() => self.let_go_of_picture(slot),
                _ => {}
            }
        }
        let model = &self.state.model;
        // What is still being read will be there.
        let there = match (model.loading, &model.info) {
            (Some(_), _) => Some(model.wanted.clone()),
            (None, info) => info.as_ref().map(|info| info.name.clone()),
        };
        if let Some(name) = document.model.clone().filter(|name| there.as_ref() != Some(name)) {
            self.load_model(name);
        }
        let mask = document.mask;
        self.state.document = document;
        self.state.want_another_run();
        self.set_mask(mask);
    }

    pub(in crate::app) fn use_path(&mut self, purpose: PathPurpose, path: PathBuf, context: &Context) {
        match purpose {
            PathPurpose::Picture(slot) => self.open_picture(slot, PictureSource::of(&path)),
            PathPurpose::Model | PathPurpose::ModelFile => self.load_model(names::text(path)),
            PathPurpose::Lora
            | PathPurpose::ControlNet
            | PathPurpose::ControlNetFile
            | PathPurpose::Embedding
            | PathPurpose::ControlImage(_) => {
                self.put_on_model(purpose, lasting(path));
            }
            PathPurpose::OpenWorkspace => self.open_workspace(path),
            PathPurpose::SaveWorkspace => self.save_workspace(lasting(path)),
            PathPurpose::OpenBasis => self.state.document.pca.basis = BasisChoice::Saved(lasting(path)),
            PathPurpose::Screenshot => self.save_screenshot(path, context),
            PathPurpose::ExportPanes => self.export_panes(path, context),
            PathPurpose::SaveSurvey => self.save_survey(path),
            PathPurpose::SaveMatches => self.save_matches(path),
            PathPurpose::SavePane(kind) => self.save_pane(kind, path),
            PathPurpose::OpenPairs => self.open_pairs(path),
            PathPurpose::SavePairs => self.save_pairs(path),
            PathPurpose::Extract => self.extract(path),
            PathPurpose::SavePca(slot) | PathPurpose::SaveHeat(slot) | PathPurpose::SaveMap(slot) => {
                self.save_view(purpose, Some(slot), path);
            }
            PathPurpose::SaveBasis | PathPurpose::SavePage => self.save_view(purpose, None, path),
        }
        context.request_repaint();
    }

    /// A LoRA, an embedding, a ControlNet, or what one looks at.
    fn put_on_model(&mut self, purpose: PathPurpose, path: PathBuf) {
        let adapters = &mut self.state.document.settings.adapters;
        match purpose {
            PathPurpose::Embedding => adapters.embeddings.push(EmbeddingUse {
                file: path,
                token: None,
                on: true,
            }),
            PathPurpose::ControlNet | PathPurpose::ControlNetFile => adapters.controls.push(ControlUse {
                net: path,
                image: ControlImage::Canny,
                scale: Scale::ONE,
                on: true,
            }),
            PathPurpose::ControlImage(index) => {
                if let Some(control) = adapters.controls.get_mut(index) {
                    control.image = ControlImage::Picture(path);
                }
            }
            _ => adapters.loras.push(LoraUse {
                file: path,
                scale: Scale::ONE,
                on: true,
            }),
        }
        self.state.want_another_run();
    }

    fn save_view(&mut self, purpose: PathPurpose, slot: Option<ImageSlot>, path: PathBuf) {
        match save_request(&self.state, &self.textures, purpose, slot, path) {
            Some(request) => {
                if let ViewRequest::SavePage(page) = &request {
                    self.state.pages.push(page.path.clone());
                }
                self.engine.send(Request::View(request));
            }
            None => {
                let nothing = "There is nothing to save yet: nothing has run, or nothing is pointed at.";
                let words = slot.and_then(|slot| not_finite_text(&self.state, slot));
                let words = words.map_or(nothing.to_owned(), |words| {
                    format!("{words}: there is nothing to save.")
                });
                self.state.messages.report(Level::Warning, words);
            }
        }
    }

    fn extract(&mut self, out: PathBuf) {
        let Some(request) = extract_request(&self.state) else {
            self.state.messages.report(
                Level::Warning,
                "There is nothing to extract: a model, a layer and at least one picture from a file are needed.",
            );
            return;
        };
        self.state.jobs_begun += 1;
        let number = self.state.jobs_begun;
        let title = file_name(&out).into_owned();
        self.state.jobs.push_back(Job {
            number,
            title,
            fraction: None,
            item: None,
        });
        self.engine.send(Request::Extract {
            job: number,
            request: Box::new(request),
            out,
        });
    }

    pub(in crate::app) fn compute_on(&mut self, device: DeviceChoice, precision: Precision) {
        let memory = &mut self.state.preferences;
        (memory.device, memory.precision) = (device, precision);
        let name = self.state.model.wanted.clone();
        if !name.is_empty() {
            self.load_model(name);
        }
    }

    pub(in crate::app) fn load_model(&mut self, name: String) {
        let name = lasting_name(name);
        // One that was to be read when it had come is wanted no longer.
        self.state.downloads.awaited = None;
        let model = &mut self.state.model;
        model.wanted.clone_from(&name);
        model.error = None;
        model.loading = Some(0.0);
        let (device, dtype) = (self.state.preferences.device, self.state.preferences.precision);
        self.engine.send(Request::LoadModel { name, device, dtype });
    }
}

/// A path that means the same when the program is started elsewhere.
fn lasting(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// The same of a model, where its name is a path.
fn lasting_name(name: String) -> String {
    let path = names::path(&name);
    if known_checkpoint(&name).is_some() || !path.exists() {
        return name;
    }
    names::text(lasting(path))
}
