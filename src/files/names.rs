//! Names of files that are no Unicode text: written down and read back without loss.
//!
//! In files and messages between processes such a name is an object: `text` for people, with U+FFFD for what is no text,
//! and beside it the name itself, as `bytes` in base64 (Unix) or as `units` of UTF-16 (Windows). Any other name is a plain
//! string. Fields hold names by `#[serde(with = "crate::files::names")]`.
//!
//! Where a name goes through text, as a model's does, which may also be a short name, what is no text is U+FFFD with
//! variation selectors behind it that say which bytes it was: they are not seen, and [`path`] reads them back.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value;

const TEXT_KEY: &str = "text";
const BYTES_KEY: &str = "bytes";
const UNITS_KEY: &str = "units";
/// Stands for what is no text.
const BAD: char = char::REPLACEMENT_CHARACTER;
/// Bytes that UTF-8 could not hold begin here; ASCII always is text.
const FIRST_BYTE: u8 = 0x80;
/// The variation selector that stands for it: U+E01EF, the last one, stands for 0xFF.
const FIRST_SELECTOR: u32 = 0xE0170;

/// A name as text that [`path`] makes the same name of.
pub fn text(name: impl AsRef<OsStr>) -> String {
    let name = name.as_ref();
    match name.to_str() {
        Some(text) if !text.contains(BAD) => text.to_owned(),
        _ => platform::text(name),
    }
}

/// The name that a text stands for.
pub fn path(text: &str) -> PathBuf {
    match text.contains(BAD) {
        true => platform::name(text).into(),
        false => text.into(),
    }
}

/// A name as JSON.
pub fn json(name: impl AsRef<OsStr>) -> Value {
    // Strings and objects of strings can always be written.
    serde_json::to_value(Written(name.as_ref())).unwrap_or_default()
}

/// A text that may stand for a name, as JSON.
pub(crate) fn text_json(text: &str) -> Value {
    json(path(text))
}

/// A text without the selectors of its bytes, to be shown.
pub fn shown(text: &str) -> Cow<'_, str> {
    match text.contains(BAD) {
        true => path(text).to_string_lossy().into_owned().into(),
        false => text.into(),
    }
}

/// The text of a name in JSON, as it is shown.
pub(crate) fn shown_json(name: &Value) -> &str {
    name.as_str().or(name[TEXT_KEY].as_str()).unwrap_or_default()
}

/// The name of these bytes, where names are bytes; elsewhere what they are as UTF-8.
pub(crate) fn of_bytes(bytes: Vec<u8>) -> PathBuf {
    match String::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            own_bytes(error.into_bytes()).unwrap_or_else(|| text.into()).into()
        }
    }
}

fn selector(byte: u8) -> Option<char> {
    char::from_u32(FIRST_SELECTOR + u32::from(byte.checked_sub(FIRST_BYTE)?))
}

fn selected(selector: char) -> Option<u8> {
    let offset = u32::from(selector).checked_sub(FIRST_SELECTOR)?;
    FIRST_BYTE.checked_add(u8::try_from(offset).ok()?)
}

#[cfg(unix)]
mod platform {
    use std::{
        ffi::{OsStr, OsString},
        os::unix::ffi::{OsStrExt, OsStringExt},
    };

    use super::{BAD, selected, selector};

    pub fn text(name: &OsStr) -> String {
        let mut text = String::new();
        let push_bytes = |text: &mut String, bytes: &[u8]| {
            for selector in bytes.iter().filter_map(|byte| selector(*byte)) {
                text.extend([BAD, selector]);
            }
        };
        for chunk in name.as_bytes().utf8_chunks() {
            let mut characters = chunk.valid().chars().peekable();
            while let Some(character) = characters.next() {
                // A name that happens to hold what stands for a byte.
                match character == BAD && characters.peek().is_some_and(|next| selected(*next).is_some()) {
                    true => push_bytes(&mut text, BAD.encode_utf8(&mut [0; 4]).as_bytes()),
                    false => text.push(character),
                }
            }
            push_bytes(&mut text, chunk.invalid());
        }
        text
    }

    pub fn name(text: &str) -> OsString {
        let mut bytes = Vec::with_capacity(text.len());
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match characters
                .peek()
                .copied()
                .filter(|_| character == BAD)
                .and_then(selected)
            {
                Some(byte) => {
                    characters.next();
                    bytes.push(byte);
                }
                None => bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        OsString::from_vec(bytes)
    }
}

#[cfg(windows)]
mod platform {
    use std::{
        ffi::{OsStr, OsString},
        os::windows::ffi::{OsStrExt, OsStringExt},
    };

    use super::{BAD, FIRST_BYTE, selected, selector};

