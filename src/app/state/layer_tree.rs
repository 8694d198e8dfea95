//! The layers of a model as a tree, and which of them a search finds.

use super::root::State;
use crate::{
    activation::{Id, Leaf, Place},
    engine::Layer,
};

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

/// Whether a layer can be looked at here: attention to text has no grid of its own.
pub fn is_shown(id: Id) -> bool {
    id.has_vectors() || id.attention_sources().is_some()
}

/// The layers that have every word of the search, and can be looked at.
pub fn found(state: &State) -> Vec<&Layer> {
    let fits = |layer: &&Layer| is_shown(layer.id) && is_found(layer.id, &state.search);
    state.layers().iter().filter(fits).collect()
}

/// Whether the name of a layer has every word of a search.
pub fn is_found(id: Id, search: &str) -> bool {
    let name = id.to_string();
    let mut words = search.split_whitespace().map(str::to_lowercase);
    words.all(|word| name.contains(word.as_str()))
}

/// Groups of consecutive layers by where they are.
pub fn tree(layers: &[Layer]) -> Vec<Node> {
    let mut root = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        insert(&mut root, &group_titles(layer.id), index);
    }
    root
}

fn insert(nodes: &mut Vec<Node>, titles: &[String], index: usize) {
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
        title: first.clone(),
        children,
    });
}

fn group_titles(id: Id) -> Vec<String> {
    let mut titles = match id.place {
        Place::Network | Place::Stack | Place::Decoder => Vec::new(),
        Place::Block(_) if id.leaf == Leaf::Out => Vec::new(),
        Place::Block(number) => vec![format!("inside b{number}")],
        Place::Mid { .. } => vec!["mid".to_owned()],
        Place::Down { level, .. } => vec![format!("down level {level}")],
        Place::Up { level, .. } => vec![format!("up level {level}")],
    };
    if let Place::Down {
        repeat: Some(repeat), ..
    }
    | Place::Up {
        repeat: Some(repeat), ..
    } = id.place
    {
        titles.push(format!("repeat {repeat}"));
    }
    if let Leaf::Vit { block, .. } = id.leaf {
        titles.push(format!("vit block {block}"));
    }
    titles
}

/// A layer's name inside its groups.
pub fn short_name(id: Id) -> String {
    match (id.place, id.leaf) {
        (_, Leaf::Vit { part, .. }) => part.name().to_owned(),
        (Place::Network | Place::Stack | Place::Decoder, _) | (Place::Block(_), Leaf::Out) => id.to_string(),
        (Place::Mid { repeat: Some(repeat) }, _) => format!("repeat {repeat} {}", id.leaf_name()),
        _ => id.leaf_name(),
    }
}

pub fn holds(node: &Node, layers: &[Layer], id: Id) -> bool {
    match node {
        Node::Layer(index) => layers.get(*index).is_some_and(|layer| layer.id == id),
        Node::Group { children, .. } => children.iter().any(|child| holds(child, layers, id)),
    }
}
