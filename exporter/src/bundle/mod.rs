//! The bundle as a folder: written aside and put in place whole (`draft`), with the card that says what it is
//! (`card`) and pictures to try it on (`samples`).

pub mod card;
pub mod draft;
pub mod samples;
