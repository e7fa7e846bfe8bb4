//! Just enough of Python's pickle format (protocols 0 to 5, `pickletools.py`) for numbers, texts, lists, dictionaries
//! and NumPy arrays of bytes. Nothing is executed: opcodes and names outside the lists below are refused, and the few
//! calls that an array is pickled as are understood by name.

use crate::io::wide;
use std::collections::HashMap;

/// Values in one file: CIFAR has 150,000, and what needs more is no such file.
const MAX_VALUES: usize = 4 << 20;

/// A value, by its place in the [`Pickle`].
pub(super) type Id = usize;

/// What pickles of byte arrays are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// Text or bytes: a stretch of the file.
    Bytes(std::ops::Range<usize>),
    /// Bytes that Python 3 wrote as Latin-1 text.
    Owned(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Name),
    Dtype,
    Array(Option<ArrayOf>),
}

/// The names that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Reconstruct,
    NdArray,
    Dtype,
    Encode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ArrayOf {
    shape: Vec<usize>,
    /// Columns stand together.
    fortran: bool,
    data: Id,
}

/// A two-dimensional array of bytes, row by row.
pub(super) struct Rows {
    pub rows: usize,
    pub columns: usize,
    pub bytes: Vec<u8>,
}

/// A file, read.
pub(super) struct Pickle<'a> {
    file: &'a [u8],
    values: Vec<Value>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads the file's first pickle. The error says at which byte what was found.
    pub(super) fn read(file: &'a [u8]) -> Result<Self, String> {
        let mut machine = Machine {
            file,
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            pushes: 0,
            owned: 0,
        };
        let root = loop {
            let at = machine.at;
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => break root,
                Err(what) => return Err(format!("at byte {at}: {what}")),
            }
        };
        Ok(Self { file, values: machine.values, root })
    }

    /// The value of a key of the dictionary that the file is.
    pub(super) fn get(&self, key: &str) -> Result<Id, String> {
        let Some(Value::Dict(pairs)) = self.values.get(self.root) else {
            return Err("is no pickled dictionary".into());
        };
        let found = pairs.iter().rev().find(|(k, _)| self.bytes(*k) == Some(key.as_bytes()));
        found.map(|(_, value)| *value).ok_or_else(|| format!("has no key `{key}`"))
    }

    /// A list of numbers.
    pub(super) fn numbers(&self, list: Id) -> Result<Vec<i64>, String> {
        let Some(Value::List(all)) = self.values.get(list) else { return Err("is no list".into()) };
        let number = |id: &Id| match self.values.get(*id) {
            Some(Value::Int(n)) => Ok(*n),
            _ => Err("holds something that is no number".into()),
        };
        all.iter().map(number).collect()
    }

    /// A list of texts.
    pub(super) fn texts(&self, list: Id) -> Result<Vec<String>, String> {
        let Some(Value::List(all)) = self.values.get(list) else { return Err("is no list".into()) };
        let text = |id: &Id| {
            let bytes = self.bytes(*id).ok_or("holds something that is no text")?;
            String::from_utf8(bytes.to_vec()).map_err(|_| "holds a text that is not UTF-8".to_owned())
        };
        all.iter().map(text).collect()
    }

    /// A NumPy array of bytes with two dimensions.
    pub(super) fn rows(&self, array: Id) -> Result<Rows, String> {
        let Some(Value::Array(Some(array))) = self.values.get(array) else {
            return Err("is no NumPy array of bytes".into());
        };
        let bytes = self.bytes(array.data).unwrap_or_default();
        let [rows, columns] = array.shape[..] else {
            return Err(format!("has {} dimensions, wanted 2", array.shape.len()));
        };
        if rows.checked_mul(columns) != Some(bytes.len()) || bytes.is_empty() {
            return Err(format!("is {rows} x {columns} and has {} bytes", bytes.len()));
        }
        let bytes = if array.fortran {
            let column = |r: usize| bytes.iter().skip(r).step_by(rows);
            (0..rows).flat_map(column).copied().collect()
        } else {
            bytes.to_vec()
        };
        Ok(Rows { rows, columns, bytes })
    }

    fn bytes(&self, id: Id) -> Option<&[u8]> {
        match self.values.get(id)? {
            Value::Bytes(range) => self.file.get(range.clone()),
            Value::Owned(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Pickle's stack machine. Values are never copied: the stack and the memo hold their places.
struct Machine<'a> {
    file: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Times that something was put on the stack.
    pushes: usize,
    /// Bytes of [`Value::Owned`].
    owned: usize,
}

type Step = Result<Option<Id>, String>;

impl<'a> Machine<'a> {
    /// One opcode; the root at the last.
    fn step(&mut self) -> Step {
        let code = *self.take(1)?.first().ok_or("it is cut off")?;
        match code {
            0x80 => self.skip(1)?,                     // PROTO
            0x95 => self.skip(8)?,                     // FRAME
            b'.' => return self.pop().map(Some),       // STOP
            b'(' => self.marks.push(self.stack.len()), // MARK
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Bool(code == 0x88))?,
            b'I' | b'J' | b'K' | b'M' | 0x8a => self.integer(code)?,
            b'U' | b'C' | 0x8c | b'T' | b'B' | b'X' | 0x8e | 0x8d => self.bytes(code)?,
            b']' => self.push(Value::List(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b't' | b'l' | b'd' | 0x85..=0x87 => self.collect(code)?,
            b'a' | b'e' | b's' | b'u' => self.append(code)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.remember(code)?,
            b'c' | 0x93 => self.name(code)?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            other => return Err(format!("opcode {other:#04x} is none that arrays of bytes need")),
        }
        Ok(None)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n).ok_or("it is cut off")?;
        let bytes = self.file.get(self.at..end).ok_or("it is cut off")?;
        self.at = end;
        Ok(bytes)
    }

    fn skip(&mut self, n: usize) -> Result<(), String> {
        self.take(n).map(|_| ())
    }

    /// A little-endian number without sign.
    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn signed(&mut self, bytes: usize) -> Result<i64, String> {
        i64::try_from(self.number(bytes)?).map_err(|_| "a number is too large".into())
    }

    fn line(&mut self) -> Result<std::ops::Range<usize>, String> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let length = rest.iter().take(1000).position(|b| *b == b'\n').ok_or("a line does not end")?;
        let start = self.at;
        self.at += length + 1;
        Ok(start..start + length)
    }

    fn text(&self, range: std::ops::Range<usize>) -> Result<&'a str, String> {
        let bytes = self.file.get(range).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| "a name is no text".into())
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        self.values.push(value);
        self.push_id(self.values.len() - 1)
    }

    fn push_id(&mut self, id: Id) -> Result<(), String> {
        self.pushes += 1;
        if self.pushes > MAX_VALUES {
            return Err(format!("it has more than {MAX_VALUES} values"));
        }
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|m| *m >= self.stack.len()) {
            return Err("a value is missing".into());
        }
        self.stack.pop().ok_or_else(|| "a value is missing".into())
    }

    /// What stands above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        if mark > self.stack.len() {
            Err("a value is missing".into())
        } else {
            Ok(self.stack.split_off(mark))
        }
    }

    fn integer(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b'K' => self.signed(1)?,
            b'M' => self.signed(2)?,
            // Four bytes are signed, the others are not.
            b'J' => {
                let n = self.signed(4)?;
                if n < 1 << 31 { n } else { n - (1 << 32) }
            }
            0x8a => {
                let length = usize::try_from(self.number(1)?).map_err(|_| "a number is too large")?;
                let bytes = self.take(length)?;
                let negative = bytes.last().is_some_and(|b| *b >= 0x80);
                if length > 8 {
                    return Err("a number is too large".into());
                }
                bytes.iter().rev().fold(if negative { -1 } else { 0 }, |n, b| n << 8 | i64::from(*b))
            }
            _ => {
                let range = self.line()?;
                match self.text(range)? {
                    text @ ("00" | "01") => return self.push(Value::Bool(text == "01")),
                    text => text.trim().parse().map_err(|_| "a number is none")?,
                }
            }
        };
        self.push(Value::Int(value))
    }

    fn bytes(&mut self, code: u8) -> Result<(), String> {
        let length = match code {
            b'U' | b'C' | 0x8c => self.number(1)?,
            b'T' | b'B' | b'X' => self.number(4)?,
            _ => self.number(8)?,
        };
        let length = usize::try_from(length).map_err(|_| "it is cut off")?;
        let start = self.at;
        self.take(length)?;
        self.push(Value::Bytes(start..start + length))
    }

    fn collect(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<Id>, String>>()?;
                items.reverse();
                items
            }
            _ => self.marked()?,
        };
        let value = match code {
            b'l' => Value::List(items),
            b'd' => Value::Dict(pairs(&items)?),
            _ => Value::Tuple(items),
        };
        self.push(value)
    }

    fn append(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.marked()?,
        };
        let target = self.stack.last().copied();
        match (target.and_then(|t| self.values.get_mut(t)), code) {
            (Some(Value::List(list)), b'a' | b'e') => list.extend(items),
            (Some(Value::Dict(dict)), b's' | b'u') => dict.extend(pairs(&items)?),
            _ => return Err("something is added to what is no list or dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Result<(), String> {
        let key = match code {
            b'q' | b'h' => self.number(1)?,
            b'r' | b'j' => self.number(4)?,
            0x94 => wide(self.memo.len()),
            _ => {
                let range = self.line()?;
                self.text(range)?.trim().parse().map_err(|_| "a number is none")?
            }
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let id = self.memo.get(&key).copied().ok_or("a value was not remembered")?;
            self.push_id(id)?;
        } else {
            let id = self.stack.last().copied().ok_or("a value is missing")?;
            self.memo.insert(key, id);
        }
        Ok(())
    }

    fn name(&mut self, code: u8) -> Result<(), String> {
        let (module, name) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.values.get(module), self.values.get(name)) {
                (Some(Value::Bytes(m)), Some(Value::Bytes(n))) => (m.clone(), n.clone()),
                _ => return Err("a name is no text".into()),
            }
        };
        let name = match (self.text(module)?, self.text(name)?) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Name::Reconstruct,
            ("numpy", "ndarray") => Name::NdArray,
            ("numpy", "dtype") => Name::Dtype,
            ("_codecs", "encode") => Name::Encode,
            (module, name) => {
                return Err(format!(
                    "it asks for `{module}.{name}`; only arrays of bytes are read, and nothing is run"
                ));
            }
        };
        self.push(Value::Name(name))
    }

    /// `numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b"b")`, `numpy.dtype("u1", ..)`, and Python 3's way to
    /// write bytes under protocol 2, `_codecs.encode(text, "latin1")`.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Some(Value::Name(function)), Some(Value::Tuple(arguments))) =
            (self.values.get(function), self.values.get(arguments))
        else {
            return Err("something is called that is no known name".into());
        };
        let first = arguments.first().and_then(|id| self.values.get(*id));
        let value = match (function, first) {
            (Name::Reconstruct, Some(Value::Name(Name::NdArray))) => Value::Array(None),
            (Name::Dtype, Some(Value::Bytes(range))) => match self.text(range.clone())? {
                "u1" | "uint8" => Value::Dtype,
                other => return Err(format!("an array is of type {other:?}, wanted u1 (bytes)")),
            },
            (Name::Encode, Some(Value::Bytes(range))) => {
                let text = self.text(range.clone())?;
                self.owned += text.len();
                if self.owned > 2 * self.file.len() {
                    return Err("its texts are more than it holds".into());
                }
                let latin1 = text.chars().map(|c| u8::try_from(u32::from(c)));
                Value::Owned(latin1.collect::<Result<_, _>>().map_err(|_| "a text is not Latin-1")?)
            }
            _ => return Err("a known name is called with something unknown".into()),
        };
        self.push(value)
    }

    /// An array's state: `(1, shape, dtype, is_fortran, bytes)`; a type's is of no interest.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let target = self.stack.last().copied().ok_or("a value is missing")?;
        match self.values.get(target) {
            Some(Value::Dtype) => return Ok(()),
            Some(Value::Array(None)) => {}
            _ => return Err("a state is given to what is no array".into()),
        }
        let array = self.array(state).ok_or("an array's state is not as NumPy writes it")?;
        if let Some(value) = self.values.get_mut(target) {
            *value = Value::Array(Some(array));
        }
        Ok(())
    }

    fn array(&self, state: Id) -> Option<ArrayOf> {
        let Some(Value::Tuple(state)) = self.values.get(state) else { return None };
        let &[_, shape, dtype, fortran, data] = state.as_slice() else { return None };
        let Some(Value::Tuple(sides)) = self.values.get(shape) else { return None };
        let side = |id: &Id| match self.values.get(*id) {
            Some(Value::Int(n)) => usize::try_from(*n).ok(),
            _ => None,
        };
        let shape = sides.iter().map(side).collect::<Option<Vec<usize>>>()?;
        let known = matches!(self.values.get(dtype), Some(Value::Dtype))
            && matches!(self.values.get(data), Some(Value::Bytes(_) | Value::Owned(_)));
        let fortran = match self.values.get(fortran) {
            Some(Value::Bool(yes)) => *yes,
            Some(Value::Int(n)) => *n != 0,
            _ => return None,
        };
        known.then_some(ArrayOf { shape, fortran, data })
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let pairs =
        items.chunks(2).map(|p| if let [k, v] = p { Ok((*k, *v)) } else { Err("a key has no value".into()) });
    pairs.collect()
}

#[cfg(test)]
pub(super) mod tests;
