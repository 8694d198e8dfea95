//! Picture → working picture: the size asked for, resized and cut as the family of the model has it.

use super::{
    picture::Picture,
    resize::{Filter, resize, resize_window},
};
use crate::{
    error::{Error, Result},
    geometry::{
        Size,
        framing::{Framing, MAX_SIDE, SizeRule, WorkingSize},
    },
};

/// A working picture with its framing: the input of a model.
#[derive(Debug, Clone)]
pub struct PreparedImage {
    /// The working picture.
    pub picture: Picture,
    /// Its place in the original.
    pub framing: Framing,
}

/// How a picture of some size becomes its working picture; made without looking at a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramingPlan {
    /// Resizes before the last one.
    first: Vec<(Size, Filter)>,
    /// The last resize, to `framing.scaled`, which is also where the cut happens.
    last: Filter,
    framing: Framing,
}

impl FramingPlan {
    /// Plans the preparation of a picture of size `original`.
    ///
    /// # Errors
    ///
    /// Where the picture has no pixels, where a side of the working size is below the model's multiple or above
    /// [`MAX_SIDE`], and where a rule that takes multiples alone is asked for another size.
    pub fn new(original: Size, request: &WorkingSize, rule: SizeRule) -> Result<Self> {
        if original.width == 0 || original.height == 0 || rule.multiple() == 0 {
            return Err(Error::failed(format!(
                "a picture of {original} pixels cannot be prepared in multiples of {}",
                rule.multiple()
            )));
        }
        let wanted = match *request {
            WorkingSize::Exact { width, height } => exact_size(Size::new(width, height), rule)?,
            WorkingSize::ShortSide(side) => size_of_short_side(original, side, rule.multiple())?,
        };
        let plan = match (rule, request) {
            (SizeRule::Adm { .. }, WorkingSize::Exact { width, height }) if width == height => {
                Self::square_from_middle(original, *width)
            }
            _ => {
                let working = wanted.map(|side| side - side % rule.multiple());
                if working == wanted {
                    Self::whole(original, Vec::new(), Filter::Bicubic, working)
                } else {
                    Self::whole(original, vec![(wanted, Filter::Bicubic)], Filter::Lanczos, working)
                }
            }
        };
        Ok(plan)
    }

    const fn whole(original: Size, first: Vec<(Size, Filter)>, last: Filter, working: Size) -> Self {
        Self {
            first,
            last,
            framing: Framing::whole(original, working),
        }
    }

    /// guided-diffusion's `center_crop_arr`.
    fn square_from_middle(original: Size, side: usize) -> Self {
        let mut first = Vec::new();
        let mut size = original;
        while size.short_side() >= 2 * side {
            size = size.map(|side| side / 2);
            first.push((size, Filter::Box));
        }
        let scale = side as f64 / size.short_side() as f64;
        let scaled = size.map(|side| (side as f64 * scale).round_ties_even() as usize);
        let framing = Framing {
            original,
            scaled,
            offset_x: (scaled.width - side) / 2,
            offset_y: (scaled.height - side) / 2,
            working: Size::new(side, side),
        };
        Self {
            first,
            last: Filter::Bicubic,
            framing,
        }
    }

    /// The working size and its place in the original.
    pub const fn framing(&self) -> &Framing {
        &self.framing
    }

    /// Makes the working picture.
    ///
    /// # Errors
    ///
    /// Where the picture has another size than the plan was made for.
    pub fn apply(&self, picture: &Picture) -> Result<Picture> {
        let framing = &self.framing;
        if picture.size() != framing.original {
            return Err(Error::failed(format!(
                "the framing is for a picture of {}, this one has {}",
                framing.original,
                picture.size()
            )));
        }
        let mut intermediate: Option<Picture> = None;
        for &(size, filter) in &self.first {
            intermediate = Some(resize(intermediate.as_ref().unwrap_or(picture), size, filter)?);
        }
        resize_window(
            intermediate.as_ref().unwrap_or(picture),
            framing.scaled,
            self.last,
            (framing.offset_x, framing.offset_y),
            framing.working,
        )
    }
}

/// The working picture and its place in the original.
///
/// # Errors
///
/// As [`FramingPlan::new`].
pub fn prepare(picture: &Picture, request: &WorkingSize, rule: SizeRule) -> Result<PreparedImage> {
    let plan = FramingPlan::new(picture.size(), request, rule)?;
    Ok(PreparedImage {
        picture: plan.apply(picture)?,
        framing: plan.framing,
    })
}

/// An exact size, if the model takes it.
fn exact_size(size: Size, rule: SizeRule) -> Result<Size> {
    check_sides(size, rule.multiple())?;
    match rule {
        SizeRule::Adm { multiple } | SizeRule::Patches { multiple }
            if !size.width.is_multiple_of(multiple) || !size.height.is_multiple_of(multiple) =>
        {
            let below = size.map(|side| side - side % multiple);
            let above = size.map(|side| side.next_multiple_of(multiple));
            Err(Error::usage(format!(
                "the size {size} does not fit this model: both sides must be multiples of {multiple}; the nearest \
                 sizes are {below} and {above}"
            )))
        }
        _ => Ok(size),
    }
}

/// The size with the short side nearest to `side`, both sides multiples, the aspect ratio kept as well as they allow.
fn size_of_short_side(original: Size, side: usize, multiple: usize) -> Result<Size> {
    check_sides(Size::new(side, side), multiple)?;
    let scale = side as f64 / original.short_side() as f64;
    let nearest = |length: usize| ((length as f64 * scale / multiple as f64).round() as usize).max(1) * multiple;
    let size = original.map(nearest);
    check_sides(size, multiple).map_err(|error| {
        error.context(format!(
            "a picture of {original} with a short side of {side} pixels becomes {size}"
        ))
    })?;
    Ok(size)
}

fn check_sides(size: Size, multiple: usize) -> Result<()> {
    if size.short_side() < multiple {
        return Err(Error::usage(format!(
            "the size {size} is too small for this model: each side needs at least {multiple} pixels"
        )));
    }
    if size.width.max(size.height) > MAX_SIDE {
        return Err(Error::usage(format!(
            "the size {size} is too large: each side may have up to {MAX_SIDE} pixels"
        )));
    }
    Ok(())
}
