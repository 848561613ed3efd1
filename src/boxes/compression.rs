//! What a stream is compressed with: told by its first bytes, undone in bounded memory.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use super::error::Refusal;

/// Unpacking xz's strongest usual setting (`-9`) takes 65 MiB; only odd settings take more than this.
const XZ_MEMORY: u64 = 96 << 20;

/// A window of 128 MiB: zstd's own bound, and what `--long` and `-22 --ultra` take.
const ZSTD_WINDOW_LOG: u32 = 27;

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

impl Compression {
    const ALL: &[(Self, &'static str, &'static [u8])] = &[
        (Self::Gzip, "gzip", &[0x1f, 0x8b]),
        (Self::Xz, "xz", b"\xfd7zXZ\0"),
        (Self::Zstd, "zstd", b"\x28\xb5\x2f\xfd"),
        (Self::Bzip2, "bzip2", b"BZh"),
    ];

    /// How the stream that begins so is compressed.
    pub fn of(head: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|(_, _, magic)| head.starts_with(magic)).map(|(kind, _, _)| *kind)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _, _)| *kind == self).map_or("", |(_, name, _)| name)
    }

    /// The stream without its compression. What follows the last of several compressed parts must be nothing.
    pub fn undo<'a>(self, from: &'a mut dyn BufRead) -> io::Result<Box<dyn Read + 'a>> {
        let failed = Rc::new(Cell::new(false));
        let watched = Watched { from, failed: Rc::clone(&failed) };
        let inner: Box<dyn Read + 'a> = match self {
            // Its own reader tells what follows the end; nothing else may stand between here and there.
            Self::Gzip => Box::new(Gunzip(Some(GzDecoder::new(watched)))),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(io::Error::other)?;
                Box::new(XzDecoder::new_stream(watched, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(watched)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
            Self::Bzip2 => Box::new(MultiBzDecoder::new(watched)),
        };
        Ok(Box::new(Judged { inner, failed, compression: self, is_over: false }))
    }
}

/// Remembers whether it was the source that failed.
struct Watched<'a> {
    from: &'a mut dyn BufRead,
    failed: Rc<Cell<bool>>,
}

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.from.read(into).inspect_err(|_| self.failed.set(true))
    }
}

impl BufRead for Watched<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf().inspect_err(|_| self.failed.set(true))
    }

    fn consume(&mut self, amount: usize) {
        self.from.consume(amount);
    }
}

/// Tells damage in the data from a source that failed: the libraries use one kind of error for both.
struct Judged<'a> {
    inner: Box<dyn Read + 'a>,
    failed: Rc<Cell<bool>>,
    compression: Compression,
    /// What failed is not asked again: libbz2-rs-sys 0.2 aborts the process when it goes on after damage.
    is_over: bool,
}

impl Read for Judged<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.is_over {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it has failed before"));
        }
        self.inner.read(into).map_err(|error| {
            self.is_over = error.kind() != io::ErrorKind::Interrupted;
            let ours = error.get_ref().is_some_and(is_refusal);
            if self.failed.get() || ours || error.kind() == io::ErrorKind::UnexpectedEof {
                return error;
            }
            let compression = self.compression.name();
            let refusal = if wants_memory(&error) {
                Refusal::Memory(compression)
            } else {
                Refusal::Compressed { compression, source: error }
            };
            io::Error::new(io::ErrorKind::InvalidData, refusal)
        })
    }
}

fn is_refusal(inner: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    inner.is::<Refusal>()
}

fn wants_memory(error: &io::Error) -> bool {
    let inner = error.get_ref();
    let of_xz = inner.and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>());
    // zstd has no type for it.
    matches!(of_xz, Some(liblzma::stream::Error::MemLimit)) || error.to_string().contains("too much memory")
}

/// Gunzips one member after the other.
struct Gunzip<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            let amount = decoder.read(into)?;
            if amount > 0 || into.is_empty() {
                return Ok(amount);
            }
            let Some(mut from) = self.0.take().map(GzDecoder::into_inner) else { break };
            match from.fill_buf()? {
                [] => break,
                [first, ..] if *first == 0x1f => self.0 = Some(GzDecoder::new(from)),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, Refusal::Trailing)),
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
                // As the program `zstd` does.
                encoder.include_checksum(true).unwrap();
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn unpacked(mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let kind = Compression::of(bytes).unwrap();
        let mut content = Vec::new();
        kind.undo(&mut bytes)?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn every_kind_is_told_and_undone_in_parts_too() {
        let text: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        for (kind, name, _) in Compression::ALL {
            let one = packed(*kind, &text);
            assert_eq!(Compression::of(&one), Some(*kind));
            assert_eq!(unpacked(&one).unwrap(), text, "{name}");
            let two = [one, packed(*kind, b"more")].concat();
            assert_eq!(unpacked(&two).unwrap().len(), text.len() + 4, "{name} in two parts");
        }
    }

    #[test]
    fn damage_is_told_from_a_cut_and_from_a_source_that_fails() {
        let text: Vec<u8> = (0..300_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (kind, name, _) in Compression::ALL {
            let good = packed(*kind, &text);
            let error = unpacked(&good[..good.len() / 2]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{name}: {error}");
            let mut damaged = good.clone();
            let middle = damaged.len() / 2;
            damaged[middle..middle + 64].fill(0x55);
            let error = unpacked(&damaged).unwrap_err();
            assert!(error.get_ref().is_some_and(is_refusal), "{name}: {error:?}");
            let trailing = [good.as_slice(), b"and something else"].concat();
            let error = unpacked(&trailing).unwrap_err();
            assert!(error.get_ref().is_some_and(is_refusal), "{name}: {error:?}");

            let mut failing = io::BufReader::new(good[..good.len() / 2].chain(Failing));
            let error = kind.undo(&mut failing).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.to_string(), "the source failed", "{name}");
        }
    }

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the source failed"))
        }
    }

    #[test]
    fn more_memory_than_is_given_is_refused() {
        let mut options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
        options.dict_size(512 << 20);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let stream = Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(&[0; 1000]).unwrap();
        let xz = encoder.finish().unwrap();
        // A frame of zstd whose header claims a window of 2 GiB.
        let zstd = [b"\x28\xb5\x2f\xfd".as_slice(), &[0, 21 << 3], &[1, 0, 0]].concat();
        for bytes in [xz, zstd] {
            let error = unpacked(&bytes).unwrap_err();
            let refusal = error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>());
            assert!(matches!(refusal, Some(Refusal::Memory(_))), "{error:?}");
        }
    }

    /// Found by the fuzzer.
    #[test]
    fn damaged_data_that_is_read_on_stays_an_error() {
        let mut damaged = vec![0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0x0e, 0xcb, 0x75, 0xd8];
        damaged.resize(damaged.len() + 47, 0);
        damaged.extend([
            0x49, 0x1a, 0x77, 0x2e, 0x89, 0x67, 0xef, 0xc6, 0xb4, 0x07, 0xf8, 0xbb, 0x92, 0x29, 0xc2, 0x84, 0x80, 0x76,
            0x5b, 0xae, 0xc0,
        ]);
        let mut from = &damaged[..];
        let mut plain = Compression::Bzip2.undo(&mut from).unwrap();
        for _ in 0..3 {
            plain.read(&mut [0; 512]).unwrap_err();
        }
    }
}
