//! How the bytes of a picture become an encoder's numbers: `preprocessor_config.json`.

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use crate::{
    error::Result,
    geometry::Size,
    image::picture::{CHANNELS, Picture},
    weights::config::ConfigReader,
};

const NAME: &str = "the preprocessor's configuration";
const WHITE_LEVEL: f64 = 255.0;
/// How far the factor of a file may be from 1/255, as a share.
const SLACK: f64 = 1e-6;

/// Means and standard deviations of red, green and blue, of values from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelStatistics {
    /// What is taken away of each.
    pub mean: [f64; CHANNELS],
    /// What each is divided by.
    pub std: [f64; CHANNELS],
}

impl PixelStatistics {
    /// Reads `image_mean` and `image_std`; how pictures are resized and cut is not read, since all models of this program see the
    /// whole picture.
    ///
    /// # Errors
    ///
    /// Where one of them is missing or makes no sense, and where pixels are not to become numbers in this way.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = ConfigReader::new(json, NAME)?;
        config.only("do_normalize", &json!(true))?;
        config.only("do_rescale", &json!(true))?;
        let factor = config.number("rescale_factor", 1.0 / WHITE_LEVEL)?;
        if (factor * WHITE_LEVEL - 1.0).abs() > SLACK {
            return Err(config.refuse("rescale_factor", "1/255"));
        }
        let read = Self {
            mean: three(&config, "image_mean")?,
            std: three(&config, "image_std")?,
        };
        match read.std.iter().all(|std| *std > 0.0) {
            true => Ok(read),
            false => Err(config.refuse("image_std", "three numbers above 0")),
        }
    }

    /// (x/255 − mean)/std of a picture, (1, 3, H, W) in f32.
    pub(super) fn normalised(&self, picture: &Picture, device: &Device) -> Result<Tensor> {
        let Size { width, height } = picture.size();
        let mut numbers = Vec::with_capacity(picture.rgb().len());
        for (channel, (mean, std)) in self.mean.iter().zip(self.std).enumerate() {
            let bytes = picture.rgb().iter().skip(channel).step_by(CHANNELS);
            numbers.extend(bytes.map(|byte| ((f64::from(*byte) / WHITE_LEVEL - mean) / std) as f32));
        }
        Ok(Tensor::from_vec(numbers, (1, CHANNELS, height, width), device)?)
    }
}

fn three(config: &ConfigReader<'_>, key: &str) -> Result<[f64; CHANNELS]> {
    let numbers = config.value(key).and_then(|value| {
        let list: Vec<f64> = value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
        list.try_into().ok()
    });
    numbers
        .filter(|numbers: &[f64; CHANNELS]| numbers.iter().all(|number| number.is_finite()))
        .ok_or_else(|| config.refuse(key, "three numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_numbers_of_each_channel() -> Result<()> {
        let json = json!({"image_mean": [0.5, 0.25, 0.0], "image_std": [0.5, 1, 2], "size": 224, "do_normalize": true});
        let statistics = PixelStatistics::from_json(&json)?;
        let picture = Picture::from_rgb(Size::new(2, 1), vec![0, 255, 255, 255, 0, 0])?;
        let numbers = statistics.normalised(&picture, &Device::Cpu)?;
        assert_eq!(numbers.dims(), [1, 3, 1, 2]);
        assert_eq!(
            numbers.flatten_all()?.to_vec1::<f32>()?,
            [-1.0, 1.0, 0.75, -0.25, 0.5, 0.0]
        );
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let three = || json!([0.5, 0.5, 0.5]);
        for (key, value) in [
            ("image_mean", json!([0.5, 0.5])),
            ("image_mean", json!(null)),
            ("image_std", json!([0.5, 0.0, 0.5])),
            ("image_std", json!("half")),
            ("do_normalize", json!(false)),
            ("do_rescale", json!(false)),
            ("rescale_factor", json!(1)),
        ] {
            let mut json = json!({"image_mean": three(), "image_std": three()});
            json[key] = value;
            let error = PixelStatistics::from_json(&json).expect_err(key).to_string();
            assert!(error.contains(&format!("\"{key}\"")), "{error}");
        }
    }
}
