//! What the embedded model is good for, measured where the truth is known: marked ears, eyes, noses and mouths of animal
//! faces are found again in another drawing, turned, shrunk, recoloured and moved.
//!
//! The pictures are the samples that have marks; `tools/demo_model/evaluate.py` measures the same, and more, on many
//! pictures that are not shipped.
#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod common;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use common::{TestResult, met};
use featscope::{
    activation::{Catalogue, FeatureMap, Selection},
    analysis::similarity::{arg_max, cosine_to_all},
    families::adm::{AdmUnet, catalogue, open_demo},
    geometry::Grid,
    image::{
        picture::{Picture, WHITE},
        samples::sample,
    },
    io::array::Array,
    model::LoadExtent,
    weights::Store,
};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The activation and timestep that the program begins with.
const ID: &str = "b11";
const T: u32 = 100;
/// Noises whose features are averaged.
const NOISES: usize = 4;
/// Pixels of a side.
const SIDE: usize = 64;
/// Pixels of the side of a patch of colours, for comparison.
const PATCH: usize = 17;

/// A number from 0 to 1 that looks random.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            bits = (bits ^ (bits >> 30)).wrapping_mul(factor);
        }
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.unit()).cos()) as f32
    }
}

/// How a drawing lies in a picture, as shares of the side: place = turned and scaled about the middle, then moved.
struct Warp {
    scale: f64,
    angle: f64,
    shift: [f64; 2],
    /// What each colour is multiplied by.
    gains: [f64; 3],
}

impl Warp {
    const NONE: Self = Self {
        scale: 1.0,
        angle: 0.0,
        shift: [0.0; 2],
        gains: [1.0; 3],
    };

    /// Turned by up to 25 degrees, scaled by 0.65 to 1.1, moved by 4 to 12 % of the side, recoloured.
    fn any(random: &mut Random) -> Self {
        let (way, far) = (random.between(0.0, std::f64::consts::TAU), random.between(0.04, 0.12));
        Self {
            scale: random.between(0.65, 1.1),
            angle: random.between(-25.0, 25.0).to_radians(),
            shift: [far * way.cos(), far * way.sin()],
            gains: [0; 3].map(|_| random.between(0.75, 1.1)),
        }
    }

    /// Where a place of the drawing lies in the picture.
    fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let (sine, cosine) = self.angle.sin_cos();
        let (x, y) = (self.scale * (x - 0.5), self.scale * (y - 0.5));
        [
            0.5 + cosine * x - sine * y + self.shift[0],
            0.5 + sine * x + cosine * y + self.shift[1],
        ]
    }

    /// The place of the drawing that lies there.
    fn back(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let (sine, cosine) = self.angle.sin_cos();
        let (x, y) = (x - 0.5 - self.shift[0], y - 0.5 - self.shift[1]);
        [
            0.5 + (cosine * x + sine * y) / self.scale,
            0.5 + (cosine * y - sine * x) / self.scale,
        ]
    }

    /// (3, SIDE, SIDE) from −1 to 1, on white: the mean of the drawing's pixels under each pixel, nearly.
    fn draw(&self, drawing: &Picture) -> Vec<f32> {
        const WITHIN: usize = 4;
        let size = drawing.size();
        let mut out = vec![0.0; 3 * SIDE * SIDE];
        for (pixel, colour) in (0..SIDE * SIDE).flat_map(|pixel| (0..3).map(move |colour| (pixel, colour))) {
            let mut sum = 0.0;
            for part in 0..WITHIN * WITHIN {
                let at = |cell: usize, part: usize| (cell as f64 + (part as f64 + 0.5) / WITHIN as f64) / SIDE as f64;
                let [x, y] = self.back([at(pixel % SIDE, part % WITHIN), at(pixel / SIDE, part / WITHIN)]);
                let inside = (0.0..1.0).contains(&x) && (0.0..1.0).contains(&y);
                sum += match inside {
                    true => {
                        let column = (x * size.width as f64) as usize;
                        let row = (y * size.height as f64) as usize;
                        let byte = drawing.rgb()[3 * (row * size.width + column) + colour];
                        (f64::from(byte) / 255.0 * self.gains[colour]).min(1.0)
                    }
                    false => 1.0,
                };
            }
            let mean = sum / (WITHIN * WITHIN) as f64;
            out[colour * SIDE * SIDE + pixel] = (2.0 * mean - 1.0) as f32;
        }
        out
    }
}

