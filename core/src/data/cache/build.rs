//! Making a cache: all cores decode, one thread writes in the listing's order.

use super::index::{Header, Record};
use super::journal::Journal;
use super::{Broken, FINISHED, LOCK, Pictures, Settings, space};
use crate::data::duplicates::Look;
use crate::data::listing::{Item, Listing, Stamp};
use crate::image::Image;
use crate::image::resize::{self, Side};
use crate::io::artifact;
use crate::program::exit;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Raised when the same file would become other bytes.
const VERSION: u32 = 3;
/// Pictures between two checkpoints: what a kill costs at most.
const CHECKPOINT: u64 = 512;
/// Pictures that are decoded ahead of the one that is written, for each thread.
const AHEAD: usize = 16;

/// How far the work is. Told after every picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Pictures that are done, broken ones too.
    pub done: u64,
    /// Pictures of the listing.
    pub total: u64,
    /// Pictures that cannot be read.
    pub broken: u64,
    /// Bytes of pixels so far.
    pub bytes: u64,
}

/// Where below `parent` the cache of a listing lies, made or not.
pub fn folder(listing: &Listing, parent: &Path, settings: &Settings) -> PathBuf {
    let identity = identity(listing, settings);
    let name: String = identity.iter().take(12).map(|b| format!("{b:02x}")).collect();
    parent.join(format!("photos-{name}"))
}

/// SHA-256 over the version, the settings that matter, the classes, and each picture's name, label, size and time.
fn identity(listing: &Listing, settings: &Settings) -> [u8; 32] {
    let mut hash = Sha256::new();
    let Settings { side, channels, .. } = settings;
    hash.update(format!("gtn.photos {VERSION} {side} {channels} {}\n", listing.classes.len()));
    for text in &listing.classes {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    for item in &listing.items {
        // One that cannot be looked at is broken; when it can be, it is another picture.
        let stamp = item.place.stamp().unwrap_or(Stamp { length: 0, modified_ns: 0 });
        hash.update((item.name.len() as u64).to_le_bytes());
        hash.update(&item.name);
        hash.update(item.label.to_le_bytes());
        hash.update(stamp.length.to_le_bytes());
        hash.update(stamp.modified_ns.to_le_bytes());
    }
    hash.finalize().into()
}

/// Makes the cache of a listing below `parent`, goes on with a half-made one, or opens a finished one. `progress` is
/// told of every picture; its error stops the work after saving it. Errors: the disk has no room (told before any
/// work), more than `max_bad` of the pictures cannot be read, another program is making the same cache.
pub fn build(
    listing: &Listing,
    parent: &Path,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Pictures> {
    settings.check()?;
    let identity = identity(listing, settings);
    let dir = folder(listing, parent, settings);
    if !dir.join(FINISHED).is_file() {
        artifact::create_dir(&dir)?;
        let _lock = lock(&dir)?;
        // Somebody else may have finished it meanwhile.
        if !dir.join(FINISHED).is_file() {
            make(listing, &dir, identity, settings, progress)?;
        }
    }
    let pictures = Pictures::open(&dir)?;
    check_broken(listing, pictures.broken(), settings)?;
    Ok(pictures)
}

/// Held as long as the file is open; a killed process holds nothing.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let file = File::create(&path).map_err(|e| Error::io(&path, "write", e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Failed(format!("{}: another program is making this picture cache", dir.display())))
        }
        Err(TryLockError::Error(e)) => Err(Error::io(&path, "lock", e)),
    }
}

