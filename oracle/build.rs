//! Looks for a static libseccomp: in the directory that `CORTEN_LIBSECCOMP` names, else where distributions have it.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-env-changed=CORTEN_LIBSECCOMP");
    println!("cargo::rustc-check-cfg=cfg(libseccomp)");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let usual = ["/usr/lib64", "/usr/lib", "/usr/local/lib"].map(PathBuf::from);
    let places = match std::env::var_os("CORTEN_LIBSECCOMP") {
        Some(named) => vec![PathBuf::from(named)],
        None => [PathBuf::from(format!("/usr/lib/{arch}-linux-gnu"))].into_iter().chain(usual).collect(),
    };
    let found = places.into_iter().find(|directory| {
        let library = directory.join("libseccomp.a");
        println!("cargo::rerun-if-changed={}", library.display());
        library.exists()
    });
    if let Some(directory) = found {
        println!("cargo::rustc-cfg=libseccomp");
        println!("cargo::rustc-link-search=native={}", directory.display());
        println!("cargo::rustc-link-lib=static=seccomp");
    }
}
