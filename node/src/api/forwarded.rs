//! What the leader answered, or that the way to it broke before it could.

use std::error::Error;

use tonic::{Code, Status};

/// The answer to a change. The leader's own words stay as they are. Where the way to it broke, the
/// change may have been made: whoever tries again without a look could undo what another did in
/// between. `look` is the command that tells.
pub(super) fn change<T>(answer: Result<T, Status>, look: &str) -> Result<T, Status> {
    answer.map_err(|status| match status.source() {
        None => status,
        Some(why) => Status::deadline_exceeded(format!(
            "it is not known whether it was done ({why}): look with `leasehold {look}` before you \
             try again"
        )),
    })
}

/// The answer to a question, which may be asked again.
pub(super) fn question<T>(answer: Result<T, Status>) -> Result<T, Status> {
    answer.map_err(|status| match status.source() {
        None => status,
        // Whoever asks again for what was not answered in time waits as long once more.
        Some(why) if matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded) => {
            Status::deadline_exceeded(format!("the leader did not answer in time ({why})"))
        }
        Some(why) => Status::unavailable(format!("the way to the leader broke ({why}): try again")),
    })
}

/// A change that `looks` only, as a dry run does, is a question.
pub(super) fn either<T>(looks: bool, answer: Result<T, Status>, look: &str) -> Result<T, Status> {
    if looks { question(answer) } else { change(answer, look) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Result<(), Status> {
        let why = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        Err(Status::from_error(Box::new(why)))
    }

    #[test]
    fn what_the_way_to_the_leader_says_is_not_taken_for_its_answer() {
        let unknown = change(broken(), "history").unwrap_err();
        assert_eq!(unknown.code(), Code::DeadlineExceeded);
        assert_eq!(
            unknown.message(),
            "it is not known whether it was done (connection reset): look with `leasehold history` \
             before you try again"
        );
        let unanswered = question(broken()).unwrap_err();
        assert_eq!(unanswered.code(), Code::Unavailable);
        assert!(unanswered.message().contains("(connection reset)"), "{}", unanswered.message());
        assert_eq!(either(true, broken(), "history").unwrap_err().code(), Code::Unavailable);
        assert_eq!(either(false, broken(), "history").unwrap_err().code(), Code::DeadlineExceeded);
    }

    #[test]
    fn the_leaders_words_stay() {
        let conflict = || Err::<(), _>(Status::aborted("a conflict"));
        for refused in [change(conflict(), "history"), question(conflict())] {
            let refused = refused.unwrap_err();
            assert_eq!((refused.code(), refused.message()), (Code::Aborted, "a conflict"));
        }
    }
}
