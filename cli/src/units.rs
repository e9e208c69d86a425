//! Numbers as people read them.

/// Seconds in a minute, an hour and a day.
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A time of any size in few characters; `-` when it is unknown.
pub(crate) fn seconds(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if !value.is_finite() => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) if value < 0.01 => format!("{:.1} ms", value * 1e3),
        Some(value) if value < 1.0 => format!("{:.0} ms", value * 1e3),
        Some(value) => format!("{value:.1} s"),
    }
}

/// A long time in its two largest units.
pub(crate) fn age(seconds: u64) -> String {
    let (days, hours) = (seconds / DAY, seconds % DAY / HOUR);
    let (minutes, rest) = (seconds % HOUR / MINUTE, seconds % MINUTE);
    match seconds {
        DAY.. => format!("{days} d {hours} h"),
        HOUR.. => format!("{hours} h {minutes} min"),
        MINUTE.. => format!("{minutes} min {rest} s"),
        _ => format!("{rest} s"),
    }
}

/// A number of things, its thousands set apart: `1,234,567`.
pub(crate) fn count(value: impl Into<i128>) -> String {
    let value: i128 = value.into();
    let digits = value.unsigned_abs().to_string();
    let mut out = String::from(if value < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things with their name: `1 write`, `2 writes`.
pub(crate) fn counted(value: u64, one: &str, several: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { several })
}

/// A size, in the largest binary unit that it fills.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.into_iter().find(|(_, bits)| value >> bits > 0) {
        None => format!("{value} B"),
        Some((unit, bits)) => {
            // In tenths, rounded down: a full unit is never shown as more than there is.
            let tenths = (u128::from(value) * 10) >> bits;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let shown = [None, Some(0.0), Some(0.0021), Some(0.5), Some(12.0)].map(seconds);
        assert_eq!(shown, ["-", "0", "2.1 ms", "500 ms", "12.0 s"]);
        assert_eq!([59, 60, 3_661, 273_600].map(age), ["59 s", "1 min 0 s", "1 h 1 min", "3 d 4 h"]);
    }

    #[test]
    fn numbers() {
        assert_eq!([0, 999, 1_000, -1_234_567].map(count), ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!(counted(1, "write", "writes"), "1 write");
        assert_eq!(counted(0, "write", "writes"), "0 writes");
    }

    #[test]
    fn sizes() {
        let shown = [0, 1_023, 1_024, 1_600, 5 << 20, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "16777215.9 TiB"]);
    }
}
