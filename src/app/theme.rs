//! The look: every colour, distance and size of the window, dark and light. Panels take colours from [`tokens`] or from
//! egui's own visuals, which [`install`] fills from the same tokens; nothing else names a colour.

use std::collections::BTreeMap;

use egui::{
    Color32, Context, CornerRadius, FontDefinitions, FontFamily, FontId, Margin, Shadow, Stroke, Style, TextStyle,
    Theme, Ui, Visuals,
    style::{HandleShape, NumericColorSpace, ScrollStyle, Selection, WidgetVisuals, Widgets},
    vec2,
};

/// The room of a scroll bar beside what it moves, in points: at the right, and below what also moves sideways.
const SCROLL_BAR_ROOM: i8 = 6;
const BESIDE_CONTENTS: Margin = Margin {
    right: SCROLL_BAR_ROOM,
    ..Margin::ZERO
};
/// Around what moves sideways.
pub const AROUND_WIDE_CONTENTS: Margin = Margin {
    bottom: SCROLL_BAR_ROOM,
    ..BESIDE_CONTENTS
};

/// The smallest distance, in points; the other distances are multiples of it.
pub const SPACE_XS: f32 = 2.0;
/// Between things that belong together, in points.
pub const SPACE_S: f32 = 4.0;
/// Between things, in points.
pub const SPACE_M: f32 = 8.0;
/// Between groups of things, in points.
pub const SPACE_L: f32 = 12.0;
/// Around a message that has a place for itself, in points.
pub const SPACE_XL: f32 = 24.0;
/// Between the panes, in points.
pub const PANE_GAP: f32 = 4.0;

/// Corners of buttons and boxes, in points.
pub const RADIUS: u8 = 4;
/// Corners of panes and small marks, in points.
pub const RADIUS_SMALL: u8 = 2;
/// Corners of windows and menus, in points.
pub const RADIUS_LARGE: u8 = 6;

/// Size of numbers beside a bar, in points.
pub const FONT_SMALL: f32 = 12.0;
/// Size of text and buttons, in points.
pub const FONT_BODY: f32 = 13.0;
/// Size of numbers in columns, in points.
pub const FONT_MONOSPACE: f32 = 12.0;
/// Size of a window's title, in points.
pub const FONT_HEADING: f32 = 17.0;

/// A line between things, in points.
pub const STROKE_HAIR: f32 = 1.0;
/// The border of the pane that has the keyboard, and marks on pictures, in points.
pub const STROKE_MARK: f32 = 2.0;
/// The dark edge around a mark: seen on any picture, in points on each side.
pub const STROKE_HALO: f32 = 1.25;

/// How much larger everything is in front of an audience: the smallest letters have 18 points.
pub const PRESENTATION: f32 = 1.5;

/// Height of a row with buttons, in points.
pub const ROW_HEIGHT: f32 = 20.0;
/// Height of a pane's title bar, in points.
pub const TITLE_HEIGHT: f32 = 24.0;

/// Above and below the text of a button, in points.
const BUTTON_PADDING_Y: f32 = 3.0;
/// How far what is inside of a fold moves to the right, in points.
const INDENT: f32 = 14.0;
/// Width of a slider that is given none, in points.
const SLIDER_WIDTH: f32 = 120.0;
/// Width of the handle of a slider as a share of its height.
const HANDLE_ASPECT: f32 = 0.5;
/// Side of a checkbox and of the mark in it, in points.
const ICON_WIDTH: f32 = 15.0;
const ICON_INNER_WIDTH: f32 = 9.0;
/// Where the text of a tooltip breaks, in points.
const TOOLTIP_WIDTH: f32 = 360.0;
/// How far the shadows of windows and of menus reach, in points: down and to all sides.
const WINDOW_SHADOW: (i8, u8) = (8, 24);
const MENU_SHADOW: (i8, u8) = (4, 12);
/// How much of a button's colour every other row of a table has.
const STRIPE_OPACITY: f32 = 0.35;
/// Seconds that a fold or a fade takes.
const ANIMATION_SECS: f32 = 0.12;
/// Seconds that the pointer rests before a tooltip comes.
const TOOLTIP_DELAY_SECS: f32 = 0.4;
/// How much of itself a widget keeps that cannot be used now.
const DISABLED_OPACITY: f32 = 0.45;

