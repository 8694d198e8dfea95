//! The wgpu side of score maps: one pipeline and one texture of all colour tables, and for each pane its scores and
//! its look. Uploads follow from comparing what is wanted with what is held, never from a message: a pass that egui
//! throws away loses nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::{Pod, Zeroable};
use egui_wgpu::{RenderState, wgpu};

use crate::render::{
    ColourMap, Interpolation, ScoreMap, ScoreStyle,
    colour_map::{Scale, TABLE_LEN},
    placement::Placement,
};

/// Corners of the rectangle, drawn as a strip of two triangles.
const CORNERS: u32 = 4;

/// What all panes share.
pub(super) struct Gpu {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    tables: wgpu::TextureView,
    max_side_px: usize,
    uploads: AtomicU64,
}

/// What the shader knows besides the scores; laid out as `Look` in `scores.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Look {
    min_px: [f32; 2],
    max_px: [f32; 2],
    uv_min: [f32; 2],
    uv_per_px: [f32; 2],
    screen_px: [f32; 2],
    low: f32,
    inverse_span: f32,
    gamma: f32,
    opacity: f32,
    table_row: u32,
    bilinear: u32,
}

impl Look {
    pub(super) fn new(placement: &Placement, style: &ScoreStyle, screen_px: [u32; 2]) -> Self {
        let scale = Scale::new(style.range, style.gamma);
        Self {
            min_px: placement.min_px,
            max_px: placement.max_px,
            uv_min: placement.uv_min,
            uv_per_px: placement.uv_per_px,
            screen_px: screen_px.map(|side| side as f32),
            low: scale.low,
            inverse_span: scale.inverse_span,
            gamma: scale.gamma,
            opacity: style.opacity.clamp(0.0, 1.0),
            table_row: style.map.row() as u32,
            bilinear: u32::from(style.interpolation == Interpolation::Bilinear),
        }
    }
}

/// One pane's scores and look on the device.
pub(super) struct GpuPane {
    scores: wgpu::Texture,
    /// Which scores the texture holds.
    version: u64,
    look_buffer: wgpu::Buffer,
    /// What the buffer holds.
    look: Look,
    bindings: wgpu::BindGroup,
}

impl GpuPane {
    /// Bytes of the scores on the device.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.scores.width()) * u64::from(self.scores.height()) * size_of::<f32>() as u64
    }
}

impl Gpu {
    pub(super) fn new(render_state: &RenderState) -> Self {
        let device = &render_state.device;
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("score_map_layout"),
            entries: &[
                wgpu::BindGroupLayoutEntry {
                    binding: 0,
                    visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
                    ty: wgpu::BindingType::Buffer {
                        ty: wgpu::BufferBindingType::Uniform,
                        has_dynamic_offset: false,
                        min_binding_size: wgpu::BufferSize::new(size_of::<Look>() as u64),
                    },
                    count: None,
                },
                texture_entry(1, wgpu::TextureSampleType::Uint),
                texture_entry(2, wgpu::TextureSampleType::Float { filterable: false }),
            ],
        });
        Self {
            pipeline: create_pipeline(device, &layout, render_state.target_format),
            layout,
            tables: upload_tables(device, &render_state.queue),
            max_side_px: device.limits().max_texture_dimension_2d as usize,
            uploads: AtomicU64::new(0),
        }
    }

    /// Whether the device takes a map of this size.
    pub(super) fn takes(&self, map: &ScoreMap) -> bool {
        map.grid().height.max(map.grid().width) <= self.max_side_px
    }

    /// How often scores went to the device.
    pub(super) fn uploads(&self) -> u64 {
        self.uploads.load(Ordering::Relaxed)
    }

    /// Brings `held` to the scores and the look wanted now.
    pub(super) fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        held: &mut Option<GpuPane>,
        map: &ScoreMap,
        look: Look,
    ) {
        let grid = map.grid();
        let size = wgpu::Extent3d {
            width: grid.width as u32,
            height: grid.height as u32,
            depth_or_array_layers: 1,
        };
        let pane = match held {
            Some(pane) if pane.scores.size() == size => {
                if pane.version != map.version() {
                    self.upload(queue, &pane.scores, map);
                    pane.version = map.version();
                }
                pane
            }
            _ => held.insert(self.create_pane(device, queue, size, map)),
        };
        if pane.look != look {
            queue.write_buffer(&pane.look_buffer, 0, bytemuck::bytes_of(&look));
            pane.look = look;
        }
    }

    /// Draws a prepared pane; egui has set the clip rectangle.
    pub(super) fn draw(&self, pass: &mut wgpu::RenderPass<'static>, pane: &GpuPane, [width, height]: [u32; 2]) {
        // egui's own viewport for a callback ends at the edge of the screen, which would move a map that is cut off
        // there; the shader knows the true corners.
        pass.set_viewport(0.0, 0.0, width as f32, height as f32, 0.0, 1.0);
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &pane.bindings, &[]);
        pass.draw(0..CORNERS, 0..1);
    }

    fn create_pane(&self, device: &wgpu::Device, queue: &wgpu::Queue, size: wgpu::Extent3d, map: &ScoreMap) -> GpuPane {
        let scores = device.create_texture(&texture_2d("scores", size, wgpu::TextureFormat::R32Uint));
        self.upload(queue, &scores, map);
        let look_buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("score_map_look"),
            size: size_of::<Look>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("score_map_bindings"),
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: look_buffer.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::TextureView(&scores.create_view(&Default::default())),
                },
                wgpu::BindGroupEntry {
                    binding: 2,
                    resource: wgpu::BindingResource::TextureView(&self.tables),
                },
            ],
        });
        GpuPane {
            scores,
            version: map.version(),
            look_buffer,
            // wgpu fills new buffers with zeros.
            look: Look::zeroed(),
            bindings,
        }
    }

    fn upload(&self, queue: &wgpu::Queue, texture: &wgpu::Texture, map: &ScoreMap) {
        write_texture(queue, texture, bytemuck::cast_slice(map.scores()));
        self.uploads.fetch_add(1, Ordering::Relaxed);
    }
}

