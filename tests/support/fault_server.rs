//! An HTTP server that misbehaves on demand.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first byte asked for.
    pub fn range(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length: Option<usize>,
    cut: Option<usize>,
    stall: Option<usize>,
    pause: Duration,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let (headers, body, pause) = (Vec::new(), body.into(), Duration::ZERO);
        Self { status, headers, body, length: None, cut: None, stall: None, pause }
    }

    /// A good server's answer: `Range` and `If-Range` are honoured.
    pub fn file(request: &Request, body: &[u8], etag: &str) -> Self {
        let same = request.header("if-range").is_none_or(|tag| tag == etag);
        let reply = match request.range().filter(|_| same) {
            Some(from) if from >= body.len() => {
                Self::new(416, "").header("Content-Range", format!("bytes */{}", body.len()))
            }
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
                Self::new(206, &body[from..]).header("Content-Range", range)
            }
            None => Self::new(200, body),
        };
        if etag.is_empty() { reply } else { reply.header("ETag", etag) }
    }

    pub fn redirect(to: impl Into<String>) -> Self {
        Self::new(302, "").header("Location", to.into())
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Claims another length than the body has.
    pub fn length(self, length: usize) -> Self {
        Self { length: Some(length), ..self }
    }

    /// Closes the connection after so many bytes of the body.
    pub fn cut(self, after: usize) -> Self {
        Self { cut: Some(after), ..self }
    }

    /// Sends no more after so many bytes of the body, and keeps the connection.
    pub fn stall(self, after: usize) -> Self {
        Self { stall: Some(after), ..self }
    }

    /// Rests after every 64 KiB.
    pub fn slow(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    fn send(&self, mut to: TcpStream) -> std::io::Result<()> {
        let length = self.length.unwrap_or(self.body.len());
        write!(to, "HTTP/1.1 {} Whatever\r\nContent-Length: {length}\r\nConnection: close\r\n", self.status)?;
        for (name, value) in &self.headers {
            write!(to, "{name}: {value}\r\n")?;
        }
        to.write_all(b"\r\n")?;
        let end = self.cut.or(self.stall).unwrap_or(usize::MAX).min(self.body.len());
        for chunk in self.body[..end].chunks(64 << 10) {
            to.write_all(chunk)?;
            thread::sleep(self.pause);
        }
        to.flush()?;
        if self.stall.is_some() {
            thread::sleep(Duration::from_secs(20));
        }
        Ok(())
    }
}

/// Runs until the test ends.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` is given each request and how many came before it.
    pub fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || {
                    let Some(request) = read(&connection) else { return };
                    let before = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    // A client may go away at any time.
                    let _ = answer(&request, before).send(connection);
                });
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read(connection: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(connection).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())))
        .collect();
    Some(Request { path, headers })
}
