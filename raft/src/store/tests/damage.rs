//! A store that can't be trusted is refused, with what to do, and not changed.
