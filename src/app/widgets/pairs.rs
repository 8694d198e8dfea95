//! Pairs of points as lines of a list.

use egui::{Button, Sense, Ui, Vec2, WidgetInfo, accesskit::Role};

use crate::app::{
    document::root::{Mark, Pin},
    state::{pair_questions::PairFigures, readout::pixel_text, root::State},
    theme,
    update::command::Command,
};

/// The colour that marks a pin.
pub(in crate::app) fn pin_swatch_ui(ui: &mut Ui, number: u32) {
    let (rect, _) = ui.allocate_exact_size(Vec2::splat(theme::SPACE_L), Sense::hover());
    let colour = theme::tokens(ui).pin(number);
    ui.painter().circle_filled(rect.center(), theme::SPACE_S, colour);
}

/// A small button that takes a pin or a pair away.
pub(in crate::app) fn delete_pin_ui(ui: &mut Ui, what: &str, number: u32, commands: &mut Vec<Command>) {
    let delete = ui.small_button("×").on_hover_text(format!("Delete this {what}"));
    delete.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Delete {what} {number}")));
    if delete.clicked() {
        commands.push(Command::DeletePin(number));
    }
}

/// A pair: number, colour, pictures, the cosine of its points, and how far the best match is from where it should be. A
/// click selects it; the other point by another click.
pub(in crate::app) fn pair_ui(ui: &mut Ui, state: &State, pin: &Pin, commands: &mut Vec<Command>) {
    let Some(figures) = state.pair_figures(pin) else { return };
    let document = &state.document;
    let selected = document.selected_pin == Some(pin.number);
    ui.horizontal_wrapped(|ui| {
        pin_swatch_ui(ui, pin.number);
        let button = ui.add(Button::selectable(selected, short_text(&figures)));
        let name = pair_name(&figures);
        button.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, &name));
        if button
            .on_hover_text(format!(
                "{name}. Click to show its similarities, again for those of its other point"
            ))
            .clicked()
        {
            let mate = selected && !document.selected_mate;
            let number = pin.number;
            commands.push(match selected && document.selected_mate {
                true => Command::SelectPin(None),
                false => Command::SelectMark(Mark { number, mate }),
            });
        }
        let split = ui.small_button("split").on_hover_text("Make two pins of this pair");
        split.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Split pair {}", pin.number)));
        if split.clicked() {
            commands.push(Command::SplitPair(pin.number));
        }
        delete_pin_ui(ui, "pair", pin.number, commands);
    });
}

/// What stands in the list, such as `1  A→B  0.96  12 px`.
fn short_text(figures: &PairFigures) -> String {
    let [first, second] = figures.pair.slots.map(|slot| slot.name());
    let cosine = figures.cosine.map_or("–".to_owned(), |cosine| format!("{cosine:.2}"));
    let distance = figures.distance_px();
    let distance = distance.map_or("–".to_owned(), |distance| format!("{distance:.0} px"));
    format!("{}  {first}→{second}  {cosine}  {distance}", figures.pair.number)
}

/// The same in words.
fn pair_name(figures: &PairFigures) -> String {
    let pair = &figures.pair;
    let [first, second] = [0, 1].map(|end| format!("{} {}", pair.slots[end].name(), pixel_text(pair.at[end])));
    let mut words = format!(
        "Pair {}, {}: {first} to {second}",
        pair.number,
        theme::pin_name(pair.number)
    );
    words += &match figures.cosine {
        Some(cosine) => format!(", cosine {cosine:.3}"),
        None => ", not computed or not where the model sees both pictures".to_owned(),
    };
    if let Some((distance, found)) = figures.distance_px().zip(figures.found) {
        words += &format!(", best match at {}, {distance:.1} px from there", pixel_text(found));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::document::pairs::Pair, engine::ImageSlot};

    #[test]
    fn a_pair_is_told_with_cosine_and_distance() {
        let mut figures = PairFigures {
            pair: Pair {
                number: 1,
                slots: [ImageSlot::A, ImageSlot::B],
                at: [[1.0, 2.0], [3.0, 4.0]],
            },
            cosine: Some(0.956),
            found: Some([6.0, 8.0]),
        };
        assert_eq!(short_text(&figures), "1  A→B  0.96  5 px");
        assert_eq!(
            pair_name(&figures),
            "Pair 1, orange: A pixel (1, 2) to B pixel (3, 4), cosine 0.956, best match at pixel (6, 8), 5.0 px from there"
        );
        (figures.cosine, figures.found) = (None, None);
        assert_eq!(short_text(&figures), "1  A→B  –  –");
        assert!(pair_name(&figures).ends_with("sees both pictures"));
    }
}
