//! Just enough of Python's pickle format (protocols 0 to 5, `pickletools.py`) for numbers, texts, lists, dictionaries
//! and a few named objects. Nothing is executed: opcodes and names outside a [`Dialect`]'s list are refused, and what
//! a name is called with is kept as it stands, for the reader to understand.

mod machine;

use machine::Machine;
use std::ops::Range;

/// What a kind of pickles may hold.
pub(crate) struct Dialect {
    /// Modules and names that may be asked for.
    pub names: &'static [(&'static str, &'static str)],
    /// Whether values may stand elsewhere in the file (`BINPERSID`).
    pub persistent: bool,
    /// What is read, for messages: `only ONLY are read`.
    pub only: &'static str,
}

/// A value, by its place in the [`Pickle`].
pub(crate) type Id = usize;

/// What pickles are made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Text or bytes: a stretch of the file.
    Bytes(Range<usize>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// By its place in the dialect's list.
    Name(usize),
    Object(Object),
    /// What stands elsewhere, as the file tells of it.
    Persistent(Id),
}

/// What a name was called with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// By its place in the dialect's list.
    name: usize,
    /// A tuple.
    arguments: Id,
    /// What was put into it as into a dictionary.
    pairs: Vec<(Id, Id)>,
    state: Option<Id>,
}

/// A named object, as a reader looks at it.
pub(crate) struct ObjectOf<'p> {
    pub name: (&'static str, &'static str),
    pub arguments: &'p [Id],
    pub pairs: &'p [(Id, Id)],
    pub state: Option<Id>,
}

/// One pickle of a file, read.
pub(crate) struct Pickle<'a> {
    file: &'a [u8],
    dialect: &'static Dialect,
    values: Vec<Value>,
    /// The whole.
    pub root: Id,
    /// Bytes of the file that it took.
    pub end: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the file's first pickle. The error says at which byte what was found.
    pub fn read(file: &'a [u8], dialect: &'static Dialect) -> Result<Self, String> {
        let mut machine = Machine::new(file, dialect);
        loop {
            let at = machine.at;
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => {
                    return Ok(Self { file, dialect, root, end: machine.at, values: machine.values });
                }
                Err(what) => return Err(format!("at byte {at}: {what}")),
            }
        }
    }

    pub fn value(&self, id: Id) -> Option<&Value> {
        self.values.get(id)
    }

    /// Text or bytes.
    pub fn bytes(&self, id: Id) -> Option<&'a [u8]> {
        if let Value::Bytes(range) = self.value(id)? { self.file.get(range.clone()) } else { None }
    }

    pub fn text(&self, id: Id) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(id)?).ok()
    }

    /// A number that is not negative.
    pub fn size(&self, id: Id) -> Option<usize> {
        if let Value::Int(n) = self.value(id)? { usize::try_from(*n).ok() } else { None }
    }

    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        if let Value::Tuple(items) = self.value(id)? { Some(items) } else { None }
    }

    pub fn name(&self, id: Id) -> Option<(&'static str, &'static str)> {
        if let Value::Name(name) = self.value(id)? { self.dialect.names.get(*name).copied() } else { None }
    }

    pub fn object(&self, id: Id) -> Option<ObjectOf<'_>> {
        let Value::Object(object) = self.value(id)? else { return None };
        Some(ObjectOf {
            name: *self.dialect.names.get(object.name)?,
            arguments: self.tuple(object.arguments)?,
            pairs: &object.pairs,
            state: object.state,
        })
    }

    /// The tuples by which values that stand elsewhere are told, each time that they are.
    pub fn persistent(&self) -> impl Iterator<Item = Id> {
        self.values.iter().filter_map(|v| if let Value::Persistent(of) = v { Some(*of) } else { None })
    }

    /// The value of a key of the dictionary that the file is.
    pub fn get(&self, key: &str) -> Result<Id, String> {
        let Some(Value::Dict(pairs)) = self.value(self.root) else {
            return Err("is no pickled dictionary".into());
        };
        let found = pairs.iter().rev().find(|(k, _)| self.bytes(*k) == Some(key.as_bytes()));
        found.map(|(_, value)| *value).ok_or_else(|| format!("has no key `{key}`"))
    }

    /// A list of numbers.
    pub fn numbers(&self, list: Id) -> Result<Vec<i64>, String> {
        let number = |id: &Id| match self.value(*id) {
            Some(Value::Int(n)) => Ok(*n),
            _ => Err("holds something that is no number".into()),
        };
        self.list(list)?.iter().map(number).collect()
    }

    /// A list of texts.
    pub fn texts(&self, list: Id) -> Result<Vec<String>, String> {
        let text = |id: &Id| {
            let bytes = self.bytes(*id).ok_or("holds something that is no text")?;
            String::from_utf8(bytes.to_vec()).map_err(|_| "holds a text that is not UTF-8".to_owned())
        };
        self.list(list)?.iter().map(text).collect()
    }

    fn list(&self, list: Id) -> Result<&[Id], String> {
        if let Some(Value::List(all)) = self.value(list) { Ok(all) } else { Err("is no list".into()) }
    }
}

#[cfg(test)]
mod tests;
