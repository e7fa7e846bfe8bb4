//! Hand-made hostile files, beside the seeded mutants: bombs, loops, overflows and contradictions that chance does not find.
//! Each is refused by one line that names it, or taken; none takes more than 512 MB or 5 s of CPU time.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // in a test, what cannot be is a failure

use gtn_core::io::artifact;
use gtn_tests::measured;
use gtn_tests::mutants::{MAX_BYTES, MAX_SECONDS, repair, unlike_a_message};
use gtn_tests::{program, small_bundle};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What a command must do with a file.
enum Wanted {
    /// Exit status 2 and one line that holds these.
    Refused(&'static [&'static str]),
    /// Exit status 0.
    Taken,
    /// Either.
    Either,
}
use Wanted::{Either, Refused, Taken};

/// Files of a folder and how they are judged: each command line, with the folder for `@`.
fn judge(dir: &Path, cases: &[(&str, Wanted)]) {
    let mut failures = Vec::new();
    for (line, wanted) in cases {
        let words = line.replace('@', &dir.display().to_string());
        let mut words = words.split_whitespace();
        let mut command = Command::new(program(words.next().unwrap()));
        command.args(words).env("OMP_WAIT_POLICY", "passive").env("XDG_CACHE_HOME", dir.join("cache"));
        let ended = measured::run(&mut command, Duration::from_secs(120), || 0).unwrap();
        let mut wrong = |what: String| failures.push(format!("{line}: {what}"));
        if ended.cost.peak_bytes > MAX_BYTES {
            wrong(format!("takes {} MB", ended.cost.peak_bytes >> 20));
        }
        if ended.cost.cpu_seconds > MAX_SECONDS {
            wrong(format!("takes {:.1} s of CPU time", ended.cost.cpu_seconds));
        }
        let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(": error: ")).collect();
        let refused = |names: &[&str]| match errors.as_slice() {
            [one] if ended.code == Some(2) => unlike_a_message(one, names.get(..1).unwrap_or_default())
                .or_else(|| names.iter().find(|n| !one.contains(**n)).map(|n| format!("lacks `{n}`: {one}"))),
            _ => Some(format!("exit status {:?}, signal {:?}: {}", ended.code, ended.signal, ended.stderr)),
        };
        let what = match wanted {
            Taken if ended.code == Some(0) => None,
            Taken => refused(&[]).or_else(|| Some(format!("refused: {}", ended.stderr))),
            Refused(names) => refused(names),
            Either if ended.code == Some(0) => None,
            Either => refused(&[""]),
        };
        what.into_iter().for_each(wrong);
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// A field of protobuf's wire format: of bytes, or a number.
fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// onnx.proto: NodeProto without attributes, with more fields.
fn node(op: &str, inputs: &[&str], outputs: &[&str], more: &[u8]) -> Vec<u8> {
    let all =
        |field, names: &[&str]| names.iter().flat_map(|n| bytes(field, n.as_bytes())).collect::<Vec<u8>>();
    bytes(1, &[all(1, inputs), all(2, outputs), bytes(4, op.as_bytes()), more.to_vec()].concat())
}

/// ValueInfoProto of a tensor.
fn value(field: u64, name: &str, elem: u64, dims: &[u64]) -> Vec<u8> {
    let shape: Vec<u8> = dims.iter().flat_map(|&d| bytes(1, &number(1, d))).collect();
    let tensor = [number(1, elem), bytes(2, &shape)].concat();
    bytes(field, &[bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat())
}

/// ModelProto around a GraphProto's fields.
fn model(graph: &[Vec<u8>], opset: u64) -> Vec<u8> {
    let graph = [bytes(2, b"g"), graph.concat()].concat();
    [number(1, 8), bytes(8, &number(2, opset)), bytes(7, &graph)].concat()
}

#[test]
fn models() {
    let temp = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(temp.path().join(name), bytes).unwrap();
    let (x, y) = (value(11, "x", 1, &[1, 4]), value(12, "y", 1, &[1, 4]));
    let relu = node("Relu", &["x"], &["y"], &[]);

    // Graphs in graphs, deeper than any stack: AttributeProto.g (6) of type GRAPH.
    let mut deep = relu.clone();
    for _ in 0..5000 {
        let attribute = [bytes(1, b"then_branch"), bytes(6, &deep), number(20, 5)].concat();
        deep = node("If", &["x"], &["y"], &bytes(5, &attribute));
    }
    write("deep.onnx", &model(&[deep, x.clone(), y.clone()], 17));
    // Nodes that wait for each other.
    let cycle = [
        node("Relu", &["b"], &["a"], &[]),
        node("Relu", &["a"], &["b"], &[]),
        node("Add", &["x", "a"], &["y"], &[]),
    ];
    write("cycle.onnx", &model(&[cycle.concat(), x.clone(), y.clone()], 17));
    // One value made twice.
    write("twice.onnx", &model(&[relu.repeat(2), x.clone(), y.clone()], 17));
    // 2^32 x 2^32 elements, which is none where sizes wrap; and a declared length that is not there.
    let tensor = |dims: &[u64], data: &[u8]| {
        let dims: Vec<u8> = dims.iter().flat_map(|&d| number(1, d)).collect();
        bytes(5, &[dims, number(2, 1), bytes(8, b"w"), bytes(9, data)].concat())
    };
    let add = node("Add", &["x", "w"], &["y"], &[]);
    write("wraps.onnx", &model(&[add.clone(), tensor(&[1 << 32, 1 << 32], &[]), x.clone(), y.clone()], 17));
    write("short.onnx", &model(&[add.clone(), tensor(&[1, 4], &[0; 15]), x.clone(), y.clone()], 17));
    // A future operator set, and none.
    write("opset.onnx", &model(&[relu.clone(), x.clone(), y.clone()], i64::MAX as u64));
    write(
        "no-opset.onnx",
        &[number(1, 8), bytes(7, &[bytes(2, b"g"), relu.clone(), x.clone(), y.clone()].concat())].concat(),
    );
    // A million names of nothing.
    let inputs = bytes(1, b"x").repeat(1_000_000);
    write("arity.onnx", &model(&[node("Sum", &[], &["y"], &inputs), x.clone(), y.clone()], 17));
    // What speaks to a terminal.
    write("escape.onnx", &model(&[node("\x1b[2JRelu\n", &["x"], &["y"], &[]), x.clone(), y.clone()], 17));
    let bench = |file: &str| {
        format!("gtn-run bench @/{file} --backend ort --seconds 0 --runs 1 --warmup 0 --warmup-runs 0")
    };
    let lines: Vec<String> = [
        "deep.onnx",
        "cycle.onnx",
        "twice.onnx",
        "wraps.onnx",
        "short.onnx",
        "opset.onnx",
        "no-opset.onnx",
        "arity.onnx",
        "escape.onnx",
    ]
    .map(bench)
    .into();
    let wanted = [
        Refused(&["deep.onnx"]),
        Refused(&["cycle.onnx"]),
        Refused(&["twice.onnx"]),
        Refused(&["wraps.onnx"]),
        Refused(&["short.onnx"]),
        Refused(&["opset.onnx"]),
        Refused(&["no-opset.onnx"]),
        Either,
        Refused(&["escape.onnx"]),
    ];
    judge(temp.path(), &lines.iter().map(String::as_str).zip(wanted).collect::<Vec<_>>());
}

/// A chunk of PNG.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &[0; 4]].concat()
}

fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut png = [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat();
    repair::repair(&mut png, repair::Repair::ChunkSums);
    png
}

fn deflated(bytes: &[u8], times: usize) -> Vec<u8> {
    let mut zip = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    (0..times).for_each(|_| zip.write_all(bytes).unwrap());
    zip.finish().unwrap()
}

#[test]
fn pictures() {
    let temp = tempfile::tempdir().unwrap();
    let b = small_bundle(temp.path(), "b", "--target host --precision fp32 --eval-set 20");
    let write = |name: &str, bytes: &[u8]| fs::write(temp.path().join(name), bytes).unwrap();
    let header = |w: u32, h: u32, depth: u8, colour: u8| {
        chunk(b"IHDR", &[&w.to_be_bytes()[..], &h.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat())
    };
    let rows = deflated(&[0; 29], 28);
    let (image, end) = (chunk(b"IDAT", &rows), chunk(b"IEND", &[]));
    // Text and a colour profile that unpack to a gigabyte, in a picture of 28 x 28.
    let bomb = deflated(&[b'x'; 1 << 20], 1000);
    let text = chunk(b"zTXt", &[b"Comment\0\0".to_vec(), bomb.clone()].concat());
    let profile = chunk(b"iCCP", &[b"p\0\0".to_vec(), bomb.clone()].concat());
    write("text.png", &png(&[header(28, 28, 8, 0), text, image.clone(), end.clone()]));
    write("profile.png", &png(&[header(28, 28, 8, 0), profile, image.clone(), end.clone()]));
    // Pixels that unpack to more than there are.
    write("more.png", &png(&[header(28, 28, 8, 0), chunk(b"IDAT", &bomb), end.clone()]));
    // A row of 2^31 - 1 pixels of eight bytes.
    write("row.png", &png(&[header(0x7fff_ffff, 1, 16, 6), image.clone(), end.clone()]));
    // Colours that the palette lacks, and no palette.
    write(
        "palette.png",
        &png(&[
            header(28, 28, 8, 3),
            chunk(b"PLTE", &[1, 2, 3]),
            chunk(b"IDAT", &deflated(&[9; 29], 28)),
            end.clone(),
        ]),
    );
    write("no-palette.png", &png(&[header(28, 28, 8, 3), image.clone(), end.clone()]));
    // 100,000 empty chunks of pixels.
    write("chunks.png", &png(&[header(28, 28, 8, 0), chunk(b"IDAT", &[]).repeat(100_000), image, end]));
    // A progressive JPEG of 4000 x 4000 with a thousand scans that say nothing: each goes over all blocks.
    let fixture =
        artifact::read(&gtn_tests::root().join("core/src/image/fixtures/progressive-444.jpg")).unwrap();
    write("scans.jpg", &scans(&fixture, 4000, 1000));
    // EXIF whose directory's values and successor point at itself.
    let mut exif =
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\x08\0\0\0\x08\0\0\0".to_vec();
    exif.extend([0; 8]);
    let plain = artifact::read(&gtn_tests::root().join("core/src/image/fixtures/grey.jpg")).unwrap();
    let app1 = [&[0xff, 0xe1][..], &(exif.len() as u16 + 2).to_be_bytes(), &exif].concat();
    write("loop.jpg", &[&plain[..2], &app1, &plain[2..]].concat());
    let classify = |file: &str| format!("gtn-run classify {b} @/{file}");
    let lines: Vec<String> = [
        "text.png",
        "profile.png",
        "more.png",
        "row.png",
        "palette.png",
        "no-palette.png",
        "chunks.png",
        "scans.jpg",
        "loop.jpg",
    ]
    .map(classify)
    .into();
    let wanted = [
        Taken,
        Taken,
        Either,
        Refused(&["row.png"]),
        Either,
        Refused(&["no-palette.png"]),
        Taken,
        Refused(&["scans.jpg"]),
        Taken,
    ];
    judge(temp.path(), &lines.iter().map(String::as_str).zip(wanted).collect::<Vec<_>>());
}

/// The JPEG at another size, its first scan repeated.
fn scans(jpeg: &[u8], side: u16, times: usize) -> Vec<u8> {
    let find = |from: usize, marker: u8| {
        from + jpeg.get(from..).unwrap().windows(2).position(|w| w == [0xff, marker]).unwrap()
    };
    let (frame, scan) = (find(0, 0xc2), find(0, 0xda));
    let mut head = jpeg.get(..scan).unwrap().to_vec();
    head[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
    head[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
    let length = usize::from(jpeg[scan + 2]) << 8 | usize::from(jpeg[scan + 3]);
    let one = jpeg.get(scan..scan + 2 + length).unwrap();
    [head, one.repeat(times), vec![0xff, 0xd9]].concat()
}

#[test]
fn texts_and_tensors() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let b = small_bundle(dir, "b", "--target host --precision fp32 --eval-set 20");
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    let npy = |header: &str, data: &[u8]| {
        let header = format!("{header}\n");
        [b"\x93NUMPY\x01\0".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data]
            .concat()
    };
    write(
        "object.npy",
        &npy("{'descr': '|O', 'fortran_order': False, 'shape': (1, 1, 28, 28), }", b"cos\nsystem\n"),
    );
    write(
        "zero.npy",
        &npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 18446744073709551615), }", &[]),
    );
    write(
        "wraps.npy",
        &npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", &[]),
    );
    // safetensors: one tensor over another, a header of 2^63 bytes, a hundred thousand empty ones.
    let tensors = |header: &str, data: &[u8]| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
    };
    write(
        "over.safetensors",
        &tensors(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
            &[0; 12],
        ),
    );
    write("long.safetensors", &[&(1u64 << 63).to_le_bytes()[..], b"{}"].concat());
    let many: Vec<String> = (0..100_000)
        .map(|i| format!("\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}"))
        .collect();
    write("many.safetensors", &tensors(&format!("{{{}}}", many.join(",")), &[]));
    // Settings for CPUs that no machine has: a list of them would fill any memory.
    let mut settings: serde_json::Value = serde_json::json!({
        "schema": "gtn.settings/1", "program": "x", "host": gtn_core::host::Host::read().kind(), "model": "m",
        "model_sha256": "00", "batch": 1, "choice": {"threads": 1, "spin": true, "pin": "0-18446744073709551615"},
        "why": "x", "tried": [],
    });
    write("pin.json", settings.to_string().as_bytes());
    settings["choice"]["pin"] = "7-3".into();
    write("backwards.json", settings.to_string().as_bytes());
    // A profile of dotted keys as deep as no table, one key twice, and numbers that TOML has and JSON lacks.
    write("dots.toml", format!("a{} = 1\n", ".a".repeat(50_000)).as_bytes());
    write("twice.toml", b"schema = \"gtn.device/1\"\nname = \"a\"\nname = \"b\"\n");
    write("bom.json", b"\xef\xbb\xbf{\"schema\": \"gtn.report/1\"}");
    write("wide.json", &[0xff, 0xfe, b'{', 0, b'}', 0]);
    for (name, key) in [("nan.toml", "optimizer.lr = nan"), ("inf.toml", "optimizer.lr = inf")] {
        write(name, format!("{key}\n").as_bytes());
    }
    write("epochs.toml", b"epochs = 9223372036854775807\nbatch_size = 1\n");
    write("cells.toml", format!(
        "data = \"fashion-mnist-mini\"\nteacher = \"resnet8\"\npool = \"res-mini\"\nseeds = [{}]\nstudents = [\"pool:res-mini:d111-k333-e111\"]\n\
         [[arms]]\nname = \"../../up\"\nmethod = \"vanilla\"\n",
        (0..200_000).map(|i| i.to_string()).collect::<Vec<_>>().join(",")
    ).as_bytes());
    // gzip of 10 MB that unpacks to 10 GB, behind an honest header.
    fs::create_dir(dir.join("idx")).unwrap();
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let header = [0x0803u32, 131_072, 28, 28].map(u32::to_be_bytes).concat();
    zip.write_all(&header).unwrap();
    (0..1000).for_each(|_| zip.write_all(&[0; 1 << 20]).unwrap());
    let zipped = zip.finish().unwrap();
    for part in ["train", "t10k"] {
        fs::write(dir.join(format!("idx/{part}-images-idx3-ubyte.gz")), &zipped).unwrap();
        fs::write(
            dir.join(format!("idx/{part}-labels-idx1-ubyte")),
            [0x0801u32, 1].map(u32::to_be_bytes).concat(),
        )
        .unwrap();
    }
    let train = "gtn-train student --arch pool:res-mini:d111-k333-e111 --kd none --data fashion-mnist-mini --set max_steps=1 --out @/o";
    let cases = [
        (format!("gtn-run infer {b} --input @/object.npy --out @/o"), Refused(&["object.npy"])),
        (format!("gtn-run infer {b} --input @/zero.npy --out @/o"), Refused(&["input `image`"])),
        (format!("gtn-run infer {b} --input @/wraps.npy --out @/o"), Refused(&["wraps.npy"])),
        (format!("{train} --init @/over.safetensors"), Refused(&["over.safetensors"])),
        (format!("{train} --init @/long.safetensors"), Refused(&["long.safetensors"])),
        (format!("{train} --init @/many.safetensors"), Refused(&["many.safetensors"])),
        (format!("gtn-run verify {b} --settings @/pin.json"), Refused(&["18446744073709551615"])),
        (format!("gtn-run verify {b} --settings @/backwards.json"), Refused(&["7-3"])),
        (format!("gtn-run verify {b} --pin 0-4294967295"), Refused(&["0-4294967295"])),
        ("gtn-export targets @/dots.toml".into(), Refused(&["dots.toml"])),
        ("gtn-export targets @/twice.toml".into(), Refused(&["twice.toml", "duplicate key"])),
        ("gtn-run report @/bom.json".into(), Refused(&["bom.json"])),
        ("gtn-run report @/wide.json".into(), Refused(&["wide.json"])),
        (format!("{train} --config @/nan.toml"), Refused(&["optimizer.lr"])),
        (format!("{train} --config @/inf.toml"), Refused(&["optimizer.lr"])),
        (format!("{train} --config @/epochs.toml"), Refused(&["epochs"])),
        ("gtn-train study --config @/cells.toml --out @/st --list".into(), Refused(&["cells.toml"])),
        (format!("gtn-run eval {b} --data fashion-mnist:@/idx"), Refused(&["t10k-images-idx3-ubyte.gz"])),
    ];
    judge(
        dir,
        &cases
            .iter()
            .map(|(line, _)| line.as_str())
            .zip(cases.iter().map(|(_, w)| match w {
                Refused(names) => Refused(names),
                _ => Either,
            }))
            .collect::<Vec<_>>(),
    );
}

