//! The program's icon, for the window and the desktop's list of windows.

use egui::IconData;
use image::ImageFormat;

/// Rendered from `assets/icon.svg`.
static ICON_PNG: &[u8] = include_bytes!("../../../assets/icon.png");

/// The icon; `None` if its file is damaged, which is no reason to have no window.
pub fn icon() -> Option<IconData> {
    let icon = image::load_from_memory_with_format(ICON_PNG, ImageFormat::Png).ok()?;
    let icon = icon.into_rgba8();
    let (width, height) = icon.dimensions();
    Some(IconData {
        rgba: icon.into_raw(),
        width,
        height,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_is_a_square_with_clear_corners_and_a_coloured_iris() {
        let icon = icon().unwrap_or_default();
        assert_eq!((icon.width, icon.height), (256, 256));
        let pixel = |x: usize, y: usize| &icon.rgba[4 * (256 * y + x)..][..4];
        assert_eq!(pixel(0, 0)[3], 0);
        assert_eq!(pixel(128, 128)[3], 255);
        let [red, _, blue] = [0, 1, 2].map(|channel| pixel(98, 98)[channel]);
        assert!(blue > red, "upper left of the iris is blue");
    }
}
