//! Pairs of corresponding points of two pictures: the file format, and what of a file is refused.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    geometry::Size,
};

/// The most pairs that a file may hold: SPair-71k's pictures have up to 30.
pub const MOST_PAIRS: usize = 10_000;

/// A point of one picture and the point of another that shows the same, each (x, y) in the pixels of its own original
/// with pixel centres at whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointPair {
    /// In the source picture.
    pub source: [f64; 2],
    /// In the target picture.
    pub target: [f64; 2],
}

/// Forms of a file of pairs: a list of pairs, or an entry of the lists that "Diffusion Hyperfeatures" evaluates.
#[derive(Deserialize)]
#[serde(untagged)]
enum PairsFile {
    Pairs(Vec<PointPair>),
    Points(PointLists),
    Entries(Vec<PointLists>),
}

/// Points of both pictures in the same order.
#[derive(Deserialize)]
struct PointLists {
    source_points: Vec<[f64; 2]>,
    target_points: Vec<[f64; 2]>,
}

/// Reads pairs from JSON: `[{"source": [x, y], "target": [x, y]}, …]`, or an object (or a list of one object) with
/// `source_points` and `target_points`.
///
/// # Errors
///
/// Where the text is no JSON or holds no pairs, more than [`MOST_PAIRS`] of them, or those of several pairs of
/// pictures.
pub fn parse_pairs(json: &str) -> Result<Vec<PointPair>> {
    const ADVICE: &str = "a file of pairs is [{\"source\": [x, y], \"target\": [x, y]}, …], or \
                          {\"source_points\": [[x, y], …], \"target_points\": [[x, y], …]}";
    // Malformed JSON is reported with its line; of sound JSON in another form only the expected form can be named.
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| Error::failed(format!("no JSON: {error}; {ADVICE}")))?;
    let file: PairsFile =
        serde_json::from_value(value).map_err(|_| Error::failed(format!("this JSON holds no pairs: {ADVICE}")))?;
    let pairs = match file {
        PairsFile::Pairs(pairs) => pairs,
        PairsFile::Points(points) => zipped(&points)?,
        PairsFile::Entries(entries) => match entries.as_slice() {
            [one] => zipped(one)?,
            several => {
                return Err(Error::failed(format!(
                    "the list is of {} pairs of pictures: give the entry of one pair",
                    several.len()
                )));
            }
        },
    };
    if pairs.is_empty() {
        return Err(Error::failed(format!("the list of pairs is empty: {ADVICE}")));
    }
    if pairs.len() > MOST_PAIRS {
        return Err(Error::failed(format!(
            "there are {} pairs: at most {MOST_PAIRS} are taken",
            pairs.len()
        )));
    }
    Ok(pairs)
}

fn zipped(points: &PointLists) -> Result<Vec<PointPair>> {
    let (sources, targets) = (&points.source_points, &points.target_points);
    if sources.len() != targets.len() {
        return Err(Error::failed(format!(
            "there are {} source_points and {} target_points: each needs its partner",
            sources.len(),
            targets.len()
        )));
    }
    let pairs = sources.iter().zip(targets);
    Ok(pairs.map(|(&source, &target)| PointPair { source, target }).collect())
}

/// Refuses points outside of their picture; `sizes` are those of source and target.
///
/// # Errors
///
/// Where a point is outside of its picture; the message names the pair.
pub fn check_pairs(pairs: &[PointPair], sizes: [Size; 2]) -> Result<()> {
    for (index, pair) in pairs.iter().enumerate() {
        for (name, [x, y], size) in [("source", pair.source, sizes[0]), ("target", pair.target, sizes[1])] {
            let inside =
                (-0.5..=size.width as f64 - 0.5).contains(&x) && (-0.5..=size.height as f64 - 0.5).contains(&y);
            if !inside {
                return Err(Error::usage(format!(
                    "the {name} point ({x}, {y}) of pair {} is outside of its picture, which has {size} pixels: points are \
                     in pixels of the original",
                    index + 1
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: PointPair = PointPair {
        source: [1.0, 2.5],
        target: [3.0, 4.0],
    };

    #[test]
    fn both_formats_are_read() {
        for text in [
            r#"[{"source": [1, 2.5], "target": [3, 4]}]"#,
            r#"{"source_points": [[1, 2.5]], "target_points": [[3, 4]]}"#,
            r#"[{"source_path": "a.jpg", "source_points": [[1, 2.5]], "target_points": [[3, 4]], "category": "cat"}]"#,
        ] {
            assert_eq!(parse_pairs(text).expect("pairs"), [PAIR], "{text}");
        }
    }

    #[test]
    fn what_is_no_list_of_pairs_is_told_in_words() {
        for (text, words) in [
            ("", "no JSON"),
            ("[{", "no JSON"),
            ("[]", "empty"),
            ("{}", "no pairs"),
            ("3", "no pairs"),
            (r#"[{"source": [1], "target": [3, 4]}]"#, "no pairs"),
            (r#"[{"source": [1, 2], "target": [3, 4], "more": 1}]"#, "no pairs"),
            (r#"{"source_points": [[1, 2]], "target_points": []}"#, "partner"),
            (r#"{"source_points": [], "target_points": []}"#, "empty"),
            (r#"[{"source": [1e999, 2], "target": [3, 4]}]"#, "no JSON"),
        ] {
            let error = parse_pairs(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        let entry = r#"{"source_points": [[1, 2]], "target_points": [[3, 4]]}"#;
        let error = parse_pairs(&format!("[{entry}, {entry}]")).expect_err("two pairs of pictures");
        assert!(error.to_string().contains("of 2 pairs of pictures"), "{error}");
    }

    #[test]
    fn points_outside_are_refused() {
        let sizes = [Size::new(4, 4), Size::new(8, 5)];
        assert!(check_pairs(&[PAIR], sizes).is_ok());
        for (source, target) in [
            ([3.6, 0.0], [0.0, 0.0]),
            ([0.0, 0.0], [0.0, -1.0]),
            ([f64::NAN, 0.0], [0.0, 0.0]),
        ] {
            let error = check_pairs(&[PAIR, PointPair { source, target }], sizes).expect_err("outside");
            assert!(error.to_string().contains("pair 2 is outside"), "{error}");
        }
    }
}
