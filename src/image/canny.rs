//! Canny edges as OpenCV draws them: what the ControlNets named "canny" were trained on.

use super::picture::{CHANNELS, Picture};
use crate::{error::Result, geometry::Size};

/// Thresholds of the gradient's magnitude that ControlNet's own scripts use: weak edges lie above the first, strong ones
/// above the second.
pub(crate) const THRESHOLDS: [i32; 2] = [100, 200];

/// tan 22.5° with this many bits after the point, and the shift that makes it a whole number.
const TAN_22: i64 = 13573;
const TAN_SHIFT: u32 = 15;

/// The gradient of one pixel, in the channel where it is largest.
#[derive(Debug, Clone, Copy, Default)]
struct Gradient {
    dx: i32,
    dy: i32,
}

impl Gradient {
    /// |dx| + |dy|, OpenCV's default norm.
    fn magnitude(self) -> i32 {
        self.dx.abs() + self.dy.abs()
    }
}

/// State of a pixel before the strong edges are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    None,
    /// Kept if it touches a strong edge.
    Weak,
    Strong,
}

/// White edges on black, of the same size: `cv2.Canny(picture, 100, 200)` on the RGB picture, with Sobel's aperture of 3
/// and the L1 norm. Of a colour picture OpenCV takes, pixel by pixel, the channel with the largest gradient.
///
/// # Errors
///
/// None in practice: the size of a picture is sound, and the edges have the same.
pub fn canny(picture: &Picture) -> Result<Picture> {
    let size = picture.size();
    let gradients = gradients(picture);
    let mut edges = thin(size, &gradients);
    follow(size, &mut edges);
    let rgb = edges
        .iter()
        .flat_map(|edge| [if *edge == Edge::Strong { u8::MAX } else { 0 }; CHANNELS])
        .collect();
    Picture::from_rgb(size, rgb)
}

/// Sobel's gradient of every pixel; what lies outside of the picture is its nearest pixel.
fn gradients(picture: &Picture) -> Vec<Gradient> {
    let Size { width, height } = picture.size();
    let rgb = picture.rgb();
    let mut found = Vec::with_capacity(width * height);
    for y in 0..height {
        let rows = [y.saturating_sub(1), y, (y + 1).min(height - 1)];
        for x in 0..width {
            let columns = [x.saturating_sub(1), x, (x + 1).min(width - 1)];
            let mut largest = Gradient::default();
            for channel in 0..CHANNELS {
                let at = |row: usize, column: usize| {
                    i32::from(rgb[(rows[row] * width + columns[column]) * CHANNELS + channel])
                };
                let across = |row| at(row, 2) - at(row, 0);
                let down = |column| at(2, column) - at(0, column);
                let gradient = Gradient {
                    dx: across(0) + 2 * across(1) + across(2),
                    dy: down(0) + 2 * down(1) + down(2),
                };
                if gradient.magnitude() > largest.magnitude() {
                    largest = gradient;
                }
            }
            found.push(largest);
        }
    }
    found
}

/// Keeps what is above the lower threshold and largest across its edge. Of two equal neighbours along an axis one stays:
/// the comparisons are strict on one side only, and strict on both along a diagonal.
fn thin(size: Size, gradients: &[Gradient]) -> Vec<Edge> {
    let [low, high] = THRESHOLDS;
    let magnitude = |x: isize, y: isize| {
        let inside = (0..size.width as isize).contains(&x) && (0..size.height as isize).contains(&y);
        if inside {
            gradients[y as usize * size.width + x as usize].magnitude()
        } else {
            0
        }
    };
    let edge = |index: usize, gradient: &Gradient| {
        let own = gradient.magnitude();
        if own <= low {
            return Edge::None;
        }
        let (x, y) = ((index % size.width) as isize, (index / size.width) as isize);
        let (steep, flat) = (i64::from(gradient.dy.abs()) << TAN_SHIFT, i64::from(gradient.dx.abs()));
        let tan_22 = flat * TAN_22;
        // tan 67.5° = 2 + tan 22.5°.
        let tan_67 = tan_22 + (flat << (TAN_SHIFT + 1));
        let largest = if steep < tan_22 {
            own > magnitude(x - 1, y) && own >= magnitude(x + 1, y)
        } else if steep > tan_67 {
            own > magnitude(x, y - 1) && own >= magnitude(x, y + 1)
        } else {
            let side = if (gradient.dx ^ gradient.dy) < 0 { -1 } else { 1 };
            own > magnitude(x - side, y - 1) && own > magnitude(x + side, y + 1)
        };
        match largest {
            false => Edge::None,
            true if own > high => Edge::Strong,
            true => Edge::Weak,
        }
    };
    gradients
        .iter()
        .enumerate()
        .map(|(index, gradient)| edge(index, gradient))
        .collect()
}

/// Makes every weak edge strong that touches a strong one, directly or through others.
fn follow(size: Size, edges: &mut [Edge]) {
    let mut open: Vec<usize> = (0..edges.len()).filter(|index| edges[*index] == Edge::Strong).collect();
    while let Some(index) = open.pop() {
        let (x, y) = (index % size.width, index / size.width);
        for row in y.saturating_sub(1)..(y + 2).min(size.height) {
            for column in x.saturating_sub(1)..(x + 2).min(size.width) {
                let neighbour = row * size.width + column;
                if edges[neighbour] == Edge::Weak {
                    edges[neighbour] = Edge::Strong;
                    open.push(neighbour);
                }
            }
        }
    }
}
