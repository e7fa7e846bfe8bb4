//! What trains anything: networks and their parameters, batches, the optimiser and its schedule, the loop, and the folder of
//! a run.

pub mod checkpoint;
pub mod device;
pub mod evaluate;
pub mod kept;
pub mod learner;
pub mod loader;
pub mod memory;
pub mod net;
pub mod optimizer;
pub mod params;
pub mod report;
pub mod run_dir;
pub mod schedule;
pub mod tensorboard;
pub mod train_loop;
