//! What a file of the cache depends on, as a digest.

use sha2::{Digest, Sha256};

use crate::module::source::hex;

/// A digest of parts, whose ends count.
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