/// A colour for a pinned point, and what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinColour {
    /// The name, in lower case.
    pub name: &'static str,
    /// The colour.
    pub colour: Color32,
}

/// Colours for pinned points that most kinds of colour vision tell apart: those of M. Okabe and K. Ito (2008), with
/// white for their black, which would be lost among the dark edges.
pub const PINS: [PinColour; 8] = [
    pin("orange", 0xe6_9f00),
    pin("sky blue", 0x56_b4e9),
    pin("green", 0x00_9e73),
    pin("vermilion", 0xd5_5e00),
    pin("purple", 0xcc_79a7),
    pin("yellow", 0xf0_e442),
    pin("blue", 0x00_72b2),
    pin("white", 0xff_ffff),
];

/// Red, green and blue for what is shown in these channels: no purer than is needed to tell them apart.
pub const CHANNELS: [Color32; 3] = [rgb(0xe0_6a60), rgb(0x58_b36e), rgb(0x5e_8fe8)];

const fn pin(name: &'static str, hex: u32) -> PinColour {
    PinColour { name, colour: rgb(hex) }
}

/// From `0xRRGGBB`.
const fn rgb(hex: u32) -> Color32 {
    let [_, red, green, blue] = hex.to_be_bytes();
    Color32::from_rgb(red, green, blue)
}

/// The colours of one theme, by what they are for.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// Behind everything: seen between panes.
    pub surface: Color32,
    /// Side panels, bars and titles of panes.
    pub panel: Color32,
    /// Menus, dialogs and tooltips.
    pub raised: Color32,
    /// Behind pictures: neutral, so that it lends them no colour.
    pub canvas: Color32,
    /// Boxes to type in, and the rails of sliders and bars.
    pub inset: Color32,
    /// Buttons at rest.
    pub button: Color32,
    /// Buttons under the pointer.
    pub button_hovered: Color32,
    /// Buttons held down.
    pub button_pressed: Color32,
    /// Checkboxes and the handles of sliders at rest.
    pub control: Color32,
    /// Titles, and what is selected.
    pub text_strong: Color32,
    /// Text.
    pub text: Color32,
    /// What explains: units, hints, provenance.
    pub text_weak: Color32,
    /// The one accent: what is chosen, what has the keyboard, what can be followed.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// Behind selected rows and selected text; [`Self::text_strong`] is written on it.
    pub selection: Color32,
    /// Why something failed.
    pub error: Color32,
    /// What deserves a second look.
    pub warning: Color32,
    /// What is done.
    pub success: Color32,
    /// Between panels, around buttons.
    pub border: Color32,
    /// Around a pane.
    pub pane_border: Color32,
    /// Around the pane that has the keyboard.
    pub pane_border_active: Color32,
    /// Lines between the cells of a map.
    pub grid_line: Color32,
    /// The point that is looked at: no colour table has it.
    pub query: Color32,
    /// The positions most similar to it.
    pub matched: Color32,
    /// The edge of marks on pictures, so that they are seen on any.
    pub halo: Color32,
    /// The bars of histograms.
    pub bar: Color32,
    /// Bars outside of the range shown.
    pub bar_outside: Color32,
    /// Under windows and menus.
    pub shadow: Color32,
}

/// For dark rooms and dark pictures.
pub static DARK: Tokens = Tokens {
    surface: rgb(0x13_1416),
    panel: rgb(0x1d_1e21),
    raised: rgb(0x26_282c),
    canvas: rgb(0x0c_0c0d),
    inset: rgb(0x13_1416),
    button: rgb(0x2f_3136),
    button_hovered: rgb(0x3b_3e44),
    button_pressed: rgb(0x27_292d),
    control: rgb(0x45_484f),
    text_strong: rgb(0xf4_f5f6),
    text: rgb(0xcd_d0d5),
    text_weak: rgb(0x94_99a1),
    accent: rgb(0x7f_a7ff),
    on_accent: rgb(0x0c_1424),
    selection: rgb(0x3a_5db5),
    error: rgb(0xff_7a70),
    warning: rgb(0xf0_b44c),
    success: rgb(0x6c_cf97),
    border: rgb(0x34_363b),
    pane_border: rgb(0x2a_2c30),
    pane_border_active: rgb(0x7f_a7ff),
    grid_line: Color32::from_rgba_premultiplied(0, 0, 0, 110),
    query: rgb(0xff_50dc),
    matched: rgb(0x8c_f2ff),
    halo: Color32::from_rgba_premultiplied(8, 8, 9, 215),
    bar: rgb(0x8a_8f98),
    bar_outside: rgb(0x45_484e),
    shadow: Color32::from_rgba_premultiplied(0, 0, 0, 110),
};

