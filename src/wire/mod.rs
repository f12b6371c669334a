//! Bytes as they travel: frame heads, generated messages, mangled addresses, identifiers. Pure.

pub mod addr;
pub mod discovery;
pub mod endpoint;
pub mod frame;
pub mod id;
pub mod message;

/// What can be wrong with bytes that came from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A frame head claims more than this stream accepts now.
    #[error("a frame of {claimed} bytes is over the limit of {limit} bytes")]
    FrameTooLarge {
        /// Payload length that the head claims, in bytes.
        claimed: usize,
        /// Largest payload accepted, in bytes.
        limit: usize,
    },
    /// The payload is not the protobuf message it should be.
    #[error("the bytes are no valid message: {0}")]
    Malformed(String),
    /// A payload too long for the four-byte head (1 GiB - 1).
    #[error("a payload of {0} bytes does not fit a frame")]
    Unframable(usize),
}
