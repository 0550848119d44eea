//! Bitmaps of rows: one bit per row, 64 to a word.

pub(super) type Bits = Vec<u64>;

/// Words for this many rows.
pub(super) fn words(rows: usize) -> usize {
    rows.div_ceil(64)
}

pub(super) fn count(bits: &[u64]) -> u64 {
    bits.iter().map(|word| u64::from(word.count_ones())).sum()
}

pub(super) fn count_both(a: &[u64], b: &[u64]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from((a & b).count_ones())).sum()
}

pub(super) fn and_with(bits: &mut [u64], other: &[u64]) {
    bits.iter_mut().zip(other).for_each(|(word, other)| *word &= other);
}

pub(super) fn and_not_with(bits: &mut [u64], other: &[u64]) {
    bits.iter_mut().zip(other).for_each(|(word, other)| *word &= !other);
}

/// The rows of the set bits.
pub(super) fn rows(bits: &[u64]) -> impl Iterator<Item = usize> + '_ {
    bits.iter().enumerate().flat_map(|(at, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let bit = left.trailing_zeros() as usize;
            left &= left - 1;
            Some(at * 64 + bit)
        })
    })
}

/// All rows.
pub(super) fn full(rows: usize) -> Bits {
    let mut bits = vec![u64::MAX; words(rows)];
    if let (Some(last), used @ 1..) = (bits.last_mut(), rows % 64) {
        *last = (1 << used) - 1;
    }
    bits
}

/// The rows whose item meets a test: 64 tests are made branch-free, then packed eight bytes at a time.
pub(super) fn matching<T: Copy>(items: &[T], test: impl Fn(T) -> bool) -> Bits {
    let mut bits = Vec::with_capacity(words(items.len()));
    for chunk in items.chunks(64) {
        let mut flags = [0_u8; 64];
        for (flag, item) in flags.iter_mut().zip(chunk) {
            *flag = u8::from(test(*item));
        }
        let mut word = 0;
        for (at, eight) in flags.chunks_exact(8).enumerate() {
            let eight = eight.iter().rev().fold(0_u64, |all, flag| (all << 8) | u64::from(*flag));
            // Moves the lowest bit of each byte next to each other, into the top byte.
            word |= (eight.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at);
        }
        bits.push(word);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_the_rows_that_match() {
        let items: Vec<u8> = (0..200_u8).map(|n| n % 7).collect();
        let found: Vec<usize> = rows(&matching(&items, |item| item == 3)).collect();
        let expect: Vec<usize> = (0..200).filter(|n| n % 7 == 3).collect();
        assert_eq!(found, expect);
        assert_eq!(count(&full(200)), 200);
        assert_eq!(count(&full(128)), 128);
        assert_eq!(count(&full(0)), 0);
        let mut half = full(200);
        and_not_with(&mut half, &matching(&items, |item| item < 3));
        assert_eq!(count(&half), items.iter().filter(|item| **item >= 3).count() as u64);
        assert_eq!(count_both(&half, &full(200)), count(&half));
    }
}
