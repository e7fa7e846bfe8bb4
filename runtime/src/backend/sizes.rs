//! The sizes that a model leaves open: what `--batch` and `--shape` say reaches the model, or is refused before any
//! work; what is left open is asked for, never guessed.
//!
//! The batch is the first dimension of the first input, whatever it is called, and that of every other input where it
//! is open too. Dimensions of one name have one size.

use crate::backend::{Options, Slot};
use crate::onnx::{Dim, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// Largest size of a dimension that can be asked for.
const MAX_SIZE: usize = 1 << 31;

/// This is an input's shape, as `--shape [NAME=]DIMS` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputShape {
    /// The input; none: the only one.
    pub input: Option<String>,
    /// Every dimension, the batch first.
    pub dims: Vec<usize>,
}

impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (input, dims) = match text.rsplit_once('=') {
            Some((name, dims)) => (Some(name.to_owned()), dims),
            None => (None, text),
        };
        let size = |d: &str| d.trim().parse::<usize>().ok().filter(|d| (1..=MAX_SIZE).contains(d));
        let dims: Option<Vec<usize>> = dims.split(['x', ',']).map(size).collect();
        let dims = dims.ok_or("wanted [NAME=]DIMS with sizes of 1 or more, as image=1x3x224x224")?;
        Ok(Self { input, dims })
    }
}

/// These are a model's inputs with every size that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// As the model declares them, with sizes for what was open; what nobody said stays open.
    pub inputs: Vec<Value>,
    /// Sizes of the model's named dimensions.
    pub named: BTreeMap<String, i64>,
    /// A size was found for a dimension without name.
    nameless: bool,
    /// The first input's first dimension counts images.
    batched: bool,
}

impl Sizes {
    /// Returns the `declared` inputs with what `options` say of them. Fails where that contradicts the model or
    /// itself.
    pub fn of(declared: &[Value], options: &Options) -> Result<Self, String> {
        let mut sizes = Self {
            inputs: declared.to_vec(),
            named: BTreeMap::new(),
            nameless: false,
            batched: counts_images(declared.first(), options.batch),
        };
        for shape in &options.shapes {
            sizes.shape(shape)?;
        }
        sizes.batch(options.batch)?;
        Ok(sizes)
    }

    fn shape(&mut self, shape: &InputShape) -> Result<(), String> {
        let names = || self.inputs.iter().map(|v| format!("`{}`", v.name)).collect::<Vec<_>>().join(", ");
        let at = match &shape.input {
            Some(name) => self.inputs.iter().position(|v| v.name == *name),
            None if self.inputs.len() == 1 => Some(0),
            None => return Err(format!("has several inputs, say which (NAME=...): {}", names())),
        };
        let missing =
            || format!("has no input `{}` (it has: {})", shape.input.as_deref().unwrap_or(""), names());
        let input = at.and_then(|i| self.inputs.get(i)).ok_or_else(missing)?.clone();
        let declared = signature(&input.dims);
        let told = format!("{:?}", shape.dims);
        if input.dims.len() != shape.dims.len() {
            return Err(format!("input `{}` is {declared}, not {told}", input.name));
        }
        for (i, (dim, &size)) in input.dims.iter().zip(&shape.dims).enumerate() {
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            // An earlier dimension of this name may have been given its size just now.
            let known = match dim {
                Dim::Size(n) => Some(*n),
                Dim::Open(name) => self.named.get(name).copied(),
            };
            match known {
                Some(n) if n == size => {}
                Some(n) => {
                    return Err(format!(
                        "input `{}` is {declared}, not {told}: dimension {i} is {n}, not {size}",
                        input.name
                    ));
                }
                None => self.bind(at.unwrap_or(0), i, size),
            }
        }
        Ok(())
    }

    /// Gives a size to one dimension and to all of its name.
    fn bind(&mut self, input: usize, at: usize, size: i64) {
        let Some(dim) = self.inputs.get_mut(input).and_then(|v| v.dims.get_mut(at)) else { return };
        let Dim::Open(name) = std::mem::replace(dim, Dim::Size(size)) else { return };
        if name.is_empty() {
            self.nameless = true;
            return;
        }
        for dim in self.inputs.iter_mut().flat_map(|v| &mut v.dims) {
            if *dim == Dim::Open(name.clone()) {
                *dim = Dim::Size(size);
            }
        }
        self.named.insert(name, size);
    }

