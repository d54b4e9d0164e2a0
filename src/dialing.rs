//! Which numbers may be called. Pure: no I/O.
