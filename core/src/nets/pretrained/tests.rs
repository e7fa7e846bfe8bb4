//! Against the names and shapes of published networks, and the logits of a small one (fixtures:
//! scripts/make-state-dict-fixtures.py).

use super::*;
use crate::ir::arch::{Input, Stage};
use crate::ir::eval;
use crate::ir::random_weights::random_weights;
use crate::nets::zoo;

macro_rules! listed {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("fixtures/", $name, ".txt")))),*]
    };
}

/// Networks whose names are known; those that the zoo makes are checked.
const LISTED: [(&str, &str); 11] = listed!(
    "resnet18",
    "resnet34",
    "resnet50",
    "mobilenetv2",
    "mobilenetv3-small",
    "mobilenetv3-large",
    "efficientnet-lite0",
    "efficientnet-lite1",
    "efficientnet-lite2",
    "efficientnet-lite3",
    "efficientnet-lite4"
);
/// As many of them the zoo makes at least: all 11, once it has the last seven.
const AT_LEAST: usize = 11;

const IMAGE_NET: Input = Input { channels: 3, height: 224, width: 224 };

/// What a section `= NAMING` lists: tensors by name, with shapes and no values, and the names in the file's order.
fn sections(text: &str) -> Vec<(&str, TensorMap, Vec<String>)> {
    let mut sections = Vec::new();
    for line in text.lines() {
        if let Some(naming) = line.strip_prefix("= ") {
            sections.push((naming, TensorMap::default(), Vec::new()));
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let shape: Vec<usize> = words[1].split('x').map(|side| side.parse().unwrap()).collect();
        let kinds: &[&str] = match words.get(2) {
            Some(&"bn") => &["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
            Some(_) => &["weight", "bias"],
            None => &["weight"],
        };
        let (_, map, names) = sections.last_mut().unwrap();
        for kind in kinds {
            let shape = match *kind {
                "weight" => shape.clone(),
                "num_batches_tracked" => Vec::new(),
                _ => shape[..1].to_vec(),
            };
            let name = format!("{}.{kind}", words[0]);
            map.insert(&name, Tensor { shape, data: Data::F32(Vec::new()) });
            names.push(name);
        }
    }
    sections
}

/// Every tensor of every published network has its place, and every place its tensor. Equal shapes would hide layers
/// that are swapped; their order does not, for both sides tell layers in the order in which they are computed.
#[test]
fn published_names_are_ours_one_by_one() {
    let mut known = 0;
    for (name, text) in LISTED {
        let sections = sections(text);
        assert!(!sections.is_empty());
        let Some(spec) = zoo::named(name, IMAGE_NET, 1000).unwrap() else { continue };
        known += 1;
        for (naming, file, names) in sections {
            // However our blocks are grouped.
            let blocks: Vec<_> = spec.stages.iter().flat_map(|s| s.blocks.clone()).collect();
            let (one, each) = (
                vec![Stage { blocks: blocks.clone() }],
                blocks.into_iter().map(|b| Stage { blocks: vec![b] }),
            );
            for stages in [spec.stages.clone(), one, each.collect()] {
                let graph = Graph::lower(&ArchSpec { stages, ..spec.clone() }).unwrap();
                let (mapping, left_out) = recognise(&graph, &file).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!((mapping.naming.as_str(), &left_out[..]), (naming, &[][..]), "{name}");
                let found: Vec<&String> = mapping.pairs.iter().map(|(_, theirs)| theirs).collect();
                let wanted: Vec<&String> =
                    names.iter().filter(|n| !n.ends_with(".num_batches_tracked")).collect();
                assert_eq!(found, wanted, "{name} of {naming}");
                let ours: Vec<String> = graph.params().into_iter().map(|p| p.name).collect();
                assert_eq!(
                    mapping.pairs.iter().map(|(p, _)| &p.name).collect::<Vec<_>>(),
                    ours.iter().collect::<Vec<_>>()
                );
            }
        }
    }
    assert!(known >= AT_LEAST, "{known}");
}

/// A few by hand, as published.
#[test]
fn layers_have_their_published_names() {
    for (net, naming, ours, theirs) in [
        ("resnet50", 0, "stages.2.0.shortcut.bn.running_var", "layer3.0.downsample.1.running_var"),
        ("resnet18", 0, "stages.3.1.2.conv.weight", "layer4.1.conv2.weight"),
        ("mobilenetv2", 0, "stages.0.0.project.bn.bias", "features.1.conv.2.bias"),
        ("mobilenetv2", 0, "stages.6.0.project.conv.weight", "features.17.conv.2.weight"),
        ("mobilenetv2", 0, "head.bn.running_mean", "features.18.1.running_mean"),
        ("mobilenetv2", 1, "stages.0.0.project.conv.weight", "blocks.0.0.conv_pw.weight"),
        ("mobilenetv2", 1, "stages.3.2.project.conv.weight", "blocks.3.2.conv_pwl.weight"),
        ("mobilenetv2", 1, "stages.3.2.depthwise.bn.weight", "blocks.3.2.bn2.weight"),
    ] {
        let text = LISTED.iter().find(|(name, _)| *name == net).unwrap().1;
        let file = sections(text).swap_remove(naming).1;
        let graph = Graph::lower(&zoo::named(net, IMAGE_NET, 1000).unwrap().unwrap()).unwrap();
        let (mapping, _) = recognise(&graph, &file).unwrap();
        let found = mapping.pairs.iter().find(|(p, _)| p.name == ours).map(|(_, theirs)| theirs.as_str());
        assert_eq!(found, Some(theirs), "{ours}");
    }
}

/// The architecture of fixtures/small-mobilenet-v2.pth.
fn small(classes: usize) -> ArchSpec {
    let block = |hidden: usize, width: usize, stride: usize| {
        serde_json::json!({
            "op": "inverted_residual", "kernel": 3, "hidden": hidden, "width": width, "stride": stride,
            "activation": "relu6"
        })
    };
    let spec = serde_json::json!({
        "name": "small",
        "input": {"channels": 3, "height": 16, "width": 16},
        "classes": classes,
        "stem": {"width": 32, "kernel": 3, "stride": 2, "activation": "relu6"},
        "stages": [
            {"blocks": [block(32, 8, 1), block(24, 8, 2)]},
            {"blocks": [block(24, 8, 1), block(48, 16, 2)]},
        ],
        "head": {"conv": {"width": 24, "activation": "relu6"}},
    });
    serde_json::from_value(spec).unwrap()
}

const SMALL: &[u8] = include_bytes!("fixtures/small-mobilenet-v2.pth");

/// Reads a file of these bytes for [`small`].
fn load(bytes: &[u8], classes: usize) -> Result<Pretrained> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read(file.path(), &small(classes))
}

/// The same logits as torch's: sums in f32 there, in f64 here.
#[test]
fn a_network_computes_what_it_did_in_torch() {
    let found = load(SMALL, 5).unwrap();
    assert_eq!((found.naming, found.head_replaced()), (Naming::Torchvision, false));
    assert_eq!((found.scaling, found.sha256), (Some(Scaling::IMAGE_NET), artifact::sha256(SMALL)));
    let image: Vec<f32> = (0..3 * 16 * 16).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let logits = eval::run(&Graph::lower(&small(5)).unwrap(), &found.weights, &image).unwrap();
    let wanted = [1.908_477_3, 0.108_222_78, 0.059_407_935, -1.324_633_5, 1.328_730_3];
    for (found, wanted) in logits.iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-5, "{logits:?}");
    }
    assert_eq!(logits.len(), 5);
}

