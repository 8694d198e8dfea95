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
