//! Points in time as people read them.

use jiff::Timestamp;

/// Returns how long ago that was, such as `2 h ago`; the text itself where it is no date.
pub(crate) fn ago(date: &str, now: Timestamp) -> String {
    let Ok(then) = date.parse::<Timestamp>() else { return super::text::clean_line(date) };
    let seconds = now.as_second() - then.as_second();
    match seconds {
        ..-60 => format!("at {}", minute(date)),
        -60..60 => "just now".to_owned(),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        86_400..172_800 => "yesterday".to_owned(),
        172_800..2_592_000 => format!("{} days ago", seconds / 86_400),
        _ => format!("on {}", day(date)),
    }
}

/// Returns the day of a date as it was written.
pub(crate) fn day(date: &str) -> String {
    let line = super::text::clean_line(date);
    match line.get(..10) {
        Some(day) if date.parse::<Timestamp>().is_ok() => day.to_owned(),
        _ => line,
    }
}

/// Returns day and minute of a date, in UTC.
pub(crate) fn minute(date: &str) -> String {
    match date.parse::<Timestamp>() {
        Ok(then) => {
            let text = then.to_string();
            format!("{} {} UTC", text.get(..10).unwrap_or(&text), text.get(11..16).unwrap_or_default())
        }
        Err(_) => super::text::clean_line(date),
    }
}

/// Returns the time of day to the second, in UTC; with its day where that is not today.
pub(crate) fn clock(date: &str, now: Timestamp) -> String {
    let Ok(then) = date.parse::<Timestamp>() else { return super::text::clean_line(date) };
    let (then, now) = (then.to_string(), now.to_string());
    match then.get(11..19) {
        Some(clock) if then.get(..10) == now.get(..10) => format!("{clock} UTC"),
        _ => minute(date),
    }
}

#[cfg(test)]
mod tests {
    use super::{ago, clock, day, minute};

    #[test]
    fn a_time_of_today_needs_no_day() {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        assert_eq!(clock("2026-03-01T14:03:10.5Z", now), "14:03:10 UTC");
        assert_eq!(clock("2026-03-01T14:03:10+05:00", now), "09:03:10 UTC");
        assert_eq!(clock("2026-03-02T00:00:01Z", now), "2026-03-02 00:00 UTC");
        assert_eq!(clock("soon", now), "soon");
    }

    #[test]
    fn near_dates_are_told_by_their_distance() {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        assert_eq!(ago("2026-03-01T11:59:30Z", now), "just now");
        assert_eq!(ago("2026-03-01T11:18:00Z", now), "42 min ago");
        assert_eq!(ago("2026-03-01T04:00:00-05:00", now), "3 h ago");
        assert_eq!(ago("2026-02-28T09:00:00Z", now), "yesterday");
        assert_eq!(ago("2026-02-20T09:00:00Z", now), "9 days ago");
        assert_eq!(ago("2025-02-20T09:00:00Z", now), "on 2025-02-20");
        assert_eq!(ago("2026-03-02T09:00:00Z", now), "at 2026-03-02 09:00 UTC");
        assert_eq!(ago("soon", now), "soon");
    }

    #[test]
    fn a_date_that_is_none_is_shown_as_it_is() {
        assert_eq!(day("2025-11-02T21:58:07.295058-08:00"), "2025-11-02");
        assert_eq!(day("next week"), "next week");
        assert_eq!(minute("2025-11-02T21:58:07.295058-08:00"), "2025-11-03 05:58 UTC");
    }
}
