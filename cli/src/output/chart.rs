//! Numbers over time: a line of bars for a terminal, a drawing for a file.

use std::fmt::Write;

use beadmesh_node::api::model::{HistoryBody, Point};
use jiff::Timestamp;

use super::machine::gibibytes;
use super::text;

/// Bars from the lowest to the highest.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The size of a drawing, and what is left free round it.
const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 40.0;

/// Returns a line of bars for each span of time that there are numbers for, with the lowest, the highest and the last.
pub(crate) fn lines(body: &HistoryBody, columns: usize) -> Vec<String> {
    let mut lines = vec![text::clean_line(&title(body))];
    for (name, points) in [("15 min", &body.recent), ("7 days", &body.week)] {
        if points.is_empty() {
            continue;
        }
        let values: Vec<f32> = points.iter().map(|point| point.value).collect();
        let (low, high) = bounds(&values);
        let shown = |value: f32| number(value, &body.unit);
        let said = format!("{} to {}, now {}", shown(low), shown(high), shown(values[values.len() - 1]));
        let room = columns.saturating_sub(name.len() + said.len() + 4).max(8);
        lines.push(format!("{name}  {}  {said}", bars(&means(&values, room), scale(&values, &body.unit))));
    }
    lines
}

/// Says what is shown, and that it is made up where it is.
fn title(body: &HistoryBody) -> String {
    let unit = match body.unit.as_str() {
        "" => String::new(),
        "bytes" => ", GiB".to_owned(),
        unit => format!(", {unit}"),
    };
    let demo = if body.backend.as_deref() == Some("demo") { ", demo: made up" } else { "" };
    format!("{} of {}{unit}{demo}", body.metric, body.node.name)
}

fn number(value: f32, unit: &str) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are whole and not negative")]
    let bytes = value as u64;
    match unit {
        "bytes" => gibibytes(bytes),
        "" => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}

fn bounds(values: &[f32]) -> (f32, f32) {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    (low, values.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

/// Returns what lies at the bottom and at the top: of percentages always nothing and all, so that a little is not drawn as a lot.
fn scale(values: &[f32], unit: &str) -> (f32, f32) {
    let (low, high) = bounds(values);
    if unit == "percent" { (low.min(0.0), high.max(100.0)) } else { (low, high) }
}

/// Returns as many means as there is room for, in their order; the numbers themselves where they fit.
fn means(values: &[f32], room: usize) -> Vec<f32> {
    let count = room.min(values.len());
    let mean = |at: usize| {
        let (from, to) = (at * values.len() / count, (at + 1) * values.len() / count);
        let part = &values[from..to];
        #[expect(clippy::cast_precision_loss, reason = "a line has few columns")]
        let length = part.len() as f32;
        part.iter().sum::<f32>() / length
    };
    (0..count).map(mean).collect()
}

fn bars(values: &[f32], (low, high): (f32, f32)) -> String {
    let bar = |value: &f32| {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
        let at = (share.clamp(0.0, 1.0) * 7.0).round() as usize;
        BARS[at]
    };
    values.iter().map(bar).collect()
}

/// Returns a drawing of the last quarter of an hour above the last week.
pub(crate) fn svg(body: &HistoryBody) -> String {
    let title = escaped(&title(body));
    let total = HEIGHT * 2.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    for (top, name, points) in [(0.0, "15 minutes", &body.recent), (HEIGHT, "7 days", &body.week)] {
        draw(&mut svg, top, name, points, &body.unit);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, top: f64, name: &str, points: &[Point], unit: &str) {
    let (left, right, upper, lower) = (MARGIN, WIDTH - MARGIN, top + MARGIN, top + HEIGHT - MARGIN);
    // Writing to a text does not fail.
    let _ = writeln!(svg, "<path d=\"M{left} {upper}V{lower}H{right}\" fill=\"none\" stroke=\"#888\"/>");
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{:.0}\">{name}</text>", lower + 18.0);
    let moments: Vec<f64> = points.iter().map(|point| seconds(&point.at)).collect();
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return };
    let values: Vec<f32> = points.iter().map(|point| point.value).collect();
    let (low, high) = scale(&values, unit);
    let across =
        |moment: f64| if last > first { left + (right - left) * (moment - first) / (last - first) } else { right };
    let up = |value: f32| {
        let share = if high > low { f64::from((value - low) / (high - low)) } else { 0.5 };
        lower - (lower - upper) * share
    };
    let line: Vec<String> = moments
        .iter()
        .zip(&values)
        .map(|(moment, value)| format!("{:.1},{:.1}", across(*moment), up(*value)))
        .collect();
    let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#0a6\"/>", line.join(" "));
    for (value, at) in [(high, upper), (low, lower)] {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{at:.0}\" text-anchor=\"end\">{}</text>",
            left - 4.0,
            number(value, unit)
        );
    }
}

/// Returns a moment in seconds; those that are no moments lie at the beginning.
fn seconds(at: &str) -> f64 {
    at.parse::<Timestamp>().map(Timestamp::as_duration).map(|since| since.as_secs_f64()).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text::clean_line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use beadmesh_node::api::model::Node;

    use super::*;

    fn body(values: &[f32]) -> HistoryBody {
        let point = |(at, value): (usize, &f32)| Point { at: format!("2026-01-01T00:00:{at:02}Z"), value: *value };
        HistoryBody {
            node: Node { id: "1".into(), name: "<ada>".into() },
            metric: "gpu0.busy".into(),
            unit: "percent".into(),
            backend: Some("nvml".into()),
            recent: values.iter().enumerate().map(point).collect(),
            week: Vec::new(),
        }
    }

    #[test]
    fn a_line_of_bars_has_its_bounds_beside_it_and_fits() {
        let rising: Vec<f32> = (0..60_u8).map(f32::from).collect();
        let lines = self::lines(&body(&rising), 60);
        assert_eq!(lines[0], "gpu0.busy of <ada>, percent");
        assert_eq!(lines[1], "15 min  ▁▁▁▁▂▂▂▂▂▂▂▃▃▃▃▃▃▃▄▄▄▄▄▄▄▅▅▅▅  0.0 to 59.0, now 59.0");
        assert_eq!(lines.len(), 2, "there is no week yet");
        let demo = HistoryBody { backend: Some("demo".into()), ..body(&rising) };
        assert!(self::lines(&demo, 60)[0].ends_with(", demo: made up") && svg(&demo).contains("demo: made up"));
        assert!(text::width(&lines[1]) <= 60);
    }

    #[test]
    fn what_does_not_change_is_a_flat_line() {
        assert_eq!(bars(&[5.0, 5.0, 5.0], (5.0, 5.0)), "▁▁▁");
    }

    #[test]
    fn a_drawing_holds_every_point_and_no_markup_of_names() {
        let svg = svg(&body(&[1.0, 3.0, 2.0]));
        assert!(svg.contains("&lt;ada&gt;") && !svg.contains("<ada>"), "{svg}");
        assert!(svg.contains("points=\"40.0,198.4 400.0,195.2 760.0,196.8\""), "{svg}");
    }
}
