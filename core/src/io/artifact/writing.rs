//! Writing where a person pointed: regular files whole or not at all, everything else as it is.

use crate::program::exit::{self, Own};
use crate::{Error, Result};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

/// Where the bytes for a path go.
#[derive(Debug)]
enum Place {
    /// A regular file, or nothing yet, behind every link: renamed over. With the permissions of what is there.
    File(PathBuf, Option<Permissions>),
    /// This process's own output or messages.
    Own(Own),
    /// A device, a pipe, or an open descriptor: what is there stays there, and is written to.
    Stream(PathBuf),
}

impl Place {
    /// Follows links: a link stays, and what it points at is written.
    fn of(given: &Path) -> Result<Self> {
        let failed = |e| Error::io(given, "write", e);
        let mut path = given.to_owned();
        for _ in 0..MAX_LINKS {
            if let Some(stream) = descriptor(&path) {
                return Ok(stream);
            }
            let kind = match fs::symlink_metadata(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::File(path, None)),
                Err(e) => return Err(failed(e)),
                Ok(meta) if meta.is_file() => return Ok(Self::File(path, Some(meta.permissions()))),
                Ok(meta) => meta.file_type(),
            };
            if kind.is_dir() {
                return Err(Error::input(given, "is a folder, wanted a file to write"));
            }
            if !kind.is_symlink() {
                return Ok(Self::Stream(path));
            }
            let to = fs::read_link(&path).map_err(failed)?;
            path = path.parent().unwrap_or(Path::new("")).join(to);
        }
        Err(failed(io::Error::other("too many links")))
    }
}

/// A name for one of this process's open files: what stands behind it must not be replaced under the one who holds it.
fn descriptor(path: &Path) -> Option<Place> {
    match path.to_str()? {
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Some(Place::Own(Own::Output)),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(Place::Own(Own::Messages)),
        text if ["/dev/fd/", "/proc/"].iter().any(|dir| text.starts_with(dir)) => {
            Some(Place::Stream(path.to_owned()))
        }
        _ => None,
    }
}

/// Writes a file by temporary file, fsync, rename, fsync of the folder: a regular file is the old one or the
/// whole new one. Behind a link to one, that file is replaced and the link stays. A device, a pipe,
/// `/dev/stdout` and `/dev/fd/N` are written to.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let done = match Place::of(path)? {
        Place::File(target, permissions) => replace(&target, permissions, bytes),
        Place::Own(own) => own.write(bytes),
        Place::Stream(target) => {
            let open = OpenOptions::new().append(true).open(target);
            open.and_then(|file| exit::write_all(file, bytes))
        }
    };
    done.map_err(|e| Error::io(path, "write", e))
}

/// Checks that `path` could be written, before the work that fills it. Nothing is written to what is no regular
/// file.
pub fn check_writable(path: &Path) -> Result<()> {
    match Place::of(path)? {
        Place::File(target, _) => temporary(&target).map(drop).map_err(|e| Error::io(path, "write", e)),
        Place::Own(_) | Place::Stream(_) => Ok(()),
    }
}

/// Returns whether what is written to `path` goes to a device, a pipe or one of this process's own streams:
/// nothing belongs beside such a thing.
pub fn is_stream(path: &Path) -> Result<bool> {
    Ok(!matches!(Place::of(path)?, Place::File(..)))
}

/// Checks that something could be created at `path`, its parents with it, before the work that makes it.
/// Nothing is left of the try.
pub fn check_creatable(path: &Path) -> Result<()> {
    let there = path.ancestors().skip(1).find(|dir| dir.as_os_str().is_empty() || dir.exists());
    temporary(&there.unwrap_or(Path::new("")).join("x")).map(drop).map_err(|e| Error::io(path, "create", e))
}

fn replace(target: &Path, permissions: Option<Permissions>, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary(target)?;
    file.write_all(bytes)?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(target).map_err(|e| e.error)?;
    sync_parent(target)
}

/// A new file that nobody could have guessed, on the same file system so that a rename is atomic; removed when dropped.
fn temporary(beside: &Path) -> io::Result<NamedTempFile> {
    let new = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path);
    tempfile::Builder::new().prefix(".gtn.").suffix(".tmp").make_in(parent(beside), new)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Creates the folder and its parents.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io(path, "create", e))
}

/// Creates the folder. It is an error if it is there already, so that nothing that lies in it is a stranger's.
pub fn create_new_dir(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(|e| Error::io(path, "create", e))
}

/// Creates a new folder beside `path`, `.gtn.RANDOM.ENDING`, which nobody could have guessed; it is removed
/// when dropped.
pub fn new_dir_beside(path: &Path, ending: &str) -> Result<TempDir> {
    let dir = parent(path);
    let suffix = format!(".{ending}");
    let mut builder = tempfile::Builder::new();
    builder.prefix(".gtn.").suffix(&suffix);
    // Open to those whom the user's own umask lets in, as every other folder that we make.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(dir).map_err(|e| no_folder(dir, &e))
}

/// Creates a new folder in the system's temporary one, which is the user's choice (`TMPDIR`); it is removed
/// when dropped.
pub fn temporary_dir(prefix: &str) -> Result<TempDir> {
    let dir = std::env::temp_dir();
    tempfile::Builder::new().prefix(prefix).tempdir_in(&dir).map_err(|e| no_folder(&dir, &e))
}

/// The system's reason without the random name that the crate puts behind it.
fn no_folder(dir: &Path, error: &io::Error) -> Error {
    let text = error.to_string();
    let reason = text.split(" at path ").next().unwrap_or_default();
    Error::io(dir, "create a folder in", io::Error::other(reason.to_owned()))
}

