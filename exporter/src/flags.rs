//! Every flag is judged before any work: data are read, models trained on and calibrated for minutes after
//! this.

use crate::candidates;
use crate::cli::{ExportArgs, Int8Args};
use crate::int8::search::units;
use gtn_core::data::DataSource;
use gtn_core::ir::graph::Graph;
use gtn_core::{Error, Result};

/// Values that no export has; the error names flag and value.
pub fn check(args: &ExportArgs) -> Result<()> {
    check_int8(&args.int8)?;
    if args.eval_set == 0 {
        return Err(Error::usage("--eval-set is 0, wanted at least 1: a bundle proves itself"));
    }
    if let Some(data) = &args.data {
        data.parse::<DataSource>()?;
    }
    for (flag, path) in [("--ort-lib", &args.ort_lib), ("--table", &args.table)] {
        if let Some(path) = path.as_ref().filter(|p| !p.is_file()) {
            return Err(Error::usage(format!("{flag} {}: no such file", path.display())));
        }
    }
    Ok(())
}

fn check_int8(args: &Int8Args) -> Result<()> {
    candidates::asked(args)?;
    if args.calib_images == 0 {
        return Err(Error::usage("--calib-images is 0, wanted at least 1"));
    }
    args.calib.as_ref().map_or(Ok(()), |data| data.parse::<DataSource>().map(|_| ()))
}

/// `--keep-fp32`'s names are layers of the network.
pub fn check_layers(args: &Int8Args, graph: &Graph) -> Result<()> {
    let Some(asked) = candidates::asked(args)?.fp32 else { return Ok(()) };
    let known = units(graph);
    match asked.iter().find(|name| !known.contains(name)) {
        Some(name) => {
            let some = known.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            Err(Error::usage(format!(
                "--keep-fp32 {name}: the network has no such layer; it has {some}, ..."
            )))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn every_flag_is_judged_before_any_work() {
        let mut wrong = Vec::new();
        for (flags, wanted) in [
            ("--max-drop nan", "--max-drop NaN: wanted 0 to 100 points"),
            ("--max-drop=-1", "--max-drop -1: wanted 0 to 100 points"),
            ("--max-drop inf", "--max-drop inf: wanted"),
            ("--max-drop 101", "--max-drop 101: wanted"),
            ("--calibration best", "--calibration best: wanted auto, minmax"),
            ("--calib-images 0", "--calib-images is 0"),
            ("--calib nothing", "unknown data `nothing`"),
            ("--data nothing", "unknown data `nothing`"),
            ("--eval-set 0", "--eval-set is 0"),
            ("--ort-lib /no/lib.so", "--ort-lib /no/lib.so: no such file"),
            ("--table /no/t.json", "--table /no/t.json: no such file"),
        ] {
            let line = format!("gtn-export --target host --out x.gtn dir {flags}");
            let args = Cli::try_parse_from(line.split(' ')).unwrap().export;
            let found = check(&args).err().map(|e| (e.exit_code(), e.to_string()));
            if !found.as_ref().is_some_and(|(code, text)| *code == 2 && text.contains(wanted)) {
                wrong.push(format!("{flags}: {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let args = Cli::try_parse_from("gtn-export --target host --out x.gtn dir".split(' ')).unwrap().export;
        check(&args).unwrap();
    }
}
