//! Frames drawn without a window, by wgpu on whatever device there is; without any, the tests fail.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use egui::{Color32, Event, Id, Modifiers, PointerButton, Pos2, Rect, Ui, pos2, vec2};
use featscope::{
    app::{
        ScorePainter,
        offscreen::Offscreen,
        paint_scores,
        theme::{self, DARK, LIGHT},
    },
    error::{Error, Result},
    geometry::Grid,
    render::{ColourMap, ScoreMap, ScoreStyle},
};
use image::RgbaImage;

const SIZE: [f32; 2] = [120.0, 80.0];
const SQUARE: Color32 = Color32::from_rgb(200, 30, 60);
/// What a device may differ from the table in each channel.
const TOLERANCE: u8 = 2;

/// A square of one colour on the left, a heat map of two by two cells on the right, text below.
fn small_ui(ui: &mut Ui, map: &ScoreMap, backend: &ScorePainter) {
    let painter = ui.painter();
    painter.rect_filled(Rect::from_min_size(pos2(10.0, 10.0), vec2(20.0, 20.0)), 0.0, SQUARE);
    let place = Rect::from_min_size(pos2(60.0, 10.0), vec2(40.0, 40.0));
    let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
    paint_scores(painter, Id::unique("heat"), place, whole, map, &style(), backend);
    ui.put(
        Rect::from_min_size(pos2(10.0, 55.0), vec2(100.0, 20.0)),
        egui::Label::new("words"),
    );
}

fn style() -> ScoreStyle {
    ScoreStyle {
        map: ColourMap::Turbo,
        ..ScoreStyle::default()
    }
}

/// Three frames of the small interface.
fn picture(by_wgpu: bool, pixels_per_point: f32) -> Result<RgbaImage> {
    let mut screen = Offscreen::new(SIZE, pixels_per_point)?;
    theme::install(screen.context());
    screen.context().set_theme(egui::Theme::Dark);
    let backend = ScorePainter::new(by_wgpu.then_some(screen.render_state()));
    let map = ScoreMap::new(Grid::new(2, 2), vec![0.0, 0.3, 0.6, 1.0])?;
    for _ in 0..3 {
        screen.frame(Vec::new(), |ui| small_ui(ui, &map, &backend));
    }
    screen.picture()
}

#[track_caller]
fn assert_colour(image: &RgbaImage, (x, y): (u32, u32), expected: [u8; 3]) {
    let [red, green, blue, alpha] = image.get_pixel(x, y).0;
    let near = [red, green, blue]
        .iter()
        .zip(expected)
        .all(|(a, b)| a.abs_diff(b) <= TOLERANCE);
    assert!(
        near,
        "({x}, {y}): found {:?}, expected {expected:?}",
        [red, green, blue]
    );
    assert_eq!(alpha, u8::MAX, "opaque at ({x}, {y})");
}

fn rgb(colour: Color32) -> [u8; 3] {
    [colour.r(), colour.g(), colour.b()]
}

#[test]
fn colours_are_where_they_were_drawn() -> Result<()> {
    for by_wgpu in [true, false] {
        for (pixels_per_point, scale) in [(1.0, 1), (2.0, 2)] {
            let image = picture(by_wgpu, pixels_per_point)?;
            assert_eq!(image.dimensions(), (120 * scale, 80 * scale));
            let at = |x: u32, y: u32| (x * scale, y * scale);
            assert_colour(&image, at(20, 20), rgb(SQUARE));
            assert_colour(&image, at(45, 5), rgb(DARK.surface));
            for (place, score) in [
                (at(65, 15), 0.0),
                (at(95, 15), 0.3),
                (at(65, 45), 0.6),
                (at(95, 45), 1.0),
            ] {
                let colour = style().map.colour(score, style().range, style().gamma);
                assert_colour(&image, place, colour.expect("a finite score"));
            }
            let words = (10..110).flat_map(|x| (55..75).map(move |y| at(x, y)));
            let inked = words.filter(|(x, y)| image.get_pixel(*x, *y).0[0] > 100).count();
            assert!(inked > 10, "text is drawn");
        }
    }
    Ok(())
}

#[test]
fn the_same_frames_give_the_same_bytes() -> Result<()> {
    for by_wgpu in [true, false] {
        let [first, second] = [picture(by_wgpu, 1.5)?, picture(by_wgpu, 1.5)?];
        assert_eq!((first.width(), first.height()), (180, 120));
        assert!(first == second, "by wgpu: {by_wgpu}");
    }
    Ok(())
}

#[test]
fn events_reach_the_interface_and_a_picture_can_be_taken_between_frames() -> Result<()> {
    let mut screen = Offscreen::new(SIZE, 1.0)?;
    theme::install(screen.context());
    screen.context().set_theme(egui::Theme::Light);
    let mut clicks = 0;
    let press = |pressed| Event::PointerButton {
        pos: pos2(30.0, 20.0),
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    let events = [
        Vec::new(),
        vec![Event::PointerMoved(pos2(30.0, 20.0))],
        vec![press(true)],
        vec![press(false)],
    ];
    for events in events {
        screen.frame(events, |ui| {
            let button = egui::Button::new("press");
            let place = Rect::from_min_size(pos2(10.0, 10.0), vec2(60.0, 24.0));
            clicks += usize::from(ui.put(place, button).clicked());
        });
        assert_colour(&screen.picture()?, (110, 70), rgb(LIGHT.surface));
    }
    assert_eq!(clicks, 1);
    Ok(())
}

#[test]
fn it_says_whether_something_still_moves() -> Result<()> {
    let mut screen = Offscreen::new(SIZE, 1.0)?;
    assert!(!screen.wants_another_frame(), "no frame yet");
    screen.frame(Vec::new(), |ui| ui.ctx().request_repaint());
    assert!(screen.wants_another_frame());
    for _ in 0..5 {
        screen.frame(Vec::new(), |_| ());
    }
    assert!(!screen.wants_another_frame());
    Ok(())
}

#[test]
fn textures_come_and_go() -> Result<()> {
    let mut screen = Offscreen::new(SIZE, 1.0)?;
    for level in [40, 90, 200] {
        // A new texture in each frame: the old one is freed while a later frame is drawn.
        let image = egui::ColorImage::filled([4, 4], Color32::from_gray(level));
        let texture = screen
            .context()
            .load_texture("grey", image, egui::TextureOptions::NEAREST);
        let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
        let mut texture = Some(texture);
        screen.frame(Vec::new(), |ui| {
            if let Some(texture) = texture.take() {
                let place = Rect::from_min_size(pos2(0.0, 0.0), vec2(20.0, 20.0));
                ui.painter().image(texture.id(), place, whole, Color32::WHITE);
            }
        });
        assert_colour(&screen.picture()?, (10, 10), [level; 3]);
    }
    Ok(())
}

#[test]
fn what_cannot_be_drawn_is_refused() -> Result<()> {
    for (size, pixels_per_point) in [
        ([0.0, 10.0], 1.0),
        ([1e9, 10.0], 1.0),
        ([10.0, 10.0], f32::NAN),
        ([10.0, -10.0], 1.0),
    ] {
        let refused = Offscreen::new(size, pixels_per_point);
        assert!(
            matches!(refused, Err(Error::Usage(_))),
            "{size:?} at {pixels_per_point}"
        );
    }
    assert!(Offscreen::new(SIZE, 1.0)?.picture().is_err(), "no frame yet");
    Ok(())
}
