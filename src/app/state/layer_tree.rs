//! The layers of a model as a tree, and which of them a search finds.

use super::root::State;
use crate::{activation::Id, engine::Layer};

/// The layers of a model as a tree, made once per model.
#[derive(Default)]
pub struct LayerTree {
    pub(in crate::app) generation: u64,
    pub(in crate::app) nodes: Vec<Node>,
    /// The selection that was shown last: another one is scrolled to.
    pub(in crate::app) shown: Option<Id>,
    /// The height it was shown in, in points: in another one it may be out of sight.
    pub(in crate::app) shown_height: f32,
    /// Whether the search is to be typed next.
    pub(in crate::app) search_wanted: bool,
}

pub enum Node {
    /// Index of a layer.
    Layer(usize),
    Group {
        title: String,
        children: Vec<Node>,
    },
}

impl LayerTree {
    /// The next thing typed is the search.
    pub fn focus_search(&mut self) {
        self.search_wanted = true;
    }

    /// The layer so many places after the selected one, among those listed.
    pub fn step(&self, state: &State, step: isize) -> Option<Id> {
        let listed = found(state);
        let last = listed.len().checked_sub(1)?;
        let current = listed.iter().position(|layer| Some(layer.id) == state.layer());
        let next = match current {
            Some(index) => index.saturating_add_signed(step).min(last),
            None => 0,
        };
        Some(listed[next].id)
    }
}

/// The layers that have every word of the search, and can be looked at.
pub fn found(state: &State) -> Vec<&Layer> {
    let fits = |layer: &&Layer| layer.can_be_shown() && is_found(layer.id, &state.search);
    state.layers().iter().filter(fits).collect()
}

/// Whether the name of a layer has every word of a search.
pub fn is_found(id: Id, search: &str) -> bool {
    let mut words = search.split_whitespace().map(str::to_lowercase);
    words.all(|word| id.as_str().contains(word.as_str()))
}

/// Groups of consecutive layers by where they are.
pub fn tree(layers: &[Layer]) -> Vec<Node> {
    let mut root = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let titles: Vec<&str> = layer.facts.groups().collect();
        insert(&mut root, &titles, index);
    }
    root
}

fn insert(nodes: &mut Vec<Node>, titles: &[&str], index: usize) {
    let Some((first, rest)) = titles.split_first() else {
        nodes.push(Node::Layer(index));
        return;
    };
    if let Some(Node::Group { title, children }) = nodes.last_mut()
        && title == first
    {
        insert(children, rest, index);
        return;
    }
    let mut children = Vec::new();
    insert(&mut children, rest, index);
    nodes.push(Node::Group {
        title: (*first).to_owned(),
        children,
    });
}

pub fn holds(node: &Node, layers: &[Layer], id: Id) -> bool {
    match node {
        Node::Layer(index) => layers.get(*index).is_some_and(|layer| layer.id == id),
        Node::Group { children, .. } => children.iter().any(|child| holds(child, layers, id)),
    }
}
