//! A command line for another machine: paths told from other arguments, and named anew.
//!
//! Every path on the command line is of this machine. The arguments come from clap's own description of the command, so
//! none can be missed: one of a path's type without a role here is an error, and a test holds every other against a list.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use gtn_core::bundle::MANIFEST;
use gtn_core::{Error, Result};
use std::any::TypeId;
use std::path::{Component, Path, PathBuf};

/// A file or folder, here and in the folder that the command runs in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As given.
    pub here: PathBuf,
    /// Relative, with `/`.
    pub there: String,
    /// A report or a page: it may name other files.
    pub text: bool,
}

/// A command as it runs there.
#[derive(Debug, Default)]
pub struct Line {
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// Read by the command.
    pub inputs: Vec<Place>,
    /// Written by it.
    pub outputs: Vec<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Input,
    Output,
    /// `KIND:FOLDER`, or a data set that is in the program.
    Data,
    Other,
}

/// What an argument is, by its name in `cli.rs`.
fn role(arg: &Arg) -> Result<Role> {
    if !arg.get_action().takes_values() {
        return Ok(Role::Other);
    }
    let id = arg.get_id().as_str();
    match id {
        "model" | "bundles" | "kit" | "a" | "b" | "images" | "settings" | "ort_lib" | "against" => {
            Ok(Role::Input)
        }
        "json" | "html" | "logits" | "out" => Ok(Role::Output),
        "data" => Ok(Role::Data),
        _ if arg.get_value_parser().type_id() == TypeId::of::<PathBuf>() => {
            Err(Error::usage(format!("--on: what `{id}` names cannot be taken to another machine")))
        }
        _ => Ok(Role::Other),
    }
}

/// Not arguments of the command there.
const OURS: [&str; 2] = ["on", "dist"];
/// Commands that another machine has nothing to do with, or whose files are not known beforehand.
const HERE_ONLY: [&str; 2] = ["report", "infer"];

/// What may be a folder, and then holds a manifest.
const FOLDERS_WITH: [&str; 5] = ["model", "bundles", "kit", "a", "b"];

impl Line {
    /// From what clap found: of a subcommand, or of the program itself where there is none.
    pub fn read(program: &Command, matches: &ArgMatches) -> Result<Self> {
        let mut line = Self::default();
        let Some((name, inner)) = matches.subcommand() else {
            line.take_all(program, matches)?;
            return if line.inputs.is_empty() { Err(Error::usage("--on: name a bundle")) } else { Ok(line) };
        };
        if HERE_ONLY.contains(&name) {
            return Err(Error::usage(format!("--on: not for gtn-run {name}")));
        }
        let command = program.find_subcommand(name);
        let command = command.ok_or_else(|| Error::usage(format!("--on: {name} is unknown")))?;
        if name == "table" && inner.get_flag("resume") {
            return Err(Error::usage(
                "--on: table cannot --resume there: nothing of an earlier run was kept",
            ));
        }
        line.args.push(name.to_owned());
        line.take_all(command, inner)?;
        Ok(line)
    }

    fn take_all(&mut self, command: &Command, matches: &ArgMatches) -> Result<()> {
        let given =
            |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let args = command.get_arguments().filter(|arg| !OURS.contains(&arg.get_id().as_str()));
        let (positional, flags): (Vec<&Arg>, Vec<&Arg>) =
            args.filter(given).partition(|arg| arg.is_positional());
        flags.into_iter().try_for_each(|arg| self.take(arg, matches))?;
        self.args.push("--".to_owned());
        positional.into_iter().try_for_each(|arg| self.take(arg, matches))
    }

    fn take(&mut self, arg: &Arg, matches: &ArgMatches) -> Result<()> {
        let (id, role) = (arg.get_id().as_str(), role(arg)?);
        let long = arg.get_long().map(|long| format!("--{long}"));
        if !arg.get_action().takes_values() {
            self.args.extend(long);
            return Ok(());
        }
        let mut values = Vec::new();
        for raw in matches.get_raw(id).into_iter().flatten() {
            let text =
                raw.to_str().ok_or_else(|| Error::usage(format!("--on: {} is not UTF-8", raw.display())))?;
            values.push(self.place(text, role, id)?);
        }
        if let Some(delimiter) = arg.get_value_delimiter() {
            values = vec![values.join(&delimiter.to_string())];
        }
        let written =
            |value: String| long.as_ref().map_or_else(|| value.clone(), |long| format!("{long}={value}"));
        self.args.extend(values.into_iter().map(written));
        Ok(())
    }

    /// An argument's value there.
    fn place(&mut self, value: &str, role: Role, id: &str) -> Result<String> {
        let (kind, path) = match role {
            Role::Other => return Ok(value.to_owned()),
            Role::Output if value == "-" => return Ok(value.to_owned()),
            Role::Data => match value.split_once(':') {
                Some((kind, dir)) => (format!("{kind}:"), dir),
                None => return Ok(value.to_owned()),
            },
            Role::Input | Role::Output => (String::new(), value),
        };
        let here = PathBuf::from(path);
        let there = match plain(&here) {
            Some(same) => same,
            None => away(&here, self.inputs.len() + self.outputs.len())?,
        };
        if there.contains(|c: char| c.is_control()) {
            return Err(Error::input(here, "--on: has a control character in its name"));
        }
        // Before a folder is copied that nothing there could read, whatever it holds.
        if FOLDERS_WITH.contains(&id) && here.is_dir() && !here.join(MANIFEST).is_file() {
            return Err(Error::input(here, format!("is no bundle and no kit: it has no {MANIFEST}")));
        }
        let place = Place { here, there: there.clone(), text: matches!(id, "json" | "html") };
        if role == Role::Output {
            self.outputs.push(place)
        } else {
            self.inputs.push(place)
        }
        Ok(kind + &there)
    }