fn make(
    listing: &Listing,
    dir: &Path,
    identity: [u8; 32],
    settings: &Settings,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<()> {
    let total = listing.items.len();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (side, channels) = (number(settings.side), number(settings.channels));
    let mut journal = Journal::open(dir, Header { identity, side, channels, pictures: total as u64 })?;
    check_broken(listing, &journal.broken, settings)?;
    let first = usize::try_from(journal.saved).unwrap_or(usize::MAX);
    if first < total {
        let needed = space::needed(listing, first, settings.side, settings.channels);
        space::check(dir, needed, space::free(dir))?;
        let queue = Queue::new(first, total, AHEAD * settings.threads());
        std::thread::scope(|scope| {
            for _ in 0..settings.threads().min(total - first) {
                scope.spawn(|| queue.work(|i| decoded(listing.items.get(i), settings)));
            }
            let written = write(listing, &queue, &mut journal, settings, progress);
            queue.stop();
            // What was done before the error is kept.
            let saved = journal.checkpoint();
            written.and(saved)
        })?;
    }
    journal.finish(&listing.classes)
}

/// Takes pictures in order as they are ready.
fn write(
    listing: &Listing,
    queue: &Queue,
    journal: &mut Journal,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<()> {
    let total = listing.items.len() as u64;
    for (i, item) in (0u32..).zip(&listing.items).skip(usize::try_from(journal.done()).unwrap_or(usize::MAX))
    {
        let Decoded { width, height, pixels, file_sha256, pixel_sha256, look, error } =
            queue.take(i as usize);
        let good = error.is_none();
        let label = item.label;
        let record = Record { offset: 0, width, height, label, good, file_sha256, pixel_sha256, look };
        let broken = error.map(|why| Broken { index: i, name: item.name.clone(), why });
        journal.append(record, &pixels, broken)?;
        if !good {
            check_broken(listing, &journal.broken, settings)?;
        }
        if journal.waiting_pictures() >= CHECKPOINT {
            journal.checkpoint()?;
        }
        let (done, broken, bytes) = (journal.done(), journal.broken.len() as u64, journal.end);
        progress(Progress { done, total, broken, bytes })?;
    }
    Ok(())
}

/// An error if too many are broken, with the first of them.
fn check_broken(listing: &Listing, broken: &[Broken], settings: &Settings) -> Result<()> {
    let total = listing.items.len();
    let most = (total as f64 * settings.max_bad).floor();
    if broken.len() as f64 <= most {
        return Ok(());
    }
    // One alone: the path above all else, and what to do, must find room in a line.
    let first = Broken::told(broken.get(..1).unwrap_or_default());
    let what = format!(
        "{} of {total} pictures cannot be read so far, at most {most} may be so (--max-bad {}): {first}. Mend or delete \
         them (`gtn-train data DATA --max-bad 1 --json` names all there are), or tolerate more",
        broken.len(),
        settings.max_bad,
    );
    Err(Error::input(&listing.root, what))
}

/// A picture as it is kept.
struct Decoded {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
    file_sha256: [u8; 32],
    pixel_sha256: [u8; 32],
    look: Look,
    /// Why there are no pixels.
    error: Option<String>,
}

impl Decoded {
    fn broken(file_sha256: [u8; 32], why: String) -> Self {
        let pixel_sha256 = Sha256::digest([]).into();
        let (pixels, look) = (Vec::new(), Look::NONE);
        Self { width: 0, height: 0, pixels, file_sha256, pixel_sha256, look, error: Some(why) }
    }
}

fn decoded(item: Option<&Item>, settings: &Settings) -> Decoded {
    let Some(item) = item else { return Decoded::broken([0; 32], "is not in the listing".into()) };
    let bytes = match item.place.read() {
        Ok(bytes) => bytes,
        Err(error) => return Decoded::broken([0; 32], error.to_string()),
    };
    let file_sha256 = Sha256::digest(&bytes).into();
    match Image::from_bytes(&bytes) {
        Ok(image) => {
            let (width, height, pixels) = small(&image, settings);
            let pixel_sha256 = Sha256::digest(&pixels).into();
            let look = Look::of(image.height(), image.width(), |y, out| image.row(y, 1, out));
            Decoded { width, height, pixels, file_sha256, pixel_sha256, look, error: None }
        }
        Err(why) => Decoded::broken(file_sha256, why),
    }
}

fn small(image: &Image, settings: &Settings) -> (u32, u32, Vec<u8>) {
    let (height, width) = shrunk(image.height(), image.width(), settings.side);
    let side = |from: usize, to: usize| Side { from, to, first: 0, count: to };
    let sides = (side(image.height(), height), side(image.width(), width));
    let channels = settings.channels;
    let pixels = resize::bilinear(channels, sides, |y, out| image.row(y, channels, out));
    (width as u32, height as u32, pixels)
}

/// Height and width with the short side at most `side`; the long one is rounded down, as torchvision's `Resize` does.
pub(super) fn shrunk(height: usize, width: usize, side: usize) -> (usize, usize) {
    let short = height.min(width).max(1);
    if short <= side {
        return (height, width);
    }
    (side * height / short, side * width / short)
}

/// Pictures on their way from the threads that decode to the one that writes: no more than a window of them.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    total: usize,
    window: usize,
}

struct State {
    /// The next to be decoded.
    next: usize,
    /// The next to be written.
    wanted: usize,
    ready: BTreeMap<usize, Decoded>,
    stopped: bool,
}

impl Queue {
    fn new(first: usize, total: usize, window: usize) -> Self {
        let state = State { next: first, wanted: first, ready: BTreeMap::new(), stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), total, window }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life: decodes until all is done or stopped. A panic is a broken picture.
    fn work(&self, decode: impl Fn(usize) -> Decoded) {
        loop {
            let mut state = self.state();
            while !state.stopped && state.next < self.total && state.next >= state.wanted + self.window {
                state = self.wait(state);
            }
            if state.stopped || state.next >= self.total {
                return;
            }
            let i = state.next;
            state.next += 1;
            drop(state);
            let one = exit::contain(|| decode(i));
            let one =
                one.unwrap_or_else(|panic| Decoded::broken([0; 32], format!("cannot be decoded ({panic})")));
            self.state().ready.insert(i, one);
            self.changed.notify_all();
        }
    }

    /// Picture `i`, which must be the next one; waits for it.
    fn take(&self, i: usize) -> Decoded {
        let mut state = self.state();
        loop {
            if let Some(one) = state.ready.remove(&i) {
                state.wanted = i + 1;
                drop(state);
                self.changed.notify_all();
                return one;
            }
            state = self.wait(state);
        }
    }

    fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }
}
