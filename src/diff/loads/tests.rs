//! What the loads ask for.

use super::*;
