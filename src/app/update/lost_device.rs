//! Work that outlasts the graphics device.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egui_wgpu::{RenderState, wgpu};

use crate::app::document::workspace::Work;

/// What was looked at when the graphics device was lost: the window is opened again with it.
#[derive(Clone, Default)]
pub struct LostDevice(Arc<Mutex<Lost>>);

#[derive(Default)]
struct Lost {
    why: Option<String>,
    work: Option<Work>,
}

impl LostDevice {
    /// Hears of the device's end and of errors nobody else hears of, which would otherwise end the program.
    pub(in crate::app) fn listen(&self, render_state: &RenderState) {
        let heard = self.clone();
        render_state.device.set_device_lost_callback(move |reason, message| {
            tracing::error!(?reason, message, "graphics device lost");
            // A device that is given back at the end is not lost.
            if reason != wgpu::DeviceLostReason::Destroyed {
                heard.lock().why = Some(message);
            }
        });
        let heard = self.clone();
        render_state
            .device
            .on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
                tracing::error!(%error, "graphics");
                if let wgpu::Error::OutOfMemory { .. } = error {
                    heard.lock().why = Some("its memory is full".to_owned());
                }
            }));
    }

    fn lock(&self) -> MutexGuard<'_, Lost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is looked at: what draws the window may panic at once when the device goes.
    pub fn keep(&self, work: &Work) {
        let mut lost = self.lock();
        if lost.why.is_none() {
            lost.work = Some(work.clone());
        }
    }

    /// Whether a window has been painted.
    pub(in crate::app) fn has_work(&self) -> bool {
        self.lock().work.is_some()
    }

    /// Why the device is gone, and what was looked at then.
    pub(in crate::app) fn take(&self) -> (Option<String>, Option<Work>) {
        let mut lost = self.lock();
        (lost.why.take(), lost.work.take())
    }

    /// Whether the device is gone.
    pub fn is_gone(&self) -> bool {
        self.lock().why.is_some()
    }
}
