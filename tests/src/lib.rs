//! End-to-end tests; see `tests/`. Here is what several of them build.

pub mod site;
