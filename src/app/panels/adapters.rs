//! What a model is told and what is put on it: prompt with its tokens, embeddings, LoRAs, ControlNets.

use egui::{DragValue, RichText, TextEdit, Ui};

use super::models::download_button_ui;
use crate::{
    app::{
        state::{
            path_box::PathPurpose,
            reveal::Control,
            root::State,
            shown::{file_name, short, shown_path},
        },
        update::command::Command,
        widgets::reveal,
    },
    engine::RunSettings,
    extract::preset::Preset,
    families::inventory::LocalModels,
    model::{
        adapters::{AppliedEmbedding, AppliedLora, ControlImage, Scale},
        tokens::{PromptToken, TokenRole, count_text},
    },
};

/// The scales that dragging reaches; others can be written into a workspace.
const SCALES: std::ops::RangeInclusive<f64> = -2.0..=2.0;
/// Change of a scale per point dragged.
const SCALE_SPEED: f64 = 0.01;

/// Prompt and tokens, embeddings, LoRAs and ControlNets of a model that reads prompts.
pub fn conditions_ui(ui: &mut Ui, state: &State, settings: &mut RunSettings, commands: &mut Vec<Command>) {
    prompt_ui(ui, &mut settings.prompt);
    let focused = state.focused_slot();
    let capture = state.slot(focused).capture.as_ref();
    let ran = capture.filter(|capture| capture.settings.prompt == settings.prompt);
    // While a prompt is typed those of the one that ran stay, so that nothing moves.
    ui.add_enabled_ui(ran.is_some(), |ui| {
        tokens_ui(ui, capture.map_or(&[][..], |capture| &capture.ran.tokens));
    });
    if !state.model.info.as_ref().is_some_and(|info| info.takes_adapters) {
        return;
    }
    let applied = ran.map_or(&[][..], |capture| &capture.ran.adapters.embeddings);
    embeddings_ui(ui, settings, applied);
    let applied = capture.map_or(&[][..], |capture| &capture.ran.adapters.loras);
    loras_ui(ui, settings, applied);
    controls_ui(ui, settings, commands);
    ui.horizontal_wrapped(|ui| add_ui(ui, state, commands));
}

fn prompt_ui(ui: &mut Ui, prompt: &mut String) {
    let label = ui.label("Prompt");
    let edit = TextEdit::multiline(prompt)
        .hint_text("a photo of a cat")
        .desired_rows(2)
        .desired_width(f32::INFINITY);
    let edit = ui.add(edit).labelled_by(label.id);
    reveal(ui, Control::Prompt, &edit);
    if let Some(words) = Preset::open_words(prompt) {
        ui.colored_label(
            ui.visuals().warn_fg_color,
            format!("Replace {words} with what is in the picture."),
        );
    }
}

/// The tokens that the last pass read: words stand out, what the encoder adds is weak.
fn tokens_ui(ui: &mut Ui, tokens: &[PromptToken]) {
    let count = |role| tokens.iter().filter(|token| token.role == role).count();
    ui.collapsing(count_text(tokens), |ui| {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            for token in tokens.iter().filter(|token| token.role != TokenRole::Padding) {
                let text = RichText::new(token.shown()).monospace();
                match token.role {
                    TokenRole::Word => ui.label(text),
                    _ => ui.weak(text),
                };
            }
            let padding = count(TokenRole::Padding);
            if padding > 0 {
                ui.weak(format!("+ {padding} of padding")).on_hover_text(
                    "The encoder fills its places up. What it makes of the padding is attended to as well.",
                );
            }
        });
    });
}

fn scale_ui(ui: &mut Ui, scale: &mut Scale) {
    let mut number = f64::from(*scale);
    let drag = DragValue::new(&mut number)
        .prefix("× ")
        .range(SCALES)
        .clamp_existing_to_range(false)
        .max_decimals(2)
        .speed(SCALE_SPEED);
    if ui.add(drag).on_hover_text("How strongly it acts").changed() {
        // What the range lets through is a scale.
        *scale = Scale::try_from(number).unwrap_or(*scale);
    }
}

fn name_of(path: &std::path::Path) -> String {
    short(&file_name(path))
}

fn loras_ui(ui: &mut Ui, settings: &mut RunSettings, applied: &[AppliedLora]) {
    let mut removed = None;
    for (index, lora) in settings.adapters.loras.iter_mut().enumerate() {
        ui.horizontal_wrapped(|ui| {
            let path = shown_path(&lora.file);
            ui.checkbox(&mut lora.on, name_of(&lora.file)).on_hover_text(path);
            scale_ui(ui, &mut lora.scale);
            if ui.small_button("×").on_hover_text("Take this LoRA off").clicked() {
                removed = Some(index);
            }
        });
        let told = applied.iter().find(|applied| applied.file == lora.file);
        if let Some(told) = told.filter(|told| lora.on && told.scale == lora.scale) {
            ui.weak(told.describe());
        }
    }
    if let Some(index) = removed {
        settings.adapters.loras.remove(index);
    }
}

