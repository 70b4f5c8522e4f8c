//! Charts as SVG, drawn here so that the page needs no library. Each has a title, a sentence that says the
//! same, axes with units, and its numbers as a table.

use maud::{Markup, html};
use time::{Date, OffsetDateTime};

use super::format;

/// A line over time.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(OffsetDateTime, f64)>,
}

/// Lines over the time from `from` to `to`.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) title: &'static str,
    /// Of the values, such as "rows/s".
    pub(crate) unit: Unit,
    /// At most three.
    pub(crate) series: Vec<Series>,
    pub(crate) from: OffsetDateTime,
    pub(crate) to: OffsetDateTime,
    /// A longer pause between points is a gap in the line.
    pub(crate) gap: time::Duration,
    /// What is said while there are no points.
    pub(crate) empty: &'static str,
}

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds, shown with the unit that suits them.
    Seconds,
    /// Anything else.
    Of(&'static str),
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => format::span(std::time::Duration::try_from_secs_f64(value).unwrap_or_default()),
            Self::Of(unit) => format!("{} {unit}", format::short(value)),
        }
    }

    /// On the axis: the unit stands at its end only.
    fn tick(self, value: f64) -> String {
        match self {
            Self::Seconds if value == 0.0 => "0".to_owned(),
            Self::Seconds => self.show(value),
            Self::Of(_) => format::short(value),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "time",
            Self::Of(unit) => unit,
        }
    }
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
/// Rows of the table: the line has more.
const TABLE_ROWS: usize = 13;

/// The chart of some lines.
pub(crate) fn lines(chart: &Lines) -> Markup {
    let highest = chart.series.iter().flat_map(|s| s.points.iter().map(|p| p.1)).fold(0.0, f64::max);
    let anything = chart.series.iter().any(|s| !s.points.is_empty());
    let top = ceiling(highest, chart.unit);
    html! {
        figure.chart {
            figcaption {
                h3 { (chart.title) }
                @if anything {
                    ul.legend {
                        @for (at, series) in chart.series.iter().enumerate() {
                            @if let Some((_, last)) = series.points.last() {
                                li { span class={ "key s" (at) } aria-hidden="true" {} (series.name) " " strong { (chart.unit.show(*last)) } }
                            }
                        }
                    }
                }
            }
            @if anything {
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(sentence(chart)) {
                    (value_axis(top, chart.unit))
                    (time_axis(chart.from, chart.to))
                    @for (at, series) in chart.series.iter().enumerate().rev() {
                        (line(series, at, chart, top))
                    }
                }
                (lines_table(chart))
            } @else {
                p.nothing { (chart.empty) }
            }
        }
    }
}

