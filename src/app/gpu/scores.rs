//! Drawing score maps in panes: by a wgpu callback where there is wgpu, otherwise by a texture computed on the CPU.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Weak},
};

use egui::{Color32, ColorImage, Id, Painter, Pos2, Rect, TextureOptions, mutex::Mutex, pos2};
use egui_wgpu::{CallbackResources, CallbackTrait, RenderState, ScreenDescriptor, wgpu};

use super::{
    pipeline::{Gpu, GpuPane, Look},
    placement::{placement_on_screen, visible_px},
    texture::ChangingTexture,
};
use crate::render::{ScoreMap, ScoreStyle, placement::Placement, score_map::pixel_colours};

/// A pane that was not drawn in so many passes gives its memory back. Drawn again, it simply uploads again.
const PASSES_KEPT: u64 = 60;

/// What score maps are drawn with; the window makes one and keeps it. Copies share everything.
#[derive(Clone)]
pub struct ScorePainter {
    gpu: Option<Arc<Gpu>>,
    panes: Arc<Mutex<Panes>>,
}

/// What a [`ScorePainter`] holds at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Panes with scores in memory.
    pub panes: usize,
    /// Bytes of their scores on the device or of their textures.
    pub bytes: u64,
    /// How often scores went to the device, or pixels to a texture, since the start.
    pub uploads: u64,
}

#[derive(Default)]
struct Panes {
    by_id: HashMap<Id, Pane>,
    /// Passes seen, of all windows together.
    passes: u64,
    /// Whether the end of each pass is noticed yet.
    watching: bool,
    texture_uploads: u64,
}

#[derive(Default)]
struct Pane {
    drawn_in_pass: u64,
    gpu: Option<GpuPane>,
    texture: Option<TexturePane>,
}

/// A pane drawn on the CPU.
struct TexturePane {
    pixels: TexturePixels,
    texture: ChangingTexture,
}

/// All that the pixels of a texture depend on. Opacity is applied when the texture is drawn.
#[derive(PartialEq)]
struct TexturePixels {
    version: u64,
    style: ScoreStyle,
    placement: Placement,
    visible_px: [Range<i32>; 2],
}

impl ScorePainter {
    /// With the render state of the window, `None` where it has none. The window must be without multisampling and
    /// depth buffer, which is eframe's default.
    pub fn new(render_state: Option<&RenderState>) -> Self {
        Self {
            gpu: render_state.map(|render_state| Arc::new(Gpu::new(render_state))),
            panes: Arc::default(),
        }
    }

    /// What it holds now.
    pub fn held(&self) -> Held {
        let panes = self.panes.lock();
        let bytes = panes.by_id.values().map(Pane::bytes).sum();
        let gpu_uploads = self.gpu.as_ref().map_or(0, |gpu| gpu.uploads());
        Held {
            panes: panes.by_id.len(),
            bytes,
            uploads: gpu_uploads + panes.texture_uploads,
        }
    }
}

/// Draws the part `uv` of a map into `rect` (points, rounded to whole pixels). What is underneath shines through by
/// the style's opacity and where there is no score. Nothing is drawn outside (0, 0)..(1, 1) of the map.
///
/// `pane` must be drawn once in a pass only: it names what stays on the device from one pass to the next.
pub fn paint_scores(
    painter: &Painter,
    pane: Id,
    rect: Rect,
    uv: Rect,
    map: &ScoreMap,
    style: &ScoreStyle,
    backend: &ScorePainter,
) {
    mark_drawn(&backend.panes, painter.ctx(), pane);
    let Some(placement) = placement_on_screen(rect, uv, painter.pixels_per_point()) else {
        return;
    };
    match &backend.gpu {
        Some(gpu) if gpu.takes(map) => {
            let callback = ScoreCallback {
                gpu: Arc::clone(gpu),
                panes: Arc::clone(&backend.panes),
                pane,
                map: map.clone(),
                style: ScoreStyle {
                    // egui fades shapes but not callbacks.
                    opacity: style.opacity * painter.opacity(),
                    ..*style
                },
                placement,
            };
            painter.add(egui_wgpu::Callback::new_paint_callback(rect, callback));
        }
        _ => paint_texture(painter, &backend.panes, pane, map, style, placement),
    }
}

