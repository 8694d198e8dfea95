//! Score maps and pictures as they reach the screen, drawn by wgpu on whatever device there is: a software one (Mesa's
//! lavapipe, package mesa-vulkan-drivers) is preferred, and without any device the tests fail.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::{cell::RefCell, rc::Rc};

use egui::{Color32, Context, Id, LayerId, Painter, Pos2, Rect, Vec2, pos2, vec2};
use egui_kittest::{
    Harness,
    kittest::Queryable as _,
    wgpu::{WgpuTestRenderer, create_render_state, default_wgpu_setup},
};
use egui_wgpu::{RenderState, Renderer, RendererOptions, wgpu::TextureFormat};
use featscope::{
    app::{
        DisplayPicture, PictureTexture, ScorePainter, paint_scores,
        widgets::{colour_bar, colour_bar_ui},
    },
    error::Result,
    geometry::Grid,
    render::{ColourMap, Interpolation, ScoreMap, ScoreStyle, render_scores},
};
use image::RgbaImage;

const SCREEN: Vec2 = vec2(160.0, 120.0);
const BACKGROUND: Color32 = Color32::from_rgb(10, 120, 200);
const WHOLE: Rect = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
/// What a device may differ from the table in each channel.
const TOLERANCE: u8 = 2;
/// Scores this close, as a share of the range, may take neighbouring colours of a table.
const SCORE_TOLERANCE: f32 = 1e-4;

/// How the screen is made.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Wgpu,
    /// A target that converts from linear values when it stores.
    WgpuSrgb,
    Texture,
}

type Paint = dyn FnMut(&Painter, &ScorePainter);

/// A screen that shows what a closure paints over a plain background.
struct Screen {
    harness: Harness<'static>,
    backend: ScorePainter,
    paint: Rc<RefCell<Box<Paint>>>,
}

impl Screen {
    fn new(way: Way, pixels_per_point: f32) -> Self {
        let render_state = render_state(way);
        let backend = ScorePainter::new((way != Way::Texture).then_some(&render_state));
        let paint: Rc<RefCell<Box<Paint>>> = Rc::new(RefCell::new(Box::new(|_, _| ())));
        let (held_paint, held_backend) = (Rc::clone(&paint), backend.clone());
        let harness = Harness::builder()
            .with_size(SCREEN)
            .with_pixels_per_point(pixels_per_point)
            .with_render_cursor(false)
            .renderer(WgpuTestRenderer::from_render_state(render_state))
            .build_ui(move |ui| {
                let painter = ui.ctx().layer_painter(LayerId::background());
                painter.rect_filled(Rect::EVERYTHING, 0.0, BACKGROUND);
                held_paint.borrow_mut()(&painter, &held_backend);
            });
        Self {
            harness,
            backend,
            paint,
        }
    }

    fn show(&mut self, paint: impl FnMut(&Painter, &ScorePainter) + 'static) -> RgbaImage {
        *self.paint.borrow_mut() = Box::new(paint);
        self.harness.step();
        self.harness.render().expect("a device that draws")
    }
}

fn render_state(way: Way) -> RenderState {
    let state = create_render_state(default_wgpu_setup(), RendererOptions::PREDICTABLE);
    if way != Way::WgpuSrgb {
        return state;
    }
    let target_format = TextureFormat::Rgba8UnormSrgb;
    let renderer = Renderer::new(&state.device, target_format, RendererOptions::PREDICTABLE);
    RenderState {
        target_format,
        renderer: std::sync::Arc::new(egui::mutex::RwLock::new(renderer)),
        ..state
    }
}

/// What one pane paints, on a fresh screen of one pixel per point.
fn pane_on_screen(way: Way, rect: Rect, uv: Rect, map: &ScoreMap, style: ScoreStyle) -> RgbaImage {
    let map = map.clone();
    Screen::new(way, 1.0).show(move |painter, backend| {
        paint_scores(painter, Id::unique("pane"), rect, uv, &map, &style, backend);
    })
}

