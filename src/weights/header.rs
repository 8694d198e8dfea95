//! The header of a safetensors file: names, shapes and places of its tensors. It is read straight into its final form, so
//! that one with senseless values takes no more memory than its text.

use std::{collections::HashMap, fmt};

use safetensors::Dtype;
use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor, value},
};

use super::numbers::MAX_DIMENSIONS;
use crate::error::clipped;

/// The longest header that is read: those of the largest models have under 1 MiB.
pub(super) const MOST_BYTES: u64 = 16 << 20;
/// More tensors than the largest models have: a few thousand.
pub(super) const MOST_TENSORS: usize = 100_000;
/// Longer names than any tensor has.
pub(super) const MOST_NAME_BYTES: usize = 1024;
/// More keys than anybody writes into `__metadata__`.
const MOST_SAID: usize = 4096;
/// The key of texts beside the tensors.
const METADATA: &str = "__metadata__";

/// The tensors of a file, and the texts beside them.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) tensors: HashMap<String, Info>,
    pub(super) metadata: HashMap<String, String>,
}

/// A tensor in the file.
#[derive(Debug, Deserialize)]
pub(super) struct Info {
    #[serde(deserialize_with = "dtype")]
    pub(super) dtype: Dtype,
    #[serde(deserialize_with = "sides")]
    pub(super) shape: Vec<usize>,
    /// From where to where in the bytes behind the header.
    pub(super) data_offsets: (usize, usize),
}

impl Header {
    /// Reads a header's JSON, behind which `data_bytes` bytes follow; the error says what is wrong with it.
    pub(super) fn parse(json: &[u8], data_bytes: u64) -> Result<Self, String> {
        let header: Self = serde_json::from_slice(json)
            .map_err(|error| format!("its header is damaged ({})", clipped(&error.to_string())))?;
        header.check_offsets(data_bytes)?;
        Ok(header)
    }

    /// The tensors lie one behind the other, each as long as its shape says, and end with the file.
    fn check_offsets(&self, data_bytes: u64) -> Result<(), String> {
        let mut infos: Vec<(&String, &Info)> = self.tensors.iter().collect();
        infos.sort_by_key(|(_, info)| info.data_offsets);
        let mut end = 0;
        for (name, info) in infos {
            let (from, to) = info.data_offsets;
            let values = info
                .shape
                .iter()
                .try_fold(1_usize, |product, side| product.checked_mul(*side));
            let bits = values.and_then(|values| values.checked_mul(info.dtype.bitsize()));
            if from != end || to < from || bits.is_none_or(|bits| bits.div_ceil(u8::BITS as usize) != to - from) {
                return Err(format!(
                    "the place of the tensor {} in it is wrong, it may be damaged",
                    clipped(name)
                ));
            }
            end = to;
        }
        if end as u64 != data_bytes {
            return Err(format!(
                "its tensors have {end} bytes, the file holds {data_bytes} of them: it may be cut off or damaged"
            ));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                header.metadata = map.next_value::<Said>()?.0;
                continue;
            }
            if name.len() > MOST_NAME_BYTES {
                return Err(de::Error::custom(format!(
                    "the name of a tensor has {} bytes, more than {MOST_NAME_BYTES}",
                    name.len()
                )));
            }
            if header.tensors.len() == MOST_TENSORS {
                return Err(de::Error::custom(format!("it names more than {MOST_TENSORS} tensors")));
            }
            let info = map
                .next_value()
                .map_err(|error| de::Error::custom(format!("tensor {name}: {}", clipped(&format!("{error}")))))?;
            if header.tensors.contains_key(&name) {
                return Err(de::Error::custom(format!("the tensor {name} is there twice")));
            }
            header.tensors.insert(name, info);
        }
        Ok(header)
    }
}

/// The entries of `__metadata__`.
struct Said(HashMap<String, String>);

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SaidVisitor;
        impl<'de> Visitor<'de> for SaidVisitor {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let mut said = HashMap::new();
                while let Some((key, text)) = map.next_entry::<String, String>()? {
                    said.insert(key, text);
                    if said.len() > MOST_SAID {
                        return Err(de::Error::custom(format!("{METADATA} has more than {MOST_SAID} keys")));
                    }
                }
                Ok(Said(said))
            }
        }
        deserializer.deserialize_map(SaidVisitor)
    }
}