    /// The batch for the first dimensions that are open still, and a look at whether it is the model's.
    fn batch(&mut self, asked: Option<NonZeroUsize>) -> Result<(), String> {
        let asked_size = asked.map(|b| i64::try_from(b.get()).unwrap_or(i64::MAX));
        let first = match self.inputs.first().and_then(|v| v.dims.first()) {
            Some(Dim::Size(n)) => Some(*n),
            _ => None,
        };
        let size = asked_size.or(first).unwrap_or(1);
        for i in 0..self.inputs.len() {
            if self.inputs.get(i).is_some_and(|v| self.is_batch(i, v)) {
                self.bind(i, 0, size);
            }
        }
        let Some(input) = self.inputs.first() else {
            return if asked.is_none_or(|b| b.get() == 1) {
                Ok(())
            } else {
                Err(format!("has no input for --batch {size}"))
            };
        };
        match (input.dims.first(), asked_size) {
            (_, None) | (None, Some(1)) => Ok(()),
            (Some(Dim::Size(n)), Some(size)) if *n == size => Ok(()),
            (Some(Dim::Size(n)), Some(size)) => Err(format!(
                "--batch {size}: input `{}` is {}, its batch is {n}",
                input.name,
                signature(&input.dims)
            )),
            (None, Some(size)) => Err(format!("--batch {size}: input `{}` has no dimensions", input.name)),
            (Some(Dim::Open(_)), Some(size)) => Err(format!(
                "--batch {size}: input `{}` is {}, whose first size is another's too: say --shape",
                input.name,
                signature(&input.dims)
            )),
        }
    }

    /// Whether the first dimension of input `i` is an open batch. One whose name stands elsewhere too is more than
    /// that, and one of a list (of boxes, say) is not.
    fn is_batch(&self, i: usize, input: &Value) -> bool {
        let Some(Dim::Open(name)) = input.dims.first() else { return false };
        let elsewhere = || self.inputs.iter().flat_map(|v| v.dims.iter().skip(1));
        (i == 0 || input.dims.len() > 1)
            && (name.is_empty() || !elsewhere().any(|d| *d == Dim::Open(name.clone())))
    }

    /// Returns an input or output with the sizes of its named dimensions filled in.
    pub fn fill(&self, value: &Value) -> Value {
        if let Some(input) = self.inputs.iter().find(|v| v.name == value.name) {
            return input.clone();
        }
        let dim = |d: &Dim| match d {
            Dim::Open(name) => self.named.get(name).map_or_else(|| d.clone(), |&n| Dim::Size(n)),
            Dim::Size(_) => d.clone(),
        };
        Value { dims: value.dims.iter().map(dim).collect(), ..value.clone() }
    }

    /// Returns the model for a runtime that is told sizes by name: its inputs get their sizes in the file where
    /// dimensions have no names.
    pub fn declared<'a>(&self, model: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        if self.nameless {
            crate::onnx::with_inputs(model, &self.inputs).map(Cow::Owned)
        } else {
            Ok(Cow::Borrowed(model))
        }
    }

    /// Returns the number of images in an inference (0 where the first input is empty), read back from what was
    /// loaded. It is an error if this is not what was asked for.
    pub fn images(&self, loaded: &[Slot], asked: Option<NonZeroUsize>) -> Result<usize, String> {
        let first = loaded.first().and_then(|s| s.shape.first()).and_then(|&n| usize::try_from(n).ok());
        let found = if self.batched { first.unwrap_or(1) } else { 1 };
        match asked {
            Some(asked) if asked.get() != found => {
                Err(format!("--batch {asked}: the model loaded has a batch of {found}"))
            }
            _ => Ok(found),
        }
    }
}

