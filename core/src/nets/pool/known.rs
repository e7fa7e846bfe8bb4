//! The pools that a command knows: the built-in ones, those of files, and those that generic teachers were trained with.

use super::{Definition, Path, Pool, all, names};
use crate::artifacts::model_dir::{TRAIN_SCHEMA, TrainFile};
use crate::io::artifact;
use crate::ir::arch::{ArchSpec, Input};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path as FilePath;

/// Returns the pool of a `--pool`: a built-in name, a path to a pool's `.toml`, or the folder of a generic teacher,
/// whose pool it is. Anything else is a usage error.
pub fn resolve(text: &str) -> Result<Pool> {
    if let Some(pool) = all().into_iter().find(|p| p.name == text) {
        return Ok(pool);
    }
    let path = FilePath::new(text);
    if path.extension().is_some_and(|e| e == "toml") {
        return Pool::read(path);
    }
    if path.is_dir() {
        let path = path.join("train.json");
        return GenericRecord::of(&artifact::read_schema(&path, TRAIN_SCHEMA)?, &path)?.pool(&path);
    }
    Err(Error::usage(format!(
        "unknown pool `{text}`, wanted one of: {}, a pool's FILE.toml, or a generic teacher's folder",
        names().join(", ")
    )))
}

/// These are the pools among which a command looks an id up. The default are the built-in ones.
#[derive(Debug, Clone, Default)]
pub struct Pools {
    own: Vec<Pool>,
}

impl Pools {
    /// Returns the built-in pools and those of each text that [`resolve`] takes.
    pub fn with(texts: &[String]) -> Result<Self> {
        let mut pools = Self::default();
        texts.iter().try_for_each(|text| pools.add(resolve(text)?))?;
        Ok(pools)
    }

    /// Adds a pool. It is a usage error if another pool has its name.
    pub fn add(&mut self, pool: Pool) -> Result<()> {
        match self.get(&pool.name) {
            Some(known) if known == pool => Ok(()),
            Some(_) => {
                Err(Error::usage(format!("two pools are named `{}`: ids could be of either", pool.name)))
            }
            None => {
                self.own.push(pool);
                Ok(())
            }
        }
    }

    /// Adds the pool that a generic teacher was trained with; other teachers have none. `path` is train.json's.
    pub fn add_of(&mut self, train: &TrainFile, path: &FilePath) -> Result<()> {
        match train.ext.contains_key(GenericRecord::KEY) {
            true => self.add(GenericRecord::of(train, path)?.pool(path)?),
            false => Ok(()),
        }
    }

    /// Returns those that are not built in.
    pub fn own(&self) -> &[Pool] {
        &self.own
    }

    /// Returns the names of all.
    pub fn names(&self) -> Vec<String> {
        names().into_iter().chain(self.own.iter().map(|p| p.name.clone())).collect()
    }

    fn get(&self, name: &str) -> Option<Pool> {
        all()
            .into_iter()
            .find(|p| p.name == name)
            .or_else(|| self.own.iter().find(|p| p.name == name).cloned())
    }

    /// Returns the pool of that name; an unknown one is a usage error.
    pub fn named(&self, name: &str) -> Result<Pool> {
        self.get(name).ok_or_else(|| {
            let known = self.names().join(", ");
            Error::usage(format!(
                "unknown pool `{name}`, wanted one of: {known} (one of your own: --pool FILE.toml)"
            ))
        })
    }

    /// Returns the pool and the path of a full id (`POOL:dD-kK-eE`). An id that is in no pool is a usage error.
    pub fn find(&self, id: &str) -> Result<(Pool, Path)> {
        let (name, _) = id.split_once(':').ok_or_else(|| {
            Error::usage(format!("student id `{id}`: wanted POOL:dDEPTHS-kKERNELS-eEXPANSIONS"))
        })?;
        let pool = self.named(name)?;
        let path = pool.parse(id)?;
        Ok((pool, path))
    }

    /// Returns the student of a full id. An id that is in no pool is a usage error.
    pub fn student(&self, id: &str, input: Input, classes: usize) -> Result<ArchSpec> {
        let (pool, path) = self.find(id)?;
        pool.arch(&path, input, classes)
    }
}

/// This is what train.json says of a generic teacher, under [`Self::KEY`] of `ext`: what a search over its supernet
/// needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenericRecord {
    /// The pool's name.
    pub pool: String,
    /// How many students it has, in decimal: more than a JSON number holds.
    pub students: String,
    /// The distribution at the end: position, choice, probability. Null where none was learnt.
    #[serde(default)]
    pub probabilities: Value,
    /// The pool, where it is not built in: its file may be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Definition>,
}

impl GenericRecord {
    /// This is the key.
    pub const KEY: &str = "generic";

    /// Returns the record of a teacher trained with `students` of a pool.
    pub fn new(pool: &Pool, students: u128, probabilities: Value) -> Self {
        let definition = (!names().contains(&pool.name)).then(|| pool.definition());
        Self { pool: pool.name.clone(), students: students.to_string(), probabilities, definition }
    }

