//! Python's pickle machine without the part that runs code: containers are built, calls are only written down.

use std::{
    collections::HashMap,
    io::{Read, Take},
    rc::Rc,
};

use crate::error::{Error, Result};

/// A pickle longer than this is not that of a checkpoint, whose numbers lie outside it: those of the largest have 1 MiB.
pub(super) const MAX_PICKLE_BYTES: u64 = 16 << 20;
/// More opcodes than a checkpoint of as many tensors as are read has.
const MAX_OPCODES: usize = 4_000_000;
/// Containers, calls and what they hold: a tensor has some thirty.
const MAX_HELD: usize = 1_000_000;
/// Values that wait to be put into containers. PyTorch writes a thousand before it fills them.
const MAX_STACK: usize = 1 << 18;
/// Values that are remembered: about ten for each tensor.
const MAX_MEMO: usize = 1 << 19;
/// The longest name of a module, or in it.
pub(super) const MAX_NAME_BYTES: usize = 1024;
/// All names of classes and functions together; each is written once.
const MAX_NAMES_BYTES: usize = 4 << 20;
/// First number of a checkpoint in the layout before PyTorch 1.6.
const OLD_MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// An object that is no container of others, or the index of a container in [`Pickle`].
#[derive(Debug, Clone)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    /// The number that a checkpoint in the layout before PyTorch 1.6 begins with.
    Magic,
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
    /// Result of a call of `function`, which is not made.
    Call {
        function: Rc<str>,
        /// The sequence of its arguments.
        arguments: Value,
    },
    /// An object stored outside the pickle, by its description.
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
            held: 0,
            names_bytes: 0,
        };
        let mut opcodes = 0;
        while !machine.step()? {
            opcodes += 1;
            within("opcodes", opcodes, MAX_OPCODES)?;
            // Marks lie on the stack too.
            within(
                "values on its stack",
                machine.stack.len() + machine.marks.len(),
                MAX_STACK,
            )?;
        }
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
    /// Containers and calls so far, and what was put into them.
    held: usize,
    /// Bytes of the names of classes and functions so far.
    names_bytes: usize,
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
            within("remembered values", self.memo.len(), MAX_MEMO)?;
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
        self.push_node(node)
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
        self.hold(items.len())?;
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
                self.push_global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(malformed("a class has no name"));
                };
                self.push_global(&module, &name)?;
            }
            // The state of an object: a module's metadata, the inside of an object that is skipped.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let description = self.pop()?;
                self.push_node(Node::Persistent(description))?;
            }
            // A call, or a new object of a class; with 0x92 also arguments by keyword.
            _ => {
                if opcode == 0x92 {
                    self.pop()?;
                }
                let (arguments, function) = (self.pop()?, self.pop()?);
                match function {
                    Value::Global(class) if DICT_CLASSES.contains(&&*class) => {
                        self.push_node(Node::Dict(Vec::new()))?
                    }
                    Value::Global(function) => self.push_node(Node::Call { function, arguments })?,
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

    fn push_node(&mut self, node: Node) -> Result<()> {
        self.hold(match &node {
            Node::Sequence(items) => 1 + items.len(),
            Node::Dict(entries) => 1 + 2 * entries.len(),
            Node::Call { .. } | Node::Persistent(_) => 1,
        })?;
        self.stack.push(Value::Node(self.nodes.len()));
        self.nodes.push(node);
        Ok(())
    }

    /// Counts what is held, before it is.
    fn hold(&mut self, more: usize) -> Result<()> {
        self.held += more;
        within("objects", self.held, MAX_HELD)
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<()> {
        within("bytes of a name", module.len().max(name.len()), MAX_NAME_BYTES)?;
        self.names_bytes += module.len() + name.len();
        within("bytes of names", self.names_bytes, MAX_NAMES_BYTES)?;
        self.stack.push(Value::Global(format!("{module}.{name}").into()));
        Ok(())
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
            within("bytes of a name", line.len(), MAX_NAME_BYTES)?;
        }
        String::from_utf8(line).map_err(|_| malformed("a class has no readable name"))
    }
}

/// A signed little-endian number; one beyond 64 bits is none that a tensor depends on.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > size_of::<i128>() {
        return Value::Other;
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; size_of::<i128>()];
    wide[..bytes.len()].copy_from_slice(bytes);
    match i128::from_le_bytes(wide) {
        OLD_MAGIC => Value::Magic,
        number => number.try_into().map_or(Value::Other, Value::Int),
    }
}

/// Whether a count is within its bound.
fn within(what: &str, count: usize, most: usize) -> Result<()> {
    match count <= most {
        true => Ok(()),
        false => Err(malformed(&format!("it has more than {most} {what}"))),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    #[track_caller]
    fn refused(pickle: &[u8], says: &str) {
        let error = Pickle::read(&mut &*pickle).expect_err("refused").to_string();
        assert!(error.contains(says), "{says}: {error}");
    }

    /// Pickles that would take hundreds of times the memory of the file, or longer than its reading, are refused by a count.
    #[test]
    fn every_kind_of_growth_has_a_bound() {
        refused(&b"]".repeat(MAX_STACK + 1), "values on its stack");
        refused(&b"(".repeat(MAX_STACK + 1), "values on its stack");
        refused(&b"]0".repeat(MAX_HELD + 1), "objects");
        let fill = [b"]q\x00(".as_slice(), &b"h\x00".repeat(1000), b"e0"].concat();
        refused(&fill.repeat(MAX_HELD / 1000 + 1), "objects");
        refused(&b"N0".repeat(MAX_OPCODES), "opcodes");
        let remember: Vec<u8> = (0..=MAX_MEMO as u32)
            .flat_map(|index| [b"Nr".as_slice(), &index.to_le_bytes(), b"0"].concat())
            .collect();
        refused(&remember, "remembered values");
        refused(&remember_next(MAX_MEMO + 1), "remembered values");
        let long = "A".repeat(MAX_NAME_BYTES + 1);
        let global = [text(&long), text("a"), b"\x93".to_vec()].concat();
        refused(&global, "bytes of a name");
        refused(format!("c{long}").as_bytes(), "bytes of a name");
        let name = "A".repeat(MAX_NAME_BYTES);
        let again = [
            text(&name),
            b"q\x000".to_vec(),
            b"h\x00h\x00\x930".repeat(MAX_NAMES_BYTES / 2048 + 1),
        ]
        .concat();
        refused(&again, "bytes of names");
    }

    fn remember_next(times: usize) -> Vec<u8> {
        b"N\x940".repeat(times)
    }

    #[test]
    fn numbers_of_any_length_are_read() {
        assert_eq!(long(&[]).size(), Some(0));
        assert_eq!(long(&[0xff, 0]).size(), Some(255));
        assert_eq!(long(&[0xff]).size(), None);
        assert!(matches!(long(&OLD_MAGIC.to_le_bytes()[..10]), Value::Magic));
        assert!(matches!(long(&[1; 16]), Value::Other));
        assert!(matches!(long(&[1; 17]), Value::Other));
    }
}
