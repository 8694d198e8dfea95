//! SentencePiece's unigram model (Kudo, *Subword Regularization*, 2018): the vocabulary of T5 and its relatives, read from a
//! `spiece.model`, and the most likely pieces of a text.
//!
//! Equal to the `sentencepiece` library's own encoder: its normaliser, its search for the best path, whose sums it keeps in f32,
//! and one unknown piece for a run of characters that no piece has.

mod normalizer;
mod protobuf;

use self::{
    normalizer::{Normalizer, Rules},
    protobuf::{Broken, Fields},
};
use crate::error::{Error, Result};

/// The most pieces that are read: mT5 has 250,112.
const MOST_PIECES: usize = 1 << 18;
/// The longest piece in bytes: T5's longest have 16 characters.
const MOST_PIECE_BYTES: usize = 512;
/// Penalty of a character that no piece has, below the least likely piece.
const UNKNOWN_PENALTY: f32 = 10.0;

/// Kind of a piece, by its number in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// A part of texts.
    Normal,
    /// Stands for what no piece has.
    Unknown,
    /// Not found in texts: ends and padding.
    Control,
    /// A part of texts that is never split.
    UserDefined,
    /// Not found in texts any more.
    Unused,
}

/// One entry of the vocabulary; its id is its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Its text; `▁` stands for a blank.
    pub text: String,
    /// The logarithm of its probability.
    pub score: f32,
    /// Its kind.
    pub kind: PieceKind,
}

/// A unigram model with its normaliser.
#[derive(Debug)]
pub struct SentencePiece {
    pieces: Vec<Piece>,
    /// The ids of the pieces that are found in texts, by their bytes.
    sorted: Vec<u32>,
    unknown: u32,
    least_score: f32,
    largest_score: f32,
    normalizer: Normalizer,
}

impl SentencePiece {
    /// Reads the bytes of a `spiece.model`, called `label` in messages.
    ///
    /// # Errors
    ///
    /// Where it is no SentencePiece model, is cut off or is of another kind than unigram, and where its vocabulary or a piece is
    /// larger than any.
    pub fn from_bytes(bytes: &[u8], label: &str) -> Result<Self> {
        let file = ModelFile::read(bytes).map_err(|error| error.context(label))?;
        Self::new(file.pieces, file.normalizer).map_err(|error| error.context(label))
    }

    /// A model of these pieces as T5's normalisers have it, with the rules of a `precompiled_charsmap` (none where that is empty):
    /// what a `tokenizer.json` says of one.
    ///
    /// # Errors
    ///
    /// As [`Self::from_bytes`].
    pub(crate) fn from_pieces(pieces: Vec<Piece>, charsmap: &[u8]) -> Result<Self> {
        let normalizer = Normalizer {
            rules: Rules::new(charsmap)?,
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
            untouched: Vec::new(),
        };
        Self::new(pieces, normalizer)
    }

