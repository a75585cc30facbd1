//! Sizes with suffixes.

/// The suffixes, by rising powers of 1024.
const SUFFIXES: &str = "KMGTPE";

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseSizeError {
    /// It is not a number with or without a suffix.
    #[error("expected a size such as 4096, 0x1000 or 4K")]
    Malformed,
    /// It is `2^64` or more.
    #[error("expected a size that fits in 64 bits")]
    TooLarge,
}

/// Reads a number of bytes: decimal, hexadecimal after `0x`, or decimal with a suffix `K`, `M`,
/// `G`, `T`, `P` or `E` (or in lower case) for a power of 1024.
///
/// ```
/// use gpu_buddy::diff::parse_size;
///
/// assert_eq!(parse_size("64M"), Ok(64 << 20));
/// assert_eq!(parse_size("0x1000"), Ok(4096));
/// assert!(parse_size("16E").is_err());
/// ```
///
/// # Errors
///
/// [`ParseSizeError`] if the text is something else, or the number is 2^64 or more.
pub fn parse_size(text: &str) -> Result<u64, ParseSizeError> {
    if let Some(digits) = text.strip_prefix("0x") {
        return digits_to_number(digits, 16);
    }
    let suffix = text.chars().next_back().and_then(|last| SUFFIXES.find(last.to_ascii_uppercase()));
    let Some(power) = suffix else {
        return digits_to_number(text, 10);
    };
    let number = digits_to_number(&text[..text.len() - 1], 10)?;
    number.checked_mul(1024 << (10 * power)).ok_or(ParseSizeError::TooLarge)
}

/// Accepts only digits: the standard library would accept a sign.
fn digits_to_number(digits: &str, radix: u32) -> Result<u64, ParseSizeError> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(ParseSizeError::Malformed);
    }
    u64::from_str_radix(digits, radix).map_err(|_| ParseSizeError::TooLarge)
}

/// Writes a number of bytes with the largest suffix that keeps it whole, as [`parse_size`] reads
/// it.
///
/// ```
/// use gpu_buddy::diff::format_size;
///
/// assert_eq!(format_size(3 << 20), "3M");
/// assert_eq!(format_size(4097), "4097");
/// ```
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let power = if bytes == 0 { 0 } else { bytes.trailing_zeros() / 10 };
    let number = bytes >> (10 * power);
    let suffix = power.checked_sub(1).and_then(|index| SUFFIXES.chars().nth(index as usize));
    suffix.map_or_else(|| number.to_string(), |suffix| format!("{number}{suffix}"))
}
