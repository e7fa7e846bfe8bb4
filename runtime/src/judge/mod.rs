//! A model judged: its answers (`verify`), its accuracy (`evaluate`), its latency (`bench`, with `profile` by operator; `soak`
//! under a load that lasts), its memory (`memory`), and all of them in one report (`prove`).

pub mod bench;
pub mod evaluate;
pub mod memory;
pub mod profile;
pub mod prove;
pub mod soak;
pub mod verify;
