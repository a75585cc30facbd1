//! How often each kind of operation and argument is drawn.
//!
//! Half of the episodes have the usual weights. Each of the others draws its own (swarm testing):
//! some kinds never occur and others often, so rare combinations occur too.

use super::Choices;

/// Weights and percentages of one episode.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    /// Weights of `operations::Kind`.
    pub operations: [u32; 6],
    /// Weights of the kinds of sizes, see `Generator::size`.
    pub sizes: [u32; 7],
    /// Weights of the kinds of alignments, see `Generator::min_block_size`.
    pub alignments: [u32; 4],
    /// Weights of the modes and ranges, see `Generator::place`.
    pub places: [u32; 7],
    /// How often each flag is set, in percent: contiguous, clear, trim-disable.
    pub flags: [u64; 3],
    /// How often memory is freed as cleared, in percent.
    pub cleared: u64,
    /// One request in this many gets an invalid or extreme argument.
    pub spoilt: u64,
    /// One operation in this many changes the fill level that the space is to have.
    pub tide: u64,
}

impl Mix {
    pub const USUAL: Self = Self {
        operations: [460, 380, 78, 40, 40, 2],
        sizes: [100, 56, 24, 14, 4, 1, 1],
        alignments: [5, 3, 1, 1],
        places: [26, 20, 12, 12, 20, 7, 3],
        flags: [30, 40, 12],
        cleared: 40,
        spoilt: 64,
        tide: 512,
    };

    pub fn draw(choices: &mut impl Choices) -> Self {
        let mut mix = Self::USUAL;
        if !choices.one_in(2) {
            return mix;
        }
        let [_, _, others @ ..] = &mut mix.operations;
        for weights in
            [others, &mut mix.sizes, &mut mix.alignments, &mut mix.places] as [&mut [u32]; 4]
        {
            for weight in weights.iter_mut() {
                *weight = match choices.below(4) {
                    0 => *weight,
                    1 => 0,
                    2 => weight.div_ceil(4),
                    _ => *weight * 4,
                };
            }
        }
        // Resets undo much of what came before.
        mix.operations[5] = mix.operations[5].min(4);
        for percent in mix.flags.iter_mut().chain([&mut mix.cleared]) {
            *percent = [0, 5, *percent, 75, 95, 100][choices.below(6) as usize];
        }
        mix.spoilt = [16, 64, 256, 4096][choices.below(4) as usize];
        mix.tide = [32, 512, 4096][choices.below(3) as usize];
        for weights in [&mut mix.sizes[..], &mut mix.alignments, &mut mix.places] {
            if weights.iter().all(|&weight| weight == 0) {
                weights[0] = 1;
            }
        }
        mix
    }
}