    fn new(pieces: Vec<Piece>, mut normalizer: Normalizer) -> Result<Self> {
        let count = pieces.len();
        let length = u32::try_from(count)
            .ok()
            .filter(|_| count <= MOST_PIECES)
            .ok_or_else(|| Error::failed(format!("it has {count} pieces: at most {MOST_PIECES} are read")))?;
        for (id, piece) in pieces.iter().enumerate() {
            if piece.text.is_empty() || piece.text.len() > MOST_PIECE_BYTES {
                return Err(Error::failed(format!(
                    "its piece {id} has {} bytes; pieces have 1 to {MOST_PIECE_BYTES}",
                    piece.text.len()
                )));
            }
            if !piece.score.is_finite() {
                return Err(Error::failed(format!("the score of its piece {id} is {}", piece.score)));
            }
        }
        let of_kind = |kind| (0..length).zip(&pieces).filter(move |(_, piece)| piece.kind == kind);
        let unknown = match of_kind(PieceKind::Unknown).map(|(id, _)| id).collect::<Vec<_>>()[..] {
            [unknown] => unknown,
            ref several => {
                return Err(Error::failed(format!(
                    "it has {} pieces for what is unknown; a vocabulary has one",
                    several.len()
                )));
            }
        };
        let scores = || of_kind(PieceKind::Normal).map(|(_, piece)| piece.score);
        let (least_score, largest_score) = (
            scores().fold(f32::INFINITY, f32::min),
            scores().fold(f32::NEG_INFINITY, f32::max),
        );
        if !least_score.is_finite() {
            return Err(Error::failed("none of its pieces is a part of texts"));
        }
        let in_texts = |piece: &Piece| matches!(piece.kind, PieceKind::Normal | PieceKind::UserDefined);
        let mut sorted: Vec<(u32, &Piece)> = (0..length).zip(&pieces).filter(|(_, piece)| in_texts(piece)).collect();
        sorted.sort_unstable_by(|(_, a), (_, b)| a.text.cmp(&b.text));
        if let Some([(first, piece), (second, _)]) = sorted.array_windows().find(|[(_, a), (_, b)]| a.text == b.text) {
            return Err(Error::failed(format!(
                "its pieces {first} and {second} are both {:?}",
                piece.text
            )));
        }
        let sorted = sorted.into_iter().map(|(id, _)| id).collect();
        normalizer.untouched = of_kind(PieceKind::UserDefined)
            .map(|(_, piece)| piece.text.clone())
            .collect();
        normalizer
            .untouched
            .sort_unstable_by_key(|piece| std::cmp::Reverse(piece.len()));
        Ok(Self {
            pieces,
            sorted,
            unknown,
            least_score,
            largest_score,
            normalizer,
        })
    }

    /// Every entry of the vocabulary, by its id.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The ids of a text's most likely pieces; none of ends.
    ///
    /// # Errors
    ///
    /// Where the rules of the normaliser are broken, and where they make a text of it that is longer than any prompt.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.best_path(&self.normalizer.normalize(text)?))
    }

    /// Viterbi's search: for every place the best way to it, from the left.
    fn best_path(&self, text: &str) -> Vec<u32> {
        let unknown_score = self.least_score - UNKNOWN_PENALTY;
        let mut ends: Vec<Option<Step>> = vec![None; text.len() + 1];
        for (start, c) in text.char_indices() {
            let before = ends.get(start).copied().flatten().map_or(0.0, |step| step.score);
            let mut reach = |end: usize, id: u32, score: f64| {
                if let Some(step) = ends.get_mut(end)
                    && step.is_none_or(|step| score > f64::from(step.score))
                {
                    let score = score as f32;
                    *step = Some(Step { id, score, start });
                }
            };
            let mut alone = false;
            self.each_prefix(text.as_bytes().get(start..).unwrap_or_default(), |id, piece| {
                alone |= piece.text.len() == c.len_utf8();
                reach(start + piece.text.len(), id, self.score_of(piece) + f64::from(before));
            });
            if !alone {
                reach(start + c.len_utf8(), self.unknown, f64::from(unknown_score + before));
            }
        }
        let mut ids = Vec::new();
        let mut end = text.len();
        while let Some(step) = ends.get(end).copied().flatten() {
            // A run of characters that are unknown is one piece.
            if step.id != self.unknown || ids.last() != Some(&self.unknown) {
                ids.push(step.id);
            }
            end = step.start;
        }
        ids.reverse();
        ids
    }

    /// A piece's score in a path. One that the user defined counts as the most likely ones of its length.
    fn score_of(&self, piece: &Piece) -> f64 {
        match piece.kind {
            PieceKind::UserDefined => f64::from(piece.text.len() as f32 * self.largest_score) - 0.1,
            _ => f64::from(piece.score),
        }
    }

    /// Shows every piece that `text` begins with, from the shortest to the longest.
    fn each_prefix(&self, text: &[u8], mut show: impl FnMut(u32, &Piece)) {
        let piece = |id: &u32| self.pieces.get(*id as usize);
        let mut range = self.sorted.as_slice();
        for (depth, byte) in text.iter().enumerate() {
            // All of the range have the bytes before this one, and are sorted: those that end here come first.
            let byte_of = |id: &u32| piece(id).and_then(|piece| piece.text.as_bytes().get(depth));
            let from = range.partition_point(|id| byte_of(id) < Some(byte));
            let to = range.partition_point(|id| byte_of(id) <= Some(byte));
            range = range.get(from..to).unwrap_or_default();
            let Some(first) = range.first() else { return };
            if let Some(piece) = piece(first).filter(|piece| piece.text.len() == depth + 1) {
                show(*first, piece);
            }
        }
    }
}

