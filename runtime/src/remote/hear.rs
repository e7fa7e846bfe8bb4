//! What another machine says, as much as it may: nothing of it is kept without a bound.

use std::io::{BufRead, BufReader, Read, Result, Seek, SeekFrom};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use tempfile::SpooledTempFile;

/// Printed before a script, since a login shell may print what it likes before that.
const BEGIN: &[u8] = b"gtn-begin\n";
/// This is printed after a script, with its exit status: what lacks it was cut short, whatever ssh or adb exits
/// with.
pub const DONE: &str = "gtn-done:";
/// A login shell's greetings.
const MAX_GREETING: u64 = 256 << 10;
/// Of an answer so much is kept in memory, what is beyond it in a file without a name.
const IN_MEMORY: usize = 1 << 20;
/// Bytes of a line of stderr; what is beyond them is left out.
const MAX_LINE: u64 = 4096;
/// Bytes of stderr of one script: a run of an hour that tells its progress writes a thousandth of it.
const MAX_STDERR: u64 = 16 << 20;
/// Lines of stderr that wait for us; then the other side does.
const WAITING: usize = 64;

/// This says how a script's stdout ended.
#[derive(Debug)]
pub enum Heard {
    /// It came to its end: its exit status, and what it printed.
    Whole(u8, Answer),
    /// The end is missing.
    Cut,
    /// More came than may.
    TooLong,
}

/// This is what a script printed.
#[derive(Debug)]
pub struct Answer {
    file: SpooledTempFile,
    left: u64,
}

/// Reads the stdout of a script that may print `most` bytes; nothing is read beyond. Fails where reading does.
pub fn stdout(out: impl Read, most: u64) -> Result<Heard> {
    let mut out = BufReader::new(out);
    let mut greeting = (&mut out).take(MAX_GREETING);
    let mut line = Vec::new();
    while !line.ends_with(BEGIN) {
        line.clear();
        if greeting.read_until(b'\n', &mut line)? == 0 {
            return Ok(if greeting.limit() == 0 { Heard::TooLong } else { Heard::Cut });
        }
    }
    let with_status = most + DONE.len() as u64 + 4; // `255` and a line's end
    let mut file = SpooledTempFile::new(IN_MEMORY);
    let size = std::io::copy(&mut out.take(with_status + 1), &mut file)?;
    if size > with_status {
        return Ok(Heard::TooLong);
    }
    let tail = size.min(64);
    file.seek(SeekFrom::Start(size - tail))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let Some((code, before)) = status(&end) else { return Ok(Heard::Cut) };
    file.rewind()?;
    Ok(Heard::Whole(code, Answer { file, left: size - tail + before as u64 }))
}

/// The exit status at an answer's end, and how many bytes stand before it.
fn status(end: &[u8]) -> Option<(u8, usize)> {
    let body = end.strip_suffix(b"\n")?;
    let at = body.windows(DONE.len()).rposition(|w| w == DONE.as_bytes())?;
    let code = std::str::from_utf8(body.get(at + DONE.len()..)?).ok()?;
    Some((code.parse().ok()?, at))
}

impl Answer {
    /// Returns the next line without its end. Returns `None` if there is none, or it is longer than any of
    /// ours.
    pub fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < 256 && self.left > 0 {
            self.file.read_exact(&mut byte).ok()?;
            self.left -= 1;
            if byte == *b"\n" {
                return String::from_utf8(line).ok();
            }
            line.extend(byte);
        }
        None
    }

    /// Returns the next `size` bytes; `None` if there are not so many.
    pub fn bytes(&mut self, size: u64) -> Option<Vec<u8>> {
        self.left = self.left.checked_sub(size)?;
        let mut bytes = Vec::new();
        (&mut self.file).take(size).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 == size).then_some(bytes)
    }

    /// Returns whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Returns all that is left; `None` where it cannot be read.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        self.bytes(self.left)
    }
}

/// This is one of the lines for people, or the news that there were too many.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Without its end, and without what is beyond the bound.
    Line(String),
    /// More came than may; nothing follows.
    TooMuch,
}

/// Reads lines for people (stderr, mostly) in a thread of its own, until their end, and returns where they
/// arrive.
pub fn lines(err: impl Read + Send + 'static) -> Receiver<Said> {
    let (tell, lines) = sync_channel(WAITING);
    thread::spawn(move || {
        let mut err = BufReader::new(err.take(MAX_STDERR));
        while let Ok(Some(line)) = bounded_line(&mut err) {
            if tell.send(Said::Line(line)).is_err() {
                return; // nobody listens any more
            }
        }
        if err.into_inner().limit() == 0 {
            let _ = tell.send(Said::TooMuch); // as above
        }
    });
    lines
}

fn bounded_line(err: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    if err.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        err.skip_until(b'\n')?;
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(out: &[u8]) -> Option<(u8, Vec<u8>)> {
        match stdout(out, 100).unwrap() {
            Heard::Whole(code, mut answer) => Some((code, answer.rest().unwrap())),
            _ => None,
        }
    }

    #[test]
    fn only_a_whole_answer_counts() {
        assert_eq!(heard(b"Welcome!\ngtn-begin\nx\ny\ngtn-done:3\n"), Some((3, b"x\ny\n".to_vec())));
        assert_eq!(heard(b"gtn-begin\ngtn-done:0\n"), Some((0, vec![])));
        assert_eq!(heard(b"no line end gtn-begin\nnone gtn-done:255\n"), Some((255, b"none ".to_vec())));
        for cut in
            ["", "gtn-done:0\n", "gtn-begin\nx\n", "gtn-begin\nx\ngtn-done:", "gtn-begin\ngtn-done:256\n"]
        {
            assert_eq!(heard(cut.as_bytes()), None, "{cut}");
        }
    }

    #[test]
    fn nothing_is_heard_without_a_bound() {
        let long = |n: usize| [b"gtn-begin\n", vec![b'x'; n].as_slice(), b"gtn-done:255\n"].concat();
        assert_eq!(heard(&long(100)), Some((255, vec![b'x'; 100])));
        assert!(matches!(stdout(long(101).as_slice(), 100).unwrap(), Heard::TooLong));
        // Endless ones: they would fill any memory.
        let mut zeros = b"gtn-begin\n".chain(std::io::repeat(0));
        assert!(matches!(stdout(&mut zeros, 5 << 20).unwrap(), Heard::TooLong));
        assert!(matches!(stdout(std::io::repeat(b'w'), 100).unwrap(), Heard::TooLong));
        let said: Vec<Said> = lines(std::io::repeat(b'e')).iter().collect();
        assert_eq!(said, [Said::Line("e".repeat(4096)), Said::TooMuch]);
        let said: Vec<Said> = lines(&b"one\r\n\ntwo"[..]).iter().collect();
        assert_eq!(said, ["one", "", "two"].map(|line| Said::Line(line.into())));
    }

    #[test]
    fn an_answer_is_read_in_parts() {
        let Heard::Whole(0, mut answer) =
            stdout(&b"gtn-begin\nexit 1\n\0\xff\nrestgtn-done:0\n"[..], 99).unwrap()
        else {
            unreachable!()
        };
        assert_eq!(answer.line().as_deref(), Some("exit 1"));
        assert_eq!(answer.bytes(3), Some(vec![0, 255, b'\n']));
        assert_eq!((answer.line(), answer.is_over()), (None, true));
        assert_eq!(answer.bytes(1), None);
    }
}
