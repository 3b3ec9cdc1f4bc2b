#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| corten_fuzz_targets::protocol(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    corten_fuzz_targets::mutate_for_libfuzzer(data, size, most, seed, libfuzzer_sys::fuzzer_mutate)
});
