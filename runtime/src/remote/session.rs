//! One run there: a folder with links into the store, the program, what it wrote, and nothing left of it.

use super::line::{Came, Line, MAX_WORDS, Telling, most};
use super::link::{Link, Listener};
use super::program::Program;
use super::store::{self, Store};
use super::{Hearer, hear};
use gtn_core::{Error, Result};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::Write as _;

/// Takes the script that comes in (its size is put for SIZE) and runs it. However that ends, the folder goes, and with it the
/// program: by its end, a signal, or when stdin or stdout close, as they do when the connection is cut. The folder's name
/// says whose it is (a home folder may be shared by machines), and its lock is held as long as anything of the run lives.
const RUN: &str = "cd \"$S\" && S=$PWD || exit 1; WHO; R=\"$S/run.TOKEN.$$.$b.$n\"; p=; \
    c() { [ -z \"$p\" ] || kill -TERM $p 2>/dev/null; rm -rf \"$R\"; }; trap c EXIT; \
    trap \"exit 1\" HUP INT TERM PIPE; mkdir \"$R\" && cd \"$R\" && exec 9>lock || exit 1; HOLD; \
    head -c SIZE > .script && . ./.script";

/// Framing around the files of a run.
const MAX_FRAMES: u64 = 4096;

/// This is what must be there for a run: the script that makes its folder and runs it.
pub struct Wanted {
    script: String,
}

/// This is what every run on a machine has: the program, its library, and what stands before the program there.
pub struct Base {
    files: Store,
    executable: String,
    library: Option<String>,
    launcher: Vec<String>,
}

impl Base {
    /// Hashes the program and its library.
    pub fn new(program: &Program, launcher: &[String]) -> Result<Self> {
        let mut files = Store::default();
        let executable = files.add_file(&program.path)?;
        let library = program.library.as_deref().map(|path| files.add_file(path)).transpose()?;
        Ok(Self { files, executable, library, launcher: launcher.to_vec() })
    }
}

impl Wanted {
    /// Adds the program and its library to the store, and writes the script.
    pub fn new(store: &mut Store, base: &Base, line: &Line) -> Self {
        store.add_all(&base.files);
        Self { script: script(store, base, line) }
    }
}

