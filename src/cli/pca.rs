//! `featscope pca`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;

use super::{
    terminal, told,
    values::{place, whole},
};
use crate::{
    activation::{FeatureMap, Id, NotFinite},
    analysis::{
        colour::{self, ColourRange, RangeRule},
        massive::{channel_figures, massive_channels},
        pca::{self, PcaOptions},
    },
    error::{Error, Result},
    io::{
        output::{check_file, check_folder, replace_file, write_folder, write_png},
        saved::SavedActivations,
        writers::refuse_other_formats,
    },
};

/// What the name of one picture ends in.
const PNG: &str = "png";
/// Width of the pictures written, in pixels.
const WIDTH: usize = 512;
/// Higher pictures than this are refused.
const MAX_HEIGHT: usize = 1 << 16;

/// `featscope pca`.
#[derive(Debug, Args)]
pub struct PcaArguments {
    /// Outputs of `extract`: safetensors or .npz files, folders of .npy files, or .npy files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Which activations; patterns such as 'up-*-cross-q' take all that fit
    #[arg(
        long,
        short = 'l',
        visible_aliases = ["activations", "layers", "layer"],
        value_name = "ID",
        num_args = 1..,
        required = true
    )]
    pub id: Vec<String>,
    /// Which picture of each file, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<usize>, allow_hyphen_values = true)]
    pub image_index: usize,
    /// Fit one basis over all ids and files given, so that colours mean the same in all of them
    #[arg(long, conflicts_with = "reference")]
    pub joint: bool,
    /// Leave channels out that are much larger than the others (of the first map of a joint basis), and say which
    #[arg(long, conflicts_with = "reference")]
    pub drop_massive: bool,
    /// Exactly generic-diffusion-feature's picture: exact solver, minimum to maximum per component, 255·x cut off
    #[arg(long)]
    pub reference: bool,
    /// A path that ends in .png is one picture, anything else a folder
    #[arg(long, short, value_name = "PNG|DIR", value_parser = place())]
    pub out: PathBuf,
}

/// Makes PCA pictures of extracted activations.
pub fn pca(arguments: &PcaArguments) -> Result<()> {
    let started = Instant::now();
    refuse_other_formats(&arguments.out, &[PNG])?;
    let is_png = arguments
        .out
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(PNG));
    if is_png {
        check_file(&arguments.out)?;
    } else {
        check_folder(&arguments.out)?;
    }
    let ids: Vec<&str> = arguments
        .id
        .iter()
        .flat_map(|ids| ids.split(','))
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .collect();
    if ids.is_empty() {
        return Err(Error::usage("--id names no activation"));
    }
    let several_files = arguments.files.len() > 1;
    let mut maps: Vec<(String, FeatureMap)> = Vec::new();
    for (number, path) in arguments.files.iter().enumerate() {
        let saved = SavedActivations::open(path)?;
        let fitting = ids.iter().map(|id| saved.fitting(id)).collect::<Result<Vec<_>>>()?;
        for id in fitting.concat() {
            let id = id.as_str();
            if id.parse::<Id>().is_ok_and(Id::is_map) {
                return Err(Error::usage(format!(
                    "{id} is an attention map: a PCA picture is made of a feature map"
                )));
            }
            let map = saved
                .array(id)?
                .feature_map(arguments.image_index)
                .map_err(|error| error.context(id))?;
            if let Some(numbers) = NotFinite::among(map.vectors()) {
                return Err(Error::failed(format!(
                    "{id} of {} has no principal components: {numbers}",
                    path.display()
                )));
            }
            let prefix = if several_files {
                format!("{number}-{}-", stem(path))
            } else {
                String::new()
            };
            maps.push((format!("{prefix}{}", file_name(id)), map));
        }
    }
    let pictures = if arguments.reference {
        reference(&maps)?
    } else {
        coloured(&maps, arguments)?
    };
    if is_png {
        let [(_, picture)] = pictures.as_slice() else {
            return Err(Error::usage(format!(
                "{} pictures do not go into one PNG: give a folder as --out",
                pictures.len()
            )));
        };
        replace_file(&arguments.out, |file| write_large(file, picture))?;
    } else {
        write_folder(&arguments.out, |folder| {
            pictures
                .iter()
                .try_for_each(|(name, picture)| folder.file(&format!("{name}.png"), |file| write_large(file, picture)))
        })?;
    }
    let of = match pictures.as_slice() {
        [(name, picture)] => format!("{name} ({} x {} cells)", picture.width, picture.height),
        several => told::count(several.len(), "picture"),
    };
    terminal::wrote(&arguments.out, &of, started);
    Ok(())
}

type Named = Vec<(String, colour::RgbPicture)>;

fn reference(maps: &[(String, FeatureMap)]) -> Result<Named> {
    maps.iter()
        .map(|(name, map)| Ok((name.clone(), colour::reference_picture(map)?)))
        .collect()
}

fn coloured(maps: &[(String, FeatureMap)], arguments: &PcaArguments) -> Result<Named> {
    let options = PcaOptions::default();
    let groups: Vec<&[(String, FeatureMap)]> = if arguments.joint {
        vec![maps]
    } else {
        maps.chunks(1).collect()
    };
    let mut pictures = Named::new();
    for group in groups {
        let massive = match group.first() {
            Some((name, first)) if arguments.drop_massive => {
                let massive = massive_channels(&channel_figures(first));
                say_what_is_massive(name, &massive);
                massive
            }
            _ => Vec::new(),
        };
        let without = |map: &FeatureMap| match massive.as_slice() {
            [] => Ok(map.clone()),
            massive => map.without_channels(massive),
        };
        let compared = group.iter().map(|(_, map)| without(map)).collect::<Result<Vec<_>>>()?;
        let basis = pca::fit(&compared.iter().collect::<Vec<_>>(), &options)?;
        let scores = compared
            .iter()
            .map(|map| basis.project(map))
            .collect::<Result<Vec<_>>>()?;
        let range = ColourRange::of(&scores.iter().collect::<Vec<_>>(), RangeRule::MinMax)?;
        for ((name, _), scores) in group.iter().zip(&scores) {
            pictures.push((name.clone(), colour::colour(scores, &range)));
        }
    }
    Ok(pictures)
}

/// Names the channels that are left out of what `name` says.
pub(super) fn say_what_is_massive(name: &str, massive: &[usize]) {
    let numbers: Vec<String> = massive.iter().map(usize::to_string).collect();
    terminal::note(&match massive {
        [] => format!("{name}: no channel is massive"),
        _ => format!("{name}: massive channels left out: {}", numbers.join(", ")),
    });
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// A tensor's name as the name of a file.
fn file_name(id: &str) -> String {
    id.replace(['/', '\\'], "-")
}

fn write_large(out: &mut dyn Write, picture: &colour::RgbPicture) -> Result<()> {
    let height = picture.height.saturating_mul(WIDTH) / picture.width.max(1);
    if height > MAX_HEIGHT {
        return Err(Error::usage(format!(
            "an activation of {} x {} positions makes a picture of {WIDTH} x {height} pixels: at most {MAX_HEIGHT} high \
             ones are made",
            picture.height, picture.width
        )));
    }
    let large = picture.resized_nearest(WIDTH);
    write_png(out, [large.width, large.height], &large.rgb)
}
