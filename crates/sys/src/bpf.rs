//! Programs that the kernel runs (bpf(2)).
