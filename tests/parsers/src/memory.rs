//! What a decoder allocates, held against the length of what it decodes.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Whatever is needed once: tables, a few buffers, the message of an error.
const ALWAYS: usize = 256 << 10;

/// What bincode reserves by a count or a length that the input only states: each stops at 1 MiB, whatever is
/// stated, and a list can stand in a list.
const RESERVED: usize = 3 << 20;

/// Runs `work` on `input` and fails if it ever held more than `each` bytes for every byte of the input. Nothing else
/// may allocate meanwhile: targets run one at a time.
pub fn bounded<R>(input: &[u8], each: usize, work: impl FnOnce() -> R) -> R {
    measured(input, ALWAYS + each * input.len(), work)
}

/// Like [`bounded`], for what serde reads.
#[allow(dead_code, reason = "not everybody who counts reads with serde")]
pub fn bounded_by_serde<R>(input: &[u8], each: usize, work: impl FnOnce() -> R) -> R {
    measured(input, RESERVED + each * input.len(), work)
}

fn measured<R>(input: &[u8], allowed: usize, work: impl FnOnce() -> R) -> R {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let done = work();
    let most = ALLOCATED.peak_usage().saturating_sub(before);
    assert!(most <= allowed, "{most} bytes were allocated for {} of input, allowed are {allowed}", input.len());
    done
}
