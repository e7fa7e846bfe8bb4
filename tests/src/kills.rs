//! Programs that are killed (SIGKILL) at seeded moments and started again, on a folder of pictures: while the cache is
//! made, and while a student is trained. What comes out must be what an undisturbed run makes, byte for byte.

#![allow(clippy::unwrap_used, clippy::panic)] // in a test, what cannot be is a failure

use crate::command;
use crate::pictures::{data, folder};
use gtn_core::rng::Rng;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

/// Side of what the student sees, pixels.
const SIZE: usize = 24;
/// One file in so many is damaged: less than the hundredth that a set may have.
const BROKEN: u64 = 150;
/// How often a program at work is looked at.
const TICK: Duration = Duration::from_millis(1);
/// Starts before it is given up: the machine is too slow or too fast for the moments drawn.
const STARTS: usize = 60;

/// Where work goes on, and what is worked on.
#[derive(Debug)]
pub struct Scene {
    dir: PathBuf,
    data: String,
    rng: Rng,
}

/// What a number of blows met.
#[derive(Debug, Default)]
pub struct Blows {
    /// Kills.
    pub killed: usize,
    /// Work that came to its end between two blows; it was compared, thrown away and begun anew.
    pub finished: usize,
    /// Kills that left saved work, which the next start went on with.
    pub resumed: usize,
    /// Blows after all was written, while the program was still there; no kills of those that were wanted.
    pub late: usize,
}

/// What a blow left behind.
#[derive(Debug, PartialEq)]
enum Left {
    Nothing,
    Saved,
    Finished,
}

impl Scene {
    /// `each` pictures of each of three classes below `dir`, some of them damaged.
    pub fn new(dir: &Path, each: u64, seed: u64) -> Self {
        let root = folder(dir, each);
        for i in (0..each).skip(1).step_by(BROKEN as usize) {
            let path = root.join(format!("along/{i:03}.png"));
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        }
        Self { dir: dir.to_owned(), data: data(&root, SIZE), rng: Rng::new(seed, "kill", 0) }
    }

    /// Kills `gtn-train data`, which makes the cache, and goes on with it each time. Wants the same four files.
    pub fn caching(&mut self, kills: usize) -> Blows {
        let args = ["data".to_owned(), self.data.clone(), "--json".to_owned()];
        let bytes = |caches: &Path| {
            let folders: Vec<_> = fs::read_dir(caches.join("gtn/photos")).unwrap().flatten().collect();
            let [folder] = folders.as_slice() else { panic!("{folders:?}: wanted one cache") };
            ["pixels.u8", "index.bin", "broken.jsonl", "finished.json"]
                .map(|file| fs::read(folder.path().join(file)).unwrap())
        };
        let (whole, cut) = (self.dir.join("whole-cache"), self.dir.join("cut-cache"));
        undisturbed(&whole, &args);
        let wanted = bytes(&whole);
        // From the first thing that is written to the last, of one more cache made at once.
        let begun = |since: SystemTime| changed(&in_cache(&cut, "lock"), since);
        let took = self.watched(&cut, &args, &begun, &|| in_cache(&cut, "finished.json").exists());
        fs::remove_dir_all(&cut).unwrap();
        let left = || {
            // Records beyond the index's header are pictures that the next start need not decode again.
            let records = fs::metadata(in_cache(&cut, "index.bin")).is_ok_and(|m| m.len() > 64);
            match in_cache(&cut, "finished.json").exists() {
                true => Left::Finished,
                false if records => Left::Saved,
                false => Left::Nothing,
            }
        };
        let same = || assert!(bytes(&cut) == wanted, "a cache that was cut differs from one made at once");
        let again = || {
            same();
            fs::remove_dir_all(&cut).unwrap();
        };
        let blows = self.strike(kills, took, &cut, &args, &[], &begun, &left, &again);
        undisturbed(&cut, &args);
        same();
        blows
    }

