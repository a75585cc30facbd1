//! The key of a file in the cache: a digest of everything that it depends on.

use sha2::{Digest, Sha256};

use crate::module::source::hex;

/// A digest of parts. The boundaries of the parts count too.
#[derive(Clone)]
pub(super) struct Key(Sha256);

impl Key {
    pub fn new() -> Self {
        Self(Sha256::new())
    }

    pub fn part(&mut self, part: &[u8]) {
        self.0.update(part.len().to_le_bytes());
        self.0.update(part);
    }

    pub fn text(&mut self, part: &str) {
        self.part(part.as_bytes());
    }

    pub fn digits(&self) -> String {
        hex(&self.0.clone().finalize()[..16])
    }
}
