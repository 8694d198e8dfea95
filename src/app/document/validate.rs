//! Whether what a file holds can be shown at all: numbers that a person typed, layouts that something else wrote. In: a
//! document as it was read. Out: the same document, or the reason why not.

use std::{collections::HashSet, ops::RangeInclusive};

use egui_tiles::{Container, GridLayout, Tile, TileId};

use super::{
    display::{Display, RangeMode},
    limits::{
        DEEPEST, FURTHEST_PX, MAX_ENSEMBLE, MAX_SIDE, MOST_ADAPTERS, MOST_COMPONENTS, MOST_FRAMES, MOST_PINS,
        MOST_PLACES, MOST_TILES, MOST_TOLD, ROW_CHOICES, ZOOM_RANGE,
    },
    pane::{Layout, View},
    root::{Document, Pin},
};
use crate::{
    analysis::colour::RangeRule,
    engine::{PcaSettings, QueryAt, RunSettings},
    geometry::framing::WorkingSize,
};

/// Why something cannot be shown, in words that go on from "cannot open it:".
pub type Validation<T = ()> = Result<T, String>;

/// A document that can be shown.
pub fn validate_document(mut document: Document) -> Validation<Document> {
    check_display(&document.display)?;
    check_pca(&document.pca)?;
    check_settings(&document.settings)?;
    check_view(&document.view)?;
    in_range("\"top_k\"", document.top_k, 1..=MOST_TOLD)?;
    if !document.mask.threshold.is_finite() {
        return Err("the threshold of its mask is no usable number".to_owned());
    }
    in_range("the number of pins", document.pins.len(), 0..=MOST_PINS)?;
    let marks = document.pins.iter().flat_map(Pin::marks);
    let places = marks.map(|(_, _, at)| match at {
        QueryAt::Region { path, .. } => path.len(),
        QueryAt::Point(_) | QueryAt::Word(_) => 1,
    });
    in_range("the number of places of its pins", places.sum(), 0..=MOST_PLACES)?;
    let adapters = &document.settings.adapters;
    in_range("the number of LoRAs", adapters.loras.len(), 0..=MOST_ADAPTERS)?;
    in_range("the number of embeddings", adapters.embeddings.len(), 0..=MOST_ADAPTERS)?;
    in_range("the number of ControlNets", adapters.controls.len(), 0..=MOST_ADAPTERS)?;
    let mut numbers = HashSet::new();
    for pin in &document.pins {
        check_pin(pin)?;
        if !numbers.insert(pin.number) {
            return Err(format!("pin {} is in it twice", pin.number));
        }
    }
    if let Some(number) = document.selected_pin.filter(|number| document.pin(*number).is_none()) {
        return Err(format!("pin {number} is selected in it, but there is no such pin"));
    }
    document.check_selection();
    in_range("the seeds of its film strip", document.strip.seeds, 1..=MOST_FRAMES)?;
    if !ROW_CHOICES.contains(&document.cka.most_rows) {
        return Err(format!(
            "CKA is computed on at most {ROW_CHOICES:?} positions, found {}",
            document.cka.most_rows
        ));
    }
    document.layout = validate_layout(document.layout)?;
    let arrangements = std::mem::take(&mut document.arrangements).into_iter();
    document.arrangements = arrangements
        .map(|(page, layout)| Ok((page, validate_layout(layout)?)))
        .collect::<Validation<_>>()?;
    // The page that is shown has its panes in the layout.
    document.arrangements.remove(&document.page);
    let is_pane = |tile: &TileId| matches!(document.layout.tiles.get(*tile), Some(Tile::Pane(_)));
    document.maximised = document.maximised.filter(is_pane);
    Ok(document)
}

/// A layout whose tiles are all there, each in one place, and all in sight.
pub fn validate_layout(mut layout: Layout) -> Validation<Layout> {
    let count = layout.tiles.len();
    if count > MOST_TILES {
        return Err(format!("its layout has {count} tiles; up to {MOST_TILES} are shown"));
    }
    if let Some(root) = layout.root {
        check_tile(&layout, root, 0, &mut HashSet::new())?;
    }
    for tile in layout.tiles.tile_ids().collect::<Vec<_>>() {
        layout.set_visible(tile, true);
    }
    layout.set_width(f32::INFINITY);
    layout.set_height(f32::INFINITY);
    layout.tiles.recompute_next_tile_id();
    Ok(layout)
}