/// Features (C, SIDE, SIDE) of a picture, by the network: the mean over a few noises, enlarged to the picture's pixels.
fn by_network(unet: &AdmUnet, list: &Catalogue, picture: &[f32]) -> Outcome<FeatureMap> {
    let shares = unet.config().schedule().mixture(T.into())?;
    let mut random = Random(11);
    let rows = Tensor::from_vec(picture.to_vec(), (1, 3, SIDE, SIDE), &Device::Cpu)?.repeat((NOISES, 1, 1, 1))?;
    let noise: Vec<f32> = (0..NOISES * 3 * SIDE * SIDE).map(|_| random.normal()).collect();
    let noise = Tensor::from_vec(noise, rows.shape(), &Device::Cpu)?;
    let noisy = ((rows * shares.signal)? + (noise * shares.noise)?)?;
    let mut selection = Selection::default();
    selection.insert(list.expect(ID.parse()?)?);
    let found = met(&selection, list.len(), |probe| {
        unet.forward(&noisy, &[T as f32; NOISES], probe)
    })?;
    let mean = found.mean_keepdim(0)?;
    let large = mean.interpolate2d(SIDE, SIDE)?;
    Ok(Array::from_tensor(&large)?.feature_map(0)?)
}

/// The colours around each pixel.
fn by_colours(picture: &[f32]) -> Outcome<FeatureMap> {
    let reach = (PATCH / 2) as isize;
    let near = |place: usize, step: isize| (place as isize + step).clamp(0, SIDE as isize - 1) as usize;
    let mut vectors = Vec::with_capacity(SIDE * SIDE * PATCH * PATCH * 3);
    for (row, column) in (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
        for (down, along) in (-reach..=reach).flat_map(|down| (-reach..=reach).map(move |along| (down, along))) {
            let pixel = near(row, down) * SIDE + near(column, along);
            vectors.extend((0..3).map(|colour| picture[colour * SIDE * SIDE + pixel]));
        }
    }
    Ok(FeatureMap::from_positions(
        PATCH * PATCH * 3,
        Grid::new(SIDE, SIDE),
        vectors,
    )?)
}

/// A marked drawing: who drew which animal, and where its parts are; a part that is not to be seen is nowhere.
struct Face {
    style: String,
    animal: String,
    drawing: Picture,
    parts: Vec<Option<[f64; 2]>>,
}

/// The marked faces among the samples.
fn faces() -> Outcome<Vec<Face>> {
    let marks: Value = serde_json::from_str(include_str!("../assets/demo/keypoints.json"))?;
    let mut faces = Vec::new();
    for (style, animals) in marks["points"].as_object().into_iter().flatten() {
        for (animal, points) in animals.as_object().into_iter().flatten() {
            let icon = match &marks["icon_override"][style][animal] {
                Value::String(icon) => icon,
                _ => marks["icon"][animal].as_str().expect("every animal has an icon"),
            };
            let style = style.replace("fluent-emoji", "fluent");
            let Some(sample) = sample(&format!("{style}-{icon}")) else {
                continue;
            };
            let drawing = Picture::decode(sample.bytes, WHITE, sample.name)?;
            faces.push(Face {
                parts: serde_json::from_value(points.clone())?,
                animal: animal.clone(),
                style,
                drawing,
            });
        }
    }
    Ok(faces)
}

/// The other of two ears or eyes, where `keypoints.json` names the part at this place of its list; a nose has none.
fn mirrored(part: usize) -> Option<usize> {
    const PAIRED: usize = 4;
    (part < PAIRED).then_some(part ^ 1)
}

/// How points of pairs of faces were found again.
#[derive(Debug)]
struct Found {
    /// The shares found within 0.10 and within 0.15 of the side.
    within: [f64; 2],
    /// The share of ears and eyes that were taken for the other one.
    swapped: f64,
}