    /// Reads it out of train.json, whose path `path` is. It is an error if the teacher is no generic one.
    pub fn of(train: &TrainFile, path: &FilePath) -> Result<Self> {
        let record = train.ext.get(Self::KEY);
        let record =
            record.ok_or_else(|| Error::input(path, "is of no generic teacher: it has no supernet"))?;
        Self::deserialize(record).map_err(|e| Error::input(path, format!("ext.{}: {e}", Self::KEY)))
    }

    /// Returns the pool. It is an error if it is neither built in nor defined here, or its definition is wrong.
    pub fn pool(&self, path: &FilePath) -> Result<Pool> {
        let bad = |what: String| Error::input(path, format!("ext.{}: {what}", Self::KEY));
        let Some(definition) = &self.definition else {
            return super::named(&self.pool).map_err(|e| bad(e.to_string()));
        };
        if definition.name != self.pool {
            return Err(bad(format!("definition.name is `{}`, pool is `{}`", definition.name, self.pool)));
        }
        definition.checked().map_err(|what| bad(format!("definition: {what}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const INPUT: Input = Input { channels: 3, height: 32, width: 32 };

    fn own(name: &str) -> Pool {
        Pool { name: name.into(), ..super::super::named("res-mini").unwrap() }
    }

    fn train(ext: Value) -> TrainFile {
        let train = json!({
            "schema": TRAIN_SCHEMA, "method": "gtn", "data": "cifar10", "seed": 0, "epochs": 1, "accuracy": {},
            "seconds": 1.0, "recipe": {}, "ext": ext,
        });
        serde_json::from_value(train).unwrap()
    }

    #[test]
    fn ids_of_own_pools_want_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        std::fs::write(&file, own("mine").to_toml().unwrap()).unwrap();
        let text = file.display().to_string();
        let id = "mine:d111-k333-e111";
        let error = Pools::default().student(id, INPUT, 10).unwrap_err().to_string();
        assert!(error.contains("unknown pool `mine`") && error.contains("--pool FILE.toml"), "{error}");
        let pools = Pools::with(&["res-mini".into(), text.clone(), text.clone()]).unwrap();
        assert_eq!((pools.own().len(), pools.own()[0].name.as_str()), (1, "mine"));
        let (spec, model) = (
            pools.student(id, INPUT, 10).unwrap(),
            super::super::student("res-mini:d111-k333-e111", INPUT, 10).unwrap(),
        );
        assert_eq!((spec.name.as_str(), spec.stages), (id, model.stages));
        let named = crate::nets::resolve_among(&pools, &format!("pool:{id}"), INPUT, 10).unwrap();
        assert_eq!(named.name, id);
        assert!(crate::nets::resolve(&format!("pool:{id}"), INPUT, 10).is_err());
        let mut pools = pools;
        let other = Pool { kernels: vec![3], ..own("mine") };
        assert!(pools.add(other).unwrap_err().to_string().contains("two pools are named `mine`"));
        let other = Pool { kernels: vec![3], ..own("res-mini") };
        assert!(pools.add(other).unwrap_err().to_string().contains("two pools are named `res-mini`"));
        let error = resolve("nope").unwrap_err().to_string();
        assert!(error.contains("unknown pool `nope`, wanted one of: mbv2-cifar"), "{error}");
        assert!(resolve(&format!("{text}.toml")).unwrap_err().to_string().contains("a.toml.toml"));
    }

    #[test]
    fn a_generic_teacher_keeps_its_pool() {
        let path = FilePath::new("t/train.json");
        let built_in = super::super::named("res-mini").unwrap();
        let record = GenericRecord::new(&built_in, 7, Value::Null);
        // As it was before pools could be one's own.
        let wanted = json!({ "pool": "res-mini", "students": "7", "probabilities": null });
        assert_eq!(serde_json::to_value(&record).unwrap(), wanted);
        assert_eq!(record.pool(path).unwrap(), built_in);
        let record = serde_json::to_value(GenericRecord::new(&own("mine"), 7, json!({"a": 1}))).unwrap();
        let read = train(json!({ "generic": record }));
        assert_eq!(GenericRecord::of(&read, path).unwrap().pool(path).unwrap(), own("mine"));
        let dir = tempfile::tempdir().unwrap();
        artifact::write_json(&dir.path().join("train.json"), &read).unwrap();
        assert_eq!(resolve(&dir.path().display().to_string()).unwrap(), own("mine"));
        let mut pools = Pools::default();
        pools.add_of(&train(json!({})), path).unwrap();
        assert!(pools.own().is_empty());
        pools.add_of(&read, path).unwrap();
        assert_eq!(pools.own(), [own("mine")]);
        for (ext, wanted) in [
            (json!({}), "t/train.json: is of no generic teacher"),
            (json!({ "generic": {"pool": "x"} }), "ext.generic: missing field `students`"),
            (json!({ "generic": {"pool": "x", "students": "1"} }), "ext.generic: unknown pool `x`"),
        ] {
            let found = GenericRecord::of(&train(ext), path).and_then(|r| r.pool(path));
            let error = found.unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let mut wrong = record.clone();
        wrong["definition"]["kernels"] = json!([4]);
        let found = GenericRecord::of(&train(json!({ "generic": wrong })), path).and_then(|r| r.pool(path));
        let error = found.unwrap_err().to_string();
        assert!(error.contains("ext.generic: definition: kernels holds 4"), "{error}");
    }
}
