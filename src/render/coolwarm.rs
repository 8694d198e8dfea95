//! The diverging map of Kenneth Moreland, "Diverging Color Maps for Scientific Visualization" (2009), from its formula:
//! both arms run straight through Msh, the polar form of CIE L*a*b*.

use std::f64::consts::FRAC_PI_3;

use super::colour_map::{TABLE_LEN, Table};

/// The end of low scores, sRGB.
const COOL: [u8; 3] = [59, 76, 192];
/// The end of high scores, sRGB.
const WARM: [u8; 3] = [180, 4, 38];
/// Magnitude of the unsaturated middle.
const MIDDLE_MAGNITUDE: f64 = 88.0;

/// From linear sRGB to CIE XYZ under D65, with Y of white = 1.
const XYZ_FROM_RGB: [[f64; 3]; 3] = [
    [0.4124, 0.3576, 0.1805],
    [0.2126, 0.7152, 0.0722],
    [0.0193, 0.1192, 0.9505],
];
/// The inverse of [`XYZ_FROM_RGB`].
const RGB_FROM_XYZ: [[f64; 3]; 3] = [
    [3.2406, -1.5372, -0.4986],
    [-0.9689, 1.8758, 0.0415],
    [0.0557, -0.2040, 1.0570],
];
/// D65 white in XYZ.
const WHITE: [f64; 3] = [0.9505, 1.0, 1.0890];

/// A colour in Msh: magnitude, saturation and hue (radians).
#[derive(Clone, Copy)]
struct Msh {
    magnitude: f64,
    saturation: f64,
    hue: f64,
}

/// The table, the lowest score first.
pub(super) fn coolwarm() -> Table {
    let (cool, warm) = (Msh::from_srgb(COOL), Msh::from_srgb(WARM));
    std::array::from_fn(|index| {
        let place = index as f64 / (TABLE_LEN - 1) as f64;
        if place < 0.5 {
            cool.towards_middle(2.0 * place).to_srgb()
        } else {
            warm.towards_middle(2.0 - 2.0 * place).to_srgb()
        }
    })
}

impl Msh {
    fn from_srgb(colour: [u8; 3]) -> Self {
        let linear = colour.map(|channel| linear_from_gamma(f64::from(channel) / 255.0));
        let xyz = product(&XYZ_FROM_RGB, linear);
        let [fx, fy, fz] = [0, 1, 2].map(|axis| lab_curve(xyz[axis] / WHITE[axis]));
        let [lightness, a, b] = [116.0 * fy - 16.0, 500.0 * (fx - fy), 200.0 * (fy - fz)];
        let magnitude = (lightness * lightness + a * a + b * b).sqrt();
        Self {
            magnitude,
            saturation: (lightness / magnitude).acos(),
            hue: b.atan2(a),
        }
    }

    /// The colour at `share` of the way to the unsaturated middle.
    fn towards_middle(self, share: f64) -> Self {
        Self {
            magnitude: self.magnitude + share * (MIDDLE_MAGNITUDE - self.magnitude),
            saturation: self.saturation * (1.0 - share),
            hue: self.hue + share * (self.hue_at_middle() - self.hue),
        }
    }

    /// The middle has no hue of its own: it gets the one that keeps perceived steps even along the arm.
    fn hue_at_middle(self) -> f64 {
        if self.magnitude >= MIDDLE_MAGNITUDE {
            return self.hue;
        }
        let spin = self.saturation * (MIDDLE_MAGNITUDE.powi(2) - self.magnitude.powi(2)).sqrt()
            / (self.magnitude * self.saturation.sin());
        // The spin goes away from purple.
        if self.hue > -FRAC_PI_3 {
            self.hue + spin
        } else {
            self.hue - spin
        }
    }

    fn to_srgb(self) -> [u8; 3] {
        let radius = self.magnitude * self.saturation.sin();
        let fy = (self.magnitude * self.saturation.cos() + 16.0) / 116.0;
        let f = [
            fy + radius * self.hue.cos() / 500.0,
            fy,
            fy - radius * self.hue.sin() / 200.0,
        ];
        let xyz = [0, 1, 2].map(|axis| WHITE[axis] * inverse_lab_curve(f[axis]));
        product(&RGB_FROM_XYZ, xyz).map(|channel| (255.0 * gamma_from_linear(channel.clamp(0.0, 1.0))).round() as u8)
    }
}

fn product(matrix: &[[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
}

/// The cube root of CIE L*a*b* with its straight part near black.
fn lab_curve(x: f64) -> f64 {
    if x > 0.008856 {
        x.cbrt()
    } else {
        7.787 * x + 16.0 / 116.0
    }
}

fn inverse_lab_curve(y: f64) -> f64 {
    if y > 0.206893 {
        y.powi(3)
    } else {
        (y - 16.0 / 116.0) / 7.787
    }
}

/// The curve of sRGB (IEC 61966-2-1), 0..1.
fn linear_from_gamma(x: f64) -> f64 {
    if x > 0.04045 {
        ((x + 0.055) / 1.055).powf(2.4)
    } else {
        x / 12.92
    }
}

fn gamma_from_linear(x: f64) -> f64 {
    if x > 0.0031308 {
        1.055 * x.powf(1.0 / 2.4) - 0.055
    } else {
        12.92 * x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_table_that_the_author_published() {
        // Places and colours of the 33-entry table of the article.
        let published = [
            (0.0, [59, 76, 192]),
            (0.25, [141, 176, 254]),
            (0.5, [221, 221, 221]),
            (0.75, [244, 154, 123]),
            (1.0, [180, 4, 38]),
        ];
        let table = coolwarm();
        for (place, expected) in published {
            let index = (place * (TABLE_LEN - 1) as f64).round() as usize;
            for channel in 0..3 {
                assert!(
                    table[index][channel].abs_diff(expected[channel]) <= 2,
                    "at {place}: {:?}, published {expected:?}",
                    table[index]
                );
            }
        }
    }
}