fn check_tile(layout: &Layout, id: TileId, depth: usize, seen: &mut HashSet<TileId>) -> Validation {
    let TileId(number) = id;
    if u32::try_from(number).is_err() {
        return Err(format!("tile {number} of its layout has too large a number"));
    }
    if depth > DEEPEST {
        return Err(format!("its layout has more than {DEEPEST} tiles in each other"));
    }
    if !seen.insert(id) {
        return Err(format!("tile {number} of its layout is in more than one place"));
    }
    match layout.tiles.get(id) {
        None => Err(format!("its layout names tile {number}, but there is no such tile")),
        Some(Tile::Pane(pane)) => check_view(&pane.view),
        Some(Tile::Container(container)) => {
            check_shares(container).map_err(|why| format!("tile {number} of its layout {why}"))?;
            let mut children = container.children();
            children.try_for_each(|child| check_tile(layout, *child, depth + 1, seen))
        }
    }
}

fn check_shares(container: &Container) -> Validation {
    let usable = |share: &f32| share.is_finite() && *share > 0.0;
    let all_usable = match container {
        Container::Tabs(_) => true,
        Container::Linear(linear) => linear.shares.iter().all(|(_, share)| usable(share)),
        Container::Grid(grid) => grid.col_shares.iter().chain(&grid.row_shares).all(usable),
    };
    if !all_usable {
        return Err("has a share of the space that is no usable number".to_owned());
    }
    match container {
        Container::Grid(grid) if matches!(grid.layout, GridLayout::Columns(count) if count > MOST_TILES) => {
            Err(format!("has more than {MOST_TILES} columns"))
        }
        _ => Ok(()),
    }
}

/// Whether things can be drawn in this way.
pub fn check_display(display: &Display) -> Validation {
    let mut numbers = vec![display.gamma, display.opacity];
    if let RangeMode::Fixed(range) = display.range {
        numbers.extend(range);
    }
    if !numbers.iter().all(|number| number.is_finite()) || display.gamma <= 0.0 {
        return Err("a gamma, opacity or range in it is no usable number".to_owned());
    }
    Ok(())
}

/// Whether PCA colours can be made in this way.
pub fn check_pca(settings: &PcaSettings) -> Validation {
    let components = settings.options.components;
    in_range("the number of components", components, 1..=MOST_COMPONENTS)?;
    for shown in settings.shown {
        in_range(
            "a component that is shown (counted from 0)",
            shown,
            0..=MOST_COMPONENTS - 1,
        )?;
    }
    let RangeRule::Percentile { low, high } = settings.clip else {
        return Ok(());
    };
    if !(0.0 <= low && low <= high && high <= 100.0) {
        return Err(format!(
            "it clips at the percentiles {low} and {high}: they go from 0 to 100"
        ));
    }
    Ok(())
}

fn check_settings(settings: &RunSettings) -> Validation {
    let sides = match settings.size {
        None => [0, 0],
        Some(WorkingSize::ShortSide(side)) => [side, side],
        Some(WorkingSize::Exact { width, height }) => [width, height],
    };
    for side in sides {
        in_range("a side of the working size", side, 0..=MAX_SIDE)?;
    }
    in_range("\"ensemble\"", settings.ensemble, 1..=MAX_ENSEMBLE)
}

fn check_view(view: &View) -> Validation {
    let [least, most] = ZOOM_RANGE;
    if !(least..=most).contains(&view.zoom) {
        return Err(format!(
            "a zoom in it is no usable number: they go from {least} to {most}, found {}",
            view.zoom
        ));
    }
    if !view.centre.iter().all(|share| (0.0..=1.0).contains(share)) {
        return Err(format!(
            "the centre {:?} of a view in it lies in no picture",
            view.centre
        ));
    }
    Ok(())
}

