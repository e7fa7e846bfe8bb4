//! Weights that a model keeps in files beside it (TensorProto.external_data), as PyTorch's exporter writes them: read
//! once and put into the model, so that every backend is given one array of bytes and opens no file itself.
//!
//! A model names the files, so it is not trusted: they lie in its own folder or below, are regular files, and no link
//! leads out. That guards against a model's text; who can exchange files while we read could as well have written
//! them. What is hashed, checked and run is what was read, once.

use super::proto::TensorProto;
use super::rewrite::{Piece, Pieces, replaced, tensors};
use super::scan::Kind;
use super::{MAX_BYTES, element_bits, elements};
use gtn_core::io::wide;
use gtn_core::{Error, Result};
use prost::Message;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// Tensors may share bytes of a file (tied weights), but not make a large model of small files: this much more than
/// the files hold, at most.
const SHARED: u64 = 64 << 20;
/// A file for each tensor is one way to save a model, and a process may have about a thousand open: beyond these, each
/// is read at once and closed.
const KEPT_OPEN: usize = 64;

/// Returns the model with all its data inside. `path` is the model's, whose folder the other files are in.
/// Fails where a file is missing, outside that folder or too short, and where the whole is larger than an ONNX
/// file can be.
pub fn inline(model: &[u8], path: &Path) -> Result<Vec<u8>> {
    let folder = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let folder = fs::canonicalize(folder).map_err(|e| Error::io(folder, "read", e))?;
    let mut files = Files { folder, open: BTreeMap::new(), held: 0, taken: 0 };
    let whole = tensors(Kind::Model, model, &mut |tensor| files.tensor(tensor));
    let whole = whole.map_err(|what| Error::input(path, what))?;
    let Some(whole) = whole else { return Ok(model.to_vec()) };
    if whole.len() > wide(MAX_BYTES) {
        let what =
            format!("has {} bytes with its external data, an ONNX file ends at {MAX_BYTES}", whole.len());
        return Err(Error::input(path, what));
    }
    whole.write().map_err(|e| Error::io(path, "read the external data of", e))
}

struct Files {
    folder: PathBuf,
    /// By the name that the model has for it, with its size.
    open: BTreeMap<String, (Rc<File>, u64)>,
    /// Bytes that the files have.
    held: u64,
    /// Bytes that tensors take.
    taken: u64,
}

