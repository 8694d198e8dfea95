//! Choices of a device and a number format.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The number format a model computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, IEEE half.
    F16,
    /// 16 bits with the exponent of f32.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// `f32`, `f16`, `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// Where a model computes: `auto`, `cpu`, `cuda:N`, `metal:N`; `cuda` is `cuda:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum DeviceChoice {
    /// The first GPU that computes what the CPU computes, else the CPU.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU, by CUDA's number.
    Cuda(usize),
    /// One of Apple's GPUs, by number.
    Metal(usize),
}

impl DeviceChoice {
    /// Whether this names a GPU.
    pub const fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda(_) | Self::Metal(_))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal(number) => write!(f, "metal:{number}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("a device is called auto, cpu, cuda, cuda:N, metal or metal:N, found \"{text}\"");
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => (kind, Some(number.parse::<usize>().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (kind, number) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", number) => Ok(Self::Cuda(number.unwrap_or(0))),
            ("metal", number) => Ok(Self::Metal(number.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() -> Result<(), String> {
        use DeviceChoice::{Auto, Cpu, Cuda, Metal};
        for choice in [Auto, Cpu, Cuda(0), Cuda(7), Metal(0)] {
            assert_eq!(choice.to_string().parse::<DeviceChoice>()?, choice);
        }
        assert_eq!("cuda".parse::<DeviceChoice>()?, Cuda(0));
        assert_eq!("metal".parse::<DeviceChoice>()?, Metal(0));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "auto:1", "CUDA"] {
            let words = wrong.parse::<DeviceChoice>().err().unwrap_or_default();
            assert!(words.contains("cuda:N"), "{wrong}: {words}");
        }
        Ok(())
    }
}
