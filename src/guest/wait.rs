//! From the start of a machine to the first login, as early as it is possible.
//!
//! QEMU's user-mode network takes a connection at once and only then asks the guest. A connection that was begun before
//! the guest's network is up stays dead for seconds, until that network repeats its SYN; a fresh one is answered at once.
//! A guest whose kernel is up but whose ssh server is not closes the connection at once. So fresh connections are begun
//! all the time, and the first one that brings a banner goes on to the login. Where the hypervisor knows that the guest's
//! network is still down, hardly any are: the first one that can be answered follows when that ends.
//!
//! But every connection that an ssh server takes costs it a new process, and begun too often they would compete with
//! the one that is to answer, or fill the server's waiting room (`MaxStartups`). So few are open at once, and the pace
//! follows the guest's: in silence it is a small part of the time waited already, and once the guest has closed a
//! connection, one that it does not close is its ssh server's, and gets its time.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::connect::{self, SLICE};
use super::error::Answer;
use super::login::{self, Login, Stage};
use super::{Error, Session};
use crate::progress::Cx;

/// The least time between two fresh connections while nothing answers.
///
/// QEMU keeps each that was begun before the guest's network is up, ours or not any more, for 75 s, and repeats the SYNs of
/// all that began within the same half second at one time, 6, 18 and 42 s later. The ssh server that is up by then gets
/// them as one burst: it must stay well below `MaxStartups`, or the user's own login may be among those turned away. At
/// 100 ms, a slow guest was seen to get 13 within a second and to drop two.
const FRESH: Duration = Duration::from_millis(200);

/// The most, and all that is begun while the guest's network is known to be down.
const FRESH_MOST: Duration = Duration::from_secs(1);

/// The part of the time waited that we may be late.
const LATE: u32 = 50;

/// How often we look from outside while nothing is expected of the guest.
const LOOK: Duration = Duration::from_millis(100);

/// The most connections that are open at once. OpenSSH turns some away from the tenth on that has not logged in
/// (`MaxStartups 10:30:100`), and one that we closed still counts until the guest gets to it.
const OPEN: usize = 6;

/// Between a connection that was closed and the next one. Closing costs the guest's kernel next to nothing.
const AGAIN: Duration = Duration::from_millis(25);

/// How long an ssh server that took a connection is left alone with it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two logins that the guest refused: each costs it a key exchange.
const RETRY: Duration = Duration::from_millis(150);

/// How long refused keys may be a matter of booting: `pam_nologin` ("System is booting up"), keys not installed yet.
const BOOTING: Duration = Duration::from_secs(15);

/// The same, at least, where cloud-init has yet to make the user.
const MAKING_USERS: Duration = Duration::from_secs(60);

/// The least bound of one attempt; a guest under emulation is slow while it boots.
const ATTEMPT: Duration = Duration::from_secs(30);

/// What is seen of a guest from outside, without asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// The hypervisor's process has ended.
    Ended,
    /// It runs, and the guest has not brought its network up yet: nothing can answer.
    NetworkDown,
    /// It runs; more is not known.
    Runs,
}

/// Looks at a guest from outside; called about every 50 ms.
pub type Look<'a> = &'a mut dyn FnMut() -> Outside;

/// Waits until `login` succeeds, at most `deadline`.
///
/// Four ways to fail: [`Error::ProcessDied`], [`Error::WrongKey`], [`Error::NoSshd`], [`Error::BootTimeout`]; besides
/// those that no waiting mends ([`Error::HostKeyChanged`], [`Error::Key`]).
pub fn for_ssh(cx: &Cx, login: &Login, look: Look<'_>, deadline: Duration) -> Result<Session, Error> {
    for_banner(cx, login, look, deadline)?.log_in()
}

/// The first half of [`for_ssh`]: until the guest's ssh server says what it is.
pub fn for_banner<'a>(cx: &'a Cx, login: &'a Login, look: Look<'a>, deadline: Duration) -> Result<Answered<'a>, Error> {
    let endpoint = &login.endpoint;
    let address = connect::resolve(&endpoint.host, endpoint.port)
        .map_err(|source| Error::Unreachable { endpoint: endpoint.clone(), source })?;
    let mut wait = Wait::new(cx, login, look, deadline);
    let socket = wait.banner(address)?;
    Ok(Answered { wait, booting: BOOTING, address, socket })
}

/// A guest whose ssh server answers.
pub struct Answered<'a> {
    wait: Wait<'a>,
    booting: Duration,
    address: SocketAddr,
    socket: TcpStream,
}

