//! The text forms of durations, sizes and host:port pairs.

use std::time::Duration;

/// Units of a duration with their length in nanoseconds.
const DURATION_UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// Units of a size with their length in bytes.
const SIZE_UNITS: [(&str, u128); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Ten years: longer is a slip, and an `Instant` plus this never overflows.
const DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Digits after the decimal point that are taken; more could only express less than a nanosecond.
const FRACTION_DIGITS_MAX: usize = 9;

/// Reads `"250ms"`, `"1.5s"` or `"1m30s"`, at most ten years; the error says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as \"250ms\", \"5s\" or \"1m30s\"".to_owned();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(expected());
    }
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let (amount, unit, tail) = split_quantity(rest).ok_or_else(expected)?;
        let (_, scale) = DURATION_UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
        nanoseconds = nanoseconds.saturating_add(scaled(amount, scale).ok_or_else(expected)?);
        rest = tail;
    }
    let duration = u64::try_from(nanoseconds).map_or(Duration::MAX, Duration::from_nanos);
    if duration > DURATION_MAX {
        return Err("longer than ten years".to_owned());
    }
    Ok(duration)
}

/// Reads `"64MiB"`, `"10GB"` or `"4096"` as bytes; the error says what was expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || "expected a size such as \"64MiB\", \"10GB\" or \"4096\"".to_owned();
    let (amount, unit, tail) = split_quantity(text.trim()).ok_or_else(expected)?;
    if !tail.is_empty() {
        return Err(expected());
    }
    let (_, scale) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
    let bytes = scaled(amount, scale).ok_or_else(expected)?;
    u64::try_from(bytes).map_err(|_| "larger than 2^64 bytes".to_owned())
}

/// Checks `"host:port"` (a name, an IPv4 address or `[IPv6]`) and gives both parts.
pub fn parse_host_port(text: &str) -> Result<(&str, u16), String> {
    let expected = || "expected \"host:port\" such as \"10.0.0.7:7401\" or \"[::1]:7401\"".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let port = port.parse().map_err(|_| expected())?;
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let plain = !host.is_empty() && !host.contains([':', '[', ']', '/', '@']);
    if (bracketed || plain) && !host.contains(char::is_whitespace) {
        Ok((host, port))
    } else {
        Err(expected())
    }
}

/// Splits `"1m30s"` into amount `"1"`, unit `"m"` and the rest `"30s"`.
fn split_quantity(text: &str) -> Option<(&str, &str, &str)> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (amount, rest) = text.split_at_checked(unit_at)?;
    let tail_at = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, tail) = rest.split_at_checked(tail_at)?;
    (!amount.is_empty()).then_some((amount, unit.trim(), tail))
}

/// `amount`, a decimal number, times `scale`, in whole units and without a detour over floats.
fn scaled(amount: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
    if fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let part: u128 = fraction.parse().ok()?;
    let digits = u32::try_from(fraction.len()).ok()?;
    whole.checked_mul(scale)?.checked_add(part.checked_mul(scale)? / 10_u128.pow(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0.1s"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        for wrong in ["", "5", "s", "5 minutes", "-1s", "1.2.3s", "1s junk", "20y", "9999w", "1é"] {
            assert!(parse_duration(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("1.5KiB"), Ok(1536));
        assert_eq!(parse_size("10GB"), Ok(10_000_000_000));
        assert_eq!(parse_size("4096"), Ok(4096));
        for wrong in ["", "MiB", "64mib", "-1B", "1MiB2", "99999999999TiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn host_ports() {
        assert_eq!(parse_host_port("node-1.settle:7401"), Ok(("node-1.settle", 7401)));
        assert_eq!(parse_host_port("[::1]:7401"), Ok(("[::1]", 7401)));
        for wrong in ["", "host", ":7401", "host:", "host:99999", "::1:7401", "http://host:1", "a b:1"] {
            assert!(parse_host_port(wrong).is_err(), "{wrong} was taken");
        }
    }
}
