//! Extractions into files, as the window asks for them.

use std::path::{Path, PathBuf};

use super::*;
use crate::{
    extract::{request::ExtractRequest, select::Select},
    image::{picture::Picture, samples::sample},
    io::output::{replace_file, write_png},
};

fn extraction(t: u32, picture: &Path) -> Box<ExtractRequest> {
    Box::new(ExtractRequest {
        model: "demo".into(),
        pictures: vec![picture.to_owned()],
        settings: RunSettings {
            t: t.into(),
            ensemble: 30,
            ..RunSettings::default()
        },
        select: Select::of("b11"),
        device: DeviceChoice::Cpu,
        ..ExtractRequest::default()
    })
}

fn cat(folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let picture = folder.join("cat.png");
    std::fs::write(&picture, sample("noto-cat-face").ok_or("no sample")?.bytes)?;
    Ok(picture)
}

fn plain(path: &Path, size: Size) -> Result<PathBuf> {
    let picture = Picture::from_rgb(size, vec![90; 3 * size.pixels()])?;
    replace_file(path, |file| write_png(file, [size.width, size.height], picture.rgb()))?;
    Ok(path.to_owned())
}

/// What an extraction of these pictures comes to, and the pictures that progress was told of.
fn extracted(engine: &Engine, request: ExtractRequest, out: &Path) -> (Event, Vec<Option<[usize; 2]>>) {
    engine.send(Request::Extract {
        job: 1,
        request: Box::new(request),
        out: out.to_owned(),
    });
    let mut items = Vec::new();
    let end = until_seen(
        engine,
        |event| {
            if let Event::Progress { item, .. } = event
                && items.last() != Some(item)
            {
                items.push(*item);
            }
        },
        |event| matches!(event, Event::Saved { .. } | Event::Failed { .. }).then(|| event.clone()),
    );
    (end, items)
}

#[test]
fn pictures_of_different_sizes_go_into_a_folder_each() -> TestResult {
    let folder = tempfile::tempdir()?;
    let wide = plain(&folder.path().join("wide.png"), Size::new(96, 64))?;
    let square = plain(&folder.path().join("square.png"), Size::new(64, 64))?;
    let request = ExtractRequest {
        pictures: vec![wide.clone(), square],
        settings: settings(100),
        ..*extraction(100, &wide)
    };
    let engine = engine(1 << 30);
    let (one_file, many) = (folder.path().join("one.safetensors"), folder.path().join("many"));
    let error = refusal(extracted(&engine, request.clone(), &one_file).0);
    assert!(error.contains("64x64, 96x64") && error.contains("folder"), "{error}");
    let (end, items) = extracted(&engine, request, &many);
    let work = TaskKind::Extract { job: 1 };
    assert_eq!(
        end,
        Event::Saved {
            work,
            path: many.clone()
        }
    );
    assert_eq!(items, [None, Some([1, 2]), Some([2, 2])]);
    assert!(many.join("wide/b11.npy").is_file() && many.join("square/b11.npy").is_file());
    Ok(())
}

#[test]
fn progress_says_which_picture_of_a_batch() -> TestResult {
    let folder = tempfile::tempdir()?;
    let pictures = (0..3).map(|index| {
        let path = folder.path().join(format!("{index}.png"));
        plain(&path, Size::new(64, 64))
    });
    let pictures = pictures.collect::<Result<Vec<_>>>()?;
    let request = ExtractRequest {
        settings: RunSettings {
            ensemble: 10,
            ..settings(100)
        },
        pictures: pictures.clone(),
        ..*extraction(100, &pictures[0])
    };
    let engine = engine(1 << 30);
    let (end, items) = extracted(&engine, request.clone(), &folder.path().join("three.safetensors"));
    assert!(matches!(end, Event::Saved { .. }), "{end:?}");
    assert_eq!(items.last(), Some(&Some([3, 3])));
    let alone = ExtractRequest {
        pictures: pictures[..1].to_vec(),
        ..request
    };
    let (end, items) = extracted(&engine, alone, &folder.path().join("one.safetensors"));
    assert!(matches!(end, Event::Saved { .. }), "{end:?}");
    assert_eq!(items, [None]);
    Ok(())
}

#[test]
fn a_picture_that_vanished_is_an_error() -> TestResult {
    let folder = tempfile::tempdir()?;
    let picture = cat(folder.path())?;
    std::fs::remove_file(&picture)?;
    let engine = engine(1 << 30);
    let (end, _) = extracted(
        &engine,
        *extraction(100, &picture),
        &folder.path().join("o.safetensors"),
    );
    assert!(refusal(end).contains("cat.png"));
    engine.send(Request::OpenPicture {
        slot: ImageSlot::A,
        source: PictureSource::File(picture),
    });
    let error = until(&engine, |event| match event {
        Event::Failed {
            work: TaskKind::Picture(ImageSlot::A),
            error,
        } => Some(error.to_string()),
        _ => None,
    });
    assert!(error.contains("cat.png"), "{error}");
    Ok(())
}

#[test]
fn extractions_wait_for_each_other_and_can_be_taken_out_of_the_queue() -> TestResult {
    let folder = tempfile::tempdir()?;
    let picture = cat(folder.path())?;
    let engine = engine(1 << 30);
    let out = |job: u64| folder.path().join(format!("{job}.safetensors"));
    for job in 1..=3 {
        engine.send(Request::Extract {
            job,
            request: extraction(100, &picture),
            out: out(job),
        });
    }
    engine.send(Request::CancelExtract { job: 2 });
    let mut cancelled = false;
    for job in [1, 3] {
        until_seen(
            &engine,
            |event| {
                let work = TaskKind::Extract { job: 2 };
                cancelled |= *event
                    == Event::Failed {
                        work,
                        error: Error::Cancelled,
                    };
            },
            |event| {
                let work = TaskKind::Extract { job };
                (*event == Event::Saved { work, path: out(job) }).then_some(())
            },
        );
    }
    assert!(cancelled && out(1).is_file() && out(3).is_file() && !out(2).exists());
    Ok(())
}