/// For bright rooms.
pub static LIGHT: Tokens = Tokens {
    surface: rgb(0xdd_dee0),
    panel: rgb(0xf3_f3f4),
    raised: rgb(0xfd_fdfd),
    canvas: rgb(0xc7_c8ca),
    inset: rgb(0xff_ffff),
    button: rgb(0xe2_e3e6),
    button_hovered: rgb(0xd5_d7db),
    button_pressed: rgb(0xc8_cacf),
    control: rgb(0xd0_d2d7),
    text_strong: rgb(0x0e_1013),
    text: rgb(0x2d_3036),
    text_weak: rgb(0x5b_5f67),
    accent: rgb(0x2a_56c6),
    on_accent: rgb(0xff_ffff),
    selection: rgb(0xa9_c3fa),
    error: rgb(0xb4_2318),
    warning: rgb(0x80_5100),
    success: rgb(0x1b_6b41),
    border: rgb(0xc9_cbcf),
    pane_border: rgb(0xb9_bbc0),
    pane_border_active: rgb(0x2a_56c6),
    grid_line: Color32::from_rgba_premultiplied(0, 0, 0, 90),
    query: rgb(0xff_50dc),
    matched: rgb(0x8c_f2ff),
    halo: Color32::from_rgba_premultiplied(8, 8, 9, 215),
    bar: rgb(0x6d_7279),
    bar_outside: rgb(0xbf_c1c6),
    shadow: Color32::from_rgba_premultiplied(0, 0, 0, 40),
};

impl Tokens {
    /// The tokens of a theme.
    pub fn of(theme: Theme) -> &'static Self {
        match theme {
            Theme::Dark => &DARK,
            Theme::Light => &LIGHT,
        }
    }

    /// The line that draws a mark on a picture; over [`Self::halo_stroke`].
    pub fn mark_stroke(&self, colour: Color32) -> Stroke {
        Stroke::new(STROKE_MARK, colour)
    }

    /// The colour of the pin of a number, from 1: those of [`PINS`] in turn.
    pub fn pin(&self, number: u32) -> Color32 {
        pin_of(number).colour
    }

    /// The edge of a mark, to be drawn before it.
    pub fn halo_stroke(&self) -> Stroke {
        Stroke::new(STROKE_MARK + 2.0 * STROKE_HALO, self.halo)
    }
}

/// What the colour of a pin is called.
pub fn pin_name(number: u32) -> &'static str {
    pin_of(number).name
}

fn pin_of(number: u32) -> PinColour {
    PINS[(number as usize).saturating_sub(1) % PINS.len()]
}

/// The tokens of the theme that a context is in.
pub fn tokens_in(context: &Context) -> &'static Tokens {
    Tokens::of(context.theme())
}

/// The tokens of the theme that `ui` is drawn in.
pub fn tokens(ui: &Ui) -> &'static Tokens {
    tokens_of(ui.visuals())
}

/// The tokens that belong to some visuals.
pub fn tokens_of(visuals: &Visuals) -> &'static Tokens {
    Tokens::of(Theme::from_dark_mode(visuals.dark_mode))
}

/// Gives a window this look, dark and light. Which of both is shown stays as it is: egui's default is the desktop's
/// choice, and what the user chose last time is remembered.
pub fn install(ctx: &Context) {
    ctx.set_fonts(fonts());
    for theme in [Theme::Dark, Theme::Light] {
        ctx.set_style_of(theme, style(theme));
    }
}