    /// First code of UTF-16's surrogates; one alone is written as two selectors of 7 bits.
    const FIRST_SURROGATE: u16 = 0xD800;
    const SELECTOR_BITS: u16 = 7;
    const MASK: u16 = (1 << SELECTOR_BITS) - 1;
    /// The bits in which surrogates differ: more than these two selectors of a text that came from elsewhere may hold.
    const SURROGATE_BITS: u16 = 0x07FF;

    pub fn text(name: &OsStr) -> String {
        let mut text = String::new();
        for unit in char::decode_utf16(name.encode_wide()) {
            match unit {
                Ok(character) => text.push(character),
                Err(alone) => {
                    let bits = alone.unpaired_surrogate() - FIRST_SURROGATE;
                    let parts = [bits >> SELECTOR_BITS, bits & MASK];
                    text.push(BAD);
                    text.extend(parts.iter().filter_map(|part| selector(FIRST_BYTE + *part as u8)));
                }
            }
        }
        text
    }

    pub fn name(text: &str) -> OsString {
        let characters: Vec<char> = text.chars().collect();
        let mut units = Vec::with_capacity(text.len());
        let mut rest = characters.as_slice();
        while let Some((first, after)) = rest.split_first() {
            let parts = match after {
                [high, low, ..] if *first == BAD => selected(*high).zip(selected(*low)),
                _ => None,
            };
            rest = match parts {
                Some((high, low)) => {
                    let [high, low] = [high, low].map(|part| u16::from(part - FIRST_BYTE));
                    units.push(FIRST_SURROGATE | (high << SELECTOR_BITS | low) & SURROGATE_BITS);
                    &after[2..]
                }
                None => {
                    units.extend(first.encode_utf16(&mut [0; 2]).iter());
                    after
                }
            };
        }
        OsString::from_wide(&units)
    }
}

/// A name that is written.
struct Written<'a>(&'a OsStr);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.0.to_str() {
            return serializer.serialize_str(text);
        }
        let mut object = serializer.serialize_map(Some(2))?;
        object.serialize_entry(TEXT_KEY, &self.0.to_string_lossy())?;
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            object.serialize_entry(BYTES_KEY, &STANDARD.encode(self.0.as_bytes()))?;
        }
        #[cfg(windows)]
        {
            use std::os::windows::ffi::OsStrExt;
            object.serialize_entry(UNITS_KEY, &self.0.encode_wide().collect::<Vec<u16>>())?;
        }
        object.end()
    }
}

/// A name that was read.
struct Read(OsString);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameVisitor).map(Self)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = OsString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name, or an object with its \"{TEXT_KEY}\" and \"{BYTES_KEY}\"")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<OsString, E> {
        Ok(name.into())
    }

    fn visit_string<E: de::Error>(self, name: String) -> Result<OsString, E> {
        Ok(name.into())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<OsString, M::Error> {
        let mut own = None;
        let mut text: Option<String> = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                TEXT_KEY => text = Some(map.next_value()?),
                BYTES_KEY => {
                    let bytes = STANDARD
                        .decode(map.next_value::<String>()?)
                        .map_err(de::Error::custom)?;
                    own = own.or(own_bytes(bytes));
                }
                UNITS_KEY => own = own.or(of_units(&map.next_value::<Vec<u16>>()?)),
                _ => {
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        // A name of another kind of system cannot be one here: its text is the nearest.
        own.or(text.map(OsString::from))
            .ok_or_else(|| de::Error::missing_field(TEXT_KEY))
    }
}

#[cfg(unix)]
fn own_bytes(bytes: Vec<u8>) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt;
    Some(OsString::from_vec(bytes))
}

#[cfg(not(unix))]
fn own_bytes(_: Vec<u8>) -> Option<OsString> {
    None
}

#[cfg(windows)]
fn of_units(units: &[u16]) -> Option<OsString> {
    use std::os::windows::ffi::OsStringExt;
    Some(OsString::from_wide(units))
}

#[cfg(not(windows))]
fn of_units(_: &[u16]) -> Option<OsString> {
    None
}

/// A value that holds names and is serialized without loss.
pub trait Names: Sized {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

impl Names for PathBuf {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written(self.as_os_str()).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Read::deserialize(deserializer)?.0.into())
    }
}

/// A text that may stand for a name.
impl Names for String {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        path(self).write(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PathBuf::read(deserializer).map(text)
    }
}

/// One of several, with its own way of being written.
struct Each<T>(T);

impl<T: Names> Serialize for Each<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, T: Names> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

impl<T: Names> Names for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Each).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Option::<Each<T>>::deserialize(deserializer)?;
        Ok(read.map(|each| each.0))
    }
}

impl<T: Names> Names for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Each))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Vec::<Each<T>>::deserialize(deserializer)?;
        Ok(read.into_iter().map(|each| each.0).collect())
    }
}

