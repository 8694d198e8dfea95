//! What engine and worker say to each other. A message is four bytes that mark one, its length in four bytes and its
//! MessagePack; behind a pass follow its picture and its maps as they lie in memory: both ends are one machine.

use std::{
    io::{ErrorKind, Read, Write},
    sync::Arc,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::super::{
    cache::PassKey,
    host::FinishedPass,
    ids::{ImageSlot, PassId},
    layer::Layer,
    message::{Event, Request},
};
use crate::{
    activation::{FeatureMap, Id},
    device::Devices,
    error::{Error, Result},
    extract::{request::Provenance, settings::RunSettings},
    geometry::{Grid, Size, framing::Framing},
    image::picture::Picture,
};

/// What every message begins with.
const MARK: [u8; 4] = *b"FSW1";
/// No message is longer, a picture's pixels or a survey's thumbnails included.
const LONGEST: u32 = 1 << 30;

/// What the engine says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first message.
    Begin {
        /// Most bytes of maps that the engine keeps.
        keeps_bytes: usize,
        /// Numbers of loaded models begin behind this: those of a worker before are not used again.
        loadings: u64,
    },
    /// Something to be done.
    Request(Request),
    /// To the worker's last question.
    Answer(Answer),
}

/// What the worker says.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWorker {
    /// It is there, with these devices.
    Ready(Devices),
    /// An event for whoever holds the engine.
    Event(Box<Event>),
    /// The worker waits for the answer.
    Question(Question),
    /// Maps to be kept, and reported for a slot if there is one. The worker waits for the answer.
    Keep(Option<ImageSlot>, Box<FinishedPass>),
}

/// What the worker asks of the cache of maps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// See [`ExtractorHost::pass`](super::super::ExtractorHost::pass).
    Pass(PassKey),
    /// See [`ExtractorHost::has`](super::super::ExtractorHost::has).
    Has(PassId, Id),
    /// See [`ExtractorHost::look_at`](super::super::ExtractorHost::look_at).
    LookAt(PassId),
    /// See [`ExtractorHost::report_kept`](super::super::ExtractorHost::report_kept).
    #[serde(rename = "TellKept")]
    ReportKept(ImageSlot, PassId),
}

/// What the engine answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The number.
    Pass(PassId),
    /// Whether it is kept, or was reported.
    Yes(bool),
    /// What ran, if any of it is kept.
    Ran(Option<Box<Provenance>>),
    /// Whether maps were kept.
    Kept(Result<()>),
}

/// A message of the worker as it is written; what follows a pass is not in it.
#[derive(Serialize)]
#[serde(rename = "Head")]
enum HeadRef<'a> {
    Ready(&'a Devices),
    Event(&'a Event),
    Question(&'a Question),
    Keep(Option<ImageSlot>, Box<PassHead>),
}

/// The same as it is read.
#[derive(Deserialize)]
enum Head {
    Ready(Devices),
    Event(Box<Event>),
    Question(Question),
    Keep(Option<ImageSlot>, Box<PassHead>),
}

/// A finished pass without its picture's bytes and its maps' numbers.
#[derive(Serialize, Deserialize)]
struct PassHead {
    pass: PassId,
    settings: RunSettings,
    picture: Size,
    framing: Framing,
    layers: Vec<Layer>,
    ran: Provenance,
    maps: Vec<(Id, usize, Grid)>,
    heads: Vec<(Id, usize, Grid)>,
}

impl ToWorker {
    /// Writes the message.
    ///
    /// # Errors
    ///
    /// Where it is too long, or its reader has gone.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        write_head(out, self)?;
        out.flush().map_err(unwritten)
    }

    /// Reads a message; none where the engine has closed its end.
    ///
    /// # Errors
    ///
    /// Where it is cut off, is no message of this version, or asks for more memory than there is.
    pub fn read(from: &mut impl Read) -> Result<Option<Self>> {
        read_head(from)
    }
}

impl FromWorker {
    /// Writes the message.
    ///
    /// # Errors
    ///
    /// Where it is too long, or its reader has gone.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        match self {
            Self::Ready(devices) => write_head(out, &HeadRef::Ready(devices))?,
            Self::Event(event) => write_head(out, &HeadRef::Event(event))?,
            Self::Question(question) => write_head(out, &HeadRef::Question(question))?,
            Self::Keep(slot, pass) => {
                write_head(out, &HeadRef::Keep(*slot, Box::new(head_of(pass))))?;
                out.write_all(pass.picture.rgb()).map_err(unwritten)?;
                for (_, map) in pass.maps.iter().chain(&pass.heads) {
                    out.write_all(bytemuck::cast_slice(map.vectors())).map_err(unwritten)?;
                }
            }
        }
        out.flush().map_err(unwritten)
    }

    /// Reads a message; none where the worker has ended.
    ///
    /// # Errors
    ///
    /// Where it is cut off, is no message of this version, or asks for more memory than there is.
    pub fn read(from: &mut impl Read) -> Result<Option<Self>> {
        let Some(head) = read_head(from)? else { return Ok(None) };
        Ok(Some(match head {
            Head::Ready(devices) => Self::Ready(devices),
            Head::Event(event) => Self::Event(event),
            Head::Question(question) => Self::Question(question),
            Head::Keep(slot, head) => Self::Keep(slot, Box::new(read_pass(from, *head)?)),
        }))
    }
}