fn check_pin(pin: &Pin) -> Validation {
    if !pin.marks().all(|(_, _, at)| is_near(at)) {
        return Err(format!("pin {} in it is at no place of a picture", pin.number));
    }
    let is_word = |at: &QueryAt| matches!(at, QueryAt::Word(_));
    match &pin.mate {
        Some(mate) if mate.slot == pin.slot => Err(format!(
            "both points of pair {} in it are in picture {}: a pair is of two pictures",
            pin.number,
            pin.slot.name()
        )),
        Some(mate) if is_word(&pin.at) || is_word(&mate.at) => Err(format!(
            "a point of pair {} in it is a token: a pair is of two pictures",
            pin.number
        )),
        _ => Ok(()),
    }
}

/// Whether something can be a place of a picture.
fn is_near(at: &QueryAt) -> bool {
    let points = match at {
        // A word is in no picture.
        QueryAt::Word(_) => return true,
        QueryAt::Point(at) => std::slice::from_ref(at),
        QueryAt::Region { path, .. } => path,
    };
    let near = |number: &f64| number.abs() <= FURTHEST_PX;
    let radius = match at {
        QueryAt::Point(_) | QueryAt::Word(_) => 0.0,
        QueryAt::Region { radius, .. } => *radius,
    };
    !points.is_empty() && points.iter().flatten().all(near) && near(&radius) && radius >= 0.0
}

