//! A zip archive, read as a stream and with distrust.
//!
//! A zip archive has its list of contents at its end, but each file's own header before it, with all that is needed to
//! unpack it: so the archive is read in one pass, while it arrives, as a tar archive is. Only a file that is stored
//! without compression and without a length (`zip -0` into a pipe) cannot be read so; it is refused. The list at the
//! end must name as many files as came: a shorter or longer one means that the archive is damaged, or made to show
//! different readers different things.

use std::io::{self, BufRead, BufReader, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::archive::{Entry, Walk, safe_name};
use super::error::Refusal;
use super::receive::{Broken, Limits};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;

/// Begins an archive, or an empty one.
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(&LOCAL.to_le_bytes()) || head.starts_with(&END.to_le_bytes())
}

const ENCRYPTED: u16 = 1;
const LENGTH_FOLLOWS: u16 = 1 << 3;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// A field says this when the real number is in the extra field of large archives.
const SEE_EXTRA: u32 = u32::MAX;
const EXTRA_64: u16 = 1;

/// A walk through an archive.
pub(super) struct Zip<'a> {
    from: BufReader<&'a mut dyn Read>,
    limits: &'a Limits,
    entries: usize,
    /// Unpacked bytes of all files.
    total: u64,
    file: File,
}

/// The current file.
#[derive(Default)]
struct File {
    content: Content,
    crc: Crc,
    header: Header,
}

#[derive(Default)]
enum Content {
    #[default]
    Done,
    Stored(u64),
    Deflated(Box<Decompress>),
}

#[derive(Clone, Default)]
struct Header {
    follows: bool,
    large: bool,
    crc: u32,
    packed: u64,
    size: u64,
}

impl<'a> Zip<'a> {
    pub fn new(from: &'a mut dyn Read, limits: &'a Limits) -> Self {
        Self { from: BufReader::with_capacity(64 << 10, from), limits, entries: 0, total: 0, file: File::default() }
    }

