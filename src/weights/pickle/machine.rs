//! Python's pickle machine without the part that runs code: containers are built, calls are only written down.

use std::{
    collections::HashMap,
    io::{Read, Take},
    rc::Rc,
};

use crate::error::{Error, Result};

/// A pickle longer than this is not that of a checkpoint, whose numbers lie outside it.
const MAX_PICKLE_BYTES: u64 = 64 << 20;

/// What stands for an object without being a container of others, or where in [`Pickle`] a container is.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Bool(bool),
    Int(i128),
    Text(Rc<str>),
    /// A class or function, `module.name`.
    Global(Rc<str>),
    Node(usize),
    /// None, floats, bytes: nothing that a tensor depends on.
    Other,
}

/// An object that holds others. Nodes refer to each other by number, so that shared and cyclic ones cost nothing and
/// deep ones need no recursion.
#[derive(Debug)]
pub(super) enum Node {
    /// Tuple, list or set.
    Sequence(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// What a call of `function` would have yielded.
    Call {
        function: Rc<str>,
        /// The sequence of its arguments.
        arguments: Value,
    },
    /// An object that is kept outside the pickle, by its description.
    Persistent(Value),
}

/// One unpickled object and everything it refers to.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Value,
}

impl Pickle {
    /// Reads one pickle, up to its end and not a byte further.
    pub(super) fn read(reader: &mut dyn Read) -> Result<Self> {
        let mut machine = Machine {
            bytes: reader.take(MAX_PICKLE_BYTES),
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        while !machine.step()? {}
        let root = machine.pop()?;
        Ok(Self {
            nodes: machine.nodes,
            root,
        })
    }

    /// The container a value stands for.
    pub(super) fn node(&self, value: &Value) -> Option<&Node> {
        match value {
            Value::Node(index) => self.nodes.get(*index),
            _ => None,
        }
    }

    /// The items of a tuple or list.
    pub(super) fn sequence(&self, value: &Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a dictionary.
    pub(super) fn dict(&self, value: &Value) -> Option<&[(Value, Value)]> {
        match self.node(value)? {
            Node::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entry of a dictionary.
    pub(super) fn get(&self, dict: &Value, key: &str) -> Option<&Value> {
        let entries = self.dict(dict)?;
        // Of several entries of one key the last one counts, as in Python.
        entries
            .iter()
            .rev()
            .find(|(k, _)| k.text() == Some(key))
            .map(|(_, value)| value)
    }
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that can be a size, an offset or an index.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Self::Int(number) => (*number).try_into().ok(),
            _ => None,
        }
    }
}

/// Classes whose instances are dictionaries.
const DICT_CLASSES: [&str; 2] = ["collections.OrderedDict", "collections.defaultdict"];

struct Machine<'a> {
    bytes: Take<&'a mut dyn Read>,
    nodes: Vec<Node>,
    stack: Vec<Value>,
    /// Heights of the stack where a MARK lies.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl Machine<'_> {
    /// Carries out one opcode; true at the end of the pickle.
    fn step(&mut self) -> Result<bool> {
        let opcode = self.byte()?;
        match opcode {
            b'.' => return Ok(true),
            // Protocol number; frame length.
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top.clone(), top]);
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(opcode)?,
            b')' | b']' | 0x8f | b'}' | b't' | b'l' | 0x91 | b'd' | 0x85..=0x87 => self.container(opcode)?,
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(opcode)?,
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.object(opcode)?,
            _ => {
                let value = self.scalar(opcode)?;
                self.stack.push(value);
            }
        }
        Ok(false)
    }

    fn memo(&mut self, opcode: u8) -> Result<()> {
        let index = match opcode {
            b'q' | b'h' => u32::from(self.byte()?),
            b'r' | b'j' => u32::from_le_bytes(self.array()?),
            _ => u32::try_from(self.memo.len()).map_err(|_| malformed("its memo is too large"))?,
        };
        if matches!(opcode, b'h' | b'j') {
            let value = self.memo.get(&index).cloned();
            self.stack
                .push(value.ok_or_else(|| malformed("it refers to what it does not hold"))?);
        } else {
            let top = self.pop()?;
            self.memo.insert(index, top.clone());
            self.stack.push(top);
        }
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<()> {
        let node = match opcode {
            b')' | b']' | 0x8f => Node::Sequence(Vec::new()),
            b'}' => Node::Dict(Vec::new()),
            b'd' => Node::Dict(pairs(self.pop_mark()?)?),
            b't' | b'l' | 0x91 => Node::Sequence(self.pop_mark()?),
            // TUPLE1 to TUPLE3.
            _ => {
                let mut items = (0..=opcode - 0x85).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                Node::Sequence(items)
            }
        };
        self.push_node(node);
        Ok(())
    }

    /// Appends to the container below. Objects that are neither list nor dictionary swallow what they are given.
    fn fill(&mut self, opcode: u8) -> Result<()> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let Some(Value::Node(target)) = self.stack.last() else {
            return Ok(());
        };
        match (self.nodes.get_mut(*target), opcode) {
            (Some(Node::Sequence(list)), b'a' | b'e' | 0x90) => list.extend(items),
            (Some(Node::Dict(entries)), b's' | b'u') => entries.extend(pairs(items)?),
            _ => {}
        }
        Ok(())
    }

    /// Names, calls and states of objects.
    fn object(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Global(format!("{module}.{name}").into()));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(malformed("a class has no name"));
                };
                self.stack.push(Value::Global(format!("{module}.{name}").into()));
            }
            // The state of an object: a module's metadata, the inside of an object that is skipped.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let description = self.pop()?;
                self.push_node(Node::Persistent(description));
            }
            // A call, or a new object of a class; with 0x92 also arguments by keyword.
            _ => {
                if opcode == 0x92 {
                    self.pop()?;
                }
                let (arguments, function) = (self.pop()?, self.pop()?);
                match function {
                    Value::Global(class) if DICT_CLASSES.contains(&&*class) => self.push_node(Node::Dict(Vec::new())),
                    Value::Global(function) => self.push_node(Node::Call { function, arguments }),
                    _ => self.stack.push(Value::Other),
                }
            }
        }
        Ok(())
    }

    /// Numbers, texts, bytes.
    fn scalar(&mut self, opcode: u8) -> Result<Value> {
        Ok(match opcode {
            b'N' => Value::Other,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(self.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            0x8a => {
                let length = self.byte()?.into();
                long(&self.read(length)?)
            }
            0x8b => {
                let length = u32::from_le_bytes(self.array()?).into();
                long(&self.read(length)?)
            }
            b'G' => {
                self.skip(8)?;
                Value::Other
            }
            b'X' => self.text(4)?,
            0x8c => self.text(1)?,
            0x8d => self.text(8)?,
            // Python 2's texts.
            b'T' => self.text(4)?,
            b'U' => self.text(1)?,
            b'C' => self.skip_bytes(1)?,
            b'B' => self.skip_bytes(4)?,
            0x8e | 0x96 => self.skip_bytes(8)?,
            other => {
                return Err(malformed(&format!(
                    "opcode {other:#04x} is not one that PyTorch writes"
                )));
            }
        })
    }

    fn push_node(&mut self, node: Node) {
        self.stack.push(Value::Node(self.nodes.len()));
        self.nodes.push(node);
    }

    /// Takes the top off the stack, but nothing that belongs to an open MARK.
    fn pop(&mut self) -> Result<Value> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(malformed("its stack runs empty"));
        }
        self.stack.pop().ok_or_else(|| malformed("its stack runs empty"))
    }

    /// Takes everything above the last MARK.
    fn pop_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(|| malformed("a mark is missing"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        self.bytes.read_exact(&mut array).map_err(|_| cut_off())?;
        Ok(array)
    }

    /// Reads `length` bytes. Memory grows with what is there, not with what a length claims.
    fn read(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let found = (&mut self.bytes).take(length).read_to_end(&mut bytes);
        match found {
            Ok(found) if found as u64 == length => Ok(bytes),
            _ => Err(cut_off()),
        }
    }

    fn skip(&mut self, length: u64) -> Result<()> {
        self.read(length).map(drop)
    }

    /// A length of `width` bytes.
    fn length(&mut self, width: u64) -> Result<u64> {
        let bytes = self.read(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |length, byte| length << 8 | u64::from(*byte)))
    }

    fn text(&mut self, width: u64) -> Result<Value> {
        let length = self.length(width)?;
        let bytes = self.read(length)?;
        Ok(String::from_utf8(bytes).map_or(Value::Other, |text| Value::Text(text.into())))
    }

    fn skip_bytes(&mut self, width: u64) -> Result<Value> {
        let length = self.length(width)?;
        self.skip(length)?;
        Ok(Value::Other)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).map_err(|_| malformed("a class has no readable name"))
    }
}

/// A signed little-endian number; one beyond 128 bits is none that a tensor depends on.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > size_of::<i128>() {
        return Value::Other;
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; size_of::<i128>()];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i128::from_le_bytes(wide))
}

/// Alternating keys and values.
fn pairs(items: Vec<Value>) -> Result<Vec<(Value, Value)>> {
    if !items.len().is_multiple_of(2) {
        return Err(malformed("a key has no value"));
    }
    let mut items = items.into_iter();
    Ok(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
}

fn malformed(what: &str) -> Error {
    Error::failed(format!("its pickle is damaged or no checkpoint's: {what}"))
}

fn cut_off() -> Error {
    Error::failed(format!(
        "its pickle is cut off, damaged, or longer than {} MiB",
        MAX_PICKLE_BYTES >> 20
    ))
}
