//! Pages for people: plots, and the pages of reports, comparisons and soaks.

pub mod compare;
pub mod page;
pub mod plot;
mod plot_rows;
pub mod plot_time;
pub mod report;
pub mod soak;
