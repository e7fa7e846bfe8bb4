//! Protobuf's wire format (protobuf.dev/programming-guides/encoding): the fields of a message in order. Nothing is
//! decoded and nothing allocated, so that a message can be counted before it is read and rewritten without being known.

/// This is what a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, a bool, an enum.
    Varint(u64),
    /// Four bytes or eight.
    Fixed,
    /// A text, a message, packed numbers.
    Bytes(&'a [u8]),
}

/// This is one field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// As in onnx.proto.
    pub number: u64,
    /// Its value.
    pub value: Value<'a>,
    /// Tag, length and value, as they are in the file.
    pub whole: &'a [u8],
}

/// This iterates over the fields of a message; an error is the last item.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Returns the fields of this message.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let start = self.rest;
        let field = self.field(start).ok_or_else(|| "not a valid ONNX file (a field is cut off)".to_owned());
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    /// Groups (wire types 3 and 4), which ONNX does not have, are taken for damage.
    fn field(&mut self, start: &'a [u8]) -> Option<Field<'a>> {
        let tag = varint(&mut self.rest)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(varint(&mut self.rest)?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        let whole = start.get(..start.len() - self.rest.len())?;
        Some(Field { number: tag >> 3, value, whole })
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }
}

/// At most ten bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Returns the tag and length of a field of bytes.
pub fn head(number: u64, len: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12);
    for mut value in [number << 3 | 2, len] {
        while value >= 0x80 {
            bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        bytes.push(value.to_le_bytes()[0]);
    }
    bytes
}

/// Returns the last text under `number`, as decoders take it; it is empty where there is none.
pub fn text(message: &[u8], number: u64) -> String {
    let found = fields(message).flatten().filter(|f| f.number == number).last();
    match found.map(|f| f.value) {
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_and_put_together_again() {
        let bytes = [head(7, 3), b"abc".to_vec(), vec![0x08, 0xac, 0x02], head(300, 0)].concat();
        let found: Vec<Field> = fields(&bytes).collect::<Result<_, _>>().unwrap();
        let values: Vec<(u64, Value)> = found.iter().map(|f| (f.number, f.value)).collect();
        assert_eq!(values, [(7, Value::Bytes(b"abc")), (1, Value::Varint(300)), (300, Value::Bytes(b""))]);
        assert_eq!(found.iter().flat_map(|f| f.whole).copied().collect::<Vec<u8>>(), bytes);
        assert_eq!(text(&bytes, 7), "abc");
    }

    #[test]
    fn damage_ends_the_walk() {
        for bytes in
            [&[0x0a, 5, 1][..], &[0x0b], &[0x09, 0], &[0xff; 11], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]]
        {
            let found: Vec<_> = fields(bytes).collect();
            assert!(found.len() == 1 && found[0].is_err(), "{bytes:?}: {found:?}");
        }
    }
}
