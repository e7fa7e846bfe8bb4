//! Devices that are not there, for the tests of a fleet: a script in place of `adb`, a folder in place of each phone, and a
//! start of its own (boot id) for each. What runs there is the real gtn-run, or a script that waits and answers.

use crate::sshd::script;
use crate::{command, root};
use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// These are phones that are folders.
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// Makes a shelf in `dir`. A phone whose file `dir/SERIAL.cut` exists is not there.
    pub fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir.join("bin"))?;
        fs::create_dir_all(dir.join("home"))?;
        let d = dir.display();
        // What a phone's shell finds first: its own start.
        fs::create_dir_all(dir.join("there"))?;
        script(
            &dir.join("there/cat"),
            "case \"$1\" in */boot_id) echo \"$PHONE\";; *) exec /bin/cat \"$@\";; esac",
        )?;
        let stand_in = format!(
            "[ \"$1\" = -s ] && [ \"$3 $4\" = 'shell -T' ] && [ $# = 5 ] || exit 64\n\
             [ ! -e '{d}/'\"$2.cut\" ] || {{ echo \"adb: device '$2' not found\" >&2; exit 1; }}\n\
             mkdir -p '{d}/'\"$2\"; PHONE=$2 PATH='{d}/there':$PATH; export PHONE PATH\n\
             cd / && exec sh -c \"$(echo \"$5\" | sed \"s#/data/local/tmp#{d}/$2#\")\""
        );
        script(&dir.join("bin/adb"), &stand_in)?;
        // As make dist packs it: a phone has no glibc, and is given what it runs.
        fs::create_dir_all(dir.join("dist"))?;
        let _ = fs::hard_link(crate::program("gtn-run"), dir.join("dist/gtn-run"))
            .or_else(|_| fs::copy(crate::program("gtn-run"), dir.join("dist/gtn-run")).map(drop));
        let library = fs::read_dir(root().join("lib"))?.flatten().map(|e| e.path());
        let library = library.into_iter().find(|p| p.to_string_lossy().contains("libonnxruntime.so"));
        if let Some(library) = library {
            fs::copy(&library, dir.join("dist").join(library.file_name().unwrap_or_default()))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// `gtn-export` where these phones are.
    pub fn gtn_export(&self, args: &str) -> Command {
        let mut command = command("gtn-export", args);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.dir.join("bin").display()));
        command.env("HOME", self.dir.join("home")); // where `local` keeps its store
        command
    }

    /// The folder of programs for them.
    pub fn dist(&self) -> PathBuf {
        self.dir.join("dist")
    }

    /// Takes a phone away, or puts it back.
    pub fn cut(&self, serial: &str, is_cut: bool) -> Result<()> {
        let path = self.dir.join(format!("{serial}.cut"));
        if is_cut { fs::write(path, "") } else { fs::remove_file(path) }
    }

    /// What lies on all phones beside their stores' files.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let phones =
            fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|e| e.path().join("gtn-run"));
        for store in phones.chain([self.dir.join("home/.cache/gtn-run")]) {
            let dirs = fs::read_dir(store).into_iter().flatten().flatten().map(|e| e.path());
            found.extend(dirs.filter(|d| d.file_name().is_none_or(|n| n != "files" && n != "cache")));
        }
        found
    }
}