fn in_range(what: &str, number: usize, range: RangeInclusive<usize>) -> Validation {
    if range.contains(&number) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    Err(format!("{what} in it must be from {least} to {most}, found {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::document::{
            layout::{Shapes, standard_layout},
            pane::PaneKind,
            root::Spot,
        },
        engine::ImageSlot,
    };

    fn layout_of(json: serde_json::Value) -> Layout {
        serde_json::from_value(json).expect("a layout in JSON")
    }

    fn with(pointer: &str, value: serde_json::Value) -> Layout {
        let mut json = serde_json::to_value(standard_layout(&[ImageSlot::A], Shapes::default())).expect("JSON");
        *json.pointer_mut(pointer).expect("it is there") = value;
        layout_of(json)
    }

    #[test]
    fn what_the_program_makes_is_sound() {
        assert_eq!(validate_document(Document::default()), Ok(Document::default()));
    }

    #[test]
    fn a_layout_that_is_no_tree_is_refused_with_a_reason() {
        let pane =
            serde_json::to_value(standard_layout(&[ImageSlot::A], Shapes::default())).expect("JSON")["tiles"]["tiles"]
                ["1"]
                .clone();
        assert!(pane["Pane"].is_object(), "{pane}");
        for (layout, reason) in [
            (with("/root", 99.into()), "no such tile"),
            (
                with("/tiles/tiles/2/Container/Tabs/children", vec![77].into()),
                "no such tile",
            ),
            (
                with("/tiles/tiles/2/Container/Tabs/children", vec![2].into()),
                "more than one place",
            ),
            (
                with("/tiles/tiles/2/Container/Tabs/children", vec![5].into()),
                "more than one place",
            ),
            (
                with("/tiles/tiles/2/Container/Tabs/children", vec![1, 1].into()),
                "more than one place",
            ),
            (with("/tiles/tiles/1/Pane/view/zoom", 0.into()), "no usable number"),
            (
                with(
                    "/tiles/tiles/5/Container/Linear/shares/shares",
                    serde_json::json!({"2": -1}),
                ),
                "share",
            ),
            (
                with(
                    "/tiles/tiles/5/Container/Linear/shares/shares",
                    serde_json::json!({"2": 1e39}),
                ),
                "share",
            ),
        ] {
            let refused = validate_layout(layout).expect_err(reason);
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn tiles_too_many_too_deep_or_of_too_large_a_number_are_refused() {
        let nested = |depth: usize| {
            let mut layout = standard_layout(&[ImageSlot::A], Shapes::default());
            for _ in 0..depth {
                let root = layout.root.expect("it has a root");
                layout.root = Some(layout.tiles.insert_vertical_tile(vec![root]));
            }
            layout
        };
        assert!(validate_layout(nested(DEEPEST / 2)).is_ok());
        assert!(validate_layout(nested(2 * DEEPEST)).is_err());
        assert!(validate_layout(nested(2 * MOST_TILES)).is_err());
        let mut numbered = standard_layout(&[ImageSlot::A], Shapes::default());
        let root = numbered
            .root
            .and_then(|root| numbered.tiles.remove(root))
            .expect("it has a root");
        numbered.tiles.insert(TileId(u64::MAX), root);
        numbered.root = Some(TileId(u64::MAX));
        assert!(validate_layout(numbered).is_err_and(|why| why.contains("too large")));
    }

    #[test]
    fn what_is_out_of_sight_comes_into_sight_and_new_tiles_have_room() {
        let mut json = serde_json::to_value(standard_layout(&[ImageSlot::A], Shapes::default())).expect("JSON");
        json["tiles"]["invisible"] = vec![1, 3].into();
        json["tiles"]["next_tile_id"] = u64::MAX.into();
        json["width"] = 1e30.into();
        let mut layout = validate_layout(layout_of(json)).expect("it is repaired");
        assert!(layout.is_visible(TileId(1)));
        assert_eq!(layout, standard_layout(&[ImageSlot::A], Shapes::default()));
        let pane = crate::app::document::pane::Pane::new(PaneKind::Heat, ImageSlot::A);
        assert_eq!(layout.tiles.insert_pane(pane), TileId(6));
    }

    #[test]
    fn numbers_that_nothing_can_be_drawn_with_are_refused() {
        let refused = |change: &dyn Fn(&mut Document)| {
            let mut document = Document::default();
            change(&mut document);
            validate_document(document).is_err()
        };
        let pin = |at| Pin::single(1, ImageSlot::A, at);
        let with_mate = |slot, at| Pin {
            mate: Some(Spot { slot, at }),
            ..pin(QueryAt::Point([0.0; 2]))
        };
        let near = || QueryAt::Point([1.0; 2]);
        assert!(!refused(&|document| document
            .pins
            .push(with_mate(ImageSlot::B, near()))));
        assert!(refused(&|document| document.pins.push(with_mate(ImageSlot::A, near()))));
        assert!(refused(&|document| document
            .pins
            .push(with_mate(ImageSlot::B, QueryAt::Point([1e300, 0.0])))));
        assert!(refused(&|document| document
            .pins
            .push(with_mate(ImageSlot::B, QueryAt::Word(1)))));
        assert!(refused(&|document| document.pins = vec![pin(near()); 2]));
        assert!(refused(&|document| document.display.gamma = 0.0));
        assert!(refused(
            &|document| document.display.range = RangeMode::Fixed([0.0, f32::INFINITY])
        ));
        assert!(refused(&|document| document.view.centre = [f32::NAN, 0.5]));
        assert!(refused(&|document| document.top_k = usize::MAX));
        assert!(refused(&|document| document.pca.shown = [usize::MAX; 3]));
        assert!(refused(&|document| document.pca.options.components = usize::MAX));
        assert!(refused(
            &|document| document.settings.size = Some(WorkingSize::ShortSide(usize::MAX))
        ));
        assert!(refused(&|document| document.settings.ensemble = 0));
        assert!(refused(&|document| document
            .pins
            .push(pin(QueryAt::Point([1e300, 0.0])))));
        assert!(refused(&|document| {
            let (path, radius) = (Vec::new(), 1.0);
            document.pins.push(pin(QueryAt::Region { path, radius }));
        }));
        assert!(!refused(&|document| document
            .pins
            .push(pin(QueryAt::Point([-3.5, 1e5])))));
        assert!(refused(&|document| {
            document.pins = vec![pin(QueryAt::Point([0.0; 2])); MOST_PINS + 1];
        }));
        assert!(refused(&|document| {
            let (path, radius) = (vec![[0.0; 2]; MOST_PLACES + 1], 1.0);
            document.pins.push(pin(QueryAt::Region { path, radius }));
        }));
    }
}
