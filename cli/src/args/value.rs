//! Values as people write them: priorities, durations, numbers, and fields that an empty value clears.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use beadmesh_node::api::model::{
    BAN_S_MAX, HOLD_S_MAX, HOLD_S_MIN, INVITE_TTL_S_MAX, INVITE_USES_MAX, Scalar, TERM_S_MAX, WAIT_S_MAX, instant,
};
use beadmesh_node::api::parse_address;
use beadmesh_node::net::listen_address;
use beadmesh_sim::plan::{NODES_MAX, SPAN_MS_MAX};
use beadmesh_sim::scenario::Scenario;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

/// Cells that a frame is wide or high: from one that holds something to more than any terminal has.
const FRAME_CELLS_MIN: u16 = 10;
const FRAME_CELLS_MAX: u16 = 1_000;

/// The priority that counts least.
const PRIORITY_MAX: u8 = 4;

/// Reads `P1` or `1`.
pub(crate) fn priority(text: &str) -> Result<u8, String> {
    let digits = text.strip_prefix(['P', 'p']).unwrap_or(text);
    match digits.parse::<u8>() {
        Ok(priority) if priority <= PRIORITY_MAX && digits.len() == 1 => Ok(priority),
        _ => Err("write P0 (first) to P4, or 0 to 4".to_owned()),
    }
}

/// Reads a priority for a field; nothing clears it.
pub(crate) fn priority_field(text: &str) -> Result<Scalar, String> {
    if text.is_empty() { Ok(Scalar::Absent) } else { priority(text).map(|priority| Scalar::Number(priority.into())) }
}

/// Reads how many to list.
pub(crate) fn limit(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a whole number, 0 for all".to_owned())
}

/// Reads whole minutes.
pub(crate) fn minutes(text: &str) -> Result<u32, String> {
    text.parse::<u32>().map_err(|_| "write whole minutes, such as 90".to_owned())
}

/// Reads whole minutes for a field; nothing clears it.
pub(crate) fn minutes_field(text: &str) -> Result<Scalar, String> {
    if text.is_empty() { Ok(Scalar::Absent) } else { minutes(text).map(|minutes| Scalar::Number(minutes.into())) }
}

/// Reads a text for a field; nothing clears it.
pub(crate) fn text_field(text: &str) -> Result<Scalar, String> {
    Ok(if text.is_empty() { Scalar::Absent } else { Scalar::Text(text.to_owned()) })
}

/// Reads `30s`, `15m`, `1h`, `2d`, `1w` or several of them, such as `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number with a unit, such as 30s, 15m, 1h or 2d".to_owned();
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
        let count: u64 = rest[..end].parse().map_err(|_| wrong())?;
        let unit = match rest.as_bytes()[end] {
            b's' => 1,
            b'm' => 60,
            b'h' => 60 * 60,
            b'd' => 24 * 60 * 60,
            b'w' => 7 * 24 * 60 * 60,
            _ => return Err(wrong()),
        };
        seconds = count.checked_mul(unit).and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
        rest = &rest[end + 1..];
    }
    if seconds == 0 { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

/// Reads a point in time: a day, a time, or how long ago it was, such as `2h`; returns it as RFC 3339.
pub(crate) fn since(text: &str) -> Result<String, String> {
    since_at(text, Timestamp::now())
}

fn since_at(text: &str, now: Timestamp) -> Result<String, String> {
    if let Ok(ago) = duration(text) {
        // What lies before all time is the beginning of it.
        return Ok(now.checked_sub(ago).unwrap_or(Timestamp::MIN).max(Timestamp::UNIX_EPOCH).to_string());
    }
    let wrong = "write a day such as 2027-01-31, a time such as 2027-01-31T09:00Z, or how long ago, such as 2h";
    instant(text).ok_or_else(|| wrong.to_owned())
}

/// Reads an address to listen on.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let wrong = |_| "write TCP or QUIC on an IP address, such as /ip4/0.0.0.0/tcp/7117".to_owned();
    listen_address(text).map(|_| text.to_owned()).map_err(wrong)
}