fn head_of(pass: &FinishedPass) -> PassHead {
    let shapes = |maps: &[(Id, FeatureMap)]| {
        let shape = |(id, map): &(Id, FeatureMap)| (*id, map.channels(), map.grid());
        maps.iter().map(shape).collect()
    };
    PassHead {
        pass: pass.pass,
        settings: pass.settings.clone(),
        picture: pass.picture.size(),
        framing: pass.framing,
        layers: pass.layers.clone(),
        ran: pass.ran.clone(),
        maps: shapes(&pass.maps),
        heads: shapes(&pass.heads),
    }
}

fn read_pass(from: &mut impl Read, head: PassHead) -> Result<FinishedPass> {
    const CHANNELS: usize = 3;
    let bytes = product(&[head.picture.width, head.picture.height, CHANNELS])?;
    let rgb = read_values(from, bytes)?;
    let mut maps_of = |shapes: Vec<(Id, usize, Grid)>| -> Result<Vec<(Id, FeatureMap)>> {
        let map = |(id, channels, grid): (Id, usize, Grid)| {
            let vectors: Vec<f32> = read_values(from, product(&[channels, grid.height, grid.width])?)?;
            Ok((id, FeatureMap::from_positions(channels, grid, vectors)?))
        };
        shapes.into_iter().map(map).collect()
    };
    Ok(FinishedPass {
        pass: head.pass,
        settings: head.settings,
        picture: Arc::new(Picture::from_rgb(head.picture, rgb)?),
        framing: head.framing,
        layers: head.layers,
        ran: head.ran,
        maps: maps_of(head.maps)?,
        heads: maps_of(head.heads)?,
    })
}

/// How many numbers something has; a worker that says a senseless shape is not believed.
fn product(sides: &[usize]) -> Result<usize> {
    /// More than the largest map of a picture of 2048 pixels by far, and less than would exhaust memory by itself.
    const MOST: usize = 1 << 30;
    let all = sides.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
    all.filter(|all| *all <= MOST)
        .ok_or_else(|| Error::failed(format!("a worker's message tells of {sides:?} numbers")))
}

/// Reads so many values. Memory is touched as they arrive, not as a length claims, and where there is none, that is an error.
fn read_values<T: bytemuck::Pod>(from: &mut impl Read, count: usize) -> Result<Vec<T>> {
    /// Few enough to stay in a cache between being made and being read.
    const AT_ONCE: usize = 1 << 16;
    let mut values: Vec<T> = Vec::new();
    values.try_reserve_exact(count).map_err(|_| {
        let bytes = count.saturating_mul(size_of::<T>());
        Error::failed(format!("there is no memory for a worker's message of {bytes} bytes"))
    })?;
    while values.len() < count {
        let start = values.len();
        values.resize(count.min(start + AT_ONCE), T::zeroed());
        from.read_exact(bytemuck::cast_slice_mut(&mut values[start..]))
            .map_err(unread)?;
    }
    Ok(values)
}

fn write_head(out: &mut impl Write, message: &impl Serialize) -> Result<()> {
    let bytes = rmp_serde::to_vec_named(message)
        .map_err(|error| Error::failed(format!("a message to or from a worker cannot be written: {error}")))?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| Error::failed(format!("a message of {} bytes is too long", bytes.len())))?;
    out.write_all(&MARK).map_err(unwritten)?;
    out.write_all(&length.to_le_bytes()).map_err(unwritten)?;
    out.write_all(&bytes).map_err(unwritten)
}