fn texture_entry(binding: u32, sample_type: wgpu::TextureSampleType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Texture {
            sample_type,
            view_dimension: wgpu::TextureViewDimension::D2,
            multisampled: false,
        },
        count: None,
    }
}

fn create_pipeline(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    target_format: wgpu::TextureFormat,
) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::include_wgsl!("scores.wgsl"));
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("score_map_pipeline_layout"),
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    // egui's own choice: gamma-space colours go as they are to a plain target, and are undone for one that converts.
    let fragment = if target_format.is_srgb() {
        "fs_linear_target"
    } else {
        "fs_gamma_target"
    };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("score_map_pipeline"),
        layout: Some(&pipeline_layout),
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("vs_main"),
            buffers: &[],
            compilation_options: wgpu::PipelineCompilationOptions::default(),
        },
        primitive: wgpu::PrimitiveState {
            topology: wgpu::PrimitiveTopology::TriangleStrip,
            ..wgpu::PrimitiveState::default()
        },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some(fragment),
            targets: &[Some(wgpu::ColorTargetState {
                format: target_format,
                blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                write_mask: wgpu::ColorWrites::ALL,
            })],
            compilation_options: wgpu::PipelineCompilationOptions::default(),
        }),
        multiview_mask: None,
        cache: None,
    })
}

/// All colour tables, one a row.
fn upload_tables(device: &wgpu::Device, queue: &wgpu::Queue) -> wgpu::TextureView {
    let size = wgpu::Extent3d {
        width: TABLE_LEN as u32,
        height: ColourMap::ALL.len() as u32,
        depth_or_array_layers: 1,
    };
    let texture = device.create_texture(&texture_2d("colour_tables", size, wgpu::TextureFormat::Rgba8Unorm));
    let texels: Vec<u8> = ColourMap::ALL
        .iter()
        .flat_map(|map| map.table())
        .flat_map(|&[red, green, blue]| [red, green, blue, u8::MAX])
        .collect();
    write_texture(queue, &texture, &texels);
    texture.create_view(&Default::default())
}

fn texture_2d(
    label: &'static str,
    size: wgpu::Extent3d,
    format: wgpu::TextureFormat,
) -> wgpu::TextureDescriptor<'static> {
    wgpu::TextureDescriptor {
        label: Some(label),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    }
}

/// Fills a texture whose texels take four bytes.
fn write_texture(queue: &wgpu::Queue, texture: &wgpu::Texture, bytes: &[u8]) {
    const BYTES_PER_TEXEL: u32 = 4;
    queue.write_texture(
        texture.as_image_copy(),
        bytes,
        wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(BYTES_PER_TEXEL * texture.width()),
            rows_per_image: None,
        },
        texture.size(),
    );
}
