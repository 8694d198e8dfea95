//! `featscope page`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    extract::{say_how_loras_act, say_of_pictures, say_of_settings, say_what_computes, say_what_is_special},
    pictures::pictures,
    run::{RunArguments, file_at},
    terminal,
    told::{self, PictureLog},
    values::{place, text_or_path},
};
use crate::{
    activation::{Id, Shape},
    error::{Error, Result},
    extract::{
        facts::facts,
        job::{self, Planned},
        model::{Model, fingerprint},
        request::{ExtractRequest, Provenance},
        select::Select,
    },
    families::{family, resolve},
    files::{checksum, names},
    geometry::Size,
    image::source::PictureSource,
    io::output::{check_file, replace_file, write_error},
    model::spec::ModelSpec,
    page::{PageInput, PageLayer, PagePicture, check_size, page as page_of},
    sources::open_device,
};

/// What the name of a page ends in.
const ENDING: &str = "html";

/// `featscope page`.
#[derive(Debug, Args)]
pub struct PageArguments {
    /// What runs.
    #[command(flatten)]
    pub run: RunArguments,
    /// The pictures: files, folders of them, patterns such as 'photos/*.jpg', samples such as sample:photo-cat
    #[arg(long, short, visible_alias = "images", value_name = "FILE|DIR", num_args = 1.., required = true)]
    pub image: Vec<PathBuf>,
    /// The activations to choose from on the page, the first shown first: ids separated by commas, patterns such as
    /// 'up-*-cross-q', or a layer file (.json) [default: the one that the window begins with]
    #[arg(
        long,
        short = 'l',
        visible_aliases = ["layers", "layer"],
        value_name = "IDS",
        num_args = 1..,
        value_parser = text_or_path()
    )]
    pub activations: Vec<String>,
    /// What stands above the page [default: the model and the pictures]
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Leave channels of the first picture out that are much larger than the others, in all pictures
    #[arg(long)]
    pub drop_massive: bool,
    /// The page: a file that ends in .html
    #[arg(long, short, value_name = "HTML", value_parser = place())]
    pub out: PathBuf,
}

/// Writes a page on which pictures light up where they are similar.
pub fn page(arguments: &PageArguments) -> Result<()> {
    if !arguments
        .out
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case(ENDING))
    {
        return Err(Error::usage(format!(
            "the name of a page ends in .{ENDING}, found {}",
            arguments.out.display()
        )));
    }
    let pictures = pictures(&arguments.image)?;
    let requests = arguments.run.requests(&pictures, &arguments.activations.join(","))?;
    let several = requests.len() > 1;
    let mut passes = Vec::new();
    for mut request in requests {
        let spec = resolve(&request.model)?;
        if arguments.activations.is_empty() && request.preset.is_none() {
            request.select = Select::Ids(vec![first_activation(&spec)?.to_string()]);
        }
        let out = match several {
            true => file_at(&arguments.out, request.settings.t),
            false => arguments.out.clone(),
        };
        check_file(&out)?;
        passes.push((job::plan(spec, &request)?, request, out));
    }
    let Some((planned, request, _)) = passes.first() else {
        return Err(Error::usage("no timestep was given"));
    };
    say_of_pictures([planned]);
    say_of_settings(&arguments.run, &planned.spec);
    check_activations(planned)?;
    let bar = terminal::progress("extracting");
    let mut watch = terminal::watch(&bar);
    let mut model = planned.load(request, open_device(request.device, request.dtype)?, &mut watch)?;
    bar.suspend(|| say_what_computes(&model, request));
    model.adapt(&request.settings.adapters)?;
    bar.suspend(|| say_how_loras_act(&model));
    let count = passes.len() as f32;
    for (index, (planned, request, out)) in passes.into_iter().enumerate() {
        let mut watch = |done| watch(job::after_loading((index as f32 + done) / count));
        let started = Instant::now();
        let input = extracted(arguments, planned, &request, &mut model, &mut watch)?;
        let html = page_of(&input, &mut |_| Ok(()))?;
        replace_file(&out, |file| file.write_all(html.as_bytes()).map_err(write_error))?;
        let told = format!(
            "{} of {}, {:.1} MiB",
            told::count(input.layers.len(), "activation"),
            told::count(input.pictures.len(), "picture"),
            html.len() as f64 / f64::from(1 << 20)
        );
        bar.suspend(|| terminal::wrote(&out, &told, started));
    }
    bar.suspend(|| say_what_is_special(&model));
    Ok(())
}