/// A type of numbers by its name.
fn dtype<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Dtype, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known: Result<Dtype, value::Error> = Dtype::deserialize(name.as_str().into_deserializer());
    known.map_err(|_| de::Error::custom(format!("its numbers are of the unknown type {}", clipped(&name))))
}

/// The sides of a tensor; no more of them are read than a tensor can have.
fn sides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<usize>, D::Error> {
    struct SidesVisitor;
    impl<'de> Visitor<'de> for SidesVisitor {
        type Value = Vec<usize>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX_DIMENSIONS} sides")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<usize>, A::Error> {
            let mut sides = Vec::new();
            while let Some(side) = list.next_element()? {
                if sides.len() == MAX_DIMENSIONS {
                    return Err(de::Error::invalid_length(sides.len() + 1, &self));
                }
                sides.push(side);
            }
            Ok(sides)
        }
    }
    deserializer.deserialize_seq(SidesVisitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str, data_bytes: u64) -> String {
        Header::parse(json.as_bytes(), data_bytes).expect_err("refused")
    }

    #[test]
    fn tensors_and_what_is_said_are_read() -> Result<(), String> {
        let json = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},
            "empty":{"dtype":"F8_E4M3","shape":[0],"data_offsets":[12,12],"more":[1,{"x":2}]}}   "#;
        let header = Header::parse(json.as_bytes(), 12)?;
        assert_eq!(header.metadata.get("format").map(String::as_str), Some("pt"));
        let a = &header.tensors["a"];
        assert_eq!(
            (a.dtype, a.shape.as_slice(), a.data_offsets),
            (Dtype::F16, [2, 3].as_slice(), (0, 12))
        );
        assert_eq!(header.tensors.len(), 2);
        Ok(())
    }

    #[test]
    fn what_is_no_header_is_refused_with_the_reason() {
        let of = |info: &str| format!(r#"{{"a":{info}}}"#);
        let long_name = "n".repeat(MOST_NAME_BYTES + 1);
        let long_text = "t".repeat(1 << 20);
        for (json, says) in [
            (of("[[0],[0]]"), "tensor a"),
            (of("3"), "tensor a"),
            (of(r#"{"dtype":"F99","shape":[],"data_offsets":[0,0]}"#), "unknown type F99"),
            (of(r#"{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}"#), "tensor a"),
            (of(r#"{"dtype":"F32","shape":[1.5],"data_offsets":[0,0]}"#), "tensor a"),
            (of(r#"{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}"#), "at most 8 sides"),
            (of(r#"{"dtype":"F32","shape":[1]}"#), "data_offsets"),
            (of(&format!(r#"{{"dtype":"F32","shape":"{long_text}"}}"#)), "tensor a"),
            (of(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#), "place of the tensor a"),
            (of(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#), "place of the tensor a"),
            (
                of(r#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}"#),
                "place of the tensor a",
            ),
            (format!(r#"{{"{long_name}":0}}"#), "1025 bytes"),
            (
                r#"{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#
                    .to_owned(),
                "a is there twice",
            ),
            (r#"{"__metadata__":{"a":1}}"#.to_owned(), "damaged"),
            ("[]".to_owned(), "an object with the tensors"),
            (String::new(), "damaged"),
        ] {
            let error = refusal(&json, 4);
            assert!(error.contains(says) && error.len() < 1000, "{says}: {error}");
        }
        assert!(refusal(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5).contains("cut off"));
    }

    /// A list where a tensor should be is refused at its first entry, whatever follows.
    #[test]
    fn nothing_is_kept_of_values_that_are_no_tensors() {
        for (begin, entry) in [("{\"a\":[", "[0],"), ("{\"a\":{\"dtype\":\"F32\",\"shape\":[", "0,")] {
            let cut_off = format!("{begin}{}", entry.repeat(100));
            let error = refusal(&cut_off, 0);
            assert!(!error.contains("EOF"), "it was read to its end: {error}");
        }
        let said: String = (0..=MOST_SAID).map(|key| format!("\"{key}\":\"\",")).collect();
        assert!(refusal(&format!("{{\"__metadata__\":{{{said}"), 0).contains("4096 keys"));
    }
}