fn style(theme: Theme) -> Style {
    let mut style = Style {
        text_styles: text_styles(),
        visuals: visuals(theme),
        animation_time: ANIMATION_SECS,
        ..theme.default_style()
    };
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(SPACE_M, SPACE_S);
    spacing.button_padding = vec2(SPACE_M, BUTTON_PADDING_Y);
    spacing.window_margin = Margin::from(SPACE_L);
    spacing.menu_margin = Margin::from(SPACE_S);
    spacing.indent = INDENT;
    spacing.interact_size = vec2(ROW_HEIGHT, ROW_HEIGHT);
    spacing.slider_rail_height = SPACE_S;
    spacing.slider_width = SLIDER_WIDTH;
    spacing.icon_width = ICON_WIDTH;
    spacing.icon_width_inner = ICON_INNER_WIDTH;
    spacing.icon_spacing = SPACE_S + SPACE_XS;
    spacing.tooltip_width = TOOLTIP_WIDTH;
    spacing.scroll = ScrollStyle {
        bar_width: SPACE_M,
        // The room of a bar is kept whether there is one or not. If contents were wrapped anew for each that appears,
        // some of them would fit only without it, and the window would never come to rest.
        floating_allocated_width: 0.0,
        content_margin: BESIDE_CONTENTS,
        ..ScrollStyle::thin()
    };
    style.interaction.tooltip_delay = TOOLTIP_DELAY_SECS;
    // A label that can be selected takes the drag of what it lies on.
    style.interaction.selectable_labels = false;
    style
}

/// egui's fonts; arrows and geometric shapes, which its font for text lacks, are taken from the one for code.
fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let code = fonts.families.get(&FontFamily::Monospace).cloned().unwrap_or_default();
    let text = fonts.families.entry(FontFamily::Proportional).or_default();
    for name in code {
        if !text.contains(&name) {
            text.push(name);
        }
    }
    fonts
}

fn text_styles() -> BTreeMap<TextStyle, FontId> {
    use FontFamily::{Monospace, Proportional};
    [
        (TextStyle::Small, FontId::new(FONT_SMALL, Proportional)),
        (TextStyle::Body, FontId::new(FONT_BODY, Proportional)),
        (TextStyle::Button, FontId::new(FONT_BODY, Proportional)),
        (TextStyle::Heading, FontId::new(FONT_HEADING, Proportional)),
        (TextStyle::Monospace, FontId::new(FONT_MONOSPACE, Monospace)),
    ]
    .into()
}

fn visuals(theme: Theme) -> Visuals {
    let tokens = Tokens::of(theme);
    let border = Stroke::new(STROKE_HAIR, tokens.border);
    let shadow = |(down, blur): (i8, u8)| Shadow {
        offset: [0, down],
        blur,
        spread: 0,
        color: tokens.shadow,
    };
    let plain = theme.default_visuals();
    Visuals {
        weak_text_color: Some(tokens.text_weak),
        widgets: widgets(tokens),
        selection: Selection {
            bg_fill: tokens.selection,
            stroke: Stroke::new(STROKE_HAIR, tokens.text_strong),
        },
        hyperlink_color: tokens.accent,
        faint_bg_color: tokens.button.gamma_multiply(STRIPE_OPACITY),
        extreme_bg_color: tokens.inset,
        code_bg_color: tokens.inset,
        warn_fg_color: tokens.warning,
        error_fg_color: tokens.error,
        window_corner_radius: CornerRadius::same(RADIUS_LARGE),
        window_shadow: shadow(WINDOW_SHADOW),
        window_fill: tokens.raised,
        window_stroke: border,
        window_highlight_topmost: false,
        menu_corner_radius: CornerRadius::same(RADIUS_LARGE),
        panel_fill: tokens.panel,
        popup_shadow: shadow(MENU_SHADOW),
        text_cursor: egui::style::TextCursorStyle {
            stroke: Stroke::new(STROKE_MARK, tokens.accent),
            ..plain.text_cursor.clone()
        },
        slider_trailing_fill: true,
        handle_shape: HandleShape::Rect {
            aspect_ratio: HANDLE_ASPECT,
        },
        numeric_color_space: NumericColorSpace::GammaByte,
        disabled_alpha: DISABLED_OPACITY,
        ..plain
    }
}

