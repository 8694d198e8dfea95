//! The activations of an ADM in execution order.

use std::cmp::Ordering;

use super::{
    config::AdmConfig,
    ids::{self, AttnPart, NETWORK_IN, NETWORK_OUT, RESNET_WORDS, inside},
    plan::{Block, Module, Plan},
};
use crate::{
    activation::{
        Catalogue, CatalogueEntry, Facts, Id, Kind, MapOf, Name, Shape, Stage, attention_cost, convolution_cost,
        linear_cost,
    },
    geometry::Grid,
};

/// Every activation for a working picture of `picture` rows and columns, a size that [`AdmConfig::check_size`]
/// accepts.
pub fn catalogue(config: &AdmConfig, picture: Grid) -> Catalogue {
    let plan = Plan::new(config);
    let finest = Grid::new(picture.height / config.patch_size, picture.width / config.patch_size);
    let last = plan.blocks().map(|block| block.number).max().unwrap_or_default();
    let mut catalogue = Catalogue::default();
    push_network(
        &mut catalogue,
        NETWORK_IN,
        plan.in_channels,
        finest,
        (Stage::Input, Kind::Input, "in"),
    );
    for block in plan.blocks() {
        push_block(&mut catalogue, block, finest, last);
    }
    push_network(
        &mut catalogue,
        NETWORK_OUT,
        config.output_channels(),
        picture,
        (Stage::Output, Kind::Output, "out"),
    );
    catalogue
}

fn push_network(
    catalogue: &mut Catalogue,
    id: Id,
    channels: usize,
    grid: Grid,
    (stage, kind, word): (Stage, Kind, &'static str),
) {
    catalogue.push(CatalogueEntry {
        id,
        shape: Shape::Features { channels, grid },
        facts: Facts {
            word: Name::of(word),
            ..Facts::new(id, stage, kind)
        },
    });
}

/// Stage of a block of so many, and which of the stage's blocks it is: there are as many before the one in the middle as behind
/// it.
fn place_of(number: u16, last: u16) -> (Stage, (u16, u16)) {
    let middle = last.div_ceil(2);
    match number.cmp(&middle) {
        Ordering::Less => (Stage::Down, (number.saturating_sub(1), middle.saturating_sub(1))),
        Ordering::Equal => (Stage::Mid, (0, 1)),
        Ordering::Greater => (Stage::Up, (number - middle - 1, last - middle)),
    }
}

fn push_block(catalogue: &mut Catalogue, block: &Block, finest: Grid, last: u16) {
    let (stage, place) = place_of(block.number, last);
    let group = Name::made(&format!("inside b{}", block.number));
    let facts = |kind: Kind, word: &'static str, cost: f64| Facts {
        stage,
        block: place,
        kind,
        word: Name::of(word),
        group,
        label: Name::of(word),
        cost,
        map_of: None,
        row_sums: None,
        is_extra: false,
    };
    let id = |word: &str| inside(block.number, word);
    let mut resnets = RESNET_WORDS.into_iter();
    let mut stride = block.stride;
    for module in &block.modules {
        stride = module.stride_after(stride);
        let grid = Grid::new(finest.height / stride, finest.width / stride);
        let positions = grid.positions();
        match *module {
            Module::Res { output, .. } => {
                if let Some((increment, out)) = resnets.next() {
                    let shape = Shape::Features { channels: output, grid };
                    let cost = 2.0 * convolution_cost(positions, output, output);
                    for (kind, word, cost) in [(Kind::ResidualBranch, increment, cost), (Kind::BlockOutput, out, 0.0)] {
                        catalogue.push(CatalogueEntry {
                            id: id(word),
                            shape,
                            facts: facts(kind, word, cost),
                        });
                    }
                }
            }
            Module::Attention { channels, heads } => {
                for part in AttnPart::ALL {
                    let (shape, cost, map_of) = match part {
                        AttnPart::Map => (
                            Shape::Attention {
                                heads,
                                queries: positions,
                                keys: positions,
                            },
                            attention_cost(positions, positions, channels),
                            Some(MapOf {
                                queries: id(AttnPart::Q.word()),
                                keys: Some(id(AttnPart::K.word())),
                            }),
                        ),
                        _ => (
                            Shape::Features { channels, grid },
                            linear_cost(positions, channels, channels),
                            None,
                        ),
                    };
                    catalogue.push(CatalogueEntry {
                        id: id(part.word()),
                        shape,
                        facts: Facts {
                            map_of,
                            ..facts(part.kind(), part.word(), cost)
                        },
                    });
                }
            }
            Module::Conv { .. } | Module::Down { .. } | Module::Up { .. } => {}
        }
    }
    let grid = Grid::new(finest.height / stride, finest.width / stride);
    let out = ids::block(block.number);
    catalogue.push(CatalogueEntry {
        id: out,
        shape: Shape::Features {
            channels: block.channels,
            grid,
        },
        facts: Facts {
            group: Name::default(),
            label: Name::of(out.as_str()),
            ..facts(Kind::BlockOutput, "out", 0.0)
        },
    });
}
