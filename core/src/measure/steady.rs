//! When does latency become steady under load?

#[cfg(test)]
mod corpus;
