//! Which experiments a page evaluates, and what each guest got.

use super::{Page, Profile, event::Facts};
use crate::{
    json::Json,
    random::{hash, unit},
    story::{BROKEN_EXPERIMENT, EXPERIMENTS, Experiment, Story},
};

/// Experiments of the wide profile, numbered from 1.
const WIDE_EXPERIMENTS: u32 = 200;
/// Experiments one wide event carries on average.
const WIDE_PER_EVENT: f64 = 18.0;

/// Experiments guarded by a page and those before it in the funnel that matter to it.
fn of_page(page: Page) -> &'static [u32] {
    match page {
        Page::Search => &[7, 9, 16],
        Page::Hotel => &[11, 12, 14, 18, 21],
        Page::Checkout => &[11, 13, 22],
        Page::Pay => &[13, 22],
    }
}

/// Variant of a guest in one of the story's experiments; `None` if it is not evaluated.
pub(super) fn variant(facts: &Facts<'_>, experiment: u32) -> Option<&'static str> {
    let (story, environment, time): (&Story, _, _) = (facts.story, facts.visit.environment, facts.time);
    if !of_page(facts.page).contains(&experiment) {
        return None;
    }
    if story.in_variant_b(environment, experiment, facts.visit.guest, time) {
        return Some("B");
    }
    // Code that ships at 0 % evaluates its gate and gives everybody A.
    (experiment == BROKEN_EXPERIMENT || story.share(environment, experiment, time) > 0.0).then_some("A")
}

/// The experiment that guards a section of code, if any.
pub(super) fn guarding(section: &str) -> Option<&'static Experiment> {
    EXPERIMENTS.iter().find(|experiment| experiment.section == section)
}

/// Writes `"experiments": {"13": "B", …}`.
pub(super) fn write(facts: &Facts<'_>, json: &mut Json<'_>) {
    json.object("experiments");
    for &experiment in of_page(facts.page) {
        if let Some(variant) = variant(facts, experiment) {
            write_one(experiment, variant, json);
        }
    }
    if facts.site.profile == Profile::Wide {
        write_many(facts, json);
    }
    json.end();
}

fn write_one(experiment: u32, variant: &str, json: &mut Json<'_>) {
    let mut key = [0_u8; 3];
    let mut at = key.len();
    let mut rest = experiment;
    while rest > 0 && at > 0 {
        at -= 1;
        key[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    json.text(std::str::from_utf8(&key[at..]).unwrap_or("0"), variant);
}

/// The other experiments of the wide profile: each page has its own fifth of them, and each guest is eligible for some.
fn write_many(facts: &Facts<'_>, json: &mut Json<'_>) {
    let mut last = 0;
    let mut draw = hash(facts.visit.seed ^ u64::from(facts.number));
    let mean_gap = f64::from(WIDE_EXPERIMENTS) / WIDE_PER_EVENT;
    loop {
        draw = hash(draw);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a gap of at most some tens")]
        let gap = 1 + (unit(draw) * (2.0 * mean_gap - 1.0)) as u32;
        last += gap;
        if last > WIDE_EXPERIMENTS {
            return;
        }
        if !EXPERIMENTS.iter().any(|known| known.id == last) {
            let assigned = hash(hash(u64::from(last)) ^ u64::from(facts.visit.guest));
            // Shares of 5, 10, 20 and 50 %, by experiment.
            let share = [0.05, 0.1, 0.2, 0.5][(hash(u64::from(last) << 7) & 3) as usize];
            write_one(last, if unit(assigned) < share { "B" } else { "A" }, json);
        }
    }
}
