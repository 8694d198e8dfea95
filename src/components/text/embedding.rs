//! Textual-inversion embeddings: vectors that the text encoder reads where a prompt names them, in the layouts in which people
//! have them. In: a file. Out: a token and its vectors, one set for each text encoder.

use std::{io::Read, path::Path};

use candle_core::{DType, Device, Tensor};

use super::TextPart;
use crate::{
    error::{Error, Result},
    files,
    weights::Store,
};

/// More vectors than this are in no embedding: a prompt would have nothing beside it.
const MAX_VECTORS: usize = 1 << 10;
/// Longer tokens than this are no names.
const MAX_TOKEN_BYTES: usize = 256;
/// The tensor of web UIs' safetensors files, which does not say the token.
const UNNAMED: &str = "emb_params";
/// Prefix of the tensor in AUTOMATIC1111's `.pt`; the token is beside it, under `name`.
const IN_WEB_UI: &str = "string_to_param.";
/// Names of the tensors of SDXL's embeddings, one for each text encoder.
const PAIRS: [[&str; 2]; 2] = [["clip_l", "clip_g"], ["text_encoders_0", "text_encoders_1"]];
/// Widths of the text encoders people train embeddings for, and of which model they are.
const WIDTHS: [(&[usize], &str); 3] = [
    (&[768], "Stable Diffusion 1"),
    (&[1024], "Stable Diffusion 2"),
    (&[768, 1280], "SDXL"),
];

/// An embedding.
#[derive(Debug, Clone)]
pub struct TextualInversion {
    token: String,
    /// (n, D) for each text encoder, in f32 on the CPU.
    vectors: Vec<Tensor>,
}

impl TextualInversion {
    /// Reads a file. `token` is the one that the user gave; without it the file's own counts, and else the file's name
    /// without its ending.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, where its tensors are none of a textual inversion, and where its token cannot be
    /// written in a prompt.
    pub fn open(path: &Path, token: Option<&str>) -> Result<Self> {
        Self::read(path, token).map_err(|error| error.context(path.display()))
    }

    fn read(path: &Path, token: Option<&str>) -> Result<Self> {
        refuse_pictures(path)?;
        let store = Store::open(path)?;
        let mut names: Vec<&str> = store.names().collect();
        names.sort_unstable();
        let pair = PAIRS
            .iter()
            .find(|pair| names.len() == pair.len() && pair.iter().all(|name| names.contains(name)));
        let (own, tensors) = match (pair, names.as_slice()) {
            (Some(pair), _) => (None, pair.to_vec()),
            (None, [half]) if PAIRS.iter().flatten().any(|name| name == half) => {
                return Err(Error::failed(format!(
                    "it holds {half} alone: SDXL reads with two text encoders, {} and {}",
                    PAIRS[0][0], PAIRS[0][1]
                )));
            }
            (None, [name]) if *name == UNNAMED || name.is_empty() => (None, vec![*name]),
            (None, [name]) if name.starts_with(IN_WEB_UI) => (store.metadata("name"), vec![*name]),
            (None, [name]) => (Some(*name), vec![*name]),
            (None, several) => return Err(unknown(several)),
        };
        let stem = || path.file_stem().and_then(|stem| stem.to_str());
        let token = token.or(own).or_else(stem).map(str::trim).unwrap_or_default();
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES || token.chars().any(char::is_control) {
            return Err(Error::failed(format!(
                "its token cannot be written in a prompt, or has more than {MAX_TOKEN_BYTES} bytes: give another as FILE=TOKEN"
            )));
        }
        let values = store.var_builder(DType::F32, &Device::Cpu);
        let vectors = tensors.into_iter().map(|name| {
            check_shape(name, store.shape(name).unwrap_or_default())?;
            let tensor = values.get_unchecked(name)?;
            match tensor.rank() {
                1 => Ok(tensor.unsqueeze(0)?),
                _ => Ok(tensor),
            }
        });
        Ok(Self {
            token: token.to_owned(),
            vectors: vectors.collect::<Result<_>>()?,
        })
    }

    /// Its token in a prompt.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its vectors for a text encoder, (n, D).
    pub fn vectors(&self, part: TextPart) -> Option<&Tensor> {
        self.vectors.get(match part {
            TextPart::First => 0,
            TextPart::Second => 1,
        })
    }

    /// How many tokens it takes in a prompt, for the first text encoder.
    pub fn length(&self) -> usize {
        self.vectors.first().map_or(0, |vectors| vectors.dims()[0])
    }

    /// Refuses an embedding for other text encoders than those whose states, side by side, are `width` wide; `encoders` is how many
    /// there are.
    ///
    /// # Errors
    ///
    /// Where the number of encoders or their widths differ.
    pub fn check_fits(&self, width: usize, encoders: usize) -> Result<()> {
        let widths: Vec<usize> = self.vectors.iter().map(|vectors| vectors.dims()[1]).collect();
        if widths.len() == encoders && widths.iter().sum::<usize>() == width {
            return Ok(());
        }
        let known = WIDTHS.iter().find(|(known, _)| *known == widths);
        let of = known.map_or(String::new(), |(_, model)| format!(", as {model} reads them"));
        Err(Error::usage(format!(
            "the embedding of \"{}\" holds vectors of width {}{of}; this model reads text of width {width} with {}",
            self.token,
            widths.iter().map(usize::to_string).collect::<Vec<_>>().join(" and "),
            match encoders {
                1 => "one text encoder".to_owned(),
                encoders => format!("{encoders} text encoders"),
            }
        )))
    }
}

fn check_shape(name: &str, shape: &[usize]) -> Result<()> {
    match shape {
        [width] | [1..=MAX_VECTORS, width] if *width > 0 => Ok(()),
        _ => Err(Error::failed(format!(
            "its tensor \"{name}\" has the shape {shape:?}: an embedding has (n, width), n from 1 to {MAX_VECTORS}"
        ))),
    }
}

fn unknown(names: &[&str]) -> Error {
    const SHOWN: usize = 4;
    if names.iter().any(|name| name.starts_with("t5")) {
        return Error::failed("it is an embedding for a model that reads with T5 (Stable Diffusion 3, Flux)");
    }
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    Error::failed(format!(
        "it is no textual-inversion embedding: it holds {} tensors ({shown}{}), and one is expected, named by its token or \
         {UNNAMED}, or {} and {} of SDXL",
        names.len(),
        if names.len() > SHOWN { ", …" } else { "" },
        PAIRS[0][0],
        PAIRS[0][1]
    ))
}

/// Web UIs also hide embeddings in pictures.
fn refuse_pictures(path: &Path) -> Result<()> {
    const MAGIC: [(&[u8], &str); 4] = [
        (b"\x89PNG", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"RIFF", "WebP"),
        (b"GIF8", "GIF"),
    ];
    let mut start = Vec::new();
    let read = files::open(path)?.take(8).read_to_end(&mut start);
    read.map_err(|error| Error::io("read", path, &error))?;
    match MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, kind)) => Err(Error::failed(format!(
            "it is a picture ({kind}), in which a web UI may have hidden an embedding: such pictures are not read, save it as \
             .safetensors or .pt"
        ))),
        None => Ok(()),
    }
}
