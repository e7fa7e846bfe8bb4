//! `gtn-run classify` and the library's example: pictures in, the labels that the bundle's network gives.
#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test, what cannot be is a failure

use gtn_core::data::DataSource;
use gtn_core::io::npy;
use gtn_core::io::tensors::Data;
use gtn_tests::{program, run, small_bundle};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A bundle with random weights and the first `n` of its evaluation images as PNG files, in a folder.
fn bundle_and_pictures(dir: &Path, n: usize) -> (String, PathBuf) {
    let bundle = small_bundle(dir, "b", "--target host --precision fp32 --eval-set 40");
    let pictures = dir.join("pictures");
    std::fs::create_dir_all(pictures.join("more")).unwrap();
    let (pixels, _) =
        gtn_core::artifacts::bundle::Bundle::open(Path::new(&bundle)).unwrap().eval_set().unwrap();
    for (i, image) in pixels.chunks(784).take(n).enumerate() {
        // Every second one in a folder below, as grey or as RGB.
        let path = if i % 2 == 0 { format!("{i:02}.png") } else { format!("more/{i:02}.PNG") };
        let colour = if i % 3 == 0 { png::ColorType::Rgb } else { png::ColorType::Grayscale };
        let file = std::fs::File::create(pictures.join(path)).unwrap();
        let mut encoder = png::Encoder::new(file, 28, 28);
        encoder.set_color(colour);
        let data: Vec<u8> = match colour {
            png::ColorType::Rgb => image.iter().flat_map(|&p| [p; 3]).collect(),
            _ => image.to_vec(),
        };
        encoder.write_header().unwrap().write_image_data(&data).unwrap();
    }
    (bundle, pictures)
}

/// What `gtn-run eval` answers on the same images, as probabilities.
fn expected(bundle: &str, dir: &Path) -> Vec<Vec<f64>> {
    let file = dir.join("logits.npy");
    run("gtn-run", &format!("eval {bundle} --logits {}", file.display())).ok();
    let Data::F32(logits) = npy::read(&file).unwrap().data else { unreachable!() };
    let softmax = |row: &[f32]| {
        let sum: f64 = row.iter().map(|&l| f64::from(l).exp()).sum();
        row.iter().map(|&l| f64::from(l).exp() / sum).collect()
    };
    logits.chunks(10).map(softmax).collect()
}

#[test]
fn pictures_get_the_answers_of_the_evaluation() {
    let temp = tempfile::tempdir().unwrap();
    let (bundle, pictures) = bundle_and_pictures(temp.path(), 7);
    let expected = expected(&bundle, temp.path());
    let labels = "fashion-mnist-mini".parse::<DataSource>().unwrap().label_names().unwrap();
    let folder = pictures.display();
    // A batch of 3 does not divide 7.
    for flags in ["--top 10", "--top 10 --batch 3 --threads 1"] {
        let out = run("gtn-run", &format!("classify {bundle} {folder} {flags} --json -")).ok();
        let found: Value = serde_json::from_str(&out).unwrap();
        let images = found["images"].as_array().unwrap();
        let names: Vec<&str> = images
            .iter()
            .map(|i| Path::new(i["file"].as_str().unwrap()).file_stem().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["00", "02", "04", "06", "01", "03", "05"], "by name, folders among the files");
        for (image, name) in images.iter().zip(names) {
            let wanted = &expected[name.parse::<usize>().unwrap()];
            let top = image["top"].as_array().unwrap();
            assert_eq!(top.len(), 10);
            let mut last = 1.0;
            for guess in top {
                let (class, p) =
                    (guess["class"].as_u64().unwrap() as usize, guess["probability"].as_f64().unwrap());
                assert_eq!(guess["label"], labels[class].as_str());
                // Sums in another order at another batch size move a logit by about 1e-5.
                assert!(
                    (p - wanted[class]).abs() < 1e-4,
                    "{name}: class {class} {p} wanted {}",
                    wanted[class]
                );
                assert!(p <= last, "the most probable first");
                last = p;
            }
        }
    }
    let table = run("gtn-run", &format!("classify {bundle} {folder}/00.png --top 2")).ok();
    assert!(table.contains("00.png") && table.contains(" %") && table.lines().count() == 3, "{table}");
    let file = temp.path().join("answers.json");
    run("gtn-run", &format!("classify {bundle} {folder} --json {}", file.display())).ok();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(written["images"][0]["top"].as_array().unwrap().len(), 3);
}

