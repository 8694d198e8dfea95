//! The command palette: anything that can be done, any layer, sample, model and recent file, by name.

use egui::{Align2, Area, Button, Frame, Id, Key, Order, ScrollArea, TextEdit, Ui, WidgetInfo, accesskit::Role, vec2};

use crate::{
    app::{
        state::{root::State, shown::shown_path},
        update::{abilities::Abilities, action::Action, command::Command},
    },
    engine::PictureSource,
    extract::preset::PRESETS,
    families::known::known_checkpoints,
    image::samples::SAMPLES,
};

/// Width of the palette, and its distance from the top, in points.
const WIDTH: f32 = 520.0;
const TOP: f32 = 60.0;
/// Entries that are listed.
const MOST_LISTED: usize = 60;

/// Something that can be chosen.
struct Choice {
    name: String,
    kind: &'static str,
    key: String,
    hint: String,
    command: Command,
}

/// The palette, while it is open.
pub fn palette_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(typed) = &state.overlays.palette else { return };
    let mut text = typed.clone();
    let context = ui.ctx().clone();
    let id = Id::unique("palette");
    let mut chosen = context.data(|data| data.get_temp::<usize>(id)).unwrap_or(0);
    let (down, up, enter, escape) = context.input_mut(|input| {
        let mut pressed = |key| input.count_and_consume_key(egui::Modifiers::NONE, key);
        (
            pressed(Key::ArrowDown),
            pressed(Key::ArrowUp),
            pressed(Key::Enter) > 0,
            pressed(Key::Escape) > 0,
        )
    });
    let mut choices = Vec::new();
    let mut done = None;
    let mut outside = false;
    let area = Area::new(id)
        .anchor(Align2::CENTER_TOP, vec2(0.0, TOP))
        .order(Order::Foreground)
        .show(&context, |ui| {
            Frame::popup(ui.style()).show(ui, |ui| {
                ui.set_width(WIDTH.min(ui.ctx().content_rect().width() - TOP));
                let edit = TextEdit::singleline(&mut text)
                    .hint_text("Type what to do, a layer, a sample, a model")
                    .desired_width(f32::INFINITY);
                let response = ui.add(edit);
                response.widget_info(|| WidgetInfo::labeled(Role::SearchInput, true, "Command palette"));
                response.request_focus();
                // Text and Enter of one frame belong together: what is chosen is of what was typed by then.
                choices = found(ui, state, &text);
                if text != *typed {
                    chosen = 0;
                }
                chosen = (chosen + down).saturating_sub(up).min(choices.len().saturating_sub(1));
                done = enter.then_some(chosen);
                let height = (ui.ctx().content_rect().height() - 3.0 * TOP).max(TOP);
                ScrollArea::vertical().max_height(height).show(ui, |ui| {
                    if choices.is_empty() {
                        ui.weak("Nothing has all of these words.");
                    }
                    for (index, choice) in choices.iter().enumerate() {
                        let button = Button::selectable(index == chosen, &choice.name)
                            .shortcut_text(format!("{}  {}", choice.kind, choice.key))
                            .min_size(vec2(ui.available_width(), 0.0));
                        let response = ui.add(button).on_hover_text(&choice.hint);
                        if index == chosen && down + up > 0 {
                            response.scroll_to_me(None);
                        }
                        if response.clicked() {
                            done = Some(index);
                        }
                    }
                });
            });
        });
    let pressed = context.input(|input| {
        input
            .pointer
            .any_pressed()
            .then(|| input.pointer.interact_pos())
            .flatten()
    });
    if let Some(pos) = pressed {
        outside = !area.response.rect.contains(pos);
    }
    if text != *typed {
        commands.push(Command::PaletteText(text));
    }
    context.data_mut(|data| data.insert_temp(id, chosen));
    if done.is_some() || escape || outside {
        context.data_mut(|data| data.remove_temp::<usize>(id));
        commands.push(Command::Act(Action::Palette));
    }
    if let Some(choice) = done.and_then(|index| choices.into_iter().nth(index)) {
        commands.push(choice.command);
    }
}

/// What has every word that was typed, what begins with it first.
fn found(ui: &Ui, state: &State, text: &str) -> Vec<Choice> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let fits = |name: &str, kind: &str| {
        let all = format!("{name} {kind}").to_lowercase();
        words.iter().all(|word| all.contains(word.as_str()))
    };
    let actions = Action::ALL
        .iter()
        .filter(|action| **action != Action::Palette && state.can(**action));
    let mut choices: Vec<Choice> = actions
        .filter(|action| fits(action.name(), action.entry().menu.title()))
        .map(|action| Choice {
            name: action.name().to_owned(),
            kind: action.entry().menu.title(),
            key: action.key_text(ui.ctx()),
            hint: action.entry().hint.to_owned(),
            command: Command::Act(*action),
        })
        .collect();
    let entry = |name: String, kind, command| Choice {
        hint: name.clone(),
        name,
        kind,
        key: String::new(),
        command,
    };
    let slot = state.focused_slot();
    if !words.is_empty() {
        let layers = state
            .layers()
            .iter()
            .filter(|layer| layer.can_be_shown())
            .map(|layer| layer.id);
        choices.extend(
            layers
                .map(|id| (id.to_string(), id))
                .filter(|(name, _)| fits(name, "layer"))
                .map(|(name, id)| entry(name, "Layer", Command::SelectLayer(id))),
        );
        let samples = SAMPLES.iter().filter(|sample| fits(sample.name, "sample picture"));
        choices.extend(samples.map(|sample| {
            let source = PictureSource::Sample(sample.name.to_owned());
            entry(sample.name.to_owned(), "Sample", Command::OpenPicture(slot, source))
        }));
        let models = known_checkpoints().filter(|model| fits(model.key, "model"));
        choices.extend(models.map(|model| {
            let name = model.key.to_owned();
            entry(name.clone(), "Model", Command::LoadModel(name))
        }));
        let presets = PRESETS.iter().filter(|preset| fits(preset.title, "preset"));
        choices.extend(presets.map(|preset| {
            let name = format!("{}  ({})", preset.title, preset.model);
            entry(name, "Preset", Command::Preset(preset, true))
        }));
        let recent = state.preferences.workspaces.iter().chain(&state.preferences.pictures);
        choices.extend(
            recent
                .filter(|path| fits(&path.display().to_string(), "recent"))
                .map(|path| {
                    let name = shown_path(path);
                    entry(name, "Recent", Command::OpenFiles(vec![path.clone()]))
                }),
        );
    }
    let first = words.first().cloned().unwrap_or_default();
    choices.sort_by_key(|choice| !choice.name.to_lowercase().starts_with(&first));
    choices.truncate(MOST_LISTED);
    choices
}