fn rgb(image: &RgbaImage, column: u32, row: u32) -> [u8; 3] {
    let [red, green, blue, _] = image.get_pixel(column, row).0;
    [red, green, blue]
}

fn near(actual: [u8; 3], expected: [u8; 3]) -> bool {
    actual.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= TOLERANCE)
}

#[track_caller]
fn assert_near(actual: [u8; 3], expected: [u8; 3], what: &str) {
    assert!(
        near(actual, expected),
        "{what}: found {actual:?}, expected {expected:?}"
    );
}

/// Whether a pixel has the colour of a score, or of one that no device tells from it.
#[track_caller]
fn assert_score(actual: [u8; 3], score: f32, style: &ScoreStyle, what: &str) {
    let tolerance = SCORE_TOLERANCE * (style.range[1] - style.range[0]).abs();
    let fits = [-tolerance, 0.0, tolerance].into_iter().any(|error| {
        style
            .map
            .colour(score + error, style.range, style.gamma)
            .is_some_and(|expected| near(actual, expected))
    });
    assert!(
        fits,
        "{what}: found {actual:?}, score {score} has {:?}",
        style.map.colour(score, style.range, style.gamma)
    );
}

fn background() -> [u8; 3] {
    [BACKGROUND.r(), BACKGROUND.g(), BACKGROUND.b()]
}

fn rect(left: f32, top: f32, width: f32, height: f32) -> Rect {
    Rect::from_min_size(pos2(left, top), vec2(width, height))
}

/// 3 x 4 scores between −1 and 1 in the middle of a colour each, so that rounding cannot choose another.
fn twelve_scores() -> Result<ScoreMap> {
    let scores: Vec<f32> = (0..12u8)
        .map(|index| (f32::from(index) * 23.0 + 0.5) / 128.0 - 1.0)
        .collect();
    ScoreMap::new(Grid::new(3, 4), scores)
}

fn style(map: ColourMap) -> ScoreStyle {
    ScoreStyle {
        map,
        range: [-1.0, 1.0],
        ..ScoreStyle::default()
    }
}

