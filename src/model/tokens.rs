//! Tokens of a prompt, to be shown to people.

use serde::{Deserialize, Serialize};

use crate::components::text::Tokenizer;

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
