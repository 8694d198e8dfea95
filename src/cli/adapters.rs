//! LoRAs, ControlNets and embeddings among the arguments. Files may be named in any way that the system allows, so the signs
//! that part a name from what stands behind it may be in the name itself: what exists counts first.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::model::adapters::{ControlImage, ControlUse, EmbeddingUse, LoraUse, Scale};

/// What clap calls for an argument that is read by `of`.
pub fn parser<T>(of: fn(&OsStr) -> Result<T, String>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    OsStringValueParser::new().try_map(move |text: OsString| of(&text))
}

/// A LoRA: `FILE` or `FILE:SCALE`.
#[derive(Debug, Clone)]
pub struct LoraArgument(pub(super) LoraUse);

impl LoraArgument {
    /// Reads an argument.
    pub fn of(text: &OsStr) -> Result<Self, String> {
        let (file, scale) = match Path::new(text).exists() {
            true => (text, Scale::ONE),
            false => match scaled(text) {
                Some((file, scale)) => (file, scale?),
                None => (text, Scale::ONE),
            },
        };
        if file.is_empty() {
            return Err("a LoRA is FILE or FILE:SCALE".to_owned());
        }
        Ok(Self(LoraUse {
            file: file.into(),
            scale,
            on: true,
        }))
    }
}

/// A ControlNet: `NET=canny` or `NET=IMAGE`, each with `:SCALE` or without.
#[derive(Debug, Clone)]
pub struct ControlArgument(pub(super) ControlUse);

const CANNY: &str = "canny";

impl ControlArgument {
    /// Reads an argument: of all ways to part it, the one of whose net and image most exist, and of equally good ones the one that
    /// is parted last.
    pub fn of(text: &OsStr) -> Result<Self, String> {
        let mut best: Option<(usize, [&OsStr; 2], Result<Scale, String>)> = None;
        for [net, shown] in parted(text, '=') {
            let with_scale = scaled(shown).filter(|(image, _)| !image.is_empty());
            // A number behind a colon is a scale, unless it belongs to a file that is there.
            let whole = scaled(shown).is_none() || Path::new(shown).exists();
            let whole = whole.then_some((shown, Ok(Scale::ONE)));
            for (image, scale) in with_scale.into_iter().chain(whole) {
                if net.is_empty() || image.is_empty() {
                    continue;
                }
                let there = 2 * usize::from(Path::new(net).exists()) + usize::from(is_image(image));
                if best.as_ref().is_none_or(|(known, ..)| there > *known) {
                    best = Some((there, [net, image], scale));
                }
            }
        }
        let Some((_, [net, image], scale)) = best else {
            return Err("a ControlNet is NET=canny or NET=IMAGE, with :SCALE behind it if it is not 1".to_owned());
        };
        Ok(Self(ControlUse {
            net: net.into(),
            image: match image == CANNY {
                true => ControlImage::Canny,
                false => ControlImage::Picture(image.into()),
            },
            scale: scale?,
            on: true,
        }))
    }
}

/// Whether something can be shown to a ControlNet.
fn is_image(image: &OsStr) -> bool {
    image == CANNY || Path::new(image).exists()
}

/// An embedding: `FILE` or `FILE=TOKEN`.
#[derive(Debug, Clone)]
pub struct EmbeddingArgument(pub(super) EmbeddingUse);

impl EmbeddingArgument {
    /// Reads an argument.
    pub fn of(text: &OsStr) -> Result<Self, String> {
        let ways = parted(text, '=');
        let there = |file: &OsStr| Path::new(file).exists();
        let way = match there(text) {
            true => None,
            false => ways.iter().find(|[file, _]| there(file)).or(ways.first()),
        };
        let (file, token) = match way {
            Some([file, token]) => (*file, Some(*token)),
            None => (text, None),
        };
        let token = token.map(|token| token.to_str().ok_or("a token is text in UTF-8, as the prompt is"));
        let token = token.transpose()?;
        if file.is_empty() || token.is_some_and(|token| token.trim().is_empty()) {
            return Err("an embedding is FILE or FILE=TOKEN".to_owned());
        }
        Ok(Self(EmbeddingUse {
            file: file.into(),
            token: token.map(str::to_owned),
            on: true,
        }))
    }
}

/// What stands before the last colon, and the scale behind it; none where no number follows one (as in `C:\lora.safetensors`),
/// unless what stands before it is there: then what follows was meant as a scale.
fn scaled(text: &OsStr) -> Option<(&OsStr, Result<Scale, String>)> {
    let [before, scale] = parted(text, ':').into_iter().next()?;
    match scale.to_str().and_then(|number| number.parse::<f64>().ok()) {
        Some(number) => Some((before, Scale::try_from(number))),
        None if Path::new(before).exists() => {
            let found = scale.to_string_lossy();
            Some((
                before,
                Err(format!("a scale is a number such as 0.5, found \"{found}\"")),
            ))
        }
        None => None,
    }
}

/// Every way to part a text at a sign, the last sign first.
#[cfg(unix)]
fn parted(text: &OsStr, sign: char) -> Vec<[&OsStr; 2]> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = text.as_bytes();
    let places = (0..bytes.len()).rev().filter(|place| char::from(bytes[*place]) == sign);
    let part = |place: usize| [&bytes[..place], &bytes[place + 1..]].map(OsStr::from_bytes);
    places.map(part).collect()
}