/// Whether the first dimension counts images: it is open, or somebody says so; else by the rank. `[C,H,W]` and a list
/// have no batch, `[N,C,H,W]`, `[N,features]` and whatever is larger do.
fn counts_images(input: Option<&Value>, asked: Option<NonZeroUsize>) -> bool {
    let Some(input) = input else { return false };
    match input.dims.first() {
        None => false,
        Some(Dim::Open(_)) => true,
        Some(Dim::Size(_)) => asked.is_some() || ![1, 3].contains(&input.dims.len()),
    }
}

/// Returns dimensions as text, such as `[1, 3, H, ?]`.
pub fn signature(dims: &[Dim]) -> String {
    let dim = |d: &Dim| match d {
        Dim::Size(n) => n.to_string(),
        Dim::Open(name) if name.is_empty() => "?".into(),
        Dim::Open(name) => name.clone(),
    };
    format!("[{}]", dims.iter().map(dim).collect::<Vec<_>>().join(", "))
}

/// Returns what to say of an input with open dimensions and what to do about it; `None` where there are none.
pub fn still_open(name: &str, dims: &[Dim]) -> Option<String> {
    let open: Vec<&str> = dims
        .iter()
        .filter_map(|d| if let Dim::Open(name) = d { Some(name.as_str()) } else { None })
        .collect();
    let which = match open.as_slice() {
        [] => return None,
        names if names.iter().any(|n| n.is_empty()) => "dimensions".to_owned(),
        names => names.join(", "),
    };
    let example = |(i, d): (usize, &Dim)| match d {
        Dim::Size(n) => n.to_string(),
        Dim::Open(_) => if i == 0 {
            "1"
        } else if dims.len() == 4 {
            "224"
        } else {
            "16"
        }
        .to_owned(),
    };
    let example: Vec<String> = dims.iter().enumerate().map(example).collect();
    let declared = signature(dims);
    Some(format!(
        "input `{name}` {declared} leaves {which} open: say how large, as --shape {name}={}",
        example.join("x")
    ))
}

