//! What must not be learnt from: incidents found in old history, and the interval a paged incident hides.

use crate::{
    forecast::Fitted,
    history::{History, Mask, MaskReason, Minute},
    lost::RECOVERY_MINUTES,
    score::{Kind, Spread, WindowSum, window_score},
    zone::LocalClock,
};

/// Width of the window that finds incidents in old history, in minutes.
const WINDOW_MINUTES: i64 = 30;

/// Score past which a window of old history is hidden from the model, either way.
const MASK_Z: f64 = 8.0;

/// The mask of a paged incident: from its onset to its close plus recovery, while catching up is not normal demand either.
#[must_use]
pub fn incident_mask(onset: Minute, closed: Minute) -> Mask {
    Mask { from: onset, to: closed + RECOVERY_MINUTES / 2, reason: MaskReason::Incident, author: None }
}

/// The day on which the level moved is half the one and half the other: it teaches nothing.
pub(crate) fn new_normal_mask(onset: Minute, whole_day: Minute) -> Mask {
    Mask { from: onset, to: whole_day, reason: MaskReason::Incident, author: None }
}

/// The first local day that lies wholly after a minute.
pub(crate) fn first_whole_day(zone: chrono_tz::Tz, minute: Minute) -> std::ops::Range<Minute> {
    let clock = LocalClock::new(zone, minute - 1440, minute + 3 * 1440);
    let day = clock.day(minute) + 1;
    clock.day_start(day)..clock.day_start(day + 1)
}

/// Longest run that is hidden. What lasts longer is no incident but a new level, and must be learnt.
const RUN_MINUTES_MAX: i64 = 72 * 60;

/// Intervals since `from` that no ordinary day explains: windows of 30 minutes whose score against the day-ahead forecast
/// passes 8, up to three days long. They are hidden for one fit, not stored; `hidden` steps are not looked at.
#[must_use]
pub fn suspicious(history: &History, hidden: &[bool], fitted: &Fitted, from: Minute) -> Vec<Mask> {
    let step = history.step_minutes();
    let steps = usize::try_from((WINDOW_MINUTES / step).max(1)).unwrap_or(1);
    let first = usize::try_from((from - history.start()).div_euclid(step)).unwrap_or(0);
    let after = history.len();
    let mut masks: Vec<Mask> = Vec::new();
    let mut window: Vec<(f64, f64, f64)> = Vec::with_capacity(steps);
    for (index, hidden) in hidden.iter().enumerate().take(after).skip(first) {
        let minute = history.start() + index as i64 * step;
        let Some((value, exposure)) = history.rate_at(index).filter(|_| !hidden) else {
            window.clear();
            continue;
        };
        let rate: f64 = (minute..minute + step).map(|m| fitted.rate(m)).sum();
        let expected = if fitted.settings().kind == Kind::Ratio { rate / step as f64 * exposure } else { rate };
        if window.len() == steps {
            window.remove(0);
        }
        window.push((value, expected, exposure));
        if window.len() < steps {
            continue;
        }
        let mut sum = WindowSum::default();
        for (value, expected, exposure) in &window {
            sum.minutes += 1;
            sum.value += value;
            sum.expected += expected;
            sum.exposure += exposure;
        }
        let noise = fitted.noise();
        let spread = Spread { phi: noise.phi_total(), c: noise.c_slow[fitted.local_hour(minute)], unit: noise.unit };
        if window_score(fitted.settings().kind, &sum, spread).abs() > MASK_Z {
            let (from, to) = (minute - (steps as i64 - 1) * step, minute + step);
            match masks.last_mut() {
                Some(last) if last.to >= from => last.to = to,
                _ => masks.push(Mask { from, to, reason: MaskReason::Replayed, author: None }),
            }
        }
    }
    masks.retain(|mask| mask.to - mask.from <= RUN_MINUTES_MAX);
    masks
}

/// Sets the flags of the steps that masks cover.
pub(crate) fn hide(history: &History, hidden: &mut [bool], masks: &[Mask]) {
    masks.iter().for_each(|mask| hide_between(history, hidden, mask.from, mask.to));
}

/// Sets the flags of the steps that touch `[from, to)`.
pub(crate) fn hide_between(history: &History, hidden: &mut [bool], from: Minute, to: Minute) {
    let first = (from - history.start()).div_euclid(history.step_minutes()).max(0);
    let after = (to - history.start() + history.step_minutes() - 1).div_euclid(history.step_minutes());
    let after = usize::try_from(after).unwrap_or(0).min(hidden.len());
    if let Ok(first) = usize::try_from(first)
        && first < after
    {
        hidden[first..after].fill(true);
    }
}
