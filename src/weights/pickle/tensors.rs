//! Which tensors a checkpoint's pickle describes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    iter::Enumerate,
    slice::Iter,
};

use super::machine::{MAX_NAME_BYTES, Node, Pickle, Value};
use crate::{
    error::{Error, Result},
    weights::{
        header::{MOST_NAME_BYTES, MOST_TENSORS},
        numbers::MAX_DIMENSIONS,
    },
};

/// Deeper containers than this are not looked into: a state dict is one or two deep.
const MAX_DEPTH: usize = 16;
/// The names of all tensors together.
const MOST_NAMES_BYTES: usize = 16 << 20;
/// The longest key of a storage, a number, and of the name of its type.
const MOST_KEY_BYTES: usize = 256;

/// Where a checkpoint keeps the tensors of its network, the first that holds any; else they lie at the top. Of a training checkpoint
/// that has both (DiT, SiT, REPA) the averaged weights are the model.
const STATE_KEYS: [&str; 3] = ["state_dict", "ema", "model"];

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
    /// PyTorch's name of its numbers' type: that of the storage, or `float8_e4m3fn` where the storage has none.
    pub(super) kind: String,
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
    let mut found = HashMap::new();
    for node in &pickle.nodes {
        if let Node::Persistent(description) = node
            && let Some((storage, _)) = storage(pickle, description)
        {
            found.insert(storage.key.clone(), storage);
        }
    }
    found
}

/// A container that is gone through.
struct Open<'a> {
    entries: Entries<'a>,
    /// How much of the name is its own.
    name_bytes: usize,
}

enum Entries<'a> {
    Dict(Iter<'a, (Value, Value)>),
    Sequence(Enumerate<Iter<'a, Value>>),
}

impl<'a> Entries<'a> {
    fn of(node: Option<&'a Node>) -> Option<Self> {
        match node? {
            Node::Dict(entries) => Some(Self::Dict(entries.iter())),
            Node::Sequence(items) => Some(Self::Sequence(items.iter().enumerate())),
            _ => None,
        }
    }

    /// The next entry with its key, if that can be part of a name.
    fn next(&mut self) -> Option<(Option<String>, &'a Value)> {
        match self {
            Self::Dict(entries) => entries.next().map(|(key, value)| {
                let key = match key {
                    // Objects that are no containers cannot be tensors, and need no name.
                    _ if !matches!(value, Value::Node(_)) => None,
                    Value::Text(text) if text.len() <= MOST_NAME_BYTES => Some(text.to_string()),
                    Value::Int(number) => Some(number.to_string()),
                    _ => None,
                };
                (key, value)
            }),
            Self::Sequence(items) => items.next().map(|(index, item)| {
                let key = matches!(item, Value::Node(_)).then(|| index.to_string());
                (key, item)
            }),
        }
    }
}

/// All tensors below a container; names of nested ones are joined with dots.
fn flatten(pickle: &Pickle, top: &Value) -> Result<BTreeMap<String, Description>> {
    let mut found = BTreeMap::new();
    let mut names_bytes = 0;
    // A container that is reached a second time (shared, or around a circle) is not gone through again.
    let mut seen = HashSet::new();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut name = String::new();
    let mut next = Some(top);
    loop {
        if let Some(value) = next.take() {
            let tensor = tensor(pickle, value).map_err(|error| error.context(format_args!("tensor {name}")))?;
            if let Some(tensor) = tensor {
                names_bytes += name.len();
                if found.len() == MOST_TENSORS || names_bytes > MOST_NAMES_BYTES {
                    return Err(Error::failed(format!(
                        "it holds more than {MOST_TENSORS} tensors, or names of more than {MOST_NAMES_BYTES} bytes"
                    )));
                }
                found.insert(name.clone(), tensor);
            } else if let Value::Node(index) = value
                && open.len() <= MAX_DEPTH
                && name.len() <= MOST_NAME_BYTES
                && seen.insert(*index)
                && let Some(entries) = Entries::of(pickle.node(value))
            {
                let name_bytes = name.len();
                open.push(Open { entries, name_bytes });
            }
        }
        let Some(container) = open.last_mut() else { break };
        name.truncate(container.name_bytes);
        match container.entries.next() {
            None => drop(open.pop()),
            Some((Some(key), value)) => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&key);
                next = Some(value);
            }
            Some((None, _)) => {}
        }
    }
    Ok(found)
}

/// How the names of PyTorch's functions begin that make tensors.
const REBUILDERS: [&str; 2] = ["torch._utils._rebuild", "torch._tensor._rebuild"];

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
                // Gradient, hooks, then the type of numbers, which an untyped storage lacks.
                "torch._utils._rebuild_tensor_v3",
                [
                    storage,
                    offset,
                    shape,
                    strides,
                    _gradient,
                    _hooks,
                    Value::Global(dtype),
                    ..,
                ],
            ) => {
                let described = described(pickle, [storage, offset, shape, strides])?;
                let kind = dtype.strip_prefix("torch.").filter(|kind| kind.len() <= MOST_KEY_BYTES);
                let kind = kind.unwrap_or("that has no name").to_owned();
                return Ok(Some(Description { kind, ..described }));
            }
            (
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor_v3",
                [storage, offset, shape, strides, ..],
            ) => return described(pickle, [storage, offset, shape, strides]).map(Some),
            // Sparse, quantised and other tensors are refused: left out, their absence would go unnoticed.
            (function, _) if REBUILDERS.iter().any(|start| function.starts_with(start)) => {
                return Err(Error::failed(format!(
                    "it is made by {function}, which is not read: save it as an ordinary tensor"
                )));
            }
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
            kind: storage.kind.clone(),
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
    if key.len().max(name.len()) > MOST_KEY_BYTES {
        return None;
    }
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
