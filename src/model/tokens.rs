//! Tokens of a prompt, to be shown to people.

use serde::{Deserialize, Serialize};

use crate::components::text::{Tokenizer, t5_tokenizer::T5Tokens, wordpiece::WordPieces};

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
