//! An image encoder, with settings that are left from a denoiser.

use super::*;
use crate::{engine::study::StudyEvent, extract::settings::LatentMode};

fn load(engine: &Engine, name: &str) -> ModelInfo {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/models")
        .join(name);
    engine.send(Request::LoadModel {
        name: folder.display().to_string(),
        device: DeviceChoice::Cpu,
        dtype: Precision::F32,
    });
    until(engine, |event| match event {
        Event::ModelLoaded(info) => Some((**info).clone()),
        _ => None,
    })
}

/// Everything that an encoder does not read.
fn of_a_denoiser(t: u32) -> RunSettings {
    RunSettings {
        t: t.into(),
        prompt: "a cat".to_owned(),
        seed: 7,
        ensemble: 3,
        latent: LatentMode::Sample,
        size: Some(WorkingSize::ShortSide(84)),
        ..RunSettings::default()
    }
}

#[test]
fn what_an_encoder_does_not_read_makes_no_other_pass() {
    let engine = engine(1 << 30);
    let info = load(&engine, "tiny-dinov2");
    assert!(!info.is_denoiser() && !info.reads_prompt && !info.takes_adapters);
    open(&engine, ImageSlot::A, "noto-cat-face");
    let first = run(&engine, of_a_denoiser(50), "vit-norm-out");
    let read = RunSettings {
        size: Some(WorkingSize::ShortSide(84)),
        ..RunSettings::default()
    };
    assert_eq!((&first.settings, first.ran.t_ran()), (&read, None));
    assert_eq!(info.read(&of_a_denoiser(50)), read);
    assert_eq!(first.ids.len(), 3 * 6 + 2, "all features are kept");
    let second = run(&engine, of_a_denoiser(900), "vit-block1-k");
    assert_eq!(second.pass, first.pass);
    let smaller = RunSettings {
        size: Some(WorkingSize::ShortSide(70)),
        ..of_a_denoiser(900)
    };
    assert_ne!(run(&engine, smaller, "vit-norm-out").pass, first.pass);
}

#[test]
fn its_maps_are_measured_without_the_tokens_that_have_no_position() {
    let engine = engine(1 << 30);
    load(&engine, "tiny-dinov3");
    open(&engine, ImageSlot::A, "noto-cat-face");
    engine.send(Request::Study {
        job: 1,
        study: Box::new(Study::Survey(SurveyQuery {
            slot: ImageSlot::A,
            settings: of_a_denoiser(50),
            noises: 4,
            maps: true,
            regions: Vec::new(),
        })),
    });
    let (mut found, mut noises) = (0, None);
    until_seen(
        &engine,
        |event| match event {
            Event::Study {
                event: StudyEvent::Found(measurement),
                ..
            } => {
                assert_eq!(measurement.unmeasured, None, "{}", measurement.id);
                found += 1;
            }
            Event::Study {
                event: StudyEvent::SurveyStarted(started),
                ..
            } => noises = Some(started.noises),
            _ => {}
        },
        |event| matches!(event, Event::StudyFinished { job: 1 }).then_some(()),
    );
    assert_eq!((found, noises), (3 * 7 + 2, Some(1)));
}
