//! Cells one by one, and the loupe: what is drawn, how much of it, and where.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use egui::{Color32, Context, Id, Painter, Pos2, RawInput, Rect, Shape, Stroke, epaint::TextShape, pos2, vec2};
use featscope::{
    app::{
        DisplayPicture, PictureTexture, ScorePainter,
        offscreen::Offscreen,
        widgets::{Loupe, LoupeScores, cell_grid, cell_numbers, cell_outline},
    },
    error::Result,
    geometry::Grid,
    render::{ColourMap, ScoreMap, ScoreStyle},
};
use image::RgbaImage;

const WHOLE: Rect = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
/// A place that shows a map of 4 x 4 cells, 100 points each.
const PLACE: Rect = Rect::from_min_max(Pos2::ZERO, pos2(400.0, 400.0));
const LINE: Stroke = Stroke {
    width: 1.0,
    color: Color32::WHITE,
};

/// The shapes that are painted on a screen of 400 x 400 points.
fn shapes(mut paint: impl FnMut(&Painter)) -> Vec<Shape> {
    let input = RawInput {
        screen_rect: Some(PLACE),
        ..RawInput::default()
    };
    let mut output = Context::default().run_ui(input, |ui| paint(ui.painter()));
    // Nothing is drawn on a device here.
    output.textures_delta.clear();
    output.shapes.into_iter().map(|clipped| clipped.shape).collect()
}

fn texts(shapes: &[Shape]) -> Vec<&TextShape> {
    let mut texts = Vec::new();
    for shape in shapes {
        if let Shape::Text(text) = shape {
            texts.push(text);
        }
    }
    texts
}

fn map(height: usize, width: usize) -> Result<ScoreMap> {
    let count = height * width;
    let scores: Vec<f32> = (0..count).map(|index| index as f32 / (count - 1) as f32).collect();
    ScoreMap::new(Grid::new(height, width), scores)
}

fn numbers(map: &ScoreMap, uv: Rect, style: &ScoreStyle) -> Vec<(String, Color32)> {
    let shapes = shapes(|painter| cell_numbers(painter, PLACE, uv, map, style));
    let number = |text: &&TextShape| (text.galley.text().to_owned(), text.fallback_color);
    texts(&shapes).iter().map(number).collect()
}

#[test]
fn each_cell_has_its_number_in_the_colour_that_can_be_read_on_it() -> Result<()> {
    let grey = ScoreStyle {
        map: ColourMap::Grey,
        ..ScoreStyle::default()
    };
    let numbers = numbers(&map(4, 4)?, WHOLE, &grey);
    assert_eq!(numbers.len(), 16);
    assert_eq!(numbers[0], ("0".to_owned(), Color32::WHITE));
    assert_eq!(numbers[1].0, "0.0667");
    assert_eq!(numbers[15], ("1".to_owned(), Color32::BLACK));
    Ok(())
}

#[test]
fn cells_without_a_score_have_no_number_and_cells_that_shine_through_have_a_shadow() -> Result<()> {
    let holed = ScoreMap::new(Grid::new(1, 3), vec![f32::NAN, 0.5, f32::INFINITY])?;
    assert_eq!(numbers(&holed, WHOLE, &ScoreStyle::default()).len(), 1);
    let thin = ScoreStyle {
        opacity: 0.5,
        ..ScoreStyle::default()
    };
    assert_eq!(numbers(&holed, WHOLE, &thin).len(), 2);
    Ok(())
}

#[test]
fn there_are_never_more_numbers_than_can_be_read() -> Result<()> {
    let large = map(1000, 1000)?;
    let mut most = 0;
    for cells_across in [2.0, 5.5, 9.0, 11.0, 12.0, 40.0, 1000.0f32] {
        let uv = Rect::from_min_size(pos2(0.3, 0.7), vec2(cells_across, cells_across) / 1000.0);
        let count = numbers(&large, uv, &ScoreStyle::default()).len();
        assert_eq!(count == 0, cells_across > 11.2, "{cells_across} cells across");
        most = most.max(count);
    }
    assert!((100..=400).contains(&most), "found {most}");

    // Long low cells: wide enough, but too many.
    let long = map(4000, 1)?;
    assert!(numbers(&long, WHOLE, &ScoreStyle::default()).is_empty());
    Ok(())
}

#[test]
fn lines_lie_between_cells_where_cells_are_large_enough() {
    let lines = |grid: Grid, uv: Rect| {
        let shapes = shapes(|painter| cell_grid(painter, PLACE, uv, grid, LINE));
        shapes
            .iter()
            .filter(|shape| matches!(shape, Shape::LineSegment { .. }))
            .count()
    };
    assert_eq!(lines(Grid::new(4, 4), WHOLE), 10);
    assert_eq!(lines(Grid::new(100, 100), WHOLE), 202);
    assert_eq!(lines(Grid::new(101, 101), WHOLE), 0, "cells below four points");
    let zoomed = Rect::from_min_size(pos2(0.5, 0.5), vec2(0.004, 0.004));
    assert!((8..=14).contains(&lines(Grid::new(1000, 1000), zoomed)));
    assert_eq!(
        lines(Grid::new(4, 4), Rect::from_min_size(pos2(2.0, 2.0), vec2(1.0, 1.0))),
        0
    );
}

