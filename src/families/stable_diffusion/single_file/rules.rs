//! Renaming rules for the tensors of one network of a file.

use crate::weights::{Rename, Take};

/// Rules for tensors whose names all begin with one prefix in the file.
pub(super) struct Rules {
    prefix: String,
    rules: Vec<Rename>,
}

impl Rules {
    /// No rules yet.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            rules: Vec::new(),
        }
    }

    /// All tensors of a module.
    pub(super) fn module(&mut self, from: &str, to: &str) {
        self.rules.push(self.rule(from, to));
    }

    /// Those of a 1x1 convolution that is a linear layer in diffusers.
    pub(super) fn linear(&mut self, from: &str, to: &str) {
        self.rules.push(self.rule(from, to).taking(Take::Linear));
    }

    /// Those of parts of a module: their names in the file and in diffusers.
    pub(super) fn modules(&mut self, from: &str, to: &str, parts: &[(&str, &str)]) {
        for (theirs, ours) in parts {
            self.module(&format!("{from}.{theirs}"), &format!("{to}.{ours}"));
        }
    }

    /// All rules, in the order in which they were made.
    pub(super) fn finish(self) -> Vec<Rename> {
        self.rules
    }

    fn rule(&self, from: &str, to: &str) -> Rename {
        Rename::new(format!("{}{from}.", self.prefix), format!("{to}."))
    }
}
