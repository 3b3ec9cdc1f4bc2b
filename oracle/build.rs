//! Looks for a static libseccomp: in the directory that `CORTEN_LIBSECCOMP` names, or where distributions have it.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-env-changed=CORTEN_LIBSECCOMP");
    println!("cargo::rustc-check-cfg=cfg(libseccomp)");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let named = std::env::var_os("CORTEN_LIBSECCOMP").map(PathBuf::from);
    let usual = [
        format!("/usr/lib/{arch}-linux-gnu"),
        "/usr/lib64".into(),
        "/usr/lib".into(),
        "/usr/local/lib".into(),
    ];
    let found = named.into_iter().chain(usual.map(PathBuf::from)).find(|directory| {
        let library = directory.join("libseccomp.a");
        println!("cargo::rerun-if-changed={}", library.display());
        library.exists()
    });
    // What the library calls itself native is what this program is built for.
    if let Some(directory) = found {
        println!("cargo::rustc-cfg=libseccomp");
        println!("cargo::rustc-link-search=native={}", directory.display());
        println!("cargo::rustc-link-lib=static=seccomp");
    }
}