impl Answered<'_> {
    /// The guest makes its users itself while it boots, perhaps after its ssh server has started: refused keys are a
    /// matter of booting for as long again as it took until now.
    #[must_use]
    pub fn making_users(mut self) -> Self {
        self.booting = self.wait.began.elapsed().max(MAKING_USERS);
        self
    }

    /// The second half of [`for_ssh`]: tries until the guest lets us in, over new connections where it must.
    pub fn log_in(self) -> Result<Session, Error> {
        let Self { mut wait, booting, address, mut socket } = self;
        let mut refused_since = None;
        loop {
            match wait.log_in(socket) {
                Ok(session) => return Ok(session),
                Err(e @ Error::WrongKey { .. }) => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= booting {
                        return Err(e);
                    }
                    wait.refusal = Some(e);
                }
                Err(e) if e.is_passing() => wait.refusal = None,
                Err(e) => return Err(e),
            }
            wait.pause(RETRY)?;
            socket = wait.banner(address)?;
        }
    }
}

struct Wait<'a> {
    cx: &'a Cx,
    login: &'a Login,
    look: Look<'a>,
    outside: Outside,
    began: Instant,
    deadline: Duration,
    /// What we wait for now.
    stage: Stage,
    /// The furthest that any attempt got.
    reached: Stage,
    answer: Answer,
    /// The last login was refused with this.
    refusal: Option<Error>,
    /// How many connections were begun.
    begun: u32,
}

impl<'a> Wait<'a> {
    fn new(cx: &'a Cx, login: &'a Login, look: Look<'a>, deadline: Duration) -> Self {
        cx.waiting(Stage::Port.to_string());
        Self {
            cx,
            login,
            look,
            outside: Outside::Runs,
            began: Instant::now(),
            deadline,
            stage: Stage::Port,
            reached: Stage::Port,
            answer: Answer::Closed,
            refusal: None,
            begun: 0,
        }
    }

    fn tell(&mut self, stage: Stage) {
        if self.stage != stage {
            self.cx.waiting(stage.to_string());
            self.stage = stage;
        }
        self.reached = self.reached.max(stage);
    }

    fn go_on(&mut self) -> Result<(), Error> {
        self.cx.check()?;
        self.outside = (self.look)();
        if self.outside == Outside::Ended {
            return Err(Error::ProcessDied { stage: self.stage });
        }
        if self.began.elapsed() < self.deadline {
            return Ok(());
        }
        let (endpoint, waited) = (self.login.endpoint.clone(), self.deadline);
        Err(match self.refusal.take() {
            Some(refusal) => refusal,
            None if self.reached > Stage::Banner => Error::BootTimeout { endpoint, waited, stage: self.reached },
            None => Error::NoSshd { endpoint, waited, answer: self.answer },
        })
    }

    fn pause(&mut self, time: Duration) -> Result<(), Error> {
        let until = Instant::now() + time;
        loop {
            self.go_on()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.cx.sleep(left.min(SLICE))?;
        }
    }

    /// A connection whose banner lies ready to be read.
    fn banner(&mut self, address: SocketAddr) -> Result<TcpStream, Error> {
        let mut probes: Vec<Probe> = Vec::new();
        let mut next = Instant::now();
        loop {
            let was = self.outside;
            self.go_on()?;
            let now = Instant::now();
            probes.retain(|probe| now < probe.until);
            if was == Outside::NetworkDown && self.outside == Outside::Runs {
                next = now;
            }
            if now >= next {
                let pace = self.pace();
                next = now + pace;
                // A server that turns some away has enough of ours.
                if self.answer != Answer::Refused || probes.len() < OPEN {
                    self.begun = self.begun.wrapping_add(1);
                    make_room(&mut probes);
                    probes.extend(Probe::begin(address, now + lifetime(self.begun, pace)));
                }
            }
            let mut fds: Vec<_> = probes.iter().map(Probe::poll).collect();
            let time = next.saturating_duration_since(now).min(LOOK);
            let ready = connect::wait(&mut fds, time);
            if fds.is_empty() {
                self.cx.sleep(time)?;
            }
            drop(fds);
            for index in ready.into_iter().rev() {
                match probes[index].found() {
                    Found::Nothing => self.tell(Stage::Banner),
                    Found::Banner => return Ok(probes.swap_remove(index).stream),
                    Found::TurnedAway => {
                        probes.swap_remove(index);
                        self.answer = Answer::Refused;
                        let now = Instant::now();
                        next = now + self.pace();
                        // Those that it let in, and that wait for their turn, must not begin anew.
                        for probe in &mut probes {
                            probe.until = probe.until.max(now + ATTEMPT);
                        }
                    }
                    Found::Closed { stood } => {
                        probes.swap_remove(index);
                        self.answer = if stood { Answer::Refused } else { self.answer };
                        next = next.min(Instant::now() + AGAIN);
                    }
                }
            }
            if self.reached == Stage::Banner && self.answer == Answer::Closed {
                self.answer = Answer::Silent;
            }
        }
    }

