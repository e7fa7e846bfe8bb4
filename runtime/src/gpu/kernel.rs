//! What is dispatched ([`Kernel`]), and what an operator's kernel depends on ([`Setting`]).

use crate::backend::Kernels;
use crate::gpu::ir::dtype::DType;
use crate::gpu::ir::form::{Form, Laid, words};
use crate::gpu::ir::graph::{Graph, Value};

/// A shader reads at most so many values: its `At` has as many places.
pub const READS: usize = 5;
/// A workgroup has so many invocations, as a rule.
pub const GROUP: usize = 64;

/// A shader is made of files, one after the other; their text is all there is (nothing is pasted into it).
#[derive(Debug, PartialEq, Eq)]
pub struct Shader {
    /// The file's stem.
    pub name: &'static str,
    /// WGSL.
    pub source: &'static str,
}

/// A kernel is what is dispatched.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Its shader.
    pub shader: &'static Shader,
    /// Entry point.
    pub entry: &'static str,
    /// The shader's `override` values: shapes and attributes.
    pub constants: Vec<(&'static str, f64)>,
    /// Invocations wanted.
    pub invocations: usize,
    /// Invocations of a workgroup.
    pub group: usize,
    /// What the shader's `At` has behind the places of its values.
    pub params: Vec<u32>,
}

impl Kernel {
    /// Makes a kernel of so many invocations, a number that the shader knows as `total`.
    pub fn new(
        shader: &'static Shader,
        entry: &'static str,
        mut constants: Vec<(&'static str, f64)>,
        total: usize,
    ) -> Self {
        constants.push(("total", total as f64));
        Self { shader, entry, constants, invocations: total, group: GROUP, params: Vec::new() }
    }
}

/// This says what shaders may use beyond what every adapter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Packing two float16 into a word (nearly every adapter).
    pub halves: bool,
    /// Sums over a subgroup.
    pub subgroups: bool,
}

impl Abilities {
    /// These are all abilities.
    pub const ALL: Self = Self { halves: true, subgroups: true };
}

/// This says what an invocation of an operator that works element by element reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// A word.
    Word,
    /// Four bytes of one word.
    Bytes {
        /// uint8, not int8.
        unsigned: bool,
    },
    /// Four float16 of two words.
    Halves,
}

/// This is an operator where it stands: what its kernel depends on beside its attributes.
pub struct Setting<'a> {
    /// For its values.
    pub graph: &'a Graph,
    /// The operator and the layout of its values.
    pub laid: &'a Laid,
    /// What was asked for.
    pub kernels: Kernels,
    /// Of the adapter.
    pub abilities: Abilities,
}

impl Setting<'_> {
    /// Returns operand `i` as the model has it.
    pub fn read(&self, i: usize) -> Result<&Value, String> {
        self.graph.value(self.laid.node.read(i)?)
    }

    /// Returns the result as the model has it.
    pub fn write(&self) -> Result<&Value, String> {
        self.graph.value(self.laid.node.write)
    }

    /// Returns the lanes of the values that are read first and written.
    pub fn lanes(&self) -> Result<Lanes, String> {
        let types = [self.read(0)?.dtype, self.write()?.dtype];
        if self.laid.form == Form::Plain || types.iter().all(|&t| words(t) == 4) {
            return Ok(Lanes::Word);
        }
        if types.contains(&DType::F16) {
            return Ok(Lanes::Halves);
        }
        Ok(Lanes::Bytes { unsigned: types.contains(&DType::U8) })
    }

    /// Returns the number of invocations for each of the result's elements, or four of them together.
    pub fn total(&self) -> Result<usize, String> {
        let y = self.write()?;
        if self.laid.form == Form::Plain {
            return Ok(y.len());
        }
        let [n, c, plane] = y.planes()?;
        let fours = n * c.div_ceil(4) * plane;
        Ok(if self.lanes()? == Lanes::Word { 4 * fours } else { fours })
    }

    /// Makes a kernel by [`Kernel::new`] with [`Self::total`] invocations, of the shader for the lanes: words,
    /// bytes or float16. It is an error if there is none for them.
    pub fn kernel(
        &self,
        [word, bytes, halves]: [Option<&'static Shader>; 3],
        mut constants: Vec<(&'static str, f64)>,
    ) -> Result<Kernel, String> {
        let shader = match self.lanes()? {
            Lanes::Word => word,
            Lanes::Bytes { unsigned } => {
                constants.push(("unsigned", f64::from(u8::from(unsigned))));
                bytes
            }
            Lanes::Halves => halves,
        };
        let shader = shader.ok_or("has no kernel for this layout")?;
        Ok(Kernel::new(shader, "main", constants, self.total()?))
    }
}
