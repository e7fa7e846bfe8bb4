//! One run there: a folder with links into the store, the program, what it wrote, and nothing left of it.

use super::arguments::Line;
use super::link::{Ears, Link};
use super::program::Program;
use super::store::Store;
use gtn_core::{Error, Result, artifact, exit};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::Write as _;

/// Takes the script that comes in (its size is put for SIZE) and runs it. However that ends, the folder goes, and with it the
/// program: by its end, a signal, or when stdin or stdout close, as they do when the connection is cut.
const RUN: &str = "cd \"$S\" && S=$PWD || exit 1; R=\"$S/run.$$\"; p=; \
    c() { [ -z \"$p\" ] || kill -TERM $p 2>/dev/null; rm -rf \"$R\"; }; trap c EXIT; \
    trap \"exit 1\" HUP INT TERM PIPE; mkdir \"$R\" && cd \"$R\" && head -c SIZE > .script && . ./.script";

/// What must be there for a run: the script that makes its folder and runs it.
pub struct Wanted {
    script: String,
}

impl Wanted {
    /// Adds the program and its library to the store.
    pub fn new(store: &mut Store, program: &Program, line: &Line) -> Result<Self> {
        let executable = store.add_file(&program.path)?;
        let library = program.library.as_deref().map(|path| store.add_file(path)).transpose()?;
        Ok(Self { script: script(store, &executable, library.as_deref(), line) })
    }
}

/// In a function, so that a script of which a part is missing does nothing.
fn script(store: &Store, executable: &str, library: Option<&str>, line: &Line) -> String {
    let mut text = String::from("gtn() {\nmkdir w && cd w || return 1\n");
    let mut add = |line: String| {
        let _ = writeln!(text, "{line}"); // a String takes all
    };
    let parent = |path: &str| path.rsplit_once('/').map(|(dir, _)| dir.to_owned());
    let outputs = line.outputs.iter().map(|p| p.there.as_str());
    let dirs: BTreeSet<String> =
        store.names.keys().map(String::as_str).chain(outputs).filter_map(parent).collect();
    dirs.iter().for_each(|dir| add(format!("mkdir -p {} || return 1", quoted(dir))));
    for (name, hash) in &store.names {
        add(format!("ln -s \"$S/files/{hash}\" {} || return 1", quoted(name)));
    }
    if let Some(hash) = library {
        add(format!("ORT_DYLIB_PATH=\"$S/files/{hash}\"; export ORT_DYLIB_PATH"));
    }
    // What libraries keep between runs (a driver's shaders) is kept in the store; ONNX Runtime's telemetry would
    // leave a database in the home folder.
    add("XDG_CACHE_HOME=\"$S/cache\" ORT_DISABLE_TELEMETRY=1; export XDG_CACHE_HOME ORT_DISABLE_TELEMETRY"
        .into());
    let args: Vec<String> = line.args.iter().map(|arg| quoted(arg)).collect();
    // A process group of its own, if that can be had, ends whole.
    add("s=; g=; if command -v setsid >/dev/null; then s=setsid; g=-; fi".into());
    add("exec 3<&0".into());
    add(format!("ln -s \"$S/files/{executable}\" ../gtn-run || return 1"));
    add(format!("$s ../gtn-run {} </dev/null 3<&- >../stdout &", args.join(" ")));
    add("p=\"$g$!\"".into());
    add("( while read -r x; do :; done; kill -TERM $p ) <&3 3<&- >/dev/null 2>&1 &".into());
    add("w=$!; wait ${p#-} 2>/dev/null; e=$?; p=; kill $w 2>/dev/null".into());
    add("echo exit $e".into());
    add("send() { if [ -f \"$2\" ]; then echo file $1 $(wc -c < \"$2\"); cat \"$2\"; fi; }".into());
    add("send 0 ../stdout".into());
    for (i, place) in line.outputs.iter().enumerate() {
        add(format!("send {} {}", i + 1, quoted(&place.there)));
    }
    text.push_str("}\ngtn\n");
    text
}

