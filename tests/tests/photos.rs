//! A folder of pictures, from what `gtn-train data` says of it to a bundle that answers as it was judged.
#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test, what cannot be is a failure

use gtn_core::io::npy;
use gtn_core::io::tensors::Data;
use gtn_tests::pictures::{data, folder, run};
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn a_folder_becomes_a_bundle_that_answers_as_it_was_judged() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, root) = (temp.path(), folder(temp.path(), 50));
    let data = data(&root, 24);
    let student = dir.join("student").display().to_string();
    let arch = ["--arch", "pool:res-mini:d111-k333-e111", "--kd", "none", "--set", "max_steps=60"];
    let train =
        [&["student", "--data", &data, "--set", "batch_size=16", "--out", &student], &arch[..]].concat();
    run(dir, "gtn-train", &train).ok();
    let spec: Value =
        serde_json::from_str(&fs::read_to_string(Path::new(&student).join("arch.json")).unwrap()).unwrap();
    assert_eq!(spec["preprocess"]["resize_short"], 28, "{}", spec["preprocess"]);
    assert_eq!(spec["labels"][2], "slanting ones");
    let bundle = dir.join("b.gtn").display().to_string();
    let export = ["--target", "host", "--precision", "int8", "--max-drop", "100", "--data", &data, &student];
    run(dir, "gtn-export", &[&export[..], &["--out", &bundle]].concat()).ok();
    run(dir, "gtn-run", &["verify", &bundle]).ok();
    check_samples(dir, &root, &bundle, &data, &student);

    // The same pictures, once out of the cache and once as the files that they are.
    let logits = dir.join("logits.npy").display().to_string();
    let said = run(dir, "gtn-run", &["eval", &bundle, "--data", &data, "--logits", &logits]).ok();
    let Data::F32(logits) = npy::read(Path::new(&logits)).unwrap().data else { unreachable!() };
    let listed = run(dir, "gtn-train", &["data", &data, "--json"]).ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<&str> = listed["test"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    assert_eq!((names.len(), logits.len()), (30, 90));
    let right = names.iter().zip(logits.chunks(3)).filter(|(name, row)| {
        let best = (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        name.starts_with(["across", "along", "slanting ones"][best])
    });
    let right = right.count();
    assert!(right >= 20, "{right} of 30 are right, chance is 10");
    assert!(said.contains(&format!("{:.2} %", 100.0 * right as f64 / 30.0)), "{right} of 30 in {said}");
    let files: Vec<String> = names.iter().map(|n| root.join(n).display().to_string()).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let classify = [&["classify", &bundle], &files[..], &["--top", "3", "--json", "-"]].concat();
    let found: Value = serde_json::from_str(&run(dir, "gtn-run", &classify).ok()).unwrap();
    for ((image, row), name) in found["images"].as_array().unwrap().iter().zip(logits.chunks(3)).zip(&names) {
        let sum: f64 = row.iter().map(|&l| f64::from(l).exp()).sum();
        for top in image["top"].as_array().unwrap() {
            let label = top["class"].as_u64().unwrap() as usize;
            let (answer, wanted) = (top["probability"].as_f64().unwrap(), f64::from(row[label]).exp() / sum);
            assert!((answer - wanted).abs() < 1e-6, "{name}: {top}, by eval {wanted}");
        }
    }
}

/// A person's photographs go into a bundle only where that is asked for, and then as they are.
fn check_samples(dir: &Path, root: &Path, bundle: &str, data: &str, student: &str) {
    let names = |bundle: &str| {
        let mut names: Vec<String> = fs::read_dir(format!("{bundle}/samples"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let read = |bundle: &str, name: &str| fs::read(format!("{bundle}/samples/{name}")).unwrap();
    assert_eq!(names(bundle), ["1.png", "2.png", "3.png", "4.jpg", "5.jpg", "6.webp"]);
    let made = gtn_core::image::made_pictures(0).unwrap();
    assert!(made.iter().zip(names(bundle)).all(|(made, name)| *made == read(bundle, &name)));
    let own = dir.join("own.gtn").display().to_string();
    let export = ["--target", "host", "--precision", "fp32", "--samples", "own", "--data", data, student];
    let done = run(dir, "gtn-export", &[&export[..], &["--out", &own]].concat());
    assert!(done.stderr.contains("your own pictures' files as they are"), "{}", done.stderr);
    done.ok();
    let originals: Vec<Vec<u8>> = ["across", "along", "slanting ones"]
        .iter()
        .flat_map(|class| fs::read_dir(root.join(class)).unwrap())
        .map(|e| fs::read(e.unwrap().path()).unwrap())
        .collect();
    assert_eq!(names(&own), ["1.png", "2.png", "3.png", "4.png", "5.png", "6.png"]);
    assert!(names(&own).iter().all(|name| originals.contains(&read(&own, name))));
    run(dir, "gtn-run", &["verify", &own]).ok();
    run(dir, "gtn-run", &["classify", &own]).ok();
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, root) = (temp.path(), folder(temp.path(), 40));
    // The same file twice, once more under another class; and three that are damaged, each in its way.
    fs::copy(root.join("along/000.png"), root.join("along/copy.png")).unwrap();
    fs::copy(root.join("along/001.png"), root.join("across/mislabelled.png")).unwrap();
    let whole = fs::read(root.join("along/007.png")).unwrap();
    fs::write(root.join("along/007.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(root.join("along/008.png"), "no picture").unwrap();
    fs::write(root.join("along/009.png"), "").unwrap();
    let data = data(&root, 24);
    // 3 of 122 are more than 1 %.
    let refused = run(dir, "gtn-train", &["data", &data]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("along/007.png"), "{}", refused.stderr);
    let page = dir.join("page.html").display().to_string();
    let told = run(dir, "gtn-train", &["data", &data, "--max-bad", "0.05", "--json", "--html", &page]).ok();
    let told: Value = serde_json::from_str(&told).unwrap();
    let broken: Vec<&str> =
        told["broken"].as_array().unwrap().iter().map(|b| b["name"].as_str().unwrap()).collect();
    assert_eq!(broken, ["along/007.png", "along/008.png", "along/009.png"]);
    assert!(told["broken"].as_array().unwrap().iter().all(|b| !b["why"].as_str().unwrap().is_empty()));
    let pairs: Vec<(&str, &str)> = told["equal"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["names"][0].as_str().unwrap(), p["names"][1].as_str().unwrap()))
        .collect();
    assert_eq!(pairs, [("across/mislabelled.png", "along/001.png"), ("along/000.png", "along/copy.png")]);
    let warnings = told["warnings"].to_string();
    assert!(warnings.contains("unlike classes") && warnings.contains("mislabelled"), "{warnings}");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("data:image/png;base64,") && page.contains("slanting ones"));
}

/// What `gtn-train data` and `gtn-train student` say of a folder, and their status.
#[test]
fn both_programs_say_the_same_of_a_folder() {
    let temp = tempfile::tempdir().unwrap();
    let broken = |root: &Path, n: usize| {
        for i in 0..n {
            fs::write(root.join(format!("along/{i:03}.png")), "no picture").unwrap();
        }
    };
    type Texts<'a> = &'a [&'a str];
    // Its name, pictures of each class, what is done to the folder, more arguments, the status, what is said.
    type Case<'a> = (&'a str, u64, &'a dyn Fn(&Path), Texts<'a>, i32, Texts<'a>);
    let cases: [Case; 8] = [
        ("no such folder", 2, &|root| fs::remove_dir_all(root).unwrap(), &[], 2, &["größer: no such folder"]),
        (
            "one class",
            6,
            &|root| {
                ["across", "along"].iter().for_each(|class| fs::remove_dir_all(root.join(class)).unwrap())
            },
            &[],
            2,
            &["größer: all pictures are of one class, `slanting ones`", "wanted at least two"],
        ),
        (
            "an empty class folder",
            6,
            &|root| fs::create_dir(root.join("nothing")).unwrap(),
            &[],
            2,
            &["no picture is of class `nothing`", "nothing: holds no picture", "wanted at least two of each"],
        ),
        (
            "a class of one picture",
            6,
            &|root| {
                fs::create_dir(root.join("lonely")).unwrap();
                fs::copy(root.join("along/000.png"), root.join("lonely/1.png")).unwrap();
            },
            &[],
            2,
            &["größer: only one picture to train on is of class `lonely`", "wanted two"],
        ),
        (
            "5 % broken",
            40,
            &|root| broken(root, 6),
            &[],
            2,
            &[
                "2 of 120 pictures cannot be read so far, at most 1 may be so (--max-bad 0.01)",
                "along/000.png: is neither a PNG, a JPEG nor a WebP file",
                "Mend or delete them (`gtn-train data DATA --max-bad 1 --json` names all there are), or tolerate more",
            ],
        ),
        (
            "10 % broken, which are tolerated",
            40,
            &|root| broken(root, 12),
            &["--max-bad", "0.11"],
            0,
            &[
                "12 pictures left out, cannot be read",
                "along/000.png: is neither a PNG, a JPEG nor a WebP file",
                "along/009.png: is neither a PNG, a JPEG nor a WebP file",
                "2 more",
            ],
        ),
        (
            "spaces and letters",
            30,
            &|root| {
                fs::rename(root.join("along/000.png"), root.join("along/ein größeres  Bild.png")).unwrap()
            },
            &[],
            0,
            &[],
        ),
        (
            "links in a circle",
            30,
            &|root| {
                #[cfg(unix)]
                std::os::unix::fs::symlink(root, root.join("along/again")).unwrap();
                #[cfg(unix)]
                std::os::unix::fs::symlink("self", root.join("along/self")).unwrap();
            },
            &[],
            0,
            &[
                "along/again: links to a folder that was already read, and is left out: remove the link",
                "along/self: cannot be read",
            ],
        ),
    ];
    for (i, (what, each, change, more, status, wanted)) in cases.iter().enumerate() {
        let dir = temp.path().join(i.to_string());
        fs::create_dir(&dir).unwrap();
        let root = folder(&dir, *each);
        change(&root);
        let (data, out) = (data(&root, 24), dir.join("run").display().to_string());
        let arch = [
            "--arch",
            "pool:res-mini:d111-k333-e111",
            "--kd",
            "none",
            "--set",
            "max_steps=1",
            "--batch-size",
            "16",
            "--out",
            &out,
        ];
        for args in [vec!["data", &data], [&["student", "--data", &data], &arch[..]].concat()] {
            let said = run(&dir, "gtn-train", &[&args[..], more].concat());
            let (program, text) = (args[0], [said.stderr.as_str(), &said.stdout].concat());
            assert_eq!(said.code, Some(*status), "{what}: {program}: {text}");
            assert!(wanted.iter().all(|w| text.contains(w)), "{what}: {program}: {text}");
            assert!(!text.contains("along/010.png"), "{what}: {program}: {text}");
            assert!(*status == 0 || said.stderr.lines().count() == 1, "{what}: {program}: {text}");
            assert!(!wanted.is_empty() || !text.contains("left out"), "{what}: {program}: {text}");
        }
    }
    let refused = run(temp.path(), "gtn-train", &["data", "imagefolder:/x"]);
    assert_eq!(refused.not_refused(2, &["lacks its size: wanted `imagefolder@SIDE:/x`"]), None);
}

/// The share of broken files that a training tolerated goes with its folder, and lets no other pictures in.
#[test]
fn what_a_training_tolerated_is_tolerated_after_it() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, root) = (temp.path(), folder(temp.path(), 40));
    for i in 0..6 {
        fs::write(root.join(format!("along/{i:03}.png")), "no picture").unwrap();
    }
    let (data, student) = (data(&root, 24), dir.join("student").display().to_string());
    let bundle = dir.join("b.gtn").display().to_string();
    let list = [
        "student",
        "--arch",
        "pool:res-mini:d111-k333-e111",
        "--kd",
        "none",
        "--batch-size",
        "16",
        "--set",
        "max_steps=2",
    ];
    let train = [&list[..], &["--data", &data, "--out", &student, "--max-bad"]].concat();
    let wrong = run(dir, "gtn-train", &[&train[..], &["5"]].concat());
    assert_eq!(wrong.not_refused(2, &["--max-bad 5: wanted a share, 0 to 1"]), None);
    run(dir, "gtn-train", &[&train[..], &["0.1"]].concat()).ok();
    let record: Value =
        serde_json::from_str(&fs::read_to_string(Path::new(&student).join("train.json")).unwrap()).unwrap();
    assert_eq!(record["max_bad"], 0.1);
    run(dir, "gtn-train", &["eval", &student, "--data", &data]).ok();
    let export = ["--target", "host", "--precision", "fp32", "--data", &data, &student, "--out", &bundle];
    let told = run(dir, "gtn-export", &export);
    assert!(told.stderr.contains("6 pictures left out, cannot be read"), "{}", told.stderr);
    told.ok();
    let strict = run(dir, "gtn-export", &[&export[..], &["--max-bad", "0.02"]].concat());
    assert_eq!(strict.not_refused(2, &["at most 2 may be so (--max-bad 0.02)"]), None);
    // A bundle goes to other people, who say for themselves.
    let eval = ["eval", &bundle, "--data", &data];
    assert_eq!(run(dir, "gtn-run", &eval).not_refused(2, &["(--max-bad 0.01)"]), None);
    run(dir, "gtn-run", &[&eval[..], &["--max-bad", "0.1"]].concat()).ok();
    // Another picture is broken: the same share, other data.
    fs::write(root.join("across/001.png"), "no picture").unwrap();
    let other = run(dir, "gtn-export", &export);
    assert_eq!(other.not_refused(2, &["images are not those of"]), None);
}
