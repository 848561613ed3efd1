//! What a terminal's session tells of its process.

use rexpect::session::PtySession;

/// The exit code. The library's own type of a process' end cannot be named; its text can.
pub fn ended(session: &PtySession) -> String {
    let status = format!("{:?}", session.process().wait().unwrap());
    status.split_once("), ").map(|(_, code)| code.trim_end_matches(')').to_owned()).unwrap_or(status)
}