fn x(at: OffsetDateTime, from: OffsetDateTime, to: OffsetDateTime) -> f64 {
    let share = (at - from).as_seconds_f64() / (to - from).as_seconds_f64().max(1.0);
    LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

fn y(value: f64, top: f64) -> f64 {
    TOP + (1.0 - (value / top).clamp(0.0, 1.0)) * (HEIGHT - TOP - BOTTOM)
}

/// The next round number at or above the highest value.
fn ceiling(highest: f64, unit: Unit) -> f64 {
    // Things are whole: half a row is no mark of an axis.
    let least = if unit == Unit::Seconds { 0.1 } else { 4.0 };
    if highest <= least {
        return least;
    }
    if unit == Unit::Seconds && highest > 60.0 {
        const ROUND: [f64; 14] = [
            120.0,
            300.0,
            600.0,
            1_200.0,
            1_800.0,
            3_600.0,
            7_200.0,
            14_400.0,
            28_800.0,
            86_400.0,
            172_800.0,
            432_000.0,
            864_000.0,
            2_592_000.0,
        ];
        if let Some(round) = ROUND.into_iter().find(|round| *round >= highest) {
            return round;
        }
    }
    let power = 10_f64.powf(highest.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|round| *round >= highest)
        .unwrap_or(highest)
}

fn value_axis(top: f64, unit: Unit) -> Markup {
    html! {
        g.axis {
            @for share in [0.0, 0.5, 1.0] {
                @let at = y(top * share, top);
                line x1=(LEFT) x2=(WIDTH - RIGHT) y1=(fixed(at)) y2=(fixed(at)) {}
                text x=(LEFT - 6.0) y=(fixed(at + 4.0)) text-anchor="end" { (unit.tick(top * share)) }
            }
        }
    }
}

/// Five marks: how long ago, so that no time zone has to be known.
fn time_axis(from: OffsetDateTime, to: OffsetDateTime) -> Markup {
    html! {
        g.axis {
            @for quarter in 0..=4_i32 {
                @let at = from + (to - from) * (f64::from(quarter) / 4.0);
                @let left = (to - at).unsigned_abs();
                @let anchor = match quarter { 0 => "start", 4 => "end", _ => "middle" };
                text x=(fixed(x(at, from, to))) y=(HEIGHT - 6.0) text-anchor=(anchor) {
                    @if quarter == 4 { "now" } @else { "−" (format::span(left)) }
                }
            }
        }
    }
}

/// One path a run of points without a gap.
fn line(series: &Series, at: usize, chart: &Lines, top: f64) -> Markup {
    let mut path = String::new();
    let mut before: Option<OffsetDateTime> = None;
    for (when, value) in &series.points {
        let joined = before.is_some_and(|before| *when - before <= chart.gap);
        let letter = if joined { 'L' } else { 'M' };
        path += &format!("{letter}{} {}", fixed(x(*when, chart.from, chart.to)), fixed(y(*value, top)));
        if !joined {
            // A lone point is seen, too: round line ends make it a dot.
            path += "h0";
        }
        before = Some(*when);
    }
    html! {
        path class={ "line s" (at) } d=(path) {}
        @if let Some((when, value)) = series.points.last() {
            circle class={ "dot s" (at) } cx=(fixed(x(*when, chart.from, chart.to))) cy=(fixed(y(*value, top))) r="3.5" {}
        }
    }
}

fn fixed(value: f64) -> String {
    format!("{value:.1}")
}

/// What a line says, in words.
fn sentence(chart: &Lines) -> String {
    let of = |series: &Series| {
        let last = series.points.last().map(|p| p.1)?;
        let least = series.points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let most = series.points.iter().map(|p| p.1).fold(0.0, f64::max);
        let show = |value| chart.unit.show(value);
        Some(format!("{}: now {}, lowest {}, highest {}", series.name, show(last), show(least), show(most)))
    };
    let parts: Vec<String> = chart.series.iter().filter_map(of).collect();
    format!("{}. {}.", chart.title, parts.join("; "))
}

fn lines_table(chart: &Lines) -> Markup {
    let longest = chart.series.iter().map(|s| &s.points).max_by_key(|points| points.len());
    let times: Vec<OffsetDateTime> = longest.map(|p| p.iter().map(|p| p.0).collect()).unwrap_or_default();
    let step = times.len().div_ceil(TABLE_ROWS).max(1);
    let near = |series: &Series, at: OffsetDateTime| {
        series
            .points
            .iter()
            .min_by_key(|p| (p.0 - at).abs())
            .map(|p| chart.unit.show(p.1))
            .unwrap_or_default()
    };
    html! {
        details.numbers {
            summary { "As a table" }
            div.scroll tabindex="0" role="region" aria-label={ (chart.title) " as a table" } {
                table {
                    caption.unseen { (chart.title) " (" (chart.unit.name()) ")" }
                    thead { tr { th scope="col" { "Time" } @for series in &chart.series { th.number scope="col" { (series.name) } } } }
                    tbody {
                        @for at in times.iter().rev().step_by(step) {
                            tr {
                                th scope="row" { (format::exact(*at)) }
                                @for series in &chart.series { td.number { (near(series, *at)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One bar a day.
#[derive(Debug, Clone)]
pub(crate) struct Days {
    pub(crate) title: &'static str,
    pub(crate) one: &'static str,
    pub(crate) many: &'static str,
    /// Beside the title: what all days say together.
    pub(crate) note: String,
    pub(crate) days: Vec<(Date, i64)>,
}

/// The chart of some days.
pub(crate) fn days(chart: &Days) -> Markup {
    let highest = chart.days.iter().map(|d| d.1).max().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "a height in pixels")]
    let top = ceiling((highest.max(4)) as f64, Unit::Of(""));
    #[expect(clippy::cast_precision_loss, reason = "some dozen days")]
    let step = (WIDTH - LEFT - RIGHT) / chart.days.len().max(1) as f64;
    let last = chart.days.len().saturating_sub(1);
    html! {
        figure.chart {
            figcaption { h3 { (chart.title) } ul.legend { li { (chart.note) } } }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-label=(format!("{} by day: {}, at most {} a day.", chart.title, chart.note, format::count(highest))) {
                (value_axis(top, Unit::Of("")))
                @for (at, (date, value)) in chart.days.iter().enumerate() {
                    @let (left, height) = bar(at, *value, step, top);
                    rect.bar x=(fixed(left + step * 0.12)) width=(fixed(step * 0.76)) y=(fixed(HEIGHT - BOTTOM - height)) height=(fixed(height)) {
                        title { (format::day(*date)) ": " (format::things(*value, chart.one, chart.many)) }
                    }
                    @if at == 0 || at == last || (at % 7 == 0 && last - at > 3) {
                        text.day x=(fixed(left + step / 2.0)) y=(HEIGHT - 6.0) text-anchor=(if at == last { "end" } else if at == 0 { "start" } else { "middle" }) {
                            (format::day(*date))
                        }
                    }
                }
            }
            (days_table(chart))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a place in pixels")]
fn bar(at: usize, value: i64, step: f64, top: f64) -> (f64, f64) {
    let height = (value as f64 / top).clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM);
    (LEFT + step * at as f64, if value > 0 { height.max(1.5) } else { 0.0 })
}

fn days_table(chart: &Days) -> Markup {
    html! {
        details.numbers {
            summary { "As a table" }
            div.scroll tabindex="0" role="region" aria-label={ (chart.title) " as a table" } {
                table {
                    caption.unseen { (chart.title) }
                    thead { tr { th scope="col" { "Day" } th.number scope="col" { (chart.many) } } }
                    tbody {
                        @for (date, value) in chart.days.iter().rev() {
                            tr { th scope="row" { (format::day(*date)) } td.number { (format::count(*value)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Shares of a whole, largest first: a table whose bars are read without numbers.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    pub(crate) title: &'static str,
    /// What is counted, such as "Users".
    pub(crate) of: &'static str,
    /// What tells the rows apart, such as "Country".
    pub(crate) by: &'static str,
    pub(crate) rows: Vec<(String, i64)>,
    pub(crate) empty: &'static str,
}

pub(crate) fn shares(chart: &Shares) -> Markup {
    let highest = chart.rows.iter().map(|r| r.1).max().unwrap_or(0).max(1);
    html! {
        section.chart {
            h3 { (chart.title) }
            @if chart.rows.is_empty() {
                p.nothing { (chart.empty) }
            } @else {
                table.shares {
                    caption.unseen { (chart.title) }
                    thead { tr { th scope="col" { (chart.by) } th.number scope="col" { (chart.of) } td { } } }
                    tbody {
                        @for (name, value) in &chart.rows {
                            tr { th scope="row" { (name) } td.number { (format::count(*value)) } td.bar-cell { (share_bar(*value, highest)) } }
                        }
                    }
                }
            }
        }
    }
}

fn share_bar(value: i64, highest: i64) -> Markup {
    #[expect(clippy::cast_precision_loss, reason = "a width in pixels")]
    let width = value as f64 / highest as f64 * 100.0;
    html! {
        svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.bar width=(fixed(width.max(0.5))) height="8" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let tops = [0.0, 0.4, 1.0, 1.2, 37.0, 41.0, 980.0].map(|v| ceiling(v, Unit::Of("rows")));
        assert_eq!(tops, [4.0, 4.0, 4.0, 4.0, 40.0, 50.0, 1_000.0]);
        let tops = [0.02, 0.3, 59.0, 61.0, 4_000.0].map(|v| ceiling(v, Unit::Seconds));
        assert!((tops[1] - 0.4).abs() < 1e-9, "{tops:?}");
        assert_eq!([tops[0], tops[2], tops[3], tops[4]], [0.1, 100.0, 120.0, 7_200.0]);
    }

    #[test]
    fn a_pause_is_a_gap_and_a_lone_point_a_dot() {
        let from = OffsetDateTime::UNIX_EPOCH;
        let at = |seconds| from + time::Duration::seconds(seconds);
        let series = Series { name: "n", points: vec![(at(0), 0.0), (at(10), 1.0), (at(90), 1.0)] };
        let chart = Lines {
            title: "t",
            unit: Unit::Of("rows"),
            series: vec![series.clone()],
            from,
            to: at(100),
            gap: time::Duration::seconds(50),
            empty: "",
        };
        let drawn = line(&series, 0, &chart, 1.0).into_string();
        assert_eq!(drawn.matches('M').count(), 2, "{drawn}");
        assert_eq!(drawn.matches('L').count(), 1, "{drawn}");
        assert!(
            sentence(&chart).contains("now 1 rows, lowest 0 rows, highest 1 rows"),
            "{}",
            sentence(&chart)
        );
    }

    #[test]
    fn without_points_the_chart_says_why() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let chart = Lines {
            title: "t",
            unit: Unit::Seconds,
            series: vec![],
            from: now,
            to: now,
            gap: time::Duration::HOUR,
            empty: "No samples yet.",
        };
        assert!(lines(&chart).into_string().contains("No samples yet."));
    }
}
