//! What a page holds, and the page of it.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    standalone::filled,
    vectors::{MOST_COMPONENTS, stored},
};
use crate::{
    activation::{FeatureMap, Id},
    analysis::{
        colour::{self, ColourRange, RangeRule},
        massive::{channel_figures, massive_channels},
        pca::{self, COLOUR_COMPONENTS, PcaOptions},
    },
    error::{Error, Result},
    geometry::{Grid, Size, framing::Framing},
    image::{
        picture::Picture,
        resize::{Filter, resize_window},
    },
    io::output::write_png,
    render::ColourMap,
    words::visible,
};

/// Longer side of a picture on the page, in pixels: larger ones are made smaller.
const SIDE: usize = 512;
/// A larger page is refused: mail and browsers take this much.
pub const MOST_BYTES: usize = 10 << 20;
/// Bytes of a number.
const NUMBER_BYTES: usize = 2;
/// Base64 writes three bytes as four signs.
const BASE64: [usize; 2] = [4, 3];

/// A picture of a page.
pub struct PagePicture {
    /// What it is called.
    pub name: String,
    /// The picture as it was read.
    pub picture: Arc<Picture>,
    /// The place of the working picture in it.
    pub framing: Framing,
}

/// An activation of a page.
pub struct PageLayer {
    /// Its id.
    pub id: Id,
    /// Its map of every picture.
    pub maps: Vec<Arc<FeatureMap>>,
}

