//! A command line for another machine: paths told from other arguments, and named anew.
//!
//! Every path on the command line is of this machine. The arguments come from clap's own description of the command, so
//! none can be missed: one of a path's type without a role here is an error, and a test holds every other against a list.

use crate::cli::OutputArgs;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use gtn_core::artifacts::bundle::MANIFEST;
use gtn_core::data::tar_files;
use gtn_core::io::artifact;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use gtn_run::remote::{Holds, Input, Line, Made, Output, Telling};
use std::any::TypeId;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Input(Holds),
    Output(Made),
    /// `KIND:FOLDER`, or a data set that is in the program.
    Data,
    Other,
}

/// What an argument is, by its name in `cli.rs`.
fn role(command: &str, arg: &Arg) -> Result<Role> {
    if !arg.get_action().takes_values() {
        return Ok(Role::Other);
    }
    let id = arg.get_id().as_str();
    match id {
        "model" | "bundles" | "kit" | "a" | "b" => Ok(Role::Input(Holds::Model)),
        "images" => Ok(Role::Input(Holds::Pictures)),
        "settings" | "ort_lib" | "against" => Ok(Role::Input(Holds::File)),
        "json" | "html" => Ok(Role::Output(Made::Answer)),
        "logits" => Ok(Role::Output(Made::Logits)),
        "out" if command == "tune" => Ok(Role::Output(Made::Settings)),
        "out" if command == "table" => Ok(Role::Output(Made::Table)),
        "data" => Ok(Role::Data),
        _ if arg.get_value_parser().type_id() == TypeId::of::<PathBuf>() => {
            Err(Error::usage(format!("--on: what `{id}` names cannot be taken to another machine")))
        }
        _ => Ok(Role::Other),
    }
}

/// How the command's answer is told.
fn telling(command: &str, matches: &ArgMatches) -> Telling {
    match command {
        "compare" => Telling::Comparison,
        "soak" => Telling::Soak,
        "classify" => Telling::Pictures,
        "info" if matches.get_flag("json") => Telling::Json,
        "info" | "tune" | "table" => Telling::Words,
        _ => Telling::Reports,
    }
}

/// Not arguments of the command there.
const OURS: [&str; 2] = ["on", "dist"];
/// Commands that another machine has nothing to do with, or whose files are not known beforehand.
const HERE_ONLY: [&str; 3] = ["report", "infer", "answer"];
/// Where the answer is written there.
const ANSWER: &str = "@answer.json";

/// The line while it is read.
#[derive(Default)]
struct Reading {
    line: Line,
    output: OutputArgs,
}

/// Reads what clap found, of a subcommand, or of the program itself where there is none. Returns the command,
/// and where its answer is wanted here.
pub fn read(program: &Command, matches: &ArgMatches) -> Result<(Line, OutputArgs)> {
    let mut reading = Reading::default();
    reading.command(program, matches)?;
    Ok((reading.line, reading.output))
}

/// Checks that each file here can be written, before any work.
pub fn check_writable(line: &Line, output: &OutputArgs) -> Result<()> {
    let answer = [&output.json, &output.html].into_iter().flatten();
    let others = line.outputs.iter().filter_map(|output| output.here.as_ref());
    let mut files = answer.chain(others).filter(|path| *path != Path::new("-"));
    files.try_for_each(|path| artifact::check_writable(path))
}