/// Each face is compared with at most `most` of the others that fit.
fn found_again(
    fits: &dyn Fn(&Face, &Face) -> bool,
    most: usize,
    features: &dyn Fn(&[f32]) -> Outcome<FeatureMap>,
) -> Outcome<Found> {
    const SHARES: [f64; 2] = [0.10, 0.15];
    let faces = faces()?;
    let mut random = Random(3);
    let (mut right, mut count) = ([0; 2], 0);
    let (mut swapped, mut paired) = (0, 0);
    for first in &faces {
        let source = features(&Warp::NONE.draw(&first.drawing))?;
        let mut others: Vec<(f64, &Face)> = faces
            .iter()
            .filter(|second| fits(first, second))
            .map(|second| (random.unit(), second))
            .collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, second) in others.into_iter().take(most) {
            let warp = Warp::any(&mut random);
            let target = features(&warp.draw(&second.drawing))?;
            for (part, (from, to)) in first.parts.iter().zip(&second.parts).enumerate() {
                let (Some(from), Some(to)) = (from, to) else { continue };
                let to = warp.place(*to);
                if to.iter().any(|share| !(0.0..1.0).contains(share)) {
                    continue;
                }
                let cell = |share: f64| ((share * SIDE as f64) as usize).min(SIDE - 1);
                let query = source.vector(cell(from[1]) * SIDE + cell(from[0]));
                let best = arg_max(&cosine_to_all(query, &target)?)
                    .expect("a map has positions")
                    .position;
                let share = |cell: usize| (cell as f64 + 0.5) / SIDE as f64;
                let from_here = |[x, y]: [f64; 2]| (share(best % SIDE) - x).hypot(share(best / SIDE) - y);
                let distance = from_here(to);
                if let Some(other) = mirrored(part).and_then(|other| second.parts[other]) {
                    swapped += usize::from(from_here(warp.place(other)) < distance);
                    paired += 1;
                }
                for (right, within) in right.iter_mut().zip(SHARES) {
                    *right += usize::from(distance <= within);
                }
                count += 1;
            }
        }
    }
    assert!(count > 100, "only {count} points were compared");
    assert!(paired > 50, "only {paired} of the points are ears and eyes");
    Ok(Found {
        within: right.map(|right| right as f64 / count as f64),
        swapped: swapped as f64 / paired as f64,
    })
}

/// The same network before any training: the shapes are those of the model's own tensors.
fn untrained(store: &Store) -> Outcome<HashMap<String, Tensor>> {
    let mut random = Random(7);
    let mut names: Vec<&str> = store.names().collect();
    // In one order, whatever the file's is.
    names.sort_unstable();
    let mut tensors = HashMap::new();
    for name in names {
        let shape = store.shape(name).ok_or("a tensor has a shape")?;
        let count: usize = shape.iter().product();
        let values: Vec<f32> = match shape {
            // What norms multiply by, and what is added.
            [_] if name.ends_with(".weight") => vec![1.0; count],
            [_] => vec![0.0; count],
            [_, inner @ ..] => {
                let deviation = 1.0 / (inner.iter().product::<usize>() as f32).sqrt();
                (0..count).map(|_| deviation * random.normal()).collect()
            }
            [] => return Err(format!("{name} is a single number").into()),
        };
        tensors.insert(name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(tensors)
}

fn itself(first: &Face, second: &Face) -> bool {
    (&first.animal, &first.style) == (&second.animal, &second.style)
}

fn another_style(first: &Face, second: &Face) -> bool {
    first.animal == second.animal && first.style != second.style
}

fn another_animal(first: &Face, second: &Face) -> bool {
    first.animal != second.animal
}

#[test]
fn places_are_found_again_in_other_drawings() -> TestResult {
    let (config, store) = open_demo()?;
    let unet = AdmUnet::new(&config, LoadExtent::Whole, store.var_builder(DType::F32, &Device::Cpu))?;
    let random = VarBuilder::from_tensors(untrained(&store)?, DType::F32, &Device::Cpu);
    let random = AdmUnet::new(&config, LoadExtent::Whole, random)?;
    let list = catalogue(&config, Grid::new(SIDE, SIDE));
    // On white ground colours alone find most of a drawing in itself, but little in another.
    for (name, fits, share, least, ahead, most_swapped) in [
        (
            "itself, warped",
            &itself as &dyn Fn(&Face, &Face) -> bool,
            0,
            0.75,
            0.0,
            0.1,
        ),
        ("the same animal", &another_style, 1, 0.75, 0.2, 0.1),
        ("another animal", &another_animal, 1, 0.60, 0.2, 0.1),
    ] {
        let trained = found_again(fits, 3, &|picture| by_network(&unet, &list, picture))?;
        let untrained = found_again(fits, 3, &|picture| by_network(&random, &list, picture))?;
        let colours = found_again(fits, 3, &|picture| by_colours(picture))?;
        let found = trained.within[share];
        assert!(
            found >= least
                && found >= untrained.within[share] + ahead
                && found >= colours.within[share] + ahead
                && trained.swapped <= most_swapped,
            "{name}: {trained:?} of the points are found, by random weights {untrained:?}, by colours alone {colours:?}"
        );
    }
    Ok(())
}

#[test]
fn a_warp_and_its_way_back() {
    let mut random = Random(1);
    for _ in 0..20 {
        let (warp, at) = (Warp::any(&mut random), [random.unit(), random.unit()]);
        let back = warp.back(warp.place(at));
        assert!((back[0] - at[0]).hypot(back[1] - at[1]) < 1e-12);
    }
}