/// Renames a finished folder into place, replacing an older one; on return it is durable.
/// Every file in it must already have been synced (as [`write_atomic`] does).
pub fn publish_dir(finished: &Path, target: &Path) -> Result<()> {
    let aside = new_dir_beside(target, "old")?;
    swap_in(finished, target, &aside.path().join("old")).map_err(|e| Error::io(target, "write", e))
}

/// Does what [`publish_dir`] does, and moves an older folder to `aside`, which must be on the same file system
/// and not be there.
pub fn publish_dir_with(finished: &Path, target: &Path, aside: &Path) -> Result<()> {
    swap_in(finished, target, aside).map_err(|e| Error::io(target, "write", e))
}

fn swap_in(finished: &Path, target: &Path, aside: &Path) -> io::Result<()> {
    let replaces = target.exists();
    if replaces {
        fs::rename(target, aside)?;
    }
    if let Err(e) = fs::rename(finished, target) {
        if replaces {
            fs::rename(aside, target)?; // put the older one back
        }
        return Err(e);
    }
    sync_parent(target)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(parent(path))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::{read, read_text};
    use super::*;

    #[test]
    fn atomic_write_replaces_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        check_writable(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        for missing in [&dir.path().join("no/such/a.txt"), &path.join("below-a-file")] {
            for error in [check_writable(missing).unwrap_err(), write_atomic(missing, b"x").unwrap_err()] {
                assert!(error.to_string().contains("cannot write"), "{error}");
                assert_eq!(error.exit_code(), 2);
            }
        }
        assert!(check_writable(dir.path()).unwrap_err().to_string().contains("is a folder"));
        // A name as long as a file system takes has no room for a temporary one made from it.
        write_atomic(&dir.path().join("n".repeat(255)), b"x").unwrap();
    }

    #[test]
    fn what_cannot_be_created_is_told_before() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        for good in ["a", "a/b/c.gtn", "file"] {
            check_creatable(&dir.path().join(good)).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let below_a_file = check_creatable(&dir.path().join("file/b"));
        let below_no_disk = check_creatable(Path::new("/proc/a/b"));
        for error in [below_a_file, below_no_disk].map(Result::unwrap_err) {
            assert!(error.to_string().contains("b: cannot create"), "{error}");
        }
    }

    #[test]
    fn where_no_folder_can_be_made_is_told() {
        let error = new_dir_beside(Path::new("/no/such/x.gtn"), "draft").unwrap_err().to_string();
        assert!(
            error.starts_with("/no/such: cannot create a folder in: ") && !error.contains(".gtn."),
            "{error}"
        );
        let made = temporary_dir("gtn-test.").unwrap();
        assert!(made.path().is_dir() && made.path().starts_with(std::env::temp_dir()));
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay_and_new_files_follow_the_umask() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        fs::write(at("plain"), "x").unwrap();
        write_atomic(&at("new"), b"x").unwrap();
        assert_eq!(mode("new"), mode("plain"));
        fs::set_permissions(at("new"), Permissions::from_mode(0o600)).unwrap();
        write_atomic(&at("new"), b"y").unwrap();
        assert_eq!(mode("new"), 0o600);
        let folder = new_dir_beside(&at("x"), "draft").unwrap();
        fs::create_dir(at("folder")).unwrap();
        let found = fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode("folder"));
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_lead_to_what_is_written() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("deep")).unwrap();
        symlink("deep/b", at("a")).unwrap();
        symlink("../c", at("deep/b")).unwrap();
        for text in ["made", "replaced"] {
            check_writable(&at("a")).unwrap();
            write_atomic(&at("a"), text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(at("c")).unwrap(), text);
        }
        assert!(fs::symlink_metadata(at("a")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(at("deep/b")).unwrap().is_symlink());
        symlink("loop", at("loop")).unwrap();
        assert!(write_atomic(&at("loop"), b"x").unwrap_err().to_string().contains("too many links"));
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_written_to_and_stay() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        check_writable(&pipe).unwrap(); // does not wait for a reader
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::read_to_string(pipe).unwrap())
        };
        write_atomic(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());

        let null = dir.path().join("null");
        symlink("/dev/null", &null).unwrap();
        for path in [Path::new("/dev/null"), &null] {
            check_writable(path).unwrap();
            write_atomic(path, b"gone").unwrap();
            assert!(fs::metadata(path).unwrap().file_type().is_char_device());
        }
        if Path::new("/dev/full").exists() {
            let error = write_atomic(Path::new("/dev/full"), b"x").unwrap_err();
            assert!(error.to_string().contains("/dev/full: cannot write: No space"), "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_open_descriptor_is_written_to() {
        use std::os::fd::AsRawFd;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("open");
        let mut open = File::create(&path).unwrap();
        open.write_all(b"before ").unwrap();
        let name = format!("/dev/fd/{}", open.as_raw_fd());
        write_atomic(Path::new(&name), b"ours").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before ours");
    }

    #[test]
    fn publishing_replaces_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("b.gtn");
        for text in ["one", "two"] {
            let temp = new_dir_beside(&target, "new").unwrap();
            let finished = temp.path().join("b");
            create_new_dir(&finished).unwrap();
            assert!(create_new_dir(&finished).is_err());
            write_atomic(&finished.join("f"), text.as_bytes()).unwrap();
            publish_dir(&finished, &target).unwrap();
            assert_eq!(read_text(&target.join("f")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