    fn open(&mut self) -> Result<Entry, Broken> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Refusal::Entries(self.limits.entries).into());
        }
        let fixed: [u8; 26] = self.array()?;
        let half = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let word = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let (flags, method) = (half(2), half(4));
        let raw = self.text(half(22))?;
        let extra = self.text(half(24))?;
        // Windows' programs write their own kind of slash, and so do some of Hyper-V's boxes.
        let is_folder = raw.ends_with(b"/") || raw.ends_with(b"\\");
        let name = safe_name(&raw)?;
        if flags & ENCRYPTED != 0 {
            return Err(Refusal::Zip("it is encrypted").into());
        }
        let mut header = Header {
            follows: flags & LENGTH_FOLLOWS != 0,
            large: false,
            crc: word(10),
            packed: word(14).into(),
            size: word(18).into(),
        };
        header.read_extra(&extra)?;
        let content = match method {
            STORED if header.follows && !is_folder => {
                let why = "a file in it is stored without its length; pack it with compression, or as tar";
                return Err(Refusal::Zip(why).into());
            }
            STORED if header.packed != header.size => return Err(damaged("a file's lengths do not agree")),
            STORED => Content::Stored(header.size),
            DEFLATED => Content::Deflated(Box::new(Decompress::new(false))),
            _ => return Err(Refusal::Zip("a file in it is compressed in a way other than deflate").into()),
        };
        let size = if header.follows { 0 } else { header.size };
        self.file = File { content, crc: Crc::new(), header };
        Ok(Entry { name, size, is_file: !is_folder })
    }

    /// The list at the end, its first word read already.
    fn list(&mut self) -> Result<(), Broken> {
        let mut listed = 0;
        let mut word = CENTRAL;
        loop {
            match word {
                CENTRAL => {
                    let fixed: [u8; 42] = self.array()?;
                    let half = |at: usize| u64::from(u16::from_le_bytes([fixed[at], fixed[at + 1]]));
                    self.skip(half(24) + half(26) + half(28))?;
                    listed += 1;
                }
                END_64 => {
                    let length = u64::from_le_bytes(self.array()?);
                    self.skip(length.min(1 << 16))?;
                }
                LOCATOR_64 => self.skip(16)?,
                END => break,
                _ => return Err(damaged("its list of files makes no sense")),
            }
            if listed > self.entries {
                break;
            }
            word = self.word()?;
        }
        let _: [u8; 16] = self.array()?;
        let comment = u16::from_le_bytes(self.array()?);
        self.skip(comment.into())?;
        if listed == self.entries { Ok(()) } else { Err(damaged("its list names other files than it holds")) }
    }

    /// Reads on in the current file's content.
    fn content(&mut self, into: &mut [u8]) -> Result<usize, Broken> {
        let amount = match &mut self.file.content {
            Content::Done => return Ok(0),
            Content::Stored(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(into.len());
                let amount = self.from.read(&mut into[..most])?;
                if amount == 0 && most > 0 {
                    return Err(cut_off());
                }
                *left -= amount as u64;
                amount
            }
            Content::Deflated(state) => inflate(state, &mut self.from, into)?,
        };
        self.file.crc.update(&into[..amount]);
        self.total = self.total.saturating_add(amount as u64);
        if self.total > self.limits.total {
            let what = "its unpacked content".into();
            return Err(Refusal::TooLarge { what, size: self.total, limit: self.limits.total }.into());
        }
        if amount == 0 && !into.is_empty() {
            self.close()?;
        }
        Ok(amount)
    }

    /// Checks what was read against what the header said, or what follows the content.
    fn close(&mut self) -> Result<(), Broken> {
        let File { content, crc, header } = std::mem::take(&mut self.file);
        let size = match &content {
            Content::Deflated(state) => state.total_out(),
            _ => header.size,
        };
        let (claimed_crc, claimed_size) =
            if header.follows { self.descriptor(header.large)? } else { (header.crc, header.size) };
        // Without the large form, only the lower half of the length is kept.
        let size_fits = if header.large { size == claimed_size } else { size & 0xffff_ffff == claimed_size };
        if crc.sum() == claimed_crc && size_fits { Ok(()) } else { Err(damaged("a file's checksum is wrong")) }
    }

    /// Checksum and length behind a file. The word before them may be left out.
    fn descriptor(&mut self, large: bool) -> Result<(u32, u64), Broken> {
        let first = self.word()?;
        let crc = if first == DESCRIPTOR { self.word()? } else { first };
        if large {
            let _packed: [u8; 8] = self.array()?;
            Ok((crc, u64::from_le_bytes(self.array()?)))
        } else {
            self.word()?;
            Ok((crc, self.word()?.into()))
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn word(&mut self) -> Result<u32, Broken> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn text(&mut self, length: u16) -> Result<Vec<u8>, Broken> {
        let mut bytes = vec![0; length.into()];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, amount: u64) -> Result<(), Broken> {
        let skipped = io::copy(&mut (&mut self.from).take(amount), &mut io::sink())?;
        if skipped == amount { Ok(()) } else { Err(cut_off()) }
    }
}

impl Header {
    /// Lengths over 4 GiB.
    fn read_extra(&mut self, mut extra: &[u8]) -> Result<(), Broken> {
        while let Some((head, rest)) = extra.split_first_chunk::<4>() {
            let (tag, length) = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
            let (field, rest) = rest.split_at_checked(length.into()).ok_or_else(|| damaged("a header is broken"))?;
            extra = rest;
            if tag != EXTRA_64 {
                continue;
            }
            self.large = true;
            let mut field = field;
            for number in [&mut self.size, &mut self.packed] {
                if *number == u64::from(SEE_EXTRA) {
                    let (first, rest) = field.split_first_chunk().ok_or_else(|| damaged("a header is broken"))?;
                    *number = u64::from_le_bytes(*first);
                    field = rest;
                }
            }
        }
        Ok(())
    }
}

fn inflate(state: &mut Decompress, from: &mut impl BufRead, into: &mut [u8]) -> Result<usize, Broken> {
    if into.is_empty() {
        return Ok(0);
    }
    loop {
        let input = from.fill_buf()?;
        let is_end = input.is_empty();
        let (before_in, before_out) = (state.total_in(), state.total_out());
        let status = state.decompress(input, into, FlushDecompress::None);
        let status = status.map_err(|_| damaged("a file's compressed data makes no sense"))?;
        let used = usize::try_from(state.total_in() - before_in).unwrap_or(0);
        let made = usize::try_from(state.total_out() - before_out).unwrap_or(0);
        from.consume(used);
        match status {
            _ if made > 0 => return Ok(made),
            Status::StreamEnd => return Ok(0),
            _ if is_end => return Err(cut_off()),
            _ => {}
        }
    }
}

impl Walk for Zip<'_> {
    fn entry(&mut self) -> Result<Option<Entry>, Broken> {
        io::copy(self, &mut io::sink())?;
        match self.word()? {
            LOCAL => self.open().map(Some),
            // The list at the end.
            CENTRAL if self.entries > 0 => self.list().map(|()| None),
            END if self.entries == 0 => Err(damaged("it is empty")),
            _ => Err(damaged("something else stands where a file's header should")),
        }
    }

    fn finish(&mut self) -> Result<(), Broken> {
        if self.from.fill_buf()?.is_empty() { Ok(()) } else { Err(Refusal::Trailing.into()) }
    }
}

/// The content of the current file.
impl Read for Zip<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.content(into).map_err(|broken| match broken {
            Broken::Read(error) => error,
            Broken::Refused(refusal) => io::Error::new(io::ErrorKind::InvalidData, refusal),
            Broken::Failed(error) => io::Error::other(error),
        })
    }
}

fn damaged(why: &'static str) -> Broken {
    Refusal::Zip(why).into()
}

fn cut_off() -> Broken {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}
