//! x
pub(crate) mod calls;
mod check;
mod judged;
mod misuse;
mod monitor;

pub use check::{check, find, find_beside, find_in_creation, find_in_drops, start};
pub use judged::Judged;
pub use misuse::Misuse;
pub use monitor::{Monitor, Seen};
