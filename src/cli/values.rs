//! Values of arguments: paths, numbers, sizes, points and timesteps.

use std::{
    env,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::builder::{OsStringValueParser, PathBufValueParser, TypedValueParser};

use crate::{
    components::schedule::Timestep,
    device::WEIGHTS_MEMORY,
    error::{Error, Result},
    files::names,
    geometry::framing::WorkingSize,
    io::{output::check_folder, writers::refuse_other_formats},
};

/// Where something is to be written.
pub(super) fn place() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.as_os_str() == "-" {
        true => {
            Err("nothing is written to standard output: name a file or a folder (./- for one that is called \"-\")")
        }
        false => Ok(path),
    })
}

/// Finds out before the work whether a command that writes a folder can write one of this name.
pub(super) fn check_folder_output(out: &Path) -> Result<()> {
    refuse_other_formats(out, &[])?;
    check_folder(out)
}

/// One timestep, or several separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timesteps(pub Vec<Timestep>);

impl FromStr for Timesteps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// Text that may be a path, as [`names::text`] writes it, whatever the path's bytes.
pub(super) fn text_or_path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(names::text)
}

/// Bytes of memory: a number with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySize(pub usize);

impl MemorySize {
    /// The bytes that weights may take after the environment, which a worker is given along with.
    pub(super) fn from_environment() -> Result<Option<usize>> {
        let Some(text) = env::var_os(WEIGHTS_MEMORY) else {
            return Ok(None);
        };
        let size: Result<Self, String> = text.to_string_lossy().parse();
        size.map(|size| Some(size.0))
            .map_err(|problem| Error::usage(format!("{WEIGHTS_MEMORY} is {text:?}: {problem}")))
    }
}

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u32); 5] = [("GiB", 30), ("MiB", 20), ("G", 30), ("M", 20), ("B", 0)];
        let text = text.trim();
        let bytes = UNITS.iter().find_map(|(unit, bits)| {
            let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            let bytes = number * f64::from(*bits).exp2();
            (bytes >= 1.0 && bytes < isize::MAX as f64).then_some(bytes as usize)
        });
        bytes
            .map(Self)
            .ok_or_else(|| "a size with its unit is expected, such as 6GiB or 500MiB".to_owned())
    }
}

/// A whole number that is not negative.
pub(super) fn whole<N: TryFrom<u128>>(text: &str) -> Result<N, String> {
    let number = text
        .trim()
        .parse::<u128>()
        .ok()
        .and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| {
        let bits = 8 * size_of::<N>();
        format!("a whole number from 0 on, of up to {bits} bits, is expected")
    })
}

/// A class by its number, or none: `207`, `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassAsked(pub Option<u32>);

impl FromStr for ClassAsked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "null" => Ok(Self(None)),
            number => whole(number).map(|number| Self(Some(number))).map_err(|_| {
                "a class is the number of one, such as 207 (golden retriever) of ImageNet's, or null for none"
                    .to_owned()
            }),
        }
    }
}

/// A working size: `WxH`, or one number for both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactSize {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl From<ExactSize> for WorkingSize {
    fn from(size: ExactSize) -> Self {
        Self::Exact {
            width: size.width,
            height: size.height,
        }
    }
}

impl FromStr for ExactSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (width, height) = text.split_once(['x', 'X']).unwrap_or((text, text));
        let side = |text: &str| {
            let side: Option<usize> = text.trim().parse().ok().filter(|side| *side > 0);
            side.ok_or_else(|| "a size is WIDTHxHEIGHT or one number for both, in pixels".to_owned())
        };
        Ok(Self {
            width: side(width)?,
            height: side(height)?,
        })
    }
}

/// A point of a picture, in its own pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Column.
    pub x: f64,
    /// Row.
    pub y: f64,
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse().ok().filter(|x: &f64| x.is_finite());
        text.split_once(',')
            .and_then(|(x, y)| {
                Some(Self {
                    x: number(x)?,
                    y: number(y)?,
                })
            })
            .ok_or_else(|| "a point is X,Y in pixels".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_memory_have_a_unit() {
        let bytes = |text: &str| text.parse::<MemorySize>().ok().map(|size| size.0);
        for (text, wanted) in [
            ("6GiB", Some(6 << 30)),
            ("1.5 G", Some(3 << 29)),
            ("500M", Some(500 << 20)),
            ("17B", Some(17)),
        ] {
            assert_eq!(bytes(text), wanted, "{text}");
        }
        for text in ["6", "GiB", "-1G", "0G", "nanM", "infG", "1e30GiB", "6 TB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
