//! Whether what a cell's folder holds is of the study as it stands: its recipe, its data, this program's
//! numerics. The runs themselves tell it (their config.toml), so that nothing else need be believed.

use crate::engine::run_dir::{Begun, NUMERICS_VERSION, difference};
use crate::recipe::{Recipe, merge};
use crate::study::{Cell, Study};
use gtn_core::data::{DataSha256, short};
use gtn_core::io::artifact;
use gtn_core::ir::arch::Input;
use gtn_core::nets;
use gtn_core::nets::pool::Pools;
use gtn_core::text::format;
use gtn_core::{Error, Result};
use std::path::PathBuf;
use toml::Table;

/// One run of a cell, as the study wants it.
pub struct Wanted {
    /// Its folder.
    pub dir: PathBuf,
    command: &'static str,
    method: String,
    archs: Option<String>,
    recipe: Recipe,
}

impl Study {
    /// A cell's runs, the teacher's first. Errors: a recipe with a mistake, named by its arm.
    pub fn wanted(&self, cell: &Cell) -> Result<Vec<Wanted>> {
        let arm = cell.arm;
        let recipe = |layers: [&Table; 3]| {
            let mut all = Table::new();
            layers.into_iter().for_each(|layer| merge(&mut all, layer.clone()));
            let place = format!("{}: arm `{}`", format::path(&self.path), arm.name);
            let mut recipe = Recipe::of_layers(all, &place, &self.sets)?;
            recipe.seed = cell.seed;
            recipe.validate().map_err(|e| Error::usage(format!("{place}: {e}")))?;
            Ok::<_, Error>(recipe)
        };
        let mut wanted = Vec::new();
        if arm.method != "none" {
            wanted.push(Wanted {
                dir: cell.dir.join("teacher"),
                command: "teacher",
                method: arm.method.clone(),
                archs: names(&self.pools, std::slice::from_ref(&self.teacher)),
                recipe: recipe([&self.recipe, &self.teacher_recipe, &arm.teacher_recipe])?,
            });
        }
        wanted.push(Wanted {
            dir: cell.dir.join("students"),
            command: "student",
            method: if arm.method == "none" { "none".into() } else { arm.kd.clone() },
            archs: names(&self.pools, self.students_of(arm)),
            recipe: recipe([&self.recipe, &self.student_recipe, &arm.student_recipe])?,
        });
        Ok(wanted)
    }

    /// Why a cell's folder is not this study's cell, if it is not. `data` are the data at hand, where they
    /// have been read.
    pub fn odd(&self, cell: &Cell, data: Option<&DataSha256>) -> Result<Option<String>> {
        let mut teacher = None;
        for wanted in self.wanted(cell)? {
            let Some(begun) = Begun::read(&wanted.dir)? else { continue };
            let weights = cell.dir.join("teacher/weights.safetensors");
            if wanted.command == "student" && weights.exists() {
                teacher = Some(artifact::sha256_file(&weights)?);
            }
            let name = self.data.split(':').next().unwrap_or_default();
            if let Some(why) = wanted.differs(&begun, name, data, teacher.as_deref())? {
                return Ok(Some(format!("{}: {why}", wanted.dir.display())));
            }
        }
        Ok(None)
    }

    /// What the data were when a cell was trained, as far as its runs tell.
    pub fn data_of(&self, cell: &Cell) -> Result<Option<DataSha256>> {
        let runs = ["teacher", "students"].map(|run| Begun::read(&cell.dir.join(run)));
        let mut runs = runs.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten();
        Ok(runs.find_map(|begun| begun.data_sha256))
    }
}

/// The architectures' names as config.toml has them; they do not depend on the input. None for an arch
/// file that is for other images than these: its folder tells it apart.
fn names(pools: &Pools, archs: &[String]) -> Option<String> {
    let input = Input { channels: 3, height: 32, width: 32 };
    let name = |text: &String| nets::resolve_among(pools, text, input, 10).map(|spec| spec.name).ok();
    Some(archs.iter().map(name).collect::<Option<Vec<_>>>()?.join(" "))
}

impl Wanted {
    fn differs(
        &self,
        begun: &Begun,
        data: &str,
        content: Option<&DataSha256>,
        teacher: Option<&str>,
    ) -> Result<Option<String>> {
        let archs = self.archs.as_ref().unwrap_or(&begun.arch);
        let numerics = (begun.numerics.to_string(), NUMERICS_VERSION.to_string());
        for (key, was, is) in [
            ("command", begun.command.as_str(), self.command),
            ("method", &begun.method, self.method.as_str()),
            ("data", &begun.data, data),
            ("arch", &begun.arch, archs),
            ("numerics", &numerics.0, &numerics.1),
        ] {
            if was != is {
                return Ok(Some(format!("{key} was `{was}`, is `{is}`")));
            }
        }
        let table = |recipe| Table::try_from(recipe).map_err(|e| Error::Failed(format!("recipe: {e}")));
        if let Some((key, was, is)) = difference(&table(&begun.recipe)?, &table(&self.recipe)?) {
            return Ok(Some(format!("recipe: {key} was {was}, is {is}")));
        }
        if let (Some(was), Some(is)) = (&begun.data_sha256, content)
            && was != is
        {
            let part = |d: &DataSha256| format!("{}, {}", short(&d.train), short(&d.test));
            return Ok(Some(format!("data: train and test had SHA-256 {}, now {}", part(was), part(is))));
        }
        match (&begun.teacher_sha256, teacher) {
            (Some(was), Some(is)) if was != is => {
                Ok(Some(format!("its teacher had SHA-256 {}, now {}", short(was), short(is))))
            }
            _ => Ok(None),
        }
    }
}

/// Of several complaints, so much as a line holds.
pub fn name_some(odd: &[String]) -> String {
    match odd {
        [first, rest @ ..] if !rest.is_empty() => format!("{first} (and {} more)", rest.len()),
        _ => odd.concat(),
    }
}
