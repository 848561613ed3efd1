//! A small HTTP server of one file, on loopback.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

/// Serves `file` at any path until the process ends; returns its URL.
pub fn serve(file: &Path) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let file: PathBuf = file.into();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let file = file.clone();
            // A client that goes away is its own affair.
            thread::spawn(move || drop(answer(stream, &file)));
        }
    });
    format!("http://127.0.0.1:{port}/{name}")
}

fn answer(mut stream: TcpStream, path: &Path) -> io::Result<()> {
    let mut range = None;
    let mut head = false;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        head |= line.starts_with("HEAD ");
        let lower = line.to_ascii_lowercase();
        if let Some(from) = lower.strip_prefix("range: bytes=").and_then(|rest| rest.split('-').next()?.parse().ok()) {
            range = Some(from);
        }
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from: u64 = range.unwrap_or(0).min(length);
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nETag: \"bench\"\r\n",
        length - from
    )?;
    if range.is_some() {
        write!(stream, "Content-Range: bytes {from}-{}/{length}\r\n", length - 1)?;
    }
    write!(stream, "Connection: close\r\n\r\n")?;
    if !head {
        file.seek(SeekFrom::Start(from))?;
        io::copy(&mut file, &mut stream)?;
    }
    Ok(())
}