fn read_head<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>> {
    let mut mark = [0; MARK.len()];
    match from.read_exact(&mut mark) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(unread(error)),
    }
    if mark != MARK {
        return Err(Error::failed(format!(
            "a worker's message begins with {mark:?}: something else writes where it does, or it is of another version"
        )));
    }
    let mut length = [0; size_of::<u32>()];
    from.read_exact(&mut length).map_err(unread)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(Error::failed(format!("a worker's message tells of {length} bytes")));
    }
    let bytes: Vec<u8> = read_values(from, length as usize)?;
    let message = rmp_serde::from_slice(&bytes)
        .map_err(|error| Error::failed(format!("a worker's message is of another version or broken: {error}")))?;
    Ok(Some(message))
}

fn unread(error: std::io::Error) -> Error {
    Error::failed(format!("a worker's message ends before its end: {error}"))
}

fn unwritten(error: std::io::Error) -> Error {
    Error::failed(format!("a message cannot be handed over, its reader has gone: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &ToWorker) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        message.write(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn messages_come_one_after_the_other_and_end_between_two() -> Result<()> {
        let messages = [
            ToWorker::Begin {
                keeps_bytes: 1 << 40,
                loadings: u64::MAX,
            },
            ToWorker::Request(Request::Cancel),
            ToWorker::Answer(Answer::Kept(Err(Error::usage("no map fits")))),
        ];
        let mut bytes = Vec::new();
        for message in &messages {
            bytes.extend(written(message)?);
        }
        let mut from = bytes.as_slice();
        for message in messages {
            assert_eq!(ToWorker::read(&mut from)?, Some(message));
        }
        assert_eq!(ToWorker::read(&mut from)?, None);
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn paths_that_are_no_text_arrive_as_they_are() -> Result<()> {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

        use crate::engine::{PictureSource, SaveMap, ViewRequest};
        let path = std::path::PathBuf::from(OsStr::from_bytes(b"b\xe9.npy"));
        let picture = Request::OpenPicture {
            slot: ImageSlot::A,
            source: PictureSource::File(path.clone()),
        };
        let save = Request::View(ViewRequest::SaveMap(SaveMap {
            id: Id::VAE_OUT,
            pass: PassId(1),
            path,
        }));
        for request in [picture, save] {
            let message = ToWorker::Request(request);
            assert_eq!(ToWorker::read(&mut written(&message)?.as_slice())?, Some(message));
        }
        Ok(())
    }

    #[test]
    fn what_is_cut_off_or_no_message_is_an_error() -> Result<()> {
        let whole = written(&ToWorker::Answer(Answer::Yes(true)))?;
        for length in MARK.len()..whole.len() {
            assert!(ToWorker::read(&mut &whole[..length]).is_err(), "{length} bytes");
        }
        let words = |bytes: &[u8]| FromWorker::read(&mut &*bytes).err().map(|error| error.to_string());
        let of_another_kind = words(&whole).unwrap_or_default();
        assert!(of_another_kind.contains("another version"), "{of_another_kind}");
        let printed = words(b"CUDA says hello\n").unwrap_or_default();
        assert!(printed.contains("something else writes"), "{printed}");
        let mut endless = whole.clone();
        endless[MARK.len()..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(words(&endless).is_some_and(|words| words.contains("bytes")));
        assert!(product(&[usize::MAX, 2]).is_err() && product(&[1 << 20, 1 << 20]).is_err());
        Ok(())
    }

    #[test]
    fn a_message_longer_than_memory_is_an_error() -> Result<()> {
        let numbers: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let read: Vec<u32> = read_values(&mut numbers.as_slice(), 200_000)?;
        assert!(read.into_iter().eq(0..200_000));
        let mut nothing = std::io::empty();
        let words = |error: Error| error.to_string();
        let huge = read_values::<f32>(&mut nothing, isize::MAX as usize / 4).map_err(words);
        assert!(huge.is_err_and(|words| words.contains("no memory")));
        // What is claimed but does not come takes no time to wait for.
        assert!(read_values::<f32>(&mut nothing, 1 << 28).is_err());
        Ok(())
    }
}