/// The last piece of the best way to a place.
#[derive(Debug, Clone, Copy)]
struct Step {
    id: u32,
    /// The sum of the scores of all pieces of the way.
    score: f32,
    start: usize,
}

/// Contents of a `spiece.model`.
struct ModelFile {
    pieces: Vec<Piece>,
    normalizer: Normalizer,
}

impl ModelFile {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut normalizer = Normalizer {
            rules: None,
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
            untouched: Vec::new(),
        };
        for field in Fields::of(bytes) {
            let (number, value) = field.map_err(cut_off)?;
            match (number, value.bytes()) {
                (1, Some(message)) => {
                    if pieces.len() == MOST_PIECES {
                        return Err(Error::failed(format!("it has more than {MOST_PIECES} pieces")));
                    }
                    pieces.push(read_piece(message, pieces.len())?);
                }
                (2, Some(message)) => check_trainer(message)?,
                (3, Some(message)) => read_normalizer(message, &mut normalizer)?,
                _ => {}
            }
        }
        Ok(Self { pieces, normalizer })
    }
}

fn cut_off(_: Broken) -> Error {
    Error::failed("it is no SentencePiece model, or is cut off")
}

fn read_piece(message: &[u8], id: usize) -> Result<Piece> {
    let mut piece = Piece {
        text: String::new(),
        score: 0.0,
        kind: PieceKind::Normal,
    };
    for field in Fields::of(message) {
        match field.map_err(cut_off)? {
            (1, text) => {
                let text = text.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
                piece.text = text
                    .ok_or_else(|| Error::failed(format!("its piece {id} is no text")))?
                    .to_owned();
            }
            (2, score) => piece.score = score.float().ok_or(Broken).map_err(cut_off)?,
            (3, kind) => {
                piece.kind = match kind.number() {
                    Some(1) => PieceKind::Normal,
                    Some(2) => PieceKind::Unknown,
                    Some(3) => PieceKind::Control,
                    Some(4) => PieceKind::UserDefined,
                    Some(5) => PieceKind::Unused,
                    Some(6) => return Err(byte_pieces()),
                    _ => return Err(Error::failed(format!("its piece {id} is of no kind that is known"))),
                };
            }
            _ => {}
        }
    }
    Ok(piece)
}

fn byte_pieces() -> Error {
    Error::failed("it spells what is unknown in bytes (byte_fallback): such vocabularies are not supported")
}

/// Refuses models that encode in another way.
fn check_trainer(message: &[u8]) -> Result<()> {
    /// The name of `model_type` for every number.
    const KINDS: [&str; 5] = ["none", "unigram", "bpe", "word", "char"];
    const UNIGRAM: u64 = 1;
    for field in Fields::of(message) {
        let (number, value) = field.map_err(cut_off)?;
        match (number, value.number()) {
            (3, Some(kind)) if kind != UNIGRAM => {
                let name = usize::try_from(kind).ok().and_then(|kind| KINDS.get(kind));
                let name = name.copied().unwrap_or("of no kind that is known");
                return Err(Error::failed(format!(
                    "its model_type is {name}; only unigram is supported"
                )));
            }
            (24, Some(flag)) if flag != 0 => {
                return Err(Error::failed(
                    "it puts blanks behind words (treat_whitespace_as_suffix): such vocabularies are not supported",
                ));
            }
            (35, Some(flag)) if flag != 0 => return Err(byte_pieces()),
            _ => {}
        }
    }
    Ok(())
}

