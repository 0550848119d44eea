//! Pictures are looked at by people: `YELLOWLINE_PICTURES=<folder>` writes those of these tests there.

use super::*;
use crate::alert::sample;

fn changes() -> Vec<Change> {
    let change = |id: &str, kind: &str, title: &str, minute: i64| {
        let time = sample::minute(minute).to_rfc3339();
        Change::from_json(&serde_json::json!({"id": id, "kind": kind, "title": title, "time": time,
            "environment": "production", "target": id}))
        .unwrap()
    };
    vec![
        change("d", "deploy", "deploy api 2026.47.2", -39),
        change("c", "config", "config cache.ttl", -22),
        change("01J1", "experiment", "experiment 13 \u{2192} 80 %", 0),
    ]
}

/// A daily rate with the noise of small counts, and the incident of the sample from its onset on.
fn points(alert: &Alert, now: Timestamp, kept: f64) -> Vec<Point> {
    let (from, to) = window(alert, now);
    let end = alert.resolved_at.map_or(Minute::MAX, Timestamp::minutes);
    (from..to)
        .map(|minute| {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let t = (minute - alert.onset.minutes()) as f64;
            let expected = 66.0 + t * 0.05;
            let wobble = (t * 12.989).sin() * 4.5 + (t * 3.7).cos() * 2.5;
            let hit = (alert.onset.minutes()..end).contains(&minute);
            let share = if hit { kept.max(1.0 - (t + 1.0) * 0.3) } else { 1.0 };
            let known = minute < now.minutes();
            Point {
                minute,
                actual: known.then_some((expected + wobble) * share),
                band: Some([expected, expected - 16.0, expected + 17.0]),
            }
        })
        .collect()
}

fn drawn(name: &str, picture: &Picture) -> Vec<u8> {
    let png = picture.png().unwrap();
    if let Some((_, folder)) = std::env::vars().find(|(key, _)| key == "YELLOWLINE_PICTURES") {
        std::fs::write(format!("{folder}/{name}.png"), &png).unwrap();
    }
    png
}

/// Colour of the pixels of a bitmap, in logical coordinates.
struct Pixels(tiny_skia::Pixmap);

impl Pixels {
    fn of(png: &[u8]) -> Self {
        Self(tiny_skia::Pixmap::decode_png(png).unwrap())
    }

    /// Share of the pixels of a column between two heights that have a colour, `0xRRGGBB`.
    fn column(&self, x: u32, colour: u32) -> f64 {
        let wanted = colour.to_be_bytes();
        let rows = 120..500;
        let hit = |y: &u32| {
            let pixel = self.0.pixel(x, *y).unwrap();
            [pixel.red(), pixel.green(), pixel.blue()].iter().zip(&wanted[1..]).all(|(a, b)| a.abs_diff(*b) <= 10)
        };
        f64::from(u32::try_from(rows.clone().filter(hit).count()).unwrap()) / f64::from(rows.end - rows.start)
    }

    fn most(&self, colour: u32) -> f64 {
        (0..self.0.width()).map(|x| self.column(x, colour)).fold(0.0, f64::max)
    }
}

#[test]
fn a_drop_shows_the_band_the_loss_and_the_yellow_line() {
    let (alert, now) = (sample::alert(), sample::minute(10));
    let picture = Picture::of(&alert, points(&alert, now, 0.45), &changes(), now);
    assert_eq!(picture.headline, "Expected 67, saw 37 fewer since 15:10 CET");
    assert_eq!(picture.distance, "37 fewer");
    let png = drawn("drop", &picture);
    assert!(png.len() < 200_000, "{} bytes", png.len());
    let pixels = Pixels::of(&png);
    assert_eq!((pixels.0.width(), pixels.0.height()), (1200, 660));
    assert!(pixels.most(0xe6_b400) > 0.8, "no yellow line");
    let without = Picture { marks: Vec::new(), ..picture };
    assert!(Pixels::of(&without.png().unwrap()).most(0xe6_b400) < 0.05);
    // Opaque, so that it reads on any background; the corners are round.
    assert_eq!(pixels.0.pixel(600, 300).unwrap().alpha(), 255);
    assert_eq!(pixels.0.pixel(0, 0).unwrap().alpha(), 0);
}

#[test]
fn one_that_is_over_says_so() {
    let now = sample::minute(70);
    let alert =
        Alert { resolved_at: Some(sample::minute(49)), state: crate::alert::State::Resolved, ..sample::alert() };
    let picture = Picture::of(&alert, points(&alert, now, 0.45), &changes(), now);
    assert_eq!(picture.headline, "Expected 67, saw 37 fewer from 15:10 to 15:59 CET");
    drawn("over", &picture);
}

#[test]
fn odd_incidents_are_drawn_too() {
    let now = sample::minute(10);
    let mut alert = sample::alert();
    alert.title = "Payments that become bookings in every market of the world, all sales channels included".into();
    (alert.measured, alert.expected_share, alert.seen_share) = (Measured::Ratio, Some(0.0042), Some(0.12));
    (alert.seen_per_minute, alert.direction) = (112.0, "up".into());
    alert.suspects = vec![
        sample::suspect("01J1", "the yellow activation line of experiment 13", 0.5, 0.5),
        sample::suspect("c", "the config change line of cache.ttl", 0.4, 22.0),
    ];
    let shares: Vec<Point> = points(&alert, now, 1.7)
        .into_iter()
        .map(|point| Point {
            actual: point
                .actual
                .map(|value| value / if point.minute < alert.onset.minutes() { 12_000.0 } else { 700.0 }),
            band: point.band.map(|band| band.map(|value| value / 12_000.0)),
            ..point
        })
        .collect();
    drawn("share", &Picture::of(&alert, shares, &changes(), now));
    let nothing = Picture::of(&alert, Vec::new(), &[], now);
    drawn("empty", &nothing);
}
