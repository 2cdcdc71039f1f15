//! What a decoder allocates, held against the length of what it decodes.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Whatever is needed once: tables, a few buffers, the message of an error.
const ALWAYS: usize = 256 << 10;

/// Runs `work` on `input` and fails if it ever held more than `each` bytes for every byte of the input. Nothing else
/// may allocate meanwhile: targets run one at a time.
pub fn bounded<R>(input: &[u8], each: usize, work: impl FnOnce() -> R) -> R {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let done = work();
    let most = ALLOCATED.peak_usage().saturating_sub(before);
    let allowed = ALWAYS + each * input.len();
    assert!(most <= allowed, "{most} bytes were allocated for {} of input, allowed are {allowed}", input.len());
    done
}
