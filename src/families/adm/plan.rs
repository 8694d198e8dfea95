//! Which modules follow each other: what the network is built from and the catalogue is listed from.

use super::config::{AdmConfig, AdmLevel, COLOURS};

/// One module of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Module {
    /// The first 3x3 convolution.
    Conv { input: usize, output: usize },
    /// A resnet, which may change the resolution of both its branches.
    Res {
        input: usize,
        output: usize,
        resample: Resample,
    },
    /// Self-attention over all positions.
    Attention { channels: usize, heads: usize },
    /// A 3x3 convolution of stride 2.
    Down { channels: usize },
    /// Nearest enlargement and a 3x3 convolution.
    Up { channels: usize },
}

/// How a resnet changes the resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resample {
    None,
    /// Halved: mean of 2x2 positions.
    Down,
    /// Doubled: nearest.
    Up,
}

impl Module {
    /// The downsampling after this module, given the one before it.
    pub(super) fn stride_after(self, stride: usize) -> usize {
        match self {
            Self::Res {
                resample: Resample::Down,
                ..
            }
            | Self::Down { .. } => stride * 2,
            Self::Res {
                resample: Resample::Up, ..
            }
            | Self::Up { .. } => stride / 2,
            _ => stride,
        }
    }
}

/// One numbered block b1, b2, …
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// Its number b, from 1.
    pub(super) number: u16,
    /// Where its tensors are: `input_blocks.3`.
    pub(super) path: String,
    /// In execution order.
    pub(super) modules: Vec<Module>,
    pub(super) channels: usize,
    /// Positions of the finest grid per position of its input, along one side.
    pub(super) stride: usize,
}

/// All blocks of a network.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) input: Vec<Block>,
    pub(super) middle: Block,
    pub(super) output: Vec<Block>,
    /// Channels of what enters the first convolution: 3·p².
    pub(super) in_channels: usize,
    /// Channels of what leaves the last convolution: 3·p² or 6·p².
    pub(super) out_channels: usize,
}

impl Plan {
    pub(super) fn new(config: &AdmConfig) -> Self {
        let patch = config.patch_size * config.patch_size;
        let mut builder = Builder {
            config,
            number: 0,
            channels: 0,
            stride: 1,
        };
        let mut skips = Vec::new();
        let input = builder.input_blocks(COLOURS * patch, &mut skips);
        let middle = builder.middle_block();
        let output = builder.output_blocks(skips);
        Self {
            input,
            middle,
            output,
            in_channels: COLOURS * patch,
            out_channels: config.output_channels() * patch,
        }
    }

    /// Every block in execution order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.input.iter().chain([&self.middle]).chain(&self.output)
    }
}

/// Where the walk through the network has come to.
struct Builder<'a> {
    config: &'a AdmConfig,
    number: u16,
    channels: usize,
    stride: usize,
}

impl Builder<'_> {
    fn block(&mut self, path: String, modules: Vec<Module>) -> Block {
        self.number += 1;
        let stride = self.stride;
        self.stride = modules
            .iter()
            .fold(stride, |stride, module| module.stride_after(stride));
        Block {
            number: self.number,
            path,
            modules,
            channels: self.channels,
            stride,
        }
    }

    /// A resnet from `input` channels to those of the walk from now on.
    fn res(&mut self, input: usize, output: usize, resample: Resample) -> Module {
        self.channels = output;
        Module::Res {
            input,
            output,
            resample,
        }
    }

    fn attention(&self, on_the_way_up: bool) -> Module {
        let channels = self.channels;
        Module::Attention {
            channels,
            heads: self.config.heads.count(channels, on_the_way_up),
        }
    }

    /// The module that changes the resolution between two levels.
    fn sampler(&mut self, resample: Resample) -> Module {
        let channels = self.channels;
        match resample {
            _ if self.config.resblock_updown => self.res(channels, channels, resample),
            Resample::Up => Module::Up { channels },
            Resample::Down | Resample::None => Module::Down { channels },
        }
    }

    /// `skips` gets the channels of every block's output.
    fn input_blocks(&mut self, in_channels: usize, skips: &mut Vec<usize>) -> Vec<Block> {
        let config = self.config;
        let levels = &config.levels;
        self.channels = levels.first().map_or(0, |level| level.channels);
        let mut blocks: Vec<Block> = Vec::new();
        let mut push = |builder: &mut Self, modules| {
            skips.push(builder.channels);
            let block = builder.block(format!("input_blocks.{}", blocks.len()), modules);
            blocks.push(block);
        };
        let output = self.channels;
        push(
            self,
            vec![Module::Conv {
                input: in_channels,
                output,
            }],
        );
        for (index, level) in levels.iter().enumerate() {
            for _ in 0..config.num_res_blocks {
                let modules = self.resnet_and_attention(self.channels, *level, false);
                push(self, modules);
            }
            if index + 1 < levels.len() {
                let sampler = self.sampler(Resample::Down);
                push(self, vec![sampler]);
            }
        }
        blocks
    }

    fn middle_block(&mut self) -> Block {
        let channels = self.channels;
        let modules = vec![
            self.res(channels, channels, Resample::None),
            self.attention(false),
            self.res(channels, channels, Resample::None),
        ];
        self.block("middle_block".to_owned(), modules)
    }

    /// Every block takes one skip off `skips`.
    fn output_blocks(&mut self, mut skips: Vec<usize>) -> Vec<Block> {
        let config = self.config;
        let mut blocks: Vec<Block> = Vec::new();
        for (index, level) in config.levels.iter().enumerate().rev() {
            for repeat in 0..=config.num_res_blocks {
                let input = self.channels + skips.pop().unwrap_or(0);
                let mut modules = self.resnet_and_attention(input, *level, true);
                if index > 0 && repeat == config.num_res_blocks {
                    modules.push(self.sampler(Resample::Up));
                }
                blocks.push(self.block(format!("output_blocks.{}", blocks.len()), modules));
            }
        }
        blocks
    }

    fn resnet_and_attention(&mut self, input: usize, level: AdmLevel, on_the_way_up: bool) -> Vec<Module> {
        let mut modules = vec![self.res(input, level.channels, Resample::None)];
        if level.attention {
            modules.push(self.attention(on_the_way_up));
        }
        modules
    }
}