    /// What the command there printed, with the names that files have here.
    pub fn named_as_here(&self, text: &str) -> String {
        let places = self.inputs.iter().chain(&self.outputs).filter(|p| p.there.starts_with(AWAY));
        places.fold(text.to_owned(), |text, p| text.replace(&p.there, &p.here.to_string_lossy()))
    }
}

/// Begins the name there of what cannot have the same as here.
const AWAY: char = '@';

/// A relative path that stays below its folder has the same name there.
fn plain(path: &Path) -> Option<String> {
    let part = |c: Component<'_>| match c {
        Component::CurDir => Some(None),
        Component::Normal(name) => name.to_str().map(Some).map(|n| n.map(str::to_owned)),
        _ => None,
    };
    let parts: Vec<String> =
        path.components().map(part).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    (parts.first().is_some_and(|first| !first.starts_with(AWAY))).then(|| parts.join("/"))
}

/// Any other: `@3/student.gtn`.
fn away(path: &Path, n: usize) -> Result<String> {
    // It is put back into reports, which are JSON.
    if !cfg!(windows) && path.to_string_lossy().contains(['"', '\\']) {
        return Err(Error::input(path, "--on: has a quote or a backslash in its name"));
    }
    let name = path.file_name().map_or_else(|| "folder".into(), |name| name.to_string_lossy());
    Ok(format!("{AWAY}{n}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn line(text: &str) -> Result<Line> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(text.split(' ')).unwrap();
        Line::read(&command, &matches)
    }

    #[test]
    fn paths_are_told_from_the_rest() {
        let line = line(
            "gtn-run --on ssh:h eval ./a/b.gtn --data cifar10@16:/d/c10 --logits ../l.npy --ep cpu,xnnpack --json - \
             --allow-software --threads 2",
        )
        .unwrap();
        let mut args = line.args.clone();
        args[1..7].sort();
        let wanted = [
            "eval",
            "--allow-software",
            "--data=cifar10@16:@0/c10",
            "--ep=cpu,xnnpack",
            "--json=-",
            "--logits=@1/l.npy",
            "--threads=2",
            "--",
            "a/b.gtn",
        ];
        assert_eq!(args, wanted);
        let inputs: Vec<_> =
            line.inputs.iter().map(|p| (p.here.to_str().unwrap(), p.there.as_str())).collect();
        assert_eq!(inputs, [("/d/c10", "@0/c10"), ("./a/b.gtn", "a/b.gtn")]);
        assert_eq!(line.outputs[0].here, Path::new("../l.npy"));
        assert_eq!(line.named_as_here("@0/c10/x and @1/l.npy"), "/d/c10/x and ../l.npy");
    }

    #[test]
    fn a_bundle_alone_is_a_command_too() {
        let line = line("gtn-run --on adb:x --profile b.gtn c.gtn --html p.html").unwrap();
        assert_eq!(line.args, ["--profile", "--html=p.html", "--", "b.gtn", "c.gtn"]);
    }

    #[test]
    fn what_makes_no_sense_there_is_refused() {
        for (text, wanted) in [
            ("gtn-run --on ssh:h", "name a bundle"),
            ("gtn-run --on ssh:h verify src", "src: is no bundle and no kit"),
            ("gtn-run --on ssh:h report r.json", "not for gtn-run report"),
            ("gtn-run --on ssh:h infer m.onnx --input x.npy --out d", "not for gtn-run infer"),
            ("gtn-run --on ssh:h table k.gtnkit --out t.json --resume", "--resume"),
        ] {
            let error = line(text).unwrap_err();
            assert!(error.to_string().contains(wanted) && error.exit_code() == 2, "{error}");
        }
    }

    /// A new argument that holds a path in a text would be taken for no path: it must be thought of here.
    #[test]
    fn every_argument_has_a_role() {
        let texts = ["backend", "ep", "pin", "spin", "on", "kernels"];
        let numbers = [TypeId::of::<usize>(), TypeId::of::<u64>(), TypeId::of::<f64>()];
        let program = Cli::command();
        for command in program.get_subcommands().chain([&program]) {
            if HERE_ONLY.contains(&command.get_name()) {
                continue;
            }
            for arg in command.get_arguments() {
                let id = arg.get_id().as_str();
                let number = numbers.iter().any(|n| arg.get_value_parser().type_id() == *n);
                let fits = OURS.contains(&id)
                    || !arg.get_action().takes_values()
                    || role(arg).unwrap() != Role::Other
                    || number
                    || texts.contains(&id);
                assert!(fits, "gtn-run {}: `{id}`", command.get_name());
            }
        }
    }
}