impl Reading {
    fn command(&mut self, program: &Command, matches: &ArgMatches) -> Result<()> {
        let Some((name, inner)) = matches.subcommand() else {
            self.take_all(program, "", matches)?;
            return if self.line.inputs.is_empty() {
                Err(Error::usage("--on: name a bundle"))
            } else {
                Ok(())
            };
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
        self.line.args.push(name.to_owned());
        self.line.telling = telling(name, inner);
        self.take_all(command, name, inner)
    }

    fn take_all(&mut self, command: &Command, name: &str, matches: &ArgMatches) -> Result<()> {
        let given =
            |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let args = command.get_arguments().filter(|arg| !OURS.contains(&arg.get_id().as_str()));
        let (positional, flags): (Vec<&Arg>, Vec<&Arg>) =
            args.filter(given).partition(|arg| arg.is_positional());
        flags.into_iter().try_for_each(|arg| self.take(arg, name, matches))?;
        if !matches!(self.line.telling, Telling::Words | Telling::Json) {
            self.line.args.push(format!("--json={ANSWER}"));
            self.line.outputs.push(Output { here: None, there: ANSWER.into(), made: Made::Answer });
        }
        self.line.args.push("--".to_owned());
        positional.into_iter().try_for_each(|arg| self.take(arg, name, matches))
    }

    fn take(&mut self, arg: &Arg, command: &str, matches: &ArgMatches) -> Result<()> {
        let (id, role) = (arg.get_id().as_str(), role(command, arg)?);
        let long = arg.get_long().map(|long| format!("--{long}"));
        if !arg.get_action().takes_values() {
            self.line.args.extend(long);
            return Ok(());
        }
        let mut values = Vec::new();
        for raw in matches.get_raw(id).into_iter().flatten() {
            values.extend(self.value(raw, role, id)?);
        }
        if let Some(delimiter) = arg.get_value_delimiter() {
            values = vec![values.join(&delimiter.to_string())];
        }
        let written =
            |value: String| long.as_ref().map_or_else(|| value.clone(), |long| format!("{long}={value}"));
        self.line.args.extend(values.into_iter().map(written));
        Ok(())
    }

    /// An argument's value there; none: it is not told there.
    fn value(&mut self, raw: &OsStr, role: Role, id: &str) -> Result<Option<String>> {
        let text = || {
            raw.to_str().ok_or_else(|| {
                Error::usage(format!("--on: {} is not UTF-8", format::escape(&raw.to_string_lossy())))
            })
        };
        match role {
            Role::Other => Ok(Some(text()?.to_owned())),
            Role::Output(Made::Answer) => {
                let place = if id == "html" { &mut self.output.html } else { &mut self.output.json };
                *place = Some(raw.into());
                Ok(None)
            }
            Role::Output(made) => {
                let there = self.line.names.path(Path::new(raw));
                self.line.outputs.push(Output { here: Some(raw.into()), there: there.clone(), made });
                Ok(Some(there))
            }
            Role::Data => match text()?.split_once(':') {
                Some((kind, files)) if kind.split('@').next() == Some("tar") => {
                    let files = tar_files(files).map_err(Error::usage)?;
                    let there = files.iter().map(|file| self.input(file.as_ref(), Holds::File));
                    Ok(Some(format!("{kind}:{}", there.collect::<Result<Vec<_>>>()?.join(","))))
                }
                Some((kind, dir)) => Ok(Some(format!("{kind}:{}", self.input(dir.as_ref(), Holds::Data)?))),
                None => Ok(Some(text()?.to_owned())),
            },
            Role::Input(holds) => Ok(Some(self.input(raw, holds)?)),
        }
    }

    fn input(&mut self, raw: &OsStr, holds: Holds) -> Result<String> {
        let here = PathBuf::from(raw);
        // Before anything is copied that nothing there could read.
        if holds == Holds::Model && here.is_dir() && !here.join(MANIFEST).is_file() {
            return Err(Error::input(here, format!("is no bundle and no kit: it has no {MANIFEST}")));
        }
        let there = self.line.names.path(&here);
        self.line.inputs.push(Input { here, there: there.clone(), holds });
        Ok(there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn line(text: &str) -> Result<(Line, OutputArgs)> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(text.split(' ')).unwrap();
        read(&command, &matches)
    }

    #[test]
    fn paths_are_told_from_the_rest() {
        let (line, output) = line(
            "gtn-run --on ssh:h eval ./a/b.gtn --data cifar10@16:/d/c10 --logits ../l.npy --ep cpu,xnnpack --json - \
             --allow-software --threads 2",
        )
        .unwrap();
        let mut args = line.args.clone();
        args[1..6].sort();
        let wanted = [
            "eval",
            "--allow-software",
            "--data=cifar10@16:@0/c10",
            "--ep=cpu,xnnpack",
            "--logits=@1/l.npy",
            "--threads=2",
            "--json=@answer.json",
            "--",
            "a/b.gtn",
        ];
        assert_eq!(args, wanted);
        let inputs: Vec<_> =
            line.inputs.iter().map(|p| (p.here.to_str().unwrap(), p.there.as_str())).collect();
        assert_eq!(inputs, [("/d/c10", "@0/c10"), ("./a/b.gtn", "a/b.gtn")]);
        assert_eq!(line.outputs[0].here.as_deref(), Some(Path::new("../l.npy")));
        assert_eq!(output.json.as_deref(), Some(Path::new("-")));
        assert_eq!((line.outputs[1].made, line.outputs.len()), (Made::Answer, 2));
    }

    #[test]
    fn a_bundle_alone_is_a_command_too() {
        let (line, output) = line("gtn-run --on adb:x --profile b.gtn c.gtn --html p.html").unwrap();
        assert_eq!(line.args, ["--profile", "--json=@answer.json", "--", "b.gtn", "c.gtn"]);
        assert_eq!(output.html.as_deref(), Some(Path::new("p.html")));
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

    /// Shards travel one by one, whatever short form names them.
    #[test]
    fn shards_are_told_one_by_one() {
        let (line, _) =
            line("gtn-run --on ssh:h eval b.gtn --data tar@64:s/a-{08..10}.tar,/d/test.tar").unwrap();
        let wanted = "--data=tar@64:s/a-08.tar,s/a-09.tar,s/a-10.tar,@0/test.tar";
        assert!(line.args.iter().any(|arg| arg == wanted), "{:?}", line.args);
        let here: Vec<_> = line.inputs.iter().map(|p| (p.here.to_str().unwrap(), p.holds)).collect();
        assert_eq!(here.len(), 5);
        assert!(here.contains(&("s/a-09.tar", Holds::File)) && here.contains(&("/d/test.tar", Holds::File)));
    }

    /// A new argument that holds a path in a text would be taken for no path: it must be thought of here.
    #[test]
    fn every_argument_has_a_role() {
        let texts = ["backend", "ep", "pin", "spin", "on", "kernels", "int8", "shape"];
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
                    || role(command.get_name(), arg).unwrap() != Role::Other
                    || number
                    || texts.contains(&id);
                assert!(fits, "gtn-run {}: `{id}`", command.get_name());
            }
        }
    }
}
