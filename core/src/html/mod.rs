//! Pages for people: plots, and the pages of reports and comparisons.

pub mod compare;
pub mod page;
pub mod plot;
mod plot_rows;
pub mod report;
