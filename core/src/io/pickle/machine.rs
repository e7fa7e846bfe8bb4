//! The stack machine that a pickle is a program for.

use super::{Dialect, Id, Object, Value};
use crate::io::wide;
use crate::text::format;
use std::collections::HashMap;
use std::ops::Range;

/// Values in one pickle, and places where they are remembered: CIFAR has 150,000, and a state dict with its optimiser
/// fewer.
pub(super) const MAX_VALUES: usize = 4 << 20;
/// Marks open at once, which is how deep a pickle is nested; Python's own pickler stops at 1,000.
const MAX_DEPTH: usize = 1000;

/// Values are never copied: the stack and the memo hold their places.
pub(super) struct Machine<'a> {
    file: &'a [u8],
    dialect: &'static Dialect,
    pub(super) at: usize,
    pub(super) values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Times that something was put on the stack or remembered.
    kept: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(file: &'a [u8], dialect: &'static Dialect) -> Self {
        let (values, stack, marks, memo) = Default::default();
        Self { file, dialect, at: 0, values, stack, marks, memo, kept: 0 }
    }

    /// One opcode; the root at the last.
    pub(super) fn step(&mut self) -> Result<Option<Id>, String> {
        let code = *self.take(1)?.first().ok_or("it is cut off")?;
        match code {
            0x80 => self.skip(1)?,               // PROTO
            0x95 => self.skip(8)?,               // FRAME
            b'.' => return self.pop().map(Some), // STOP
            b'(' => self.mark()?,                // MARK
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Bool(code == 0x88))?,
            b'G' => self.float()?,
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
            b'Q' if self.dialect.persistent => {
                let of = self.pop()?;
                self.push(Value::Persistent(of))?;
            }
            b'b' => self.build()?,
            other => return Err(format!("opcode {other:#04x} is none that {} need", self.dialect.only)),
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

    fn line(&mut self) -> Result<Range<usize>, String> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let length = rest.iter().take(1000).position(|b| *b == b'\n').ok_or("a line does not end")?;
        let start = self.at;
        self.at += length + 1;
        Ok(start..start + length)
    }

    fn text(&self, range: Range<usize>) -> Result<&'a str, String> {
        let bytes = self.file.get(range).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| "a name is no text".into())
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        self.values.push(value);
        self.push_id(self.values.len() - 1)
    }

    fn push_id(&mut self, id: Id) -> Result<(), String> {
        self.count()?;
        self.stack.push(id);
        Ok(())
    }

    fn count(&mut self) -> Result<(), String> {
        self.kept += 1;
        if self.kept > MAX_VALUES {
            return Err(format!("it has more than {MAX_VALUES} values"));
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|m| *m >= self.stack.len()) {
            return Err("a value is missing".into());
        }
        self.stack.pop().ok_or_else(|| "a value is missing".into())
    }

    fn mark(&mut self) -> Result<(), String> {
        self.marks.push(self.stack.len());
        if self.marks.len() > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} deep"));
        }
        Ok(())
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

    /// The one number that is big-endian.
    fn float(&mut self) -> Result<(), String> {
        let bits = self.take(8)?.iter().fold(0, |n, b| n << 8 | u64::from(*b));
        self.push(Value::Float(f64::from_bits(bits)))
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
            (Some(Value::Dict(dict) | Value::Object(Object { pairs: dict, .. })), b's' | b'u') => {
                dict.extend(pairs(&items)?);
            }
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
            self.count()?;
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
        let (module, name) = (self.text(module)?, self.text(name)?);
        match self.dialect.names.iter().position(|known| *known == (module, name)) {
            Some(known) => self.push(Value::Name(known)),
            None => {
                let name = format::shorten(&format!("{module}.{name}"), 100);
                let only = self.dialect.only;
                Err(format!("it asks for `{name}`; only {only} are read, and nothing is run"))
            }
        }
    }

    /// What a known name is called with is kept beside it; nothing is called.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Some(Value::Name(name)), Some(Value::Tuple(_))) =
            (self.values.get(function), self.values.get(arguments))
        else {
            return Err("something is called that is no known name".into());
        };
        self.push(Value::Object(Object { name: *name, arguments, pairs: Vec::new(), state: None }))
    }

    /// An object's state is kept beside it too.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let target = self.stack.last().copied().ok_or("a value is missing")?;
        match self.values.get_mut(target) {
            Some(Value::Object(object)) if object.state.is_none() => object.state = Some(state),
            _ => return Err("a state is given to what is no object without one".into()),
        }
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let pairs =
        items.chunks(2).map(|p| if let [k, v] = p { Ok((*k, *v)) } else { Err("a key has no value".into()) });
    pairs.collect()
}