/// Returns what [`still_open`] says of an input or output of a loaded model, whose open dimensions have no
/// names.
pub fn open_slot(slot: &Slot) -> Option<String> {
    let dim = |&n: &i64| if n < 0 { Dim::Open(String::new()) } else { Dim::Size(n) };
    still_open(&slot.name, &slot.shape.iter().map(dim).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `image:N,3,H,7`: what is no number is a name, `?` none.
    fn values(text: &str) -> Vec<Value> {
        let dim = |d: &str| match (d, d.parse()) {
            (_, Ok(n)) => Dim::Size(n),
            ("?", _) => Dim::Open(String::new()),
            (name, _) => Dim::Open(name.into()),
        };
        let value = |v: &str| {
            let (name, dims) = v.split_once(':').unwrap();
            let dims = dims.split(',').filter(|d| !d.is_empty()).map(dim).collect();
            Value { name: name.into(), elem_type: 1, dims }
        };
        text.split_whitespace().map(value).collect()
    }

    fn options(text: &str) -> Options {
        let mut options = Options::default();
        for word in text.split_whitespace() {
            match word.strip_prefix("batch=") {
                Some(n) => options.batch = n.parse().ok(),
                None => options.shapes.push(word.parse().unwrap()),
            }
        }
        options
    }

    fn told(sizes: &Sizes) -> String {
        sizes.inputs.iter().map(|v| format!("{}{}", v.name, signature(&v.dims))).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_said_reaches_every_input() {
        for (declared, said, wanted, images) in [
            ("image:N,3,8,8", "", "image[1, 3, 8, 8]", 1),
            ("image:N,3,8,8", "batch=8", "image[8, 3, 8, 8]", 8),
            ("image:batch_size,3,8,8", "batch=8", "image[8, 3, 8, 8]", 8),
            ("image:?,3,8,8", "batch=8", "image[8, 3, 8, 8]", 8),
            ("image:4,3,8,8", "", "image[4, 3, 8, 8]", 4),
            ("image:4,3,8,8", "batch=4", "image[4, 3, 8, 8]", 4),
            ("image:N,3,H,W", "", "image[1, 3, H, W]", 1),
            ("image:N,3,H,W", "image=2x3x9x7", "image[2, 3, 9, 7]", 2),
            ("image:N,3,H,W", "2,3,9,7 batch=2", "image[2, 3, 9, 7]", 2),
            ("image:3,8,8", "", "image[3, 8, 8]", 1),
            ("image:C,8,8", "", "image[1, 8, 8]", 1),
            ("ids:b,s mask:b,s", "ids=2x16", "ids[2, 16] mask[2, 16]", 2),
            ("ids:?,? mask:?,?", "ids=2x16", "ids[2, 16] mask[2, ?]", 2),
            ("image:N,3,8,8 boxes:K,4 k:K", "", "image[1, 3, 8, 8] boxes[1, 4] k[1]", 1),
            ("image:N,3,8,8 at:K", "batch=2", "image[2, 3, 8, 8] at[K]", 2),
            ("image:D,3,D,D", "", "image[D, 3, D, D]", 1),
            ("image:D,3,D,D", "5x3x5x5", "image[5, 3, 5, 5]", 5),
            ("x:", "", "x[]", 1),
            ("", "", "", 1),
        ] {
            let options = options(said);
            let sizes = Sizes::of(&values(declared), &options).unwrap();
            assert_eq!(told(&sizes), wanted, "{declared} {said}");
            let slot = |v: &Value| {
                let size = |d: &Dim| if let Dim::Size(n) = d { *n } else { -1 };
                Slot { name: v.name.clone(), dtype: "float".into(), shape: v.dims.iter().map(size).collect() }
            };
            let slots: Vec<Slot> = sizes.inputs.iter().map(slot).collect();
            assert_eq!(sizes.images(&slots, options.batch), Ok(images), "{declared} {said}");
        }
    }

    #[test]
    fn what_contradicts_is_refused() {
        for (declared, said, wanted) in [
            ("image:1,3,8,8", "batch=8", "--batch 8: input `image` is [1, 3, 8, 8], its batch is 1"),
            (
                "image:N,3,H,W",
                "image=4x3x8x8 batch=8",
                "--batch 8: input `image` is [4, 3, 8, 8], its batch is 4",
            ),
            ("image:N,3,8,8", "image=4x1x8x8", "is [N, 3, 8, 8], not [4, 1, 8, 8]: dimension 1 is 3, not 1"),
            ("image:N,3,8,8", "image=4x3x8", "input `image` is [N, 3, 8, 8], not [4, 3, 8]"),
            ("image:N,3,8,8", "picture=4x3x8x8", "has no input `picture` (it has: `image`)"),
            ("a:N,2 b:N,2", "4x2", "has several inputs, say which (NAME=...): `a`, `b`"),
            ("a:N,2 b:N,2", "a=4x2 b=5x2", "dimension 0 is 4, not 5"),
            ("image:D,D", "image=4x5", "dimension 1 is 4, not 5"),
            ("image:D,D", "batch=2", "whose first size is another's too: say --shape"),
            ("x:", "batch=2", "input `x` has no dimensions"),
            ("", "batch=2", "has no input for --batch 2"),
        ] {
            let error = Sizes::of(&values(declared), &options(said)).unwrap_err();
            assert!(error.contains(wanted), "{declared} {said}: {error}");
        }
        let sizes = Sizes::of(&values("image:N,3,8,8"), &options("batch=8")).unwrap();
        let slot = Slot { name: "image".into(), dtype: "float".into(), shape: vec![1, 3, 8, 8] };
        assert!(sizes.images(&[slot], NonZeroUsize::new(8)).unwrap_err().contains("has a batch of 1"));
    }

    #[test]
    fn what_is_open_is_asked_for() {
        let open = |text: &str| values(text).iter().find_map(|v| still_open(&v.name, &v.dims));
        let wanted =
            "input `image` [1, 3, H, W] leaves H, W open: say how large, as --shape image=1x3x224x224";
        assert_eq!(open("image:1,3,H,W").as_deref(), Some(wanted));
        assert!(open("x:?,10").unwrap().contains("leaves dimensions open"));
        assert_eq!(open("image:1,3,8,8"), None);
        for bad in ["", "image=", "image=1xx3", "image=1x-2", "image=0x3", "image=1x3.5", "99999999999"] {
            assert!(bad.parse::<InputShape>().unwrap_err().contains("as image=1x3x224x224"), "{bad}");
        }
    }
}
