//! Who should hold what, decided from reports, and why, in plain words.
