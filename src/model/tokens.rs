//! Tokens of a prompt, to be shown to people.

use serde::{Deserialize, Serialize};

use crate::{
    components::text::{Tokenizer, qwen_tokenizer::QwenTokenizer, t5_tokenizer::T5Tokens, wordpiece::WordPieces},
    error::Result,
};

/// What stands around a prompt in a chat with Qwen3.
const QWEN_CHAT: [&str; 2] = ["<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"];

/// Role of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TokenRole {
    /// Begins a run.
    Start,
    /// Stands for a piece of the prompt.
    Word,
    /// Ends a run.
    End,
    /// Fills a run up.
    Padding,
}

/// A token of a prompt: row i of the text states, and of a cross-attention map column i, belong to token i.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PromptToken {
    /// The vocabulary's text of it; `</w>` stands for the end of a word, `▁` for a blank before one.
    pub piece: String,
    /// Its kind.
    pub role: TokenRole,
}

impl PromptToken {
    /// One that fills a run up, and has no text of its own.
    pub(crate) fn padding() -> Self {
        Self {
            piece: String::new(),
            role: TokenRole::Padding,
        }
    }

    /// The piece as it stands in the prompt, with a space where a word ends or begins.
    pub fn shown(&self) -> String {
        match self.role {
            TokenRole::Word => self.piece.replace("</w>", " ").replace('▁', " "),
            TokenRole::Start => "start".to_owned(),
            TokenRole::End => "end".to_owned(),
            TokenRole::Padding => "padding".to_owned(),
        }
    }
}

/// The tokens of runs of ids, one run after the other.
pub(crate) fn tokens_of(tokenizer: &Tokenizer, runs: &[Vec<u32>]) -> Vec<PromptToken> {
    runs.iter().flat_map(|run| of_run(tokenizer, run)).collect()
}

fn of_run(tokenizer: &Tokenizer, run: &[u32]) -> Vec<PromptToken> {
    let end = run.iter().position(|id| *id == tokenizer.end()).unwrap_or(run.len());
    let role = |place: usize, id: u32| match place {
        _ if place == end => TokenRole::End,
        _ if place > end => TokenRole::Padding,
        _ if id == tokenizer.start() => TokenRole::Start,
        _ => TokenRole::Word,
    };
    run.iter()
        .enumerate()
        .map(|(place, id)| PromptToken {
            piece: tokenizer.piece(*id),
            role: role(place, *id),
        })
        .collect()
}

/// The tokens of a prompt for a T5.
pub fn t5_tokens(tokens: &T5Tokens) -> Vec<PromptToken> {
    let role = |place: usize| match place {
        _ if place < tokens.kept => TokenRole::Word,
        _ if place == tokens.kept => TokenRole::End,
        _ => TokenRole::Padding,
    };
    let pieces = tokens.pieces.iter().enumerate();
    pieces
        .map(|(place, piece)| PromptToken {
            piece: piece.clone(),
            role: role(place),
        })
        .collect()
}

/// The tokens of a prompt for a BERT.
pub fn bert_tokens(tokens: &WordPieces) -> Vec<PromptToken> {
    let end = tokens.kept + 1;
    let role = |place: usize| match place {
        0 => TokenRole::Start,
        _ if place < end => TokenRole::Word,
        _ if place == end => TokenRole::End,
        _ => TokenRole::Padding,
    };
    let pieces = tokens.pieces.iter().enumerate();
    pieces
        .map(|(place, piece)| PromptToken {
            piece: piece.clone(),
            role: role(place),
        })
        .collect()
}

/// How many words of a prompt were read and how many there is room for: of each text encoder, or of all runs of one.
pub fn count_text(tokens: &[PromptToken]) -> String {
    let runs = runs(tokens);
    let rooms: Vec<[usize; 2]> = runs.iter().map(|run| words_and_room(run)).collect();
    let begins = |run: &&[PromptToken]| run.first().is_some_and(|token| token.role == TokenRole::Start);
    // One encoder reads a long prompt in runs of one kind; several encoders read the same prompt each in its own way.
    if let [[_, room], _, ..] = rooms.as_slice()
        && runs.iter().all(begins)
    {
        let words: usize = rooms.iter().map(|[words, _]| words).sum();
        return format!("{words} tokens, read as {} runs of {room}", rooms.len());
    }
    let counts: Vec<String> = rooms.iter().map(|[words, room]| format!("{words} of {room}")).collect();
    format!("{} tokens", counts.join(", "))
}