/// What a page is made of.
pub struct PageInput {
    /// What stands above it; nothing: the model's name.
    pub title: String,
    /// The pictures, in their order.
    pub pictures: Vec<PagePicture>,
    /// The activations, the first of which is shown first.
    pub layers: Vec<PageLayer>,
    /// Whether channels that are much larger than others in the first picture are left out of all.
    pub drop_massive: bool,
    /// What made the maps, as captions and values.
    pub facts: Vec<(&'static str, String)>,
    /// The same whole.
    pub made_by: Value,
}

/// What the vectors and colours of maps take on a page: their grids, one of each picture and activation, with their channels.
fn vector_bytes(maps: impl IntoIterator<Item = (Grid, usize)>) -> usize {
    let of_map = |(grid, channels): (Grid, usize)| {
        let cell = NUMBER_BYTES * channels.min(MOST_COMPONENTS) + COLOUR_COMPONENTS;
        grid.positions().saturating_mul(cell)
    };
    let bytes = maps.into_iter().map(of_map).fold(0, usize::saturating_add);
    bytes.saturating_mul(BASE64[0]).div_ceil(BASE64[1])
}

/// Refuses maps that make a page larger than [`MOST_BYTES`], before anything is computed.
///
/// # Errors
///
/// Where they do; the error says how large it would be and what makes it smaller.
pub fn check_size(maps: impl IntoIterator<Item = (Grid, usize)>) -> Result<()> {
    check_bytes(vector_bytes(maps))
}

fn check_bytes(bytes: usize) -> Result<()> {
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let mebibytes = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    Err(Error::usage(format!(
        "the page would have {:.1} MiB, at most {:.0} are written: take fewer activations, fewer pictures or a smaller size",
        mebibytes(bytes),
        mebibytes(MOST_BYTES)
    )))
}

/// The page. `step` is called with the share that is done, and ends the work by an error.
///
/// # Errors
///
/// Where there is no picture or no activation, a map is missing or not finite, the page would be larger than [`MOST_BYTES`], or
/// `step` ends the work.
pub fn page(input: &PageInput, step: &mut dyn FnMut(f32) -> Result<()>) -> Result<String> {
    let (Some(_), Some(_)) = (input.pictures.first(), input.layers.first()) else {
        return Err(Error::usage("a page needs a picture and an activation"));
    };
    let maps = input.layers.iter().flat_map(|layer| &layer.maps);
    check_size(maps.map(|map| (map.grid(), map.channels())))?;
    let pictures = input.pictures.iter().map(picture_json).collect::<Result<Vec<_>>>()?;
    let mut layers = Vec::with_capacity(input.layers.len());
    for (index, layer) in input.layers.iter().enumerate() {
        step(index as f32 / input.layers.len() as f32)?;
        layers.push(layer_json(layer, input)?);
    }
    let tables: Map<String, Value> = ColourMap::ALL
        .iter()
        .map(|map| {
            (
                map.name().to_owned(),
                STANDARD.encode(map.table().as_flattened()).into(),
            )
        })
        .collect();
    let facts: Vec<_> = input
        .facts
        .iter()
        .map(|(caption, value)| [*caption, &visible(value)].map(str::to_owned))
        .collect();
    let data = json!({
        "title": visible(&input.title),
        "pictures": pictures,
        "layers": layers,
        "tables": tables,
        "facts": facts,
        "made_by": input.made_by,
    });
    let page = filled(include_str!("page.html"), "__PAGE__", &data)?;
    check_bytes(page.len())?;
    Ok(page)
}

/// What the model sees of a picture, and where that lies in it.
fn picture_json(input: &PagePicture) -> Result<Value> {
    let seen = seen(&input.picture, &input.framing)?;
    let size = seen.size();
    let mut png = Vec::new();
    write_png(&mut png, [size.width, size.height], seen.rgb())?;
    Ok(json!({
        "name": visible(&input.name),
        "png": STANDARD.encode(&png),
        "width": size.width,
        "height": size.height,
        // Left, top, right and bottom of it, in pixels of the original.
        "seen": input.framing.visible(),
    }))
}

/// The part of a picture that the model sees, with its own proportions.
fn seen(picture: &Picture, framing: &Framing) -> Result<Picture> {
    let [left, top, right, bottom] = framing.visible();
    let scale = (SIDE as f64 / (right - left).max(bottom - top)).min(1.0);
    let whole = picture
        .size()
        .map(|side| ((side as f64 * scale).round() as usize).max(1));
    let part = |from: f64, to: f64, most: usize| {
        let length = (((to - from) * scale).round() as usize).clamp(1, most);
        // Pixels have their middles at whole numbers.
        let start = ((from + 0.5) * scale).round().max(0.0) as usize;
        (start.min(most - length), length)
    };
    let (x, width) = part(left, right, whole.width);
    let (y, height) = part(top, bottom, whole.height);
    resize_window(picture, whole, Filter::Bicubic, (x, y), Size::new(width, height))
}

/// An activation: vectors, PCA colours and what they cost.
fn layer_json(layer: &PageLayer, input: &PageInput) -> Result<Value> {
    let missing = || Error::failed(format!("{} is not there of every picture", layer.id));
    if layer.maps.len() != input.pictures.len() {
        return Err(missing());
    }
    if let Some(numbers) = layer.maps.iter().find_map(|map| map.not_finite()) {
        return Err(Error::failed(format!("{} has no cosines: {numbers}", layer.id)));
    }
    let left_out = match layer.maps.first() {
        Some(first) if input.drop_massive => massive_channels(&channel_figures(first)),
        _ => Vec::new(),
    };
    let without = |map: &Arc<FeatureMap>| match left_out.as_slice() {
        [] => Ok(Arc::clone(map)),
        some => map.without_channels(some).map(Arc::new),
    };
    let maps = layer.maps.iter().map(without).collect::<Result<Vec<_>>>()?;
    let maps: Vec<&FeatureMap> = maps.iter().map(AsRef::as_ref).collect();
    let stored = stored(&maps).map_err(|error| error.context(layer.id))?;
    let basis = pca::fit(&maps, &PcaOptions::default())?;
    let scores = maps.iter().map(|map| basis.project(map)).collect::<Result<Vec<_>>>()?;
    let range = ColourRange::of(&scores.iter().collect::<Vec<_>>(), RangeRule::MinMax)?;
    let colours = scores
        .iter()
        .map(|scores| STANDARD.encode(colour::colour(scores, &range).rgb));
    Ok(json!({
        "id": layer.id,
        "channels": maps.first().map(|map| map.channels()),
        "grids": maps.iter().map(|map| [map.grid().height, map.grid().width]).collect::<Vec<_>>(),
        "components": stored.components,
        "vectors": stored.bytes.iter().map(|bytes| STANDARD.encode(bytes)).collect::<Vec<_>>(),
        "normalised": stored.normalised,
        "loss": stored.loss,
        "colours": colours.collect::<Vec<_>>(),
        "explained": basis.explained_variance_ratio.iter().take(COLOUR_COMPONENTS).collect::<Vec<_>>(),
        "left_out": left_out,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    fn input(grid: Grid) -> Result<PageInput> {
        let size = Size::new(grid.width, grid.height);
        let numbers: Vec<f32> = (0..3 * grid.positions()).map(|index| (index as f32).sin()).collect();
        let map = Arc::new(FeatureMap::from_positions(3, grid, numbers)?);
        let picture = |name: &str| -> Result<PagePicture> {
            Ok(PagePicture {
                name: name.to_owned(),
                picture: Arc::new(Picture::from_rgb(size, vec![7; 3 * size.pixels()])?),
                framing: Framing::whole(size, size),
            })
        };
        Ok(PageInput {
            title: "A \u{202e}title".to_owned(),
            pictures: vec![picture("a\u{1b}.png")?, picture("</script>.png")?],
            layers: vec![PageLayer {
                id: "b1".parse()?,
                maps: vec![Arc::clone(&map), map],
            }],
            drop_massive: false,
            facts: vec![("model", "x\u{7}y".to_owned())],
            made_by: json!({ "name": "</script>" }),
        })
    }

    #[test]
    fn two_pictures_on_64_by_64_cells_fit_and_much_more_is_refused_in_words() -> TestResult {
        check_size([(Grid::new(64, 64), 1280); 2])?;
        check_size([(Grid::new(64, 64), 1280); 10])?;
        let error = check_size([(Grid::new(128, 128), 640); 8])
            .expect_err("too large")
            .to_string();
        assert!(error.contains("MiB") && error.contains("fewer activations"), "{error}");
        assert!(
            check_size([(Grid::new(usize::MAX / 4, 2), 640); 8]).is_err(),
            "no overflow"
        );
        Ok(())
    }

    #[test]
    fn names_are_shown_as_what_they_are_and_every_picture_needs_its_map() -> TestResult {
        let mut input = input(Grid::new(4, 5))?;
        let html = page(&input, &mut |_| Ok(()))?;
        assert!(
            html.contains("a\\\\u{1b}.png") && html.contains("A \\\\u{202e}title"),
            "{html}"
        );
        assert_eq!(html.matches("</script>").count(), 1);
        assert!(page(&input, &mut |_| Err(Error::failed("enough"))).is_err());
        input.layers[0].maps.pop();
        assert!(page(&input, &mut |_| Ok(())).is_err());
        input.layers.clear();
        assert!(page(&input, &mut |_| Ok(())).is_err());
        Ok(())
    }

    #[test]
    fn what_the_model_does_not_see_is_cut_away() -> TestResult {
        // Left half black, right half white; the model sees a square in the middle.
        let size = Size::new(1600, 800);
        let rgb: Vec<u8> = (0..800)
            .flat_map(|_| (0..1600).flat_map(|x| [if x < 800 { 0 } else { 255 }; 3]))
            .collect();
        let picture = Picture::from_rgb(size, rgb)?;
        let framing = Framing {
            original: size,
            scaled: Size::new(128, 64),
            offset_x: 32,
            offset_y: 0,
            working: Size::new(64, 64),
        };
        let part = seen(&picture, &framing)?;
        assert_eq!(part.size(), Size::new(SIDE, SIDE));
        assert_eq!(part.rgb()[3 * (SIDE / 4)], 0);
        assert_eq!(part.rgb()[3 * (3 * SIDE / 4)], 255);
        Ok(())
    }
}
