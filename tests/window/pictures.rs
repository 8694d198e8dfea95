//! Pictures of the whole window, compared with those of before. `UPDATE_SNAPSHOTS=1` writes them anew.

use egui::{Theme, Vec2, vec2};
use featscope::{
    app::{Abilities, Action, Command, Page, Preferences},
    engine::{ImageSlot, QueryAt},
};

use super::{driver::Opening, model::FIRST_LAYER};

const SMALL: Vec2 = vec2(900.0, 600.0);
const LARGE: Vec2 = vec2(1400.0, 900.0);

/// The settled window with a pin.
fn compare(name: &str, size: Vec2, theme: Theme) {
    let opening = Opening {
        size,
        theme,
        memory: Preferences {
            theme: theme.into(),
            ..Preferences::default()
        },
        ..Opening::of_columns(2)
    };
    let mut window = opening.settled();
    window.apply(Command::AddPin(ImageSlot::A, QueryAt::Point([44.0, 60.0])));
    window.settle();
    // From the top of the list down to the layer: where it stands does not depend on what came first.
    window.select("unet-in");
    window.select(FIRST_LAYER);
    assert!(window.state().can(Action::CopyMatches));
    window.harness.snapshot(name);
}

#[test]
fn small_and_dark() {
    compare("window-small-dark", SMALL, Theme::Dark);
}

#[test]
fn small_and_light() {
    compare("window-small-light", SMALL, Theme::Light);
}

#[test]
fn large_and_dark() {
    compare("window-large-dark", LARGE, Theme::Dark);
}

#[test]
fn large_and_light() {
    compare("window-large-light", LARGE, Theme::Light);
}

/// Every page, with a pair of points. Without a survey: the noise of the fake model is that of rounding, and differs from
/// one processor to another.
fn pages(name: &str, size: Vec2, theme: Theme) {
    let opening = Opening {
        size,
        theme,
        memory: Preferences {
            theme: theme.into(),
            ..Preferences::default()
        },
        ..Opening::of_columns(2)
    };
    let mut window = opening.settled();
    for (slot, at) in [(ImageSlot::A, [44.0, 60.0]), (ImageSlot::B, [80.0, 60.0])] {
        window.apply(Command::AddPin(slot, QueryAt::Point(at)));
    }
    window.act(Action::PairInOrder);
    // How long a study took is not the same twice.
    window.harness.state_mut().state.timeless = true;
    window.settle();
    for page in Page::ALL {
        window.act(Action::Page(page));
        window.settle();
        window
            .harness
            .snapshot(format!("page-{}-{name}", page.name().to_lowercase()));
    }
}

#[test]
fn pages_in_a_small_window() {
    pages("small", SMALL, Theme::Dark);
}

#[test]
fn pages_on_a_laptop() {
    pages("laptop", vec2(1280.0, 800.0), Theme::Light);
}

#[test]
fn pages_on_a_monitor() {
    pages("monitor", vec2(1920.0, 1080.0), Theme::Dark);
}