#[cfg(not(unix))]
fn parted(text: &OsStr, sign: char) -> Vec<[&OsStr; 2]> {
    let places = text.to_str().into_iter().flat_map(|text| {
        text.rmatch_indices(sign)
            .map(move |(place, _)| [&text[..place], &text[place + 1..]].map(OsStr::new))
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn scale(x: f64) -> Scale {
        Scale::try_from(x).expect("a scale")
    }

    #[test]
    fn a_scale_is_a_number_behind_the_last_colon() {
        for (text, file, wanted) in [
            ("a.safetensors", "a.safetensors", 1.0),
            ("a.safetensors:0.5", "a.safetensors", 0.5),
            ("a:b:-1", "a:b", -1.0),
            (r"C:\a.safetensors", r"C:\a.safetensors", 1.0),
            ("a=b:2.png", "a=b:2.png", 1.0),
        ] {
            let LoraArgument(lora) = LoraArgument::of(text.as_ref()).expect("a LoRA");
            assert_eq!((lora.file, lora.scale), (file.into(), scale(wanted)), "{text}");
        }
        for text in ["", ":1", "a:nan", "a:inf", "a:-101", "Cargo.toml:1,5"] {
            assert!(LoraArgument::of(text.as_ref()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_controlnet_and_its_image_stand_beside_the_last_equals_sign() {
        for (text, net, image, wanted) in [
            ("net=canny", "net", ControlImage::Canny, 1.0),
            ("a=b=canny:0.5", "a=b", ControlImage::Canny, 0.5),
            ("net=depth.png", "net", ControlImage::Picture("depth.png".into()), 1.0),
            (
                "C:/net=C:/depth.png:2",
                "C:/net",
                ControlImage::Picture("C:/depth.png".into()),
                2.0,
            ),
        ] {
            let ControlArgument(control) = ControlArgument::of(text.as_ref()).expect("a ControlNet");
            assert_eq!((control.net, control.image), (net.into(), image), "{text}");
            assert_eq!(control.scale, scale(wanted), "{text}");
        }
        for text in ["", "canny", "=canny", "net=", "net=:1", "net=canny:1e9"] {
            assert!(ControlArgument::of(text.as_ref()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_embedding_has_its_token_behind_an_equals_sign() {
        for (text, file, token) in [
            ("cat.pt", "cat.pt", None),
            ("cat.pt=<cat>", "cat.pt", Some("<cat>")),
            ("a=b.pt=<cat>", "a=b.pt", Some("<cat>")),
        ] {
            let EmbeddingArgument(embedding) = EmbeddingArgument::of(text.as_ref()).expect("an embedding");
            assert_eq!(
                (embedding.file, embedding.token.as_deref()),
                (file.into(), token),
                "{text}"
            );
        }
        for text in ["", "=x", "a=", "a= "] {
            assert!(EmbeddingArgument::of(text.as_ref()).is_err(), "{text}");
        }
    }

    /// Names with the very signs that part them.
    #[test]
    fn what_exists_counts_first() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let make = |name: &str| -> Result<String, std::io::Error> {
            let path = folder.path().join(name);
            fs::write(&path, "")?;
            Ok(path.display().to_string())
        };
        let (colon, equals) = (make("v1:2")?, make("a=b")?);
        let of = |text: &str| LoraArgument::of(text.as_ref()).map(|LoraArgument(lora)| (lora.file, lora.scale));
        assert_eq!(of(&colon)?, ((&colon).into(), Scale::ONE));
        assert_eq!(of(&format!("{colon}:3"))?, ((&colon).into(), scale(3.0)));
        let of = |text: &str| {
            let ControlArgument(control) = ControlArgument::of(text.as_ref())?;
            Ok::<_, String>((control.net, control.image, control.scale))
        };
        let picture = |path: &str| ControlImage::Picture(path.into());
        assert_eq!(
            of(&format!("{equals}=canny"))?,
            ((&equals).into(), ControlImage::Canny, Scale::ONE)
        );
        assert_eq!(
            of(&format!("{colon}={equals}:0.5"))?,
            ((&colon).into(), picture(&equals), scale(0.5))
        );
        assert_eq!(
            of(&format!("{equals}={colon}"))?,
            ((&equals).into(), picture(&colon), Scale::ONE)
        );
        assert_eq!(
            of(&format!("OWNER/NAME={colon}:2"))?,
            ("OWNER/NAME".into(), picture(&colon), scale(2.0))
        );
        let of = |text: &str| {
            let EmbeddingArgument(embedding) = EmbeddingArgument::of(text.as_ref())?;
            Ok::<_, String>((embedding.file, embedding.token))
        };
        assert_eq!(of(&equals)?, ((&equals).into(), None));
        assert_eq!(
            of(&format!("{equals}=<a=b>"))?,
            ((&equals).into(), Some("<a=b>".to_owned()))
        );
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt;
        let text = |bytes: &'static [u8]| OsStr::from_bytes(bytes);
        let LoraArgument(lora) = LoraArgument::of(text(b"caf\xe9:0.5")).expect("a LoRA");
        assert_eq!((lora.file.as_os_str(), lora.scale), (text(b"caf\xe9"), scale(0.5)));
        let ControlArgument(control) = ControlArgument::of(text(b"n\xff=p\xfe.png:2")).expect("a ControlNet");
        assert_eq!(control.net.as_os_str(), text(b"n\xff"));
        assert_eq!(control.image, ControlImage::Picture(text(b"p\xfe.png").into()));
        let EmbeddingArgument(embedding) = EmbeddingArgument::of(text(b"e\xff.pt=cat")).expect("an embedding");
        assert_eq!(embedding.file.as_os_str(), text(b"e\xff.pt"));
        assert!(
            EmbeddingArgument::of(text(b"e.pt=c\xff")).is_err(),
            "the prompt is text"
        );
    }
}
