//! Lets the program find libtorch without any environment variable: relative to where cargo puts it
//! and, for a moved binary, where it was at build time. RUNPATH (not RPATH), so that LD_LIBRARY_PATH
//! can point to another torch 2.11, one with CUDA for example.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let root = std::env::var("CARGO_MANIFEST_DIR").map(|dir| format!("{dir}/../.libtorch/rt"));
    let places = ["$ORIGIN/../../.libtorch/rt".into(), "$ORIGIN/../../../.libtorch/rt".into()];
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags");
    for place in places.into_iter().chain(root.ok()) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{place}");
    }
}