/// Keeps a pane's memory for now, and sees to it that panes no longer drawn lose theirs.
fn mark_drawn(panes: &Arc<Mutex<Panes>>, ctx: &egui::Context, pane: Id) {
    let mut held = panes.lock();
    let pass = held.passes;
    held.by_id.entry(pane).or_default().drawn_in_pass = pass;
    if std::mem::replace(&mut held.watching, true) {
        return;
    }
    drop(held);
    let panes = Arc::downgrade(panes);
    ctx.on_end_pass("free score panes", Arc::new(move |_| end_pass(&panes)));
}

fn end_pass(panes: &Weak<Mutex<Panes>>) {
    if let Some(panes) = panes.upgrade() {
        let mut panes = panes.lock();
        panes.passes += 1;
        let passes = panes.passes;
        panes.by_id.retain(|_, pane| passes - pane.drawn_in_pass <= PASSES_KEPT);
    }
}

impl Pane {
    fn bytes(&self) -> u64 {
        let texture = self
            .texture
            .as_ref()
            .map_or(0, |texture| texture.texture.handle().byte_size());
        self.gpu.as_ref().map_or(0, GpuPane::bytes) + texture as u64
    }
}

/// One drawing of one pane, as egui carries it to the renderer.
struct ScoreCallback {
    gpu: Arc<Gpu>,
    panes: Arc<Mutex<Panes>>,
    pane: Id,
    map: ScoreMap,
    style: ScoreStyle,
    placement: Placement,
}

impl CallbackTrait for ScoreCallback {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _encoder: &mut wgpu::CommandEncoder,
        _resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let mut panes = self.panes.lock();
        let pass = panes.passes;
        let pane = panes.by_id.entry(self.pane).or_insert_with(|| Pane {
            drawn_in_pass: pass,
            ..Pane::default()
        });
        pane.texture = None;
        let look = Look::new(&self.placement, &self.style, screen.size_in_pixels);
        self.gpu.prepare(device, queue, &mut pane.gpu, &self.map, look);
        Vec::new()
    }

    fn paint(
        &self,
        info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        _resources: &CallbackResources,
    ) {
        let panes = self.panes.lock();
        if let Some(pane) = panes.by_id.get(&self.pane).and_then(|pane| pane.gpu.as_ref()) {
            self.gpu.draw(pass, pane, info.screen_size_px);
        }
    }
}

/// Draws by a texture that has a texel for each visible pixel: scores are interpolated, so no sampler could make the
/// pixels from a texture of colours.
fn paint_texture(
    painter: &Painter,
    panes: &Mutex<Panes>,
    pane: Id,
    map: &ScoreMap,
    style: &ScoreStyle,
    placement: Placement,
) {
    let pixels_per_point = painter.pixels_per_point();
    let visible_px = visible_px(&placement, painter.clip_rect(), pixels_per_point);
    if visible_px.iter().any(Range::is_empty) {
        return;
    }
    let wanted = TexturePixels {
        version: map.version(),
        style: ScoreStyle { opacity: 1.0, ..*style },
        placement,
        visible_px: visible_px.clone(),
    };
    let mut panes = panes.lock();
    let Some(pane) = panes.by_id.get_mut(&pane) else {
        return;
    };
    pane.gpu = None;
    let uploads = !matches!(&pane.texture, Some(texture) if texture.pixels == wanted);
    if uploads {
        let image = wanted.render(map);
        let texture = match pane.texture.take() {
            Some(TexturePane { mut texture, .. }) => {
                texture.set(painter.ctx(), image, TextureOptions::NEAREST);
                texture
            }
            None => ChangingTexture::new(painter.ctx(), "scores", image, TextureOptions::NEAREST),
        };
        pane.texture = Some(TexturePane {
            pixels: wanted,
            texture,
        });
    }
    if let Some(texture) = &pane.texture {
        let [columns, rows] = visible_px;
        let rect_px = Rect::from_min_max(
            pos2(columns.start as f32, rows.start as f32),
            pos2(columns.end as f32, rows.end as f32),
        );
        let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
        let tint = Color32::WHITE.gamma_multiply(style.opacity.clamp(0.0, 1.0));
        painter.image(texture.texture.handle().id(), rect_px / pixels_per_point, whole, tint);
    }
    panes.texture_uploads += u64::from(uploads);
}

impl TexturePixels {
    fn render(&self, map: &ScoreMap) -> ColorImage {
        let opaque = |[red, green, blue]: [u8; 3]| Color32::from_rgb(red, green, blue);
        let block = self.visible_px.clone();
        let pixels = pixel_colours(map, &self.style, &self.placement, block, Color32::TRANSPARENT, opaque);
        ColorImage::new(self.visible_px.clone().map(|pixels| pixels.len()), pixels)
    }
}
