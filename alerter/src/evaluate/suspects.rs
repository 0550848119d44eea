//! Weighs the changes near an incident, and keeps what the ledger said.

use store::DatasetName;

use super::{APPEND_EVENTS_MAX, Core};
use crate::{
    Error,
    alert::Alert,
    change::Change,
    exposure::{reverses, rolled_back_at},
    history::Minute,
    ledger::{
        reversal::{self, Outcome, Stretch},
        rows,
    },
    off::{self, Noise},
    onset::{Onset, Point},
    page,
    suspect::{self, Suspect},
};

/// Rows kept while the store takes none; older ones are lost, the next minute's stand for them.
const UNSTORED_MAX: usize = 20_000;

impl Core {
    /// Ranks the changes near the onset of an incident by what is known of them up to `minute`.
    pub(super) async fn suspect(&mut self, alert: &mut Alert, onset: &Onset, changes: &[Change], minute: Minute) {
        let evidence = self.evidence(alert, onset, changes, minute).await;
        let before = std::mem::take(&mut alert.suspects);
        page::suspect_changes(alert, onset, changes, &evidence);
        if alert.suspects != before {
            self.unstored_ledger.extend(rows::rows(alert, &before, minute));
        }
    }

    /// Looks whether an incident ended with a change that was taken back. What was turned off from the incident is judged by its own
    /// watch; the others by the same test, so that there is one verdict on each.
    pub(super) fn judge_reversals(&mut self, alert: &mut Alert, changes: &[Change], minute: Minute) {
        let Some(tracked) = self.tracked.get(&alert.metric) else { return };
        let Some(fitted) = &tracked.parent.fitted else { return };
        let noise = Noise { phi: fitted.noise().phi_total(), unit: fitted.noise().unit };
        let points = page::points_of(alert, &tracked.parent, minute);
        let before = alert.suspects.clone();
        for suspect in &mut alert.suspects {
            let Some(off) = taken_back(suspect, changes, alert.onset.minutes()) else { continue };
            let of = |from: Minute, to: Minute| points.iter().filter(move |point| (from..=to).contains(&point.minute));
            // The minute of the off is partly of both.
            let (during, after): (Vec<Point>, Vec<Point>) =
                (of(Minute::MIN, off - 1).copied().collect(), of(off + 1, minute).copied().collect());
            let since = minute - off;
            if (reversal::FIRST_MINUTES..=reversal::LAST_MINUTES).contains(&since) {
                let (during, after) = (stretch(&during), stretch(&after));
                suspect.reversal_bits =
                    reversal::bits(during, after, alert.direction != "up", noise.phi).unwrap_or(suspect.reversal_bits);
            }
            let is_watched = alert.off_actions.iter().any(|action| action.change == suspect.id());
            if suspect.outcome.is_none() && !is_watched && (1..=off::WATCH_MINUTES).contains(&since) {
                suspect.outcome = off::judge(off, &during, &after, noise, minute).and_then(Outcome::of);
            }
        }
        if alert.suspects != before {
            alert.unknown_share = suspect::reweigh(&mut alert.suspects);
            self.unstored_ledger.extend(rows::rows(alert, &before, minute));
        }
    }

    /// Stores what the ledger said since the last time.
    pub(super) async fn store_ledger(&mut self) {
        let dataset = DatasetName::system("suspect_changes");
        while !self.unstored_ledger.is_empty() {
            let chunk = self.unstored_ledger.len().min(APPEND_EVENTS_MAX);
            if let Err(source) = self.store.append_values(&dataset, &self.unstored_ledger[..chunk]).await {
                let error = Error::Append { dataset: dataset.to_string(), source };
                let dropped = self.unstored_ledger.len().saturating_sub(UNSTORED_MAX);
                self.unstored_ledger.drain(..dropped);
                tracing::error!(error = %error.chain(), dropped, "the evidence of incidents waits for the store");
                return;
            }
            self.unstored_ledger.drain(..chunk);
        }
    }
}

/// The minute in which a suspect was taken back after an onset, by a change of its own or its status.
fn taken_back(suspect: &Suspect, changes: &[Change], onset: Minute) -> Option<Minute> {
    let change = changes.iter().find(|change| change.id == suspect.id())?;
    let off = changes.iter().filter(|later| reverses(later, change)).map(|later| later.time.minutes());
    off.chain(rolled_back_at(change).map(store::Timestamp::minutes)).filter(|minute| *minute > onset).min()
}

fn stretch(points: &[Point]) -> Stretch {
    let known = points.iter().filter(|point| !point.value.is_nan());
    known.fold(Stretch::default(), |sum, point| Stretch {
        seen: sum.seen + point.value,
        expected: sum.expected + point.expected,
    })
}