fn read_normalizer(message: &[u8], normalizer: &mut Normalizer) -> Result<()> {
    for field in Fields::of(message) {
        let (number, value) = field.map_err(cut_off)?;
        let flag = value.number().map(|number| number != 0);
        match (number, value.bytes(), flag) {
            (2, Some(charsmap), _) => normalizer.rules = Rules::new(charsmap)?,
            (3, _, Some(flag)) => normalizer.add_dummy_prefix = flag,
            (4, _, Some(flag)) => normalizer.remove_extra_whitespaces = flag,
            (5, _, Some(flag)) => normalizer.escape_whitespaces = flag,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, score: f32, kind: PieceKind) -> Piece {
        Piece {
            text: text.to_owned(),
            score,
            kind,
        }
    }

    fn pieces() -> Vec<Piece> {
        use PieceKind::{Control, Normal, Unknown, Unused, UserDefined};
        [
            ("<pad>", 0.0, Control),
            ("<unk>", 0.0, Unknown),
            ("▁", -2.0, Normal),
            ("▁a", -2.5, Normal),
            ("a", -3.0, Normal),
            ("b", -3.5, Normal),
            ("ab", -4.0, Normal),
            ("▁ab", -9.0, Normal),
            ("abb", -1.0, Unused),
            ("[x]", 0.0, UserDefined),
        ]
        .map(|(text, score, kind)| piece(text, score, kind))
        .to_vec()
    }

    fn texts(model: &SentencePiece, text: &str) -> Result<Vec<String>> {
        let texts = |id: u32| model.pieces().get(id as usize).map(|piece| piece.text.clone());
        Ok(model.encode(text)?.into_iter().filter_map(texts).collect())
    }

    #[test]
    fn the_best_path_is_found() -> Result<()> {
        let model = SentencePiece::from_pieces(pieces(), &[])?;
        for (text, wanted) in [
            ("", &[][..]),
            // −2 − 4 is more than −9, and as much as −2.5 − 3.5, which is found later.
            ("ab", &["▁", "ab"]),
            ("  ba  a", &["▁", "b", "a", "▁a"]),
            // Neither a piece that is not used any more, nor one that is no part of texts.
            ("abb", &["▁", "ab", "b"]),
            ("<pad>", &["▁", "<unk>", "a", "<unk>"]),
            ("a日本語a", &["▁a", "<unk>", "a"]),
            ("a[x]b", &["▁a", "[x]", "b"]),
        ] {
            assert_eq!(texts(&model, text)?, wanted, "{text:?}");
        }
        Ok(())
    }

    #[test]
    fn a_vocabulary_that_cannot_be_is_refused() {
        use PieceKind::{Normal, Unknown};
        let with = |more: Piece| [pieces(), vec![more]].concat();
        for (pieces, wanted) in [
            (vec![], "0 pieces for what is unknown"),
            (with(piece("?", 0.0, Unknown)), "2 pieces for what is unknown"),
            (vec![piece("?", 0.0, Unknown)], "part of texts"),
            (with(piece("ab", 0.0, Normal)), "6 and 10 are both \"ab\""),
            (with(piece("", 0.0, Normal)), "piece 10 has 0 bytes"),
            (with(piece(&"x".repeat(600), 0.0, Normal)), "piece 10 has 600 bytes"),
            (with(piece("c", f32::NAN, Normal)), "piece 10 is NaN"),
            (vec![piece("c", 0.0, Normal); MOST_PIECES + 1], "262145 pieces"),
        ] {
            let error = SentencePiece::from_pieces(pieces, &[]).expect_err(wanted).to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