fn widgets(tokens: &Tokens) -> Widgets {
    let state = |fill: Color32, border: Color32, foreground: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(STROKE_HAIR, border),
        corner_radius: CornerRadius::same(RADIUS),
        fg_stroke: Stroke::new(STROKE_HAIR, foreground),
        expansion: 0.0,
    };
    Widgets {
        noninteractive: state(tokens.panel, tokens.border, tokens.text),
        inactive: WidgetVisuals {
            bg_fill: tokens.control,
            ..state(tokens.button, Color32::TRANSPARENT, tokens.text)
        },
        hovered: state(tokens.button_hovered, tokens.border, tokens.text_strong),
        // What has the keyboard is drawn so, too: its border says it.
        active: state(tokens.button_pressed, tokens.accent, tokens.text_strong),
        open: state(tokens.button_hovered, tokens.border, tokens.text_strong),
    }
}

#[cfg(test)]
mod tests {
    use egui::ThemePreference;

    use super::*;
    use crate::app::widgets::{contrast, readable_on};

    /// What WCAG 2.2 asks of text, and of large text and marks.
    const TEXT_CONTRAST: f32 = 4.5;
    const MARK_CONTRAST: f32 = 3.0;

    fn both() -> [(Theme, &'static Tokens); 2] {
        [Theme::Dark, Theme::Light].map(|theme| (theme, Tokens::of(theme)))
    }

    #[track_caller]
    fn assert_contrast(theme: Theme, what: &str, foreground: Color32, background: Color32, least: f32) {
        let found = contrast(foreground, background);
        assert!(found >= least, "{theme:?}, {what}: {found:.2} : 1, wanted {least} : 1");
    }

    #[test]
    fn text_can_be_read_on_every_surface() {
        for (theme, tokens) in both() {
            let surfaces = [
                ("surface", tokens.surface),
                ("panel", tokens.panel),
                ("raised", tokens.raised),
                ("canvas", tokens.canvas),
                ("inset", tokens.inset),
                ("button", tokens.button),
                ("button hovered", tokens.button_hovered),
                ("button pressed", tokens.button_pressed),
            ];
            for (name, surface) in surfaces {
                assert_contrast(theme, name, tokens.text_strong, surface, TEXT_CONTRAST);
                assert_contrast(theme, name, tokens.text, surface, TEXT_CONTRAST);
                assert_contrast(theme, name, tokens.text_weak, surface, MARK_CONTRAST);
            }
            for (name, surface) in &surfaces[..3] {
                for (what, colour) in [
                    ("accent", tokens.accent),
                    ("error", tokens.error),
                    ("warning", tokens.warning),
                    ("success", tokens.success),
                ] {
                    assert_contrast(theme, &format!("{what} on {name}"), colour, *surface, TEXT_CONTRAST);
                }
            }
            assert_contrast(theme, "selection", tokens.text_strong, tokens.selection, TEXT_CONTRAST);
            assert_contrast(theme, "accent", tokens.on_accent, tokens.accent, TEXT_CONTRAST);
            assert_contrast(theme, "pane", tokens.pane_border_active, tokens.surface, MARK_CONTRAST);
            assert_contrast(theme, "bars", tokens.bar, tokens.inset, MARK_CONTRAST);
        }
    }

    #[test]
    fn marks_stand_out_from_their_edge() {
        for (theme, tokens) in both() {
            let edge = tokens.halo.to_opaque();
            for (what, colour) in [("query", tokens.query), ("match", tokens.matched)] {
                assert_contrast(theme, what, colour, edge, TEXT_CONTRAST);
            }
            for pin in PINS {
                assert_contrast(theme, pin.name, pin.colour, edge, MARK_CONTRAST);
                assert_contrast(theme, pin.name, readable_on(pin.colour), pin.colour, TEXT_CONTRAST);
            }
        }
    }

    #[test]
    fn pins_have_names_of_their_own() {
        for (index, pin) in PINS.iter().enumerate() {
            assert!(
                PINS[..index]
                    .iter()
                    .all(|other| other.name != pin.name && other.colour != pin.colour)
            );
        }
    }

    #[test]
    fn both_themes_are_installed() {
        let context = Context::default();
        install(&context);
        for (theme, tokens) in both() {
            let style = context.style_of(theme);
            assert_eq!(style.visuals.panel_fill, tokens.panel);
            assert_eq!(tokens_of(&style.visuals), tokens);
            assert_eq!(style.visuals.strong_text_color(), tokens.text_strong);
        }
        assert_eq!(
            context.options(|options| options.theme_preference),
            ThemePreference::System
        );
    }
}
