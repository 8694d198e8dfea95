//! A texture whose pixels change.

use egui::{ColorImage, Context, TextureHandle, TextureOptions};

/// A texture that keeps its memory on the device as long as its size stays.
pub(super) struct ChangingTexture {
    handle: TextureHandle,
    /// The frame in which it was given whole.
    whole_in: u64,
}

impl ChangingTexture {
    /// One with first pixels; `name` is for debugging.
    pub(super) fn new(context: &Context, name: &str, image: ColorImage, options: TextureOptions) -> Self {
        Self {
            handle: context.load_texture(name, image, options),
            whole_in: context.cumulative_frame_nr(),
        }
    }

    /// Gives it other pixels.
    pub(super) fn set(&mut self, context: &Context, image: ColorImage, options: TextureOptions) {
        let frame = context.cumulative_frame_nr();
        // A frame may have several passes. Of a texture that was made in one of them, and is changed in part and let go of in
        // the next, egui 0.37 hands on the part alone: the renderer would look for a texture that was never made.
        if self.handle.size() == image.size && self.whole_in != frame {
            self.handle.set_partial([0, 0], image, options);
        } else {
            self.handle.set(image, options);
            self.whole_in = frame;
        }
    }

    /// What widgets draw.
    pub(super) fn handle(&self) -> &TextureHandle {
        &self.handle
    }
}

#[cfg(test)]
mod tests {
    use egui::{Color32, RawInput};

    use super::*;

    #[test]
    fn what_is_made_changed_and_let_go_of_in_one_frame_is_whole() {
        let context = Context::default();
        let image = |shade| ColorImage::filled([2, 2], Color32::from_gray(shade));
        let mut texture = None;
        let mut passes = 0;
        let mut output = context.run_ui(RawInput::default(), |ui| {
            let context = ui.ctx().clone();
            passes += 1;
            match passes {
                1 => {
                    texture = Some(ChangingTexture::new(&context, "t", image(0), TextureOptions::NEAREST));
                    context.request_discard("a second pass");
                }
                _ => {
                    if let Some(mut texture) = texture.take() {
                        texture.set(&context, image(1), TextureOptions::NEAREST);
                    }
                }
            }
        });
        assert_eq!(passes, 2);
        let freed = output.textures_delta.free.clone();
        assert_eq!(freed.len(), 1);
        for id in freed {
            let changes = output.textures_delta.set.get(&id);
            assert!(changes.is_none_or(|changes| changes.first().is_some_and(|first| first.is_whole())));
        }
        output.textures_delta.clear();
    }
}