/// A row for each embedding: what names it in the prompt is the file's own token, or another one typed here.
fn embeddings_ui(ui: &mut Ui, settings: &mut RunSettings, applied: &[AppliedEmbedding]) {
    const TOKEN_WIDTH: f32 = 90.0;
    let mut removed = None;
    for (index, embedding) in settings.adapters.embeddings.iter_mut().enumerate() {
        let told = applied.iter().find(|applied| applied.file == embedding.file);
        ui.horizontal_wrapped(|ui| {
            let path = shown_path(&embedding.file);
            ui.checkbox(&mut embedding.on, name_of(&embedding.file))
                .on_hover_text(path);
            let mut token = embedding.token.clone().unwrap_or_default();
            let edit = TextEdit::singleline(&mut token)
                .hint_text(told.map_or("its own token", |told| &told.token))
                .desired_width(TOKEN_WIDTH);
            if ui.add(edit).on_hover_text("What names it in the prompt").changed() {
                embedding.token = Some(token).filter(|token| !token.trim().is_empty());
            }
            if ui.small_button("×").on_hover_text("Take this embedding off").clicked() {
                removed = Some(index);
            }
        });
        if let Some(told) = told.filter(|told| embedding.on && !told.in_prompt) {
            ui.weak(format!("The prompt does not name \"{}\".", told.token));
        }
    }
    if let Some(index) = removed {
        settings.adapters.embeddings.remove(index);
    }
}

fn controls_ui(ui: &mut Ui, settings: &mut RunSettings, commands: &mut Vec<Command>) {
    let mut removed = None;
    for (index, control) in settings.adapters.controls.iter_mut().enumerate() {
        ui.horizontal_wrapped(|ui| {
            let path = shown_path(&control.net);
            ui.checkbox(&mut control.on, name_of(&control.net)).on_hover_text(path);
            scale_ui(ui, &mut control.scale);
            if ui.small_button("×").on_hover_text("Take this ControlNet off").clicked() {
                removed = Some(index);
            }
        });
        ui.horizontal_wrapped(|ui| {
            ui.weak("looks at");
            let edges = matches!(control.image, ControlImage::Canny);
            let hint = "Canny edges (100, 200) of the picture as the model sees it";
            if ui.selectable_label(edges, "its edges").on_hover_text(hint).clicked() {
                control.image = ControlImage::Canny;
            }
            let (name, path) = match &control.image {
                ControlImage::Canny => ("a picture…".to_owned(), String::new()),
                ControlImage::Picture(path) => (name_of(path), shown_path(path)),
            };
            let hint = format!("A control image made elsewhere, such as depth  {path}");
            if ui.selectable_label(!edges, name).on_hover_text(hint).clicked() {
                commands.push(Command::AskPath(PathPurpose::ControlImage(index)));
            }
        });
    }
    if let Some(index) = removed {
        settings.adapters.controls.remove(index);
    }
}

/// What can be put on the model besides.
fn add_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let hint = "An adapter for this model: LoRA, LoHa, LoKr, DoRA, OFT, differences, with the names of any program";
    let lora = ui.button("Add LoRA…").on_hover_text(hint);
    reveal(ui, Control::Lora, &lora);
    if lora.clicked() {
        commands.push(Command::AskPath(PathPurpose::Lora));
    }
    let hint = "Textual inversion: vectors that the prompt names by a token";
    let embedding = ui.button("Add embedding…").on_hover_text(hint);
    reveal(ui, Control::Embedding, &embedding);
    if embedding.clicked() {
        commands.push(Command::AskPath(PathPurpose::Embedding));
    }
    let hint = "A folder with config.json and weights, or one file, for the same family as this model";
    let menu = ui.menu_button("Add ControlNet…", |ui| {
        let shelf = state.downloads.shelf.iter();
        for (net, folder) in shelf.flat_map(LocalModels::control_nets) {
            if ui.button(&net.name).on_hover_text(shown_path(folder)).clicked() {
                commands.push(Command::UsePath(PathPurpose::ControlNet, folder.to_owned()));
            }
        }
        if ui.button("Open a folder…").on_hover_text(hint).clicked() {
            commands.push(Command::AskPath(PathPurpose::ControlNet));
        }
        if ui.button("Open a file…").on_hover_text(hint).clicked() {
            commands.push(Command::AskPath(PathPurpose::ControlNetFile));
        }
        download_button_ui(ui, state, commands);
    });
    reveal(ui, Control::ControlNet, &menu.response);
    menu.response.on_hover_text(hint);
}
