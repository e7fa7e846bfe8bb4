//! The flags of one pass, handed on to another in a process of its own.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use std::ffi::OsString;

/// These are arguments with the words that gave them, by which a pass is run in a process of its own. The words
/// come from clap's list of the arguments, so that none can be forgotten.
#[derive(Debug)]
pub struct Passed<T> {
    /// The arguments.
    pub args: T,
    /// `--flag=value` for each value that was given.
    pub words: Vec<OsString>,
}

impl<T: Args> FromArgMatches for Passed<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { words: words::<T>(matches), args: T::from_arg_matches(matches)? })
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { words: words::<T>(matches), args: T::from_arg_matches_mut(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.words = words::<T>(matches);
        self.args.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Passed<T> {
    fn augment_args(command: Command) -> Command {
        T::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

/// The flags of `T` that stand on the command line, as they would be written again.
fn words<T: Args>(matches: &ArgMatches) -> Vec<OsString> {
    let all = T::augment_args(Command::new("all"));
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let mut words = Vec::new();
    for arg in all.get_arguments().filter(|arg| given(arg.get_id().as_str())) {
        let flag = OsString::from(format!("--{}", arg.get_long().unwrap_or_default()));
        if !arg.get_action().takes_values() {
            words.push(flag);
            continue;
        }
        for value in matches.get_raw(arg.get_id().as_str()).into_iter().flatten() {
            let mut word = flag.clone();
            word.push("=");
            word.push(value);
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{BackendArgs, Cli};
    use clap::CommandFactory;

    /// Every flag of the backend, given, is among the words, and the words alone make the same arguments again.
    #[test]
    fn the_words_of_every_backend_flag_are_passed_on() {
        let value = |id: &str| match id {
            "backend" => "ort",
            "kernels" => "tile",
            "ep" => "cpu,xnnpack",
            "pin" => "0-1",
            "spin" => "off",
            "int8" => "fast",
            "shape" => "image=1x3x8x8",
            "settings" | "ort_lib" => "a file=with, signs",
            // A number will do for whatever comes, or this must be told another value.
            _ => "2",
        };
        let backend = BackendArgs::augment_args(Command::new("x"));
        let mut line = vec!["gtn-run".to_owned(), "b.gtn".to_owned()];
        for arg in backend.get_arguments() {
            let flag = format!("--{}", arg.get_long().unwrap());
            line.push(match arg.get_action().takes_values() {
                true => format!("{flag}={}", value(arg.get_id().as_str())),
                false => flag,
            });
        }
        let given = backend.get_arguments().count();
        let all =
            |line: &[String]| Cli::from_arg_matches(&Cli::command().get_matches_from(line)).unwrap().all;
        let first = all(&line).backend;
        let again: Vec<String> = first.words.iter().map(|w| w.to_str().unwrap().to_owned()).collect();
        assert!(again.len() >= given, "{given} flags, {again:?}");
        let again = all(&[&["gtn-run".to_owned()][..], &again].concat()).backend;
        assert_eq!(format!("{:?}", again.args), format!("{:?}", first.args));
        assert!(all(&["gtn-run".into(), "b.gtn".into()]).backend.words.is_empty());
    }
}