#[test]
fn an_outline_is_around_its_cell() {
    let outline = |cell| {
        let shapes = shapes(|painter| cell_outline(painter, PLACE, WHOLE, Grid::new(4, 4), cell, LINE));
        let rect = |shape: &Shape| match shape {
            Shape::Rect(rect) => Some(rect.rect),
            _ => None,
        };
        shapes.iter().find_map(rect)
    };
    let expected = Rect::from_min_size(pos2(300.0, 100.0), vec2(100.0, 100.0));
    assert_eq!(outline((1, 3)), Some(expected));
    assert_eq!(outline((4, 0)), None, "no such cell");
}

#[test]
fn a_loupe_stays_inside_and_beside_the_pointer() {
    let bounds = Rect::from_min_size(pos2(50.0, 50.0), vec2(300.0, 200.0));
    for x in 0..=8u8 {
        for y in 0..=8u8 {
            let focus = bounds.lerp_inside(vec2(f32::from(x) / 8.0, f32::from(y) / 8.0));
            let loupe = Loupe::near(focus, bounds, 80.0, 4.0).expect("room for a loupe");
            assert!(bounds.contains_rect(loupe.place), "{focus:?}: {:?}", loupe.place);
            assert!(!loupe.place.contains(focus), "{focus:?}: {:?}", loupe.place);
        }
    }
    assert_eq!(Loupe::near(bounds.center(), bounds, 201.0, 4.0), None, "no room");
    assert_eq!(Loupe::near(bounds.center(), bounds, 80.0, 0.0), None);
    assert_eq!(Loupe::near(pos2(f32::NAN, 0.0), bounds, 80.0, 4.0), None);
}

/// A loupe that enlarges the middle of a picture of four colours, and of four scores over its right half.
fn loupe_on_screen() -> Result<(Loupe, RgbaImage)> {
    let mut screen = Offscreen::new([200.0, 200.0], 1.0)?;
    let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]].concat();
    let mut texture = PictureTexture::of_picture("picture");
    texture.set(
        screen.context(),
        DisplayPicture::picture(&colours, Grid::new(2, 2), 64)?,
    );
    let map = ScoreMap::new(Grid::new(2, 1), vec![0.0, 1.0])?;
    let (backend, style) = (ScorePainter::new(Some(screen.render_state())), ScoreStyle::default());
    let pane = Rect::from_min_size(pos2(0.0, 100.0), vec2(100.0, 100.0));
    let right_half = pane.with_min_x(50.0);
    let loupe = Loupe::near(
        pane.center(),
        Rect::from_min_size(Pos2::ZERO, vec2(200.0, 200.0)),
        80.0,
        8.0,
    );
    let loupe = loupe.expect("room for a loupe");
    for _ in 0..2 {
        screen.frame(Vec::new(), |ui| {
            let scores = LoupeScores {
                id: Id::unique("loupe"),
                map: &map,
                style: &style,
                backend: &backend,
            };
            let border = Stroke::new(1.0, Color32::WHITE);
            loupe.paint(
                ui.painter(),
                Color32::BLACK,
                border,
                Some((&texture, pane, WHOLE)),
                Some((&scores, right_half, WHOLE)),
            );
        });
    }
    Ok((loupe, screen.picture()?))
}

#[test]
fn a_loupe_shows_pixels_and_scores_enlarged() -> Result<()> {
    let (loupe, image) = loupe_on_screen()?;
    let at = |share: [f32; 2]| {
        let place = loupe.place.lerp_inside(vec2(share[0], share[1]));
        let [red, green, blue, _] = image.get_pixel(place.x as u32, place.y as u32).0;
        [red, green, blue]
    };
    let style = ScoreStyle::default();
    let colour = |score| {
        style
            .map
            .colour(score, style.range, style.gamma)
            .expect("a finite score")
    };
    assert_eq!(at([0.2, 0.2]), [255, 0, 0], "upper left pixel");
    assert_eq!(at([0.2, 0.8]), [0, 0, 255], "lower left pixel");
    assert_eq!(at([0.8, 0.2]), colour(0.0), "upper score");
    assert_eq!(at([0.8, 0.8]), colour(1.0), "lower score");
    // Enlarged eight times, ten points of the pane fill it: its edge is far from the pane's.
    assert_eq!(at([0.02, 0.02]), [255, 0, 0]);
    let border = image
        .get_pixel(loupe.place.left() as u32 - 1, loupe.place.center().y as u32)
        .0;
    assert_eq!(border, [255; 4]);
    Ok(())
}