/// Reads where the API is to answer over TCP.
pub(crate) fn api_address(text: &str) -> Result<SocketAddr, String> {
    parse_address(text).map_err(|error| error.to_string())
}

/// Reads how long an invite is open.
pub(crate) fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = duration(text)?;
    if ttl.as_secs() > INVITE_TTL_S_MAX {
        return Err(format!("an invite is open for 30d at most, which is {INVITE_TTL_S_MAX}s"));
    }
    Ok(ttl)
}

/// Reads for how long a node is kept out.
pub(crate) fn ban(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    if span.as_secs() > BAN_S_MAX {
        return Err(format!("a node is kept out for 366d at most, which is {BAN_S_MAX}s, or for good"));
    }
    Ok(span)
}

/// Reads how long a claim is to be held.
pub(crate) fn term(text: &str) -> Result<Duration, String> {
    let term = duration(text)?;
    if term.as_secs() > TERM_S_MAX {
        return Err(format!("a claim is held for 7d at most, which is {TERM_S_MAX}s"));
    }
    Ok(term)
}

/// Reads how long to wait for others.
pub(crate) fn wait(text: &str) -> Result<Duration, String> {
    let wait = duration(text)?;
    if wait.as_secs() > WAIT_S_MAX {
        return Err(format!("a claim waits for 1h at most, which is {WAIT_S_MAX}s"));
    }
    Ok(wait)
}

/// Reads how long voters are to keep a promise.
pub(crate) fn hold(text: &str) -> Result<Duration, String> {
    let hold = duration(text)?;
    if !(HOLD_S_MIN..=HOLD_S_MAX).contains(&hold.as_secs()) {
        return Err(format!("voters keep a promise for {HOLD_S_MIN}s to {HOLD_S_MAX}s"));
    }
    Ok(hold)
}

/// Reads how often an invite may be used.
pub(crate) fn uses(text: &str) -> Result<u32, String> {
    let uses = text.parse::<u32>().ok().filter(|uses| (1..=INVITE_USES_MAX).contains(uses));
    uses.ok_or_else(|| format!("write a whole number from 1 to {INVITE_USES_MAX}"))
}

/// Reads a whole number.
pub(crate) fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "write a whole number".to_owned())
}

/// Reads how many nodes a simulated mesh has.
pub(crate) fn nodes(text: &str) -> Result<usize, String> {
    let nodes = text.parse().ok().filter(|nodes| (1..=NODES_MAX).contains(nodes));
    nodes.ok_or_else(|| format!("write a whole number from 1 to {NODES_MAX}"))
}

/// Reads how long a simulated mesh lives.
pub(crate) fn simulated(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    if span > Duration::from_millis(SPAN_MS_MAX) {
        return Err(format!("a simulated mesh lives {}d at most", SPAN_MS_MAX / 86_400_000));
    }
    Ok(span)
}

/// Reads how wide or high a frame is.
pub(crate) fn frame(text: &str) -> Result<u16, String> {
    let cells = text.parse().ok().filter(|cells| (FRAME_CELLS_MIN..=FRAME_CELLS_MAX).contains(cells));
    cells.ok_or_else(|| format!("write a whole number from {FRAME_CELLS_MIN} to {FRAME_CELLS_MAX}"))
}

/// Reads how many there are, of which there is at least one.
pub(crate) fn some<N: FromStr + From<u8> + PartialOrd>(text: &str) -> Result<N, String> {
    let count = text.parse::<N>().ok().filter(|count| *count >= N::from(1));
    count.ok_or_else(|| "write a whole number, at least 1".to_owned())
}

