//! What the command palette can find: actions, controls, colour maps, layers, samples, models, settings of papers, files.

use egui::Context;

use crate::{
    app::{
        document::display::Display,
        state::{
            fuzzy::{Findable, fit},
            reveal::Control,
            root::State,
            shown::shown_path,
        },
        update::{
            abilities::Abilities,
            action::{Action, Menu},
            aliases::aliases_of,
            command::Command,
        },
    },
    engine::PictureSource,
    extract::preset::PRESETS,
    families::known::known_checkpoints,
    image::samples::SAMPLES,
    render::ColourMap,
};

/// Entries that are listed where something is typed: who reads further types more.
const MOST_LISTED: usize = 60;
/// Points of what cannot be done now, below the same that can.
const CANNOT_NOW: u32 = 40;
/// Points of what was chosen last, above the same that was not.
const CHOSEN_LATELY: u32 = 6;

/// Something that can be chosen.
pub struct Choice {
    /// What it is called.
    pub name: String,
    /// Where it is: a menu, a panel, or what kind of thing it is.
    pub place: &'static str,
    /// Its key.
    pub key: String,
    /// What it does.
    pub hint: String,
    /// What else it is called, where that is what was typed.
    pub alias: Option<&'static str>,
    /// Whether it can be done now.
    pub can: bool,
    /// Whether it was chosen lately.
    pub is_recent: bool,
    /// What it is remembered by.
    pub remembered: String,
    /// What choosing it does.
    pub command: Command,
}

/// What can always be found, whatever is open.
struct Known {
    choice: Choice,
    aliases: &'static [&'static str],
}

/// Everything that fits what is typed, the best first; with nothing typed what was chosen lately, and then all that has a
/// fixed name.
pub fn choices(context: &Context, state: &State, typed: &str) -> Vec<Choice> {
    let typed = typed.trim().to_lowercase();
    let recent = &state.preferences.choices;
    let mut found: Vec<(u32, Choice)> = Vec::new();
    for Known { mut choice, aliases } in known(context, state) {
        let findable = Findable {
            name: &choice.name,
            aliases,
            place: choice.place,
            hint: &choice.hint,
        };
        if let Some((score, alias)) = fit(&typed, &findable).map(|fit| (fit.score, fit.alias)) {
            choice.alias = alias
                .and_then(|alias| aliases.iter().find(|other| **other == alias))
                .copied();
            found.push((score, choice));
        }
    }
    let named = named(state);
    if typed.is_empty() {
        found.extend(
            named
                .into_iter()
                .filter(|named| recent.contains(&named.remembered))
                .map(|named| (0, named)),
        );
    } else {
        for choice in named {
            let of = Findable {
                name: &choice.name,
                aliases: &[],
                place: choice.place,
                hint: "",
            };
            // Names of things are many and long: letters scattered over one are no sign of it.
            let all = format!("{} {}", choice.name, choice.place).to_lowercase();
            let has_all = typed.split_whitespace().all(|word| all.contains(word));
            if let Some(score) = fit(&typed, &of).filter(|_| has_all).map(|fit| fit.score) {
                found.push((score, choice));
            }
        }
    }
    for (score, choice) in &mut found {
        let place = recent.iter().position(|key| *key == choice.remembered);
        choice.is_recent = place.is_some();
        match place {
            Some(place) if typed.is_empty() => *score = u32::MAX - place as u32,
            Some(_) => *score += CHOSEN_LATELY,
            None if typed.is_empty() => *score = u32::from(choice.can),
            None => {}
        }
        if !choice.can && !typed.is_empty() {
            *score = score.saturating_sub(CANNOT_NOW);
        }
    }
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let most = if typed.is_empty() { usize::MAX } else { MOST_LISTED };
    found.into_iter().take(most).map(|(_, choice)| choice).collect()
}

/// Actions, controls and colour maps.
fn known(context: &Context, state: &State) -> Vec<Known> {
    let actions = Action::ALL.iter().filter(|action| **action != Action::Palette);
    let actions = actions.map(|action| Known {
        choice: Choice {
            name: action.name().to_owned(),
            place: action.entry().menu.title(),
            key: action.key_text(context),
            hint: action.entry().hint.to_owned(),
            can: state.can(*action),
            command: Command::Act(*action),
            ..choice(format!("{action:?}"), Command::Act(*action))
        },
        aliases: aliases_of(*action),
    });
    let controls = Control::ALL.map(|control| {
        let facts = control.facts();
        Known {
            choice: Choice {
                name: facts.name.to_owned(),
                place: "Setting",
                hint: facts.hint.to_owned(),
                can: state.has_control(control),
                ..choice(format!("{control:?}"), Command::Reveal(control))
            },
            aliases: facts.aliases,
        }
    });
    let maps = ColourMap::ALL.map(|map| {
        let display = Display {
            map,
            ..state.document.display.clone()
        };
        Known {
            choice: Choice {
                name: format!("Colour map {}", map.name()),
                place: Menu::Display.title(),
                hint: "Draw heat maps with this colour map.".to_owned(),
                ..choice(format!("ColourMap {}", map.name()), Command::Display(display))
            },
            aliases: &[],
        }
    });
    controls.into_iter().chain(actions).chain(maps).collect()
}

/// Things that are there by their own names.
fn named(state: &State) -> Vec<Choice> {
    let entry = |name: String, place: &'static str, command| Choice {
        hint: name.clone(),
        place,
        ..choice(format!("{place} {name}"), command)
    };
    let named = |name: String, place, command| Choice {
        name: name.clone(),
        ..entry(name, place, command)
    };
    let slot = state.focused_slot();
    let layers = state.layers().iter().filter(|layer| layer.can_be_shown());
    let layers = layers.map(|layer| named(layer.id.to_string(), "Layer", Command::SelectLayer(layer.id)));
    let samples = SAMPLES.iter().map(|sample| {
        let source = PictureSource::Sample(sample.name.to_owned());
        named(
            sample.name.to_owned(),
            "Sample picture",
            Command::OpenPicture(slot, source),
        )
    });
    let models = known_checkpoints().map(|model| {
        let name = model.key.to_owned();
        named(name.clone(), "Model", Command::LoadModel(name))
    });
    let presets = PRESETS.iter().map(|preset| {
        let name = format!("{}  ({})", preset.title, preset.model);
        named(name, "Preset", Command::Preset(preset, true))
    });
    let files = state.preferences.workspaces.iter().chain(&state.preferences.pictures);
    let files = files.map(|path| named(shown_path(path), "Recent file", Command::OpenFiles(vec![path.clone()])));
    layers
        .chain(samples)
        .chain(models)
        .chain(presets)
        .chain(files)
        .collect()
}

/// A choice of which the rest is still to be said.
fn choice(remembered: String, command: Command) -> Choice {
    Choice {
        name: String::new(),
        place: "",
        key: String::new(),
        hint: String::new(),
        alias: None,
        can: true,
        is_recent: false,
        remembered,
        command,
    }
}