    /// Kills a student's training and resumes it each time. Wants the same record, weights and golden answers.
    pub fn training(&mut self, kills: usize, epochs: usize) -> Blows {
        let cache = self.dir.join("whole-cache");
        undisturbed(&cache, &["data".to_owned(), self.data.clone()]);
        let args = |out: &str| {
            let epochs = epochs.to_string();
            let fixed =
                ["student", "--data", &self.data, "--arch", "pool:res-mini:d111-k333-e111", "--kd", "none"];
            let recipe = ["--recipe", "photos", "--epochs", &epochs, "--set", "train_images=192"];
            let rest = ["--set", "val_fraction=0.1", "--batch-size", "32", "--threads", "1", "--out", out];
            [&fixed[..], &recipe, &rest].concat().iter().map(|&a| a.to_owned()).collect::<Vec<_>>()
        };
        let (whole, cut) = (self.dir.join("whole-run"), self.dir.join("cut-run"));
        let took = undisturbed(&cache, &args(&whole.display().to_string()));
        let same = || {
            for file in ["loss.jsonl", "weights.safetensors", "golden.safetensors", "config.toml"] {
                let read = |run: &Path| fs::read(run.join(file)).unwrap();
                assert!(read(&whole) == read(&cut), "{file} of a run that was cut differs");
            }
            assert!(!cut.join("ckpt").exists(), "checkpoints of a finished run are removed");
        };
        let left = || match fs::read_dir(cut.join("ckpt")).is_ok_and(|found| found.count() > 0) {
            _ if cut.join("train.json").exists() => Left::Finished,
            true => Left::Saved,
            false => Left::Nothing,
        };
        let begin = args(&cut.display().to_string());
        let again = || {
            same();
            fs::remove_dir_all(&cut).unwrap();
        };
        let blows = self.strike(kills, took, &cache, &begin, &["--resume"], &|_| true, &left, &again);
        undisturbed(&cache, &[&begin[..], &["--resume".to_owned()]].concat());
        same();
        blows
    }

    /// Runs gtn-train to its end; how long it took from `begun` to `done`.
    fn watched(
        &self,
        caches: &Path,
        args: &[String],
        begun: &dyn Fn(SystemTime) -> bool,
        done: &dyn Fn() -> bool,
    ) -> Duration {
        let at = SystemTime::now();
        let mut whole = command("gtn-train", "");
        let whole =
            whole.args(args).env("XDG_CACHE_HOME", caches).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = whole.spawn().unwrap();
        let (mut start, mut end) = (None, None);
        while child.try_wait().unwrap().is_none() {
            start = start.or_else(|| begun(at).then(Instant::now));
            end = end.or_else(|| done().then(Instant::now));
            std::thread::sleep(TICK);
        }
        start.zip(end).map(|(start, end)| end - start).unwrap()
    }

    /// Starts gtn-train again and again, and kills it: each start up to half of `took` after it has `begun`, so that
    /// some have saved nothing yet and others have, however fast the machine. `finished` is called where a start came to
    /// its end before its blow.
    #[allow(clippy::too_many_arguments)] // one caller for each kind of work
    fn strike(
        &mut self,
        kills: usize,
        took: Duration,
        caches: &Path,
        args: &[String],
        resume: &[&str],
        begun: &dyn Fn(SystemTime) -> bool,
        left: &dyn Fn() -> Left,
        finished: &dyn Fn(),
    ) -> Blows {
        let mut blows = Blows::default();
        let longest = (took.as_millis() as u64 / 2).max(2);
        // A start that is killed before it has done anything proves nothing.
        let least = took.as_millis() as u64 / 20;
        let mut going = false;
        for _ in 0..STARTS + kills {
            if blows.killed == kills {
                return blows;
            }
            let mut start = command("gtn-train", "");
            start.args(args).args(if going { resume } else { &[] }).env("XDG_CACHE_HOME", caches);
            let at = SystemTime::now();
            let mut child = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while !begun(at) && child.try_wait().unwrap().is_none() {
                std::thread::sleep(TICK);
            }
            std::thread::sleep(Duration::from_millis(least + self.rng.below(longest)));
            match child.try_wait().unwrap() {
                None => {
                    child.kill().unwrap(); // SIGKILL
                    child.wait().unwrap();
                    let left = left();
                    blows.late += usize::from(left == Left::Finished);
                    blows.killed += usize::from(left != Left::Finished);
                    blows.resumed += usize::from(left == Left::Saved);
                    going = true;
                }
                Some(status) => {
                    assert!(status.success(), "gtn-train {args:?} ended with {status}");
                    finished();
                    blows.finished += 1;
                    going = false;
                }
            }
        }
        panic!("{blows:?} of {kills} kills after {} starts", STARTS + kills);
    }
}

/// A file of the one cache there; a path to nothing where there is none.
fn in_cache(caches: &Path, file: &str) -> PathBuf {
    let mut folders = fs::read_dir(caches.join("gtn/photos")).into_iter().flatten().flatten();
    folders.next().map_or_else(PathBuf::new, |folder| folder.path().join(file))
}

/// Whether a file was written since then, to a clock tick of the file system.
fn changed(path: &Path, since: SystemTime) -> bool {
    let modified = fs::metadata(path).and_then(|m| m.modified());
    modified.is_ok_and(|at| at + Duration::from_millis(10) >= since)
}

/// Runs gtn-train to its end.
fn undisturbed(caches: &Path, args: &[String]) -> Duration {
    let start = Instant::now();
    let mut whole = command("gtn-train", "");
    let out = whole.args(args).env("XDG_CACHE_HOME", caches).output().unwrap();
    crate::Done::from(out).ok();
    start.elapsed()
}
