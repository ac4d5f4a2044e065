// SPDX-License-Identifier: Apache-2.0
//! Random numbers that are the same in every execution: nonces become parts of keys, and the order
//! of two keys decides what a collector looks at first. An execution could not be run again if it
//! came out another way each time.

use std::cell::Cell;

thread_local! {
    static LAST: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Begins the sequence anew, for this thread.
pub(super) fn restart() {
    LAST.set(Some(0));
}

/// Fills `bytes` with the next numbers; false on threads that explore nothing.
pub(in crate::storage) fn fill(bytes: &mut [u8]) -> bool {
    let Some(mut last) = LAST.get() else {
        return false;
    };
    for chunk in bytes.chunks_mut(size_of::<u64>()) {
        // SplitMix64: neighbours are in no order, so both orders of two keys are met.
        last = last.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (last ^ (last >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
    }
    LAST.set(Some(last));
    true
}