/// A manifest that its maker has sealed: the seal proves that nothing was damaged, not that it means well.
#[test]
fn sealed_manifests() {
    let temp = tempfile::tempdir().unwrap();
    let b = small_bundle(temp.path(), "b", "--target host --precision fp32 --eval-set 20");
    let path = Path::new(&b).join("manifest.json");
    let good = fs::read(&path).unwrap();
    let body = String::from_utf8(repair::body(&good)).unwrap();
    let mut failures = Vec::new();
    let huge = format!("\"labels\": [{}\"x\",", "\"a\",".repeat(200_000));
    let cases: [(&str, &str, &str); 10] = [
        (
            "\"files\": {",
            "\"files\": {\"../../etc/passwd\": {\"size\": 1, \"sha256\": \"00\"}, ",
            "not a plain file name",
        ),
        ("\"files\": {", "\"files\": {\"a\\nb\": {\"size\": 1, \"sha256\": \"00\"}, ", "a\\nb"),
        (
            "\"files\": {",
            "\"files\": {\"manifest.json\": {\"size\": 1, \"sha256\": \"00\"}, ",
            "manifest.json",
        ),
        (
            "\"files\": {",
            "\"files\": {\"big\": {\"size\": 18446744073709551615, \"sha256\": \"00\"}, ",
            "big",
        ),
        ("\"schema\":", "\"schema\": \"gtn.bundle/1\", \"schema\":", "duplicate field `schema`"),
        ("gtn.bundle/1.1", "gtn.bundle/1.9", "written by a newer program"),
        ("gtn.bundle/1.1", "gtn.bundle/2", "wanted `gtn.bundle/1.1`"),
        ("\"labels\": [", &huge, "labels"),
        ("\"macs\": ", "\"macs\": -", "macs"),
        ("\"std\": [", "\"std\": [0.0, ", "std"),
    ];
    for (from, to, wanted) in cases {
        assert!(body.contains(from), "{from}");
        fs::write(&path, repair::seal(body.replacen(from, to, 1).as_bytes())).unwrap();
        let mut command = Command::new(program("gtn-run"));
        let ended = measured::run(command.args(["verify", &b]), Duration::from_secs(120), || 0).unwrap();
        let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(": error: ")).collect();
        let [one] = errors.as_slice() else {
            failures.push(format!("{to:.60}: {:?}: {:.500}", ended.code, ended.stderr));
            continue;
        };
        let message = unlike_a_message(one, &["b.gtn"]);
        let lacks = (!one.contains(wanted)).then(|| format!("lacks `{wanted}`: {one:.500}"));
        failures.extend(message.or(lacks).map(|what| format!("{to:.60}: {what}")));
        if ended.code != Some(2) || ended.cost.peak_bytes > MAX_BYTES || ended.cost.cpu_seconds > MAX_SECONDS
        {
            failures.push(format!("{to:.60}: {:?} {:?}", ended.code, ended.cost));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
