//! Loss accounting: received = stored + duplicates + rejected, per dataset and minute of receipt, exact across crashes.
//!
//! Each record of the WAL carries its counts. They are added up in memory by the applier and written, now and then, to a
//! small Delta table in `<folder>/accounts` whose txn (appId = incarnation) says up to which lsn the WAL is counted in it;
//! the WAL is trimmed only below that. A row of the table is an increment: sum over (dataset, minute).
//!
//! Requests refused before they were decoded (too large, too many, no key) cannot be told in events; they are counted in
//! memory as `refused` and written along, so they are exact between restarts and after a clean stop.
//!
//! Bounds: as many minutes per dataset in memory as `store.accounts_days` have; two names of datasets per dataset allowed, the rest is counted
//! under `system.other`.

mod table;

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::{DatasetName, IngestCount, Timestamp, applier::Counted, wal::Record};
pub(crate) use table::{AccountsTable, FOLDER};

/// Minutes of a day.
const MINUTES_PER_DAY: i64 = 1440;

/// What happened to the events of one dataset in one minute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) stored: u64,
    pub(crate) duplicates: u64,
    /// By reason.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// Requests, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Counts {
    /// Those of one record.
    pub(crate) fn of(record: &Record) -> Self {
        let mut rejected = BTreeMap::new();
        for (code, count) in &record.rejected {
            *rejected.entry(code.clone()).or_default() += u64::from(*count);
        }
        Self { stored: record.stored.into(), duplicates: record.duplicates.into(), rejected, refused: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        for (all, more) in [(&mut self.rejected, &other.rejected), (&mut self.refused, &other.refused)] {
            for (code, count) in more {
                *all.entry(code.clone()).or_default() += count;
            }
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.stored + self.duplicates + self.rejected.values().sum::<u64>()
    }
}

/// Dataset and minute since the epoch.
pub(crate) type Place = (DatasetName, i64);

/// All counts, and those the table does not have yet.
#[derive(Debug)]
pub(crate) struct Accounts {
    state: Mutex<State>,
    names_max: usize,
    /// Per dataset.
    minutes_max: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The newest, as many as `store.accounts_days` have.
    minutes: BTreeMap<DatasetName, BTreeMap<i64, Counts>>,
    pending: BTreeMap<Place, Counts>,
    /// The last record counted.
    lsn: u64,
    /// From this day (since the epoch) on, `minutes` has everything the table has.
    whole_from_day: i64,
}

/// What one flush of the counts writes.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) counts: BTreeMap<Place, Counts>,
    pub(crate) lsn: u64,
}

impl Accounts {
    /// Starts with the counts of the table, which cover the WAL through `lsn`.
    pub(crate) fn new(counts: BTreeMap<Place, Counts>, lsn: u64, datasets_max: u64, days: u64, now: Timestamp) -> Self {
        let names_max = usize::try_from(datasets_max.saturating_mul(2)).unwrap_or(usize::MAX);
        let days = i64::try_from(days).unwrap_or(i64::MAX / MINUTES_PER_DAY);
        let whole_from_day = first_day(now, days);
        let mut state = State { lsn, whole_from_day, ..State::default() };
        for ((name, minute), counts) in counts {
            state.minutes.entry(name).or_default().entry(minute).or_default().add(&counts);
        }
        let minutes_max = u64::try_from(days.saturating_mul(MINUTES_PER_DAY)).unwrap_or(1);
        Self { state: Mutex::new(state), names_max, minutes_max }
    }

    /// Adds the counts of one record of the WAL; those the table has already are left out.
    pub(crate) fn count(&self, counted: Counted) {
        let mut state = self.state.lock();
        if counted.lsn <= state.lsn {
            return;
        }
        state.lsn = counted.lsn;
        self.add(&mut state, counted.name, counted.minute, &counted.counts);
    }

    /// Counts one refused request.
    pub(crate) fn refuse(&self, name: &DatasetName, code: &str, now: Timestamp) {
        let counts = Counts { refused: BTreeMap::from([(code.to_owned(), 1)]), ..Counts::default() };
        self.add(&mut self.state.lock(), name.clone(), now.minutes(), &counts);
    }

    fn add(&self, state: &mut State, name: DatasetName, minute: i64, counts: &Counts) {
        let known = state.minutes.contains_key(&name) || state.minutes.len() < self.names_max;
        let name = if known { name } else { DatasetName::system("other") };
        let minutes = state.minutes.entry(name.clone()).or_default();
        minutes.entry(minute).or_default().add(counts);
        // By number, not by age: a clock set forward for a moment must not push out what was counted before.
        while minutes.len() as u64 > self.minutes_max {
            if let Some((first, _)) = minutes.pop_first() {
                state.whole_from_day = state.whole_from_day.max(first.div_euclid(MINUTES_PER_DAY) + 1);
            }
        }
        state.pending.entry((name, minute)).or_default().add(counts);
    }

    /// Takes what the table does not have; give it back with [`Self::put_back`] when it could not be written.
    pub(crate) fn take_pending(&self) -> Pending {
        let mut state = self.state.lock();
        Pending { counts: std::mem::take(&mut state.pending), lsn: state.lsn }
    }

