//! The memory that tensors are made of.

/// Tells the C library to keep freed memory for the next tensor, where it is glibc. By default it gives a large block back
/// to the system as soon as it is free, and gets it back page by page, each zeroed: a step frees and takes all its
/// activations, and a third to a half of the CPU time of small networks went into that. The process stays as large as it once
/// was.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // From where on a block is mapped by itself, and how much may lie unused at the end of the heap.
        const LARGE: [(libc::c_int, libc::c_int); 2] =
            [(libc::M_MMAP_THRESHOLD, 1 << 30), (libc::M_TRIM_THRESHOLD, libc::c_int::MAX)];
        for (parameter, bytes) in LARGE {
            // SAFETY: mallopt takes two numbers, may be called at any time, and refuses what it does not like; then all
            // is as it was.
            unsafe { libc::mallopt(parameter, bytes) };
        }
    }
}