/// The tokens of each run of an encoder: a run begins with a start, or where the run before has ended.
fn runs(tokens: &[PromptToken]) -> Vec<&[PromptToken]> {
    let mut firsts = vec![0];
    let mut has_words = false;
    for (place, pair) in tokens.windows(2).enumerate() {
        let begins = match (pair[0].role, pair[1].role) {
            (_, TokenRole::Start) => true,
            (TokenRole::Padding, TokenRole::Word | TokenRole::End) => true,
            // What stands before the words of a template is no end of them.
            (TokenRole::End, TokenRole::Word) => has_words,
            _ => false,
        };
        has_words = (has_words || pair[0].role == TokenRole::Word) && !begins;
        if begins {
            firsts.push(place + 1);
        }
    }
    let ends = firsts.iter().skip(1).copied().chain([tokens.len()]);
    firsts
        .iter()
        .zip(ends)
        .filter_map(|(first, end)| tokens.get(*first..end))
        .collect()
}

/// Words of a run, and the places for them. Padding without a text of its own is no place: zeros in the place of an encoder.
fn words_and_room(run: &[PromptToken]) -> [usize; 2] {
    let words = run.iter().filter(|token| token.role == TokenRole::Word).count();
    let free = run
        .iter()
        .filter(|token| token.role == TokenRole::Padding && !token.piece.is_empty());
    [words, words + free.count()]
}

/// The ids and tokens of a prompt in a chat with Qwen3, at most so many; `behind` begins the answer.
pub(crate) fn qwen_tokens(
    tokenizer: &QwenTokenizer,
    prompt: &str,
    behind: &str,
    most: usize,
) -> Result<(Vec<u32>, Vec<PromptToken>)> {
    let [before, end] = QWEN_CHAT;
    let end = format!("{end}{behind}");
    let count = |text: &str| tokenizer.encode(text).map(|tokens| tokens.len());
    // What stands around it ends in a special token or begins with one: nothing is joined across.
    let (first, last) = (count(before)?, count(&end)?);
    let mut tokens = tokenizer.encode(&format!("{before}{prompt}{end}"))?;
    let words = first..tokens.len().saturating_sub(last);
    tokens.truncate(most);
    let role = |place: usize| match place {
        0 => TokenRole::Start,
        place if words.contains(&place) => TokenRole::Word,
        _ => TokenRole::End,
    };
    let ids = tokens.iter().map(|token| token.id).collect();
    let named = tokens.into_iter().enumerate().map(|(place, token)| PromptToken {
        piece: token.piece,
        role: role(place),
    });
    Ok((ids, named.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of so many words in so many places, with a start where the encoder has one.
    fn run_of(words: usize, room: usize, has_start: bool) -> Vec<PromptToken> {
        let token = |piece: &str, role| PromptToken {
            piece: piece.to_owned(),
            role,
        };
        let mut run = vec![token("<s>", TokenRole::Start); usize::from(has_start)];
        run.extend(vec![token("cat", TokenRole::Word); words]);
        run.push(token("</s>", TokenRole::End));
        run.extend(vec![token("<pad>", TokenRole::Padding); room - words]);
        run
    }

    #[test]
    fn words_are_counted_for_each_encoder_by_itself() {
        let of = |runs: &[Vec<PromptToken>]| count_text(&runs.concat());
        assert_eq!(of(&[run_of(2, 75, true)]), "2 of 75 tokens");
        assert_eq!(of(&[run_of(3, 511, false)]), "3 of 511 tokens");
        assert_eq!(
            of(&[run_of(75, 75, true), run_of(4, 75, true)]),
            "79 tokens, read as 2 runs of 75"
        );
        // A CLIP or a BERT beside a T5: no word, a few, and more than either has room for.
        for (first, second) in [(0, 0), (2, 3), (75, 90), (75, 255)] {
            let text = of(&[run_of(first, 75, true), run_of(second, 255, false)]);
            assert_eq!(text, format!("{first} of 75, {second} of 255 tokens"));
        }
        // Zeros in the place of a T5, and a template around the words.
        let blank = PromptToken {
            piece: String::new(),
            role: TokenRole::Padding,
        };
        assert_eq!(of(&[run_of(2, 75, true), vec![blank; 77]]), "2 of 75 tokens");
        let mut template = run_of(0, 0, true);
        template.extend(run_of(4, 4, false));
        assert_eq!(of(&[template]), "4 of 4 tokens");
        assert_eq!(count_text(&[]), "0 of 0 tokens");
    }

    #[test]
    fn every_token_has_its_role() {
        let tokens = T5Tokens {
            ids: vec![7, 1, 0],
            pieces: ["▁cat", "</s>", "<pad>"].map(str::to_owned).to_vec(),
            kept: 1,
            dropped: 0,
        };
        let roles: Vec<TokenRole> = t5_tokens(&tokens).iter().map(|token| token.role).collect();
        assert_eq!(roles, [TokenRole::Word, TokenRole::End, TokenRole::Padding]);
        assert_eq!(tokens.mask(), [1, 1, 0]);
    }
}
