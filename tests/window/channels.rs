//! Single channels: their list by variance, the pane of one, massive ones.

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use featscope::{
    app::{Action, PaneKind},
    engine::{ChannelQuery, ImageSlot},
};

use super::{
    driver::Window,
    model::{MASSIVE_CHANNEL, MASSIVE_LAYER, SELF_MAP},
};

/// The listed channels from the top, as far as they are in sight.
fn listed(window: &Window) -> Vec<usize> {
    let rows = window.words().into_iter().filter(|text| text.contains("  variance "));
    let numbers = rows.filter_map(|text| text.split("  ").next()?.parse().ok());
    let mut listed: Vec<usize> = numbers.collect();
    listed.dedup();
    listed
}

#[test]
fn channels_are_listed_by_variance_and_walked_through() {
    let mut window = Window::settled();
    window.choose("Channels");
    let view = window.state().channels.clone().expect("figures of the channels");
    let mut order: Vec<usize> = (0..view.channels.len()).collect();
    order.sort_by(|a, b| view.channels[*b].variance.total_cmp(&view.channels[*a].variance));
    let shown = listed(&window);
    assert!(shown.len() > 3);
    assert_eq!(shown, order[..shown.len()]);
    window.assert_says("No outlier channel");
    window.assert_silent("All positions look alike");

    window.act(Action::AddPane(PaneKind::Channel));
    window.settle();
    window.key_with(Modifiers::SHIFT, Key::Period);
    window.settle();
    let first = window.document().channel;
    let before = window.pixels(PaneKind::Channel, ImageSlot::A);
    window.key_with(Modifiers::SHIFT, Key::Period);
    window.settle();
    let place = |channel| order.iter().position(|other| *other == channel);
    assert_eq!(place(window.document().channel), place(first).map(|place| place + 1));
    assert_eq!(
        window
            .state()
            .answers
            .of::<ChannelQuery>()
            .map(|view| view.query.channel),
        Some(window.document().channel)
    );
    window.assert_says(&format!("Channel of A  {}", window.document().channel));
    assert_ne!(window.pixels(PaneKind::Channel, ImageSlot::A), before);
    window.key_with(Modifiers::SHIFT, Key::Comma);
    window.settle();
    assert_eq!(window.document().channel, first);
    assert_eq!(window.pixels(PaneKind::Channel, ImageSlot::A), before);
    // A row of the list shows its channel; the pointer reads its value.
    let row = window
        .words()
        .into_iter()
        .find(|text| text.starts_with(&format!("{}  variance", order[3])));
    window
        .harness
        .get_by_label(&row.expect("it is listed"))
        .click_accesskit();
    window.step();
    window.settle();
    assert_eq!(window.document().channel, order[3]);
    window.hover(window.place(PaneKind::Channel, ImageSlot::A, [0.5, 0.5]));
    window.settle();
    window.assert_says(&format!("channel {} ", order[3]));
}

#[test]
fn a_massive_channel_is_flagged_and_left_out() {
    let mut window = Window::settled();
    window.select(MASSIVE_LAYER);
    window.choose("Channels");
    let view = window.state().channels.clone().expect("figures of the channels");
    assert_eq!(view.massive, [MASSIVE_CHANNEL]);
    window.assert_says(&format!("1 outlier channel (massive activations: {MASSIVE_CHANNEL})"));
    window.assert_says("All positions look alike");
    window.assert_says("try leaving the outlier channels out");
    window.assert_says("OUTLIER ×");
    window.hover(window.place(PaneKind::Picture, ImageSlot::A, [0.5, 0.5]));
    window.settle();
    let least = |window: &Window| {
        let scores = &window.state().heat_on(ImageSlot::B).expect("a heat map").scores;
        scores.iter().copied().fold(f32::MAX, f32::min)
    };
    let with = least(&window);
    assert!(with > 0.999, "it decides every cosine: {with}");
    window.key(Key::D);
    window.settle();
    let without = least(&window);
    assert!(without < 0.99, "{without}");
    window.assert_says("1 channels left out");
    assert_eq!(
        window
            .state()
            .slot(ImageSlot::A)
            .pca
            .as_ref()
            .map(|view| view.left_out.clone()),
        Some(vec![MASSIVE_CHANNEL])
    );
    window.key(Key::D);
    window.settle();
    let again = least(&window);
    assert!(again > 0.999, "it decides again: {again}");
}

#[test]
fn another_layer_may_have_fewer_channels() {
    let mut window = Window::settled();
    window.act(Action::AddPane(PaneKind::Channel));
    window.select(MASSIVE_LAYER);
    window.apply_and_settle(featscope::app::Command::Channel(20));
    assert_eq!(
        window
            .state()
            .answers
            .of::<ChannelQuery>()
            .map(|view| view.query.channel),
        Some(20)
    );
    window.select("unet-out");
    assert_eq!(
        window
            .state()
            .answers
            .of::<ChannelQuery>()
            .map(|view| view.query.channel),
        Some(1)
    );
    assert_eq!(window.state().view_error, None);
    window.select(SELF_MAP);
    window.assert_says("An attention map has no channels");
}