    fn pace(&self) -> Duration {
        pace(self.began.elapsed(), self.answer, self.outside)
    }

    fn log_in(&mut self, socket: TcpStream) -> Result<Session, Error> {
        let login = self.login;
        let until = Instant::now() + login.timeout.max(ATTEMPT);
        let this = std::cell::RefCell::new(self);
        let mut go_on = || {
            let mut this = this.borrow_mut();
            this.go_on()?;
            if Instant::now() < until {
                return Ok(());
            }
            Err(Error::LoginTimeout { endpoint: login.endpoint.clone(), stage: this.stage, limit: login.timeout })
        };
        let mut tell = |stage| this.borrow_mut().tell(stage);
        Ok(Session::logged_in(login::log_in(socket, login, &mut go_on, &mut tell)?, login))
    }
}

/// The time until the next fresh connection, after `waited`.
fn pace(waited: Duration, answer: Answer, outside: Outside) -> Duration {
    match answer {
        _ if outside == Outside::NetworkDown => FRESH_MOST,
        Answer::Closed | Answer::Silent => (waited / LATE).clamp(FRESH, FRESH_MOST),
        Answer::Refused => PATIENCE.max(waited / 10),
    }
}

/// How long the connection `number` may stay without an answer.
///
/// Every second one lives for two intervals, every fourth for four, and so on: about one of each age is there at any
/// time. So few are open, there is always a fresh one, and a guest that takes seconds to answer still gets them: the
/// longest life is more than half of the time waited already.
fn lifetime(number: u32, pace: Duration) -> Duration {
    pace * 2 * 2u32.pow(number.trailing_zeros().min(4))
}

/// Leaves room for one more: the probe that would end first goes, so that the patient ones stay.
fn make_room(probes: &mut Vec<Probe>) {
    while probes.len() >= OPEN {
        let first = probes.iter().enumerate().min_by_key(|(_, probe)| probe.until).map_or(0, |(index, _)| index);
        probes.swap_remove(first);
    }
}

/// A connection that may bring a banner.
struct Probe {
    stream: TcpStream,
    until: Instant,
    stands: bool,
}

enum Found {
    /// Nothing came yet.
    Nothing,
    /// Something can be read.
    Banner,
    /// The ssh server is there and has no room.
    TurnedAway,
    /// It is over; whether it had stood before.
    Closed { stood: bool },
}

impl Probe {
    fn begin(address: SocketAddr, until: Instant) -> Option<Self> {
        connect::begin(address).ok().map(|stream| Self { stream, until, stands: false })
    }

    fn poll(&self) -> PollFd<'_> {
        PollFd::new(&self.stream, if self.stands { PollFlags::IN } else { PollFlags::OUT })
    }

    fn found(&mut self) -> Found {
        if !self.stands && connect::settled(&self.stream).is_err() {
            return Found::Closed { stood: false };
        }
        self.stands = true;
        match connect::peek(&self.stream, &mut [0; 4]) {
            Ok([]) => Found::Closed { stood: true },
            // OpenSSH's "Exceeded MaxStartups" and, for too many who left without a login, "Not allowed at this time".
            Ok(b"Exce" | b"Not ") => Found::TurnedAway,
            Ok(_) => Found::Banner,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Found::Nothing,
            Err(_) => Found::Closed { stood: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_are_open_and_one_of_them_is_old() {
        let open_at = |now: u32| {
            let age = |number: &u32| FRESH * (now - number);
            let open = (1..=now).filter(|number| age(number) < lifetime(*number, FRESH));
            open.map(|number| now - number).collect::<Vec<_>>()
        };
        for now in 300..600 {
            let ages = open_at(now);
            assert!(ages.len() <= OPEN, "{ages:?}");
            assert!(ages.contains(&0), "always a fresh one");
            assert!(ages.iter().any(|age| FRESH * *age >= Duration::from_millis(800)), "{ages:?}");
        }
    }

    #[test]
    fn the_pace_follows_the_guest() {
        let at = |seconds, answer| pace(Duration::from_secs(seconds), answer, Outside::Runs).as_millis();
        for (seconds, answer, pace) in [
            (0, Answer::Silent, 200),
            (20, Answer::Silent, 400),
            (600, Answer::Silent, 1000),
            (1, Answer::Refused, 2000),
            (100, Answer::Refused, 10_000),
        ] {
            assert_eq!(at(seconds, answer), pace);
        }
        let down = pace(Duration::from_secs(1), Answer::Refused, Outside::NetworkDown);
        assert_eq!(down, FRESH_MOST);
    }
}
