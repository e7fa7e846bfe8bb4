//! Pages for people: plots, and the pages of reports, comparisons and training runs.

pub mod compare;
pub mod page;
pub mod plot;
mod plot_rows;
pub mod report;
pub mod training;