impl<T: Names, const N: usize> Names for [T; N] {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Each))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Vec::<T>::read(deserializer)?;
        let count = read.len();
        Self::try_from(read).map_err(|_| de::Error::invalid_length(count, &"as many names as there are places"))
    }
}

/// Writes a field that holds names.
pub fn serialize<T: Names, S: Serializer>(names: &T, serializer: S) -> Result<S::Ok, S::Error> {
    names.write(serializer)
}

/// Reads a field that holds names.
pub fn deserialize<'de, T: Names, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::read(deserializer)
}

/// A short name of a path for people, unlike those in `taken`.
pub(crate) fn distinct_name(path: &Path, taken: &[String]) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let counted = |count: usize| match count {
        1 => name.to_string(),
        count => format!("{name} ({count})"),
    };
    let free = (1..=taken.len() + 1).map(counted).find(|name| !taken.contains(name));
    free.unwrap_or_else(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Held {
        #[serde(with = "super")]
        one: PathBuf,
        #[serde(with = "super")]
        many: Vec<PathBuf>,
        #[serde(default, with = "super")]
        perhaps: Option<PathBuf>,
        #[serde(with = "super")]
        model: String,
        #[serde(with = "super")]
        two: [String; 2],
    }

    fn held(name: &Path) -> Held {
        Held {
            one: name.to_owned(),
            many: vec![name.to_owned(), "plain".into()],
            perhaps: Some(name.to_owned()),
            model: text(name),
            two: [text(name), "demo".to_owned()],
        }
    }

    #[test]
    fn names_that_are_text_are_written_as_they_were() -> serde_json::Result<()> {
        for name in ["a cat.png", "ä\u{FFFD}.png", "C:\\xff", ""] {
            let plain = serde_json::json!({
                "one": name, "many": [name, "plain"], "perhaps": name, "model": name, "two": [name, "demo"],
            });
            assert_eq!(serde_json::to_value(held(Path::new(name)))?, plain);
            assert_eq!(serde_json::from_value::<Held>(plain)?, held(Path::new(name)));
            assert_eq!(text(name), name);
        }
        let without = serde_json::json!({ "one": "", "many": [], "model": "", "two": ["", ""] });
        assert_eq!(serde_json::from_value::<Held>(without)?.perhaps, None);
        for wrong in [
            serde_json::json!(7),
            serde_json::json!({}),
            serde_json::json!({ "bytes": "?" }),
        ] {
            let held = serde_json::json!({ "one": wrong, "many": [], "model": "", "two": ["", ""] });
            assert!(serde_json::from_value::<Held>(held).is_err());
        }
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_are_read_back_to_the_byte() -> Result<(), Box<dyn std::error::Error>> {
        use std::os::unix::ffi::OsStrExt;
        let names: [&[u8]; 8] = [
            b"b\xe9.png",
            b"\xff",
            b"\x80\xbf\xfe",
            // A character that was cut off, one that is too long, and half of a pair.
            b"\xe2\x82",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            // Both in one name.
            b"\xef\xbf\xbd\xe9\xef\xbf\xbd",
            // The selector of a byte, as a name.
            "\u{FFFD}\u{E01D9}".as_bytes(),
        ];
        let mut texts = std::collections::HashSet::new();
        for bytes in names {
            let name = Path::new(OsStr::from_bytes(bytes));
            let held = held(name);
            assert_eq!(path(&held.model), name);
            assert_eq!(shown(&held.model), name.to_string_lossy());
            assert!(texts.insert(held.model.clone()));
            let json = serde_json::to_string(&held)?;
            assert_eq!(serde_json::from_str::<Held>(&json)?, held);
            assert_eq!(rmp_serde::from_slice::<Held>(&rmp_serde::to_vec_named(&held)?)?, held);
            assert_eq!(rmp_serde::from_slice::<Held>(&rmp_serde::to_vec(&held)?)?, held);
        }
        let json = json(OsStr::from_bytes(b"b\xe9.png"));
        assert_eq!(
            json,
            serde_json::json!({ "text": "b\u{FFFD}.png", "bytes": "YukucG5n" })
        );
        Ok(())
    }

    #[test]
    fn names_of_another_system_are_read_by_their_text() -> serde_json::Result<()> {
        let other = if cfg!(windows) {
            "\"bytes\": \"/w==\""
        } else {
            "\"units\": [55296]"
        };
        let json = format!("{{\"more\": [1], \"text\": \"\u{FFFD}\", {other}}}");
        let Read(name) = serde_json::from_str(&json)?;
        assert_eq!(name, "\u{FFFD}");
        Ok(())
    }

    #[test]
    fn equal_names_are_told_apart() {
        let mut taken = Vec::new();
        for wanted in ["a.png", "a.png (2)", "a.png (3)"] {
            let name = distinct_name(Path::new("folder/a.png"), &taken);
            assert_eq!(name, wanted);
            taken.push(name);
        }
    }
}
