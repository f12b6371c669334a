//! Settings: file, board, flags, resolved.
