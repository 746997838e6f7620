//! What reading and checking promise.
