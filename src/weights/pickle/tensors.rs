//! Which tensors a checkpoint's pickle describes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::machine::{Node, Pickle, Value};
use crate::error::{Error, Result};

/// Deeper containers than this are not looked into: a state dict is one or two deep.
const MAX_DEPTH: usize = 16;
/// Longer names, and more dimensions, than any tensor has.
const MAX_NAME_BYTES: usize = 1024;
const MAX_DIMENSIONS: usize = 8;

/// Where a checkpoint keeps the tensors of its network, the first that holds any; else they lie at the top.
const STATE_KEYS: [&str; 2] = ["state_dict", "model"];

/// The numbers behind a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// PyTorch's name of the type: `FloatStorage`.
    pub(super) kind: String,
    pub(super) key: String,
}

/// A tensor as the pickle describes it; whether the numbers are there is another matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) storage: Storage,
    /// In numbers, not bytes, as the strides.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The tensors of the network in a checkpoint, under their names.
pub(super) fn tensors(pickle: &Pickle) -> Result<BTreeMap<String, Description>> {
    for key in STATE_KEYS {
        if let Some(inner) = pickle.get(&pickle.root, key) {
            let found = flatten(pickle, inner)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    flatten(pickle, &pickle.root)
}

/// The texts in the dictionary at the top, by their keys; long ones are no names.
pub(super) fn texts(pickle: &Pickle) -> HashMap<String, String> {
    let entries = pickle.dict(&pickle.root).unwrap_or_default();
    let text = |(key, value): &(Value, Value)| {
        let (key, text) = (key.text()?, value.text()?);
        (key.len().max(text.len()) <= MAX_NAME_BYTES).then(|| (key.to_owned(), text.to_owned()))
    };
    entries.iter().filter_map(text).collect()
}

/// Every storage that the pickle mentions, by its key: the old format needs the size of all of them.
pub(super) fn storages(pickle: &Pickle) -> HashMap<String, Storage> {
    pickle
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Persistent(description) => storage(pickle, description),
            _ => None,
        })
        .map(|(storage, _)| (storage.key.clone(), storage))
        .collect()
}

/// All tensors below a container; names of nested ones are joined with dots.
fn flatten(pickle: &Pickle, top: &Value) -> Result<BTreeMap<String, Description>> {
    let mut found = BTreeMap::new();
    // A container that is reached a second time (shared, or around a circle) is not gone through again.
    let mut seen = HashSet::new();
    let mut waiting = vec![(String::new(), top, 0)];
    while let Some((name, value, depth)) = waiting.pop() {
        if let Some(tensor) = tensor(pickle, value).map_err(|error| error.context(format_args!("tensor {name}")))? {
            found.insert(name, tensor);
            continue;
        }
        let Value::Node(index) = value else { continue };
        if depth > MAX_DEPTH || name.len() > MAX_NAME_BYTES || !seen.insert(*index) {
            continue;
        }
        let below = |key: &str| {
            if name.is_empty() {
                key.to_owned()
            } else {
                format!("{name}.{key}")
            }
        };
        match pickle.node(value) {
            Some(Node::Dict(entries)) => waiting.extend(entries.iter().filter_map(|(key, value)| {
                // Whatever is no container cannot be a tensor, and needs no name.
                matches!(value, Value::Node(_)).then_some(())?;
                let key = match key {
                    Value::Text(text) if text.len() <= MAX_NAME_BYTES => below(text),
                    Value::Int(number) => below(&number.to_string()),
                    _ => return None,
                };
                Some((key, value, depth + 1))
            })),
            Some(Node::Sequence(items)) => waiting.extend(
                items
                    .iter()
                    .enumerate()
                    .filter(|(_, item)| matches!(item, Value::Node(_)))
                    .map(|(index, item)| (below(&index.to_string()), item, depth + 1)),
            ),
            _ => {}
        }
    }
    Ok(found)
}

/// The tensor a value stands for, also one wrapped as a parameter.
fn tensor(pickle: &Pickle, value: &Value) -> Result<Option<Description>> {
    let Some(mut call) = call(pickle, value) else {
        return Ok(None);
    };
    for _ in 0..MAX_DEPTH {
        let inner = match call {
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", [data, ..]) => {
                self::call(pickle, data)
            }
            ("torch._tensor._rebuild_from_type_v2", [Value::Global(function), _class, arguments, ..]) => {
                pickle.sequence(arguments).map(|arguments| (&**function, arguments))
            }
            (
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor_v3",
                [storage, offset, shape, strides, ..],
            ) => return described(pickle, [storage, offset, shape, strides]).map(Some),
            _ => None,
        };
        match inner {
            Some(inner) => call = inner,
            None => break,
        }
    }
    Ok(None)
}

/// Function and arguments of a call.
fn call<'a>(pickle: &'a Pickle, value: &Value) -> Option<(&'a str, &'a [Value])> {
    match pickle.node(value)? {
        Node::Call { function, arguments } => Some((function, pickle.sequence(arguments)?)),
        _ => None,
    }
}

/// `parts`: storage, offset, shape and strides as PyTorch writes them.
fn described(pickle: &Pickle, parts: [&Value; 4]) -> Result<Description> {
    let [storage_value, offset, shape, strides] = parts;
    let described = match pickle.node(storage_value) {
        Some(Node::Persistent(description)) => storage(pickle, description),
        _ => None,
    };
    let (storage, base) = described.ok_or_else(|| Error::failed("its storage is not described"))?;
    let sizes = |value: &Value| -> Option<Vec<usize>> {
        let items = pickle.sequence(value).filter(|items| items.len() <= MAX_DIMENSIONS)?;
        items.iter().map(Value::size).collect()
    };
    let offset = offset
        .size()
        .and_then(|offset| offset.checked_add(base))
        .ok_or_else(|| Error::failed("its offset is not a number from 0 on"))?;
    match (sizes(shape), sizes(strides)) {
        (Some(shape), Some(strides)) if shape.len() == strides.len() => Ok(Description {
            storage,
            offset,
            shape,
            strides,
        }),
        _ => Err(Error::failed(format!(
            "its shape and strides are not up to {MAX_DIMENSIONS} numbers each, from 0 on"
        ))),
    }
}

/// A storage and the number of it that an offset of 0 means, from ('storage', type, key, device, length) or, in the
/// old format, the same with (key, offset, length) of a part of it.
fn storage(pickle: &Pickle, description: &Value) -> Option<(Storage, usize)> {
    let [
        kind,
        Value::Global(class),
        Value::Text(key),
        _device,
        _length,
        view @ ..,
    ] = pickle.sequence(description)?
    else {
        return None;
    };
    if kind.text() != Some("storage") {
        return None;
    }
    let name = class.rsplit('.').next().unwrap_or(class);
    let base = match view.first().and_then(|view| pickle.sequence(view)) {
        Some([_, offset, ..]) => offset.size()?,
        _ => 0,
    };
    let storage = Storage {
        kind: name.to_owned(),
        key: key.to_string(),
    };
    Some((storage, base))
}