#[test]
fn another_number_of_classes_leaves_the_classifier_out() {
    let (same, other) = (load(SMALL, 5).unwrap(), load(SMALL, 7).unwrap());
    assert_eq!(other.left_out, ["head.classifier.weight", "head.classifier.bias"]);
    assert!(other.head_replaced());
    let mut body = same.weights;
    body.0.retain(|name, _| !name.starts_with("head.classifier."));
    assert_eq!(other.weights, body);
}

/// Files of ours, whole or for other classes; f16 is widened.
#[test]
fn our_own_files_are_recognised() {
    let graph = Graph::lower(&small(5)).unwrap();
    let weights = random_weights(&graph, 1);
    let mut map = weights.to_map(&graph).unwrap();
    let found = load(&map.to_bytes().unwrap(), 5).unwrap();
    assert_eq!((found.naming, &found.weights, found.scaling), (Naming::Own, &weights, None));
    assert_eq!(load(&map.to_bytes().unwrap(), 9).unwrap().left_out.len(), 2);

    let half = map.0.get_mut("stem.conv.weight").unwrap();
    half.data = Data::F16(vec![f16::from_f32(0.1); half.data.len()]);
    let found = load(&map.to_bytes().unwrap(), 5).unwrap();
    assert_eq!(found.weights.0["stem.conv.weight"][0], 0.099_975_586);
}

