//! Registration at the ID server and its requests, as machines without I/O (reference: network 3 to 6).
