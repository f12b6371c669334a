//! Compiles `protos/` with protox, so that no installed `protoc` is needed; notes whether openh264 gets its assembler.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rustc-check-cfg=cfg(slow_openh264)");
    println!("cargo:rerun-if-env-changed=OPENH264_NO_ASM");
    if !has_assembler() {
        println!("cargo:rustc-cfg=slow_openh264");
    }
    println!("cargo:rerun-if-changed=protos");
    let files = protox::compile(["protos/message.proto", "protos/rendezvous.proto"], ["protos"])?;
    prost_build::Config::new()
        // Video payloads are handed on without a copy.
        .bytes([".hbb.EncodedVideoFrame.data"])
        .btree_map(["."])
        .compile_fds(files)?;
    Ok(())
}

/// Whether openh264's build finds what it assembles with: nasm on x86, the C compiler on ARM. Without, it silently
/// builds plain C.
fn has_assembler() -> bool {
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let assembles = match arch.as_str() {
        "x86" | "x86_64" => std::process::Command::new("nasm").arg("-v").output().is_ok(),
        "arm" | "aarch64" => true,
        _ => false,
    };
    assembles && std::env::var_os("OPENH264_NO_ASM").is_none()
}