/// The activation that a fresh window shows.
fn first_activation(spec: &ModelSpec) -> Result<Id> {
    let list = spec.plain_catalogue(Size::new(spec.native_side, spec.native_side));
    let wanted = family(spec.family).map_or(&[][..], |family| family.first_activations());
    let known = |id: &Id| list.tap(*id).is_some();
    let last_features = || {
        list.entries()
            .iter()
            .rev()
            .map(|entry| entry.id)
            .find(|id| !id.is_map())
    };
    let first = wanted.iter().filter_map(|name| name.parse().ok()).find(known);
    first.or_else(last_features).ok_or_else(|| {
        Error::usage(format!(
            "{} has no activation for a page: name one as --activations",
            spec.name
        ))
    })
}

/// Attention maps, and a page that would be too large, are refused before weights are read.
fn check_activations(planned: &Planned) -> Result<()> {
    let mut maps = Vec::new();
    for (_, picture) in &planned.pictures {
        let list = planned.spec.plain_catalogue(picture.framing.working);
        for entry in planned.selection.iter().filter_map(|tap| list.entry(tap)) {
            match entry.shape {
                Shape::Features { channels, grid } => maps.push((grid, channels)),
                Shape::Attention { .. } => {
                    return Err(Error::usage(format!(
                        "{} is an attention map: a page compares feature maps",
                        entry.id
                    )));
                }
            }
        }
    }
    check_size(maps)
}

/// Runs the pictures, each alone and all with the same noise, and gathers what the page shows.
fn extracted(
    arguments: &PageArguments,
    planned: Planned,
    request: &ExtractRequest,
    model: &mut Model,
    watch: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<PageInput> {
    let mut log = PictureLog::new("extracting", &planned);
    let settings = planned.settings().run.clone();
    let weights = planned.spec.path.clone();
    let parts = planned.split();
    let total = parts.len() as f32;
    let (mut pictures, mut layers, mut records) = (Vec::new(), Vec::<PageLayer>::new(), Vec::<Provenance>::new());
    let mut fingerprints = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        log.picture(index + 1);
        let extracted = part.run(request, model, &mut |done| watch((index as f32 + done) / total))?;
        for (place, (id, array)) in extracted.activations.iter().enumerate() {
            if layers.len() <= place {
                layers.push(PageLayer {
                    id: *id,
                    maps: Vec::new(),
                });
            }
            layers[place].maps.push(Arc::new(array.feature_map(0)?));
        }
        for (path, prepared) in &part.pictures {
            let taken: Vec<String> = pictures
                .iter()
                .map(|picture: &PagePicture| picture.name.clone())
                .collect();
            let picture = PictureSource::of(path).read()?;
            fingerprints.push(format!("{:016x}", fingerprint(&picture)));
            pictures.push(PagePicture {
                name: names::distinct_name(path, &taken),
                picture: Arc::new(picture),
                framing: prepared.framing,
            });
        }
        records.push(extracted.record.ran);
    }
    let first = records.first().ok_or_else(|| Error::usage("no picture was given"))?;
    in_asked_order(&mut layers, &request.select);
    let checksum = weights.as_deref().map(weights_checksum).transpose()?.flatten();
    let mut facts = facts(&request.model, &settings, first);
    facts.extend(checksum.clone().map(|sum| ("weights SHA-256", sum)));
    let read_in = request.read_in(first);
    let read_in = read_in.map_err(|error| Error::failed(format!("the request cannot be written down: {error}")))?;
    let names: Vec<&str> = pictures.iter().map(|picture| picture.name.as_str()).collect();
    let title = || format!("{}: {}", names::shown(&request.model), names.join(", "));
    Ok(PageInput {
        title: arguments.title.clone().unwrap_or_else(title),
        drop_massive: arguments.drop_massive,
        facts,
        made_by: made_by(&read_in, &records, &fingerprints, checksum),
        pictures,
        layers,
    })
}

/// The order in which activations were named, where they were; those of a pattern in that of execution.
fn in_asked_order(layers: &mut [PageLayer], select: &Select) {
    if let Select::Ids(asked) = select {
        let place = |layer: &PageLayer| {
            let named = asked.iter().position(|id| *id == layer.id.to_string());
            named.unwrap_or(asked.len())
        };
        layers.sort_by_key(place);
    }
}

/// The checksum of weights that are one file; of a folder its name says more (on the hub, the commit).
fn weights_checksum(path: &Path) -> Result<Option<String>> {
    path.is_file().then(|| checksum(path)).transpose()
}

fn made_by(request: &Value, records: &[Provenance], fingerprints: &[String], checksum: Option<String>) -> Value {
    json!({
        "program": format!("featscope {}", env!("CARGO_PKG_VERSION")),
        "request": request,
        "ran": records,
        "picture_fingerprints": fingerprints,
        "weights_sha256": checksum,
    })
}