impl Files {
    /// The tensor with its data inside; none where they are already.
    fn tensor<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Pieces<'a>>, String> {
        // Without what it holds itself: that may be large, and is kept as it is.
        let data = |number| [4, 5, 6, 7, 9, 10, 11].contains(&number);
        let bare = replaced(bytes, |number, _| Ok(data(number).then(Pieces::default)))?;
        let bare = bare.write().map_err(|e| e.to_string())?;
        let tensor =
            TensorProto::decode(&bare[..]).map_err(|e| format!("holds a tensor that is none ({e})"))?;
        if tensor.data_location == 0 && tensor.external_data.is_empty() {
            return Ok(None);
        }
        let data = self.data(&tensor).map_err(|what| format!("tensor `{}` {what}", tensor.name))?;
        let mut inner = Pieces::default();
        for field in super::wire::fields(bytes) {
            let field = field?;
            if ![9, 13, 14].contains(&field.number) {
                inner.push(Piece::Kept(field.whole));
            }
        }
        let mut raw = Pieces::default();
        raw.push(data);
        inner.nest(9, raw);
        Ok(Some(inner))
    }

    fn data<'a>(&mut self, tensor: &TensorProto) -> Result<Piece<'a>, String> {
        let bits = element_bits(tensor.data_type);
        let bits = bits.ok_or_else(|| format!("of element type {} has external data", tensor.data_type))?;
        let wanted = (elements(&tensor.dims)? * bits).div_ceil(8);
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => {
                let n = text.parse::<u64>();
                n.map(Some).map_err(|_| format!("has external data with {key} `{text}`, wanted a number"))
            }
        };
        let location = entry("location").ok_or("keeps its data in another file without saying which")?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?.unwrap_or(wanted));
        if length != wanted {
            return Err(format!("has {length} bytes in `{location}`, {:?} wants {wanted}", tensor.dims));
        }
        let (file, size) = self.file(location)?;
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!(
                "wants bytes {offset} to {} of `{location}`, which has {size}",
                offset.saturating_add(length)
            ));
        }
        self.taken = self.taken.saturating_add(length);
        if self.taken > self.held.saturating_add(SHARED) {
            return Err(format!("shares the bytes of `{location}` with too many others"));
        }
        if self.open.len() <= KEPT_OPEN {
            return Ok(Piece::File(file, offset, length));
        }
        self.open.remove(location);
        let mut one = Pieces::default();
        one.push(Piece::File(file, offset, length));
        Ok(Piece::Made(one.write().map_err(|e| format!("cannot be read from `{location}`: {e}"))?))
    }

    fn file(&mut self, location: &str) -> Result<(Rc<File>, u64), String> {
        if let Some((file, size)) = self.open.get(location) {
            return Ok((file.clone(), *size));
        }
        let named = Path::new(location);
        let below = named.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !below || location.is_empty() || location.contains('\0') {
            return Err(format!("keeps its data in `{location}`, wanted a file in the model's folder"));
        }
        let failed = |e: std::io::Error| format!("keeps its data in `{location}`: {e}");
        let real = fs::canonicalize(self.folder.join(named)).map_err(failed)?;
        if !real.starts_with(&self.folder) {
            return Err(format!("keeps its data in `{location}`, a link out of the model's folder"));
        }
        // Looked at before it is opened: opening a FIFO would wait for its other end.
        if !fs::metadata(&real).map_err(failed)?.is_file() {
            return Err(format!("keeps its data in `{location}`, which is no regular file"));
        }
        let file = File::open(&real).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        self.held = self.held.saturating_add(size);
        let file = Rc::new(file);
        self.open.insert(location.to_owned(), (file.clone(), size));
        Ok((file, size))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OnnxModel;
    use super::super::proto::*;
    use super::*;
    use prost::bytes::Bytes;

    fn entries(pairs: &[(&str, &str)]) -> Vec<StringEntry> {
        pairs.iter().map(|(k, v)| StringEntry { key: (*k).into(), value: (*v).into() }).collect()
    }

    /// image -> Add(w) -> Mul(c), w and c of two floats each: one an initializer, one a Constant.
    fn model(w: TensorProto, c: TensorProto) -> Vec<u8> {
        let value = |name: &str| ValueInfo { name: name.into(), r#type: None };
        let node = |op: &str, input: &[&str], output: &str, attribute| NodeProto {
            op_type: op.into(),
            input: input.iter().map(|&i| i.into()).collect(),
            output: vec![output.into()],
            attribute,
            ..Default::default()
        };
        let constant = AttributeProto { name: "value".into(), t: Some(c), r#type: 4, ..Default::default() };
        let graph = GraphProto {
            node: vec![
                node("Constant", &[], "c", vec![constant]),
                node("Add", &["image", "w"], "sum", vec![]),
                node("Mul", &["sum", "c"], "logits", vec![]),
            ],
            initializer: vec![w],
            input: vec![value("image")],
            output: vec![value("logits")],
            ..Default::default()
        };
        let opset = OperatorSetId { domain: String::new(), version: 17 };
        ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() }
            .encode_to_vec()
    }

    fn tensor(name: &str) -> TensorProto {
        TensorProto { name: name.into(), dims: vec![2], data_type: 1, ..Default::default() }
    }

    fn external(name: &str, pairs: &[(&str, &str)]) -> TensorProto {
        TensorProto { external_data: entries(pairs), data_location: 1, ..tensor(name) }
    }

    fn raw(name: &str, values: [f32; 2]) -> TensorProto {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        TensorProto { raw_data: Bytes::from(bytes), ..tensor(name) }
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::create_dir(dir.path().join("m")).unwrap();
        fs::write(dir.path().join("m/w.bin"), &bytes).unwrap();
        fs::write(dir.path().join("secret.bin"), &bytes).unwrap();
        dir
    }

    #[test]
    fn data_of_initializers_and_attributes_come_into_the_model() {
        let dir = folder();
        let path = dir.path().join("m/m.onnx");
        let w = external("w", &[("location", "w.bin"), ("offset", "8"), ("length", "8")]);
        let bytes = model(w, external("c", &[("location", "./w.bin")]));
        let whole = inline(&bytes, &path).unwrap();
        // Fields may stand in any order: the same message, not the same bytes.
        let read = |bytes: &[u8]| ModelProto::decode(bytes).unwrap();
        assert_eq!(read(&whole), read(&model(raw("w", [3.0, 4.0]), raw("c", [1.0, 2.0]))));
        assert_eq!(OnnxModel::parse(&whole, &path).unwrap().initializers["w"].dims, [2]);
        let error = OnnxModel::parse(&bytes, &path).unwrap_err().to_string();
        assert!(error.contains("keeps its data in another file"), "{error}");
        let inside = model(raw("w", [0.0; 2]), raw("c", [0.0; 2]));
        assert_eq!(inline(&inside, &path).unwrap(), inside);
    }

    #[test]
    fn other_places_and_sizes_are_refused() {
        let dir = folder();
        let path = dir.path().join("m/m.onnx");
        let absolute = dir.path().join("secret.bin").display().to_string();
        let mut cases: Vec<(Vec<(&str, &str)>, &str)> = vec![
            (vec![("location", "../secret.bin")], "`../secret.bin`, wanted a file in the model's folder"),
            (vec![("location", &absolute)], "wanted a file in the model's folder"),
            (vec![("location", "")], "wanted a file in the model's folder"),
            (vec![("offset", "0")], "without saying which"),
            (vec![("location", "gone.bin")], "`gone.bin`: No such file"),
            (vec![("location", ".")], "no regular file"),
            (vec![("location", "w.bin"), ("offset", "9")], "wants bytes 9 to 17 of `w.bin`, which has 16"),
            (vec![("location", "w.bin"), ("offset", "18446744073709551615")], "which has 16"),
            (vec![("location", "w.bin"), ("offset", "-8")], "offset `-8`, wanted a number"),
            (vec![("location", "w.bin"), ("length", "4")], "has 4 bytes in `w.bin`, [2] wants 8"),
        ];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("../secret.bin", dir.path().join("m/link.bin")).unwrap();
            std::os::unix::fs::symlink("w.bin", dir.path().join("m/near.bin")).unwrap();
            cases.push((vec![("location", "link.bin")], "a link out of the model's folder"));
            let near = model(external("w", &[("location", "near.bin")]), raw("c", [0.0; 2]));
            assert!(inline(&near, &path).is_ok(), "a link to a file beside it");
        }
        for (pairs, wanted) in cases {
            let error = inline(&model(external("w", &pairs), raw("c", [0.0; 2])), &path).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("tensor `w`") && text.contains(wanted) && error.exit_code() == 2, "{text}");
        }
        let huge = TensorProto { dims: vec![1 << 40], ..external("w", &[("location", "w.bin")]) };
        let error = inline(&model(huge, raw("c", [0.0; 2])), &path).unwrap_err().to_string();
        assert!(error.contains("impossible dimensions"), "{error}");
    }

    #[test]
    fn a_file_for_each_tensor() {
        let dir = folder();
        let path = dir.path().join("m/m.onnx");
        let mut proto = ModelProto::decode(&model(raw("w", [0.0; 2]), raw("c", [0.0; 2]))[..]).unwrap();
        let graph = proto.graph.as_mut().unwrap();
        for i in 0..2 * KEPT_OPEN {
            let name = format!("w{i}");
            fs::write(dir.path().join("m").join(&name), [[i as u8; 4], [1; 4]].concat()).unwrap();
            graph.initializer.push(external(&name, &[("location", &name)]));
        }
        let whole = ModelProto::decode(&inline(&proto.encode_to_vec(), &path).unwrap()[..]).unwrap();
        for (i, t) in whole.graph.unwrap().initializer.iter().skip(1).enumerate() {
            assert_eq!(t.raw_data[..], [[i as u8; 4], [1; 4]].concat(), "{}", t.name);
        }
    }

    #[test]
    fn a_small_file_does_not_make_a_large_model() {
        let dir = folder();
        let path = dir.path().join("m/m.onnx");
        File::create(dir.path().join("m/big.bin")).unwrap().set_len(40 << 20).unwrap();
        let big = |name| TensorProto {
            dims: vec![10 << 20],
            ..external(name, &[("location", "big.bin"), ("length", "41943040")])
        };
        let mut proto = ModelProto::decode(&model(big("w"), raw("c", [0.0; 2]))[..]).unwrap();
        let graph = proto.graph.as_mut().unwrap();
        graph.initializer.extend((0..3).map(|i| TensorProto { name: format!("w{i}"), ..big("") }));
        let error = inline(&proto.encode_to_vec(), &path).unwrap_err().to_string();
        assert!(error.contains("with too many others"), "{error}");
    }
}
