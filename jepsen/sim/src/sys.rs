//! The C library's clock and entropy, answered from the simulation on the thread that runs one.
//!
//! Everything below the simulated cluster, the standard library and tokio included, asks for the
//! time and for randomness by these two functions. Defined here, they come before the C library's.
//! On a thread that simulates nothing they ask the kernel.

use std::cell::Cell;

thread_local! {
    /// Nanoseconds since boot on the host whose turn it is.
    static NOW: Cell<Option<u64>> = const { Cell::new(None) };
    static ENTROPY: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What `CLOCK_REALTIME` shows when a host boots: a round instant of the year 2026.
const EPOCH_SECONDS: u64 = 1_790_000_000;

/// From here on this thread's clock stands at `nanos` since boot.
pub(crate) fn set_now(nanos: u64) {
    NOW.set(Some(nanos));
}

/// What the clock shows to the host whose turn it is.
pub(crate) fn boot_now() -> leasehold_model::BootNanos {
    leasehold_model::BootNanos(NOW.get().unwrap_or_default())
}

/// From here on this thread's entropy follows from `seed`.
pub(crate) fn set_entropy(seed: u64) {
    ENTROPY.set(Some(seed));
}

#[expect(unsafe_code, reason = "the C library's function is replaced, with its signature")]
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: libc::clockid_t, out: *mut libc::timespec) -> libc::c_int {
    let simulated = NOW.try_with(Cell::get).ok().flatten();
    let Some(now) = simulated else {
        // SAFETY: the caller's own arguments, handed on to the call they were meant for.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, out) } as libc::c_int;
    };
    let epoch = if clock == libc::CLOCK_REALTIME { EPOCH_SECONDS } else { 0 };
    let (seconds, nanos) = (now / 1_000_000_000 + epoch, now % 1_000_000_000);
    // SAFETY: the caller gives a place for the answer, as this function's contract demands.
    unsafe {
        (*out).tv_sec = seconds.cast_signed();
        (*out).tv_nsec = nanos.cast_signed();
    }
    0
}

#[expect(unsafe_code, reason = "the C library's function is replaced, with its signature")]
#[unsafe(no_mangle)]
extern "C" fn getrandom(out: *mut libc::c_void, length: usize, flags: libc::c_uint) -> isize {
    let simulated = ENTROPY.try_with(Cell::get).ok().flatten();
    let Some(mut state) = simulated else {
        // SAFETY: the caller's own arguments, handed on to the call they were meant for.
        let read = unsafe { libc::syscall(libc::SYS_getrandom, out, length, flags) };
        return isize::try_from(read).unwrap_or(-1);
    };
    if length > 0 {
        // SAFETY: the caller gives `length` bytes to be filled, as this function's contract demands.
        let bytes = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), length) };
        for chunk in bytes.chunks_mut(8) {
            let word = crate::random::step(&mut state).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
    ENTROPY.set(Some(state));
    length.cast_signed()
}
