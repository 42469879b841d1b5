//! Quantities as people read them: counts, spans, points in time, bytes and shares. Whole numbers only.

/// Returns a count with its thousands apart, such as `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a count and what is counted, such as `1 node` or `12 nodes`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Returns a span in its two biggest units, such as `340 ms`, `12.3 s`, `2 min 10 s` or `3 d 4 h`.
pub fn span(ms: u64) -> String {
    let two = |big: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {part}"),
    };
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Returns a point in time of a run that lasts until `end_ms`: all of one run have one form.
pub fn moment(ms: u64, end_ms: u64) -> String {
    let (tenths, seconds) = (ms % 1_000 / 100, ms / 1_000);
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    match end_ms / 1_000 {
        ..1_000 => format!("{seconds}.{tenths} s"),
        1_000..86_400 => format!("{hours}:{:02}:{:02}.{tenths}", minutes % 60, seconds % 60),
        _ => format!("{} d {:02}:{:02}:{:02}", hours / 24, hours % 24, minutes % 60, seconds % 60),
    }
}

/// Returns bytes in the biggest unit that leaves a whole number, such as `12.3 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, bits) in UNITS {
        if bytes >> bits > 0 {
            let tenths = (u128::from(bytes) * 10) >> bits;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// Returns a share such as `45 %`; what is there at all is never `0 %`, and what lacks anything never `100 %`.
pub fn share(part: u64, whole: u64) -> String {
    let per_cent = u128::from(part) * 100 / u128::from(whole.max(1));
    if per_cent == 0 && part > 0 { "< 1 %".to_owned() } else { format!("{per_cent} %") }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, counted, moment, share, span};

    #[test]
    fn thousands_stand_apart() {
        let counts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((counted(1, "node", "nodes"), counted(0, "node", "nodes")), ("1 node".into(), "0 nodes".into()));
    }

    #[test]
    fn spans_show_two_units_at_most() {
        let spans = [0, 340, 1_000, 12_345, 60_000, 130_000, 3_900_000, 86_400_000, 273_600_000].map(span);
        assert_eq!(spans, ["0 ms", "340 ms", "1.0 s", "12.3 s", "1 min", "2 min 10 s", "1 h 5 min", "1 d", "3 d 4 h"]);
    }

    #[test]
    fn moments_of_one_run_have_one_form() {
        assert_eq!(moment(12_345, 600_000), "12.3 s");
        assert_eq!(moment(12_345, 3_600_000), "0:00:12.3");
        assert_eq!(moment(90_061_000, 900_000_000), "1 d 01:01:01");
    }

    #[test]
    fn bytes_and_shares_are_rounded_down() {
        assert_eq!([0, 1_023, 1_024, 12_910_000, u64::MAX].map(bytes)[..4], ["0 B", "1023 B", "1.0 KiB", "12.3 MiB"]);
        assert_eq!([(0, 9), (1, 900), (899, 900), (9, 9)].map(|(p, w)| share(p, w)), ["0 %", "< 1 %", "99 %", "100 %"]);
    }
}