/// Reads the name of a scenario.
pub(crate) fn scenario() -> impl TypedValueParser<Value = Scenario> {
    // The parser of fixed words also says which of them is near.
    let names = PossibleValuesParser::new(Scenario::ALL.iter().map(|scenario| scenario.name()));
    names.try_map(|name| name.parse::<Scenario>().map_err(|error| error.to_string()))
}

/// Reads a share of a hundred.
pub(crate) fn percent(text: &str) -> Result<u8, String> {
    let share = text.strip_suffix('%').unwrap_or(text).parse().ok().filter(|share| *share <= 100);
    share.ok_or_else(|| "write a number from 0 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, hold, minutes_field, priority, priority_field, since_at, term, text_field, ttl, uses, wait};
    use beadmesh_node::api::model::Scalar;

    #[test]
    fn a_priority_is_written_with_or_without_its_letter() {
        assert_eq!(priority("P1"), Ok(1));
        assert_eq!(priority("p0"), Ok(0));
        assert_eq!(priority("4"), Ok(4));
        for wrong in ["5", "P5", "", "P", "high", "-1", "01", "PP1"] {
            assert!(priority(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_add_up() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3_600)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        for wrong in ["", "0s", "60", "1y", "h", "1.5h", "-1h", "99999999999999999999h", "9999999999999999w", "1µ"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_point_in_time_is_a_date_or_a_distance() {
        let since = |text| since_at(text, "2026-03-01T12:00:00Z".parse().unwrap());
        assert_eq!(since("2h").as_deref(), Ok("2026-03-01T10:00:00Z"));
        assert_eq!(since("2026-02-27").as_deref(), Ok("2026-02-27T00:00:00Z"));
        assert_eq!(since("2026-02-27T09:30:00+01:00").as_deref(), Ok("2026-02-27T08:30:00Z"));
        assert_eq!(since("9999w").as_deref(), Ok("1970-01-01T00:00:00Z"));
        for wrong in ["", "yesterday", "2h ago", "60"] {
            assert!(since(wrong).unwrap_err().contains("2027-01-31"), "{wrong}");
        }
    }

    #[test]
    fn an_invite_has_bounds() {
        assert_eq!(ttl("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(ttl("30d"), Ok(Duration::from_secs(2_592_000)));
        assert!(ttl("30d1s").unwrap_err().contains("30d"));
        assert_eq!((uses("1"), uses("1000")), (Ok(1), Ok(1_000)));
        for wrong in ["0", "1001", "99999999", "-1", "many"] {
            assert!(uses(wrong).unwrap_err().ends_with("from 1 to 1000"), "{wrong}");
        }
    }

    #[test]
    fn terms_waits_and_holds_have_bounds() {
        assert_eq!((term("7d"), wait("1h")), (Ok(Duration::from_secs(604_800)), Ok(Duration::from_secs(3_600))));
        assert_eq!((hold("5s"), hold("2m")), (Ok(Duration::from_secs(5)), Ok(Duration::from_secs(120))));
        for wrong in ["0", "0s", "-5", "-5s", "", "60", "forever"] {
            for read in [term, wait, hold] {
                assert!(read(wrong).unwrap_err().contains("such as 30s"), "{wrong}");
            }
        }
        assert!(term("7d1s").unwrap_err().contains("7d"));
        assert!(wait("1h1s").unwrap_err().contains("1h"));
        for wrong in ["4s", "121s"] {
            assert!(hold(wrong).unwrap_err().ends_with("5s to 120s"), "{wrong}");
        }
    }

    #[test]
    fn an_empty_value_clears_a_field() {
        assert_eq!(priority_field(""), Ok(Scalar::Absent));
        assert_eq!(minutes_field(""), Ok(Scalar::Absent));
        assert_eq!(text_field(""), Ok(Scalar::Absent));
        assert_eq!(priority_field("P3"), Ok(Scalar::Number(3)));
        assert_eq!(minutes_field("90"), Ok(Scalar::Number(90)));
        assert_eq!(text_field("x"), Ok(Scalar::Text("x".into())));
    }
}