/// For sh: nothing in it has a meaning.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Runs it, lets its progress through, and writes here what it wrote there; its exit status.
pub fn run(link: &mut Link, wanted: &Wanted, line: &Line) -> Result<u8> {
    let script = wanted.script.clone();
    let command = RUN.replace("SIZE", &script.len().to_string());
    let mut tell = |text: String| {
        // A closed stderr is no reason to stop working.
        let _ = writeln!(std::io::stderr(), "{}", line.named_as_here(&text));
        None
    };
    let mut ears = Ears { hold: true, line: &mut tell, poll: &mut || () };
    let send = Box::new(move |stdin: &mut std::process::ChildStdin| stdin.write_all(script.as_bytes()));
    let answer = link.exchange(&command, send, &mut ears)?;
    if answer.code != 0 {
        let what =
            format!("{}: the run could not be set up there (exit status {})", link.address(), answer.code);
        return Err(Error::Failed(what));
    }
    let bad = || Error::Failed(format!("{}: what came back is not what was sent", link.address()));
    let (code, files) = frames(&answer.out).ok_or_else(bad)?;
    for (i, bytes) in files.iter().filter(|(i, _)| *i > 0) {
        let place = line.outputs.get(i - 1).ok_or_else(bad)?;
        match std::str::from_utf8(bytes).ok().filter(|_| place.text) {
            Some(text) => artifact::write_atomic(&place.here, line.named_as_here(text).as_bytes())?,
            None => artifact::write_atomic(&place.here, bytes)?,
        }
    }
    let told = match files.iter().find(|(i, _)| *i == 0) {
        Some((_, bytes)) => exit::print(&line.named_as_here(&String::from_utf8_lossy(bytes))),
        None => Ok(()),
    };
    let came = |n: usize| files.iter().any(|(i, _)| *i == n);
    match line.outputs.iter().enumerate().find(|(i, _)| code == 0 && !came(i + 1)) {
        Some((_, lost)) => {
            Err(Error::Failed(format!("{}: did not write {}", link.address(), lost.here.display())))
        }
        None if code == 0 => told.map(|()| code),
        None => {
            told.err().iter().for_each(exit::complain); // the work's own status stays
            Ok(code)
        }
    }
}

type Files<'a> = Vec<(usize, &'a [u8])>;

/// `exit N`, then for each file `file I SIZE` and its bytes.
fn frames(out: &[u8]) -> Option<(u8, Files<'_>)> {
    let (head, mut rest) = cut_line(out)?;
    let code = head.strip_prefix("exit ")?.parse().ok()?;
    let mut files = Vec::new();
    while !rest.is_empty() {
        let (head, after) = cut_line(rest)?;
        let (i, size) = head.strip_prefix("file ")?.split_once(' ')?;
        let (bytes, after) = after.split_at_checked(size.trim().parse().ok()?)?;
        files.push((i.parse().ok()?, bytes));
        rest = after;
    }
    Some((code, files))
}

fn cut_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|&b| b == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(line).ok()?, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_or_refused() {
        let out = b"exit 1\nfile 0 6\ntable\nfile 2 3\n\x00\n\xff";
        assert_eq!(frames(out), Some((1, vec![(0, &b"table\n"[..]), (2, &b"\x00\n\xff"[..])])));
        for cut in [
            &b""[..],
            b"exit\n",
            b"exit 300\n",
            b"exit 0\nfile 0 9\nshort",
            b"exit 0\nfile 0\n",
            b"exit 0\nx",
        ] {
            assert_eq!(frames(cut), None);
        }
    }

    #[test]
    fn nothing_is_left_to_the_shell() {
        let text = "a b'c; $(reboot) `x` \"\\ \n";
        let echoed =
            std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(text))]).output();
        assert_eq!(String::from_utf8(echoed.unwrap().stdout).unwrap(), text);
    }

    /// A login shell hands these on as they are: no quotes, backslashes, history or line ends.
    #[test]
    fn scripts_pass_through_any_login_shell() {
        for script in [RUN, super::super::store::LOOK, super::super::store::PUT] {
            assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
        }
    }
}
