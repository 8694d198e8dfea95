//! What is chosen in panes that compare many maps: part of the document.

use serde::{Deserialize, Serialize};

use crate::{
    analysis::cka::{Form, GridRule},
    app::document::limits::{MOST_FRAMES, ROW_CHOICES},
};

/// Timesteps of a list that nobody has typed, and of a range without a step.
const SPREAD: u32 = 8;
/// Seeds of a strip at the start.
const FIRST_SEEDS: usize = 6;

/// What a strip shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StripChoice {
    /// Along what.
    pub axis: StripAxis,
    /// Timesteps as typed: numbers and ranges such as `0-900:100`.
    pub times: String,
    /// How many seeds, from 0 on.
    pub seeds: usize,
    /// Whether the passes of the other pictures are made as well, so that all panes follow t at once.
    pub all_pictures: bool,
    /// The estimator of CKA.
    pub form: Form,
}

/// What changes from frame to frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StripAxis {
    /// The timestep.
    #[default]
    T,
    /// The seed of the noise.
    Seed,
}

impl Default for StripChoice {
    fn default() -> Self {
        Self {
            axis: StripAxis::T,
            times: String::new(),
            seeds: FIRST_SEEDS,
            all_pictures: true,
            form: Form::Biased,
        }
    }
}

/// What a CKA matrix compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CkaChoice {
    /// What its rows and columns are.
    pub between: CkaBetween,
    /// Which activations.
    pub layers: LayerChoice,
    /// Timesteps as typed, where these are compared.
    pub times: String,
    /// What CKA is computed over.
    pub rows: CkaRows,
    /// How maps on other grids are brought to the common one.
    pub grids: GridRule,
    /// The estimator.
    pub form: Form,
    /// Most positions, of all pictures together.
    pub most_rows: usize,
}

impl Default for CkaChoice {
    fn default() -> Self {
        Self {
            between: CkaBetween::default(),
            layers: LayerChoice::default(),
            times: String::new(),
            rows: CkaRows::default(),
            grids: GridRule::default(),
            form: Form::default(),
            most_rows: ROW_CHOICES[1],
        }
    }
}

/// What the rows and columns of a CKA matrix are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CkaBetween {
    /// Activations with each other.
    #[default]
    Layers,
    /// The timesteps of one activation.
    Times,
    /// Activations of this model with those of the model before it.
    Models,
}

/// Which activations a CKA matrix compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerChoice {
    /// What blocks, resnets, transformers and samplers give to the next.
    #[default]
    BlockOutputs,
    /// Everything that has vectors.
    Features,
    /// What the search of the layers finds.
    Found,
}

/// What CKA is computed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CkaRows {
    /// The positions of the picture worked with.
    #[default]
    Positions,
    /// The positions of all open pictures.
    AllPositions,
    /// All open pictures, each the mean of its positions.
    Pictures,
}

/// What a content-shift meter shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ShiftChoice {
    /// Timesteps as typed: numbers and ranges such as `0-900:100`.
    pub times: String,
    /// Whether a line without the prompt is shown.
    pub without_prompt: bool,
    /// Whether a line without LoRAs is shown.
    pub without_loras: bool,
    /// Whether a line without ControlNets is shown.
    pub without_controls: bool,
}

/// The timesteps that a text names, ascending and each once: numbers and ranges such as `0-900:100`, separated by commas.
/// A range without a step, and the whole schedule where the text is empty, become eight values at equal distances.
pub fn timesteps(text: &str, last: u32) -> Result<Vec<u32>, String> {
    let mut found = Vec::new();
    if text.trim().is_empty() {
        found.extend(spread(0, last));
    }
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let number = |word: &str| match word.trim().parse::<u32>() {
            Ok(t) if t <= last => Ok(t),
            Ok(t) => Err(format!("t is at most {last}, found {t}")),
            Err(_) => Err(format!("a timestep is a number such as 100, found \"{}\"", word.trim())),
        };
        let (range, step) = match part.split_once(':') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let ends = range.split_once('-');
        match (ends, step) {
            (None, None) => found.push(number(part)?),
            (None, Some(_)) => return Err(format!("a step needs a range such as 0-900:100, found \"{part}\"")),
            (Some((from, to)), step) => {
                let (from, to) = (number(from)?, number(to)?);
                if from > to {
                    return Err(format!("a range goes up, found {from}-{to}"));
                }
                match step.map(number).transpose()? {
                    Some(0) => return Err(format!("a step is at least 1, found \"{part}\"")),
                    Some(step) => found.extend((from..=to).step_by(step as usize).take(MOST_FRAMES + 1)),
                    None => found.extend(spread(from, to)),
                }
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    if found.len() > MOST_FRAMES {
        return Err(format!(
            "at most {MOST_FRAMES} timesteps are shown: choose a larger step"
        ));
    }
    Ok(found)
}

fn spread(from: u32, to: u32) -> impl Iterator<Item = u32> {
    let gaps = u64::from(SPREAD - 1);
    let span = u64::from(to - from);
    (0..=gaps).map(move |index| from + ((index * span + gaps / 2) / gaps) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_timesteps() {
        let all = |text| timesteps(text, 999);
        assert_eq!(all("300, 100,100"), Ok(vec![100, 300]));
        assert_eq!(all("0-200:100, 50"), Ok(vec![0, 50, 100, 200]));
        assert_eq!(all(""), Ok(vec![0, 143, 285, 428, 571, 714, 856, 999]));
        assert_eq!(all("10-17"), Ok((10..=17).collect()));
        assert_eq!(all("5-5"), Ok(vec![5]));
    }

    #[test]
    fn what_is_no_timestep_is_said() {
        for (text, words) in [
            ("1000", "at most 999"),
            ("ten", "\"ten\""),
            ("100:10", "needs a range"),
            ("200-100", "goes up"),
            ("0-10:0", "at least 1"),
            ("0-999:1", "larger step"),
            ("-5", "a timestep is a number"),
        ] {
            let refused = timesteps(text, 999).err().unwrap_or_default();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
