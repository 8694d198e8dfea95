//! An extractor without a model: it keeps maps made by hand, so that every number of a view can be checked.

use std::collections::BTreeMap;

use super::*;
use crate::{
    activation::{Facts, Kind, MapOf, Shape, Stage},
    components::schedule::Mixture,
    extract::request::{MixtureRan, Provenance},
    image::picture::Picture,
    model::adapters::AppliedAdapters,
};

/// One picture: its slot, its framing, and what its pass yields.
pub struct Pass {
    pub slot: ImageSlot,
    pub framing: Framing,
    pub maps: Vec<(Id, FeatureMap)>,
}

impl Pass {
    /// A picture of which the model sees everything, 20 x 20 pixels for each cell of the first map.
    pub fn whole(slot: ImageSlot, maps: Vec<(Id, FeatureMap)>) -> Self {
        const CELL: usize = 20;
        let grid = maps[0].1.grid();
        let size = Size::new(CELL * grid.width, CELL * grid.height);
        let framing = Framing::whole(size, size);
        Self { slot, framing, maps }
    }
}

/// The engine, and the passes that its hand-made extractor has kept.
pub struct Hand {
    pub engine: Engine,
    pub passes: BTreeMap<ImageSlot, PassId>,
}

impl Hand {
    /// The passes of some slots, as queries name them.
    pub fn shown(&self, slots: &[ImageSlot]) -> Vec<(ImageSlot, PassId)> {
        slots.iter().map(|slot| (*slot, self.passes[slot])).collect()
    }
}

/// An engine that keeps these maps, the attention of `b1-attn-q` and `b1-attn-k` with two heads.
pub fn hand(passes: Vec<Pass>) -> Hand {
    let slots = passes.len();
    let worker = move |requests: Receiver<Request>, host: ExtractorHost| {
        let mut passes = Some(passes);
        for _ in requests {
            for (picture, pass) in passes.take().into_iter().flatten().enumerate() {
                keep(&host, picture as u64, pass).expect("the maps fit");
            }
        }
    };
    let engine = Engine::with_extractor(Arc::new(|| {}), 1 << 30, worker).expect("threads can be started");
    engine.send(Request::Cancel);
    let passes = (0..slots).map(|_| {
        until(&engine, |event| match event {
            Event::Captured { slot, capture } => Some((*slot, capture.pass)),
            _ => None,
        })
    });
    let passes = passes.collect();
    Hand { engine, passes }
}

/// Keeps a pass as an extractor does.
pub fn keep(host: &ExtractorHost, picture: u64, pass: Pass) -> Result<()> {
    let settings = settings(100);
    let size = pass.framing.original;
    let grey = Picture::from_rgb(size, vec![128; 3 * size.pixels()])?;
    let mut layers: Vec<Layer> = pass
        .maps
        .iter()
        .map(|(id, map)| Layer {
            id: *id,
            shape: Shape::Features {
                channels: map.channels(),
                grid: map.grid(),
            },
            facts: Facts::new(*id, Stage::Down, Kind::BlockOutput),
        })
        .collect();
    let positions = pass.maps[0].1.grid().positions();
    layers.push(Layer {
        id: id("b1-attn-map"),
        shape: Shape::Attention {
            heads: 2,
            queries: positions,
            keys: positions,
        },
        facts: Facts {
            map_of: Some(MapOf {
                queries: id("b1-attn-q"),
                keys: Some(id("b1-attn-k")),
            }),
            ..Facts::new(id("b1-attn-map"), Stage::Down, Kind::SelfMap)
        },
    });
    host.keep(
        pass.slot,
        FinishedPass {
            pass: host.pass(&PassKey {
                model: 1,
                picture,
                settings: settings.clone(),
                noiseless: false,
            }),
            settings,
            picture: Arc::new(grey),
            framing: pass.framing,
            layers,
            ran: Provenance {
                featscope: "by hand".into(),
                weights: "none".into(),
                notes: Vec::new(),
                mixture: Some(MixtureRan::new(100.into(), Mixture::CLEAN)),
                device: "none".into(),
                dtype: "f32".into(),
                adapters: AppliedAdapters::default(),
                tokens: Vec::new(),
                guidance: None,
                class: None,
                pictures: Vec::new(),
                ids: Vec::new(),
                not_finite: Vec::new(),
                seconds: 0.0,
            },
            maps: pass.maps,
            heads: Vec::new(),
        },
    )
}

/// Reproducible numbers from -1 to 1.
pub fn random_map(seed: u64, channels: usize, height: usize, width: usize) -> FeatureMap {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    let numbers = (0..channels * height * width).map(|_| next()).collect();
    FeatureMap::from_positions(channels, Grid::new(height, width), numbers).expect("as many numbers as promised")
}

/// The same map with one channel 10 000 times as large.
pub fn with_massive(map: &FeatureMap, channel: usize) -> FeatureMap {
    let mut numbers = map.vectors().to_vec();
    numbers
        .iter_mut()
        .skip(channel)
        .step_by(map.channels())
        .for_each(|x| *x *= 1e4);
    FeatureMap::from_positions(map.channels(), map.grid(), numbers).expect("the same shape")
}
