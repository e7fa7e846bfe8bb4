//! Tensors out of storages: torch/_utils.py, `_rebuild_tensor_v2(storage, offset, size, stride, ..)`.

use crate::io::element::Element;
use crate::io::pickle::{Id, Pickle, Value};
use crate::io::tensors::{Data, Tensor};

/// Dimensions of one tensor.
const MAX_DIMENSIONS: usize = 8;

/// What tensors are views of, as the pickle tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Storage<'a> {
    pub key: &'a str,
    element: Element,
    /// Values.
    pub count: usize,
}

impl<'a> Storage<'a> {
    /// Reads `("storage", type, key, location, count)`, in old files with a view that is none.
    pub(super) fn of(pickle: &Pickle<'a>, id: Id) -> Result<Self, String> {
        let odd = "a storage is not told as torch.save does";
        let (told, class, key, count) = match *pickle.tuple(id).ok_or(odd)? {
            [told, class, key, _, count] => (told, class, key, count),
            [told, class, key, _, count, view] if pickle.value(view) == Some(&Value::None) => {
                (told, class, key, count)
            }
            _ => return Err(odd.into()),
        };
        let element = pickle.name(class).filter(|name| name.0 == "torch").and_then(|name| element(name.1));
        match (pickle.text(told), element, pickle.text(key), pickle.size(count)) {
            (Some("storage"), Some(element), Some(key), Some(count)) => Ok(Self { key, element, count }),
            _ => Err(odd.into()),
        }
    }

    pub(super) fn bytes(&self) -> Result<usize, String> {
        let bytes = self.count.checked_mul(self.element.bytes());
        bytes.ok_or_else(|| format!("storage `{}` is of {} values", self.key, self.count))
    }
}

fn element(storage: &str) -> Option<Element> {
    Some(match storage {
        "FloatStorage" => Element::F32,
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::Bf16,
        "DoubleStorage" => Element::F64,
        "LongStorage" => Element::I64,
        "IntStorage" => Element::I32,
        "ShortStorage" => Element::I16,
        "CharStorage" => Element::I8,
        "ByteStorage" => Element::U8,
        "BoolStorage" => Element::Bool,
        _ => return None,
    })
}

/// Reads tensors one by one.
pub(super) struct Tensors<'p, 'a, F> {
    pub pickle: &'p Pickle<'a>,
    /// The bytes of a storage, by its key.
    pub storage: F,
    /// Bytes that all tensors may still take: many views of one storage would take more than any file.
    pub room: usize,
}

impl<'a, F: Fn(&str) -> Result<&'a [u8], String>> Tensors<'_, 'a, F> {
    pub(super) fn read(&mut self, id: Id) -> Result<Tensor, String> {
        let object = self.pickle.object(id).ok_or("is no tensor")?;
        match (object.name, object.arguments) {
            (("torch._utils", "_rebuild_parameter"), [data, ..]) => {
                let inner = self.pickle.object(*data).filter(|o| o.name.1 != "_rebuild_parameter");
                inner.ok_or("is a parameter of no tensor")?;
                self.read(*data)
            }
            (
                ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2"),
                [storage, offset, size, stride, ..],
            ) => self.rebuild(*storage, *offset, *size, *stride),
            _ => Err("is no tensor".into()),
        }
    }

    fn rebuild(&mut self, storage: Id, offset: Id, size: Id, stride: Id) -> Result<Tensor, String> {
        let Some(Value::Persistent(storage)) = self.pickle.value(storage) else {
            return Err("has no storage".into());
        };
        let storage = Storage::of(self.pickle, *storage)?;
        let (shape, strides) = (self.sizes(size)?, self.sizes(stride)?);
        let offset = self.pickle.size(offset).ok_or("has an offset that is no number")?;
        let view = View::new(shape, strides, offset, storage.count)?;
        let size = view.count.checked_mul(storage.element.bytes());
        let room = size.and_then(|size| self.room.checked_sub(size));
        self.room = room.ok_or("and those before it are more than twice as large as the file")?;
        let bytes = (self.storage)(storage.key)?;
        if bytes.len() != storage.bytes()? {
            return Err(format!(
                "is of a storage of {} bytes, the file has {}",
                storage.bytes()?,
                bytes.len()
            ));
        }
        let data = Data::from_le_bytes(storage.element, &view.gather(bytes, storage.element.bytes()))?;
        if data.len() != view.count {
            return Err("lies outside its storage".into());
        }
        Ok(Tensor { shape: view.shape, data })
    }

    /// A tuple of lengths, or a `torch.Size` of one.
    fn sizes(&self, id: Id) -> Result<Vec<usize>, String> {
        let size = self.pickle.object(id).filter(|o| o.name == ("torch", "Size"));
        let id = size.and_then(|o| o.arguments.first().copied()).unwrap_or(id);
        let sides = self.pickle.tuple(id).ok_or("has a shape that is none")?;
        if sides.len() > MAX_DIMENSIONS {
            return Err(format!("has {} dimensions, wanted at most {MAX_DIMENSIONS}", sides.len()));
        }
        let side = |id: &Id| self.pickle.size(*id).ok_or("has a shape that is none".to_owned());
        sides.iter().map(side).collect()
    }
}

/// Where a tensor's values stand in its storage.
struct View {
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    count: usize,
}

impl View {
    /// It is an error if a value lies outside the storage of `room` values, or the tensor has more values than it.
    fn new(shape: Vec<usize>, strides: Vec<usize>, offset: usize, room: usize) -> Result<Self, String> {
        if shape.len() != strides.len() {
            return Err(format!("has {} dimensions and {} strides", shape.len(), strides.len()));
        }
        let outside = || format!("of shape {shape:?} lies outside its storage of {room} values");
        // Zeros apart, so that 2^40 x 2^40 x 0 is no overflow that hides behind them.
        let full =
            shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side.max(1))).ok_or_else(outside)?;
        let count = if shape.contains(&0) { 0 } else { full };
        let last = shape.iter().zip(&strides).try_fold(offset, |at, (&side, &stride)| {
            at.checked_add(side.saturating_sub(1).checked_mul(stride)?)
        });
        if count > room || (count > 0 && last.is_none_or(|last| last >= room)) {
            return Err(outside());
        }
        Ok(Self { shape, strides, offset, count })
    }

    /// The values row by row, `bytes` each.
    fn gather(&self, storage: &[u8], bytes: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.count * bytes);
        if self.count == 0 {
            return out;
        }
        let mut copy = |at: usize, values: usize| {
            out.extend_from_slice(storage.get(at * bytes..(at + values) * bytes).unwrap_or_default());
        };
        let mut dense = 1;
        let contiguous = self.shape.iter().zip(&self.strides).rev().all(|(&side, &stride)| {
            let fits = side == 1 || stride == dense;
            dense *= side;
            fits
        });
        if contiguous {
            copy(self.offset, self.count);
            return out;
        }
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.count {
            copy(
                self.offset + index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum::<usize>(),
                1,
            );
            for (i, &side) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < side {
                    break;
                }
                *i = 0;
            }
        }
        out
    }
}
