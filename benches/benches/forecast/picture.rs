//! The picture of docs/forecast.md: an afternoon of a simulated market with an incident in it, as SVG.

use alerter::{
    backtest::Replay,
    history::{DAY_MINUTES, Minute},
};

use crate::{day_ahead::settings, simulated};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 52.0;
const BASE: f64 = 330.0;
const TOP: f64 = 46.0;

/// The incident: minutes after midnight of the last day, its length, and what is left of the rate.
const INCIDENT: (i64, i64, f64) = (14 * 60 + 3, 45, 0.45);

/// One minute of the picture.
struct Drawn {
    minute: i64,
    seen: f64,
    mu0: f64,
    mu: f64,
    lower: f64,
    upper: f64,
}

/// Draws it.
pub(crate) fn draw(seed: u64) -> String {
    let series = simulated::smooth(67.0, 0.03, seed);
    let day = 63;
    let midnight = series.start + day * DAY_MINUTES;
    let from = midnight + 12 * 60;
    let mut replay = Replay::new(settings(&series), series.history(series.start, from), from..from + 300);
    let mut minutes: Vec<Drawn> = Vec::new();
    for minute in from..from + 300 {
        let since = minute - midnight - INCIDENT.0;
        let factor = if (0..INCIDENT.1).contains(&since) { INCIDENT.2 } else { 1.0 };
        let seen = (series.value[(minute - series.start) as usize] * factor).round();
        let Some(score) = replay.step(minute, Some(alerter::history::Observation::count(seen))) else { continue };
        let Some(fitted) = replay.fitted() else { continue };
        let band = fitted.interval(minute, 1, 0.0);
        minutes.push(Drawn {
            minute: minute - midnight,
            seen,
            mu0: score.mu0,
            mu: score.mu,
            lower: band.lower,
            upper: band.upper,
        });
    }
    let pages = replay.finish().pages;
    svg(&minutes, pages.first(), midnight)
}

fn svg(minutes: &[Drawn], page: Option<&alerter::backtest::Page>, midnight: Minute) -> String {
    let first = minutes.first().map_or(0, |drawn| drawn.minute);
    let most = minutes.iter().map(|drawn| drawn.upper.max(drawn.seen)).fold(1.0, f64::max) * 1.08;
    let x = |minute: i64| LEFT + (minute - first) as f64 * (WIDTH - LEFT - 16.0) / 300.0;
    let y = |value: f64| BASE - value / most * (BASE - TOP);
    let line = |of: fn(&Drawn) -> f64| {
        minutes.iter().map(|drawn| format!("{:.1},{:.1}", x(drawn.minute), y(of(drawn)))).collect::<Vec<_>>().join(" ")
    };
    let mut band: Vec<String> =
        minutes.iter().map(|drawn| format!("{:.1},{:.1}", x(drawn.minute), y(drawn.upper))).collect();
    band.extend(minutes.iter().rev().map(|drawn| format!("{:.1},{:.1}", x(drawn.minute), y(drawn.lower))));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <polygon points=\"{}\" fill=\"#dbe7f5\"/>\n\
         <polyline points=\"{}\" fill=\"none\" stroke=\"#6b8fb8\" stroke-dasharray=\"5 4\"/>\n\
         <polyline points=\"{}\" fill=\"none\" stroke=\"#1f4e8c\" stroke-width=\"1.6\"/>\n\
         <polyline points=\"{}\" fill=\"none\" stroke=\"#222\" stroke-width=\"1\"/>\n",
        band.join(" "),
        line(|drawn| drawn.mu0),
        line(|drawn| drawn.mu),
        line(|drawn| drawn.seen),
    );
    for hour in first / 60..=(first + 300) / 60 {
        let at = x(hour * 60);
        out += &format!("<text x=\"{at:.1}\" y=\"352\" text-anchor=\"middle\" fill=\"#555\">{hour}:00</text>\n");
    }
    for value in [0.0, 50.0, 100.0, 150.0].into_iter().filter(|value| *value < most) {
        let at = y(value) + 4.0;
        out += &format!("<text x=\"44\" y=\"{at:.1}\" text-anchor=\"end\" fill=\"#555\">{value:.0}</text>\n");
    }
    if let Some(page) = page {
        let close = page.closed.map(|closed| closed - midnight);
        let marks = [
            (Some(page.onset.minute - midnight), "#c9a400", "began"),
            (Some(page.minute + 1 - midnight), "#c0392b", "page"),
            (close, "#2e8b57", "over"),
        ];
        for (index, (minute, colour, word)) in marks.into_iter().enumerate() {
            let Some(minute) = minute else { continue };
            let at = x(minute);
            let height = 30.0 - 13.0 * (index % 2) as f64;
            out += &format!(
                "<line x1=\"{at:.1}\" y1=\"{:.0}\" x2=\"{at:.1}\" y2=\"{BASE}\" stroke=\"{colour}\" stroke-width=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{height}\" fill=\"{colour}\">{word} {}:{:02}</text>\n",
                height + 4.0,
                at + 3.0,
                minute / 60,
                minute % 60,
            );
        }
    }
    out.push_str(
        "<text x=\"52\" y=\"372\" fill=\"#222\">black: seen a minute · dashed: expected a day ahead, with its 95 % interval · \
         blue: corrected by the last hour, held while the incident lasts</text>\n</svg>\n",
    );
    out
}