#[test]
fn cells_have_the_colours_of_the_tables() -> Result<()> {
    let map = twelve_scores()?;
    for (way, gamma) in [
        (Way::Wgpu, 1.0),
        (Way::Wgpu, 0.45),
        (Way::WgpuSrgb, 1.0),
        (Way::Texture, 2.2),
    ] {
        let mut screen = Screen::new(way, 1.0);
        for colours in ColourMap::ALL {
            let style = ScoreStyle {
                gamma,
                ..style(colours)
            };
            let drawn = map.clone();
            let image = screen.show(move |painter, backend| {
                let place = rect(8.0, 4.0, 80.0, 60.0);
                paint_scores(painter, Id::unique("pane"), place, WHOLE, &drawn, &style, backend);
            });
            for row in 0..120 {
                for column in 0..160 {
                    let found = rgb(&image, column, row);
                    let what = format!("{} at ({column}, {row})", colours.name());
                    if (8..88).contains(&column) && (4..64).contains(&row) {
                        let cell = map.grid().index((row as usize - 4) / 20, (column as usize - 8) / 20);
                        assert_score(found, map.scores()[cell], &style, &what);
                    } else {
                        assert_near(found, background(), &what);
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_zoomed_pane_shows_a_part_and_nothing_beyond_the_map() -> Result<()> {
    let map = twelve_scores()?;
    let style = style(ColourMap::Viridis);
    for way in [Way::Wgpu, Way::Texture] {
        // The lower right quarter of the map and as much emptiness to the right of and below it.
        let uv = Rect::from_min_max(pos2(0.5, 0.5), pos2(1.5, 1.5));
        let image = pane_on_screen(way, rect(0.0, 0.0, 120.0, 120.0), uv, &map, style);
        let cell = |row, column| map.scores()[map.grid().index(row, column)];
        assert_score(rgb(&image, 2, 2), cell(1, 2), &style, "upper left");
        assert_score(rgb(&image, 29, 19), cell(1, 2), &style, "end of the first cell");
        assert_score(rgb(&image, 30, 20), cell(2, 3), &style, "begin of the last cell");
        assert_score(rgb(&image, 59, 59), cell(2, 3), &style, "end of the map");
        assert_near(rgb(&image, 60, 59), background(), "right of the map");
        assert_near(rgb(&image, 59, 60), background(), "below the map");
        assert_near(rgb(&image, 119, 119), background(), "far corner");
    }
    Ok(())
}

#[test]
fn scores_are_interpolated_and_then_coloured() -> Result<()> {
    let map = twelve_scores()?;
    let style = ScoreStyle {
        interpolation: Interpolation::Bilinear,
        ..style(ColourMap::Turbo)
    };
    let uv = Rect::from_min_max(pos2(0.1, 0.05), pos2(0.9, 0.85));
    let image = pane_on_screen(Way::Wgpu, rect(0.0, 0.0, 160.0, 120.0), uv, &map, style);
    for row in 0..120 {
        for column in 0..160 {
            let place = uv.lerp_inside(vec2((column as f32 + 0.5) / 160.0, (row as f32 + 0.5) / 120.0));
            let score = map.score_at(place, Interpolation::Bilinear).expect("inside the map");
            assert_score(rgb(&image, column, row), score, &style, &format!("({column}, {row})"));
        }
    }
    Ok(())
}

#[test]
fn opacity_lets_the_picture_shine_through() -> Result<()> {
    let map = twelve_scores()?;
    let colours: [u8; 6] = [250, 10, 40, 20, 240, 90];
    for way in [Way::Wgpu, Way::Texture] {
        let style = ScoreStyle {
            opacity: 0.4,
            ..style(ColourMap::Magma)
        };
        let (drawn, mut texture) = (map.clone(), PictureTexture::of_picture("picture"));
        let picture = DisplayPicture::picture(&colours, Grid::new(1, 2), 16)?;
        let mut picture = Some(picture);
        let image = Screen::new(way, 1.0).show(move |painter, backend| {
            if let Some(picture) = picture.take() {
                texture.set(painter.ctx(), picture);
            }
            let place = rect(0.0, 0.0, 80.0, 60.0);
            texture.paint(painter, place, WHOLE, Color32::WHITE);
            let mut faded = painter.clone();
            faded.set_opacity(0.5);
            paint_scores(&faded, Id::unique("pane"), place, WHOLE, &drawn, &style, backend);
        });
        for (column, row) in [(5, 5), (30, 30), (45, 5), (75, 55)] {
            let score = map.scores()[map.grid().index(row as usize / 20, column as usize / 20)];
            let over = style.map.colour(score, style.range, style.gamma).expect("finite");
            let under = &colours[if column < 40 { 0..3 } else { 3..6 }];
            let mixed = [0, 1, 2].map(|channel| {
                // The style's opacity times the painter's.
                (0.2 * f32::from(over[channel]) + 0.8 * f32::from(under[channel])).round() as u8
            });
            assert_near(rgb(&image, column, row), mixed, &format!("({column}, {row})"));
        }
    }
    Ok(())
}

#[test]
fn cells_without_a_score_are_transparent() -> Result<()> {
    let holes = [0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 0.5];
    let map = ScoreMap::new(Grid::new(1, 6), holes)?;
    for way in [Way::Wgpu, Way::Texture] {
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
            let style = ScoreStyle {
                interpolation,
                ..style(ColourMap::Grey)
            };
            let image = pane_on_screen(way, rect(0.0, 0.0, 120.0, 20.0), WHOLE, &map, style);
            for column in 0..120 {
                let found = rgb(&image, column, 10);
                match column / 20 {
                    0 => assert_score(found, 0.0, &style, "first cell"),
                    5 => assert_score(found, 0.5, &style, "last cell"),
                    _ => assert_near(found, background(), "hole"),
                }
            }
        }
    }
    Ok(())
}

#[test]
fn panes_do_not_disturb_each_other() -> Result<()> {
    let (first, second) = (twelve_scores()?, ScoreMap::new(Grid::new(1, 2), vec![0.25, -0.75])?);
    let (first_style, second_style) = (style(ColourMap::Viridis), style(ColourMap::Coolwarm));
    let mut screen = Screen::new(Way::Wgpu, 1.0);
    for _ in 0..2 {
        let (a, b) = (first.clone(), second.clone());
        let image = screen.show(move |painter, backend| {
            let pane = |name, place, map, style| {
                paint_scores(painter, Id::unique(name), place, WHOLE, map, style, backend);
            };
            pane("a", rect(0.0, 0.0, 80.0, 60.0), &a, &first_style);
            pane("b", rect(80.0, 0.0, 80.0, 60.0), &b, &second_style);
            pane("same scores", rect(0.0, 60.0, 80.0, 60.0), &a, &second_style);
        });
        assert_score(rgb(&image, 10, 10), first.scores()[0], &first_style, "a");
        assert_score(rgb(&image, 90, 10), 0.25, &second_style, "b, left");
        assert_score(rgb(&image, 150, 50), -0.75, &second_style, "b, right");
        assert_score(rgb(&image, 70, 110), first.scores()[11], &second_style, "same scores");
    }
    let held = screen.backend.held();
    assert_eq!(
        (held.panes, held.uploads),
        (3, 3),
        "one upload a pane, none in the second pass"
    );
    Ok(())
}

#[test]
fn a_new_look_uploads_nothing_and_new_scores_reuse_the_memory() -> Result<()> {
    let map = twelve_scores()?;
    for (way, uploads_for_looks) in [(Way::Wgpu, 0), (Way::Texture, 2)] {
        let mut screen = Screen::new(way, 1.0);
        let mut show = |map: &ScoreMap, style: ScoreStyle| {
            let (map, place) = (map.clone(), rect(0.0, 0.0, 80.0, 60.0));
            let image = screen.show(move |painter, backend| {
                paint_scores(painter, Id::unique("pane"), place, WHOLE, &map, &style, backend);
            });
            (rgb(&image, 10, 10), screen.backend.held())
        };
        let plain = style(ColourMap::Viridis);
        let (_, first) = show(&map, plain);
        assert_eq!(first.uploads, 1);
        let narrow = ScoreStyle {
            range: [-1.0, -0.99],
            ..style(ColourMap::Turbo)
        };
        let (found, _) = show(&map, narrow);
        assert_score(found, map.scores()[0], &narrow, "another look");
        let (_, looks) = show(&map, plain);
        assert_eq!(looks.uploads, 1 + uploads_for_looks);

        let other = ScoreMap::new(map.grid(), vec![0.3; 12])?;
        let (found, scores) = show(&other, plain);
        assert_score(found, 0.3, &plain, "other scores");
        assert_eq!((scores.uploads, scores.bytes), (looks.uploads + 1, looks.bytes));
        let (found, back) = show(&map, ScoreStyle { opacity: 1.0, ..plain });
        assert_score(found, map.scores()[0], &plain, "the first scores again");
        assert_eq!(back.panes, 1);
    }
    Ok(())
}

#[test]
fn panes_no_longer_drawn_give_their_memory_back() -> Result<()> {
    let map = twelve_scores()?;
    for way in [Way::Wgpu, Way::Texture] {
        let mut screen = Screen::new(way, 1.0);
        let drawn = map.clone();
        screen.show(move |painter, backend| {
            let place = rect(0.0, 0.0, 80.0, 60.0);
            paint_scores(
                painter,
                Id::unique("pane"),
                place,
                WHOLE,
                &drawn,
                &ScoreStyle::default(),
                backend,
            );
        });
        assert!(screen.backend.held().bytes > 0);
        screen.show(|_, _| ());
        assert_eq!(screen.backend.held().panes, 1, "a short absence costs nothing");
        screen.harness.run_steps(100);
        let held = screen.backend.held();
        assert_eq!((held.panes, held.bytes), (0, 0));
    }
    Ok(())
}

#[test]
fn both_ways_draw_the_same_picture() -> Result<()> {
    let scores: Vec<f32> = (0..35u8).map(|index| (f32::from(index) * 1.7).sin()).collect();
    let map = ScoreMap::new(Grid::new(5, 7), scores)?;
    let looks = [
        // Cut off by every edge of the screen; corners between pixels; a part that reaches beyond the map.
        (
            rect(-20.3, -11.7, 211.1, 160.9),
            Rect::from_min_max(pos2(-0.1, 0.13), pos2(0.83, 1.07)),
        ),
        (rect(13.37, 7.77, 90.01, 60.6), WHOLE),
    ];
    for (place, uv) in looks {
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
            let style = ScoreStyle {
                interpolation,
                opacity: 0.7,
                gamma: 1.8,
                ..style(ColourMap::Cividis)
            };
            let [by_wgpu, by_texture] = [Way::Wgpu, Way::Texture].map(|way| {
                let map = map.clone();
                Screen::new(way, 1.25).show(move |painter, backend| {
                    let clipped = painter.with_clip_rect(rect(0.0, 0.0, 150.0, 115.0));
                    paint_scores(&clipped, Id::unique("pane"), place, uv, &map, &style, backend);
                })
            });
            let differing = by_wgpu
                .pixels()
                .zip(by_texture.pixels())
                .filter(|(a, b)| !near([a[0], a[1], a[2]], [b[0], b[1], b[2]]))
                .count();
            // A score on the boundary of two colours, or a pixel's middle on the boundary of two cells.
            assert!(differing <= by_wgpu.pixels().len() / 2000, "{differing} pixels differ");
            assert!(
                by_wgpu
                    .pixels()
                    .any(|pixel| !near([pixel[0], pixel[1], pixel[2]], background()))
            );
        }
    }
    Ok(())
}

#[test]
fn a_map_cut_off_by_the_screen_keeps_its_place() -> Result<()> {
    let map = twelve_scores()?;
    let style = style(ColourMap::Viridis);
    let image = pane_on_screen(Way::Wgpu, rect(-40.0, -20.0, 80.0, 60.0), WHOLE, &map, style);
    let corner = map.grid().index(1, 2);
    assert_score(rgb(&image, 0, 0), map.scores()[corner], &style, "corner of the screen");
    assert_score(rgb(&image, 19, 19), map.scores()[corner], &style, "end of the cell");
    assert_score(rgb(&image, 20, 20), map.scores()[11], &style, "last cell");
    Ok(())
}

#[test]
fn a_map_too_large_for_the_device_is_drawn_all_the_same() -> Result<()> {
    let width = 100_000;
    let scores: Vec<f32> = (0..width).map(|column| column as f32 / width as f32).collect();
    let map = ScoreMap::new(Grid::new(1, width), scores)?;
    let style = ScoreStyle::default();
    let image = pane_on_screen(Way::Wgpu, rect(0.0, 0.0, 160.0, 20.0), WHOLE, &map, style);
    for column in 0..160 {
        let score = (column as f32 + 0.5) / 160.0;
        assert_score(rgb(&image, column, 10), score, &style, &format!("column {column}"));
    }
    Ok(())
}

#[test]
fn a_file_has_the_pixels_of_the_screen() -> Result<()> {
    let map = twelve_scores()?;
    let style = ScoreStyle {
        interpolation: Interpolation::Bilinear,
        ..style(ColourMap::Magma)
    };
    let screen = pane_on_screen(Way::Texture, rect(0.0, 0.0, 160.0, 120.0), WHOLE, &map, style);
    let file = render_scores(&map, &style, WHOLE, [160, 120]);
    for (column, row, pixel) in file.enumerate_pixels() {
        assert_near(
            rgb(&screen, column, row),
            [pixel[0], pixel[1], pixel[2]],
            &format!("({column}, {row})"),
        );
    }
    Ok(())
}

#[test]
fn the_bar_has_the_colours_of_the_scores() {
    let image = Screen::new(Way::Wgpu, 1.0).show(|painter, _| {
        colour_bar(painter, rect(0.0, 0.0, 128.0, 10.0), ColourMap::Turbo, 2.0);
        colour_bar(painter, rect(140.0, 20.0, 10.0, 64.0), ColourMap::Magma, 1.0);
    });
    for column in 0..128 {
        let style = ScoreStyle {
            map: ColourMap::Turbo,
            gamma: 2.0,
            ..ScoreStyle::default()
        };
        let score = (column as f32 + 0.5) / 128.0;
        assert_score(rgb(&image, column, 5), score, &style, &format!("column {column}"));
    }
    assert_near(
        rgb(&image, 145, 83),
        ColourMap::Magma.table()[2],
        "low scores at the bottom",
    );
    assert_near(
        rgb(&image, 145, 20),
        ColourMap::Magma.table()[254],
        "high scores at the top",
    );
}

#[test]
fn the_bar_tells_its_scores() {
    let style = ScoreStyle {
        range: [-0.5, 1.5],
        ..ScoreStyle::default()
    };
    let mut harness = Harness::builder().with_size(vec2(300.0, 80.0)).build_ui(move |ui| {
        colour_bar_ui(ui, &style);
    });
    harness.get_by_label("viridis from -0.5 to 1.5").hover();
    harness.run_steps(8);
    assert!(harness.query_by_label("0.5").is_some(), "the score under the pointer");
}

/// A picture of single pixels that tell where they come from.
fn pixels(size: Grid, colour: impl Fn(usize, usize) -> [u8; 3]) -> Vec<u8> {
    (0..size.positions())
        .map(|position| size.row_column(position))
        .flat_map(|(row, column)| colour(row, column))
        .collect()
}

#[test]
fn pictures_are_flat_when_enlarged_and_smooth_when_reduced() -> Result<()> {
    let checkers = Grid::new(400, 400);
    let large = pixels(checkers, |row, column| {
        [if (row + column) % 2 == 0 { 255 } else { 0 }; 3]
    });
    let small = pixels(Grid::new(2, 2), |row, column| [100 * row as u8, 100 * column as u8, 7]);
    let mut screen = Screen::new(Way::Wgpu, 1.0);
    let max_side_px = screen.harness.ctx.input(|input| input.max_texture_side);
    let mut pictures = [
        (
            PictureTexture::of_picture("large"),
            DisplayPicture::picture(&large, checkers, max_side_px)?,
        ),
        (
            PictureTexture::of_map("small"),
            DisplayPicture::map(&small, Grid::new(2, 2), max_side_px)?,
        ),
    ];
    let image = screen.show(move |painter, _| {
        for (index, (texture, picture)) in pictures.iter_mut().enumerate() {
            texture.set(painter.ctx(), picture.clone());
            let place = rect(80.0 * index as f32, 0.0, 70.0, 70.0);
            let uv = if index == 0 { WHOLE } else { rect(-1.0, 0.0, 2.0, 1.0) };
            texture.paint(painter, place, uv, Color32::WHITE);
        }
    });
    for column in 1..69 {
        let [red, ..] = rgb(&image, column, 30);
        assert!(
            red.abs_diff(128) <= 16,
            "checkers become grey, found {red} in column {column}"
        );
    }
    assert_near(rgb(&image, 114, 10), background(), "left of the map");
    assert_near(rgb(&image, 116, 33), [0, 0, 7], "upper left cell");
    assert_near(rgb(&image, 149, 36), [100, 100, 7], "lower right cell");
    Ok(())
}

#[test]
fn a_picture_of_the_same_size_reuses_its_texture() -> Result<()> {
    let ctx = Context::default();
    let mut texture = PictureTexture::of_map("components");
    let textures = || ctx.tex_manager().read().num_allocated();
    let before = textures();
    for (level, side) in [(10, 2), (20, 2), (30, 3)] {
        let size = Grid::new(side, side);
        texture.set(&ctx, DisplayPicture::map(&pixels(size, |_, _| [level; 3]), size, 16)?);
        assert_eq!((texture.size(), textures()), (Some(size), before + 1));
    }
    texture.clear();
    assert_eq!((texture.size(), textures()), (None, before));
    Ok(())
}
