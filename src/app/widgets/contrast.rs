//! How well colours are told apart, as WCAG 2.2 measures it.

use egui::Color32;

/// What WCAG adds to both luminances, for the light that a screen reflects.
const FLARE: f32 = 0.05;
/// Shares of red, green and blue in luminance (sRGB).
const LUMINANCE_SHARES: [f32; 3] = [0.2126, 0.7152, 0.0722];

/// Relative luminance of a colour, 0 (black) to 1 (white). Opacity is not looked at.
pub fn luminance(colour: Color32) -> f32 {
    let channels = [colour.r(), colour.g(), colour.b()];
    let linear = channels.map(egui::ecolor::linear_f32_from_gamma_u8);
    linear
        .iter()
        .zip(LUMINANCE_SHARES)
        .map(|(value, share)| value * share)
        .sum()
}

/// Contrast of two colours, 1 (equal luminance) to 21 (black and white).
pub fn contrast(a: Color32, b: Color32) -> f32 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + FLARE) / (a.min(b) + FLARE)
}

/// Black or white, whichever is easier to read on `background`.
pub fn readable_on(background: Color32) -> Color32 {
    if contrast(Color32::BLACK, background) >= contrast(Color32::WHITE, background) {
        Color32::BLACK
    } else {
        Color32::WHITE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrasts_are_those_of_the_guideline() {
        assert!((contrast(Color32::BLACK, Color32::WHITE) - 21.0).abs() < 1e-3);
        // The darkest grey of 4.5 : 1 on white is a known value.
        assert!((contrast(Color32::from_gray(0x76), Color32::WHITE) - 4.54).abs() < 0.01);
        assert_eq!(contrast(Color32::RED, Color32::RED), 1.0);
    }

    #[test]
    fn text_is_readable_on_any_grey() {
        for level in 0..=u8::MAX {
            let background = Color32::from_gray(level);
            assert!(contrast(readable_on(background), background) > 4.5, "grey {level}");
        }
    }
}
