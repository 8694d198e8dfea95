//! Renaming rules for the tensors of one network of a file.

use super::{Rename, Take};

/// Rules for tensors whose names all begin with one prefix in the file.
pub(crate) struct Rules {
    prefix: String,
    rules: Vec<Rename>,
}

impl Rules {
    /// No rules yet.
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            rules: Vec::new(),
        }
    }

    /// All tensors of a module.
    pub(crate) fn module(&mut self, from: &str, to: &str) {
        self.rules.push(self.rule(from, to));
    }

    /// Those of parts of a module: their names in the file and in diffusers.
    pub(crate) fn modules(&mut self, from: &str, to: &str, parts: &[(&str, &str)]) {
        for (theirs, ours) in parts {
            self.module(&format!("{from}.{theirs}"), &format!("{to}.{ours}"));
        }
    }

    /// Those of a module, each as `take` has it.
    pub(crate) fn part(&mut self, from: &str, to: &str, take: Take) {
        self.rules.push(self.rule(from, to).taking(take));
    }

    /// All tensors under the names that they have behind the prefix.
    pub(crate) fn all(&mut self) {
        self.rules.push(Rename::new(self.prefix.clone(), ""));
    }

    /// One tensor under another name.
    pub(crate) fn tensor(&mut self, from: &str, to: &str) {
        self.rules.push(Rename::new(format!("{}{from}", self.prefix), to));
    }

    /// All rules, in the order in which they were made.
    pub(crate) fn finish(self) -> Vec<Rename> {
        self.rules
    }

    fn rule(&self, from: &str, to: &str) -> Rename {
        Rename::new(format!("{}{from}.", self.prefix), format!("{to}."))
    }
}
