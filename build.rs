//! Compiles `protos/` with protox, so that no installed `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=protos");
    let files = protox::compile(["protos/message.proto", "protos/rendezvous.proto"], ["protos"])?;
    prost_build::Config::new()
        // Video payloads are handed on without a copy.
        .bytes([".hbb.EncodedVideoFrame.data"])
        .btree_map(["."])
        .compile_fds(files)?;
    Ok(())
}