#[test]
fn bad_pictures_are_named_and_the_others_answered() {
    let temp = tempfile::tempdir().unwrap();
    let (bundle, pictures) = bundle_and_pictures(temp.path(), 2);
    let whole = std::fs::read(pictures.join("00.png")).unwrap();
    std::fs::write(pictures.join("cut.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(pictures.join("text.jpg"), "not a picture").unwrap();
    let folder = pictures.display();
    let done = run("gtn-run", &format!("classify {bundle} {folder}"));
    assert!(done.stdout.contains("00.png") && done.stdout.contains("01.PNG"), "{}", done.stdout);
    let both = ["cut.png: is not a readable PNG", "text.jpg: is neither a PNG, a JPEG nor a WebP file"];
    assert_eq!(done.not_refused(2, &both), None);
    // What is no file is not opened: its reading would never end.
    let pipe = pictures.join("a.jpg");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let done = run("gtn-run", &format!("classify {bundle} {folder}"));
    assert!(done.stdout.contains("00.png") && done.stdout.contains("01.PNG"), "{}", done.stdout);
    assert_eq!(done.not_refused(2, &["a.jpg: ", "cut.png: "]), None);
    std::fs::remove_file(pipe).unwrap();
    let empty = temp.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(empty.join("notes.txt"), "").unwrap();
    for (args, wanted) in [
        (format!("{bundle} no.png"), "no.png"),
        (format!("{bundle} {}", empty.display()), "empty: holds no .png, .jpg or .jpeg files"),
        (format!("{bundle} {folder}/00.png --top 0"), "--top 0"),
        (format!("{bundle} {folder}/00.png --json no/such/folder.json"), "folder.json"),
        (format!("no.gtn {folder}/00.png"), "no.gtn"),
        (format!("{bundle}/model.onnx"), "model.onnx: a model alone has no samples: name pictures"),
    ] {
        assert_eq!(run("gtn-run", &format!("classify {args}")).not_refused(2, &[wanted]), None, "{args}");
    }
}

/// The library's example says what the program says.
#[test]
fn the_example_classifies() {
    let temp = tempfile::tempdir().unwrap();
    let (bundle, pictures) = bundle_and_pictures(temp.path(), 1);
    let picture = pictures.join("00.png");
    // Built by `cargo test --workspace`, as all examples are.
    let example = program("examples/classify");
    let out = Command::new(example).args([&bundle, &picture.display().to_string()]).output();
    let out = out.expect("cargo test --workspace builds the example");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8(out.stdout).unwrap();
    let out = run("gtn-run", &format!("classify {bundle} {} --json -", picture.display())).ok();
    let found: Value = serde_json::from_str(&out).unwrap();
    let best = &found["images"][0]["top"][0];
    let p = 100.0 * best["probability"].as_f64().unwrap();
    assert_eq!(said, format!("{}: {} ({p:.1} %)\n", picture.display(), best["label"].as_str().unwrap()));
}

/// docs/embedding.md shows the example as it is.
#[test]
fn the_document_shows_the_example() {
    let read = |path: &str| std::fs::read_to_string(gtn_tests::root().join(path)).unwrap();
    let indent = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") };
    let example: String = read("runtime/examples/classify.rs").lines().map(indent).collect();
    assert!(read("docs/embedding.md").contains(&example), "docs/embedding.md lacks:\n{example}");
}
