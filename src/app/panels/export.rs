//! The window that says how panes are written as figures.

use egui::{Button, Checkbox, ComboBox, DragValue, Label, TextEdit, Ui, vec2};

use crate::{
    app::{
        document::figure::{FigureSettings, MOST_TITLE},
        state::{path_box::PathPurpose, root::State},
        theme,
        update::{action::Action, command::Command},
        widgets::{name_combo, row_ui},
    },
    render::{FigureSize, MOST_TIMES},
};

/// Width of the window's content, in points.
const WIDTH: f32 = 380.0;
/// Factors that are offered.
const TIMES: [u32; 3] = [1, 2, 4];
/// The width that is offered first, in pixels, and the most.
const FIRST_WIDTH: u32 = 1200;
const MOST_WIDTH: u32 = 16_384;

/// What a figure's size is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Picture,
    Working,
    Width,
    AsShown,
}

impl Measure {
    const ALL: [Self; 4] = [Self::Picture, Self::Working, Self::Width, Self::AsShown];

    fn of(settings: &FigureSettings) -> Self {
        match (settings.as_shown, settings.size) {
            (true, _) => Self::AsShown,
            (_, FigureSize::Picture { .. }) => Self::Picture,
            (_, FigureSize::Working { .. }) => Self::Working,
            (_, FigureSize::Width { .. }) => Self::Width,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Picture => "the picture's pixels",
            Self::Working => "the working size",
            Self::Width => "a width in pixels",
            Self::AsShown => "as the window shows it",
        }
    }
}

/// How large, what stands around it, and where it goes.
pub fn export_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.set_width(WIDTH);
    let before = &state.preferences.figure;
    let mut settings = before.clone();
    size_ui(ui, &mut settings);
    ui.add_enabled_ui(!settings.as_shown, |ui| {
        row_ui(ui, "Title", |ui| {
            let edit = TextEdit::singleline(&mut settings.title)
                .char_limit(MOST_TITLE)
                .hint_text("none")
                .desired_width(f32::INFINITY);
            ui.add(edit)
                .on_hover_text("Stands above every figure")
                .widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Title of figures"));
        });
        row_ui(ui, "Below", |ui| {
            ui.add(Checkbox::new(&mut settings.colour_bar, "Colour bar"))
                .on_hover_text("The colours of scores with the lowest and the highest");
            ui.add(Checkbox::new(&mut settings.caption, "Caption")).on_hover_text(
                "Model, layer, the t that ran, seed, ensemble, size, dtype, basis, colour map and range",
            );
        });
    });
    ui.add_space(theme::SPACE_S);
    let words = "Every pane that is seen becomes a PNG; panes.json says what made them. Studies (plots, tables, matrices) are \
                 written as the window shows them.";
    ui.add(Label::new(words).wrap());
    ui.add_space(theme::SPACE_S);
    let button = ui.add(Button::new("Choose a folder…").min_size(vec2(0.0, ui.spacing().interact_size.y)));
    if settings != *before {
        commands.push(Command::Figure(settings));
    }
    if button.clicked() {
        // A picture of the window must not have this one in it.
        commands.push(Command::Act(Action::ExportPanes));
        commands.push(Command::AskPath(PathPurpose::ExportPanes));
    }
}

fn size_ui(ui: &mut Ui, settings: &mut FigureSettings) {
    let measured = Measure::of(settings);
    let mut measure = measured;
    row_ui(ui, "Size", |ui| {
        let combo = ComboBox::from_id_salt("size of figures")
            .selected_text(measured.name())
            .show_ui(ui, |ui| {
                for other in Measure::ALL {
                    ui.selectable_value(&mut measure, other, other.name());
                }
            });
        name_combo(&combo.response, "Size of figures", measured.name());
    });
    if measure != measured {
        settings.as_shown = measure == Measure::AsShown;
        settings.size = match measure {
            Measure::Picture => FigureSize::Picture { times: 1 },
            Measure::Working => FigureSize::Working { times: 1 },
            Measure::Width => FigureSize::Width { pixels: FIRST_WIDTH },
            Measure::AsShown => settings.size,
        };
    }
    match &mut settings.size {
        _ if settings.as_shown => {}
        FigureSize::Picture { times } | FigureSize::Working { times } => {
            row_ui(ui, "Times", |ui| {
                for factor in TIMES {
                    ui.selectable_value(times, factor, format!("{factor}x"));
                }
                ui.add(
                    DragValue::new(times)
                        .range(1..=MOST_TIMES)
                        .prefix("other: ")
                        .suffix("x"),
                )
                .on_hover_text("Any other factor");
            });
        }
        FigureSize::Width { pixels } => {
            row_ui(ui, "Width", |ui| {
                ui.add(DragValue::new(pixels).range(1..=MOST_WIDTH).suffix(" px"))
                    .on_hover_text("Pixels across; the height keeps the picture's proportions");
            });
        }
    }
}
