//! The window without a window: frames of egui, drawn by wgpu into memory. In: events and what draws the interface.
//! Out: pictures. Time goes by in equal steps, so that the same frames give the same bytes.

use std::{sync::mpsc::channel, time::Duration};

use egui::{Context, Event, FullOutput, Pos2, RawInput, Rect, TextureId, Ui, ViewportId};
use egui_wgpu::{
    RenderState, RendererOptions, ScreenDescriptor, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew, wgpu,
};
use image::RgbaImage;

use crate::{
    app::theme::tokens_of,
    error::{Error, Result},
};

/// What Debian and Ubuntu need to draw where there is no graphics card.
const PACKAGES: &str = "sudo apt-get install -y libvulkan1 mesa-vulkan-drivers";
/// Seconds from one frame to the next.
const FRAME_SECS: f32 = 1.0 / 60.0;
/// A renderer that has not finished after so long has failed: software draws a large picture within seconds.
const RENDER_TIMEOUT: Duration = Duration::from_secs(60);
const BYTES_PER_PIXEL: u32 = 4;

/// A screen in memory, and the egui context that draws on it.
pub struct Offscreen {
    context: Context,
    render_state: RenderState,
    size_points: [f32; 2],
    size_px: [u32; 2],
    pixels_per_point: f32,
    /// The longest side of a texture that the interface may use.
    max_side_px: usize,
    frames: u64,
    /// The last frame; its changes of textures are on the device already.
    last: Option<FullOutput>,
    /// Textures that the last frame may draw, but no later one.
    to_free: Vec<TextureId>,
}

impl Offscreen {
    /// A screen of (width, height) points. The renderer is the one that a window would get, found by the same
    /// environment variables: `WGPU_BACKEND`, `WGPU_POWER_PREF`.
    ///
    /// # Errors
    ///
    /// Where there is no graphics device, or it draws no picture of such a size.
    pub fn new(size_points: [f32; 2], pixels_per_point: f32) -> Result<Self> {
        let size_px = size_points.map(|side| (side * pixels_per_point).round());
        let render_state = render_state()?;
        let most_px = render_state.device.limits().max_texture_dimension_2d as f32;
        // Written so that a side that is not a number is refused as well.
        if !size_px.iter().all(|side| (1.0..=most_px).contains(side)) {
            return Err(Error::usage(format!(
                "a picture of {} x {} pixels was asked for; each side must be from 1 to {most_px}",
                size_px[0], size_px[1]
            )));
        }
        Ok(Self {
            context: Context::default(),
            max_side_px: render_state.device.limits().max_texture_dimension_2d as usize,
            render_state,
            size_points,
            size_px: size_px.map(|side| side as u32),
            pixels_per_point,
            frames: 0,
            last: None,
            to_free: Vec::new(),
        })
    }

    /// What the frames run in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What the frames are drawn with; a [`ScorePainter`](crate::app::ScorePainter) can be made from it.
    pub fn render_state(&self) -> &RenderState {
        &self.render_state
    }

