//! The order of rows in a file.

use super::{EncodeError, columns::Source, integers};

/// Where a row of the file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Microseconds since 1970.
    pub time: i64,
    pub batch: u32,
    pub row: u32,
}

const US_PER_DAY: i64 = 86_400_000_000;

impl Place {
    /// Days since 1970 UTC.
    pub(super) fn day(self) -> i32 {
        i32::try_from(self.time.div_euclid(US_PER_DAY)).unwrap_or_default()
    }
}

/// All rows by time; those of one time in the order of their batches, which is that of `seq`.
pub(super) fn by_time(batches: &[Source<'_>]) -> Result<Vec<Place>, EncodeError> {
    let times = integers(batches, "time")?;
    let mut places = Vec::with_capacity(times.iter().map(|times| times.len()).sum());
    for (batch, times) in (0..).zip(times) {
        places.extend((0..).zip(times).map(|(row, time)| Place { time: *time, batch, row }));
    }
    // events come nearly in order: a stable sort finds the runs
    places.sort_by_key(|place| place.time);
    Ok(places)
}

/// If the rows are neighbours in one batch: the batch and the first row.
pub(super) fn contiguous(places: &[Place]) -> Option<(usize, usize)> {
    let first = places.first()?;
    let follows = |pair: &[Place]| pair[1].batch == pair[0].batch && pair[1].row == pair[0].row + 1;
    places.windows(2).all(follows).then_some((first.batch as usize, first.row as usize))
}
