#![no_main]

// Panics of the decoder are caught by the library; libFuzzer's own hook would end the process before. One that is not
// caught still does.
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| ())),
    |input: &[u8]| test_parsers::run("parquet", input)
);