    /// Runs one frame: egui's `events`, then what draws the interface.
    pub fn frame(&mut self, events: Vec<Event>, run: impl FnMut(&mut Ui)) {
        // The picture keeps its pixels: where the interface is larger, fewer of its points fit.
        let points = self.size_points.map(|side| side / self.context.zoom_factor());
        let mut input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, points.into())),
            max_texture_side: Some(self.max_side_px),
            time: Some(self.frames as f64 * f64::from(FRAME_SECS)),
            predicted_dt: FRAME_SECS,
            events,
            ..RawInput::default()
        };
        let viewport = input.viewports.entry(ViewportId::ROOT).or_default();
        viewport.native_pixels_per_point = Some(self.pixels_per_point);
        self.frames += 1;

        let mut output = self.context.run_ui(input, run);
        let RenderState {
            device,
            queue,
            renderer,
            ..
        } = &self.render_state;
        let mut renderer = renderer.write();
        for id in self.to_free.drain(..) {
            renderer.free_texture(&id);
        }
        // Each texture has its own changes, so that the order of the map does not matter.
        for (id, changes) in output.textures_delta.set.drain() {
            for change in changes {
                renderer.update_texture(device, queue, id, &change);
            }
        }
        self.to_free.extend(output.textures_delta.free.drain());
        self.last = Some(output);
    }

    /// Lets the next frame draw all letters anew. They share one texture, in the order in which they were needed first,
    /// and the pixels at their edges depend on their place in it: without this, a picture would tell what was shown before.
    pub fn forget_letters(&mut self) {
        // Another limit makes egui begin another texture.
        self.max_side_px -= 1;
    }

    /// Whether the last frame asked for another one at once: something moves, or was laid out for the first time.
    pub fn wants_another_frame(&self) -> bool {
        let delay = |output: &FullOutput| Some(output.viewport_output.get(&ViewportId::ROOT)?.repaint_delay);
        self.last.as_ref().and_then(delay) == Some(Duration::ZERO)
    }

    /// Draws the last frame. Opaque: where nothing was drawn it has the colour behind everything.
    ///
    /// # Errors
    ///
    /// Where no frame has been run, or the graphics device fails.
    pub fn picture(&mut self) -> Result<RgbaImage> {
        let Some(output) = &self.last else {
            return Err(Error::failed("no frame has been run yet: there is nothing to draw"));
        };
        let triangles = self.context.tessellate(output.shapes.clone(), output.pixels_per_point);
        let screen = ScreenDescriptor {
            size_in_pixels: self.size_px,
            pixels_per_point: output.pixels_per_point,
        };
        let target = self.target();
        let RenderState {
            device,
            queue,
            renderer,
            ..
        } = &self.render_state;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("offscreen"),
        });
        let mut renderer = renderer.write();
        let prepared = renderer.update_buffers(device, queue, &mut encoder, &triangles, &screen);
        {
            let mut pass = encoder
                .begin_render_pass(&wgpu::RenderPassDescriptor {
                    label: Some("offscreen"),
                    color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                        view: &target.create_view(&wgpu::TextureViewDescriptor::default()),
                        resolve_target: None,
                        ops: wgpu::Operations {
                            load: wgpu::LoadOp::Clear(self.backdrop()),
                            store: wgpu::StoreOp::Store,
                        },
                        depth_slice: None,
                    })],
                    ..Default::default()
                })
                .forget_lifetime();
            renderer.render(&mut pass, &triangles, &screen);
        }
        queue.submit(prepared.into_iter().chain([encoder.finish()]));
        self.read_back(&target)
    }

    fn target(&self) -> wgpu::Texture {
        let [width, height] = self.size_px;
        self.render_state.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("offscreen"),
            size: wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: self.render_state.target_format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        })
    }

    /// The colour behind everything. The target takes gamma-space colours as they are.
    fn backdrop(&self) -> wgpu::Color {
        let colour = tokens_of(&self.context.global_style().visuals).surface;
        let [r, g, b, a] = colour.to_array().map(|channel| f64::from(channel) / f64::from(u8::MAX));
        wgpu::Color { r, g, b, a }
    }

    /// From the device into memory.
    fn read_back(&self, texture: &wgpu::Texture) -> Result<RgbaImage> {
        let RenderState { device, queue, .. } = &self.render_state;
        let [width, height] = self.size_px;
        let row_bytes = width * BYTES_PER_PIXEL;
        // A device copies rows only to places that are whole multiples of this.
        let stride_bytes = row_bytes.next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("offscreen pixels"),
            size: u64::from(stride_bytes) * u64::from(height),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("offscreen pixels"),
        });
        encoder.copy_texture_to_buffer(
            texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(stride_bytes),
                    rows_per_image: None,
                },
            },
            texture.size(),
        );
        let submitted = queue.submit([encoder.finish()]);
        let (tell, told) = channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |mapped| {
            // Nobody listens any more only if waiting has failed, which is told below.
            let _ = tell.send(mapped);
        });
        device
            .poll(wgpu::PollType::Wait {
                submission_index: Some(submitted),
                timeout: Some(RENDER_TIMEOUT),
            })
            .map_err(|error| unread(&error))?;
        told.recv()
            .map_err(|error| unread(&error))?
            .map_err(|error| unread(&error))?;
        let bytes = buffer.get_mapped_range(..).map_err(|error| unread(&error))?;
        let rows = bytes.chunks_exact(stride_bytes as usize);
        let pixels = rows.flat_map(|row| &row[..row_bytes as usize]).copied().collect();
        RgbaImage::from_raw(width, height, pixels)
            .ok_or_else(|| Error::failed("the renderer gave fewer pixels than the picture has"))
    }
}

fn unread(error: &dyn std::error::Error) -> Error {
    Error::failed(format!("the picture could not be read back from the renderer: {error}"))
}

/// The renderer a window would get, but none that needs a display, and with filtering and colours that do not depend
/// on the device.
fn render_state() -> Result<RenderState> {
    let config = WgpuConfiguration {
        wgpu_setup: WgpuSetup::CreateNew(WgpuSetupCreateNew::without_display_handle()),
        ..WgpuConfiguration::default()
    };
    pollster::block_on(async {
        let instance = config.wgpu_setup.new_instance().await;
        RenderState::create(&config, &instance, None, RendererOptions::PREDICTABLE).await
    })
    .map_err(|error| {
        Error::failed(format!(
            "there is nothing to draw with; on Debian or Ubuntu this installs a renderer that needs no graphics card: \
             {PACKAGES} ({error})"
        ))
    })
}