/// In a function, so that a script of which a part is missing does nothing.
fn script(store: &Store, base: &Base, line: &Line) -> String {
    let Base { executable, library, launcher, .. } = base;
    let mut text = String::from("gtn() {\nmkdir w && cd w || return 1\n");
    let mut add = |line: String| {
        let _ = writeln!(text, "{line}"); // a String takes all
    };
    let parent = |path: &str| path.rsplit_once('/').map(|(dir, _)| dir.to_owned());
    let outputs = line.outputs.iter().map(|p| p.there.as_str());
    let dirs: BTreeSet<String> =
        store.names.keys().map(String::as_str).chain(outputs).filter_map(parent).collect();
    dirs.iter().for_each(|dir| add(format!("mkdir -p {} || return 1", quoted(dir))));
    // Regular files, as they are here: a program may refuse what links lead to.
    add("put() { ln \"$S/files/$1\" \"$2\" 2>/dev/null || cp \"$S/files/$1\" \"$2\"; }".into());
    for (name, hash) in &store.names {
        add(format!("put {hash} {} || return 1", quoted(name)));
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
    let launcher: String = launcher.iter().map(|word| format!("{} ", quoted(word))).collect();
    add(format!("$s {launcher}../gtn-run {} </dev/null 3<&- >../stdout &", args.join(" ")));
    add("p=\"$g$!\"".into());
    add("( while read -r x; do :; done; kill -TERM $p ) <&3 3<&- >/dev/null 2>&1 &".into());
    add("w=$!; wait ${p#-} 2>/dev/null; e=$?; p=; kill $w 2>/dev/null".into());
    add("echo exit $e".into());
    add("send() { if [ -f \"$2\" ]; then echo file $1 $(wc -c < \"$2\"); cat \"$2\"; fi; }".into());
    if matches!(line.telling, Telling::Words | Telling::Json) {
        add("send 0 ../stdout".into());
    }
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

/// Runs the command there, lets its progress through, and returns what came back. Fails where the run cannot be
/// set up there, or what came back is not what was sent.
pub fn run(link: &mut Link, wanted: &Wanted, line: &Line, hear: &mut Hearer<'_>) -> Result<Came> {
    let script = wanted.script.clone();
    let command = store::whole(RUN).replace("SIZE", &script.len().to_string());
    let mut tell = |text: String| {
        (hear.line)(&line.names.in_words(&text));
        None
    };
    let bounds = line.outputs.iter().map(|output| most(output.made));
    let most = bounds.sum::<u64>() + MAX_WORDS + MAX_FRAMES;
    let mut ears = Listener { hold: true, most, line: &mut tell, poll: &mut || () };
    let send = Box::new(move |stdin: &mut std::process::ChildStdin| stdin.write_all(script.as_bytes()));
    let answer = link.exchange(&command, send, &mut ears)?;
    if answer.code != 0 {
        let what =
            format!("{}: the run could not be set up there (exit status {})", link.address(), answer.code);
        return Err(Error::Failed(what));
    }
    let odd = || Error::Failed(format!("{}: what came back is not what was sent", link.address()));
    let came = frames(answer.out, line).ok_or_else(odd)?;
    Ok(came)
}

/// `exit N`, then for each file `file I SIZE` and its bytes: 0 is what was printed, `I` the output before `I`. Each once, and
/// none larger than it may be.
fn frames(mut out: hear::Answer, line: &Line) -> Option<Came> {
    let code = out.line()?.strip_prefix("exit ")?.parse().ok()?;
    let mut came = Came { code, ..Came::default() };
    while !out.is_over() {
        let head = out.line()?;
        let (i, size) = head.strip_prefix("file ")?.split_once(' ')?;
        let (i, size): (usize, u64) = (i.parse().ok()?, size.trim().parse().ok()?);
        let most = match i.checked_sub(1) {
            None => MAX_WORDS,
            Some(i) => most(line.outputs.get(i)?.made),
        };
        if size > most || came.files.insert(i, out.bytes(size)?).is_some() {
            return None;
        }
    }
    Some(came)
}

#[cfg(test)]
mod tests {
    use super::super::line::{Made, Output};
    use super::*;

    #[test]
    fn frames_are_read_or_refused() {
        let output = |made| Output { here: None, there: "x".into(), made };
        let line = Line { outputs: vec![output(Made::Answer), output(Made::Logits)], ..Line::default() };
        let frames = |out: &[u8]| {
            let out = [b"gtn-begin\n", out, b"gtn-done:0\n"].concat();
            match hear::stdout(out.as_slice(), 1000).unwrap() {
                hear::Heard::Whole(0, answer) => frames(answer, &line),
                other => unreachable!("{other:?}"),
            }
        };
        let came = frames(b"exit 1\nfile 0 6\ntable\nfile 2 3\n\x00\n\xff").unwrap();
        assert_eq!(came.code, 1);
        assert_eq!(
            came.files.into_iter().collect::<Vec<_>>(),
            [(0, b"table\n".to_vec()), (2, vec![0, b'\n', 255])]
        );
        for odd in [
            &b""[..],
            b"exit\n",
            b"exit 300\n",
            b"exit 0\nfile 0 9\nshort",
            b"exit 0\nfile 0\n",
            b"exit 0\nx",
            b"exit 0\nfile 3 1\nx",
            b"exit 0\nfile 1 1\nxfile 1 1\ny",
            b"exit 0\nfile 1 99999999999\n",
            b"exit 0\nfile 1 18446744073709551615\n",
        ] {
            assert!(frames(odd).is_none(), "{}", String::from_utf8_lossy(odd));
        }
    }

    /// Seeded mutants of a whole answer: each is taken for what it is, or refused; nothing comes that was not sent.
    #[test]
    fn no_mutant_of_an_answer_does_harm() {
        let output = |made| Output { here: None, there: "x".into(), made };
        let line = Line { outputs: vec![output(Made::Answer)], ..Line::default() };
        let good =
            b"hello\ngtn-begin\nexit 0\nfile 0 6\ntable\nfile 1 20\n{\"schema\": \"gtn...\"}gtn-done:0\n";
        let texts = [
            "gtn-begin\n",
            "gtn-done:",
            "exit 0\n",
            "file 1 ",
            "18446744073709551615",
            "-1",
            "\n",
            "99999",
            "\u{0}",
        ];
        let (mut taken, mut refused) = (0, 0);
        for i in 0..2000 {
            let mut rng = gtn_core::rng::Rng::new(13, "answer", i);
            let mut below = |n: usize| rng.below(n as u64) as usize;
            let mut out = good.to_vec();
            for _ in 0..=below(3) {
                let (at, end) = (below(out.len()), below(out.len()));
                match below(4) {
                    0 => out[at] = below(256) as u8,
                    1 => drop(out.splice(at..at, texts[below(texts.len())].bytes())),
                    2 if at < end => drop(out.drain(at..end)),
                    _ => out.truncate(at.max(1)),
                }
            }
            let sent = out.len();
            let came = match hear::stdout(out.as_slice(), 1000).unwrap() {
                hear::Heard::Whole(_, answer) => frames(answer, &line),
                _ => None,
            };
            match came {
                Some(came) => {
                    taken += 1;
                    assert!(came.files.values().map(Vec::len).sum::<usize>() < sent, "{i}");
                }
                None => refused += 1,
            }
        }
        assert!(taken > 50 && refused > 1000, "{taken} taken, {refused} refused");
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
        for script in store::scripts().into_iter().chain([store::whole(RUN)]) {
            assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
        }
    }
}