    pub(crate) fn put_back(&self, pending: Pending) {
        let mut state = self.state.lock();
        for (place, counts) in pending.counts {
            state.pending.entry(place).or_default().add(&counts);
        }
    }

    /// True when memory holds all the table has of a day.
    pub(crate) fn holds_day(&self, day: i64) -> bool {
        day >= self.state.lock().whole_from_day
    }

    /// All counts of one day in memory, with the pending ones left out: what the table's files of that day add up to.
    pub(crate) fn written_of_day(&self, day: i64) -> BTreeMap<Place, Counts> {
        let state = self.state.lock();
        let mut written = BTreeMap::new();
        for (name, minutes) in &state.minutes {
            for (minute, counts) in minutes.range(day * MINUTES_PER_DAY..(day + 1) * MINUTES_PER_DAY) {
                let place = (name.clone(), *minute);
                let mut counts = counts.clone();
                if let Some(pending) = state.pending.get(&place) {
                    counts.subtract(pending);
                }
                written.insert(place, counts);
            }
        }
        written
    }

    /// Everything in memory, by dataset and minute.
    pub(crate) fn all(&self) -> Vec<IngestCount> {
        let state = self.state.lock();
        let rows = state
            .minutes
            .iter()
            .flat_map(|(name, minutes)| minutes.iter().map(move |(minute, counts)| (name, *minute, counts)));
        rows.map(|(name, minute, counts)| IngestCount {
            dataset: name.clone(),
            minute: Timestamp::from_minutes(minute),
            received: counts.received(),
            stored: counts.stored,
            duplicates: counts.duplicates,
            rejected: counts.rejected.clone(),
            refused: counts.refused.clone(),
        })
        .collect()
    }
}

/// The first day kept in memory, counted from the epoch.
fn first_day(now: Timestamp, days: i64) -> i64 {
    now.minutes().div_euclid(MINUTES_PER_DAY).saturating_sub(days)
}

impl Counts {
    fn subtract(&mut self, other: &Self) {
        self.stored -= other.stored;
        self.duplicates -= other.duplicates;
        for (all, less) in [(&mut self.rejected, &other.rejected), (&mut self.refused, &other.refused)] {
            for (code, count) in less {
                if let Some(total) = all.get_mut(code) {
                    *total -= count;
                }
            }
            all.retain(|_, count| *count > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lsn: u64, name: &str, minute: i64, stored: u64) -> Counted {
        Counted {
            lsn,
            name: DatasetName::from_user(name).unwrap(),
            minute,
            counts: Counts { stored, ..Counts::default() },
        }
    }

    #[test]
    fn a_record_counts_once_however_often_it_is_replayed() {
        let accounts = Accounts::new(BTreeMap::new(), 4, 10, 35, Timestamp(0));
        accounts.count(counted(4, "shop", 1, 10));
        accounts.count(counted(5, "shop", 1, 3));
        accounts.count(counted(5, "shop", 1, 3));
        let all = accounts.all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].stored, all[0].received), (3, 3));
    }

    #[test]
    fn pending_counts_are_written_once_and_survive_a_failed_write() {
        let accounts = Accounts::new(BTreeMap::new(), 0, 10, 35, Timestamp(0));
        accounts.count(counted(1, "shop", 1, 10));
        let pending = accounts.take_pending();
        assert_eq!((pending.lsn, pending.counts.len()), (1, 1));
        accounts.put_back(pending);
        accounts.count(counted(2, "shop", 1, 5));
        accounts.refuse(&DatasetName::from_user("shop").unwrap(), "body_too_large", Timestamp::from_minutes(1));
        let pending = accounts.take_pending();
        let counts = pending.counts.values().next().unwrap();
        assert_eq!((counts.stored, counts.refused["body_too_large"]), (15, 1));
        accounts.count(counted(3, "shop", 1, 7));
        assert_eq!(accounts.written_of_day(0).values().next().unwrap().stored, 15);
        assert_eq!(accounts.all()[0].stored, 22);
    }

    #[test]
    fn names_and_minutes_are_bounded_and_a_jump_of_the_clock_pushes_nothing_out() {
        let accounts = Accounts::new(BTreeMap::new(), 0, 1, 1, Timestamp(0));
        for (lsn, name) in (1..).zip(["a", "b", "c", "d"]) {
            accounts.count(counted(lsn, name, 0, 1));
        }
        let names: Vec<String> = accounts.all().iter().map(|count| count.dataset.to_string()).collect();
        assert_eq!(names, ["a", "b", "system.other"]);
        accounts.count(counted(9, "a", 400 * MINUTES_PER_DAY, 1));
        assert_eq!(accounts.all().len(), 4, "the first minute of a is still there");
        for (lsn, minute) in (10..).zip(1..MINUTES_PER_DAY) {
            accounts.count(counted(lsn, "a", minute, 1));
        }
        let all = accounts.all();
        let of_a: Vec<i64> =
            all.iter().filter(|count| count.dataset.as_str() == "a").map(|count| count.minute.minutes()).collect();
        assert_eq!((of_a.len(), of_a[0]), (1440, 1));
        assert!(!accounts.holds_day(0) && accounts.holds_day(1));
    }
}