#[test]
fn what_does_not_fit_is_named() {
    let graph = Graph::lower(&small(5)).unwrap();
    let good = random_weights(&graph, 1).to_map(&graph).unwrap();
    let broken = |change: &dyn Fn(&mut TensorMap)| {
        let mut map = good.clone();
        change(&mut map);
        map.to_bytes().unwrap()
    };
    let set = |name: &'static str, tensor: Tensor| broken(&move |map| map.insert(name, tensor.clone()));
    let theirs = state_dict::read(SMALL, Path::new("x")).unwrap();
    let mut short = theirs.clone();
    short.0.retain(|name, _| !name.starts_with("features.4."));
    let mut deep = theirs;
    deep.insert("features.9.0.weight", Tensor::f32(&[1], vec![0.0]));
    for (file, wanted) in [
        (
            broken(&|map| drop(map.0.remove("head.bn.bias"))),
            "holds no weights of `small`: under the closest naming, own, missing `head.bn.bias`",
        ),
        (set("extra", Tensor::f32(&[1], vec![0.0])), "own, surplus `extra`"),
        (set("extra.num_batches", Tensor::f32(&[1], vec![0.0])), "surplus `extra.num_batches`"),
        (
            set("head.bn.bias", Tensor::f32(&[2], vec![0.0; 2])),
            "own, `head.bn.bias` is [2], `head.bn.bias` wants [24]",
        ),
        (set("head.classifier.bias", Tensor::f32(&[2], vec![0.0; 2])), "`head.classifier.bias` is [2]"),
        (
            set("head.classifier.weight", Tensor::f32(&[9, 2], vec![0.0; 18])),
            "`head.classifier.weight` is [9, 2]",
        ),
        (set("head.bn.bias", Tensor::f32(&[24], vec![f32::NAN; 24])), "`head.bn.bias` holds NaN"),
        (
            set("head.bn.bias", Tensor { shape: vec![24], data: Data::F64(vec![1e300; 24]) }),
            "`head.bn.bias` holds inf",
        ),
        (
            set("head.bn.running_var", Tensor::f32(&[24], vec![-1.0; 24])),
            "`head.bn.running_var` holds -1, wanted variances",
        ),
        (
            set("head.bn.bias", Tensor::i64(&[24], vec![0; 24])),
            "`head.bn.bias` is of type int64, wanted floats",
        ),
        (
            short.to_bytes().unwrap(),
            "torchvision, missing `features.4.conv.0.0.weight`, `features.4.conv.0.1.weight` and 13 more",
        ),
        (deep.to_bytes().unwrap(), "torchvision, surplus `features.9.0.weight`"),
        (
            TensorMap([("a".to_owned(), Tensor::f32(&[1], vec![0.0]))].into()).to_bytes().unwrap(),
            "its 1 tensors (`a`, ..) have names of none of: own, torchvision, timm, EfficientNet-PyTorch",
        ),
        (b"neither".to_vec(), "not a valid safetensors file"),
        (SMALL[..5000].to_vec(), "is no PyTorch state dict that is read here"),
    ] {
        let error = load(&file, 5).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
    // A counter of batches is passed over.
    assert!(load(&set("head.bn.num_batches_tracked", Tensor::i64(&[], vec![7])), 5).is_ok());
    let mut spec = small(5);
    spec.stem.kernel = 5;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SMALL).unwrap();
    let error = read(file.path(), &spec).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "torchvision, `features.0.0.weight` is [32, 3, 3, 3], `stem.conv.weight` wants [32, 3, 5, 5]"
        ),
        "{error}"
    );
}
