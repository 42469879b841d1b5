//! Time from left to right, with marks at round times.

/// Steps between two marks, in milliseconds.
const STEPS: [u64; 26] = [
    10,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    14_400_000,
    28_800_000,
    43_200_000,
    86_400_000,
    172_800_000,
    604_800_000,
    1_209_600_000,
];

/// Marks at most.
const TICKS_MAX: u64 = 12;

/// Time from left to right.
pub(super) struct Axis {
    left: u64,
    right: u64,
    /// The last millisecond.
    pub(super) end_ms: u64,
}

impl Axis {
    /// Returns an axis that shows the time from 0 to `end_ms`, which is not 0.
    pub(super) fn new(left: u64, right: u64, end_ms: u64) -> Self {
        Self { left, right, end_ms }
    }

    /// Returns how many places lie between both ends.
    pub(super) fn places(&self) -> u64 {
        self.right - self.left
    }

    /// Returns where a time is, in tenths.
    pub(super) fn tenths(&self, at_ms: u64) -> u64 {
        let width = u128::from(self.places()) * 10;
        let along = u128::from(at_ms.min(self.end_ms)) * width / u128::from(self.end_ms);
        self.left * 10 + u64::try_from(along).expect("a picture is narrow")
    }

    /// Returns where a time is, as it stands in the file.
    pub(super) fn x(&self, at_ms: u64) -> String {
        tenths(self.tenths(at_ms))
    }

    /// Returns how wide a span is, as it stands in the file.
    pub(super) fn width(&self, from_ms: u64, to_ms: u64) -> String {
        tenths(self.tenths(to_ms).saturating_sub(self.tenths(from_ms)))
    }

    /// Returns the marks: their times, and what is written there.
    pub(super) fn ticks(&self) -> Vec<(u64, String)> {
        let step = STEPS.into_iter().find(|step| self.end_ms / step < TICKS_MAX).unwrap_or(STEPS[STEPS.len() - 1] * 4);
        (0..=self.end_ms / step).map(|at| (at * step, label(at * step, step))).collect()
    }
}

/// Returns tenths as they stand in the file.
pub(super) fn tenths(tenths: u64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Names a time in the unit of its step.
fn label(at_ms: u64, step: u64) -> String {
    let (minutes, hours) = (at_ms / 60_000, at_ms / 3_600_000);
    match step {
        _ if at_ms == 0 => "0".to_owned(),
        ..1_000 if at_ms.is_multiple_of(1_000) => format!("{} s", at_ms / 1_000),
        ..1_000 => format!("{at_ms} ms"),
        1_000..60_000 if at_ms < 60_000 => format!("{} s", at_ms / 1_000),
        1_000..60_000 => format!("{minutes}:{:02} min", at_ms / 1_000 % 60),
        60_000..3_600_000 if minutes < 60 => format!("{minutes} min"),
        60_000..3_600_000 => format!("{hours}:{:02} h", minutes % 60),
        3_600_000..86_400_000 => format!("{hours} h"),
        _ => format!("{} d", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::Axis;

    fn labels(end_ms: u64) -> Vec<String> {
        Axis::new(0, 1_000, end_ms).ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn marks_are_few_and_round() {
        assert_eq!(labels(92_000)[..3], ["0", "10 s", "20 s"]);
        assert_eq!(labels(92_000)[6], "1:00 min");
        assert_eq!(labels(605_000)[1..3], ["1 min", "2 min"]);
        assert_eq!(labels(7 * 86_400_000)[1], "1 d");
        assert_eq!(labels(1), ["0"]);
        for end_ms in [1, 9, 700, 12_345, 3_599_999, 3_600_000, 50_000_000, 90 * 86_400_000] {
            assert!((1..=12).contains(&labels(end_ms).len()), "{end_ms}");
        }
    }

    #[test]
    fn times_stay_within_the_picture() {
        let axis = Axis::new(70, 1_170, 600_000);
        assert_eq!((axis.x(0), axis.x(300_000), axis.x(u64::MAX)), ("70.0".into(), "620.0".into(), "1170.0".into()));
        assert_eq!(axis.width(5, 4), "0.0");
    }
}
