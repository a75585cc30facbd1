//! Sizes in bytes, with the names of `include/linux/sizes.h`.
//!
//! They are `usize`, as in the kernel crate, so that they can be the const argument of
//! [`Alignment::new`](crate::Alignment::new).

/// 1 byte.
pub const SZ_1: usize = 1 << 0;
/// 2 bytes.
pub const SZ_2: usize = 1 << 1;
/// 4 bytes.
pub const SZ_4: usize = 1 << 2;
/// 8 bytes.
pub const SZ_8: usize = 1 << 3;
/// 16 bytes.
pub const SZ_16: usize = 1 << 4;
/// 32 bytes.
pub const SZ_32: usize = 1 << 5;
/// 64 bytes.
pub const SZ_64: usize = 1 << 6;
/// 128 bytes.
pub const SZ_128: usize = 1 << 7;
/// 256 bytes.
pub const SZ_256: usize = 1 << 8;
/// 512 bytes.
pub const SZ_512: usize = 1 << 9;
/// 1 KiB.
pub const SZ_1K: usize = 1 << 10;
/// 2 KiB.
pub const SZ_2K: usize = 1 << 11;
/// 4 KiB.
pub const SZ_4K: usize = 1 << 12;
/// 8 KiB.
pub const SZ_8K: usize = 1 << 13;
/// 16 KiB.
pub const SZ_16K: usize = 1 << 14;
/// 32 KiB.
pub const SZ_32K: usize = 1 << 15;
/// 64 KiB.
pub const SZ_64K: usize = 1 << 16;
/// 128 KiB.
pub const SZ_128K: usize = 1 << 17;
/// 256 KiB.
pub const SZ_256K: usize = 1 << 18;
/// 512 KiB.
pub const SZ_512K: usize = 1 << 19;
/// 1 MiB.
pub const SZ_1M: usize = 1 << 20;
/// 2 MiB.
pub const SZ_2M: usize = 1 << 21;
/// 4 MiB.
pub const SZ_4M: usize = 1 << 22;
/// 8 MiB.
pub const SZ_8M: usize = 1 << 23;
/// 16 MiB.
pub const SZ_16M: usize = 1 << 24;
/// 32 MiB.
pub const SZ_32M: usize = 1 << 25;
/// 64 MiB.
pub const SZ_64M: usize = 1 << 26;
/// 128 MiB.
pub const SZ_128M: usize = 1 << 27;
/// 256 MiB.
pub const SZ_256M: usize = 1 << 28;
/// 512 MiB.
pub const SZ_512M: usize = 1 << 29;
/// 1 GiB.
pub const SZ_1G: usize = 1 << 30;
/// 2 GiB.
pub const SZ_2G: usize = 1 << 31;
/// 4 GiB.
pub const SZ_4G: usize = 1 << 32;
/// 8 GiB.
pub const SZ_8G: usize = 1 << 33;
/// 16 GiB.
pub const SZ_16G: usize = 1 << 34;
/// 32 GiB.
pub const SZ_32G: usize = 1 << 35;
/// 64 GiB.
pub const SZ_64G: usize = 1 << 36;
/// 128 GiB.
pub const SZ_128G: usize = 1 << 37;
/// 256 GiB.
pub const SZ_256G: usize = 1 << 38;
/// 512 GiB.
pub const SZ_512G: usize = 1 << 39;
/// 1 TiB.
pub const SZ_1T: usize = 1 << 40;
/// 2 TiB.
pub const SZ_2T: usize = 1 << 41;
/// 4 TiB.
pub const SZ_4T: usize = 1 << 42;
/// 8 TiB.
pub const SZ_8T: usize = 1 << 43;
/// 16 TiB.
pub const SZ_16T: usize = 1 << 44;
/// 32 TiB.
pub const SZ_32T: usize = 1 << 45;
/// 64 TiB.
pub const SZ_64T: usize = 1 << 46;
/// 128 TiB.
pub const SZ_128T: usize = 1 << 47;
