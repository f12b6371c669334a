//! Compiles `protos/` with protox, so that no installed `protoc` is needed; notes whether openh264 gets its assembler; lists
//! the boards in `hw/`; draws the pointer that apps show.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rustc-check-cfg=cfg(slow_openh264)");
    println!("cargo:rerun-if-env-changed=OPENH264_NO_ASM");
    if !has_assembler() {
        println!("cargo:rustc-cfg=slow_openh264");
    }
    list_boards()?;
    draw_ring()?;
    println!("cargo:rerun-if-changed=protos");
    let files = protox::compile(["protos/message.proto", "protos/rendezvous.proto"], ["protos"])?;
    prost_build::Config::new()
        // Video payloads are handed on without a copy.
        .bytes([".hbb.EncodedVideoFrame.data"])
        .btree_map(["."])
        .compile_fds(files)?;
    Ok(())
}

/// Every `hw/NAME/board.toml` with its name, as a constant of `src/config/board.rs`.
fn list_boards() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=hw");
    let root = std::env::current_dir()?.join("hw");
    let mut folders = std::fs::read_dir(&root)?.collect::<Result<Vec<_>, _>>()?;
    folders.sort_by_key(std::fs::DirEntry::file_name);
    let mut list =
        "/// The profiles that are built in: name and text.\nconst EMBEDDED: &[(&str, &str)] = &[\n"
            .to_owned();
    for folder in folders {
        let file = folder.path().join("board.toml");
        if file.exists() {
            let name = folder.file_name();
            list += &format!(
                "    ({:?}, include_str!({:?})),\n",
                name.to_string_lossy(),
                file.display().to_string()
            );
        }
    }
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    std::fs::write(std::path::Path::new(&out).join("boards.rs"), list + "];\n")
}

/// The ring's picture reaches so many pixels each way from its hot spot (`src/peer/login.rs` sends it).
const RING_RADIUS: i32 = 8;

/// The ring that apps draw as the pointer: 16 x 16 pixels of red, green, blue and alpha, compressed by zstd, which the
/// program itself does not need otherwise (reference: session 3.8).
fn draw_ring() -> std::io::Result<()> {
    let mut colors = Vec::new();
    for y in -RING_RADIUS..RING_RADIUS {
        for x in -RING_RADIUS..RING_RADIUS {
            // Twice the distance from the centre, squared: the centre lies between pixels.
            let (dx, dy) = (2 * x + 1, 2 * y + 1);
            let pixel: [u8; 4] = match dx * dx + dy * dy {
                64..=132 => [255, 255, 255, 255],
                36..=63 | 133..=196 => [0, 0, 0, 255],
                _ => [0, 0, 0, 0],
            };
            colors.extend_from_slice(&pixel);
        }
    }
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    std::fs::write(std::path::Path::new(&out).join("ring.zst"), zstd::bulk::compress(&colors, 19)?)
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
