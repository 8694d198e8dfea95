//! Where in one picture lies what is at a point of another: the position of the highest cosine.
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use featscope::{
    analysis::similarity::{arg_max, cell_vector, cosine_to_all},
    prelude::*,
};

/// The point of the target, in its pixels, and its cosine.
pub(crate) fn run(from: [f64; 2]) -> Result<([f64; 2], f32)> {
    let mut model = Model::open("demo")?;
    let features = model
        .extract("sample:noto-cat-face")
        .and("sample:noto-dog-face")
        .at(100)
        .select(["b11"])
        .run()?;
    let nothing = || Error::usage("the point is not in the picture");
    let (source, target) = (features.map_of(0, "b11")?, features.map_of(1, "b11")?);
    let framing = features.framing(0).ok_or_else(nothing)?;
    let (row, column) = framing.cell_from_original(from, source.grid()).ok_or_else(nothing)?;
    let cosines = cosine_to_all(cell_vector(source, row, column)?, target)?;
    let best = arg_max(&cosines).ok_or_else(nothing)?;
    let framing = features.framing(1).ok_or_else(nothing)?;
    let cell = target.grid().row_column(best.position);
    Ok((framing.original_from_cell(cell, target.grid()), best.score))
}

#[allow(dead_code, reason = "the test of the examples calls `run` itself")]
fn main() -> Result<()> {
    // The cat's nose; found on the dog's.
    let ([x, y], cosine) = run([128.0, 152.0])?;
    println!("at {x:.1}, {y:.1} with cosine {cosine:.3}");
    Ok(())
}
