//! Programs that are run to their end, and killed where they find none.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Whoever waits here holds other services up.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// Runs `command` with this input; what it said, and how it ended.
///
/// # Errors
/// Where it can't be run, or does not end within `limit`: then it is killed.
pub(crate) fn run(command: &mut Command, input: &str, limit: Duration) -> io::Result<Output> {
    let until = Instant::now() + limit;
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let outcome = watch(&mut child, input, until);
    if outcome.is_err() {
        // It has ended already, or is killed now.
        let _ = child.kill();
    }
    let status = match &outcome {
        Ok(_) => child.wait()?,
        Err(_) => {
            // The kernel may hold it in a call that no signal ends: nobody waits for that.
            thread::spawn(move || child.wait());
            Default::default()
        }
    };
    let late = |error: io::Error| {
        let why = format!("it did not end within {limit:?} and was killed");
        let is_late = error.kind() == io::ErrorKind::TimedOut;
        if is_late { io::Error::new(io::ErrorKind::TimedOut, why) } else { error }
    };
    let (stdout, stderr) = outcome.map_err(late)?;
    Ok(Output { status, stdout, stderr })
}

/// Feeds it and listens, until it has ended and said all.
fn watch(child: &mut Child, input: &str, until: Instant) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let stdout = listen(child.stdout.take());
    let stderr = listen(child.stderr.take());
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // One that refuses early breaks the pipe; its own words say why.
        thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    }
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let left = PollTimeout::try_from(left(until)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(ended.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => break,
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // A process that it left behind may keep its pipes open.
    let said = |from: &Receiver<Vec<u8>>| {
        let heard = from.recv_timeout(left(until));
        heard.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
    };
    Ok((said(&stdout)?, said(&stderr)?))
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Everything that comes out of a pipe, once it is closed.
fn listen(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (tell, heard) = sync_channel(1);
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut said);
        }
        // Whoever gave up listens no more.
        let _ = tell.send(said);
    });
    heard
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn it_is_fed_and_heard_whatever_it_says() {
        let input = "a line\n".repeat(100_000);
        let output = run(&mut Command::new("cat"), &input, LONG).expect("it ends");
        assert!(output.status.success() && output.stdout == input.as_bytes());
        let mut refusing = Command::new("sh");
        let output = run(refusing.args(["-c", "echo no >&2; exit 3"]), &input, LONG);
        let output = output.expect("it ends");
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(3), &b"no\n"[..]));
        let missing = run(&mut Command::new("no-such-program"), "", LONG);
        assert_eq!(missing.expect_err("there is none").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn one_that_does_not_end_is_killed() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("pid");
        let script = format!("echo $$ > {}; exec tail -f /dev/null", path.display());
        let begun = Instant::now();
        let hung = run(Command::new("sh").args(["-c", &script]), "", Duration::from_secs(1));
        let why = hung.expect_err("it never ends");
        assert_eq!(why.to_string(), "it did not end within 1s and was killed");
        assert!(begun.elapsed() < LONG);
        let pid = std::fs::read_to_string(path).expect("it was run");
        let process = Path::new("/proc").join(pid.trim());
        while process.exists() {
            assert!(begun.elapsed() < LONG, "it is still there");
            thread::yield_now();
        }
    }

    #[test]
    fn one_that_leaves_a_silent_child_behind_holds_nobody_up() {
        // Its child ends with this test's process.
        let script = "tail -f /dev/null --pid=$PPID & exit 0";
        let mut command = Command::new("sh");
        let begun = Instant::now();
        let late = run(command.args(["-c", script]), "", SHORT).expect_err("it never closes");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < LONG);
    }
}
